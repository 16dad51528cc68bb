"""The examples that users copy: every manifest is valid, every callback answers as the catalogue says.

The callbacks run here on the records of two simulated stations, wired through their dependencies, by the
engine alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis_module import modules, reading, spec
from analysis_worker.callbacks import loading
from analysis_worker.commands import documents, together
from analysis_worker.kafka import encoding
from analysis_worker.simulation import stations
from tests import builders

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "examples" / "modules").glob("*.yaml"))
NAMES = [module.name for module in modules.ALL]
START_MS = 1_762_480_000_000


def the_spec(module: str) -> spec.ModuleSpec:
    path = ROOT / "examples" / "modules" / f"{module}.yaml"
    return documents.module_spec_of(path.read_bytes(), str(path))


def the_callback(module: str) -> loading.LoadedCallback:
    settings = reading.write_spec(the_spec(module))["callback"]
    settings["file"] = str(ROOT / settings["file"])
    whole = reading.read_spec({"module": module, "callback": settings})
    return loading.load(whole.callback)


def answer(module: str, module_input: Mapping[str, Any]) -> Any:
    """What the module's callback returns, as its consumers see it."""
    return json.loads(encoding.encode_json(the_callback(module).function("S1", module_input)))


@pytest.fixture(scope="module")
def outputs() -> dict[str, list[dict[str, Any]]]:
    """Module -> the output records of a few seconds of two stations, dependencies joined."""
    fleet = stations.Fleet(stations=2, seed=3, start_ms=START_MS, cap_per_second=1)
    sent = fleet.tick(START_MS + 8_000)
    made: dict[str, list[dict[str, Any]]] = {}
    for module in NAMES:
        hand = builders.HandDriven(reading.write_spec(the_spec(module)))
        taken = [
            hand.take(dependency.topic, output)
            for dependency in hand.assembly.wiring.dependencies
            for output in made[dependency.module]
        ]
        taken += [
            hand.take(record.topic, record.value) for record in sent if record.topic in hand.assembly.topics
        ]
        callback = the_callback(module).function
        made[module] = [
            {
                "stationId": trigger.station.id,
                "output": json.loads(
                    encoding.encode_json(callback(trigger.station.id, builders.input_of(trigger)))
                ),
            }
            for each in taken
            for trigger in each.triggers
        ]
    return made


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_valid_and_called_after_its_module(path: Path) -> None:
    name, _, module_spec = reading.read_manifest(yaml.safe_load(path.read_bytes()))
    assert module_spec.module == path.stem
    assert name == path.stem.lower().replace("_", "-")


def test_each_module_of_the_catalogue_has_an_example() -> None:
    assert {path.stem for path in MANIFESTS} == set(NAMES)


def test_the_examples_fit_together_and_lack_no_dependency() -> None:
    declared = [together.Declared.of(module, the_spec(module)) for module in NAMES]
    assert together.problems(declared) == []
    assert together.unserved(declared) == []


@pytest.mark.parametrize("module", NAMES)
def test_a_callback_answers_for_every_station_under_its_own_id(
    outputs: dict[str, list[dict[str, Any]]], module: str
) -> None:
    assert {output["stationId"] for output in outputs[module]} == {"station-001", "station-002"}


@pytest.mark.parametrize("module", modules.ALL, ids=lambda module: module.name)
def test_an_output_has_the_keys_that_the_catalogue_names(
    outputs: dict[str, list[dict[str, Any]]], module: modules.Module
) -> None:
    keys = {key for output in outputs[module.name] for key in output["output"]}
    assert keys >= set(module.output_keys)


@pytest.mark.parametrize("module", NAMES)
def test_no_output_holds_a_null(outputs: dict[str, list[dict[str, Any]]], module: str) -> None:
    assert "null" not in json.dumps(outputs[module])


def test_the_load_forecast_of_an_hour_is_the_mean_of_that_hour_of_the_days_before() -> None:
    hand = builders.HandDriven(reading.write_spec(the_spec("load_prediction")))
    two_days = [float(hour) for _day in range(2) for hour in range(24) for _minute in range(60)]
    hand.take(builders.REALTIME, *({"stationId": "S1", "historyCurveStationAvg": kw} for kw in two_days))
    forecast = answer("load_prediction", hand.module_input())["load_forecast"]
    assert forecast == [float(hour) for hour in range(24)]


def test_an_hour_that_was_never_seen_is_forecast_by_the_mean_of_all() -> None:
    hand = builders.HandDriven(reading.write_spec(the_spec("load_prediction")))
    hand.take(builders.REALTIME, *({"stationId": "S1", "historyCurveStationAvg": kw} for kw in (10, 20)))
    assert answer("load_prediction", hand.module_input())["load_forecast"] == [15.0] * 24


def test_the_storage_charges_in_the_quietest_hours_and_delivers_in_the_busiest() -> None:
    forecast = [float(hour) for hour in range(24)]
    day = {"load_forecast": forecast, "storageCapacity": 200.0, "storageSOC": 50.0, "gridCapacity": 630.0}
    plan = answer("operation_optimization", day)
    assert plan["storage_power"] == [-25.0] * 4 + [0.0] * 16 + [25.0] * 4
    assert plan["charge_power"][-1] == 655.0


def test_the_power_gap_is_what_the_storage_leaves_of_the_peak_above_the_mean() -> None:
    curve = {"storagePower": 30.0, "historyCurveStationAvg_window": builders.a_view([100.0, 140.0], 4)}
    curve["historyCurveStationMax_window"] = builders.a_view([150.0, 200.0], 4)
    curve["gridPrice_window"] = builders.a_view([0.5, 1.5], 10)
    assert answer("evaluation_model", curve) == {"power_gap": 50.0, "station_cost": 120.0}


def test_the_fan_runs_at_full_speed_at_the_full_temperature() -> None:
    warm = {"storageTempMax_window": [0.0, 45.0], "load_forecast": [10.0], "historyCurveStationAvg": 10.0}
    assert answer("thermal_management", warm)["thermal_data"]["fan_percent"] == 100

"""Inputs of modules from a layout that has the topics of all of them."""

import json
from typing import Any

from analysis_module import catalogue, wiring
from analysis_worker import assembling
from analysis_worker.engine import engine, inputs
from d_a import configuration, named
from d_a.module_inputs import ModuleInputs, SnakeNames

PARAM, PRICE, ORDER = "SCHEDULE-STATION-PARAM", "SCHEDULE-CAR-PRICE", "SCHEDULE-CAR-ORDER"


class Windows:
    """An engine with the union of all modules, fed by hand."""

    def __init__(self, *, snake_names: bool = False, **settings: Any) -> None:
        read = configuration.read(named.of_mapping(settings), needs_kafka=False)
        self.assembly = assembling.assemble(read.union)
        self.engine = engine.Engine(self.assembly.engine_settings, range(64))
        self.wirings: dict[str, wiring.Wiring] = {
            name: catalogue.resolve(each) for name, each in read.specs.items()
        }
        self.modules = ModuleInputs(self.wirings, snake_names=snake_names)
        station = self.engine.station("S1", 1_762_480_000_000)
        assert station is not None
        self.station = station

    def add(self, topic: str, **fields: Any) -> None:
        source = self.assembly.topics[topic]
        (arrival,) = source.decoder.arrivals(json.dumps({"stationId": "S1", **fields}).encode())
        self.engine.append(self.station, source.index, arrival.rows, replace=arrival.replace)

    def one(self, module: str) -> inputs.ModuleInput:
        return self.modules.one(self.engine.layout, self.station, module)


def test_a_module_sees_its_own_topics_only() -> None:
    windows = Windows()
    windows.add(PARAM, lat=30.27)
    windows.add(PRICE, gridPrice=1.02)
    load, evaluation = windows.one("load_prediction"), windows.one("evaluation_model")
    assert load["lat"] == 30.27
    assert "gridPrice" not in load
    assert evaluation["gridPrice"] == 1.02
    assert "lat" not in evaluation


def test_the_keys_and_their_order_are_those_of_a_worker_that_runs_the_module_alone() -> None:
    windows = Windows()
    windows.add(PARAM, lat=30.27)
    for module, asked in windows.wirings.items():
        alone = inputs.ModuleInput(
            engine.layouts.layout_of(asked), "S1", (None,) * len(asked.inputs + asked.dependencies), 0.0
        )
        assert list(windows.one(module)) == list(alone)


def test_all_gives_every_module_and_split_does_so_for_one_moment() -> None:
    windows = Windows()
    windows.add(ORDER, currentSOC=41.5)
    whole = inputs.ModuleInput(windows.engine.layout, "S1", tuple(windows.station.heads), 5.0)
    windows.add(ORDER, currentSOC=50.0)
    split = windows.modules.split(whole)
    assert list(split) == list(windows.modules.all(windows.engine.layout, windows.station))
    assert split["customer_mining"]["currentSOC"] == 41.5
    assert split["customer_mining"]["timestamp"] == 5.0
    assert windows.one("customer_mining")["currentSOC"] == 50.0


def test_outputs_of_dependencies_are_picked_by_module() -> None:
    windows = Windows()
    source = windows.assembly.topics["MODULE-OUTPUT-LOAD-PREDICTION"]
    windows.engine.append_output(windows.station, source.index, [({"load_forecast": [1]}, 3.0)])
    guidance = windows.one("station_guidance")
    assert guidance["load_prediction_output"] == {"load_forecast": [1]}
    assert guidance["evaluation_model_output"] is None


def test_snake_names_stand_beside_the_others_with_the_same_values() -> None:
    windows = Windows(snake_names=True)
    windows.add(ORDER, gunId="G2", startSOC=22)
    given = windows.one("customer_mining")
    assert given["gun_id"] == given["gunId"] == "G2"
    assert given["gun_id_window"] == given["gunId_window"]
    assert given["start_SOC"] == given["start_soc"] == given["startSOC"] == 22


def test_the_station_id_in_snake_case_is_the_stations_whatever_topics_say() -> None:
    windows = Windows(snake_names=True)
    windows.add(ORDER, stationId=None, hostId="H1")
    given = windows.one("customer_mining")
    assert given["station_id"] == "S1"
    assert dict(given)["station_id"] == "S1"


def test_a_workers_input_of_which_nothing_was_read_takes_the_names_in_place() -> None:
    windows = Windows()
    windows.add(ORDER, gunId="G2")
    whole = inputs.ModuleInput(windows.engine.layout, "S1", tuple(windows.station.heads), 5.0)
    SnakeNames().add(whole)
    assert (whole["gun_id"], whole["station_id"]) == ("G2", "S1")
    assert whole.plain()["gun_id"] == "G2"


def test_after_a_change_of_the_configuration_older_moments_keep_their_windows() -> None:
    windows = Windows()
    windows.add(ORDER, currentSOC=41.5)
    whole = inputs.ModuleInput(windows.engine.layout, "S1", tuple(windows.station.heads), 5.0)
    entry = {"fields": ["gunId"], "modules": ["customer_mining"], "window_size": 2}
    other = Windows(TOPIC_DETAIL={ORDER: entry})
    windows.modules.use(other.wirings, snake_names=False)
    assert windows.modules.split(whole)["customer_mining"]["currentSOC"] == 41.5

"""The life of modules on a true node: nine in their order, scaled, suspended and resumed, deleted.

How long stations that move pause is told in build/e2e.json; the goal is below 5 s.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from analysis_module import catalogue, slots
from tests.infrastructure import kafka_tools, waiting
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.scenario import (
    NOTHING_WRONG,
    PATIENCE_SECONDS,
    SLOTS,
    Report,
    Scenario,
    gaps_seconds,
    percentile,
)

Scenarios = Callable[[str], Scenario]
JOINING = """
def callback(station_id, module_input):
    joined = {key: value for key, value in module_input.items() if key.endswith("_answered")}
    return {
        "number": module_input["number"],
        "window": list(module_input["number_window"]),
        "answered": module_input["number"],
        "joined": joined,
    }
"""


class Chain:
    """The nine modules of the catalogue on one numbered stream, each joining those that it depends on."""

    def __init__(self, numbered: Scenario) -> None:
        self.numbered = numbered
        self.order = in_dependency_order()
        self.streams = {
            name: dataclasses.replace(numbered.stream, group=f"{numbered.stream.group}-{name}")
            for name in self.order
        }
        self.modules = {
            name: ModuleDriver(numbered.cluster.access, numbered.namespace, name.lower().replace("_", "-"))
            for name in self.order
        }

    def apply(self, name: str) -> None:
        """Apply one module and wait until it runs."""
        stream, module = self.streams[name], self.modules[name]
        kafka_tools.create_topic(stream.bootstrap, stream.output_topic)
        joined = [
            {"module": each, "topic": self.streams[each].output_topic, "trigger": False}
            for each in catalogue.MODULES[name].dependencies
        ]
        module.apply(
            stream.spec(module=name, dependencies=joined, callback={"source": JOINING}),
        )
        module.until_phase("Running", PATIENCE_SECONDS)

    def newest(self, name: str) -> dict[str, Any]:
        """The result of a module's newest output."""
        last = max(self.streams[name].outputs(), key=lambda each: each.timestamp_ms)
        result: dict[str, Any] = json.loads(last.value or b"")["output"]
        return result


def in_dependency_order() -> Sequence[str]:
    """The modules of the catalogue, each after all that it depends on."""
    ordered: list[str] = []
    while len(ordered) < len(catalogue.MODULES):
        ordered += [
            name
            for name, module in catalogue.MODULES.items()
            if name not in ordered and {*module.dependencies} <= {*ordered}
        ]
    return ordered


def test_the_nine_modules_run_in_their_dependency_order_and_join_each_other(
    scenarios: Scenarios,
) -> None:
    chain = Chain(scenarios("nine modules"))
    for name in chain.order:
        chain.apply(name)
    numbered = chain.numbered
    numbered.send_steadily()
    last = chain.streams[chain.order[-1]]
    waiting.until(
        lambda: last.output_count() > 2_000, what="the last of them answers", timeout_seconds=PATIENCE_SECONDS
    )
    numbered.stop_sending()
    for name, stream in chain.streams.items():
        chain.modules[name].until(
            lambda stream=stream: stream.output_count() >= len(numbered.sent),
            f"{name} has answered all",
            PATIENCE_SECONDS,
        )
    numbered.send(100)
    found = {name: numbered.count(f"nine modules: {name}", chain.streams[name]) for name in chain.order}
    assert found == dict.fromkeys(chain.order, NOTHING_WRONG)
    for name in chain.order:
        numbered.until_columns_are_right(chain.modules[name])
        expected = {f"{each}_answered" for each in catalogue.MODULES[name].dependencies}
        joined = chain.newest(name)["joined"]
        assert {*joined} == expected
        assert all(joined.values()), f"{name} joins outputs that came before"
        assert chain.modules[name].condition("DependenciesReady")["status"] == "True"


def test_scaled_from_1_to_3_and_to_2_no_record_is_lost_and_nothing_that_stays_is_restarted(
    scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("scaled 1 -> 3 -> 2")
    numbered.run(outputs=1_000)
    moved_gaps: list[float] = []
    unmoved_gaps: list[float] = []
    restarts = 0
    for replicas in (3, 2):
        owners, containers, began_ms = numbered.owners(), numbered.containers(), time.time() * 1000
        numbered.module.scale(replicas)
        numbered.module.until_settled(seconds=120)
        numbered.until_more_outputs(600)
        moved = moved_stations(numbered, owners)
        for station, gap in gaps_seconds(numbered.stream, began_ms).items():
            (moved_gaps if station in moved else unmoved_gaps).append(gap)
        restarts += restarted(containers, numbered.containers(), leaving=max(0, len(containers) - replicas))
        row = numbered.columns()
        wanted = f"{replicas}/{replicas}"
        assert (row["PHASE"], row["READY"], row["CONFIG"]) == ("Running", wanted, wanted)
    found = numbered.conclude()
    report["moved_stations"] = len(moved_gaps)
    report["moved_gap_p99_seconds"] = round(percentile(moved_gaps, 99), 2)
    report["unmoved_gap_longest_seconds"] = round(max(unmoved_gaps), 2)
    report["unmoved_restarts"] = restarts
    assert found == NOTHING_WRONG
    assert restarts == 0
    assert moved_gaps
    assert unmoved_gaps


def moved_stations(numbered: Scenario, before: dict[int, int]) -> set[str]:
    """The stations whose shard is another than before."""
    now = numbered.owners()
    stations = {json.loads(value)["stationId"] for _, value, *_ in numbered.sent}
    return {each for each in stations if before[at := slots.slot_of(each, SLOTS)] != now[at]}


def restarted(before: dict[str, int], now: dict[str, int], *, leaving: int) -> int:
    """How many containers were restarted or replaced, but for those of the shards that had to go."""
    gone = len(before.keys() - now.keys()) - leaving
    return gone + sum(now[pod] - restarts for pod, restarts in before.items() if pod in now)


def test_suspended_it_stops_and_resumed_it_goes_on_where_it_was(scenarios: Scenarios) -> None:
    numbered = scenarios("suspended and resumed")
    numbered.run()
    numbered.apply(suspend=True)
    numbered.module.until_phase("Suspended")
    numbered.module.until(lambda: not numbered.module.pods(), "no pods are left", PATIENCE_SECONDS)
    row = numbered.columns()
    assert (row["PHASE"], row["READY"]) == ("Suspended", "0/0")
    sent = len(numbered.sent)
    waiting.until(
        lambda: len(numbered.sent) > sent + 400, what="records pile up", timeout_seconds=PATIENCE_SECONDS
    )
    numbered.apply()
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    assert numbered.conclude() == NOTHING_WRONG


def test_deleted_everything_goes_but_its_offsets_and_applied_anew_it_loses_nothing(
    scenarios: Scenarios,
) -> None:
    numbered = scenarios("deleted and applied anew")
    numbered.run(workers={"replicas": 2})
    done = numbered.cluster.access.kubectl(
        "delete", "am", numbered.module.name, "--namespace", numbered.namespace, "--timeout=60s"
    )
    assert done.returncode == 0, done.stderr
    numbered.module.until(
        lambda: not numbered.module.children() and not numbered.module.pods(),
        "nothing is left",
        PATIENCE_SECONDS,
    )
    numbered.apply()
    numbered.module.until_phase("Running", PATIENCE_SECONDS)
    found = numbered.conclude()
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])

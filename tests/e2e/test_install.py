"""A release on a true node, from `helm install` on: outputs, hot edits, a killed worker, scaling."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from analysis_module import names
from tests.infrastructure import kafka_tools, numbered_stream
from tests.infrastructure.scenario import Scenario
from tests.infrastructure.true_cluster import Release

EXAMPLE = Path(__file__).parents[2] / "examples" / "images"
EDITS = 20
NOTHING_WRONG = numbered_stream.Findings([], 0, 0, [], [])
Scenarios = Callable[[str], Scenario]
Report = dict[str, Any]


def note(report: Report, name: str, found: numbered_stream.Findings, records: int) -> None:
    """Puts the counts of a scenario into the report."""
    report["scenarios"][name] = {
        "records": records,
        "lost": len(found.lost),
        "doubled": found.doubled,
        "doubled_unmarked": found.doubled_unmarked,
        "out_of_order": len(found.out_of_order),
        "wrong_windows": len(found.wrong_windows),
    }


def test_installed_and_applied_a_module_answers_every_record(
    release: Release, scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("install")
    numbered.send(500)
    numbered.apply()
    numbered.until_outputs(1)
    report["install_to_first_output_seconds"] = round(time.monotonic() - release.began, 2)
    numbered.until_outputs(500)
    numbered.module.until_phase("Running")
    found = numbered.examine()
    note(report, "install to first output", found, len(numbered.sent))
    assert found == NOTHING_WRONG
    row = numbered.module.row()
    assert (row["Phase"], row["Ready"], row["Config"]) == ("Running", "1/1", "1/1")


def test_a_hot_edit_is_applied_by_all_workers_within_2_seconds_without_a_restart(
    scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("edits")
    numbered.apply(workers={"replicas": 2})
    numbered.module.until_phase("Running")
    before = numbered.containers()
    numbered.send_steadily()
    took = []
    for number in range(EDITS):
        numbered.until_outputs(numbered.stream.output_count() + 200)  # users do not edit back to back
        began = time.monotonic()
        numbered.module.apply(expireAfterSeconds=3_600 + number)
        numbered.module.until_settled()
        took.append(time.monotonic() - began)
    numbered.stop_sending()
    found = numbered.examine()
    note(report, "hot edits", found, len(numbered.sent))
    report["hot_edit_p50_seconds"] = round(percentile(took, 50), 3)
    report["hot_edit_p99_seconds"] = round(percentile(took, 99), 3)
    assert found == NOTHING_WRONG
    assert numbered.containers() == before
    assert percentile(took, 99) < 2.0


def test_of_a_killed_worker_nothing_is_lost_and_what_is_doubled_can_be_known(
    release: Release, scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("kill")
    numbered.apply()
    numbered.module.until_phase("Running")
    numbered.send_steadily()
    numbered.until_outputs(400)
    [pod] = numbered.module.pods()
    killed_ms = time.time() * 1000
    release.cluster.node.kill(numbered.namespace, pod)
    numbered.until_restarted(pod)
    numbered.stop_sending()
    found = numbered.examine()
    note(report, "worker killed", found, len(numbered.sent))
    report["kill_recovery_seconds"] = round(numbered.longest_silence_seconds(killed_ms), 2)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_scaled_from_1_to_3_and_to_2_every_record_has_one_output(
    scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("scale")
    numbered.apply()
    numbered.module.until_phase("Running")
    numbered.send_steadily()
    for replicas in (3, 2):
        numbered.module.scale(replicas)
        numbered.module.until_settled(seconds=120)
        assert sorted(numbered.module.assignments()) == list(range(replicas))
    numbered.stop_sending()
    found = numbered.examine()
    note(report, "scaled 1 -> 3 -> 2", found, len(numbered.sent))
    assert found == NOTHING_WRONG


def test_a_users_model_in_an_image_made_from_the_workers_answers(scenarios: Scenarios) -> None:
    heat = scenarios("own-image")
    manifest = yaml.safe_load((EXAMPLE / "module.yaml").read_text(encoding="utf-8"))
    spec = manifest["spec"]
    spec["kafka"]["bootstrapServers"] = [heat.stream.bootstrap]
    spec["kafka"]["autoOffsetReset"] = "earliest"
    topic, output = spec["inputs"][0]["topic"], names.output_topic(spec["module"])
    for each in (topic, output):
        kafka_tools.create_topic(heat.stream.bootstrap, each)
    record = json.dumps({"stationId": "S1", "storageTempMax": 47.5}).encode()
    kafka_tools.produce_all(heat.stream.bootstrap, topic, [kafka_tools.Outgoing(b"S1", record)])
    heat.module.apply(spec)
    [made] = kafka_tools.wait_for_records(heat.stream.bootstrap, output, 1, timeout_seconds=60)
    assert json.loads(made.value or b"")["output"] == {"hottest": 47.5, "too_hot": True}


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

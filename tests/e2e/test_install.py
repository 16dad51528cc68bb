"""A release from `helm install` on: outputs, `helm test`, a killed worker, scaling, a user's own image."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from analysis_module import names
from tests.infrastructure import helm, kafka_tools
from tests.infrastructure.release import Release
from tests.infrastructure.scenario import NOTHING_WRONG, Report, Scenario

EXAMPLE = Path(__file__).parents[2] / "examples" / "images"
Scenarios = Callable[[str], Scenario]


def test_installed_and_applied_a_module_answers_every_record(
    release: Release, scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("install to first output")
    numbered.send(500)
    numbered.apply()
    numbered.until_outputs(1)
    if release.began is not None:
        report["install_to_first_output_seconds"] = round(time.monotonic() - release.began, 2)
    numbered.module.until_phase("Running")
    assert numbered.conclude() == NOTHING_WRONG
    row = numbered.columns()
    assert (row["PHASE"], row["READY"], row["CONFIG"]) == ("Running", "1/1", "1/1")
    assert row["OUTPUT"] == numbered.stream.output_topic


def test_helm_test_says_that_the_release_works(release: Release) -> None:
    assert "Phase:          Succeeded" in release.run("test", helm.RELEASE)


def test_of_a_killed_worker_nothing_is_lost_and_what_is_doubled_can_be_known(
    scenarios: Scenarios, report: Report
) -> None:
    numbered = scenarios("worker killed")
    numbered.run()
    [pod] = numbered.module.pods()
    killed_ms = time.time() * 1000
    numbered.signal(pod, signal.SIGKILL)
    numbered.until_restarted(pod)
    found = numbered.conclude()
    report["kill_recovery_seconds"] = round(numbered.longest_silence_seconds(killed_ms), 2)
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])


def test_a_users_model_in_an_image_made_from_the_workers_answers(scenarios: Scenarios) -> None:
    heat = scenarios("own image")
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

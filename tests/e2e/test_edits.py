"""Edits of a running module on a true node: every hot field, a bad one, one that replaces pods.

How long a hot edit takes is told in build/e2e.json, with the goal of a p99 below 2 s.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analysis_module import shape
from analysis_module.spec import Change
from tests.infrastructure import kafka_tools, numbered_stream
from tests.infrastructure.scenario import NOTHING_WRONG, Report, Scenario, percentile

Scenarios = Callable[[str], Scenario]
EDITS = 50
BETWEEN = 200
"""Records between two edits: users do not edit back to back."""
SOURCE = """
def callback(station_id, module_input):
    newest = [int(number) for number in module_input["number_window"]][-WINDOW:]
    return {"number": int(module_input["number"]), "window": newest}

def another(station_id, module_input):
    return callback(station_id, module_input)
""".replace("WINDOW", str(numbered_stream.WINDOW))
MODELS = {
    "spec": {
        "volumes": [{"name": "models", "configMap": {"name": "models"}}],
        "containers": [
            {
                "name": "worker",
                "env": [{"name": "PYTHONPATH", "value": "/models"}],
                "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
            }
        ],
    }
}
"""A pod in which a file of the ConfigMap "models" is /models/model.py, and the Python module "model"."""


class Edited:
    """Two workers whose module is edited; each edit is timed from `kubectl apply` to applied on both."""

    def __init__(self, numbered: Scenario) -> None:
        self.numbered = numbered
        self.late, self.elsewhere, self.letters = (
            f"{numbered.stream.group}-{name}" for name in ("late", "elsewhere", "letters")
        )
        for topic in (self.late, self.elsewhere, self.letters):
            kafka_tools.create_topic(numbered.stream.bootstrap, topic, partitions=4)
        self.seconds: list[float] = []
        self.base: dict[str, Any] = {}

    def start(self) -> None:
        """The module as it is before all edits."""
        code = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {"model.py": SOURCE, "another.py": f"{SOURCE}\n# another\n"},
        }
        place = {"name": "models", "namespace": self.numbered.namespace}
        self.numbered.module.api.create({**code, "metadata": place})
        self.base = {"workers": {"replicas": 2, "podTemplate": MODELS}, "callback": {"source": SOURCE}}
        self.numbered.apply(**self.base)
        self.numbered.module.until_phase("Running")

    def edit(self, **changes: Any) -> None:
        """Apply the first spec with these changes alone; wait until both workers run it."""
        before = self.numbered.module.status["config"]["desired"]
        began = time.monotonic()
        self.numbered.apply(**{**self.base, **changes})
        self.numbered.module.until_settled()
        self.seconds.append(time.monotonic() - began)
        assert self.numbered.module.status["config"]["desired"] != before, changes

    def _input(self, **changes: Any) -> list[dict[str, Any]]:
        [first] = self.numbered.stream.spec()["inputs"]
        return [{**first, **changes}]

    def fields_that_change_what_comes_out(self) -> Mapping[str, Mapping[str, Any]]:
        """Edits that are meant to end, move or thin out the outputs, by the field that each is about."""
        interval = {"policy": "Interval", "intervalSeconds": 5}
        return {
            "inputs[].stationKey.via": {"inputs": self._input(stationKey={"via": self.late})},
            "inputs[].scope": {
                "inputs": [
                    *self._input(),
                    {"topic": self.late, "scope": "Global", "fields": ["a"], "windowSize": 1},
                ]
            },
            "trigger.policy": {"trigger": {"policy": "Latest"}},
            "trigger.intervalSeconds": {"trigger": interval},
            "output.enabled": {"output": {"topic": self.numbered.stream.output_topic, "enabled": False}},
            "output.topic": {"output": {"topic": self.elsewhere}},
            "output.topicStyle": {"output": {"topicStyle": "underscore"}},
            "output.envelope": {"output": {"topic": self.numbered.stream.output_topic, "envelope": "v1.0"}},
        }

    def fields_that_lose_no_record(self) -> Mapping[str, Mapping[str, Any]]:
        """All other edits of one hot field each."""
        late = {"topic": self.late, "fields": ["stationId", "a"], "windowSize": 3}
        other = {"module": "other", "topic": self.elsewhere}
        from_map = {"name": "models", "key": "model.py"}
        return {
            "stations.include": {"stations": {"include": ["S*"]}},
            "stations.exclude": {"stations": {"exclude": ["nobody-*"]}},
            **self._inputs_that_lose_no_record(late),
            "dependencies[].module": {"dependencies": [{**other, "module": "another"}]},
            "dependencies[].topic": {"dependencies": [{**other, "topic": self.letters}]},
            "dependencies[].windowSize": {"dependencies": [{**other, "windowSize": 4}]},
            "dependencies[].trigger": {"dependencies": [{**other, "trigger": False}]},
            "padding": {"padding": "Linear"},
            "trigger.requiredTopics": {"trigger": {"requiredTopics": [self.numbered.stream.topic]}},
            "callback.entrypoint": {"callback": {"entrypoint": "model:callback"}},
            "callback.configMapRef.name": {"callback": {"configMapRef": from_map}},
            "callback.configMapRef.key": {"callback": {"configMapRef": {**from_map, "key": "another.py"}}},
            "callback.file": {"callback": {"file": "/models/model.py"}},
            "callback.source": {"callback": {"source": f"{SOURCE}\n# edited\n"}},
            "callback.function": {"callback": {"source": SOURCE, "function": "another"}},
            "callback.timeoutSeconds": {"callback": {"source": SOURCE, "timeoutSeconds": 9}},
            "callback.concurrency": {"callback": {"source": SOURCE, "concurrency": 3}},
            "callback.inputFormat": {"callback": {"source": SOURCE, "inputFormat": "list"}},
            "callback.parameters": {"callback": {"source": SOURCE, "parameters": {"a": 1}}},
            "errors.retries": {"errors": {"retries": 2}},
            "errors.backoffSeconds": {"errors": {"backoffSeconds": 0.5}},
            "errors.maxBackoffSeconds": {"errors": {"maxBackoffSeconds": 7}},
            "errors.breaker.failures": {"errors": {"breaker": {"failures": 5}}},
            "errors.breaker.openSeconds": {"errors": {"breaker": {"openSeconds": 5}}},
            "errors.deadLetterTopic": {"errors": {"deadLetterTopic": self.letters}},
            "expireAfterSeconds": {"expireAfterSeconds": 3_600},
            "observability.logLevel": {"observability": {"logLevel": "DEBUG"}},
            "observability.perStationSeries": {"observability": {"perStationSeries": True}},
            "observability.maxStationSeries": {"observability": {"maxStationSeries": 7}},
        }

    def _inputs_that_lose_no_record(self, late: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        wider = ["stationId", "number", "a"]
        changes: dict[str, list[dict[str, Any]]] = {
            "topic": [*self._input(), dict(late)],
            "fields": self._input(fields=wider),
            "arrays": self._input(fields=wider, arrays=["a"]),
            "aliases": self._input(aliases={"number": ["nr"]}),
            "dtypes": self._input(dtypes={"number": "float32"}),
            "windowSize": self._input(windowSize=30),
            "stationKey.fields": self._input(stationKey={"fields": ["stationId"]}),
            "trigger": [*self._input(), {**late, "trigger": False}],
            "padding": self._input(padding="Forward"),
            "keepLast": self._input(keepLast=True),
        }
        return {f"inputs[].{field}": {"inputs": inputs} for field, inputs in changes.items()}


def hot_fields() -> Iterator[str]:
    """Every hot field that has no fields of its own, without the root."""
    known = shape.field_changes()
    for path, change in known.items():
        if change is Change.HOT and not any(each.startswith((f"{path}.", f"{path}[].")) for each in known):
            yield path.removeprefix(f"{shape.ROOT}.")


def test_every_hot_field_is_applied_by_all_workers_without_a_restart(
    scenarios: Scenarios, report: Report
) -> None:
    edited = Edited(scenarios("hot edits"))
    numbered = edited.numbered
    edited.start()
    before = numbered.containers()
    quiet, streamed = edited.fields_that_change_what_comes_out(), edited.fields_that_lose_no_record()
    assert {*quiet, *streamed} == {*hot_fields()}

    for changes in quiet.values():
        edited.edit(**changes)
    edited.edit(expireAfterSeconds=700)  # as at first again, in all that matters to the outputs
    numbered.send_steadily()
    for changes in [*streamed.values(), *({"expireAfterSeconds": 800 + n} for n in range(EDITS))]:
        numbered.until_more_outputs(BETWEEN)
        edited.edit(**changes)
        if len(edited.seconds) == EDITS:
            break
    found = numbered.conclude()

    report["hot_edits"] = len(edited.seconds)
    report["hot_edit_p50_seconds"] = round(percentile(edited.seconds, 50), 3)
    report["hot_edit_p99_seconds"] = round(percentile(edited.seconds, 99), 3)
    assert found == NOTHING_WRONG
    assert numbered.containers() == before
    told = [reason for reason, _ in numbered.module.events()]
    assert "RollingEdit" not in told
    assert len(edited.seconds) == EDITS


def test_a_bad_hot_edit_is_told_and_the_old_configuration_goes_on(scenarios: Scenarios) -> None:
    numbered = scenarios("bad hot edit")
    numbered.run()
    before = numbered.containers()
    numbered.apply(callback={"source": "def callback(:\n"})
    refused = numbered.module.until_condition("ConfigApplied", "False", "Refused")
    assert "callback.source" in refused["message"]
    numbered.until_more_outputs(BETWEEN)
    row = numbered.columns()
    assert (row["PHASE"], row["READY"], row["CONFIG"]) == ("Degraded", "1/1", "0/1")
    numbered.apply()
    numbered.module.until_phase("Running")
    assert numbered.conclude() == NOTHING_WRONG
    assert numbered.containers() == before


def test_a_rolling_edit_replaces_one_worker_after_the_other(scenarios: Scenarios) -> None:
    numbered = scenarios("rolling edit")
    numbered.run(workers={"replicas": 2})
    before = numbered.containers()
    numbered.apply(workers={"replicas": 2}, observability={"logFormat": "json"})
    numbered.module.until_settled(seconds=120)
    found = numbered.conclude()
    assert not {*before} & {*numbered.containers()}
    edits = [message for reason, message in numbered.module.events() if reason == "RollingEdit"]
    assert [message.split(":")[0] for message in edits] == ["shard 0", "shard 1"]
    assert (found.lost, found.doubled_unmarked, found.wrong_windows) == ([], 0, [])
    assert found.doubled == 0, "a worker that is asked to end commits what it has answered"
    row = numbered.columns()
    assert (row["PHASE"], row["READY"], row["CONFIG"]) == ("Running", "2/2", "2/2")

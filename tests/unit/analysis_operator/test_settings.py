"""The operator's settings: their defaults, every problem with its mend, and what decisions get of them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from analysis_module import errors, spec
from analysis_operator import settings
from analysis_operator.decisions.options import Options
from analysis_operator.settings import Settings

BAD: dict[str, tuple[Any, str]] = {
    "no object": ([], "settings: is an empty list, not an object; give an object"),
    "a text": ("x", "settings: is text, not an object"),
    "an unknown field": (
        {"concurency": 4},
        "settings.concurency: there is no such field; did you mean concurrency?",
    ),
    "too few passes": (
        {"concurrency": 0},
        "settings.concurrency: 0 is less than 1; give a number from 1 to 256",
    ),
    "a text for a number": ({"statusSeconds": "15s"}, 'settings.statusSeconds: is "15s", not a number'),
    "a namespace for a list": ({"namespaces": "default"}, "settings.namespaces: is"),
    "a lease of no name": ({"leaseName": "Not A Name"}, "settings.leaseName: "),
    "a log level": ({"logLevel": "LOUD"}, "settings.logLevel: is"),
    "a rollout of nothing": ({"workers": {"rollout": 0}}, "settings.workers.rollout: 0 is less than 1"),
    "a pull policy": (
        {"workers": {"imagePullPolicy": "Sometimes"}},
        'settings.workers.imagePullPolicy: "Sometimes" is not a pull policy; give Always, IfNotPresent',
    ),
    "resources": (
        {"workers": {"resources": {"limits": {"memory": "1 GB"}}}},
        'settings.workers.resources.limits.memory: "1 GB" is not a quantity; write it as 500m, 2 or 1Gi',
    ),
    "resources of another shape": (
        {"workers": {"resources": {"limits": "1Gi"}}},
        "settings.workers.resources.limits: is text, not an object",
    ),
    "a protocol": ({"kafka": {"security": {"protocol": "TLS"}}}, "settings.kafka.security.protocol: is"),
    "half a credential": (
        {"kafka": {"security": {"protocol": "SASL_SSL", "mechanism": "PLAIN"}}},
        "settings.kafka.security.username: is missing, which PLAIN needs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_is_told_with_its_place_and_its_mend(name: str) -> None:
    document, said = BAD[name]
    with pytest.raises(errors.InvalidSpec) as raised:
        settings.read(document)
    assert any(str(problem).startswith(said) for problem in raised.value.problems)
    assert all(problem.mend for problem in raised.value.problems)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(errors.InvalidSpec) as raised:
        settings.read({"concurrency": 0, "leaseName": "?", "workers": {"imagePullPolicy": "x"}})
    assert len(raised.value.problems) == 3


def test_nothing_said_is_the_defaults() -> None:
    assert settings.read({}) == settings.load(None) == Settings()
    assert Settings().options == Options()


def test_decisions_get_all_that_concerns_them() -> None:
    made = settings.read(
        {
            "kafka": {
                "bootstrapServers": "a:1, b:2",
                "security": {"protocol": "SSL"},
                "producer": {"acks": "all"},
            },
            "workers": {
                "image": "worker:2",
                "imagePullPolicy": "Always",
                "imagePullSecrets": ["registry"],
                "resources": {"limits": {"cpu": 1}},
                "networkPolicy": False,
                "rollOnUpgrade": True,
                "rollout": 3,
            },
            "allowInlineSource": False,
            "statusSeconds": 5,
        }
    ).options
    assert made == Options(
        worker_image="worker:2",
        image_pull_policy="Always",
        image_pull_secrets=("registry",),
        kafka={
            "bootstrapServers": ["a:1", "b:2"],
            "security": {"protocol": "SSL"},
            "producer": {"acks": "all"},
        },
        allow_inline_source=False,
        network_policy=False,
        resources={"limits": {"cpu": 1}},
        roll_on_upgrade=True,
        status_seconds=5.0,
        rollout=3,
    )
    assert {field.name for field in dataclasses.fields(Options)} == set(vars(made))


def test_the_operators_own_fields_are_read() -> None:
    made = settings.read(
        {"namespaces": ["a", "b"], "leaseName": "mine", "logLevel": "DEBUG", "resyncSeconds": 30}
    )
    assert (made.namespaces, made.lease_name, made.log_level) == (("a", "b"), "mine", spec.LogLevel.DEBUG)
    assert made.resync_seconds == 30


class TestAFile:
    def test_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_text("concurrency: 4\n")
        assert settings.load(path).concurrency == 4

    def test_that_is_empty_is_the_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_text("")
        assert settings.load(path) == Settings()

    def test_that_is_no_yaml_is_told_with_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_text("a: 1\nb: [\n")
        with pytest.raises(
            errors.InvalidSpec, match=r"settings.yaml: is not YAML at line 3; mend the text there"
        ):
            settings.load(path)

    def test_that_is_no_text_is_told_too(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.yaml"
        path.write_bytes(b"\xff\xfe\xfa")
        with pytest.raises(errors.InvalidSpec, match="is not YAML"):
            settings.load(path)

    def test_that_is_not_there_is_the_callers(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="nowhere"):
            settings.load(tmp_path / "nowhere.yaml")

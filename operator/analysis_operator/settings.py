"""The operator's settings: a YAML file (the chart's ConfigMap) as frozen data, or all its problems."""
# ruff: noqa: RUF009  (setting() makes a field, not a value)

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from analysis_module import errors, findings, forms, reading, spec, wording
from analysis_operator.decisions import overlays
from analysis_operator.decisions.options import Options

ROOT = "settings"


@dataclasses.dataclass(frozen=True, kw_only=True)
class KafkaDefaults:
    """What stands in for a module's own `spec.kafka`, key by key."""

    bootstrap_servers: tuple[str, ...] = spec.setting((), change=spec.NONE, comma=True)
    security: spec.Security | None = spec.setting(None, change=spec.NONE)
    consumer: Mapping[str, Any] = spec.setting(dict, change=spec.NONE)
    producer: Mapping[str, Any] = spec.setting(dict, change=spec.NONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerDefaults:
    """What workers get where a module does not say."""

    image: str = spec.setting("analysis-worker:0.1.0", change=spec.NONE)
    image_pull_policy: str = spec.setting("IfNotPresent", change=spec.NONE)
    image_pull_secrets: tuple[str, ...] = spec.setting((), change=spec.NONE)
    resources: Mapping[str, Any] = spec.setting(dict, change=spec.NONE)
    network_policy: bool = spec.setting(True, change=spec.NONE)
    roll_on_upgrade: bool = spec.setting(False, change=spec.NONE)
    rollout: int = spec.setting(1, change=spec.NONE, minimum=1, maximum=1000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole file; `namespaces` empty means all of them."""

    namespaces: tuple[str, ...] = spec.setting((), change=spec.NONE)
    kafka: KafkaDefaults = spec.setting(KafkaDefaults, change=spec.NONE)
    workers: WorkerDefaults = spec.setting(WorkerDefaults, change=spec.NONE)
    allow_inline_source: bool = spec.setting(True, change=spec.NONE)
    concurrency: int = spec.setting(16, change=spec.NONE, minimum=1, maximum=256)
    status_seconds: float = spec.setting(15.0, change=spec.NONE, minimum=1, maximum=3600)
    resync_seconds: float = spec.setting(60.0, change=spec.NONE, minimum=1, maximum=3600)
    lease_name: str = spec.setting("analysis-operator", change=spec.NONE, pattern=forms.DNS_NAME)
    log_level: spec.LogLevel = spec.setting(spec.LogLevel.INFO, change=spec.NONE)

    @property
    def options(self) -> Options:
        """What decisions depend on."""
        workers = self.workers
        given: dict[str, Any] = {"resources": workers.resources} if workers.resources else {}
        return Options(
            worker_image=workers.image,
            image_pull_policy=workers.image_pull_policy,
            image_pull_secrets=workers.image_pull_secrets,
            kafka=_kafka_document(self.kafka),
            allow_inline_source=self.allow_inline_source,
            network_policy=workers.network_policy,
            roll_on_upgrade=workers.roll_on_upgrade,
            rollout=workers.rollout,
            status_seconds=self.status_seconds,
            **given,
        )


def read(document: object) -> Settings:
    """Read settings; raises InvalidSpec with all problems."""
    found = findings.Findings()
    read_settings: Settings = reading.read_part(Settings, document, ROOT, found)
    for problem in overlays.resource_problems(read_settings.workers.resources, f"{ROOT}.workers.resources"):
        found.add(problem.path, problem.wrong, problem.mend)
    if read_settings.workers.image_pull_policy not in ("Always", "IfNotPresent", "Never"):
        wrong = f"{wording.shown(read_settings.workers.image_pull_policy)} is not a pull policy"
        found.add(f"{ROOT}.workers.imagePullPolicy", wrong, "give Always, IfNotPresent or Never")
    found.close()
    return read_settings


def load(path: pathlib.Path | None) -> Settings:
    """Read a settings file, None for the defaults; raises InvalidSpec, and OSError if it cannot be read."""
    if path is None:
        return Settings()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where is not None else ""
        problem = errors.Problem(str(path), f"is not YAML{line}", "mend the text there")
        raise errors.InvalidSpec([problem]) from error
    return read(document or {})


def _kafka_document(kafka: KafkaDefaults) -> dict[str, Any]:
    return reading.write_part(kafka)

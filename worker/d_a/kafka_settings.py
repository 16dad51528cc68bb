"""KAFKA_CONFIG, nested or flat, as two validated sections with the guide's names (seed system 4.4 and 6)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from analysis_module import errors, findings, reading, spec, wording

SECURITY: Final = frozenset(
    {
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_username",
        "sasl_plain_password",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_check_hostname",
    }
)
_BOTH: Final = SECURITY | {
    "bootstrap_servers",
    "client_id",
    "request_timeout_ms",
    "metadata_max_age_ms",
    "connections_max_idle_ms",
    "retry_backoff_ms",
}
CONSUMER: Final = _BOTH | {
    "group_id",
    "auto_offset_reset",
    "enable_auto_commit",
    "auto_commit_interval_ms",
    "max_poll_records",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "max_poll_interval_ms",
    "fetch_min_bytes",
    "fetch_max_bytes",
    "fetch_max_wait_ms",
    "max_partition_fetch_bytes",
    "multi_consumer_mode",
    "isolation_level",
    "check_crcs",
    "client_rack",
}
PRODUCER: Final = _BOTH | {
    "acks",
    "retries",
    "compression_type",
    "linger_ms",
    "batch_size",
    "max_in_flight_requests_per_connection",
    "buffer_memory",
    "max_request_size",
    "enable_idempotence",
}
_SECTIONS: Final = {"consumer": CONSUMER, "producer": PRODUCER}
_COUNTS: Final = frozenset(
    {
        "max_poll_records",
        "retries",
        "batch_size",
        "buffer_memory",
        "max_request_size",
        "max_in_flight_requests_per_connection",
    }
)
_SWITCHES: Final = frozenset(
    {"enable_auto_commit", "check_crcs", "enable_idempotence", "multi_consumer_mode", "ssl_check_hostname"}
)
_CHOICES: Final[Mapping[str, tuple[Any, ...]]] = {
    "acks": ("all", -1, 0, 1),
    "compression_type": ("none", "gzip", "snappy", "lz4", "zstd"),
    "isolation_level": ("read_uncommitted", "read_committed"),
    "security_protocol": tuple(protocol.value for protocol in spec.SecurityProtocol),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}
_SPELLINGS: Final = {
    "bootstrap_servers": "bootstrapServers",
    "group_id": "groupId",
    "auto_offset_reset": "autoOffsetReset",
}
"""The keys that the AnalysisModule resource has too: its reader checks them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Each section has its own keys and those of the top level. It holds secrets: never log it."""

    consumer: Mapping[str, Any] = dataclasses.field(repr=False)
    producer: Mapping[str, Any] = dataclasses.field(repr=False)
    group_id: str
    bootstrap_servers: tuple[str, ...]
    auto_offset_reset: spec.AutoOffsetReset
    warnings: tuple[str, ...] = ()


def read(
    document: object, path: str, found: findings.Findings, *, needs_group: bool = True
) -> KafkaSettings | None:
    """Read KAFKA_CONFIG; what is wrong goes to `found`, and then the result is None."""
    own = findings.Findings()
    settings = _read(document, path, own, ("bootstrap_servers", "group_id")[: 1 + needs_group])
    try:
        own.close()
    except errors.InvalidSpec as error:
        for problem in error.problems:
            found.add(problem.path, problem.wrong, problem.mend)
        return None
    return settings


def _read(
    document: object, path: str, found: findings.Findings, needed: Sequence[str]
) -> KafkaSettings | None:
    if not isinstance(document, Mapping):
        wrong = "is missing" if document is None else f"is {wording.kind(document)}, not an object"
        found.add(path, wrong, "give bootstrap_servers and the sections consumer and producer")
        return None
    sections = {name: _Section(name, document, path, found) for name in _SECTIONS}
    for section in sections.values():
        section.check(needed)
    consumer, producer = sections["consumer"], sections["producer"]
    shared = consumer.resource_part(("bootstrap_servers", "group_id", "auto_offset_reset"))
    if producer.values.get("bootstrap_servers") != consumer.values.get("bootstrap_servers"):
        producer.resource_part(("bootstrap_servers",))
    return KafkaSettings(
        consumer={**consumer.values, "bootstrap_servers": shared.bootstrap_servers},
        producer=producer.values,
        group_id=shared.group_id or "",
        bootstrap_servers=shared.bootstrap_servers,
        auto_offset_reset=shared.auto_offset_reset,
        warnings=_ignored(document, sections.values(), path),
    )


class _Section:
    """The settings of one client: those of its section first, then those of the top level."""

    def __init__(self, name: str, document: Mapping[Any, Any], path: str, found: findings.Findings) -> None:
        self._top, self._path, self._found = path, f"{path}.{name}", found
        self._known = _SECTIONS[name]
        held = document.get(name)
        if held is not None and not isinstance(held, Mapping):
            found.add(self._path, f"is {wording.kind(held)}, not an object", "give an object of settings")
        self._held: Mapping[Any, Any] = held if isinstance(held, Mapping) else {}
        flat = {key: value for key, value in document.items() if key in self._known}
        merged = {**flat, **{key: value for key, value in self._held.items() if key in self._known}}
        self.values: dict[str, Any] = {key: value for key, value in merged.items() if value is not None}
        self.unknown = [f"{name}.{key}" for key in self._held if key not in self._known]
        servers = self.values.get("bootstrap_servers")
        if isinstance(servers, str):
            self.values["bootstrap_servers"] = tuple(t.strip() for t in servers.split(",") if t.strip())
        elif isinstance(servers, list | tuple):
            self.values["bootstrap_servers"] = tuple(servers)

    def where(self, key: str) -> str:
        """The path of a key: in the section if it stands there, else at the top."""
        return f"{self._path}.{key}" if key in self._held else f"{self._top}.{key}"

    def check(self, needed: Sequence[str]) -> None:
        """Find the values that no client could use, and those of `needed` that are missing."""
        for key in needed:
            if key in self._known and not self.values.get(key):
                example = "kafka:9092" if key == "bootstrap_servers" else "data_analysis_group"
                self._found.add(self.where(key), "is missing", f"give it, as in {example}")
        for key, value in self.values.items():
            wanted = _fault(key, value)
            if wanted is not None and (value or key not in needed):
                told = wording.kind(value) if key in SECURITY else wording.shown(value)
                self._found.add(self.where(key), f"is {told}", f"give {wanted}")
        if str(self.values.get("security_protocol", "")).startswith("SASL"):
            for key in ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
                if not self.values.get(key):
                    wrong = f"is missing, which {self.values['security_protocol']} needs"
                    self._found.add(self.where(key), wrong, "give it beside security_protocol")

    def resource_part(self, keys: Iterable[str]) -> spec.Kafka:
        """Read keys that the resource has too, with its own reader."""
        found = findings.Findings()
        document = {_SPELLINGS[key]: self.values[key] for key in keys if self.values.get(key)}
        part: spec.Kafka = reading.read_part(spec.Kafka, document, "kafka", found)
        try:
            found.close()
        except errors.InvalidSpec as error:
            for problem in error.problems:
                self._found.add(self._respelt(problem.path), problem.wrong, problem.mend)
        return part

    def _respelt(self, path: str) -> str:
        inner = path.removeprefix("kafka.")
        for key, spelling in _SPELLINGS.items():
            if inner.startswith(spelling):
                return self.where(key) + inner.removeprefix(spelling)
        return f"{self._path}.{inner}"


def _fault(key: str, value: Any) -> str | None:
    """What a key wants instead of this value; None if the value will do."""
    if key in _CHOICES:
        fits = value in _CHOICES[key] and not isinstance(value, bool)
        return None if fits else wording.one_of(list(_CHOICES[key]))
    if key in _SWITCHES:
        return None if isinstance(value, bool) else "true or false"
    number = not isinstance(value, bool) and isinstance(value, int)
    if key in _COUNTS or key.endswith("_bytes"):
        return None if number and value >= 0 else "a whole number of 0 or more"
    if key.endswith("_ms"):
        return None if number and value >= 0 else "a whole number of milliseconds"
    if key in SECURITY or key in ("group_id", "client_id", "client_rack"):
        return None if isinstance(value, str) and value else "a text"
    return None


def _ignored(document: Mapping[Any, Any], sections: Iterable[_Section], path: str) -> tuple[str, ...]:
    """One warning for all the keys that no client knows, such as those of Java clients."""
    known = CONSUMER | PRODUCER | set(_SECTIONS)
    unknown = [str(key) for key in document if key not in known]
    for section in sections:
        unknown += section.unknown
    if not unknown:
        return ()
    verb = "is not a setting" if len(unknown) == 1 else "are not settings"
    return (f"{path}: {', '.join(unknown)} {verb} of these clients and ignored",)


def resource_part(settings: KafkaSettings, group_id: str) -> spec.Kafka:
    """The settings as the resource's, without secrets: those go to the connection alone."""
    return spec.Kafka(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=group_id,
        auto_offset_reset=settings.auto_offset_reset,
        consumer=_overrides(settings.consumer),
        producer=_overrides(settings.producer),
    )


def _overrides(section: Mapping[str, Any]) -> dict[str, Any]:
    apart = SECURITY | set(_SPELLINGS)
    return {key: value for key, value in section.items() if key not in apart}

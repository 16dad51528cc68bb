"""What a user asks of one module: the `spec` of an AnalysisModule as frozen types.

Every field carries, as data, the change class that an edit of it has on running workers and the bounds
that reading checks. JSON names are the camelCase of the attribute names. Defaults here are the defaults
of the CRD's schema.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from analysis_module import declaring, forms

Change = declaring.Change
setting = declaring.setting
HOT, ROLLING, RECREATE, NONE = Change.HOT, Change.ROLLING, Change.RECREATE, Change.NONE


class Scope(enum.StrEnum):
    """Whose data a topic's records are: one station's, or every station's."""

    STATION = "Station"
    GLOBAL = "Global"


class Padding(enum.StrEnum):
    """How a window shorter than its size is filled (seed system 5.2)."""

    ZERO = "Zero"
    LINEAR = "Linear"
    FORWARD = "Forward"
    MISSING = "Missing"


class TriggerPolicy(enum.StrEnum):
    """Which records of a station get a callback of their own."""

    EVERY_RECORD = "EveryRecord"
    LATEST = "Latest"
    INTERVAL = "Interval"


class Routing(enum.StrEnum):
    """Which partitions a shard reads: all of them, or only those numbered like its slots."""

    FILTERED = "Filtered"
    ALIGNED = "Aligned"


class Delivery(enum.StrEnum):
    """Each output at least once, or once for readers of what is committed."""

    AT_LEAST_ONCE = "AtLeastOnce"
    EXACTLY_ONCE = "ExactlyOnce"


class InputFormat(enum.StrEnum):
    """What a callback gets as a window: a read-only view on numpy columns, or a plain list."""

    NUMPY = "numpy"
    LIST = "list"


class SecurityProtocol(enum.StrEnum):
    """Kafka's `security.protocol`."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(enum.StrEnum):
    """Kafka's `sasl.mechanism`."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class AutoOffsetReset(enum.StrEnum):
    """Where a slot without progress starts to read."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Envelope(enum.StrEnum):
    """Names used in an output record (seed system 5.4)."""

    STANDARD = "standard"
    V1_0 = "v1.0"


class Profile(enum.StrEnum):
    """Which names of the catalogue's fields are the keys of `module_input` (seed system 2.3)."""

    STANDARD = "standard"
    V1_1 = "v1.1"


class LogFormat(enum.StrEnum):
    """The guide's text lines, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


class LogLevel(enum.StrEnum):
    """The least severe lines that are written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class TopicStyle(enum.StrEnum):
    """How a module's name is spelt in its output topic (seed system 3.1)."""

    HYPHEN = "hyphen"
    UNDERSCORE = "underscore"


class Dtype(enum.StrEnum):
    """The width of a numeric column."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"


STATION_ID_FIELDS = ("stationId", "hostId", "meterId", "station_id", "host_id", "hostCode", "meter_id")
"""Where a record's station id is looked for (seed system 2.1), in order."""

REMAINING_FIELDS = "..."
"""In an input's fields: the catalogue's remaining ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretSource:
    """Where a secret's text is read from; exactly one of: a Secret's key, a file, an environment variable."""

    secret_name: str | None = setting(
        None, change=ROLLING, pattern=forms.DNS_NAME, doc="Name of a Secret in the module's namespace."
    )
    key: str | None = setting(None, change=ROLLING, pattern=forms.KEY, doc="Key in that Secret.")
    file: str | None = setting(None, change=ROLLING, doc="Path of a file that holds the text.")
    env: str | None = setting(None, change=ROLLING, pattern=forms.VARIABLE, doc="The worker's variable.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Security:
    """How a worker proves who it is to Kafka, and how it knows the brokers."""

    protocol: SecurityProtocol = setting(SecurityProtocol.PLAINTEXT, change=ROLLING)
    mechanism: SaslMechanism | None = setting(None, change=ROLLING, doc="Needed with SASL_*.")
    username: SecretSource | None = setting(None, change=ROLLING)
    password: SecretSource | None = setting(None, change=ROLLING)
    token: SecretSource | None = setting(None, change=ROLLING, doc="Bearer token, for OAUTHBEARER.")
    ca: SecretSource | None = setting(None, change=ROLLING, doc="CA certificates, PEM.")
    certificate: SecretSource | None = setting(None, change=ROLLING, doc="Client certificate, PEM.")
    private_key: SecretSource | None = setting(None, change=ROLLING, doc="Client key, PEM.")
    check_hostname: bool = setting(True, change=ROLLING, doc="The certificate must name the broker.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kafka:
    """The cluster, the group whose progress this module keeps, and client settings by the guide's names."""

    bootstrap_servers: tuple[str, ...] = setting((), change=ROLLING, comma=True, doc="host:port each.")
    group_id: str | None = setting(None, change=RECREATE, pattern=forms.NAME, doc="Default: the module.")
    auto_offset_reset: AutoOffsetReset = setting(AutoOffsetReset.LATEST, change=ROLLING)
    security: Security = setting(Security, change=ROLLING)
    consumer: Mapping[str, Any] = setting(dict, change=ROLLING, doc="Overrides, the guide's names.")
    producer: Mapping[str, Any] = setting(dict, change=ROLLING, doc="Overrides, the guide's names.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stations:
    """Which stations the module runs for: ids or globs; an empty include means all."""

    include: tuple[str, ...] = setting((), change=HOT, doc="Ids or globs; none: all stations.")
    exclude: tuple[str, ...] = setting((), change=HOT, doc="Ids or globs; wins over include.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StationKey:
    """How a record names its station: the first present field, and optionally `via` another topic."""

    fields: tuple[str, ...] = setting(STATION_ID_FIELDS, change=HOT, doc="The first with a value.")
    via: str | None = setting(
        None, change=HOT, pattern=forms.TOPIC, doc="Topic whose records lead from device ids to stationId."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """One topic that the module reads; what is absent comes from the catalogue."""

    topic: str = setting(change=HOT, pattern=forms.TOPIC, doc="A topic of the catalogue, or any.")
    fields: tuple[str, ...] | None = setting(None, change=HOT, doc="'...' = the catalogue's remaining ones.")
    arrays: tuple[str, ...] = setting((), change=HOT, doc="Fields whose value is a list by nature.")
    aliases: Mapping[str, tuple[str, ...]] = setting(dict, change=HOT, doc="Other names a field comes under.")
    dtypes: Mapping[str, Dtype] = setting(dict, change=HOT, doc="Width of a number: float64 if not said.")
    window_size: int | None = setting(None, change=HOT, minimum=1, maximum=10_000_000, doc="Records kept.")
    station_key: StationKey = setting(StationKey, change=HOT)
    scope: Scope | None = setting(None, change=HOT)
    trigger: bool | None = setting(None, change=HOT, doc="Default: true, false for a Global topic.")
    padding: Padding | None = setting(None, change=HOT, doc="Default: the module's.")
    routing: Routing | None = setting(None, change=ROLLING, doc="Default: the module's.")
    keep_last: bool | None = setting(
        None,
        change=HOT,
        doc="Keep the newest records in a topic of the module's own: for topics written more seldom than "
        "they are retained. Default: the catalogue's.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dependency:
    """A module whose outputs are joined, newest last."""

    module: str = setting(change=HOT, pattern=forms.NAME, doc="The module whose outputs are joined.")
    topic: str | None = setting(None, change=HOT, pattern=forms.TOPIC, doc="Default: its output topic.")
    window_size: int = setting(12, change=HOT, minimum=1, maximum=10_000, doc="Outputs kept per station.")
    trigger: bool = setting(True, change=HOT, doc="Whether its outputs ask for callbacks.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trigger:
    """When a callback runs."""

    policy: TriggerPolicy = setting(TriggerPolicy.EVERY_RECORD, change=HOT)
    interval_seconds: float | None = setting(
        None, change=HOT, minimum=0.001, maximum=86_400, doc="Least time from one callback to the next."
    )
    required_topics: tuple[str, ...] = setting((), change=HOT, doc="No callback until each has a record.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigMapRef:
    """A file in a ConfigMap, mounted into the worker."""

    name: str = setting(change=HOT, pattern=forms.DNS_NAME, doc="A ConfigMap of the module's namespace.")
    key: str = setting("callback.py", change=HOT, pattern=forms.KEY, doc="The key that holds the file.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callback:
    """The user's function; at most one of entrypoint, config_map_ref, file, source. None: inputs go out."""

    entrypoint: str | None = setting(None, change=HOT, pattern=forms.ENTRYPOINT, doc="pkg.mod:function")
    config_map_ref: ConfigMapRef | None = setting(None, change=HOT)
    file: str | None = setting(None, change=HOT, doc="Path of a Python file.")
    source: str | None = setting(None, change=HOT, maximum=1_000_000, doc="Python text that defines it.")
    function: str = setting(
        "callback", change=HOT, pattern=forms.FUNCTION, doc="Its name in the file or source."
    )
    timeout_seconds: float = setting(60.0, change=HOT, minimum=0.001, maximum=86_400, doc="Of one call.")
    concurrency: int = setting(32, change=HOT, minimum=1, maximum=1024, doc="Calls at once, per worker.")
    input_format: InputFormat = setting(InputFormat.NUMPY, change=HOT)
    parameters: Mapping[str, Any] = setting(dict, change=HOT, doc="Handed to the callback as `parameters`.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """Where results go; the record's key is the station id."""

    enabled: bool = setting(True, change=HOT, doc="Whether results go to Kafka.")
    topic: str | None = setting(None, change=HOT, pattern=forms.TOPIC, doc="Default: by the module's name.")
    topic_style: TopicStyle | None = setting(
        None, change=HOT, doc="Default: hyphen; underscore in the profile v1.1."
    )
    envelope: Envelope = setting(Envelope.STANDARD, change=HOT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Breaker:
    """Per-station circuit breaker: after `failures` in a row, no call for `open_seconds`, then one probe."""

    failures: int = setting(0, change=HOT, minimum=0, maximum=1_000_000, doc="0 = never opens.")
    open_seconds: float = setting(60.0, change=HOT, minimum=0.001, maximum=86_400, doc="Time without calls.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Errors:
    """What happens when a callback raises, or a record is bad."""

    retries: int = setting(0, change=HOT, minimum=0, maximum=100, doc="Further calls after a failed one.")
    backoff_seconds: float = setting(
        1.0, change=HOT, minimum=0.0, maximum=3_600, doc="Before the first retry."
    )
    max_backoff_seconds: float = setting(30.0, change=HOT, minimum=0.0, maximum=86_400, doc="Longest wait.")
    breaker: Breaker = setting(Breaker, change=HOT)
    dead_letter_topic: str | None = setting(
        None, change=HOT, pattern=forms.TOPIC, doc="Default: <groupId>-dead-letters."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Partitioning:
    """How stations are owned."""

    slots: int = setting(64, change=RECREATE, minimum=1, maximum=4096, doc="Shares of the stations.")
    routing: Routing = setting(Routing.FILTERED, change=ROLLING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshots:
    """Copies of the windows' files, so that a worker on another node need not rewind the topics."""

    url: str | None = setting(
        None, change=ROLLING, pattern=forms.SNAPSHOTS, doc="Where copies go; none: no snapshots."
    )
    interval_seconds: float = setting(
        900.0, change=ROLLING, minimum=1, maximum=86_400, doc="From one snapshot to the next."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Windows kept in files beside the worker, so that a restart need not rewind the topics."""

    enabled: bool = setting(True, change=ROLLING, doc="Whether windows are kept in files.")
    max_bytes: int = setting(
        10 * 2**30,
        change=ROLLING,
        minimum=2**20,
        maximum=2**50,
        doc="Most bytes of files per worker; windows beyond them are rebuilt from Kafka.",
    )
    snapshots: Snapshots = setting(Snapshots, change=ROLLING)


UNSHOWN = (SecretSource, Snapshots)
"""Parts in which somebody may write a secret: no message shows a text of theirs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """Bounds and target of the number of workers."""

    min_replicas: int = setting(1, change=NONE, minimum=1, maximum=1000, doc="Fewest workers.")
    max_replicas: int = setting(1, change=NONE, minimum=1, maximum=1000, doc="Most workers.")
    target_lag: int = setting(
        10_000, change=NONE, minimum=1, maximum=1_000_000_000_000, doc="Unread records per worker to aim at."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workers:
    """The pods that run the module."""

    replicas: int = setting(1, change=NONE, minimum=0, maximum=1000, doc="Number of workers.")
    image: str | None = setting(None, change=ROLLING, doc="Default: the operator's worker image.")
    resources: Mapping[str, Any] = setting(dict, change=ROLLING, doc="The container's requests and limits.")
    pod_template: Mapping[str, Any] = setting(dict, change=ROLLING, doc="Laid over the pod's template.")
    autoscaling: Autoscaling | None = setting(None, change=NONE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observability:
    """Logs and metrics of the workers."""

    log_level: LogLevel = setting(LogLevel.INFO, change=HOT)
    log_format: LogFormat = setting(LogFormat.TEXT, change=ROLLING)
    per_station_series: bool = setting(False, change=HOT, doc="Metrics per station too.")
    max_station_series: int = setting(100, change=HOT, minimum=0, maximum=100_000, doc="Stations shown.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleSpec:
    """The whole `spec` of an AnalysisModule."""

    module: str = setting(change=RECREATE, pattern=forms.NAME, doc="Of the catalogue, or any name.")
    profile: Profile = setting(Profile.STANDARD, change=ROLLING)
    kafka: Kafka = setting(Kafka, change=ROLLING)
    stations: Stations = setting(Stations, change=HOT)
    inputs: tuple[Input, ...] | None = setting(None, change=HOT, doc="Default: the catalogue's.")
    dependencies: tuple[Dependency, ...] | None = setting(None, change=HOT, doc="Default: the catalogue's.")
    padding: Padding = setting(Padding.ZERO, change=HOT)
    trigger: Trigger = setting(Trigger, change=HOT)
    callback: Callback = setting(Callback, change=HOT)
    output: Output = setting(Output, change=HOT)
    delivery: Delivery = setting(Delivery.AT_LEAST_ONCE, change=ROLLING)
    errors: Errors = setting(Errors, change=HOT)
    expire_after_seconds: float = setting(
        600.0, change=HOT, minimum=0.001, maximum=1_000_000_000, doc="Unseen so long, a station is dropped."
    )
    partitioning: Partitioning = setting(Partitioning, change=RECREATE)
    state: State = setting(State, change=ROLLING)
    workers: Workers = setting(Workers, change=NONE)
    observability: Observability = setting(Observability, change=HOT)
    suspend: bool = setting(False, change=NONE, doc="Stop the workers; progress is kept.")

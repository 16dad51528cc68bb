"""Every string that the operator, the worker and their dashboards must spell alike, owned here once."""

import enum

# The resource.
API_GROUP = "dataanalysis.io"
API_VERSION = "v1alpha1"
API_GROUP_VERSION = f"{API_GROUP}/{API_VERSION}"
KIND = "AnalysisModule"
LIST_KIND = "AnalysisModuleList"
PLURAL = "analysismodules"
SINGULAR = "analysismodule"
SHORT_NAME = "am"
CATEGORY = "streaming"
RESOURCE_NAME_PATTERN = r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?"
"""A DNS label that leaves room in 63 characters for `-<shard>` and more."""
NAMESPACE_PATTERN = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

# Labels and annotations of what the operator makes.
LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_MODULE = f"{API_GROUP}/module"
LABEL_SHARD = f"{API_GROUP}/shard"
ANNOTATION_CONFIG_STAMP = f"{API_GROUP}/config-stamp"
"""On the running pod: a changed value makes the kubelet sync the mounted Assignment at once."""
WORKER_NAME = "analysis-worker"
OPERATOR_NAME = "analysis-operator"

# The worker's HTTP server.
HTTP_PORT = 8001
HTTP_PORT_NAME = "http"
SERVICE_PORT = 8080
METRICS_PATH = "/metrics"
LIVENESS_PATH = "/livez"
READINESS_PATH = "/readyz"
HEALTH_PATH = "/health"
STATUS_PATH = "/status"

# Files in a worker's pod.
ASSIGNMENT_FILE = "assignment.json"
ASSIGNMENT_DIRECTORY = "/etc/analysis/assignment"
ASSIGNMENT_PATH = f"{ASSIGNMENT_DIRECTORY}/{ASSIGNMENT_FILE}"
SECRETS_DIRECTORY = "/etc/analysis/secrets"
CALLBACK_DIRECTORY = "/etc/analysis/callback"
STATE_DIRECTORY = "/var/lib/analysis/state"
STATE_VOLUME = "state"
"""The volume there; a pod template's volume of this name stands in for the operator's."""

# The worker's environment.
ENV_LOG_FILE = "DATA_ANALYSIS_LOG"
ENV_LOG_LEVEL = "LOG_LEVEL"
ENV_INLINE_SOURCE = "DATA_ANALYSIS_INLINE_SOURCE"
"""`off` makes a worker refuse callback code that is not in its image."""

# Headers of the records that a worker writes.
HEADER_OUTPUT_ID = "output-id"
HEADER_DEAD_LETTER_TOPIC = "dead-letter-topic"
HEADER_DEAD_LETTER_PARTITION = "dead-letter-partition"
HEADER_DEAD_LETTER_OFFSET = "dead-letter-offset"
HEADER_DEAD_LETTER_ERROR = "dead-letter-error"
HEADER_DEAD_LETTER_ERROR_TYPE = "dead-letter-error-type"
HEADER_DEAD_LETTER_MODULE = "dead-letter-module"

# Topics.
OUTPUT_TOPIC_PREFIX = "MODULE-OUTPUT-"
STYLE_HYPHEN = "hyphen"
STYLE_UNDERSCORE = "underscore"

# The five metrics of the deployment guide, to the letter; more stand under the same prefix.
METRIC_PREFIX = "data_analysis_"
METRIC_PROCESSED_TOTAL = "data_analysis_processed_total"
METRIC_ERRORS_TOTAL = "data_analysis_errors_total"
METRIC_MEMORY_USAGE = "data_analysis_memory_usage"
METRIC_STATION_COUNT = "data_analysis_station_count"
METRIC_PROCESSING_SECONDS = "data_analysis_processing_seconds"
METRIC_LABEL_ERROR_TYPE = "error_type"


class ConditionType(enum.StrEnum):
    """The conditions in the resource's status."""

    ACCEPTED = "Accepted"
    DEPENDENCIES_READY = "DependenciesReady"
    KAFKA_REACHABLE = "KafkaReachable"
    ASSIGNED = "Assigned"
    READY = "Ready"
    CONFIG_APPLIED = "ConfigApplied"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"


class Phase(enum.StrEnum):
    """The one-word summary of the conditions, for people."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    RUNNING = "Running"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"
    REJECTED = "Rejected"


def output_topic(module: str, style: str = STYLE_HYPHEN, prefix: str = OUTPUT_TOPIC_PREFIX) -> str:
    """Name the topic of a module's outputs (seed system 3.1).

    `hyphen` gives MODULE-OUTPUT-LOAD-PREDICTION, `underscore` MODULE-OUTPUT-LOAD_PREDICTION.
    """
    capitals = module.upper()
    return prefix + (capitals.replace("_", "-") if style == STYLE_HYPHEN else capitals)


def progress_topic(group: str) -> str:
    """Name the compacted topic that holds the next offsets of each slot of a consumer group."""
    return f"{group}-progress"


def dead_letter_topic(group: str) -> str:
    """Name the topic of the records that a consumer group could not take."""
    return f"{group}-dead-letters"


def strays_topic(group: str) -> str:
    """Name the topic that carries records found in another slot's partition to their owner."""
    return f"{group}-strays"


def last_topic(group: str) -> str:
    """Name the compacted topic that holds the newest records of a consumer group's slow topics."""
    return f"{group}-last"


def secret_path(secret: str, key: str) -> str:
    """Give the path in the pod of one key of a mounted Secret."""
    return f"{SECRETS_DIRECTORY}/{secret}/{key}"


def callback_path(key: str) -> str:
    """Give the path in the pod of the callback file that a ConfigMap holds."""
    return f"{CALLBACK_DIRECTORY}/{key}"

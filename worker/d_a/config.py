"""The default configuration: copy this file, edit it, and put it in this one's place, or name it as YAML.

Whoever replaces it may leave out any name: what is absent comes from the catalogue, and a topic or module
that is named replaces that one entry. `TOPIC_TO_MODULES` and `MODULE_TO_TOPICS` are derived when asked for.
"""

from typing import Any

from analysis_module import catalogue, modules, names, topics

KAFKA_CONFIG: dict[str, Any] = {
    "bootstrap_servers": ["localhost:9092"],
    "consumer": {
        "group_id": "data_analysis_group",
        "auto_offset_reset": "latest",
        "max_poll_records": 500,
    },
    "producer": {
        "acks": "all",
        "compression_type": "gzip",
    },
}
"""Nested as here, or flat; each key is looked for in its section first. Each module's group is
`<group_id>.<module>`."""

MODULE_DEPENDENCIES: dict[str, list[str]] = {module.name: list(module.dependencies) for module in modules.ALL}
"""Module -> the modules whose outputs it joins."""

MODULE_OUTPUT_TOPIC_PREFIX = names.OUTPUT_TOPIC_PREFIX
MODULE_OUTPUT_TOPICS: dict[str, str] = {
    module: names.output_topic(module, prefix=MODULE_OUTPUT_TOPIC_PREFIX) for module in MODULE_DEPENDENCIES
}
"""Module -> the topic of its outputs."""

MODULE_OUTPUT_WINDOW_SIZE = catalogue.OUTPUT_WINDOW_SIZE
"""How many outputs of a dependency a module sees."""

TOPIC_DETAIL: dict[str, dict[str, Any]] = {
    topic.name: {
        "fields": [field.name for field in topic.fields],
        "frequency": topic.pushed,
        "modules": list(topic.modules) if topic.standard else [],
        "window_size": topic.window_size,
    }
    for topic in topics.ALL
} | {
    output: {
        "fields": [],
        "frequency": "per callback",
        "modules": [other for other, joined in MODULE_DEPENDENCIES.items() if module in joined],
        "window_size": MODULE_OUTPUT_WINDOW_SIZE,
    }
    for module, output in MODULE_OUTPUT_TOPICS.items()
}
"""Topic -> its fields, how often it is pushed, the modules that read it, and its window in records."""

OFFSET_COMMIT_CONFIG: dict[str, Any] = {
    "commit_interval_seconds": 5.0,
    "commit_batch_size": 100,
    "max_commit_retries": 3,
    "commit_retry_delay": 1.0,
}
"""Progress is committed after so many seconds or records, always after the outputs; retried for ever."""


def __getattr__(name: str) -> Any:
    # Derived at each reading, so that they always agree with the tables above, edited or not.
    if name == "TOPIC_TO_MODULES":
        return {topic: list(detail["modules"]) for topic, detail in TOPIC_DETAIL.items()}
    if name == "MODULE_TO_TOPICS":
        return {
            module: [topic for topic, detail in TOPIC_DETAIL.items() if module in detail["modules"]]
            for module in MODULE_DEPENDENCIES
        }
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

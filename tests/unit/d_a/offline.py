"""The services on Kafka in memory: the worker's clients are replaced, everything else is the real thing."""

from collections.abc import Callable, Mapping
from typing import Any

from analysis_worker import delivery
from d_a import async_service, configuration, core, sync_service
from tests.fakes import kafka as fake_kafka
from tests.infrastructure import waiting

KAFKA = {"bootstrap_servers": "in-memory:1", "group_id": "group", "auto_offset_reset": "earliest"}
TOPIC = "REAL-STATION-DATA"
OUTPUT = "MODULE-OUTPUT-LOAD-PREDICTION"
SETTINGS: dict[str, Any] = {
    "KAFKA_CONFIG": KAFKA,
    "TOPIC_DETAIL": {
        TOPIC: {"fields": ["power"], "frequency": "", "modules": ["load_prediction"], "window_size": 3}
    },
    "MODULE_TO_TOPICS": {"load_prediction": [TOPIC]},
    "OFFSET_COMMIT_CONFIG": {"commit_interval_seconds": 0.05},
}


class _Offline(core.ServiceCore):
    cluster: fake_kafka.FakeKafka

    def _connected(self, configured: configuration.Configuration) -> tuple[delivery.Connector, int]:
        return self.cluster.connector(), 500


class Offline(_Offline, sync_service.DataAnalysisService):
    """The synchronous one."""


class AsyncOffline(_Offline, async_service.AsyncDataAnalysisService):
    """The asynchronous one."""


def cluster(*topics: str) -> fake_kafka.FakeKafka:
    """A cluster with the test's topic, or these."""
    made = fake_kafka.FakeKafka()
    for topic in topics or (TOPIC,):
        made.create_topic(topic)
    return made


def settings(**others: Any) -> dict[str, Any]:
    """The test's configuration with some names replaced."""
    return {**SETTINGS, **others}


def produce(service_: core.ServiceCore, topic: str, *records: Mapping[str, Any]) -> None:
    """Write records on the worker's loop, where the cluster lives."""
    runner = service_._runner
    assert runner is not None
    cluster_ = service_.cluster  # type: ignore[attr-defined]

    async def write() -> None:
        for record in records:
            cluster_.produce(topic, record)

    runner.submit(write()).result(5.0)


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    waiting.until(lambda: bool(condition()), what=what, timeout_seconds=10.0)

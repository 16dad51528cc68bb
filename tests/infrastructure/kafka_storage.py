"""Storage of brokers before their first start: formatted by Kafka's own tool, as KRaft wants it."""

import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.infrastructure import broker_security, broker_settings, kafka_distribution, kafka_starting


def format_all(
    jars: Path, brokers: Sequence[broker_settings.Broker], security: broker_security.Security | None
) -> None:
    """Formats the directories of brokers of one new cluster; raises KafkaDidNotStart."""
    cluster_id = uuid.uuid4().hex[:22]  # Kafka wants 16 bytes as base64: 22 such characters
    options = broker_security.format_options(security) if security else []
    java = kafka_distribution.command(jars, "-XX:TieredStopAtLevel=1")
    tool = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, *options]
    running = [
        subprocess.Popen(
            [*tool, "--config", str(broker.settings_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for broker in brokers
    ]
    printed = [process.communicate()[0] for process in running]
    for process, text in zip(running, printed, strict=True):
        if process.returncode != 0:
            raise kafka_starting.KafkaDidNotStart(f"formatting the storage failed:\n{text[-3000:]}")

"""A real MirrorMaker and Kafka's command-line tools, as a standby site has them."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.infrastructure import guarded_process, kafka_distribution

_CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


class MirrorMaker:
    """`connect-mirror-maker.sh` on a file of settings, while its context is open; its log is beside the file.

    Raises `programs.Unavailable` without Java or Maven.
    """

    def __init__(self, settings: Path) -> None:
        java = kafka_distribution.command(kafka_distribution.tool_jars(), "-Xmx512m")
        self._command = [*java, "org.apache.kafka.connect.mirror.MirrorMaker", str(settings)]
        self._settings = settings
        self._process: guarded_process.GuardedProcess | None = None

    def __enter__(self) -> Self:
        self._process = guarded_process.GuardedProcess(
            self._command,
            log_file=self._settings.with_suffix(".log"),
            scratch=self._settings.with_suffix(".scratch"),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()

    def require_running(self) -> None:
        """Raises AssertionError with the end of its log if it has ended."""
        assert self._process is not None
        assert self._process.is_running(), self._process.log_tail()


def consumer_groups(*arguments: str) -> str:
    """What `kafka-consumer-groups.sh` prints; raises AssertionError if it fails."""
    java = kafka_distribution.command(kafka_distribution.tool_jars(), "-XX:TieredStopAtLevel=1")
    done = subprocess.run([*java, _CONSUMER_GROUPS, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""Workers killed with -9 at points that chance chooses, or frozen and replaced, while records come."""

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.infrastructure import kafka_tools, numbered_stream, waiting
from tests.infrastructure.numbered_stream import NumberedStream
from tests.infrastructure.worker_process import WorkerProcess

SLICE = 250
PATIENCE_SECONDS = 120.0


class Producing(threading.Thread):
    """Writes records slice by slice, as fast as `allowed` lets it."""

    def __init__(self, stream: NumberedStream, sent: Sequence[Any]) -> None:
        super().__init__(daemon=True)
        self.allowed = threading.Semaphore(0)
        self._stream = stream
        self._sent = sent

    def run(self) -> None:
        """The thread."""
        for begin in range(0, len(self._sent), SLICE):
            self.allowed.acquire()
            kafka_tools.produce_all(
                self._stream.bootstrap, self._stream.topic, self._sent[begin : begin + SLICE]
            )


def run_killed(
    stream: NumberedStream,
    sent: Sequence[Any],
    kills: int,
    directory: Path,
    *,
    told: Callable[[int], None] = lambda done: None,
    state: Path | None = None,
    **changes: Any,
) -> None:
    """Run the stream's module until every record has an output, its worker killed so many times meanwhile.

    It is killed once about so many outputs are written as chance says; the records go on coming. At the end
    it is stopped in order. With `state` its windows are kept in files there. `told` hears after each kill how
    many there were.
    """
    chance = random.Random(kills)
    targets = sorted(chance.sample(range(SLICE, len(sent) - SLICE), kills))
    producing = Producing(stream, sent)
    producing.start()
    released = 0
    with WorkerProcess(directory).with_spec(stream.spec(**changes)) as worker:
        if state is not None:
            worker.with_state(state)
        worker.start().wait_until_running()
        for done, target in enumerate([*targets, len(sent)], start=1):
            while released * SLICE < min(len(sent), target + SLICE):
                producing.allowed.release()
                released += 1
            if target < len(sent):
                until_written(stream, target)
                worker.kill()
                worker.start()
                told(done)
        producing.join()
        until_answered(stream, sent)
        worker.stop()


def run_replaced(
    stream: NumberedStream, sent: Sequence[Any], directory: Path, *, seconds: float = 0.0, **changes: Any
) -> str:
    """Run the stream's module by a worker that is frozen in the first third of the records, and by another.

    The other has its owner, and answers the second third; then, `seconds` after it froze at the soonest, the
    frozen one wakes with the last third, and has to end by itself. The other is stopped in order once each
    record has an output. Returns what the frozen one logged.
    """
    third, spec = len(sent) // 3, stream.spec(**changes)
    place = (stream.bootstrap, stream.topic)
    with (
        WorkerProcess(directory, "frozen").with_spec(spec) as frozen,
        WorkerProcess(directory, "other").with_spec(spec) as other,
    ):
        frozen.start().wait_until_running()
        kafka_tools.produce_all(*place, sent[:third])
        until_written(stream, third // 2)
        frozen.signal(signal.SIGSTOP)
        woken_at = time.monotonic() + seconds
        kafka_tools.produce_all(*place, sent[third : 2 * third])
        other.start()
        until_answered(stream, sent[: 2 * third])
        time.sleep(max(0.0, woken_at - time.monotonic()))
        frozen.signal(signal.SIGCONT)
        kafka_tools.produce_all(*place, sent[2 * third :])
        waiting.until(
            lambda: not frozen.is_running, what="the frozen one ends", timeout_seconds=PATIENCE_SECONDS
        )
        until_answered(stream, sent)
        other.stop()
        return frozen.log()


def until_written(stream: NumberedStream, count: int) -> None:
    """Wait until about so many outputs are written, committed or not."""
    waiting.until(
        lambda: stream.output_count() >= count, what=f"{count} outputs", timeout_seconds=PATIENCE_SECONDS
    )


def until_answered(stream: NumberedStream, sent: Sequence[Any]) -> None:
    """Wait until each record has an output that is committed."""
    until_written(stream, len(sent))
    waiting.until(
        lambda: not numbered_stream.examine(stream.outputs(), sent, windows=False).lost,
        what="every record has its output",
        timeout_seconds=PATIENCE_SECONDS,
    )

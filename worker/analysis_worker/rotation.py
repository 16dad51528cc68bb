"""Rotated secrets reach a running worker: the files are looked at, new ones proven, then its clients changed.

New secrets are tried on connections of their own. Once these stand, they take the place of the former ones:
the producer's between two batches of a partition, a consumer's between two polls. So no record is lost or
doubled and the windows stay. Secrets that do not work leave everything as it was, are told, and tried again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from analysis_worker.feeding import Feed
from analysis_worker.kafka import connecting, credentials, outbox, ports
from analysis_worker.observability.metrics import WorkerMetrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
REFUSED_SECONDS = 30.0
"""When refused secrets are tried again although their files stay as they are: the brokers' may change."""
UNANSWERED_SECONDS = 5.0
"""As REFUSED_SECONDS, where no broker has said no: it may only have been away."""


class Rotation:
    """Takes changed secrets over; `source` and `sink` make clients that connect by `secrets`.

    `taken_at` is when secrets were last taken over, in s since the epoch, None without a file to look at.
    `refused` tells, for people, why those in the files are not used; it never holds a part of them.
    """

    def __init__(
        self,
        secrets: credentials.Credentials | None,
        source: Callable[[], ports.Source],
        sink: Callable[[], ports.Sink],
        metrics: WorkerMetrics,
        *,
        transactional: bool = False,
    ) -> None:
        self._secrets = secrets
        self._transactional = transactional
        self._source = source
        self._sink = sink
        self._metrics = metrics
        self._tried: credentials.Version | None = None
        self._again_at = 0.0
        self.taken_at: float | None = time.time() if secrets is not None and secrets.watched else None
        self.refused: tuple[str, ...] = ()

    async def run(self, box: outbox.Outbox, feeds: Callable[[], Sequence[Feed]]) -> None:
        """Look at the files until cancelled, and change the clients of `box` and of the feeds of then."""
        while self._secrets is not None and self._secrets.watched:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look(self._secrets, box, feeds)

    async def _look(
        self, secrets: credentials.Credentials, box: outbox.Outbox, feeds: Callable[[], Sequence[Feed]]
    ) -> None:
        version = secrets.version()
        if version == secrets.taken.version:
            if self.refused:
                log.info("the credentials in use are back in their files")
            self.refused, self._tried = (), None
            return
        if version == self._tried and time.monotonic() < self._again_at:
            return
        self._tried, changed = version, ", ".join(secrets.changed(version))
        try:
            reading = secrets.read()
            secrets.offer(reading)
            sink, sources = await self._proven(feeds())
        except Exception as error:
            secrets.refuse(version)
            self._refuse(changed, error)
            return
        secrets.take(reading)
        await self._change(box, sink, feeds, sources)
        self.taken_at, self.refused = time.time(), ()
        log.info("new credentials are taken over: %s", changed)

    async def _proven(self, feeds: Sequence[Feed]) -> tuple[ports.Sink, dict[Feed, ports.Source]]:
        """Clients that are connected by what is offered; raises what is in the way, and leaves none open."""
        async with contextlib.AsyncExitStack() as opened:
            sink = self._sink()
            opened.push_async_callback(sink.close)
            await sink.start()
            sources = {feed: self._source() for feed in feeds}
            for feed, source in sources.items():
                opened.push_async_callback(source.close)
                await source.start()
                await source.committed(feed.parts)
            opened.pop_all()
        return sink, sources

    async def _change(
        self,
        box: outbox.Outbox,
        sink: ports.Sink,
        feeds: Callable[[], Sequence[Feed]],
        sources: Mapping[Feed, ports.Source],
    ) -> None:
        """Put these in the place of the former clients; returns once those have ended."""
        if self._transactional:  # two producers of an owner would bar each other: one goes, then one comes
            await sink.close()
            await box.reconnect()
            ends = []
        else:
            ends = [box.renew(sink)]
        self._metrics.reconnected("producer")
        for feed, source in sources.items():
            if feed in feeds():
                ends.append(feed.renew(source))
                self._metrics.reconnected("consumer")
            else:  # its slots were taken over meanwhile
                await source.close()
        for ended in ends:
            await ended.wait()
        self._metrics.credentials_changed("taken")

    def _refuse(self, changed: str, error: Exception) -> None:
        no_answer = isinstance(error, ports.KafkaUnavailable)
        self._again_at = time.monotonic() + (UNANSWERED_SECONDS if no_answer else REFUSED_SECONDS)
        self._metrics.credentials_changed("refused")
        told = self.refused
        if isinstance(error, connecting.KafkaSettingsError):
            self.refused = (str(error),)
        elif isinstance(error, ports.KafkaRefused | ports.KafkaUnavailable):
            self.refused = (f"{changed}: {error}",)
        else:  # nobody knows what its text may hold
            self.refused = (f"{changed}: {type(error).__name__}",)
        if self.refused != told:
            log.error(
                "new credentials do not work, those before stay in use; put them right: %s", self.refused[0]
            )

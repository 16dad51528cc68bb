"""What a worker says of itself, gathered on its loop and kept for other threads to read."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analysis_worker.engine.stations import Station
from analysis_worker.observability import log_filters
from analysis_worker.observability import status as statuses
from analysis_worker.observability.status import State

if TYPE_CHECKING:
    from analysis_worker.service import Worker

__all__ = ["Report", "State"]

_BYTES_SECONDS = 5.0


class Report:
    """The StatusSource of a worker."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._status: statuses.WorkerStatus | None = None
        self._heavy: tuple[int, tuple[statuses.TopicStatus, ...]] = (0, ())
        self._heavy_at = 0.0

    async def keep_current(self) -> None:
        """Gather the status again and again until cancelled."""
        while True:
            self.refresh()
            await asyncio.sleep(self._worker.settings.status_interval_seconds)

    def refresh(self) -> None:
        """Gather the status now; on the worker's loop only."""
        self._status = dataclasses.replace(self._gather(), loop_tasks=len(asyncio.all_tasks()))

    def status(self) -> statuses.WorkerStatus:
        """The status last gathered."""
        gathered = self._status or self._gather()
        return dataclasses.replace(gathered, loop_lag_seconds=self._worker.pulse.lag_seconds())

    def stations(self, limit: int, prefix: str = "") -> Sequence[statuses.StationStatus]:
        """Stations by id."""
        engine = getattr(self._worker, "engine", None)
        if engine is None:
            return []
        owned = [s for s in list(engine.stations.values()) if s.owned and s.id.startswith(prefix)]
        return [self._station(s) for s in sorted(owned, key=lambda station: station.id)[:limit]]

    def station(self, station_id: str, /) -> statuses.StationStatus | None:
        """One station."""
        engine = getattr(self._worker, "engine", None)
        found = engine.stations.get(station_id) if engine is not None else None
        return None if found is None else self._station(found)

    def _station(self, station: Station) -> statuses.StationStatus:
        worker = self._worker
        record = worker.flow.records.get(station.id)
        layout = worker.engine.layout
        fill = {}
        for topic, source, head in zip(layout.topics, layout.inputs, station.heads, strict=False):
            fill[topic] = (min(head[1], source.window_size) if head else 0, source.window_size)
        outputs = station.heads[len(layout.inputs) :]
        for dependency, envelopes in zip(layout.dependencies, outputs, strict=False):
            fill[dependency.topic] = (len(envelopes or ()), dependency.window_size)
        return statuses.StationStatus(
            station_id=station.id,
            slot=station.slot,
            fill=fill,
            last_callback=record.last_callback if record else None,
            last_error=record.last_error if record else None,
            waiting=len(station.waiting),
            in_flight=station.in_flight,
            breaker_open=bool(record and record.breaker.is_open(time.monotonic())),
        )

    # -- the whole worker ---------------------------------------------------------------------------

    def _gather(self) -> statuses.WorkerStatus:
        worker = self._worker
        assignment = worker.assignment
        config = statuses.ConfigStatus(
            applied_hash=assignment.config_hash if worker.applied_at else None,
            desired_hash=worker.desired_hash,
            epoch=assignment.epoch,
            refused=worker.refused,
            applied_at=worker.applied_at,
        )
        base = statuses.WorkerStatus(
            module=assignment.module_spec.module,
            owner=assignment.owner,
            shard=assignment.shard,
            shards=assignment.shards,
            started_at=worker.started_at,
            taken_at=time.time(),
            state=worker.state,
            config=config,
            slots=tuple(sorted(assignment.slots)),
            credentials_at=worker.rotation.taken_at,
            credentials_refused=worker.rotation.refused,
            main_loop_alive=worker.state in ("starting", "restoring", "running"),
        )
        return self._with_feed(base) if hasattr(worker, "feed") else base

    def _with_feed(self, base: statuses.WorkerStatus) -> statuses.WorkerStatus:
        worker, feed, flow = self._worker, self._worker.feed, self._worker.flow
        window_bytes, topics = self._heavy_figures()
        now = time.monotonic()
        return dataclasses.replace(
            base,
            releasing_slots=worker.moves.releasing,
            released_slots=worker.moves.released,
            followed_slots=tuple(sorted(worker.moves.followers.up)),
            restoring_slots=tuple(sorted(slot for f in self._restoring() for slot in f.reader.slots)),
            consumer_connected=feed.connected,
            producer_connected=worker.box.connected,
            last_poll_age_seconds=now - feed.polled_at,
            station_count=sum(1 for station in worker.engine.stations.values() if station.owned),
            in_flight=flow.in_flight,
            waiting=flow.waiting,
            held=sum(len(part.held) for part in feed.parts.values()),
            breakers_open=sum(1 for record in flow.records.values() if record.breaker.is_open(now)),
            window_bytes=window_bytes,
            committed_at=worker.committer.committed_at,
            state_bytes=worker.checkpoints.used,
            checkpointed_at=worker.checkpoints.checkpointed_at,
            snapshotted_at=worker.checkpoints.snapshotted_at,
            restore_progress=self._restored(),
            missing_topics=tuple(sorted(feed.missing)),
            misaligned_topics=tuple(sorted(feed.discovery.misaligned)),
            topics=topics,
            partitions=tuple(self._partitions()),
            explain=self._explain(),
        )

    def _restored(self) -> float:
        """How much is restored, 0 to 1: each slot counts alike."""
        feeds = [self._worker.feed, *self._worker.moves.gains]
        done = [(len(feed.settled_slots), feed.restore_progress()) for feed in feeds]
        total = sum(count for count, _ in done)
        return sum(count * progress for count, progress in done) / total if total else done[0][1]

    def _restoring(self) -> list[Any]:
        feeds = [self._worker.feed, *self._worker.moves.gains]
        return [feed for feed in feeds if feed.restoring]

    def _partitions(self) -> Iterator[statuses.PartitionStatus]:
        now = time.time()
        feed = self._worker.feed
        for place, part in feed.parts.items():
            end = feed.lags[place].end_offset
            lag = None if end is None else max(0, end - part.progress.position)
            seconds = None
            if lag == 0:
                seconds = 0.0
            elif lag is not None and part.last_timestamp:
                seconds = max(0.0, now - part.last_timestamp / 1000)
            yield statuses.PartitionStatus(
                topic=place.topic,
                partition=place.partition,
                position=part.progress.position,
                end_offset=end,
                lag_records=lag,
                lag_seconds=seconds,
                restored=part.restored,
                wrong_partition=part.wrong_partition,
            )

    def _heavy_figures(self) -> tuple[int, tuple[statuses.TopicStatus, ...]]:
        """What takes a walk over all windows is looked up less often."""
        if time.monotonic() - self._heavy_at > _BYTES_SECONDS:
            self._heavy_at = time.monotonic()
            engine = self._worker.engine
            self._heavy = (engine.window_bytes(), tuple(self._topics()))
        return self._heavy

    def _topics(self) -> Iterator[statuses.TopicStatus]:
        engine = self._worker.engine
        stations = list(engine.stations.values())
        for index, source in enumerate(engine.layout.inputs):
            heads = [station.heads[index] for station in stations]
            fills = [min(1.0, head[1] / source.window_size) if head else 0.0 for head in heads]
            if fills:
                mean = sum(fills) / len(fills)
                yield statuses.TopicStatus(topic=source.topic, fill_ratio=mean, padded_ratio=1.0 - mean)

    def _explain(self) -> str:
        feed, failure = self._worker.feed, self._worker.failure
        if failure is not None:
            return log_filters.redacted(f"{type(failure).__name__}: {failure}")
        if feed.missing:
            return f"waiting for topics that do not exist: {', '.join(sorted(feed.missing))}"
        if feed.restoring:
            return f"restoring windows: {self._restored():.0%} of them are back"
        if self._worker.moves.gains:
            return f"taking slots over: {self._restored():.0%} of the windows are there"
        if following := self._worker.moves.followers.slots - self._worker.moves.followers.up:
            done = self._worker.moves.followers.progress()
            return f"following {len(following)} slots that arrive: {done:.0%} of the records are back"
        return "every record is taken as it comes"

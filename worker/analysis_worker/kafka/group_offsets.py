"""A consumer group's offsets, read and written without being its member, and never mistaken for progress.

What a worker commits is for lag tools: the lowest of its own slots. A worker that starts later must not begin
there, or its slots would miss what came before. So a commit is marked in its metadata, and carries on where
the group stood before the first of them, which is where slots without any progress begin.

aiokafka's own coordination of a group ends for good, and all reading with it, when partitions are assigned
anew while the group's coordinator is being looked for. A reader that belongs to no group does not have it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka import errors
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from analysis_worker.engine.records import TopicPartition

_NO_GENERATION: Final = -1  # what a client says that is no member (Kafka protocol, OffsetCommit)
_NO_MEMBER: Final = ""
_BROKERS_RETENTION: Final = -1
_NO_OFFSET: Final = -1
_PAUSE_SECONDS: Final = 0.1
MARK: Final = "station-analysis "
"""Begins the metadata of a worker's commits; the group's offset before the first of them follows, if any."""


class GroupOffsets:
    """Offsets of one group, by the connections of an aiokafka client.

    Both calls try again while the group has no coordinator, up to `seconds`: they raise aiokafka's errors,
    or TimeoutError. They are made one at a time. `begun` keeps what `committed` found, for commits to carry
    on.
    """

    def __init__(self, client: Any, group_id: str, seconds: float, begun: dict[TopicPartition, int]) -> None:
        self._client = client
        self._begun = begun
        self._group_id = group_id
        self._seconds = seconds
        self._coordinator: int | None = None
        self._busy = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """Let the call under way end, and make no other: it would open the client's connections again."""
        self._closed = True
        async with self._busy:
            pass

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the group stood before any worker committed; partitions without an offset are left out."""
        wanted = _by_topic({partition: partition.partition for partition in partitions})
        found: dict[TopicPartition, int] = (
            await self._retried(lambda: self._fetched(wanted)) if wanted else {}
        )
        self._begun.update(found)
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep these offsets."""
        entries = _by_topic(
            {
                place: (place.partition, offset, f"{MARK}{self._begun.get(place, '')}")
                for place, offset in offsets.items()
            }
        )
        if entries:
            await self._retried(lambda: self._commit(entries))

    async def _fetched(self, wanted: list[tuple[str, list[Any]]]) -> dict[TopicPartition, int]:
        response = await self._ask(OffsetFetchRequest(self._group_id, wanted))
        found = {}
        for topic, partitions in response.topics:
            for partition, offset, metadata, code in partitions:
                _check(code)
                begun = _before_workers(offset, metadata)
                if begun is not None:
                    found[TopicPartition(topic, partition)] = begun
        return found

    async def _commit(self, entries: list[tuple[str, list[Any]]]) -> None:
        request = OffsetCommitRequest(self._group_id, _NO_GENERATION, _NO_MEMBER, _BROKERS_RETENTION, entries)
        for _, partitions in (await self._ask(request)).topics:
            for _, code in partitions:
                _check(code)

    async def _ask(self, request: Any) -> Any:
        if self._coordinator is None:
            self._coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, self._group_id)
        return await self._client.send(self._coordinator, request, group=ConnectionGroup.COORDINATION)

    async def _retried(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(self._seconds), self._busy:
            while not self._closed:
                try:
                    return await attempt()
                except errors.KafkaError as error:
                    self._coordinator = None
                    if not error.retriable:
                        raise
                await asyncio.sleep(_PAUSE_SECONDS)
        raise errors.KafkaConnectionError("this client is closed")


def _before_workers(offset: int, metadata: str | None) -> int | None:
    # The protocol lets metadata be null, and some brokers answer so for a partition without an offset.
    if metadata is not None and metadata.startswith(MARK):
        begun = metadata.removeprefix(MARK)
        return int(begun) if begun.isdecimal() else None
    return None if offset == _NO_OFFSET else offset


def _by_topic(entries: Mapping[TopicPartition, Any]) -> list[tuple[str, list[Any]]]:
    topics: dict[str, list[Any]] = {}
    for place, entry in entries.items():
        topics.setdefault(place.topic, []).append(entry)
    return list(topics.items())


def _check(code: int) -> None:
    error = errors.for_code(code)
    if error is not errors.NoError:
        raise error()

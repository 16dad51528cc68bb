"""Outputs and progress in one transaction per owner and interval, so that each output is seen exactly once.

One transactional id per owner (KIP-98): whoever starts as an owner bars every other process that still
writes as it, and ends what that has open. What was written since the last commit is kept, so that a new
producer writes it again if the transaction is lost with the former one; it is never half there, for the
progress that goes with it is in the same transaction. A broker cannot say whether a commit whose answer got
lost took place; the progress topic can.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set

from analysis_worker.kafka import partitioning, ports, progress_log

log = logging.getLogger(__name__)

Newest = Callable[[], Awaitable[Mapping[int, progress_log.SlotProgress]]]


def transactional_id(group_id: str, owner: str) -> str:
    """The id that an owner writes by; brokers may ask for the permission to use it."""
    return f"{group_id}-{owner}"


async def send_keyed(sink: ports.Sink, messages: Sequence[ports.Message]) -> None:
    """Write messages of one topic, each to its key's partition; returns when they are acknowledged."""
    if not messages:
        return
    topic = messages[0].topic
    count = await sink.partitions(topic)
    of_partition: dict[int, list[ports.Message]] = {}
    for message in messages:
        of_partition.setdefault(partitioning.partition_of(message.key or b"", count), []).append(message)
    for partition, own in of_partition.items():
        await _send_all(sink, topic, partition, own)


async def _send_all(sink: ports.Sink, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
    sent = 0
    while sent < len(messages):
        sent += await sink.send(topic, partition, messages[sent:])


class Ledger:
    """What this process writes as its owner, from one commit to the next.

    `make_sink` makes the owner's producers, `newest` reads the progress of all slots as it is committed,
    `ended` is told of each transaction whether it was `committed` or `given_up`.
    `superseded` is set once another process writes as this owner, or has taken slots of it over: what is
    under way here is that one's to do, and nothing is written from then on.
    """

    def __init__(
        self,
        process: str,
        topic: str,
        make_sink: Callable[[], ports.TransactionalSink],
        newest: Newest,
        ended: Callable[[str], None] = lambda result: None,
    ) -> None:
        self.process = process
        self.superseded = asyncio.Event()
        self._ended = ended
        self._topic = topic
        self._make_sink = make_sink
        self._newest = newest
        self._current: LedgerSink | None = None
        self._written: list[tuple[str, int, Sequence[ports.Message]]] = []
        self._attempt: Sequence[progress_log.SlotProgress] = ()  # a commit that nobody has told the end of
        self._found: Sequence[progress_log.SlotProgress] = ()  # of a commit that was found to have ended
        self._known: dict[int, progress_log.SlotProgress | None] = {}  # as they stand, unless others write
        self._number = 0

    def sink(self) -> "LedgerSink":
        """A producer, which takes the place of the one before as soon as it starts."""
        return LedgerSink(self, self._make_sink())

    def is_current(self, sink: "LedgerSink") -> bool:
        """Whether what this producer has sent counts."""
        return sink is self._current

    def start_from(self, slots: Mapping[int, progress_log.SlotProgress | None]) -> None:
        """Go on from this progress (None: there is none yet): if others write of them, they have them."""
        self._known.update(slots)

    def found(self) -> Sequence[progress_log.SlotProgress]:
        """What a commit that failed has written nevertheless, as it turned out since; told once."""
        found, self._found = self._found, ()
        return found

    def give_way(self) -> None:
        """Commit nothing from here on: another process does what is under way here."""
        self.superseded.set()

    def note(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
        """These are written, in a transaction that has not ended."""
        self._written.append((topic, partition, messages))

    async def commit(
        self, sink: ports.Sink, entries: Sequence[progress_log.SlotProgress]
    ) -> list[progress_log.SlotProgress]:
        """End the transaction with this progress in it; returns it as it is written.

        Nothing may be under way meanwhile. Raises KafkaUnavailable; the sink must not be used after that.
        """
        assert isinstance(sink, LedgerSink)
        if self.superseded.is_set():
            raise ports.KafkaUnavailable("another process has taken this one's place")
        if not entries and not self._written:
            return []
        if all(entry.released for entry in entries):
            entries = [*entries, *self._kept(but={entry.slot for entry in entries})[:1]]
        self._number += 1
        stamped = [dataclasses.replace(e, process=self.process, number=self._number) for e in entries]
        await sink.write_keyed([entry.message(self._topic) for entry in stamped])
        self._attempt = stamped
        await sink.end()
        self._end(stamped)
        return stamped

    def _kept(self, but: Set[int]) -> list[progress_log.SlotProgress]:
        """Progress of slots that stay: by what nobody else writes it can be told how a commit has ended."""
        return [each for slot, each in self._known.items() if each is not None and slot not in but]

    def _end(self, stamped: Sequence[progress_log.SlotProgress]) -> None:
        self._ended("committed")
        self._written.clear()
        self._attempt = ()
        for entry in stamped:
            self._known[entry.slot] = entry
            if entry.released:
                del self._known[entry.slot]

    async def take_up(self, sink: "LedgerSink") -> None:
        """Go on by a producer that has just barred all others: write again what is not committed.

        From here on what another producer of this ledger has sent counts no more. Raises KafkaUnavailable,
        also if this process has been replaced.
        """
        self._current = sink
        if not (self._known or self._written or self._attempt):
            return
        newest = await self._newest()
        is_committed = any(newest.get(each.slot) == each for each in self._attempt)
        expected = dict(self._known)
        if is_committed:
            expected.update((each.slot, each) for each in self._attempt)
            expected = {slot: each for slot, each in expected.items() if each is None or not each.released}
        foreign = [newest[slot] for slot, each in expected.items() if slot in newest and newest[slot] != each]
        if foreign:
            self.give_way()
            owners = ", ".join(sorted({each.owner for each in foreign}))
            slots = sorted(each.slot for each in foreign)
            raise ports.KafkaUnavailable(f"another process, as {owners}, has written of the slots {slots}")
        if is_committed:
            log.info("the transaction whose end was not told is committed")
            self._found = self._attempt
            self._end(self._attempt)
        elif self._written:
            self._ended("given_up")
        for topic, partition, messages in self._written:
            await sink.write_all(topic, partition, messages)


class LedgerSink:
    """The Sink port of one producer of a ledger."""

    def __init__(self, ledger: Ledger, producer: ports.TransactionalSink) -> None:
        self._ledger = ledger
        self._producer = producer

    async def start(self) -> None:
        """Connect, bar all others of this owner, and write what they left uncommitted of this process."""
        if self._ledger.superseded.is_set():
            raise ports.KafkaUnavailable("another process has taken this one's place")
        await self._producer.start()
        try:
            await self._ledger.take_up(self)
        except BaseException:
            await self._producer.close()
            raise

    async def close(self) -> None:
        """Disconnect; what is not committed is given up."""
        await self._producer.close()

    async def partitions(self, topic: str) -> int:
        """Partition count of a topic."""
        return await self._producer.partitions(topic)

    async def send(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> int:
        """One batch, acknowledged and noted."""
        count = await self._producer.send(topic, partition, messages)
        self._require_current()
        self._ledger.note(topic, partition, messages[:count])
        return count

    async def write_all(self, topic: str, partition: int, messages: Sequence[ports.Message]) -> None:
        """All of these, acknowledged."""
        await _send_all(self._producer, topic, partition, messages)
        self._require_current()

    async def write_keyed(self, messages: Sequence[ports.Message]) -> None:
        """All of these, of one topic, each to its key's partition, acknowledged."""
        await send_keyed(self._producer, messages)
        self._require_current()

    async def end(self) -> None:
        """Commit."""
        self._require_current()
        await self._producer.commit()
        self._require_current()  # else the other one has found out already how this has ended

    def _require_current(self) -> None:
        if not self._ledger.is_current(self):
            raise ports.KafkaUnavailable("another producer of this worker has taken this one's place")

"""How progress gets into its topic: after the outputs are acknowledged, or in one transaction with them."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from analysis_worker.kafka import outbox, ports, progress_log, transactions

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

Entries = Sequence[progress_log.SlotProgress]
Due = Callable[[], Entries]
"""Tells what is to be written, by what is settled when it is called."""


class ProgressWriter(Protocol):
    """Writes progress; what it returns is in Kafka.

    Where outputs and progress are transactional, progress says of every slot which process has it.
    """

    @property
    def is_transactional(self) -> bool:
        """Whether outputs and progress are committed together."""

    async def write(self, due: Due) -> Entries:
        """Write what is due, however long Kafka takes."""


class Acknowledged:
    """At least once: outputs are acknowledged before the progress that tells of them is sent."""

    is_transactional = False

    def __init__(self, box: outbox.Outbox, topic: str) -> None:
        self._box = box
        self._topic = topic

    async def write(self, due: Due) -> Entries:
        """Send, and wait until it is acknowledged."""
        entries = due()
        acknowledged = asyncio.Event()
        left = len(entries)

        def done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                acknowledged.set()

        for entry in entries:
            self._box.put(entry.message(self._topic), done)
        if entries:
            await acknowledged.wait()
        return entries


class InTransactions:
    """Exactly once: outputs and the progress that tells of them are committed together."""

    is_transactional = True

    def __init__(self, box: outbox.Outbox, ledger: transactions.Ledger) -> None:
        self._box = box
        self._ledger = ledger

    async def write(self, due: Due) -> Entries:
        """Commit what was sent with what is due; again, by another producer, until it succeeds."""
        pause = _FIRST_PAUSE_SECONDS
        self._ledger.found()  # of a write that was cancelled
        while True:
            try:
                async with self._box.held() as sink:
                    return self._ledger.found() or await self._ledger.commit(sink, due())
            except ports.KafkaUnavailable as error:
                log.warning("a transaction is not committed yet: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

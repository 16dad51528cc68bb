"""Trying until Kafka answers: within a bound at the start, later for ever."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from analysis_worker.kafka import ports

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0


class KafkaUnreachable(ConnectionError):
    """Kafka could not be reached within the bound of a start: names the brokers, the reason and the mend."""


async def reached(
    attempt: Callable[[], Awaitable[_T]],
    *,
    starting: Callable[[], bool],
    within_seconds: float,
    servers: Sequence[str],
) -> _T:
    """What an attempt gives, tried again with back-off and jitter while Kafka cannot be reached.

    While the worker is `starting` a refusal is raised as it is, and KafkaUnreachable after the bound.
    """
    deadline = time.monotonic() + within_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await attempt()
        except (ports.KafkaUnavailable, ports.KafkaRefused) as error:
            if starting() and isinstance(error, ports.KafkaRefused):
                raise
            if starting() and time.monotonic() + pause > deadline:
                raise KafkaUnreachable(
                    f"no Kafka at {', '.join(servers)}: {error}; check kafka.bootstrapServers and the network"
                ) from error
            log.warning("Kafka is not reached yet: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

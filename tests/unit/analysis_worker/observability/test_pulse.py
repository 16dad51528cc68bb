"""The pulse tells how late the main loop is, also while it is blocked."""

import asyncio

from analysis_worker.observability import pulse


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_before_and_after_the_beat_there_is_no_pulse() -> None:
    one = pulse.LoopPulse(clock=Clock())
    assert (one.alive, one.lag_seconds()) == (False, None)
    beat = asyncio.create_task(one.beat())
    await asyncio.sleep(0)
    assert (one.alive, one.lag_seconds()) == (True, 0.0)
    beat.cancel()
    await asyncio.wait([beat])
    assert (one.alive, one.lag_seconds()) == (False, None)


async def test_a_blocked_loop_is_late_by_what_passed_since_the_beat_was_due() -> None:
    clock = Clock()
    one = pulse.LoopPulse(0.5, clock=clock)
    beat = asyncio.create_task(one.beat())
    await asyncio.sleep(0)
    clock.now += 70.5
    assert one.lag_seconds() == 70.0
    beat.cancel()
    await asyncio.wait([beat])


async def test_after_a_late_beat_its_lag_is_kept_until_the_next() -> None:
    clock = Clock()
    one = pulse.LoopPulse(0.0, clock=clock)
    beat = asyncio.create_task(one.beat())
    await asyncio.sleep(0)
    clock.now += 3.0
    await asyncio.sleep(0)
    assert one.lag_seconds() == 3.0
    await asyncio.sleep(0)
    assert one.lag_seconds() == 0.0
    beat.cancel()
    await asyncio.wait([beat])

"""Who leads: takeover by one's own clock, renewal, loss, release; on a clock that is moved by hand."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from analysis_operator.cluster import lease as leases
from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.lease import Lease, LeaseLost
from analysis_worker.virtual_time import VirtualLoop
from tests.fakes.api import FakeApi

PLACE = ("Lease", "default", "operator")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.shut()


class Operators:
    """Operators that share one API server and one clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.api = FakeApi()

    def one(self, identity: str = "a") -> Lease:
        """An operator that does not lead."""
        return Lease(self.api, "default", "operator", identity, clock=self.loop.time)  # type: ignore[arg-type]

    def leading(self, identity: str = "a") -> Lease:
        """An operator that has just taken the Lease."""
        lease = self.one(identity)
        self.loop.finish(lease.acquire())
        return lease

    def spec(self) -> dict[str, Any]:
        """What the Lease says."""
        spec: dict[str, Any] = self.api.objects[PLACE]["spec"]
        return spec


@pytest.fixture
def operators(loop: VirtualLoop) -> Operators:
    return Operators(loop)


class TestAcquire:
    def test_the_first_one_makes_the_lease(self, operators: Operators) -> None:
        lease = operators.leading()
        assert (lease.held, lease.is_valid()) == (True, True)
        spec = operators.spec()
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("a", 15)
        assert spec["leaseTransitions"] == 1

    def test_another_one_waits_while_it_is_renewed(self, operators: Operators, loop: VirtualLoop) -> None:
        first = operators.leading("a")
        keeping = loop.create_task(first.keep())
        waiting = loop.create_task(operators.one("b").acquire())
        loop.advance(300)
        assert not waiting.done()
        assert not keeping.done()
        assert first.is_valid()

    def test_another_one_takes_over_15_s_after_it_last_saw_a_renewal(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        operators.leading("a")
        loop.advance(100)  # long ago for the first one, news for the second
        second = operators.one("b")
        waiting = loop.create_task(second.acquire())
        loop.advance(14.9)
        assert not waiting.done()
        loop.advance(2)
        assert waiting.done()
        assert operators.spec()["holderIdentity"] == "b"
        assert operators.spec()["leaseTransitions"] == 2

    def test_the_clock_of_the_holder_does_not_matter(self, operators: Operators, loop: VirtualLoop) -> None:
        operators.leading("a")
        operators.spec()["renewTime"] = "1970-01-01T00:00:00.000000Z"
        waiting = loop.create_task(operators.one("b").acquire())
        loop.advance(14)
        assert not waiting.done()

    def test_one_that_left_is_followed_at_the_next_look(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        first = operators.leading("a")
        waiting = loop.create_task(operators.one("b").acquire())
        loop.advance(5)
        loop.finish(first.release())
        loop.advance(leases.LOOK_EVERY_SECONDS)
        assert waiting.done()

    def test_of_two_that_take_it_at_once_one_does(self, operators: Operators, loop: VirtualLoop) -> None:
        lease = operators.one("a")
        operators.api.fail_next(1, "create", ApiError(409, "already exists"))
        waiting = loop.create_task(lease.acquire())
        loop.run_until_idle()
        assert not lease.held
        loop.advance(1)
        assert waiting.done()

    def test_an_api_server_that_fails_or_hangs_is_asked_again(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        operators.api.fail_next(3, "get")
        waiting = loop.create_task(operators.one().acquire())
        loop.advance(3.1)
        assert waiting.done()
        operators.api.hang("get")
        second = loop.create_task(operators.one("b").acquire())
        loop.advance(60)
        assert operators.api.count("get") > 10
        assert not second.done()


class TestKeep:
    def test_renews_every_two_seconds(self, operators: Operators, loop: VirtualLoop) -> None:
        first = operators.leading()
        loop.create_task(first.keep())
        loop.advance(20.5)
        assert operators.api.count("update") == 10

    def test_an_outage_of_some_seconds_is_survived(self, operators: Operators, loop: VirtualLoop) -> None:
        first = operators.leading()
        keeping = loop.create_task(first.keep())
        loop.advance(2)
        operators.api.hang("get", "update")
        loop.advance(6.5)
        assert first.is_valid()
        operators.api.hang()
        loop.advance(60)
        assert not keeping.done()
        assert first.is_valid()

    @pytest.mark.parametrize("outage", ["hangs", "fails"])
    def test_ten_seconds_without_success_are_the_end(
        self, operators: Operators, loop: VirtualLoop, outage: str
    ) -> None:
        first = operators.leading()
        keeping = loop.create_task(first.keep())
        if outage == "hangs":
            operators.api.hang("get")
        else:
            operators.api.fail_next(1000, "get")
        loop.advance(9.9)
        assert first.is_valid()
        loop.advance(0.1)
        assert not first.is_valid()
        loop.advance(2)
        with pytest.raises(LeaseLost, match="not renewed for 10 s"):
            keeping.result()

    def test_a_holder_stops_before_anybody_else_may_begin(self) -> None:
        assert leases.RENEW_WITHIN_SECONDS < leases.DURATION_SECONDS

    def test_a_lease_that_somebody_else_has_is_lost_at_once(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        first = operators.leading()
        keeping = loop.create_task(first.keep())
        stolen = {**operators.api.objects[PLACE], "spec": {"holderIdentity": "b", "leaseDurationSeconds": 15}}
        operators.api.put(stolen)
        loop.advance(2)
        with pytest.raises(LeaseLost, match="another operator holds"):
            keeping.result()
        assert not first.is_valid()

    def test_a_frozen_holder_may_not_act_once_it_wakes_up(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        first = operators.leading()
        loop.now += 30  # no timer has run
        assert first.held
        assert not first.is_valid()
        assert first.seconds_left() == 0


class TestRelease:
    def test_gives_the_lease_back(self, operators: Operators, loop: VirtualLoop) -> None:
        first = operators.leading()
        loop.finish(first.release())
        assert operators.spec()["holderIdentity"] == ""
        assert not first.is_valid()

    def test_does_nothing_for_one_that_does_not_hold_it(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        loop.finish(operators.one().release())
        assert operators.api.requests == []

    def test_leaves_somebody_elses_lease_alone(self, operators: Operators, loop: VirtualLoop) -> None:
        first = operators.leading("a")
        operators.api.put({**operators.api.objects[PLACE], "spec": {"holderIdentity": "b"}})
        loop.finish(first.release())
        assert operators.spec()["holderIdentity"] == "b"

    def test_tries_again_after_a_conflict_with_its_own_renewal(
        self, operators: Operators, loop: VirtualLoop
    ) -> None:
        first = operators.leading()
        operators.api.fail_next(1, "update", ApiError(409, "the object has been modified"))
        loop.finish(first.release())
        assert operators.spec()["holderIdentity"] == ""

    @pytest.mark.parametrize("outage", ["hangs", "fails"])
    def test_ends_in_time_whatever_the_api_server_does(
        self, operators: Operators, loop: VirtualLoop, outage: str
    ) -> None:
        first = operators.leading()
        if outage == "hangs":
            operators.api.hang("get")
        else:
            operators.api.fail_next(1, "get")
        releasing = loop.create_task(first.release())
        loop.advance(3)
        assert releasing.done()
        assert releasing.exception() is None


def test_two_operators_that_run_for_an_hour_never_both_may_act(
    operators: Operators, loop: VirtualLoop
) -> None:
    """The holder freezes now and then, for random times, as a process may; the other one takes over."""
    both = [operators.one("a"), operators.one("b")]

    async def live(lease: Lease) -> None:
        while True:
            await lease.acquire()
            try:
                await lease.keep()
            except LeaseLost:
                await asyncio.sleep(1)

    for lease in both:
        loop.create_task(live(lease))
    led = set()
    for second in range(3600):
        if second % 300 == 100:
            operators.api.fail_next(200, "update")
        loop.advance(1)
        valid = [lease.identity for lease in both if lease.is_valid()]
        assert len(valid) <= 1, second
        led |= set(valid)
    assert led == {"a", "b"}

"""When records are due, and what becomes of them."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

from analysis_worker import simulation
from analysis_worker.simulation import delivering, faults, stations

START = 1_762_480_000_000


def a_fleet() -> stations.Fleet:
    return stations.Fleet(stations=3, seed=1, start_ms=START)


def no_faults(late: float = 0.0) -> faults.FaultInjector:
    return faults.FaultInjector(late=late, doubled=0.0, broken=0.0)


def fleet_batches(seconds: float, rate: float = float("inf")) -> list[delivering.Batch]:
    schedule = delivering.fleet_schedule(
        a_fleet(), no_faults(), start_ms=START, duration_seconds=seconds, most_per_second=rate
    )
    return list(schedule)


def a_record(timestamp_ms: int) -> simulation.SimulatedRecord:
    return simulation.SimulatedRecord("T", b"k", b"v", timestamp_ms)


def replayed(*times: int, speedup: float, keep: bool = False) -> list[tuple[float, int]]:
    records = [a_record(time) for time in times]
    schedule = delivering.replay_schedule(records, start_ms=START, speedup=speedup, keep_timestamps=keep)
    return [(due, record.timestamp_ms) for due, batch in schedule for record in batch]


class TestFleetSchedule:
    def test_it_sends_all_that_the_fleet_sends_in_that_time(self) -> None:
        sent = [record for _, batch in fleet_batches(3.0) for record in batch]
        assert sent == a_fleet().tick(START + 2_950)

    def test_no_record_is_due_before_its_timestamp(self) -> None:
        assert all(record.timestamp_ms <= due for due, batch in fleet_batches(3.0) for record in batch)

    def test_under_a_rate_no_more_go_than_the_rate_lets_through(self) -> None:
        batches = fleet_batches(10.0, rate=40.0)
        opening = len(batches[0][1])
        assert sum(len(batch) for _, batch in batches) <= 40.0 * 10.0 + opening

    def test_under_a_rate_timestamps_are_when_the_records_really_go(self) -> None:
        for due, batch in fleet_batches(10.0, rate=40.0):
            assert all(0 <= due - record.timestamp_ms <= delivering.TICK_MS + 1 for record in batch)

    def test_what_was_held_back_as_late_goes_at_the_end(self) -> None:
        sound = a_fleet().tick(START + 1_950)
        schedule = delivering.fleet_schedule(
            a_fleet(), no_faults(late=0.5), start_ms=START, duration_seconds=2.0
        )
        sent = [record for _, batch in schedule for record in batch]
        assert sorted(map(repr, sent)) == sorted(map(repr, sound))

    def test_it_makes_records_only_as_they_are_taken(self) -> None:
        endless = delivering.fleet_schedule(a_fleet(), no_faults(), start_ms=START)
        assert len(list(itertools.islice(endless, 3))) == 3


class TestReplaySchedule:
    def test_a_replay_keeps_the_rhythm_at_its_speed(self) -> None:
        assert [due for due, _ in replayed(100, 200, 700, speedup=10.0)] == [START, START + 10, START + 60]

    def test_timestamps_become_the_times_at_which_records_are_due(self) -> None:
        assert replayed(100, 200, speedup=10.0)[1] == (START + 10, START + 10)

    def test_timestamps_are_kept_on_request(self) -> None:
        assert [time for _, time in replayed(100, 200, speedup=10.0, keep=True)] == [100, 200]

    def test_at_speedup_0_all_are_due_at_once(self) -> None:
        assert [due for due, _ in replayed(100, 10**12, speedup=0.0)] == [START, START]


class Future:
    """A kafka-python future that is settled by hand."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}

    def add_callback(self, call: Any) -> None:
        self.callbacks["done"] = call

    def add_errback(self, call: Any) -> None:
        self.callbacks["failed"] = call


class Producer:
    """A producer that takes what it is given, but for the topic `refused`."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.futures: list[Future] = []

    def send(self, topic: str, **_: Any) -> Future:
        if topic == "refused":
            raise ValueError("too large")
        self.taken.append(topic)
        self.futures.append(Future())
        return self.futures[-1]


class TestDelivery:
    def test_records_are_counted_as_they_are_acknowledged(self) -> None:
        producer = Producer()
        delivery = delivering.Delivery(producer)
        delivery.send(a_record(1))
        delivery.send(a_record(2))
        producer.futures[0].callbacks["done"](None)
        assert (delivery.sent, delivery.acknowledged, delivery.failed) == (2, 1, 0)

    def test_a_record_that_fails_is_counted_with_the_first_reason(self) -> None:
        producer = Producer()
        delivery = delivering.Delivery(producer)
        delivery.send(a_record(1))
        producer.futures[0].callbacks["failed"](TimeoutError("no leader"))
        delivery.send(simulation.SimulatedRecord("refused", None, b"", 0))
        assert (delivery.failed, delivery.first_error) == (2, "TimeoutError: no leader")

    def test_delivering_waits_for_each_batch_to_be_due(self) -> None:
        now = [START / 1000]
        waits: list[float] = []

        class Stop(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waits.append(round(timeout or 0.0, 3))
                now[0] += timeout or 0.0
                return False

        batches = [(START + 0.0, [a_record(1)]), (START + 500.0, [a_record(2)])]
        delivering.deliver(batches, delivering.Delivery(Producer()), Stop(), clock=lambda: now[0])
        assert waits == [0.5]

    def test_nothing_more_is_sent_once_told_to_stop(self) -> None:
        stop, producer = threading.Event(), Producer()

        def batches() -> Iterator[delivering.Batch]:
            yield 0.0, [a_record(1)]
            stop.set()
            yield 0.0, [a_record(2)]

        delivering.deliver(batches(), delivering.Delivery(producer), stop)
        assert producer.taken == ["T"]

"""Whatever the policy and the events: a station's order holds, one is in flight, none is lost."""

import dataclasses
from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_module.spec import TriggerPolicy
from analysis_worker.engine import layout, progress, scheduling, stations
from analysis_worker.engine.records import TopicPartition
from tests import builders

STATIONS = "abcd"


@dataclasses.dataclass(frozen=True)
class Submit:
    """Triggers of these stations arrive."""

    station_ids: list[str]


@dataclasses.dataclass(frozen=True)
class Finish:
    """The work that has run longest, or a later one, is over."""

    which: int


@dataclasses.dataclass(frozen=True)
class Wait:
    """Time passes, and what is due starts, unless the alarm is late."""

    milliseconds: int
    late: bool


@dataclasses.dataclass(frozen=True)
class Policy:
    """The module's trigger policy changes."""

    policy: TriggerPolicy


submits = st.builds(
    Submit, st.lists(st.sampled_from(STATIONS), max_size=8) | st.sampled_from([["a"] * 70, ["b"] * 200])
)
finishes = st.builds(Finish, st.integers(0, 3))
waits = st.builds(Wait, st.sampled_from([0, 1, 400, 999, 1000, 5000]), st.booleans())
policies = st.builds(Policy, st.sampled_from(TriggerPolicy))
streams = st.lists(st.one_of(submits, submits, finishes, finishes, waits), max_size=40)
changing_streams = st.lists(st.one_of(submits, submits, finishes, finishes, waits, policies), max_size=40)
UNHURRIED = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


class Watched:
    """A scheduler whose every promise is checked at every step."""

    def __init__(self, policy: TriggerPolicy) -> None:
        self.scheduler = scheduling.Scheduler(policy, 1000)
        self.now_ms = 0
        self.stations = {each: builders.a_station(each) for each in STATIONS}
        self.pending = progress.Pending()
        self.batch = stations.Batch(
            layout.layout_of(builders.a_wiring()), TopicPartition("POWER", 0), {0: self.pending}
        )
        self.submitted = 0
        self.running: dict[str, scheduling.Work] = {}
        self.newest_run = dict.fromkeys(STATIONS, -1)
        self.started_at: dict[str, int] = {}
        self.ran = 0

    def step(self, event: Submit | Finish | Wait | Policy) -> None:
        if isinstance(event, Submit):
            self.start(self.scheduler.submit([self.trigger(each) for each in event.station_ids], self.now_ms))
        elif isinstance(event, Wait):
            self.now_ms += event.milliseconds
            if not event.late:
                self.start(self.scheduler.due(self.now_ms))
        elif isinstance(event, Policy):
            interval_ms = self.scheduler.interval_ms
            self.start(self.scheduler.follow(event.policy, interval_ms, self.now_ms))
        elif self.running:
            self.finish(sorted(self.running)[event.which % len(self.running)])
        assert self.scheduler.waiting == sum(len(each.waiting) for each in self.stations.values())

    def trigger(self, station_id: str) -> stations.Trigger:
        made = stations.Trigger(self.stations[station_id], self.batch, self.submitted, 0)
        self.pending.begin(self.submitted)
        self.submitted += 1
        return made

    def start(self, works: Iterable[scheduling.Work | None]) -> None:
        for work in works:
            if work is None:
                continue
            name = work.station.id
            assert name not in self.running, "one piece of work in flight per station"
            assert work.station.in_flight
            assert 0 < len(work.triggers) <= scheduling.MOST_AT_ONCE
            for trigger in work.triggers:
                assert trigger.station is work.station
                assert trigger.offset > self.newest_run[name], "in order, none twice"
                self.newest_run[name] = trigger.offset
            if self.scheduler.policy is TriggerPolicy.INTERVAL:
                assert self.now_ms - self.started_at.get(name, -1000) >= 1000
                self.started_at[name] = self.now_ms
            self.running[name] = work

    def finish(self, name: str) -> None:
        work = self.running.pop(name)
        for trigger in work.triggers:
            trigger.settle()
        self.ran += len(work.triggers)
        self.start([self.scheduler.finished(work.station, self.now_ms)])

    def end(self) -> None:
        """Let all work end and every interval pass: then nothing may be left."""
        while self.running or self.scheduler.waiting:
            for name in sorted(self.running):
                self.finish(name)
            self.now_ms += 1000
            self.start(self.scheduler.due(self.now_ms))
        assert self.pending == {}, "every trigger ran or was covered by a later one"
        assert self.ran + self.scheduler.coalesced == self.submitted
        for station in self.stations.values():
            assert not station.in_flight
            assert not station.waiting


@given(st.sampled_from(TriggerPolicy), streams)
@UNHURRIED
def test_order_holds_one_is_in_flight_and_nothing_is_lost(
    policy: TriggerPolicy, events: list[Submit | Finish | Wait]
) -> None:
    watched = Watched(policy)
    for event in events:
        watched.step(event)
    watched.end()
    if policy is TriggerPolicy.EVERY_RECORD:
        assert watched.scheduler.coalesced == 0


@given(changing_streams)
@UNHURRIED
def test_nothing_is_lost_when_the_policy_changes_in_between(
    events: list[Submit | Finish | Wait | Policy],
) -> None:
    watched = Watched(TriggerPolicy.EVERY_RECORD)
    for event in events:
        if isinstance(event, Policy):
            watched.started_at.clear()
        watched.step(event)
    watched.end()

"""A fleet of ConfigMaps, worker pods and the operator's view of them, to which anything may happen.

What a worker may own is known to the simulation, while the operator knows only reports, which may be old or
absent. What it has followed the operator hears when it looks, as it asks each worker in each pass.
"""

import dataclasses

from analysis_operator.decisions import fleet, handover
from analysis_operator.decisions.observed import Pod, Report

NOTHING: frozenset[int] = frozenset()
Fleet = dict[int, handover.Holding]
Event = tuple[str, int]


@dataclasses.dataclass
class Worker:
    """One live pod: what it was told last, what it still drains, and what it has followed.

    One that `is_older` knows no arriving slots: it does not read an Assignment that names them.
    """

    epoch: int
    slots: frozenset[int]
    letting_go: frozenset[int] = NOTHING
    arriving: frozenset[int] = NOTHING
    followed: frozenset[int] = NOTHING
    is_older: bool = False
    is_ready: bool = True


class World:
    """What exists: ConfigMaps, pods, the last report of each, and the number of shards that is asked for."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.shards = 0
        self.maps: Fleet = {}
        self.workers: dict[int, Worker] = {}
        self.reports: dict[int, handover.Reported] = {}
        self.heard: set[int] = set()
        """Shards whose workers answer."""
        self.older: set[int] = set()
        """Shards whose next pod is of an older version."""
        self.readiness = handover.Readiness()
        """What the operator knew of the workers in its last pass."""
        self.last_epoch = 0

    def do(self, event: Event) -> None:
        """Let one thing happen; one that cannot happens not."""
        getattr(self, event[0])(event[1])

    # -- people and the operator --------------------------------------------------------------------

    def rescale(self, shards: int) -> None:
        self.shards = shards

    def image(self, shard: int) -> None:
        """The next pod of a shard is of another version than it would have been."""
        self.older ^= {shard}

    def reconcile(self, _: int = 0) -> None:
        """The operator takes a step and writes it down; pods of shards that are gone are deleted."""
        held = self.holdings()
        self.readiness = fleet.readiness({shard: self._observed(shard, held[shard]) for shard in held})
        self.maps = handover.step(
            held,
            unconfirmed={shard: self.unconfirmed(shard, holding) for shard, holding in held.items()},
            slots=self.slots,
            shards=self.shards,
            readiness=self.readiness,
            last_epoch=self.last_epoch,
        )
        self.last_epoch = max([self.last_epoch, *(holding.epoch for holding in self.maps.values())])
        for shard in self.workers.keys() - self.maps.keys():
            del self.workers[shard]

    def holdings(self) -> Fleet:
        """The ConfigMaps, and what is made out of live workers whose ConfigMap is gone."""
        held = dict(self.maps)
        for shard in self.workers.keys() - self.maps.keys():
            reported = self.reports.get(shard)
            found = handover.recovered(pod_alive=True, reported=reported, slots=self.slots)
            assert found is not None
            held[shard] = found
        return held

    def unconfirmed(self, shard: int, holding: handover.Holding) -> frozenset[int]:
        return handover.unconfirmed_slots(
            holding.releasing,
            pod_alive=shard in self.workers,
            reported=self.reports.get(shard),
            epoch=holding.epoch,
        )

    def _observed(self, shard: int, holding: handover.Holding) -> fleet.Shard:
        worker = self.workers.get(shard)
        if worker is None:
            return fleet.Shard(shard=shard, holding=holding)
        followed = None if worker.is_older else worker.followed
        report = Report(pod_uid="", taken_at=0.0, owner="", epoch=worker.epoch, followed=followed)
        return fleet.Shard(
            shard=shard,
            holding=holding,
            pod=Pod(name="", uid="", shard=shard, ready=worker.is_ready),
            report=report if shard in self.heard else None,
        )

    def poll(self, shard: int) -> None:
        """The operator hears from a worker; until it does again, what it knows of its slots grows old."""
        if shard in self.workers:
            worker = self.workers[shard]
            self.reports[shard] = handover.Reported(worker.epoch, worker.slots, worker.letting_go)
            self.heard.add(shard)

    def silence(self, shard: int) -> None:
        self.reports.pop(shard, None)
        self.heard.discard(shard)

    # -- workers ------------------------------------------------------------------------------------

    def start(self, shard: int) -> None:
        """A pod starts, which it can only with a ConfigMap that it can read."""
        if shard not in self.maps or shard in self.workers:
            return
        told = self.maps[shard]
        if shard in self.older and told.arriving:
            return
        self.workers[shard] = Worker(told.epoch, told.slots, is_older=shard in self.older)
        self.workers[shard].arriving = told.arriving
        self.heard.discard(shard)

    def apply(self, shard: int) -> None:
        """A worker sees its ConfigMap; one of an older epoch it would refuse."""
        if shard in self.maps and shard in self.workers:
            worker, told = self.workers[shard], self.maps[shard]
            assert told.epoch >= worker.epoch
            assert told.epoch > worker.epoch or told.slots == worker.slots
            assert not (worker.is_older and told.arriving)
            assert not told.arriving & (told.slots | told.releasing)
            worker.letting_go = (worker.letting_go | worker.slots) - told.slots
            worker.epoch, worker.slots = told.epoch, told.slots
            worker.arriving, worker.followed = told.arriving, worker.followed & told.arriving

    def drain(self, shard: int) -> None:
        if shard in self.workers:
            self.workers[shard].letting_go = NOTHING

    def follow(self, shard: int) -> None:
        """A worker is up with the lowest of the slots that it has still to follow."""
        if shard in self.workers:
            worker = self.workers[shard]
            worker.followed |= frozenset(sorted(worker.arriving - worker.followed)[:1])

    def follow_last(self, shard: int) -> None:
        """A worker is up with the highest of them."""
        if shard in self.workers:
            worker = self.workers[shard]
            worker.followed |= frozenset(sorted(worker.arriving - worker.followed)[-1:])

    def falter(self, shard: int) -> None:
        """A worker becomes ready, or ceases to be."""
        if shard in self.workers:
            self.workers[shard].is_ready ^= True

    def crash(self, shard: int) -> None:
        """A pod dies; its last report is still around."""
        self.workers.pop(shard, None)

    def lose(self, shard: int) -> None:
        """A ConfigMap is deleted by hand; only what the worker answers from now on counts."""
        self.maps.pop(shard, None)
        self.silence(shard)

    def settle(self, shard: int) -> None:
        """All goes well for one shard for a while."""
        for happens in (self.start, self.apply, self.drain, self.poll):
            happens(shard)
        if shard in self.workers:
            worker = self.workers[shard]
            worker.is_ready, worker.followed = True, worker.arriving

    def owned(self) -> list[frozenset[int]]:
        """What each worker may own in truth."""
        return [worker.slots | worker.letting_go for worker in self.workers.values()]

"""When a status is written: what is new at once, figures now and then, what is the same never."""

import dataclasses
from typing import Any

import pytest

from analysis_module import names
from analysis_module.status import ModuleStatus, ShardStatus
from analysis_operator.cluster.store import Store
from analysis_operator.decisions.observed import Module
from analysis_operator.reconciling.reporting import FIGURES_SECONDS, Reporter
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import documents, fleets

TOLD = ModuleStatus(phase=names.Phase.RUNNING, stations=5, lag=7, shards=(ShardStatus(shard=0, stations=5),))


class Reports:
    """A reporter, the module that it reports on, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.api.put(documents.a_module())
        self.store = Store()
        self.now = 0.0
        self.reporter = Reporter(self.api, self.store, lambda: self.now)  # type: ignore[arg-type]

    @property
    def module(self) -> Module:
        """The module as the API server has it."""
        found = self.api.objects[names.KIND, "default", "demo"]
        return fleets.a_module(status=found.get("status", {}))

    async def report(self, told: ModuleStatus) -> bool:
        """Report; whether it was written."""
        return await self.reporter.report(self.module, told)


@pytest.fixture
async def reports() -> Reports:
    made = Reports()
    await made.report(TOLD)
    return made


async def test_a_status_is_written_whole_and_known_at_once(reports: Reports) -> None:
    assert reports.module.status == TOLD.to_json()
    known = reports.store.module(reports.module.key)
    assert known is not None
    assert known.status == TOLD.to_json()


async def test_the_same_is_not_written_again_however_long(reports: Reports) -> None:
    reports.now += 3600
    assert not await reports.report(TOLD)
    assert reports.api.count("patch") == 1


FIGURES: list[dict[str, Any]] = [
    {"stations": 6},
    {"lag": 8},
    {"lag_seconds": 1.5},
    {"rate": 10.0},
    {"shards": (ShardStatus(shard=0, stations=6),)},
    {"shards": (ShardStatus(shard=0, stations=5, lag=3),)},
]


@pytest.mark.parametrize("figure", FIGURES, ids=str)
async def test_figures_are_written_every_half_minute(reports: Reports, figure: dict[str, Any]) -> None:
    told = dataclasses.replace(TOLD, **figure)
    reports.now += FIGURES_SECONDS - 1
    assert not await reports.report(told)
    reports.now += 1
    assert await reports.report(told)
    assert reports.module.status == told.to_json()


OTHERS: list[dict[str, Any]] = [
    {"phase": names.Phase.DEGRADED},
    {"ready": "1/2"},
    {"epoch": 2},
    {"shards": (ShardStatus(shard=0, stations=5, state="running"),)},
    {"shards": ()},
    {"dependants": ("a/b",)},
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
async def test_everything_else_is_written_at_once(reports: Reports, other: dict[str, Any]) -> None:
    assert await reports.report(dataclasses.replace(TOLD, **other))


async def test_figures_go_along_with_what_is_written_anyway(reports: Reports) -> None:
    await reports.report(dataclasses.replace(TOLD, lag=99, phase=names.Phase.DEGRADED))
    assert reports.module.status["lag"] == 99


async def test_an_operator_that_has_just_started_writes_figures_at_once(reports: Reports) -> None:
    reports.reporter.forget(reports.module.key)
    assert await reports.report(dataclasses.replace(TOLD, lag=8))


async def test_what_somebody_else_wrote_into_the_status_is_put_right(reports: Reports) -> None:
    document = reports.api.objects[names.KIND, "default", "demo"]
    reports.api.put({**document, "status": {**document["status"], "phase": "Dancing"}})
    assert await reports.report(TOLD)
    assert reports.module.status == TOLD.to_json()

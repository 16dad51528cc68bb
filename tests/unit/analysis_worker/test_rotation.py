"""Secrets that change while a worker runs: taken over, no record lost or doubled, or refused in peace."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from analysis_module import reading
from analysis_worker import rotation, service
from analysis_worker.observability import status
from tests.fakes.guarded import GuardedKafka
from tests.infrastructure.mounted_secret import MountedSecret
from tests.unit.analysis_worker.in_memory import INPUT, until
from tests.unit.analysis_worker.serving import SLOTS, Serving, sending, stations_of

OLD, NEW, WRONG = "old-pass-7141", "new-pass-9320", "wrong-pass-5566"
ALL = stations_of(range(SLOTS))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LOOK_SECONDS", 0.005)


class Rotating:
    """A module on brokers that want a password, which its workers read from a mounted Secret."""

    def __init__(self, directory: pathlib.Path, partitions: int = 2) -> None:
        self.secret = MountedSecret(directory / "secret", user="worker", password=OLD)
        security = {
            "protocol": "SASL_PLAINTEXT",
            "mechanism": "SCRAM-SHA-256",
            "username": self.secret.source("user"),
            "password": self.secret.source("password"),
        }
        kafka = {"bootstrapServers": ["in-memory:1"], "security": security}
        module_spec = reading.read_spec({"module": "load_prediction", "kafka": kafka})
        self.kafka = GuardedKafka(module_spec.kafka, OLD)
        self.kafka.create_topic(INPUT, partitions=partitions)
        self.serving = Serving(self.kafka)
        self.workers: list[service.Worker] = []

    @contextlib.asynccontextmanager
    async def running(
        self, owner: str = "a", slots: Iterable[int] = range(SLOTS)
    ) -> AsyncIterator[service.Worker]:
        """One worker of it."""
        async with self.serving.running(self.serving.told(owner, slots)) as worker:
            self.workers.append(worker)
            yield worker

    def change(self, password: str, *, known: bool = True) -> list[float | None]:
        """A new password, which the brokers know; returns when the workers' former ones were taken over."""
        if known:
            self.kafka.passwords.add(password)
        before = [worker.rotation.taken_at for worker in self.workers]
        self.secret.change(password=password)
        return before

    async def taken(self, before: list[float | None]) -> None:
        """Wait until every worker has taken over what `change` brought."""
        await until(
            lambda: all(w.rotation.taken_at != b for w, b in zip(self.workers, before, strict=True)),
            "the new password is taken over",
        )

    async def refused(self, before: tuple[str, ...] = ()) -> str:
        """Wait until a worker tells of a refusal other than that; what it tells."""
        (worker,) = self.workers
        await until(lambda: worker.rotation.refused not in ((), before), "the new password is refused")
        worker.report.refresh()
        (told,) = worker.report.status().credentials_refused
        return told

    def counted(self, metric: str, **labels: str) -> float | None:
        """A metric of the first worker."""
        registry = self.workers[0].metrics._registry
        return registry.get_sample_value(f"data_analysis_{metric}", labels)

    def assert_unsaid(self, log: pytest.LogCaptureFixture, *secrets: str) -> None:
        """No worker has shown one of these to anybody."""
        for worker in self.workers:
            worker.report.refresh()
            shown = json.dumps(status.status_document(worker.report.status()))
            counts = str(list(worker.metrics.collect()))
            for secret in secrets:
                assert secret not in log.text
                assert secret not in shown
                assert secret not in counts


@pytest.fixture
def made(tmp_path: pathlib.Path) -> Rotating:
    return Rotating(tmp_path)


# -- taken over -------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_new_password_in_mid_stream_loses_and_doubles_nothing_and_keeps_windows(
    tmp_path: pathlib.Path, partitions: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made = Rotating(tmp_path, partitions)
    async with made.running() as worker:
        stream = asyncio.create_task(sending(made.serving, ALL, 150))
        await made.serving.some_out(300)
        await made.taken(made.change(NEW))
        made.kafka.passwords.remove(OLD)
        made.kafka.cut_others()
        assert made.kafka.in_use() == [NEW, NEW], "and no client of before is left"
        assert not stream.done()
        await stream
        await made.serving.all_out()
        assert worker.failure is None
        assert made.counted("credentials_changes_total", result="taken") == 1
        assert made.counted("reconnects_total", client="consumer") == 1
        assert made.counted("reconnects_total", client="producer") == 1
        made.assert_unsaid(caplog, OLD, NEW)
    made.serving.assert_exact()
    assert "new credentials are taken over: kafka.security.password" in caplog.text


async def test_rotation_after_rotation_in_one_stream_is_exact(made: Rotating) -> None:
    async with made.running():
        stream = asyncio.create_task(sending(made.serving, ALL, 200))
        for number in range(8):
            await made.taken(made.change(f"{NEW}-{number}"))
            made.kafka.passwords = {f"{NEW}-{number}"}
            made.kafka.cut_others()
        await stream
        await made.serving.all_out()
    made.serving.assert_exact()


async def test_brokers_that_drop_the_old_password_before_the_new_one_is_noticed_delay_no_more_than_that(
    made: Rotating,
) -> None:
    async with made.running():
        stream = asyncio.create_task(sending(made.serving, ALL, 100))
        await made.serving.some_out(100)
        made.kafka.passwords = {NEW}
        made.kafka.cut_others()
        await until(lambda: len(made.kafka.sinks) > 2, "the producer tries to connect anew")
        await made.taken(made.change(NEW))
        await stream
        await made.serving.all_out()
    made.serving.assert_exact()


async def test_secrets_that_change_in_the_middle_of_a_hand_over_reach_both_workers(made: Rotating) -> None:
    serving = made.serving
    async with made.running("a", range(4)) as a, made.running("b", range(4, 8)) as b:
        serving.send(ALL, 100)
        await serving.all_out()
        stream = asyncio.create_task(sending(serving, ALL, 100))
        await a.apply(serving.told("a", {0, 1}, 1))
        gate = made.kafka.hold("source.committed")
        gaining = asyncio.create_task(b.apply(serving.told("b", range(2, 8), 1)))
        await until(lambda: b.moves.gains, "the gain has begun")
        before = made.change(NEW)
        await until(lambda: NEW in made.kafka.in_use(), "the new password is proven")
        gate.set()
        await made.taken(before)
        made.kafka.passwords = {NEW}
        made.kafka.cut_others()
        await gaining
        await until(lambda: not b.moves.gains, "the slots are taken over")
        await stream
        await serving.all_out()
        assert set(made.kafka.in_use()) == {NEW}
    serving.assert_exact()


async def test_a_worker_that_waits_for_slots_finds_them_by_the_new_password(made: Rotating) -> None:
    serving = made.serving
    async with made.running("a", range(4)) as a, made.running("b", range(4, 8)) as b:
        serving.send(ALL, 20)
        await serving.all_out()
        gaining = asyncio.create_task(b.apply(serving.told("b", range(2, 8), 1)))
        await until(lambda: len(made.kafka.in_use()) > 4, "it looks whether they are let go of")
        await made.taken(made.change(NEW))
        made.kafka.passwords = {NEW}
        made.kafka.cut_others()
        await a.apply(serving.told("a", {0, 1}, 1))
        await gaining
        await until(lambda: not b.moves.gains, "the slots are taken over")
        serving.send(ALL, 20)
        await serving.all_out()
        assert set(made.kafka.in_use()) == {NEW}
    serving.assert_exact()


async def test_what_is_under_way_to_the_brokers_is_acknowledged_by_the_producer_that_sent_it(
    made: Rotating,
) -> None:
    async with made.running() as worker:
        gate = made.kafka.hold("sink.send")
        made.serving.send(ALL)
        await until(lambda: made.kafka.calls["sink.send"], "outputs are under way")
        before = made.change(NEW)
        await until(lambda: OLD in made.kafka.in_use() and NEW in made.kafka.in_use(), "both are connected")
        assert worker.rotation.taken_at == before[0], "and it is not done"
        gate.set()
        await made.taken(before)
        await made.serving.all_out()
        assert OLD not in made.kafka.in_use()
    made.serving.assert_exact()


# -- refused ----------------------------------------------------------------------------------------


async def test_a_wrong_password_leaves_what_runs_as_it_is_and_is_told(
    made: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    async with made.running() as worker:
        made.serving.send(ALL, 3)
        before = made.change(WRONG, known=False)
        told = await made.refused()
        assert told.startswith("kafka.security.password: connect: SaslAuthenticationFailed")
        made.serving.send(ALL, 3)
        await made.serving.all_out()
        assert made.kafka.in_use() == [OLD, OLD], "and nothing of the attempt is left"
        await until(lambda: worker.state == "running", "it is ready")
        assert worker.failure is None
        assert [worker.rotation.taken_at] == before
        assert made.counted("credentials_changes_total", result="refused") == 1
        assert made.counted("reconnects_total", client="consumer") == 0
        made.assert_unsaid(caplog, OLD, WRONG)
    made.serving.assert_exact()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [f"new credentials do not work, those before stay in use; put them right: {told}"]


async def test_a_wrong_password_put_right_is_taken_over_and_the_refusal_forgotten(made: Rotating) -> None:
    async with made.running() as worker:
        before = made.change(WRONG, known=False)
        await made.refused()
        made.change(NEW)
        await made.taken(before)
        assert worker.rotation.refused == ()
        assert made.kafka.in_use() == [NEW, NEW]


async def test_the_password_of_before_put_back_ends_the_refusal_without_a_new_connection(
    made: Rotating,
) -> None:
    async with made.running() as worker:
        before = made.change(WRONG, known=False)
        await made.refused()
        clients = len(made.kafka.sinks)
        made.change(OLD)
        await until(lambda: worker.rotation.refused == (), "the refusal is forgotten")
        assert [worker.rotation.taken_at] == before
        assert len(made.kafka.sinks) == clients


async def test_a_client_that_must_connect_anew_meanwhile_uses_the_password_of_before(made: Rotating) -> None:
    async with made.running():
        made.change(WRONG, known=False)
        await made.refused()
        made.kafka.fail_next(1, "sink.send")
        made.serving.send(ALL)
        await made.serving.all_out()
        assert made.kafka.in_use() == [OLD, OLD]
        assert made.counted("reconnects_total", client="producer") == 1


async def test_a_password_that_the_brokers_learn_of_later_is_taken_over_then(
    made: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "REFUSED_SECONDS", 0.03)
    async with made.running():
        before = made.change(NEW, known=False)
        await made.refused()
        await until(
            lambda: (made.counted("credentials_changes_total", result="refused") or 0) > 2,
            "it is tried again",
        )
        made.kafka.passwords = {NEW}
        await made.taken(before)
        assert made.kafka.in_use() == [NEW, NEW]


async def test_refused_secrets_are_not_tried_at_every_look(made: Rotating) -> None:
    async with made.running() as worker:
        made.change(WRONG, known=False)
        await made.refused()
        tries = len(made.kafka.sinks)
        commits = worker.committer.commits
        await until(lambda: worker.committer.commits > commits + 5, "some time has passed")
        assert len(made.kafka.sinks) == tries


async def test_a_change_while_no_broker_answers_is_taken_over_once_one_does(
    made: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "UNANSWERED_SECONDS", 0.03)
    async with made.running():
        made.serving.send(ALL)
        await made.serving.all_out()
        made.kafka.disconnect()
        before = made.change(NEW)
        assert "no broker answers" in await made.refused()
        made.serving.send(ALL)
        made.kafka.passwords = {NEW}
        made.kafka.reconnect()
        made.kafka.cut_others()
        await made.taken(before)
        await made.serving.all_out()
    made.serving.assert_exact()


async def test_a_file_that_is_gone_is_named_and_what_runs_goes_on(made: Rotating) -> None:
    async with made.running() as worker:
        made.secret.remove("password")
        told = await made.refused()
        assert told.startswith("kafka.security.password: no file ")
        made.serving.send(ALL)
        await made.serving.all_out()
        made.change(NEW)
        await until(lambda: worker.rotation.refused == (), "it is there again")
        assert made.kafka.in_use() == [NEW, NEW]


@pytest.mark.parametrize("operation", ["sink.start", "source.start", "source.committed"])
async def test_an_attempt_that_fails_halfway_leaves_no_client_open(made: Rotating, operation: Any) -> None:
    async with made.running():
        error = ValueError(f"a text that may hold {NEW}")
        made.kafka.fail_next(1, operation, error)
        made.change(NEW)
        assert await made.refused() == "kafka.security.password: ValueError"
        assert made.kafka.in_use() == [OLD, OLD]


async def test_a_stop_in_the_middle_of_an_attempt_leaves_no_client_open(made: Rotating) -> None:
    async with made.running():
        held = made.kafka.hold("source.committed")
        made.change(NEW)
        await until(lambda: NEW in made.kafka.in_use(), "the attempt is under way")
    held.set()
    assert made.kafka.in_use() == []


async def test_a_stop_while_clients_are_changed_leaves_none_open_and_doubles_nothing(made: Rotating) -> None:
    async with made.running():
        gate = made.kafka.hold("sink.send")
        made.serving.send(ALL)
        await until(lambda: made.kafka.calls["sink.send"], "outputs are under way")
        made.change(NEW)
        await until(lambda: made.kafka.in_use().count(NEW) == 2, "the change is under way")
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert made.kafka.in_use() == []
    made.serving.assert_exact()


# -- without secrets --------------------------------------------------------------------------------


async def test_a_worker_without_files_of_secrets_tells_no_time() -> None:
    serving = Serving()
    async with serving.running() as worker:
        worker.report.refresh()
        shown = status.status_document(worker.report.status())["worker"]
    assert (shown["credentials_at"], shown["credentials_refused"]) == (None, ())


async def test_secrets_read_at_the_start_are_told_with_the_time(made: Rotating) -> None:
    async with made.running() as worker:
        worker.report.refresh()
        at = worker.report.status().credentials_at
        assert at is not None
        assert at <= worker.started_at + 1

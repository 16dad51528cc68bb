"""Two operators, one leads. When it is killed, told to stop, frozen or cut off, the other follows in time.

At no time do both write: the API server's audit log tells.
"""

import contextlib
import itertools
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, idle_modules, operator_account, waiting
from tests.infrastructure.api_proxy import ApiProxy
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess

NAMES = ("operator-a", "operator-b")
AFTER_A_KILL_SECONDS = 20.0
AFTER_A_STOP_SECONDS = 3.0
MODULES = 6
HAND_OVERS = 3
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


class Pair:
    """Two operators of one Lease, each with its own account, and modules that a thread edits all the time."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path) -> None:
        self.plane = plane
        self.namespace = namespace
        self.accounts = {
            name: OperatorAccount(plane, namespace, serves=[namespace], name=name) for name in NAMES
        }
        self._names = {account.user: name for name, account in self.accounts.items()}
        self.proxy = ApiProxy(self.accounts["operator-b"].kubeconfig, directory)
        self.modules = [idle_modules.driver(plane, namespace, f"m{index}") for index in range(MODULES)]
        self.edits = itertools.count(600)
        self._directory = directory
        self._ended = threading.Event()
        self._editing = threading.Thread(target=self._edit, daemon=True)
        self.operators: dict[str, OperatorProcess] = {}

    def __enter__(self) -> "Pair":
        self.proxy.__enter__()
        kubeconfigs = {
            "operator-a": self.accounts["operator-a"].kubeconfig,
            "operator-b": self.proxy.kubeconfig,
        }
        for name, kubeconfig in kubeconfigs.items():
            self.operators[name] = OperatorProcess(
                self._directory,
                kubeconfig,
                lease_namespace=self.namespace,
                name=name,
                settings=self.accounts[name].scope,
            ).start()
        self._editing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._editing.join()
        for operator in self.operators.values():
            operator.__exit__()
        self.proxy.__exit__()
        for account in self.accounts.values():
            account.require_nothing_refused()

    def _edit(self) -> None:
        while not self._ended.wait(0.05):
            number = next(self.edits)
            self.modules[number % MODULES].apply(expireAfterSeconds=number)

    def restore(self) -> tuple[OperatorProcess, OperatorProcess]:
        """Both of them run, ready; the leader and the other one."""
        for operator in self.operators.values():
            if not operator.is_running:
                operator.start()
        for operator in self.operators.values():
            operator.wait_until_ready()
        waiting.until(lambda: len(self.leaders()) == 1, what="one of them leads", timeout_seconds=60)
        leader = self.leaders()[0]
        return leader, next(each for each in self.operators.values() if each is not leader)

    def leaders(self) -> list[OperatorProcess]:
        """Those that say that they lead."""
        return [each for each in self.operators.values() if each.leads]

    def holder(self) -> str:
        """Who holds the Lease."""
        lease = self.plane.api.get(api_client.LEASES, "analysis-operator", namespace=self.namespace)
        return str(lease["spec"]["holderIdentity"])

    def until_reconciled_by(self, operator: OperatorProcess) -> None:
        """Wait until that operator has written to a module."""
        since = self.plane.audit_position()
        waiting.until(
            lambda: operator.name in self.writers(since),
            what=f"{operator.name} writes",
            timeout_seconds=60,
        )

    def writers(self, since: int) -> list[str]:
        """Who wrote, in the order of arrival at the API server; a series of writes of one counts once."""
        written = [event for event in self.plane.audit_events(since=since) if self._is_write(event)]
        written.sort(key=lambda event: str(event["requestReceivedTimestamp"]))
        return [name for name, _ in itertools.groupby(self._names[_user(event)] for event in written)]

    def _is_write(self, event: dict[str, Any]) -> bool:
        about = event.get("objectRef", {})
        return (
            _user(event) in self._names
            and event["verb"] in WRITES
            and about.get("namespace") == self.namespace
            and about.get("resource") != "leases"
        )


def _user(event: Mapping[str, Any]) -> str:
    return str(event["user"]["username"])


def until_ended(operator: OperatorProcess, seconds: float) -> int | None:
    waiting.until(lambda: not operator.is_running, what=f"{operator.name} ends", timeout_seconds=seconds)
    return operator.exit_code


def until_followed(other: OperatorProcess, seconds: float) -> None:
    waiting.until(lambda: other.leads, what=f"{other.name} leads", timeout_seconds=seconds)


@pytest.fixture(scope="module")
def shared_pair(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(idle_modules.namespaces(control_plane))("leaders")
        yield stack.enter_context(Pair(control_plane, namespace, tmp_path_factory.mktemp("leaders")))


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """Both run and one leads, whatever the test before did to them."""
    shared_pair.restore()
    return shared_pair


def test_one_leads_and_acts_while_the_other_is_ready_and_writes_nothing(pair: Pair) -> None:
    leader, other = pair.restore()
    since = pair.plane.audit_position()
    pair.until_reconciled_by(leader)
    assert (leader.leads, other.leads) == (True, False)
    assert other.reasons("/readyz") == []
    assert pair.writers(since) == [leader.name]


def test_a_killed_leader_is_followed_within_20_seconds(pair: Pair) -> None:
    leader, other = pair.restore()
    since = pair.plane.audit_position()
    pair.until_reconciled_by(leader)
    leader.kill()
    until_followed(other, AFTER_A_KILL_SECONDS)
    pair.until_reconciled_by(other)
    assert pair.writers(since) == [leader.name, other.name]


def test_a_leader_told_to_stop_is_followed_within_3_seconds(pair: Pair) -> None:
    leader, other = pair.restore()
    held_by = pair.holder()
    leader.signal(signal.SIGTERM)
    until_followed(other, AFTER_A_STOP_SECONDS)
    assert until_ended(leader, 30) == 0
    assert pair.holder() != held_by


def test_a_frozen_leader_writes_nothing_after_it_wakes_up_and_ends_by_an_error(pair: Pair) -> None:
    leader, other = pair.restore()
    since = pair.plane.audit_position()
    pair.until_reconciled_by(leader)
    leader.signal(signal.SIGSTOP)
    until_followed(other, AFTER_A_KILL_SECONDS)
    pair.until_reconciled_by(other)
    leader.signal(signal.SIGCONT)
    assert until_ended(leader, 30) == 1
    operator_account.until_audited(pair.plane)
    assert pair.writers(since) == [leader.name, other.name]


def test_a_leader_that_the_api_server_does_not_answer_ends_in_time_and_can_come_back(pair: Pair) -> None:
    while pair.restore()[0].name != "operator-b":
        leader, _ = pair.restore()
        leader.stop()
    leader, other = pair.restore()
    since = pair.plane.audit_position()
    pair.until_reconciled_by(leader)
    pair.proxy.silence()
    until_followed(other, AFTER_A_KILL_SECONDS)
    assert until_ended(leader, 30) == 1
    pair.until_reconciled_by(other)
    assert pair.writers(since) == [leader.name, other.name]
    pair.proxy.speak()
    leader.start().wait_until_ready()
    other.stop()
    leader.wait_until_leading()
    pair.until_reconciled_by(leader)


def test_in_a_series_of_hand_overs_amid_edits_the_writes_of_two_operators_never_mix(pair: Pair) -> None:
    expected = []
    since = pair.plane.audit_position()
    for _ in range(HAND_OVERS):
        leader, _ = pair.restore()
        expected.append(leader.name)
        pair.until_reconciled_by(leader)
        leader.stop()
    last = pair.restore()[0]
    pair.until_reconciled_by(last)
    operator_account.until_audited(pair.plane)
    assert pair.writers(since) == [*expected, last.name]

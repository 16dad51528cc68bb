"""One module that cannot be served delays none of 200 others."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from analysis_module import names
from tests.infrastructure import api_client, idle_modules, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess

OTHERS = 200
LEFT_BEHIND = 1_200
PATIENCE_SECONDS = 240.0
FAILURES = 3


class HangingWorker:
    """A server at a worker's port, of an address of its own, that accepts and never answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.accepted = 0
        self._server = socket.create_server((address, names.HTTP_PORT))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "HangingWorker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        for each in self._held:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the server's end
            while True:
                self._held.append(self._server.accept()[0])
                self.accepted += 1


class Crowd:
    """200 modules in a namespace, an operator, and what a test asks of all of them at once."""

    def __init__(self, plane: ControlPlane, namespace: str, operator: OperatorProcess) -> None:
        self.plane = plane
        self.namespace = namespace
        self.operator = operator
        self.others: Sequence[ModuleDriver] = ()

    def fill(self) -> None:
        """Make the 200."""
        with ThreadPoolExecutor(8) as pool:
            self.others = list(pool.map(self.one, (f"m{index}" for index in range(OTHERS))))

    def one(self, name: str) -> ModuleDriver:
        """One module more."""
        return idle_modules.driver(self.plane, self.namespace, name, expireAfterSeconds=601)

    def leave_behind(self, number: int) -> None:
        """A ConfigMap of a module that is no more."""
        labels = {names.LABEL_MANAGED_BY: names.OPERATOR_NAME, names.LABEL_MODULE: "no-more"}
        metadata = {"name": f"left-{number}", "namespace": self.namespace, "labels": labels}
        self.plane.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    def edit_all(self) -> None:
        """One hot edit of each of the 200."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_edit, self.others))

    def until_all_are_caught_up(self) -> None:
        """Wait until the newest spec of each of the 200 is in its ConfigMap and told by its status."""
        for module in self.others:
            self.until(partial(idle_modules.is_caught_up, module), f"{module.name} is caught up")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; the error tells the end of the operator's log."""
        try:
            waiting.until(condition, what=what, timeout_seconds=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the operator's log:\n{self.operator.log()[-3000:]}") from error

    def resyncs(self) -> float:
        """How often the operator has compared what it knows with the API server."""
        return self.operator.metric("analysis_operator_resyncs_total")

    def failed_passes(self, reason: str) -> float:
        """How many passes have failed for that reason."""
        return self.operator.metric("analysis_operator_reconcile_errors_total", reason=reason)


def _edit(module: ModuleDriver) -> None:
    module.apply(expireAfterSeconds=int(module.spec["expireAfterSeconds"]) + 1)


@pytest.fixture(scope="module")
def crowd(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """An operator that has to fail for one module from its first moment on, then the 200."""
    with idle_modules.namespaces(control_plane) as make:
        namespace = make("isolation")
        account = OperatorAccount(control_plane, namespace, serves=[namespace])
        operator = OperatorProcess(
            tmp_path_factory.mktemp("isolation"),
            account.kubeconfig,
            lease_namespace=namespace,
            settings={**account.scope, "resyncSeconds": 5, "statusSeconds": 5},
        )
        with operator:
            crowd = Crowd(control_plane, namespace, operator)
            control_plane.api.create(_somebody_elses("taken-0", namespace))
            crowd.one("taken")
            operator.wait_until_leading()
            crowd.fill()
            yield crowd
        account.require_nothing_refused()


def _somebody_elses(name: str, namespace: str) -> dict[str, Any]:
    labels = {"app": "another"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def test_200_are_planned_and_edited_while_the_name_of_one_is_taken(crowd: Crowd) -> None:
    crowd.until_all_are_caught_up()
    waiting.until(
        lambda: crowd.failed_passes("NameTaken") >= FAILURES,
        what="it fails",
        timeout_seconds=PATIENCE_SECONDS,
    )
    crowd.edit_all()
    crowd.until_all_are_caught_up()
    assert crowd.operator.metric("analysis_operator_modules_failing") == 1
    taken = crowd.plane.api.get(api_client.DEPLOYMENTS, "taken-0", namespace=crowd.namespace)
    assert taken["spec"]["selector"]["matchLabels"] == {"app": "another"}


def test_200_are_edited_while_the_worker_of_one_accepts_and_never_answers(crowd: Crowd) -> None:
    crowd.until_all_are_caught_up()
    hanging = crowd.one("hanging")
    hanging.until_pods(1)
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with HangingWorker(address) as worker:
        _run_at(crowd.plane, crowd.namespace, next(iter(hanging.pods())), worker.address)
        crowd.until(lambda: worker.accepted > 0, "it is asked")
        crowd.edit_all()
        crowd.until_all_are_caught_up()
        crowd.until(lambda: worker.accepted >= FAILURES, "it is asked again and again")


def test_in_a_burst_of_edits_and_objects_no_watch_is_thought_to_be_silent(crowd: Crowd) -> None:
    crowd.until_all_are_caught_up()
    crowd.edit_all()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(crowd.leave_behind, range(LEFT_BEHIND)))
    compared = crowd.resyncs()
    crowd.until_all_are_caught_up()
    crowd.until(lambda: crowd.resyncs() >= compared + 2, "the resync has looked twice")
    assert crowd.operator.metric("analysis_operator_watch_missed_total") == 0
    assert crowd.operator.reasons("/livez") == []


def _run_at(plane: ControlPlane, namespace: str, pod: str, address: str) -> None:
    """Say, as a kubelet would, that the pod runs and has that address."""
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    plane.api.patch(api_client.PODS, pod, status, namespace=namespace, subresource="status")

"""Each alert on the operator fires by its real fault, with real workers, API server and Prometheus."""

import contextlib
import copy
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.infrastructure import (
    api_client,
    api_proxy,
    idle_modules,
    numbered_stream,
    process_node,
    waiting,
    watched,
)
from tests.infrastructure.api_proxy import Asked, Matches
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.kafka_cluster import KafkaEndpoint
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess
from tests.infrastructure.process_node import ProcessNode
from tests.infrastructure.watched import Watched

FIRST, SECOND = "operator-first", "operator-second"
SETTINGS = {"concurrency": 1, "resyncSeconds": 2}
"""One pass at a time, so that modules wait for each other; watches are held against lists every 2 s."""
MODULES = ("m0", "m1", "m2")
EDIT_EVERY_SECONDS = 0.2
NO_END = 1_000_000_000
PATIENCE_SECONDS = 60.0


def leases(asked: Asked) -> bool:
    return asked.plural == "leases"


def watches_of_config_maps(asked: Asked) -> bool:
    return asked == Asked("watch", "configmaps")


def writes_of_config_maps(asked: Asked) -> bool:
    return asked == Asked("patch", "configmaps")


class Scene:
    """An operator behind a proxy, watched, and three modules whose workers run."""

    def __init__(
        self, plane: ControlPlane, namespace: str, node: ProcessNode, prometheus: Watched, directory: Path
    ) -> None:
        self.plane = plane
        self.namespace = namespace
        self.node = node
        self.prometheus = prometheus
        self.account = OperatorAccount(plane, namespace, serves=[namespace])
        self.proxy = api_proxy.ApiProxy(self.account.kubeconfig, directory)
        self.modules = [ModuleDriver(plane, namespace, name) for name in MODULES]
        self._directory = directory
        self._refused: Matches = lambda _: False
        self._edits = itertools.count(601)

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        self.proxy.refuse(lambda asked: self._refused(asked), api_proxy.BROKEN, NO_END)
        self.operator = self.another(FIRST, self.proxy.kubeconfig)
        return self

    def __exit__(self, *_: object) -> None:
        self.operator.__exit__()
        self.proxy.__exit__()

    def another(self, name: str, kubeconfig: Path) -> OperatorProcess:
        """An operator of the same release, started and scraped as a pod of that name."""
        operator = OperatorProcess(
            self._directory,
            kubeconfig,
            lease_namespace=self.namespace,
            name=name,
            settings={**self.account.scope, **SETTINGS},
        ).start()
        self.prometheus.operator(operator, namespace=self.namespace, pod=name)
        return operator

    @contextlib.contextmanager
    def refusing(self, which: Matches) -> Iterator[None]:
        """While it lasts the API server answers such requests with an error of its own."""
        self._refused = which
        try:
            yield
        finally:
            self._refused = lambda _: False

    @contextlib.contextmanager
    def edited_steadily(self) -> Iterator[None]:
        """While it lasts a user edits the first module again and again."""
        enough = threading.Event()

        def edit() -> None:
            while not enough.wait(EDIT_EVERY_SECONDS):
                self.edit()

        editing = threading.Thread(target=edit, daemon=True)
        editing.start()
        try:
            yield
        finally:
            enough.set()
            editing.join()

    def edit(self) -> None:
        """A hot edit of the first module."""
        self.modules[0].apply(expireAfterSeconds=next(self._edits))

    @contextlib.contextmanager
    def frozen(self, *modules: ModuleDriver) -> Iterator[None]:
        """While it lasts the workers of these modules hang."""
        pods = [pod for module in modules for pod in module.pods()]
        for pod in pods:
            self.node.freeze(pod)
        try:
            yield
        finally:
            for pod in pods:
                self.node.thaw(pod)

    @contextlib.contextmanager
    def without_right(self, verb: str, resource: str) -> Iterator[None]:
        """While it lasts the operator's Role lacks one right."""
        (role,) = (each for each in self.account.documents if resource in json.dumps(each.get("rules")))
        lacking = copy.deepcopy(role)
        for rule in lacking["rules"]:
            if resource in rule["resources"]:
                rule["verbs"].remove(verb)
        self.plane.api.apply(lacking, manager="helm")
        try:
            yield
        finally:
            self.plane.api.apply(role, manager="helm")

    def failing(self) -> float:
        """Of how many modules the last pass failed."""
        return self.operator.metric("analysis_operator_modules_failing")

    def until_firing(self, name: str, **labels: str) -> None:
        """Wait until the alert fires for the release, with these labels."""
        self.prometheus.until_firing(name, namespace=self.namespace, **labels)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Watched]:
    with Watched() as prometheus:
        yield prometheus


@pytest.fixture(scope="module")
def scene(
    control_plane: ControlPlane,
    kafka: KafkaEndpoint,
    prometheus: Watched,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("alerts")
    with idle_modules.namespaces(control_plane) as make, process_node.ProcessNode(control_plane) as node:
        with Scene(control_plane, make("alerts"), node, prometheus, directory) as scene:
            for module in scene.modules:
                module.apply(numbered_stream.make(kafka.bootstrap_servers, module.name).spec())
            for module in scene.modules:
                module.until_phase("Running")
            yield scene
        # Nothing was forbidden but what a test had taken away.
        assert [each for each in scene.account.refused() if not each.startswith("patch ")] == []
        assert all("/configmaps/" in each for each in scene.account.refused())


def test_an_operator_that_is_gone_is_told_and_one_that_does_not_get_the_lease_too(
    scene: Scene, prometheus: Watched
) -> None:
    prometheus.until_quiet("AnalysisOperatorDown", "AnalysisOperatorNoLeader")

    scene.operator.stop()

    prometheus.until_firing("AnalysisOperatorDown", severity="critical")
    with scene.refusing(leases):
        scene.operator.start()
        scene.until_firing("AnalysisOperatorNoLeader", service=watched.SERVICE)
        prometheus.until_quiet("AnalysisOperatorDown")
    prometheus.until_quiet("AnalysisOperatorNoLeader")
    scene.operator.wait_until_leading()


def test_a_leader_cut_off_from_its_lease_and_the_one_who_has_taken_it_are_told_until_the_first_ends(
    scene: Scene, prometheus: Watched
) -> None:
    with scene.another(SECOND, scene.account.kubeconfig) as second:
        second.wait_until_ready()
        prometheus.until_scraped(second, SECOND)
        prometheus.until_quiet("AnalysisOperatorManyLeaders")

        scene.proxy.silence(leases)
        scene.plane.api.delete(api_client.LEASES, "analysis-operator", namespace=scene.namespace)

        scene.until_firing("AnalysisOperatorManyLeaders", service=watched.SERVICE)
        prometheus.until_quiet("AnalysisOperatorManyLeaders")
        waiting.until(
            lambda: not scene.operator.is_running, what="the first ends", timeout_seconds=PATIENCE_SECONDS
        )
        assert scene.operator.exit_code == 1
        scene.proxy.speak()
        scene.operator.start()
        second.stop()
    prometheus.forget(SECOND)
    scene.operator.wait_until_leading()


def test_a_hot_edit_that_a_worker_takes_over_late_is_told(scene: Scene, prometheus: Watched) -> None:
    scene.modules[0].until_settled()
    prometheus.until_quiet("AnalysisOperatorHotEditsSlow")

    with scene.frozen(scene.modules[0]):
        scene.edit()
        waiting.until(
            lambda: bool(prometheus.firing("AnalysisModuleConfigLagging", name=MODULES[0])),
            what="the edit has been on its way for long",
            timeout_seconds=PATIENCE_SECONDS,
        )

    scene.until_firing("AnalysisOperatorHotEditsSlow", service=watched.SERVICE)


def test_workers_that_hang_are_told_by_slow_passes_and_by_modules_that_wait_until_they_go_on(
    scene: Scene, prometheus: Watched
) -> None:
    prometheus.until_quiet("AnalysisOperatorQueueOld", "AnalysisOperatorPassesSlow")

    with scene.frozen(*scene.modules):
        scene.until_firing("AnalysisOperatorQueueOld", pod=FIRST)
        scene.until_firing("AnalysisOperatorPassesSlow", service=watched.SERVICE)

    prometheus.until_quiet("AnalysisOperatorQueueOld", "AnalysisOperatorPassesSlow")


def test_a_watch_that_brings_nothing_is_told_by_its_resource_once_the_comparison_finds_what_it_missed(
    scene: Scene, prometheus: Watched
) -> None:
    prometheus.until_quiet("AnalysisOperatorWatchMissed")

    scene.proxy.silence(watches_of_config_maps)
    scene.plane.api.delete(api_client.CONFIG_MAPS, f"{MODULES[0]}-0", namespace=scene.namespace)

    scene.until_firing("AnalysisOperatorWatchMissed", service=watched.SERVICE, resource="configmaps")
    scene.proxy.speak()
    scene.proxy.cut()


def test_an_api_server_that_fails_is_told_by_failed_requests_and_failed_passes_until_it_is_well(
    scene: Scene, prometheus: Watched
) -> None:
    prometheus.until_quiet("AnalysisOperatorApiErrors", "AnalysisOperatorReconcileErrors")

    with scene.edited_steadily():
        with scene.refusing(writes_of_config_maps):
            scene.until_firing("AnalysisOperatorApiErrors", service=watched.SERVICE)
            scene.until_firing("AnalysisOperatorReconcileErrors", service=watched.SERVICE)
        prometheus.until_quiet("AnalysisOperatorApiErrors", "AnalysisOperatorReconcileErrors")


def test_a_right_that_is_missing_is_told_by_verb_and_resource_until_it_is_given(
    scene: Scene, prometheus: Watched
) -> None:
    prometheus.until_quiet("AnalysisOperatorForbidden")

    with scene.edited_steadily():
        with scene.without_right("patch", "configmaps"):
            labels = {"service": watched.SERVICE, "verb": "patch", "resource": "configmaps"}
            scene.until_firing("AnalysisOperatorForbidden", **labels)
        prometheus.until_quiet("AnalysisOperatorForbidden")


def test_a_module_whose_config_maps_name_is_taken_is_told_as_failing_until_it_goes(
    scene: Scene, prometheus: Watched
) -> None:
    waiting.until(lambda: scene.failing() == 0, what="no module fails", timeout_seconds=PATIENCE_SECONDS)
    prometheus.until_quiet("AnalysisOperatorModulesFailing")

    somebody_elses = {"name": "taken-0", "namespace": scene.namespace}
    scene.plane.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": somebody_elses})
    taken = idle_modules.driver(scene.plane, scene.namespace, "taken")

    scene.until_firing("AnalysisOperatorModulesFailing", pod=FIRST)
    assert scene.failing() == 1
    taken.delete()
    prometheus.until_quiet("AnalysisOperatorModulesFailing")

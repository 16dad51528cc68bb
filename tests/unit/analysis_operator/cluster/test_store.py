"""What watches bring and answers bring, in whatever order: the newest state stays, and little of it."""

import json
import tracemalloc
from typing import Any

import pytest

from analysis_module import names
from analysis_operator.cluster.store import ANNOTATION_PAUSED, Store, owner_of
from analysis_operator.decisions import pods
from analysis_operator.decisions.observed import Key, Pod
from tests.unit.analysis_operator import documents, fleets

DEMO = Key("default", "demo")


@pytest.fixture
def changed() -> list[Key]:
    return []


@pytest.fixture
def store(changed: list[Key]) -> Store:
    return Store(changed.append)


def generation(store: Store) -> int:
    module = store.module(DEMO)
    assert module is not None
    return module.generation


def one_pod(store: Store, document: dict[str, Any]) -> Pod:
    store.put(document)
    (pod,) = store.pods(DEMO)
    return pod


class TestPut:
    def test_a_new_object_is_told(self, store: Store, changed: list[Key]) -> None:
        assert store.put(documents.a_module())
        assert changed == [DEMO]

    @pytest.mark.parametrize("version", [4, 5])
    def test_an_older_or_equal_version_changes_nothing(
        self, store: Store, changed: list[Key], version: int
    ) -> None:
        store.put(documents.a_module(version=5, generation=2))
        assert not store.put(documents.a_module(version=version, generation=1))
        assert generation(store) == 2
        assert changed == [DEMO]

    def test_versions_are_compared_as_numbers(self, store: Store) -> None:
        store.put(documents.a_module(version=9, generation=1))
        assert store.put(documents.a_module(version=10, generation=2))
        assert generation(store) == 2

    def test_another_incarnation_replaces_what_was_known(self, store: Store) -> None:
        store.put(documents.a_module(version=9))
        assert store.put(documents.a_module(version=10, uid="uid-2"))
        module = store.module(DEMO)
        assert module is not None
        assert module.uid == "uid-2"

    def test_an_object_without_the_label_is_nobodys(self, store: Store) -> None:
        stray = documents.a_child("ConfigMap", "x")
        del stray["metadata"]["labels"]
        assert not store.put(stray)
        assert store.all_keys() == []

    def test_objects_of_a_module_that_is_not_known_are_kept(self, store: Store) -> None:
        store.put(documents.a_child("ConfigMap", "demo-0"))
        assert store.all_keys() == [DEMO]
        assert store.module(DEMO) is None


class TestDrop:
    def test_what_is_gone_is_forgotten_and_told(self, store: Store, changed: list[Key]) -> None:
        store.put(documents.a_module())
        assert store.drop(documents.a_module())
        assert store.module(DEMO) is None
        assert changed == [DEMO, DEMO]
        assert store.all_keys() == []

    def test_the_end_of_another_incarnation_is_ignored(self, store: Store, changed: list[Key]) -> None:
        store.put(documents.a_module(uid="uid-2"))
        assert not store.drop(documents.a_module(uid="uid-1"))
        assert store.module(DEMO) is not None
        assert changed == [DEMO]

    def test_what_was_never_known_is_no_news(self, store: Store, changed: list[Key]) -> None:
        assert not store.drop(documents.a_child("Service", "demo"))
        assert changed == []

    def test_a_child_that_we_deleted_ourselves_is_no_news(self, store: Store, changed: list[Key]) -> None:
        store.put(documents.a_child("ConfigMap", "demo-0"))
        store.drop_child(DEMO, "ConfigMap", "demo-0")
        store.drop_child(DEMO, "ConfigMap", "demo-0")
        assert (store.children(DEMO, "uid-1"), changed) == ((), [DEMO])
        assert store.all_keys() == []


class TestChildren:
    def test_are_given_as_they_were_but_for_managed_fields(self, store: Store) -> None:
        document = documents.a_child("ConfigMap", "demo-0", data={"a": "ä"})
        store.put(document)
        (child,) = store.children(DEMO, "uid-1")
        del document["metadata"]["managedFields"]
        assert child.document == document
        assert (child.kind, child.name) == ("ConfigMap", "demo-0")

    def test_of_a_namesake_are_not_the_modules(self, store: Store) -> None:
        store.put(documents.a_child("ConfigMap", "demo-0", owner="uid-0"))
        assert store.children(DEMO, "uid-1") == ()
        assert len(store.children(DEMO, "uid-0")) == 1

    def test_without_an_owner_count_so_that_it_is_put_right(self, store: Store) -> None:
        store.put(documents.a_child("ConfigMap", "demo-0", owner=None))
        assert len(store.children(DEMO, "uid-1")) == 1

    def test_of_one_name_and_several_kinds_are_told_apart(self, store: Store) -> None:
        for kind in ("Service", "PodDisruptionBudget"):
            store.put(documents.a_child(kind, "demo"))
        assert len(store.children(DEMO, "uid-1")) == 2


class TestModules:
    def test_are_read_with_all_that_decisions_need(self, store: Store) -> None:
        annotations = {ANNOTATION_PAUSED: "true"}
        status = {"phase": "Running"}
        store.put(documents.a_module(annotations=annotations, deletionTimestamp="now", status=status))
        (module,) = store.modules()
        assert (module.key, module.uid, module.generation) == (DEMO, "uid-1", 1)
        assert (module.paused, module.deleting, module.status) == (True, True, status)
        assert module.spec == fleets.SHORTEST

    @pytest.mark.parametrize("annotations", [None, {}, {ANNOTATION_PAUSED: "false"}])
    def test_are_paused_by_one_word_only(self, store: Store, annotations: Any) -> None:
        store.put(documents.a_module(annotations=annotations))
        module = store.module(DEMO)
        assert module is not None
        assert not module.paused

    @pytest.mark.parametrize("part", ["spec", "status"])
    def test_of_odd_content_are_read_as_empty(self, store: Store, part: str) -> None:
        store.put({**documents.a_module(), part: ["odd"]})
        module = store.module(DEMO)
        assert module is not None
        assert getattr(module, part) == {}


class TestPods:
    def test_are_kept_as_what_decisions_need(self, store: Store) -> None:
        annotations = {names.ANNOTATION_CONFIG_STAMP: "h-1.5", pods.ANNOTATION_ROLLOUT: "r"}
        assert one_pod(store, documents.a_pod(shard=3, annotations=annotations)) == Pod(
            name="demo-0-a",
            uid="uid-Pod-demo-0-a",
            shard=3,
            ip="10.0.0.1",
            ready=True,
            stamp="h-1.5",
            rollout="r",
        )

    def test_that_have_just_been_made_are_there_and_not_ready(self, store: Store) -> None:
        pod = one_pod(store, documents.a_pod(status={}))
        assert (pod.ip, pod.alive, pod.ready, pod.waiting, pod.restarts) == (None, True, False, None, 0)

    @pytest.mark.parametrize(("phase", "alive"), [("Pending", True), ("Failed", False), ("Succeeded", False)])
    def test_are_alive_until_no_process_of_theirs_can_run(
        self, store: Store, phase: str, alive: bool
    ) -> None:
        assert one_pod(store, documents.a_pod(status={"phase": phase})).alive is alive

    def test_being_deleted_are_terminating_and_alive(self, store: Store) -> None:
        pod = one_pod(store, documents.a_pod(deletionTimestamp="now"))
        assert (pod.terminating, pod.alive) == (True, True)

    @pytest.mark.parametrize(
        ("reason", "waiting"),
        [("ImagePullBackOff", "ImagePullBackOff"), ("ContainerCreating", None), ("PodInitializing", None)],
    )
    def test_say_what_they_wait_for_if_it_is_extraordinary(
        self, store: Store, reason: str, waiting: str | None
    ) -> None:
        containers = [{"restartCount": 2, "state": {"waiting": {"reason": reason}}}, {"restartCount": 1}]
        pod = one_pod(store, documents.a_pod(status={"containerStatuses": containers}))
        assert (pod.waiting, pod.restarts) == (waiting, 3)

    @pytest.mark.parametrize("label", ["odd", "", "-1"])
    def test_with_an_odd_label_are_of_no_shard(self, store: Store, label: str) -> None:
        document = documents.a_pod()
        document["metadata"]["labels"][names.LABEL_SHARD] = label
        assert one_pod(store, document).shard == -1

    def test_are_given_by_name_and_are_no_children(self, store: Store) -> None:
        for name in ("demo-1-b", "demo-0-a"):
            store.put(documents.a_pod(name))
        assert [pod.name for pod in store.pods(DEMO)] == ["demo-0-a", "demo-1-b"]
        assert store.children(DEMO, "uid-1") == ()


def test_what_is_known_is_listed_by_kind_for_the_comparison(store: Store) -> None:
    store.put(documents.a_module(version=7))
    store.put(documents.a_child("ConfigMap", "demo-0", version=8, uid="u"))
    assert store.known(names.KIND) == {(DEMO, "demo"): ("uid-1", 7)}
    assert store.known("ConfigMap") == {(DEMO, "demo-0"): ("u", 8)}
    assert store.known("Pod") == {}


def test_an_owner_is_read_off_the_label() -> None:
    assert owner_of(documents.a_module("other")) == Key("default", "other")
    assert owner_of(documents.a_child("Service", "x", module="m")) == Key("default", "m")
    assert owner_of({"kind": "Pod", "metadata": {"namespace": "n", "name": "p", "labels": None}}) is None


def test_modules_of_seven_objects_take_less_than_40_kib_each() -> None:
    fleet = fleets.settled(fleets.with_workers(replicas=2))
    objects = [json.dumps(document) for document in fleet.objects.values()]
    assert len(objects) == 7
    status = fleet.module.status
    store = Store()
    tracemalloc.start()
    for number in range(200):
        name = f"module-{number}"
        store.put(documents.a_module(name, status=status))
        for text in objects:
            document = json.loads(text.replace("demo", name))
            store.put(document)
        for shard in range(2):
            pod = documents.a_pod(f"{name}-{shard}-x", shard=shard)
            pod["metadata"]["labels"][names.LABEL_MODULE] = name
            store.put(pod)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store.all_keys()) == 200
    assert taken < 200 * 40 * 2**10

"""A rescale on a real API server: slots are followed before they move. The workers are status pages alone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis_module import names
from tests.infrastructure import operated_namespace
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operated_namespace import OperatedNamespace
from tests.infrastructure.status_page import StatusPage

ALL, FIRST, SECOND = frozenset(range(64)), frozenset(range(32)), frozenset(range(32, 64))
NONE: frozenset[int] = frozenset()
LOOKS = 3


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatedNamespace]:
    directory: Path = tmp_path_factory.mktemp("operator")
    with operated_namespace.operated(control_plane, directory, "following") as place:
        yield place


@contextlib.contextmanager
def scaled_to_two(module: ModuleDriver, *, older: bool) -> Iterator[tuple[StatusPage, StatusPage]]:
    """One worker that serves, and a second one that has just become ready; both say what they follow."""
    module.apply(operated_namespace.spec(module.name, workers={"replicas": 1}))
    module.until_pods(1)
    with StatusPage(module, 0) as first:
        first.become_ready()
        module.until_settled()
        module.scale(2)
        module.until_pods(2)
        with StatusPage(module, 1) as second:
            second.followed = None if older else ()
            second.become_ready()
            yield first, second


def is_told(module: ModuleDriver, shard: int, slots: frozenset[int], arriving: frozenset[int]) -> bool:
    told = module.assignments()[shard]
    return (told.slots, told.arriving) == (slots, arriving)


def stamps(page: StatusPage) -> list[str]:
    annotations = page.pod()["metadata"].get("annotations") or {}
    return [each for name, each in annotations.items() if name == names.ANNOTATION_CONFIG_STAMP]


def test_a_slot_is_let_go_of_once_the_page_of_its_gainer_says_that_it_has_been_followed(
    place: OperatedNamespace,
) -> None:
    module = place.module("followed")
    with scaled_to_two(module, older=False) as (first, second):
        module.until(lambda: is_told(module, 1, NONE, SECOND), "shard 1 is told what will arrive")
        module.until(lambda: stamps(second) != [], "the kubelet of shard 1 is brought to sync its volume")
        second.take_over()
        seen = second.asked
        module.until(lambda: second.asked > seen + LOOKS, "shard 1 is asked again and again")
        assert is_told(module, 0, ALL, NONE)
        assert module.condition("Progressing")["message"] == "shard 1 follows 32-63"

        second.followed = SECOND
        module.until(lambda: is_told(module, 0, FIRST, NONE), "shard 0 is told to let go")
        seen = second.asked
        module.until(lambda: second.asked > seen + LOOKS, "shard 1 is asked again and again")
        assert is_told(module, 1, NONE, SECOND)
        first.take_over()
        module.until(lambda: is_told(module, 1, SECOND, NONE), "shard 1 has its slots")

        second.take_over()
        second.followed = ()
        module.until_settled()
        shards = module.status["shards"]
        assert [(each["slots"], each["arriving"]) for each in shards] == [("0-31", ""), ("32-63", "")]


def test_a_worker_of_an_older_version_is_told_nothing_beforehand_and_not_waited_for(
    place: OperatedNamespace,
) -> None:
    module = place.module("older")
    with scaled_to_two(module, older=True) as (first, _):
        module.until(lambda: is_told(module, 0, FIRST, NONE), "shard 0 is told to let go")
        assert is_told(module, 1, NONE, NONE)
        first.take_over()
        module.until(lambda: is_told(module, 1, SECOND, NONE), "shard 1 has its slots")

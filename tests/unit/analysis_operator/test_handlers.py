"""kopf as the watch layer: what is watched, and that nothing is written."""

from typing import Any

import kopf
import pytest

from analysis_operator import handlers
from analysis_operator.cluster import resources


async def login() -> Any:
    return None


def seen(*_: Any) -> None:
    pass


def test_every_kind_that_decisions_need_is_watched() -> None:
    registry = handlers.registry(seen, login)
    watched = [handler.id for handler in registry._watching.get_all_handlers()]
    assert watched == [f"wake-{resource.plural}" for resource in resources.WATCHED]


def test_kopf_handles_no_change_by_itself_and_so_needs_no_finalizer() -> None:
    registry = handlers.registry(seen, login)
    assert list(registry._changing.get_all_handlers()) == []
    assert list(registry._spawning.get_all_handlers()) == []


def test_only_what_bears_our_label_is_watched_of_others_kinds() -> None:
    selectors = handlers.settings().watching.label_selectors
    assert set(selectors.values()) == {resources.OWN_SELECTOR}
    assert len(selectors) == len(resources.WATCHED) - 1


def test_kopf_posts_nothing_scans_nothing_and_elects_nobody() -> None:
    made = handlers.settings()
    assert made.peering.standalone
    assert not made.posting.enabled
    assert made.scanning.disabled


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED", "DELETED", None])
async def test_an_event_reaches_the_one_function_with_its_resource(event: str | None) -> None:
    told: list[Any] = []
    registry = handlers.registry(lambda *what: told.append(what), login)
    for handler in registry._watching.get_all_handlers():
        await handler.fn(event={"type": event, "object": {"metadata": {}}})
    assert [resource for resource, *_ in told] == list(resources.WATCHED)
    assert {(kind, str(document)) for _, kind, document in told} == {(event, "{'metadata': {}}")}


def test_settings_are_kopfs_own() -> None:
    assert isinstance(handlers.settings(), kopf.OperatorSettings)

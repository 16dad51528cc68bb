"""What an operator does not see happen it learns all the same: after cuts, silence, refusals, a restart.

After each fault three things have happened meanwhile: an edit, the loss of an object it made, the end of a
module. They are caught up with within 75 s, or /livez fails and the operator is started again.
"""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure import api_client, api_proxy, idle_modules, waiting
from tests.infrastructure.api_proxy import ApiProxy
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess

CAUGHT_UP_SECONDS = 75.0
QUICK_RESYNC = {"resyncSeconds": 5}
WATCHED = 7


class Scene:
    """An operator behind a proxy, and three modules to which things happen."""

    def __init__(
        self, plane: ControlPlane, namespace: str, directory: Path, settings: dict[str, Any]
    ) -> None:
        self.plane = plane
        self.namespace = namespace
        self.account = OperatorAccount(plane, namespace, serves=[namespace])
        self.proxy = ApiProxy(self.account.kubeconfig, directory)
        self.edited, self.robbed, self.ended = (
            idle_modules.driver(plane, namespace, name, expireAfterSeconds=601)
            for name in ("edited", "robbed", "ended")
        )
        self._directory = directory
        self._settings = {**self.account.scope, **settings}
        self._lost = ""
        self._since = 0

    def __enter__(self) -> "Scene":
        self.proxy.__enter__()
        self.operator = OperatorProcess(
            self._directory,
            self.proxy.kubeconfig,
            lease_namespace=self.namespace,
            name=f"operator-{self.namespace}",
            settings=self._settings,
        ).start()
        self.operator.wait_until_leading()
        self.until(lambda: all(map(idle_modules.is_caught_up, self.modules)), "all modules are planned")
        return self

    def __exit__(self, *_: object) -> None:
        self.operator.__exit__()
        self.proxy.__exit__()
        self.account.require_nothing_refused()

    @property
    def modules(self) -> tuple[ModuleDriver, ...]:
        """All of them."""
        return self.edited, self.robbed, self.ended

    def happen(self) -> None:
        """An edit, a loss and an end, of which the operator should hear by its watches."""
        self._since = self.plane.audit_position()
        self.edited.apply(expireAfterSeconds=int(self.edited.spec["expireAfterSeconds"]) + 1)
        self.rob()
        self.ended.delete()

    def rob(self) -> None:
        """Delete a ConfigMap that the operator has made."""
        found = self.plane.api.get(api_client.CONFIG_MAPS, "robbed-0", namespace=self.namespace)
        self._lost = found["metadata"]["uid"]
        self.plane.api.delete(api_client.CONFIG_MAPS, "robbed-0", namespace=self.namespace)

    def is_robbed_no_more(self) -> bool:
        """Whether there is another one in its place."""
        found = self.plane.api.find(api_client.CONFIG_MAPS, "robbed-0", namespace=self.namespace)
        return found is not None and found["metadata"]["uid"] != self._lost

    def is_caught_up(self) -> bool:
        """Whether the operator knows of all three: the edit is applied, the loss mended, the end noticed."""
        return (
            idle_modules.is_caught_up(self.edited)
            and self.is_robbed_no_more()
            and self.operator.metric("analysis_operator_modules") == 2
        )

    def catch_up(self) -> None:
        """Wait for it; an operator that ends or whose /livez fails is started again, as by the kubelet."""

        def done() -> bool:
            if not self.operator.is_running or self.operator.reasons("/livez"):
                self.operator.start()
            return self.is_caught_up()

        self.until(done, "the operator has caught up")

    def catching_up_took_seconds(self) -> float:
        """From the edit's arrival at the API server to that of the answers to it and to the loss."""
        edited = self._first_patch("analysismodules", "edited")
        answers = [self._first_patch("configmaps", name) for name in ("edited-0", "robbed-0")]
        return (max(answers) - edited).total_seconds()

    def _first_patch(self, plural: str, name: str) -> datetime.datetime:
        about = {"resource": plural, "name": name, "namespace": self.namespace}
        return min(
            datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
            for event in self.plane.audit_events(since=self._since)
            if event["verb"] == "patch" and about.items() <= event.get("objectRef", {}).items()
        )

    def until(self, condition: Callable[[], bool], what: str, seconds: float = CAUGHT_UP_SECONDS) -> None:
        """Wait; the error shows the end of the operator's log."""
        try:
            waiting.until(condition, what=what, timeout_seconds=seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}; its log:\n{self.operator.log()[-3000:]}") from error

    def missed(self, plural: str) -> float:
        """How many changes of a kind the resync has found that no watch had brought."""
        return self.operator.metric("analysis_operator_watch_missed_total", resource=plural)

    def answered_watches(self) -> int:
        """How many watches the API server has begun to serve."""
        return sum(count for asked, count in self.proxy.answered.items() if asked.verb == "watch")


@pytest.fixture(scope="module")
def namespaces(control_plane: ControlPlane) -> Iterator[Callable[[str], str]]:
    with idle_modules.namespaces(control_plane) as make:
        yield make


@pytest.fixture
def scene(control_plane: ControlPlane, namespaces: Callable[[str], str], tmp_path: Path) -> Iterator[Scene]:
    with Scene(control_plane, namespaces("outages"), tmp_path, QUICK_RESYNC) as scene:
        yield scene


@pytest.fixture(scope="module", autouse=True)
def unhurried(
    control_plane: ControlPlane,
    namespaces: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """With the settings that users have; in silence from before the first test, for its own is a long one."""
    with Scene(control_plane, namespaces("silence"), tmp_path_factory.mktemp("silence"), {}) as scene:
        # Until then statuses are written, and the answers to that tell of edits too.
        scene.until(lambda: all(each.row()["Phase"] == "Degraded" for each in scene.modules), "all is told")
        scene.proxy.silence(api_proxy.watches)
        scene.happen()
        yield scene


def test_after_every_connection_was_cut_nothing_is_missed(scene: Scene) -> None:
    before = scene.answered_watches()
    scene.proxy.cut()
    scene.happen()
    scene.catch_up()
    scene.until(lambda: scene.answered_watches() >= before + WATCHED, "all watches are there again")


def test_a_watch_that_is_answered_gone_starts_anew_and_misses_nothing(scene: Scene) -> None:
    scene.proxy.refuse(api_proxy.watches, api_proxy.GONE, WATCHED)
    scene.proxy.cut()
    scene.happen()
    scene.catch_up()
    scene.until(lambda: scene.proxy.refusals_left == 0, "every watch was told that it is gone")


@pytest.mark.parametrize("refusal", [api_proxy.BUSY, api_proxy.BROKEN])
def test_a_server_that_is_busy_or_broken_for_a_while_delays_but_loses_nothing(
    scene: Scene, refusal: api_proxy.Refusal
) -> None:
    scene.proxy.refuse(api_proxy.everything, refusal, 20)
    scene.proxy.cut()
    scene.happen()
    scene.catch_up()
    assert scene.proxy.refusals_left == 0
    assert scene.operator.metric("analysis_operator_api_requests_total", code=str(refusal.status)) > 0


def test_what_silent_watches_do_not_bring_the_resync_finds_and_if_that_goes_on_livez_fails(
    scene: Scene,
) -> None:
    scene.proxy.silence(api_proxy.watches)
    scene.happen()
    scene.until(scene.is_caught_up, "the operator has caught up")
    scene.until(lambda: scene.missed("analysismodules") > 0, "the end was missed and counted")
    scene.until(lambda: scene.missed("configmaps") > 0, "the loss was missed and counted")

    def found_out() -> bool:
        if scene.is_robbed_no_more():
            scene.rob()
        return "the watch of configmaps is silent" in (scene.operator.reasons("/livez") or ())

    scene.until(found_out, "/livez fails")


def test_what_was_lost_while_no_operator_ran_is_made_again_at_its_start(scene: Scene) -> None:
    scene.operator.stop()
    scene.happen()
    made = scene.robbed.children()
    for resource in (api_client.DEPLOYMENTS, api_client.SERVICES):
        for plural, name in made:
            if plural == resource.plural:
                scene.plane.api.delete(resource, name, namespace=scene.namespace)
    scene.operator.start()
    scene.catch_up()
    assert scene.robbed.children().keys() == made.keys() | {("configmaps", "robbed-0")}


def test_an_api_server_that_was_away_and_is_back_finds_the_operator_at_work(
    control_plane_lone: ControlPlane, tmp_path: Path
) -> None:
    name = control_plane_lone.namespace("restart")
    with Scene(control_plane_lone, name, tmp_path, QUICK_RESYNC) as scene:
        scene.account.restart_api_server()
        scene.happen()
        scene.catch_up()


def test_with_default_settings_what_silent_watches_do_not_bring_is_caught_up_within_75_seconds(
    unhurried: Scene,
) -> None:
    unhurried.until(unhurried.is_caught_up, "the operator has caught up")
    assert unhurried.catching_up_took_seconds() <= CAUGHT_UP_SECONDS
    assert unhurried.operator.exit_code is None

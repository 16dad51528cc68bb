"""Events on modules: what is posted, once, and that a failure to do so has no consequence."""

import logging

import pytest

from analysis_operator.cluster.api import ApiError
from analysis_operator.cluster.recorder import Recorder
from analysis_operator.decisions.events import Event
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import fleets

MODULE = fleets.a_module()
RUNNING = Event("Normal", "Running", "Pending -> Running")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def recorder(api: FakeApi) -> Recorder:
    return Recorder(api, "operator-1")  # type: ignore[arg-type]


async def test_an_event_is_about_the_module_and_of_its_namespace(api: FakeApi, recorder: Recorder) -> None:
    await recorder.post(MODULE, Event("Warning", "Repaired", "Service demo was deleted"))
    ((kind, namespace, name), document) = next(iter(api.objects.items()))
    assert (kind, namespace) == ("Event", "default")
    assert name.startswith("demo.")
    assert document["involvedObject"] == {
        "apiVersion": "dataanalysis.io/v1alpha1",
        "kind": "AnalysisModule",
        "namespace": "default",
        "name": "demo",
        "uid": "uid-1",
    }
    assert (document["type"], document["reason"]) == ("Warning", "Repaired")
    assert document["message"] == "Service demo was deleted"
    assert document["reportingInstance"] == "operator-1"


async def test_the_same_of_the_same_generation_is_posted_once(api: FakeApi, recorder: Recorder) -> None:
    for _ in range(3):
        await recorder.post(MODULE, RUNNING)
    assert len(api.objects) == 1


@pytest.mark.parametrize(
    ("module", "event"),
    [
        (MODULE, Event("Normal", "Running", "Degraded -> Running")),
        (MODULE, Event("Normal", "Progressing", "Pending -> Running")),
        (fleets.a_module(generation=2), RUNNING),
        (fleets.a_module(key=MODULE.key._replace(name="other")), RUNNING),
    ],
    ids=["message", "reason", "generation", "module"],
)
async def test_what_differs_is_posted_too(
    api: FakeApi, recorder: Recorder, module: fleets.Module, event: Event
) -> None:
    await recorder.post(MODULE, RUNNING)
    await recorder.post(module, event)
    assert len(api.objects) == 2


async def test_a_failure_is_logged_and_of_no_consequence(
    api: FakeApi, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    api.fail_next(1, "create", ApiError(403, "events is forbidden"))
    with caplog.at_level(logging.WARNING):
        await recorder.post(MODULE, RUNNING)
    assert "an event could not be posted: events is forbidden" in caplog.text


async def test_a_message_is_cut_to_what_the_api_takes(api: FakeApi, recorder: Recorder) -> None:
    await recorder.post(MODULE, Event("Normal", "Running", "x" * 5000))
    (document,) = api.objects.values()
    assert len(document["message"]) == 1024


async def test_what_is_remembered_is_bounded(recorder: Recorder) -> None:
    for number in range(10_000):
        await recorder.post(fleets.a_module(key=MODULE.key._replace(name=f"m-{number}")), RUNNING)
    assert len(recorder._last) <= 4096


async def test_warnings_are_logged_as_such(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await recorder.post(MODULE, RUNNING)
        await recorder.post(MODULE, Event("Warning", "Repaired", "was changed"))
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "default/demo: Running: Pending -> Running"),
        ("WARNING", "default/demo: Repaired: was changed"),
    ]

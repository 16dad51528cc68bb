"""The error tree, and that handling an error never raises one and never drops a coroutine."""

import asyncio
import logging
from typing import Any

import pytest

from analysis_module.errors import Problem
from d_a import errors


async def _mend(done: list[str]) -> None:
    await asyncio.sleep(0)
    done.append("mended")


async def _fail() -> None:
    raise OSError("still down")


def test_every_error_of_the_package_is_a_data_analysis_error() -> None:
    for kind in (errors.KafkaConnectionError, errors.DispatcherError, errors.ConfigurationError):
        assert issubclass(kind, errors.DataAnalysisError)


def test_a_configuration_error_tells_every_problem_with_its_path() -> None:
    error = errors.ConfigurationError([Problem("A", "is 1", "give 2"), Problem("B", "is 3", "give 4")])
    assert str(error) == "2 problems:\n  A: is 1; give 2\n  B: is 3; give 4"
    assert [problem.path for problem in error.problems] == ["A", "B"]


def test_an_error_is_logged_once_with_type_message_context_and_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors.handle_error(ValueError("bad"), context={"station_id": "S1"})
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    assert record.getMessage() == "ValueError: bad [{'station_id': 'S1'}]"


def test_recover_is_called() -> None:
    done: list[str] = []
    errors.handle_error(ValueError("bad"), recover=lambda: done.append("mended"))
    assert done == ["mended"]


def test_what_recover_raises_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    def recover() -> None:
        raise OSError("still down")

    errors.handle_error(ValueError("bad"), recover=recover)
    assert "recovering failed: OSError: still down" in caplog.text


def test_without_a_loop_a_coroutine_function_is_run_to_its_end() -> None:
    done: list[str] = []

    async def recover() -> None:
        await _mend(done)

    errors.handle_error(ValueError("bad"), recover=recover)
    assert done == ["mended"]


def test_a_plain_function_that_gives_a_coroutine_has_it_awaited() -> None:
    done: list[str] = []
    errors.handle_error(ValueError("bad"), recover=lambda: _mend(done))
    assert done == ["mended"]


async def test_on_a_running_loop_a_coroutine_becomes_a_task_of_it() -> None:
    done: list[str] = []
    before = asyncio.all_tasks()
    errors.handle_error(ValueError("bad"), recover=lambda: _mend(done))
    assert done == []
    await asyncio.wait(asyncio.all_tasks() - before)
    assert done == ["mended"]


@pytest.mark.parametrize("inside_a_loop", [True, False])
def test_what_a_coroutine_raises_is_logged_and_not_raised(
    inside_a_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def inside() -> None:
        before = asyncio.all_tasks()
        errors.handle_error(ValueError("bad"), recover=_fail)
        await asyncio.wait(asyncio.all_tasks() - before)

    run: Any = inside() if inside_a_loop else None
    if run is not None:
        asyncio.run(run)
    else:
        errors.handle_error(ValueError("bad"), recover=_fail)
    assert "recovering failed: OSError: still down" in caplog.text

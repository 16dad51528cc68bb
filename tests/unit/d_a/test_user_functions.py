"""Any kind of callback and handler, on either service."""

import asyncio
import functools
import threading
from typing import Any

import pytest

from analysis_module import catalogue
from analysis_worker.callbacks.loading import CallbackError
from analysis_worker.engine import inputs, layout
from d_a import configuration, named, user_functions
from d_a.module_inputs import ModuleInputs


def modules(*, snake: bool = False) -> ModuleInputs:
    read = configuration.read(named.of_mapping({}), needs_kafka=False)
    wirings = {"load_prediction": catalogue.resolve(read.specs["load_prediction"])}
    return ModuleInputs(wirings, snake_names=snake)


def functions(
    callback: Any = None,
    handler: Any = None,
    *,
    together: bool = False,
    snake: bool = False,
    loop: Any = None,
) -> user_functions.UserFunctions:
    return user_functions.UserFunctions(
        callback, handler, inputs=modules(snake=snake), together=together, loop=loop
    )


def an_input() -> inputs.ModuleInput:
    made = layout.layout_of(modules().wirings["load_prediction"])
    return inputs.ModuleInput(made, "S1", (None,) * len(made.topics), 5.0)


def plain(station_id: str, module_input: Any) -> Any:
    return (station_id, module_input["stationId"])


async def awaited(station_id: str, module_input: Any) -> Any:
    await asyncio.sleep(0)
    return (station_id, module_input["stationId"])


class Model:
    async def __call__(self, station_id: str, module_input: Any) -> Any:
        return await awaited(station_id, module_input)


@pytest.mark.parametrize(
    ("callback", "is_async"),
    [
        (plain, False),
        (functools.partial(plain), False),
        (lambda station_id, module_input: plain(station_id, module_input), False),
        (awaited, True),
        (functools.partial(awaited), True),
        (Model(), True),
    ],
)
def test_whether_a_callback_must_be_awaited_is_known(callback: Any, is_async: bool) -> None:
    assert functions(callback).loaded().is_async is is_async


def test_a_callback_is_given_station_and_input_by_position() -> None:
    def parameters(station_id: str, parameters: Any) -> Any:
        return parameters["stationId"]

    assert functions(parameters).call("S1", an_input()) == "S1"


def test_a_plain_function_that_gives_a_coroutine_has_it_run() -> None:
    assert functions(lambda s, i: awaited(s, i)).call("S1", an_input()) == ("S1", "S1")


async def test_a_coroutine_from_a_thread_runs_on_the_services_loop() -> None:
    loops: list[Any] = []

    async def noting(station_id: str, module_input: Any) -> str:
        loops.append(asyncio.get_running_loop())
        return "noted"

    made = functions(lambda s, i: noting(s, i), loop=asyncio.get_running_loop())
    assert await asyncio.to_thread(made.call, "S1", an_input()) == "noted"
    assert loops == [asyncio.get_running_loop()]


def test_without_a_callback_there_is_no_result() -> None:
    assert functions().call("S1", an_input()) is None


def test_a_station_may_have_a_callback_of_its_own_until_it_is_removed() -> None:
    made = functions(plain)
    made.add("S1", lambda s, i: "own", None)
    assert made.call("S1", an_input()) == "own"
    assert made.call("S2", an_input()) == ("S2", "S1")
    made.remove("S1")
    assert made.call("S1", an_input()) == ("S1", "S1")


async def test_a_plain_callback_of_a_station_does_not_block_the_loop_of_the_others() -> None:
    made = functions(awaited)
    thread: list[int] = []
    made.add("S1", lambda s, i: thread.append(threading.get_ident()), None)
    assert await made.call_async("S1", an_input()) is None
    assert thread != [threading.get_ident()]
    assert await made.call_async("S2", an_input()) == ("S2", "S1")


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(CallbackError, match="a int cannot be called; give a function"):
        functions(3)
    with pytest.raises(CallbackError):
        functions(plain).add("S1", "name", None)  # type: ignore[arg-type]


def test_a_callback_that_exits_ends_its_call_only() -> None:
    def leave(station_id: str, module_input: Any) -> None:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="the callback ended by SystemExit"):
        functions(leave).call("S1", an_input())


async def test_a_callback_whose_work_was_cancelled_has_failed_and_its_lane_lives() -> None:
    async def waits_for_a_cancelled_task(station_id: str, module_input: Any) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner

    with pytest.raises(RuntimeError, match="awaited something that was cancelled"):
        await functions(waits_for_a_cancelled_task).call_async("S1", an_input())


async def test_a_cancellation_of_the_lane_itself_passes_through() -> None:
    async def waits(station_id: str, module_input: Any) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(functions(waits).call_async("S1", an_input()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_all_modules_together_come_as_a_dict_and_the_result_beside_it() -> None:
    answer = functions(lambda s, i: list(i), together=True).call("S1", an_input())
    assert answer.result == ["load_prediction"]
    assert answer.inputs["load_prediction"]["stationId"] == "S1"


def test_snake_names_are_added_before_the_callback_reads() -> None:
    assert functions(lambda s, i: i["station_id"], snake=True).call("S1", an_input()) == "S1"


@pytest.mark.parametrize(
    ("handler", "takes"),
    [
        (lambda station_id, result: None, False),
        (lambda station_id, module_input, result: None, True),
        (lambda *everything: None, True),
        (lambda station_id, result, extra=None: None, True),
        (functools.partial(lambda extra, station_id, result: None, 0), False),
        (print, True),
    ],
)
def test_a_handler_of_two_arguments_is_told_from_one_of_three(handler: Any, takes: bool) -> None:
    assert user_functions.takes_input(handler) is takes


def test_a_handler_gets_input_and_result_and_a_short_one_the_result() -> None:
    seen: list[Any] = []
    made = functions(handler=lambda station_id, module_input, result: seen.append((station_id, result)))
    made.add("S2", None, lambda station_id, result: seen.append((station_id, "own", result)))
    assert made.has_handler
    made.handle("S1", an_input(), {"a": 1})
    made.errands.finish(5.0)
    made.handle("S2", an_input(), {"b": 2})
    made.errands.finish(5.0)
    assert seen == [("S1", {"a": 1}), ("S2", "own", {"b": 2})]


def test_without_a_handler_nothing_is_run() -> None:
    made = functions(plain)
    assert not made.has_handler
    made.handle("S1", an_input(), 1)
    assert made.errands.finish(0)


def test_of_all_modules_a_handler_gets_the_very_inputs_of_the_callback() -> None:
    given: list[Any] = []
    made = functions(lambda s, i: given.append(i), together=True)
    answer = made.call("S1", an_input())
    assert user_functions.unpacked(an_input(), answer)[0] is given[0]

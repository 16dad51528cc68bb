"""A callback comes from an entrypoint, a file or source text; what is wrong with it is said with the mend."""

import asyncio
import functools
import importlib.util
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from analysis_module import names, spec
from analysis_worker.callbacks import loading

SOURCE = """
import dataclasses

@dataclasses.dataclass
class Kept:
    parameters: dict

calls = []

def set_up():
    calls.append("set_up")

def tear_down():
    calls.append("tear_down")

def callback(station_id, module_input):
    return [station_id, module_input]

def other(station_id, module_input, parameters):
    return Kept(parameters).parameters

async def awaited(station_id, module_input):
    return station_id
"""


@pytest.fixture
def package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package of the test's own."""
    (tmp_path / "someones_package").mkdir()
    (tmp_path / "someones_package" / "__init__.py").write_text("")
    (tmp_path / "someones_package" / "analyses.py").write_text(
        SOURCE
        + "\nclass Analysis:\n    @staticmethod\n    def run(station_id, module_input):\n        return 5\n"
    )
    (tmp_path / "someones_package" / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "someones_package"
    for name in [name for name in sys.modules if name.startswith("someones_package")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def refusal(callback: spec.Callback) -> str:
    with pytest.raises(loading.CallbackError) as raised:
        loading.load(callback)
    return str(raised.value)


def test_without_a_callback_the_input_goes_out() -> None:
    loaded = loading.load(spec.Callback())
    assert loaded.function("S1", {"power": 1}) is None
    assert not loaded.is_async


def test_an_entrypoint_is_imported_and_followed_to_its_function(package: str) -> None:
    assert loading.load(spec.Callback(entrypoint=f"{package}.analyses:callback")).function("S1", 2) == [
        "S1",
        2,
    ]
    assert loading.load(spec.Callback(entrypoint=f"{package}.analyses:Analysis.run")).function("S1", 2) == 5


def test_an_entrypoint_that_cannot_be_imported_is_refused_with_the_reason(package: str) -> None:
    assert "no_such_module cannot be imported: ModuleNotFoundError" in refusal(
        spec.Callback(entrypoint="no_such_module:callback")
    )
    assert "ZeroDivisionError" in refusal(spec.Callback(entrypoint=f"{package}.broken:callback"))


def test_an_entrypoint_without_that_function_is_refused_by_name(package: str) -> None:
    assert f"{package}.analyses has no nothing" in refusal(
        spec.Callback(entrypoint=f"{package}.analyses:nothing")
    )


def test_source_text_defines_the_function() -> None:
    assert loading.load(spec.Callback(source=SOURCE)).function("S1", 2) == ["S1", 2]


def test_the_function_of_another_name_is_given_the_parameters_if_it_takes_them() -> None:
    callback = spec.Callback(source=SOURCE, function="other", parameters={"limit": 3})
    assert loading.load(callback).function("S1", {}) == {"limit": 3}


def test_a_function_that_must_be_awaited_is_known_as_such() -> None:
    loaded = loading.load(spec.Callback(source=SOURCE, function="awaited"))
    assert loaded.is_async
    assert asyncio.run(loaded.function("S1", {})) == "S1"


def test_the_hooks_of_the_callbacks_module_come_with_it() -> None:
    loaded = loading.load(spec.Callback(source=SOURCE))
    assert loaded.set_up is not None
    assert loaded.tear_down is not None
    loaded.set_up()
    loaded.tear_down()
    assert loaded.function.__globals__["calls"] == ["set_up", "tear_down"]


def test_source_that_is_no_python_is_refused_with_the_line() -> None:
    assert "callback.source: line 2" in refusal(spec.Callback(source="x = 1\ndef callback(:\n"))


def test_source_that_raises_is_refused_with_what_it_raised() -> None:
    assert "ZeroDivisionError: division by zero" in refusal(spec.Callback(source="1 / 0"))


def test_source_that_exits_is_refused_and_ends_nothing() -> None:
    assert "SystemExit" in refusal(spec.Callback(source="import sys; sys.exit(3)"))


def test_source_that_is_refused_leaves_the_module_of_the_one_before_in_place() -> None:
    loading.load(spec.Callback(source=SOURCE))
    before = sys.modules["analysis_callback"]
    refusal(spec.Callback(source="1 / 0"))
    assert sys.modules["analysis_callback"] is before


def test_source_without_the_function_is_refused_by_its_name() -> None:
    assert "callback.source: it defines no function callback" in refusal(spec.Callback(source="x = 1"))


@pytest.mark.parametrize("value", ["off", "OFF", "false", "0", "no"])
def test_source_is_refused_where_the_environment_switches_it_off(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.ENV_INLINE_SOURCE, value)
    assert "switched off" in refusal(spec.Callback(source=SOURCE))


def test_source_runs_where_the_environment_does_not_switch_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names.ENV_INLINE_SOURCE, "on")
    assert loading.load(spec.Callback(source=SOURCE)).function("S1", 2) == ["S1", 2]


def test_a_file_defines_the_function_also_where_source_is_switched_off(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.ENV_INLINE_SOURCE, "off")
    file = tmp_path / "callback.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert loading.load(spec.Callback(file=str(file))).function("S1", 2) == ["S1", 2]


def test_a_missing_file_is_refused_by_its_path(tmp_path: pathlib.Path) -> None:
    assert str(tmp_path / "absent.py") in refusal(spec.Callback(file=str(tmp_path / "absent.py")))


def test_the_file_of_a_config_map_is_looked_for_where_it_is_mounted() -> None:
    reference = spec.ConfigMapRef(name="callbacks", key="mine.py")
    assert names.callback_path("mine.py") in refusal(spec.Callback(config_map_ref=reference))


class Awaitable:
    async def __call__(self, station_id: str, module_input: Any) -> None: ...


class Plain:
    def __call__(self, station_id: str, module_input: Any, parameters: dict[str, Any]) -> Any:
        return parameters


@pytest.mark.parametrize(
    ("function", "is_async"),
    [(Awaitable(), True), (functools.partial(Awaitable()), True), (Plain(), False), (print, False)],
)
def test_objects_and_partials_are_told_apart_by_whether_they_are_awaited(
    function: Any, is_async: bool
) -> None:
    assert loading.from_callable(function).is_async is is_async


def test_an_object_that_takes_parameters_is_given_them() -> None:
    assert loading.from_callable(Plain(), {"a": 1}).function("S1", {}) == {"a": 1}


def test_what_cannot_be_called_is_refused_by_its_type() -> None:
    with pytest.raises(loading.CallbackError, match="a int cannot be called"):
        loading.from_callable(5)  # type: ignore[arg-type]

"""The file in a ConfigMap that a callback refers to, and why there is none."""

from typing import Any

import pytest

from analysis_operator.cluster import callback_files
from analysis_operator.cluster.api import ApiError
from analysis_operator.decisions.observed import Callback
from analysis_operator.decisions.options import Options
from tests.fakes.api import FakeApi
from tests.unit.analysis_operator import fleets


async def read(reference: Any, data: Any = None, options: Options | None = None) -> Callback | None:
    api = FakeApi()
    if data is not None:
        api.put({"kind": "ConfigMap", "metadata": {"namespace": "default", "name": "code"}, "data": data})
    module = fleets.a_module(fleets.a_spec(callback={"configMapRef": reference}))
    return await callback_files.read(api, module, options or Options())  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", [{"name": "code"}, {"name": "code", "key": None}])
async def test_the_key_is_callback_py_if_not_said(reference: Any) -> None:
    assert await read(reference, {"callback.py": "text"}) == Callback(text="text")


async def test_another_key_may_be_named() -> None:
    assert await read({"name": "code", "key": "a.py"}, {"a.py": "a"}) == Callback(text="a")


async def test_a_missing_configmap_is_told_with_the_mend() -> None:
    assert await read({"name": "code"}) == Callback(missing="there is no ConfigMap code; apply it")


@pytest.mark.parametrize("data", [{}, {"other.py": "x"}])
async def test_a_missing_key_is_told_with_the_mend(data: Any) -> None:
    said = "the ConfigMap code has no key callback.py; add it, or name another key"
    assert await read({"name": "code"}, data) == Callback(missing=said)


async def test_a_module_that_refers_to_none_costs_no_request() -> None:
    api = FakeApi()
    assert await callback_files.read(api, fleets.a_module(), Options()) is None  # type: ignore[arg-type]
    assert api.requests == []


async def test_where_it_is_switched_off_nothing_is_read() -> None:
    assert await read({"name": "code"}, {"callback.py": "x"}, Options(allow_inline_source=False)) is None


async def test_an_api_server_that_fails_is_no_missing_configmap() -> None:
    api = FakeApi()
    api.fail_next(1, "get", ApiError(500, "etcd is away"))
    module = fleets.a_module(fleets.SPECS["a callback in a ConfigMap"])
    with pytest.raises(ApiError, match="etcd is away"):
        await callback_files.read(api, module, Options())  # type: ignore[arg-type]

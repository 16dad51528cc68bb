"""Promises to readers of the deployment guide that no module alone keeps: floors, Windows, quiet logs."""

import ast
import logging
import re
import tomllib
from typing import Any

import pytest

from analysis_worker.testing import ModuleTestDriver
from tests.project import tree

PROJECT: dict[str, Any] = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FLOORS: dict[str, dict[str, tuple[int, ...]]] = {
    "worker": {"kafka-python": (2, 0, 2), "aiokafka": (0, 7, 2)},
    "dev": {"pytest": (7,), "pytest-asyncio": (0, 18)},
}
"""Extra -> package -> the oldest version that the guide allows."""
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
MARK = "marked-payload"


def floor(requirement: str) -> tuple[int, ...]:
    """The lowest version that a requirement takes."""
    found = re.search(r">=([\d.]+)", requirement)
    assert found is not None, requirement
    return tuple(map(int, found[1].split(".")))


def test_the_extras_ask_for_no_older_libraries_than_the_guide_does() -> None:
    for extra, floors in FLOORS.items():
        asked = {
            re.split(r"[\[>=<]", requirement)[0]: floor(requirement)
            for requirement in PROJECT["optional-dependencies"][extra]
        }
        assert {name: asked[name] for name in floors if asked[name] < floors[name]} == {}


def test_python_3_11_is_the_floor_and_one_of_those_that_the_guide_advises() -> None:
    assert PROJECT["requires-python"] == ">=3.11"


def test_nothing_needs_posix_to_be_imported() -> None:
    at_import = {
        f"{tree.shown(path)}: {name}"
        for path in tree.sources("crds", "worker")
        for statement in tree.parsed(path).body
        for name in _imported(statement)
    }
    assert {found for found in at_import if found.partition(": ")[2] in POSIX_ONLY} == set()


def _imported(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Import():
            return [alias.name.partition(".")[0] for alias in statement.names]
        case ast.ImportFrom(module=str(module)):
            return [module.partition(".")[0]]
        case _:
            return []


def test_what_records_hold_is_in_no_line_of_the_log_from_info_on(caplog: pytest.LogCaptureFixture) -> None:
    def callback(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
        if module_input["carModel"] == f"{MARK}-fails":
            raise ValueError("no such model")
        return {"seen": module_input["carModel"]}

    caplog.set_level(logging.INFO)
    driver = ModuleTestDriver({"module": "load_prediction"}, callback)
    driver.send("SCHEDULE-CAR-ORDER", {"stationId": "S1", "carModel": MARK})
    driver.send("SCHEDULE-CAR-ORDER", {"stationId": "S1", "carModel": f"{MARK}-fails"})
    driver.send("SCHEDULE-CAR-ORDER", {"carModel": MARK})
    driver.send("SCHEDULE-CAR-ORDER", f'{{"stationId": "S1", "carModel": "{MARK}'.encode())
    driver.send("SCHEDULE-CAR-ORDER", {"stationId": {"not": MARK}})
    assert driver.outputs()[0].value["output"] == {"seen": MARK}
    assert len(driver.failures()) == 1
    assert len(driver.dead_letters()) == 3
    assert "no such model" in caplog.text
    assert MARK not in caplog.text

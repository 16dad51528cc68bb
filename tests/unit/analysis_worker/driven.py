"""A module to drive by hand, and its callbacks."""

import asyncio
from typing import Any

from analysis_worker.testing import ModuleTestDriver

MODULE: dict[str, Any] = {
    "module": "watch",
    "inputs": [{"topic": "POWER", "fields": ["stationId", "power"], "windowSize": 3}],
}


def window(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
    """The window as a result."""
    return {"window": list(module_input["power_window"])}


def sent(count: int, **changes: Any) -> ModuleTestDriver:
    """A driver that was sent so many records of one station."""
    driver = ModuleTestDriver({**MODULE, **changes}, window)
    for number in range(1, count + 1):
        driver.send("POWER", {"stationId": "S1", "power": number})
    return driver


def results(driver: ModuleTestDriver) -> list[list[float]]:
    """The windows that came out."""
    return [output.value["output"]["window"] for output in driver.outputs()]


async def sleepy(station_id: str, module_input: Any) -> float:
    """An async callback that takes half a minute."""
    await asyncio.sleep(30)
    return float(module_input["power"])

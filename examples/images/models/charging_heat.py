"""How hot the storage of a station gets; a manifest names it `models.charging_heat:callback`."""

from collections.abc import Mapping
from typing import Any


def callback(
    station_id: str, module_input: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The hottest record of the window in degrees Celsius, and whether it is beyond `parameters["limit"]`."""
    hottest = max(module_input["storageTempMax_window"])
    return {"hottest": hottest, "too_hot": hottest > parameters["limit"]}

"""The nine analysis modules as data: what they mean, depend on and say (seed system 3.1)."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType


@dataclasses.dataclass(frozen=True, kw_only=True)
class Module:
    """One module.

    `output_keys` are those that its own output conventionally has; `summary_keys`, which begin with them,
    are always in its `module_input`.
    """

    name: str
    meaning: str
    dependencies: tuple[str, ...] = ()
    output_keys: tuple[str, ...]
    summary_keys: tuple[str, ...]


ALL = (
    Module(
        name="load_prediction",
        meaning="load forecast of the station",
        output_keys=("load_forecast",),
        summary_keys=("load_forecast", "timestamp"),
    ),
    Module(
        name="pv_prediction",
        meaning="PV forecast and actual",
        output_keys=("pv_forecast", "pv_actual"),
        summary_keys=("pv_forecast", "pv_actual", "timestamp"),
    ),
    Module(
        name="evaluation_model",
        meaning="power gap and cost assessment",
        output_keys=("power_gap", "station_cost"),
        summary_keys=("power_gap", "station_cost", "timestamp"),
    ),
    Module(
        name="SOH_model",
        meaning="battery state of health",
        output_keys=("SOH", "SOH_history"),
        summary_keys=("SOH", "SOH_history", "timestamp"),
    ),
    Module(
        name="customer_mining",
        meaning="customer insight",
        output_keys=("customer_info",),
        summary_keys=("customer_info", "timestamp"),
    ),
    Module(
        name="operation_optimization",
        meaning="storage and charging schedule",
        dependencies=("load_prediction",),
        output_keys=("storage_power", "charge_power"),
        summary_keys=("storage_power", "charge_power", "timestamp"),
    ),
    Module(
        name="electricity_price",
        meaning="price strategy",
        dependencies=("pv_prediction", "evaluation_model", "SOH_model"),
        output_keys=("price_curve",),
        summary_keys=("price_curve", "pv_forecast", "pv_actual", "power_gap", "station_cost", "SOH"),
    ),
    Module(
        name="station_guidance",
        meaning="routing drivers to stations",
        dependencies=("load_prediction", "evaluation_model"),
        output_keys=("guidance_info",),
        summary_keys=("guidance_info", "load_forecast", "power_gap", "station_cost", "timestamp"),
    ),
    Module(
        name="thermal_management",
        meaning="thermal control",
        dependencies=("load_prediction", "operation_optimization"),
        output_keys=("thermal_data",),
        summary_keys=("thermal_data", "load_forecast", "storage_power", "charge_power", "timestamp"),
    ),
)
"""Every module, in the catalogue's order."""

BY_NAME: Mapping[str, Module] = MappingProxyType({module.name: module for module in ALL})
"""The same, by name."""

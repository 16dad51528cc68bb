"""The catalogue's modules are the seed system's table 3.1."""

import pytest

from analysis_module import modules

TABLE = {
    "load_prediction": ("", "load_forecast", "load_forecast, timestamp"),
    "pv_prediction": ("", "pv_forecast, pv_actual", "pv_forecast, pv_actual, timestamp"),
    "evaluation_model": ("", "power_gap, station_cost", "power_gap, station_cost, timestamp"),
    "SOH_model": ("", "SOH, SOH_history", "SOH, SOH_history, timestamp"),
    "customer_mining": ("", "customer_info", "customer_info, timestamp"),
    "operation_optimization": (
        "load_prediction",
        "storage_power, charge_power",
        "storage_power, charge_power, timestamp",
    ),
    "electricity_price": (
        "pv_prediction, evaluation_model, SOH_model",
        "price_curve",
        "price_curve, pv_forecast, pv_actual, power_gap, station_cost, SOH",
    ),
    "station_guidance": (
        "load_prediction, evaluation_model",
        "guidance_info",
        "guidance_info, load_forecast, power_gap, station_cost, timestamp",
    ),
    "thermal_management": (
        "load_prediction, operation_optimization",
        "thermal_data",
        "thermal_data, load_forecast, storage_power, charge_power, timestamp",
    ),
}
"""Module: depends on, keys of its own output, summary keys."""


def test_the_nine_stand_in_the_tables_order() -> None:
    assert [module.name for module in modules.ALL] == list(TABLE)
    assert list(modules.BY_NAME) == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_dependencies_and_keys_are_the_tables(name: str) -> None:
    module = modules.BY_NAME[name]
    row = (module.dependencies, module.output_keys, module.summary_keys)
    assert tuple(", ".join(column) for column in row) == TABLE[name]


def test_every_module_says_what_it_means() -> None:
    assert all(module.meaning for module in modules.ALL)

"""electricity_price: a price for each hour of the day, from the tariff, the sun and the power gap."""

import numpy as np


def callback(station_id, module_input, parameters):
    """Give 24 prices per kWh: cheaper while the sun gives more than usual, dearer while power is short."""
    price = np.zeros(24)
    names = ("startTime", "endTime", "gridPrice", "serviceFee")
    for start, end, grid, fee in zip(*(known(module_input[f"{name}_window"]) for name in names), strict=True):
        price[int(start[:2]) : int(end[:2])] = grid + fee

    sun = np.asarray(module_input["pv_forecast"], dtype=float)
    surplus = (sun - sun.mean()) / max(sun.max(), 1.0)
    price -= parameters["sunDiscount"] * np.maximum(surplus, 0.0)
    price += parameters["gapSurcharge"] * min(1.0, (module_input["power_gap"] or 0.0) / 100)
    return {"price_curve": price.round(3)}


def known(window):
    """The values that came from records, without the padding in front."""
    return np.asarray(window)[len(window) - window.present :]

"""customer_mining: who charges here, from the newest record of each order in the window."""

import collections

import numpy as np


def callback(station_id, module_input):
    """Give the number of orders, their mean arrival SOC (%) and energy (kWh), and the commonest car."""
    orders = known(module_input["orderId_window"])
    newest = list({order: row for row, order in enumerate(orders)}.values())
    arrival = known(module_input["startSOC_window"])[newest]
    now = known(module_input["currentSOC_window"])[newest]
    capacity = known(module_input["batteryCapacity_window"])[newest]
    models = collections.Counter(known(module_input["carModel_window"])[newest])
    info = {
        "orders": len(newest),
        "arrival_soc": arrival.mean().round(1),
        "energy_kwh": ((now - arrival) / 100 * capacity).mean().round(2),
        "commonest_car": models.most_common(1)[0][0],
    }
    return {"customer_info": info}


def known(window):
    """The values that came from records, without the padding in front."""
    return np.asarray(window)[len(window) - window.present :]

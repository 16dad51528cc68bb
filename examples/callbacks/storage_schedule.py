"""operation_optimization: the storage charges in the quietest hours ahead and serves the busiest ones."""

import numpy as np


def callback(station_id, module_input, parameters):
    """Plan 24 hours in kW: the storage's power (above zero it delivers) and what the cars may then take."""
    forecast = np.asarray(module_input["load_forecast"], dtype=float)
    hours = parameters["hours"]
    stored = module_input["storageCapacity"] * module_input["storageSOC"] / 100
    quiet, busy = np.argsort(forecast)[:hours], np.argsort(forecast)[-hours:]

    storage = np.zeros(forecast.size)
    storage[busy] = stored / hours
    storage[quiet] = -(module_input["storageCapacity"] - stored) / hours
    limit = module_input["gridCapacity"] + storage
    return {"storage_power": storage.round(1), "charge_power": limit.round(1)}

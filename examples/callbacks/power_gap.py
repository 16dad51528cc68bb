"""evaluation_model: how far the last hour's peak lies above its mean, and what an hour of it costs."""

import numpy as np


def callback(station_id, module_input):
    """Give the gap in kW, less what the storage delivers, and the cost of an hour at the mean tariff."""
    mean = known(module_input["historyCurveStationAvg_window"]).mean()
    peak = known(module_input["historyCurveStationMax_window"]).max()
    from_storage = max(0.0, module_input["storagePower"])
    price = known(module_input["gridPrice_window"]).mean()
    return {
        "power_gap": round(max(0.0, peak - mean - from_storage), 2),
        "station_cost": round(mean * price, 2),
    }


def known(window):
    """The values that came from records, without the padding in front."""
    return np.asarray(window)[len(window) - window.present :]

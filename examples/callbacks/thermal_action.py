"""thermal_management: how hard to cool, now and before a busy hour."""

import numpy as np


def callback(station_id, module_input, parameters):
    """Give the fan's speed in %, and whether to cool ahead of a load that is about to rise."""
    hottest = np.asarray(module_input["storageTempMax_window"]).max()
    low, high = parameters["fanFrom"], parameters["fanFull"]
    speed = float(np.clip((hottest - low) / (high - low), 0.0, 1.0))

    ahead, now = module_input["load_forecast"], module_input["historyCurveStationAvg"]
    rising = bool(ahead) and ahead[0] > 1.2 * max(now, 1.0)
    action = {"fan_percent": round(100 * max(speed, 0.3 * rising)), "precool": rising, "hottest": hottest}
    return {"thermal_data": action}

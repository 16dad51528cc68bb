"""SOH_model: the battery's state of health, its history, and how it changes."""

import numpy as np


def callback(station_id, module_input):
    """Give the newest state of health (%), the last 24, and the change per 1,000 records."""
    window = module_input["storageSOH_window"]
    history = np.asarray(window)[len(window) - window.present :]
    slope = np.polyfit(np.arange(history.size), history, 1)[0] if history.size > 1 else 0.0
    trend = round(1000 * slope, 3) + 0.0  # not -0.0
    return {"SOH": history[-1], "SOH_history": history[-24:], "SOH_trend": trend}

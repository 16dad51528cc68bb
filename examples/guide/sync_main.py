"""The guide's synchronous start script: one module, a plain callback, a result handler.

Ctrl-C or SIGTERM ends it. Run it where config.py lies, with Kafka at the address that config.py names:
`python sync_main.py`.
"""

from typing import Any

from d_a import DataAnalysisService


def my_callback(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
    """Forecast the next hours: here simply that the newest load stays."""
    load = module_input["historyCurveStationAvg"]
    return {"load_forecast": [load, load], "samples": len(module_input["power_window"])}


def my_result_handler(station_id: str, module_input: dict[str, Any], result: dict[str, Any]) -> None:
    """See each result after its upload."""
    print(f"{station_id}: {result}", flush=True)


if __name__ == "__main__":
    service = DataAnalysisService(module_name="load_prediction")
    service.start(callback=my_callback, result_handler=my_result_handler, background=False)
    print("stopped", flush=True)

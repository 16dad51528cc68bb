"""The guide's asynchronous start script: one module, an async callback, an async result handler.

Ctrl-C or SIGTERM ends it. Run it where config.py lies, with Kafka at the address that config.py names:
`python async_main.py`.
"""

import asyncio
from typing import Any

from d_a import AsyncDataAnalysisService


async def my_callback(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
    """Forecast the next hours: here simply that the newest load stays."""
    await asyncio.sleep(0)  # a model server or a database would be asked here
    load = module_input["historyCurveStationAvg"]
    return {"load_forecast": [load, load], "samples": len(module_input["power_window"])}


async def my_result_handler(station_id: str, module_input: dict[str, Any], result: dict[str, Any]) -> None:
    """See each result after its upload."""
    print(f"{station_id}: {result}", flush=True)


async def main() -> None:
    """Run until told to end."""
    service = AsyncDataAnalysisService(module_name="load_prediction")
    await service.start(callback=my_callback, result_handler=my_result_handler)
    try:
        await asyncio.Event().wait()
    finally:
        await service.stop()
        print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

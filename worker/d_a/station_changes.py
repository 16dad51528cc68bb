"""Stations that a program adds and removes by hand; all of it on the worker's loop."""

import logging
import time

from analysis_worker import service
from d_a.errors import DataAnalysisError
from d_a.user_functions import Callback, Handler, UserFunctions

log = logging.getLogger(__name__)


async def add(
    worker: service.Worker,
    functions: UserFunctions,
    station_id: str,
    callback: Callback | None,
    handler: Handler | None,
) -> None:
    """Make a station, with functions of its own if they are given; nothing happens if it is known.

    Raises DataAnalysisError for a station that is not this service's, CallbackError for a callback that
    cannot be called.
    """
    known = worker.engine.stations.get(station_id)
    if known is not None and known.owned:
        if callback is not None or handler is not None:
            log.warning(
                "station %s is known: remove it first to give it functions of its own",
                station_id,
                extra={"station_id": station_id},
            )
        return
    functions.add(station_id, callback, handler)
    if worker.engine.station(station_id, int(time.time() * 1000)) is None:
        functions.remove(station_id)
        raise DataAnalysisError(
            f"station {station_id} is excluded by `stations`, or another process's; add it there"
        )
    log.info("station %s is added", station_id, extra={"station_id": station_id})


async def remove(worker: service.Worker, functions: UserFunctions, station_id: str) -> None:
    """Drop a station with its windows; records that wait for their callback are done without it.

    A later record starts it anew, with the service's functions. Nothing happens if it is not known.
    """
    station = worker.engine.stations.get(station_id)
    functions.remove(station_id)
    if station is None:
        return
    for trigger in worker.flow.scheduler.drop(station):
        trigger.settle()
    worker.engine.forget(station)
    worker.flow.forget([station])
    log.info("station %s is removed", station_id, extra={"station_id": station_id})

"""The callbacks that our own worker runs in the benchmark, as a user would write them, and their span."""

from typing import Any

from bench.subjects import measuring

span = measuring.Span()


def ingest(station_id: str, module_input: dict[str, Any]) -> None:
    """One latest value and the newest of one window: the nearest to a stateless job."""
    _ = module_input["currentSOC"], module_input["demandCurrent_window"][-1]
    span.tick()


def mean(station_id: str, module_input: dict[str, Any]) -> None:
    """One latest value and the mean of one window: what the peers' stateful jobs answer."""
    values = module_input["demandCurrent_window"]
    _ = module_input["currentSOC"], sum(values) / len(values)
    span.tick()


def output(station_id: str, module_input: dict[str, Any]) -> dict[str, Any]:
    """The values of `ingest`, sent on: what Quix sends after its `apply`."""
    answer = {"soc": module_input["currentSOC"], "demandCurrent": module_input["demandCurrent_window"][-1]}
    span.tick()
    return answer


exactly_once = output

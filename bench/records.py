"""The records that every subject reads: charging orders of a fleet, the same bytes in every run.

Fields and names are those of SCHEDULE-CAR-ORDER (seed system 2.3, 2.4): 13 of them, or 15 with the two that
only some producers send.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import orjson

STATIONS = 50
FIELDS = (
    "stationId",
    "orderId",
    "chargerId",
    "gunId",
    "chargerRatedCurrent",
    "startTime",
    "startSOC",
    "currentSOC",
    "demandVoltage",
    "demandCurrent",
    "mileage",
    "carModel",
    "batteryCapacity",
)
"""The 13 fields of a record, in its order."""
ALL_FIELDS = (*FIELDS, "endTime", "outputPower")
"""The 15 fields of the memory figure."""

STEP_MS = 1000
"""A running order reports every second (seed system 2.2)."""
_ORDER_STEPS = 2400
_EPOCH_SECONDS = 1_762_480_000


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """One record to be: `step` counts the seconds since the first record of its station."""

    step: int
    key: bytes
    value: bytes


def orders(count: int, *, stations: int = STATIONS, extended: bool = False) -> Iterator[Order]:
    """The first `count` records, station after station within each second; `extended` has 15 fields."""
    make = extended_order if extended else order
    for number in range(count):
        step, station = divmod(number, stations)
        yield Order(step, station_id(station).encode(), orjson.dumps(make(station, step)))


def station_id(station: int) -> str:
    """The id of the station with this number."""
    return f"S{station:03d}"


def order(station: int, step: int) -> dict[str, Any]:
    """The 13 fields of one station's record at one second: charge rises, current falls, cars change."""
    number, second = divmod(step + 37 * station, _ORDER_STEPS)
    start_soc = 10.0 + (station * 7 + number * 13) % 40
    return {
        "stationId": station_id(station),
        "orderId": f"O{station:03d}{number:07d}",
        "chargerId": f"H{station:03d}",
        "gunId": f"G{number % 6 + 1}",
        "chargerRatedCurrent": 250.0,
        "startTime": _EPOCH_SECONDS + number * _ORDER_STEPS,
        "startSOC": start_soc,
        "currentSOC": round(start_soc + 50.0 * second / _ORDER_STEPS, 2),
        "demandVoltage": round(380.0 + 40.0 * second / _ORDER_STEPS, 1),
        "demandCurrent": round(240.0 - 160.0 * second / _ORDER_STEPS + (step * 31 + station) % 17 / 10, 1),
        "mileage": 12_000.0 + 350 * (number % 90),
        "carModel": f"C{(station + number) % 12}",
        "batteryCapacity": 60.0 + (number % 5) * 7.5,
    }


def extended_order(station: int, step: int) -> dict[str, Any]:
    """The same record with `endTime`, null while the order runs, and `outputPower` in kW."""
    record = order(station, step)
    power = round(record["demandVoltage"] * record["demandCurrent"] / 1000, 2)
    return {**record, "endTime": None, "outputPower": power}

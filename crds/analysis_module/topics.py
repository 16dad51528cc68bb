"""The topics of the stations as data: fields, aliases, windows, who reads them (seed system 2.2 and 2.3).

Numbers without a unit in the old system carry the seed system's conventions: kW, kWh, A, V, percent,
degrees Celsius.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from analysis_module import spec

Kind = Literal["text", "integer", "number", "any"]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a topic.

    `aliases` are the names that the 1.1 and 2.0 producers write, in the order of preference; `array` says
    that its value is a list by nature; `unit` is "" where the value has none. `in_v1_1` is False for what
    version 1.1 did not have.
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    unit: str = ""
    array: bool = False
    in_v1_1: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: how often it is pushed, how long its window is, which modules read it.

    `interval_seconds` is the shortest usual time between two records, None where there is no steady one.
    `many_stations` says that one record may carry several stations, so that every shard must read it.
    `standard` is False for the legacy topic that modules read only when told to. `slow` says that its
    records hold for longer than a topic is usually retained, so that a module keeps the newest itself; what
    happens now and then, as a device's error, is not slow: it tells of its moment only.
    """

    name: str
    pushed: str
    window_size: int
    fields: tuple[Field, ...]
    modules: tuple[str, ...]
    interval_seconds: float | None = None
    scope: spec.Scope = spec.Scope.STATION
    many_stations: bool = False
    standard: bool = True
    slow: bool = False


def _text(name: str, *aliases: str, array: bool = False) -> Field:
    return Field(name, "text", aliases, array=array)


def _integer(name: str, *aliases: str) -> Field:
    return Field(name, "integer", aliases)


def _number(name: str, *aliases: str, unit: str = "", array: bool = False) -> Field:
    return Field(name, "number", aliases, unit=unit, array=array)


def _any(name: str, *aliases: str) -> Field:
    return Field(name, "any", aliases)


STATION_PARAM = Topic(
    name="SCHEDULE-STATION-PARAM",
    pushed="on creation or change",
    slow=True,
    window_size=1,
    many_stations=True,
    modules=("load_prediction", "operation_optimization", "electricity_price", "SOH_model"),
    fields=(
        _text("stationId"),
        _number("stationTemp", unit="degC"),
        _number("lat", "stationLat", unit="deg"),
        _number("lng", "stationLng", unit="deg"),
        _integer("gunCount", "gunNum"),
        _number("gridCapacity", unit="kW"),
        _integer("storageCount"),
        _number("storageCapacity", unit="kWh"),
        _text("hostId", "hostCode", array=True),
        _text("meterId"),
        _integer("powerNum"),
        _number("normaClap", "normalClap", "normalCap"),
        _number("totalPower", unit="kW"),
    ),
)

STATION_REALTIME_DATA = Topic(
    name="SCHEDULE-STATION-REALTIME-DATA",
    pushed="every minute, each push covers 7 days",
    interval_seconds=60.0,
    window_size=10_080,
    many_stations=True,
    modules=(
        "load_prediction",
        "operation_optimization",
        "electricity_price",
        "SOH_model",
        "thermal_management",
        "evaluation_model",
    ),
    fields=(
        _text("stationId"),
        _text("gunId", "gunNo"),
        _number("historyCurveGunAvg", "outputPowerPerGunAvg", unit="kW"),
        _number("historyCurveGunMax", "outputPowerPerGunMax", unit="kW"),
        _number("historyCurveStationAvg", "outputPowerPerStationAvg", unit="kW"),
        _number("historyCurveStationMax", "outputPowerPerStationMax", unit="kW"),
    ),
)

ENVIRONMENT_CALENDAR = Topic(
    name="SCHEDULE-ENVIRONMENT-CALENDAR",
    pushed="yearly",
    slow=True,
    window_size=1,
    scope=spec.Scope.GLOBAL,
    modules=("load_prediction", "operation_optimization", "electricity_price", "SOH_model"),
    fields=(_integer("workdayCode", "dayOfWeek"), _integer("holidayCode", "holiday")),
)

DEVICE_METER = Topic(
    name="SCHEDULE-DEVICE-METER",
    pushed="every 5 min",
    interval_seconds=300.0,
    window_size=2_016,
    modules=("operation_optimization", "electricity_price"),
    fields=(
        _text("meterId"),
        _number("currentPower", "meterPower", unit="kW"),
        _number("ratedPowerLimit", "rmeterLimitPower", unit="kW"),
    ),
)

DEVICE_GUN = Topic(
    name="SCHEDULE-DEVICE-GUN",
    pushed="every 15 s",
    interval_seconds=15.0,
    window_size=40_320,
    modules=("operation_optimization",),
    fields=(_text("hostId", "hostCode"), _text("gunId", "gunNo"), _any("gunStatus", "status")),
)

CAR_ORDER = Topic(
    name="SCHEDULE-CAR-ORDER",
    pushed="every second per running order",
    interval_seconds=1.0,
    window_size=604_800,
    modules=(
        "load_prediction",
        "operation_optimization",
        "station_guidance",
        "electricity_price",
        "evaluation_model",
        "customer_mining",
    ),
    fields=(
        _text("stationId"),
        _text("orderId", "transactionSerialNo"),
        _text("chargerId", "hostCode"),
        _text("gunId", "gunNo"),
        _number("chargerRatedCurrent", "terminalMaxOutElectric", unit="A"),
        _any("startTime", "startChargeTime"),
        _any("endTime", "endChargeTime"),
        _number("startSOC", "beginSOC", unit="%"),
        _number("currentSOC", "soc", unit="%"),
        _number("demandVoltage", "terminalRequireVoltage", unit="V"),
        _number("demandCurrent", "terminalRequireElectric", unit="A"),
        Field("mileage", "number", unit="km", in_v1_1=False),
        _text("carModel", "carProducerCode"),
        _number("batteryCapacity", "batteryNominalTotalCapacity"),
        _number("outputPower", unit="kW"),
    ),
)

CAR_PRICE = Topic(
    name="SCHEDULE-CAR-PRICE",
    pushed="monthly, a record per tariff period",
    slow=True,
    window_size=30,
    many_stations=True,
    modules=("operation_optimization", "electricity_price", "evaluation_model", "thermal_management"),
    fields=(
        _text("stationId"),
        _integer("periodNo", "FeeNo"),
        _text("startTime"),
        _text("endTime"),
        _integer("periodType"),
        _number("gridPrice", unit="per kWh"),
        _number("serviceFee", unit="per kWh"),
    ),
)

DEVICE_ERROR = Topic(
    name="SCHEDULE-DEVICE-ERROR",
    pushed="on event",
    window_size=10,
    modules=("operation_optimization", "SOH_model"),
    fields=(
        _text("stationId"),
        _integer("hostError"),
        _integer("acError"),
        _integer("dcError"),
        _integer("terminalError"),
        _integer("storageError"),
    ),
)

_HOST_PUSHED = "every second while charging, else every 15 s"

DEVICE_HOST_DCDC = Topic(
    name="SCHEDULE-DEVICE-HOST-DCDC",
    pushed=_HOST_PUSHED,
    interval_seconds=1.0,
    window_size=1,
    modules=("evaluation_model", "thermal_management", "operation_optimization"),
    fields=(
        _text("hostId", "hostCode"),
        _text("dcWorkStatus", array=True),
        _number("dcPower", "dcdcPower", "dcdcInputPower", unit="kW", array=True),
    ),
)

DEVICE_HOST_ACDC = Topic(
    name="SCHEDULE-DEVICE-HOST-ACDC",
    pushed=_HOST_PUSHED,
    interval_seconds=1.0,
    window_size=1,
    modules=("evaluation_model", "thermal_management"),
    fields=(_text("hostId", "hostCode"), _number("acPower", "acdcInputPower", unit="kW")),
)

DEVICE_STORAGE = Topic(
    name="SCHEDULE-DEVICE-STORAGE",
    pushed="every 15 s",
    interval_seconds=15.0,
    window_size=40_320,
    modules=("evaluation_model", "thermal_management", "electricity_price", "operation_optimization"),
    fields=(
        _text("hostId", "hostCode"),
        _text("storageId", "storageCode"),
        _number("storagePower", "batteryGroupOutPower", unit="kW"),
        _number("storageCurrent", "batteryGroupElectric", unit="A"),
        _number("storageTempMax", "maxTemperature", unit="degC"),
        _number("storageTempMin", "minTemperature", unit="degC"),
        _number("storageSOC", "batteryGroupSoc", unit="%"),
        _number("storageSOH", "batteryGroupSoh", unit="%"),
    ),
)

DEVICE_HOST = Topic(
    name="SCHEDULE-DEVICE-HOST",
    pushed=_HOST_PUSHED,
    interval_seconds=1.0,
    window_size=604_800,
    standard=False,
    modules=("evaluation_model", "thermal_management"),
    fields=(
        _text("hostId"),
        _integer("acdcStatus"),
        _number("dcdcInputPower", unit="kW"),
        _number("acdcInputPower", unit="kW"),
    ),
)

DEVICE_PV = Topic(
    name="SCHEDULE-DEVICE-PV",
    pushed="daily",
    interval_seconds=86_400.0,
    window_size=1,
    modules=("pv_prediction",),
    fields=(_text("stationId"), _text("pvId"), _number("pvPreDcPower", unit="kW", array=True)),
)

ENVIRONMENT_WEATHER = Topic(
    name="SCHEDULE-ENVIRONMENT-WEATHER",
    pushed="daily",
    interval_seconds=86_400.0,
    window_size=1,
    many_stations=True,
    modules=("pv_prediction",),
    fields=(
        _text("stationId"),
        _text("weatherSituationYesterday"),
        _text("seasonTomorrow"),
        _text("weatherSituationTomorrow"),
    ),
)

ALL = (
    STATION_PARAM,
    STATION_REALTIME_DATA,
    ENVIRONMENT_CALENDAR,
    DEVICE_METER,
    DEVICE_GUN,
    CAR_ORDER,
    CAR_PRICE,
    DEVICE_ERROR,
    DEVICE_HOST_DCDC,
    DEVICE_HOST_ACDC,
    DEVICE_STORAGE,
    DEVICE_HOST,
    DEVICE_PV,
    ENVIRONMENT_WEATHER,
)
"""Every topic, in the catalogue's order, which is the order of a module's inputs."""

BY_NAME: Mapping[str, Topic] = MappingProxyType({topic.name: topic for topic in ALL})
"""The same, by name."""

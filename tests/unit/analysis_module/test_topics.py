"""The catalogue's topics are the seed system's tables 2.2 and 2.3, row by row."""

import pytest

from analysis_module import spec, topics

FULL = {
    "STATION-PARAM": "SCHEDULE-STATION-PARAM",
    "REALTIME-DATA": "SCHEDULE-STATION-REALTIME-DATA",
    "CALENDAR": "SCHEDULE-ENVIRONMENT-CALENDAR",
    "DEVICE-METER": "SCHEDULE-DEVICE-METER",
    "DEVICE-GUN": "SCHEDULE-DEVICE-GUN",
    "CAR-ORDER": "SCHEDULE-CAR-ORDER",
    "CAR-PRICE": "SCHEDULE-CAR-PRICE",
    "DEVICE-ERROR": "SCHEDULE-DEVICE-ERROR",
    "HOST-DCDC": "SCHEDULE-DEVICE-HOST-DCDC",
    "HOST-ACDC": "SCHEDULE-DEVICE-HOST-ACDC",
    "DEVICE-STORAGE": "SCHEDULE-DEVICE-STORAGE",
    "HOST": "SCHEDULE-DEVICE-HOST",
    "DEVICE-PV": "SCHEDULE-DEVICE-PV",
    "WEATHER": "SCHEDULE-ENVIRONMENT-WEATHER",
}
"""Short names of the table, in the order of 2.2."""

FIELDS = {
    "STATION-PARAM": "stationId; stationTemp; lat <- stationLat; lng <- stationLng; gunCount <- gunNum; "
    "gridCapacity; storageCount; storageCapacity; hostId[] <- hostCode; meterId; powerNum; "
    "normaClap <- normalClap, normalCap; totalPower",
    "REALTIME-DATA": "stationId; gunId <- gunNo; historyCurveGunAvg <- outputPowerPerGunAvg; "
    "historyCurveGunMax <- outputPowerPerGunMax; historyCurveStationAvg <- outputPowerPerStationAvg; "
    "historyCurveStationMax <- outputPowerPerStationMax",
    "CALENDAR": "workdayCode <- dayOfWeek; holidayCode <- holiday",
    "DEVICE-METER": "meterId; currentPower <- meterPower; ratedPowerLimit <- rmeterLimitPower",
    "DEVICE-GUN": "hostId <- hostCode; gunId <- gunNo; gunStatus <- status",
    "CAR-ORDER": "stationId; orderId <- transactionSerialNo; chargerId <- hostCode; gunId <- gunNo; "
    "chargerRatedCurrent <- terminalMaxOutElectric; startTime <- startChargeTime; "
    "endTime <- endChargeTime; startSOC <- beginSOC; currentSOC <- soc; "
    "demandVoltage <- terminalRequireVoltage; demandCurrent <- terminalRequireElectric; mileage; "
    "carModel <- carProducerCode; batteryCapacity <- batteryNominalTotalCapacity; outputPower",
    "CAR-PRICE": "stationId; periodNo <- FeeNo; startTime; endTime; periodType; gridPrice; serviceFee",
    "DEVICE-ERROR": "stationId; hostError; acError; dcError; terminalError; storageError",
    "HOST-DCDC": "hostId <- hostCode; dcWorkStatus[]; dcPower[] <- dcdcPower, dcdcInputPower",
    "HOST-ACDC": "hostId <- hostCode; acPower <- acdcInputPower",
    "DEVICE-STORAGE": "hostId <- hostCode; storageId <- storageCode; storagePower <- batteryGroupOutPower; "
    "storageCurrent <- batteryGroupElectric; storageTempMax <- maxTemperature; "
    "storageTempMin <- minTemperature; storageSOC <- batteryGroupSoc; storageSOH <- batteryGroupSoh",
    "HOST": "hostId; acdcStatus; dcdcInputPower; acdcInputPower",
    "DEVICE-PV": "stationId; pvId; pvPreDcPower[]",
    "WEATHER": "stationId; weatherSituationYesterday; seasonTomorrow; weatherSituationTomorrow",
}
"""Table 2.3: field, [] for an array by nature, <- aliases."""

WINDOWS = {
    "STATION-PARAM": (1, None),
    "REALTIME-DATA": (10_080, 60.0),
    "CALENDAR": (1, None),
    "DEVICE-METER": (2_016, 300.0),
    "DEVICE-GUN": (40_320, 15.0),
    "CAR-ORDER": (604_800, 1.0),
    "CAR-PRICE": (30, None),
    "DEVICE-ERROR": (10, None),
    "HOST-DCDC": (1, 1.0),
    "HOST-ACDC": (1, 1.0),
    "DEVICE-STORAGE": (40_320, 15.0),
    "HOST": (604_800, 1.0),
    "DEVICE-PV": (1, 86_400.0),
    "WEATHER": (1, 86_400.0),
}
"""Table 2.2: the window in bold, and the seconds between two pushes where they are steady."""

READERS = {
    "STATION-PARAM": "load_prediction, operation_optimization, electricity_price, SOH_model",
    "REALTIME-DATA": "load_prediction, operation_optimization, electricity_price, SOH_model, "
    "thermal_management, evaluation_model",
    "CALENDAR": "load_prediction, operation_optimization, electricity_price, SOH_model",
    "DEVICE-METER": "operation_optimization, electricity_price",
    "DEVICE-GUN": "operation_optimization",
    "CAR-ORDER": "load_prediction, operation_optimization, station_guidance, electricity_price, "
    "evaluation_model, customer_mining",
    "CAR-PRICE": "operation_optimization, electricity_price, evaluation_model, thermal_management",
    "DEVICE-ERROR": "operation_optimization, SOH_model",
    "HOST-DCDC": "evaluation_model, thermal_management, operation_optimization",
    "HOST-ACDC": "evaluation_model, thermal_management",
    "DEVICE-STORAGE": "evaluation_model, thermal_management, electricity_price, operation_optimization",
    "HOST": "evaluation_model, thermal_management",
    "DEVICE-PV": "pv_prediction",
    "WEATHER": "pv_prediction",
}
"""Table 2.2, the last column."""


def _row(topic: topics.Topic) -> str:
    return "; ".join(
        field.name + "[]" * field.array + " <- " * bool(field.aliases) + ", ".join(field.aliases)
        for field in topic.fields
    )


def test_the_topics_stand_in_the_tables_order() -> None:
    assert [topic.name for topic in topics.ALL] == list(FULL.values())
    assert list(topics.BY_NAME) == list(FULL.values())


@pytest.mark.parametrize("short", FULL)
def test_fields_aliases_and_arrays_are_the_tables(short: str) -> None:
    assert _row(topics.BY_NAME[FULL[short]]) == FIELDS[short]


@pytest.mark.parametrize("short", FULL)
def test_window_and_push_interval_are_the_tables(short: str) -> None:
    topic = topics.BY_NAME[FULL[short]]
    assert (topic.window_size, topic.interval_seconds) == WINDOWS[short]


@pytest.mark.parametrize("short", FULL)
def test_the_modules_of_a_topic_are_the_tables(short: str) -> None:
    assert ", ".join(topics.BY_NAME[FULL[short]].modules) == READERS[short]


def test_every_topic_says_how_it_is_pushed() -> None:
    assert all(topic.pushed for topic in topics.ALL)


def test_the_long_windows_of_steady_topics_span_seven_days() -> None:
    spans = {
        topic.name: topic.window_size * topic.interval_seconds
        for topic in topics.ALL
        if topic.interval_seconds and topic.window_size > 1
    }
    assert set(spans.values()) == {7 * 86_400.0}
    assert len(spans) == 6


def test_only_the_calendar_is_global() -> None:
    scopes = [topic.name for topic in topics.ALL if topic.scope is spec.Scope.GLOBAL]
    assert scopes == ["SCHEDULE-ENVIRONMENT-CALENDAR"]


def test_four_topics_carry_many_stations_in_a_record() -> None:
    many = [topic.name for topic in topics.ALL if topic.many_stations]
    assert many == [FULL[short] for short in ("STATION-PARAM", "REALTIME-DATA", "CAR-PRICE", "WEATHER")]


def test_only_the_legacy_host_topic_is_off_by_default() -> None:
    assert [topic.name for topic in topics.ALL if not topic.standard] == ["SCHEDULE-DEVICE-HOST"]


def test_mileage_alone_is_not_in_version_1_1() -> None:
    missing = [field.name for topic in topics.ALL for field in topic.fields if not field.in_v1_1]
    assert missing == ["mileage"]

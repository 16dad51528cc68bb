"""The seed system's samples (2.4) and aliases (2.3), from bytes to the `module_input` of each module."""

import json
from typing import Any

import pytest

from analysis_module import catalogue, spec
from tests import builders

SAMPLES: dict[str, str] = {
    "SCHEDULE-STATION-PARAM": '{"stationId":"S1","stationTemp":21.5,"lat":30.27,"lng":120.15,"gunCount":6,'
    '"gridCapacity":630,"storageCount":1,"storageCapacity":200,"hostId":"H1"}',
    "SCHEDULE-STATION-REALTIME-DATA": '{"stationId":"S1","gunId":"G2","historyCurveGunAvg":18.2,'
    '"historyCurveGunMax":60.0,"historyCurveStationAvg":74.0,"historyCurveStationMax":181.5}',
    "SCHEDULE-ENVIRONMENT-CALENDAR": '{"workdayCode":0,"holidayCode":0}',
    "SCHEDULE-DEVICE-METER": '{"meterId":"M1","currentPower":88.4,"ratedPowerLimit":630}',
    "SCHEDULE-DEVICE-GUN": '{"hostId":"H1","gunId":"G2","gunStatus":1}',
    "SCHEDULE-CAR-ORDER": '{"stationId":"S1","orderId":"O77","chargerId":"H1","gunId":"G2",'
    '"chargerRatedCurrent":250,"startTime":1762480000,"endTime":null,"startSOC":22,"currentSOC":41.5,'
    '"demandVoltage":402,"demandCurrent":120,"mileage":18400,"carModel":"C3","batteryCapacity":75}',
    "SCHEDULE-CAR-PRICE": '{"stationId":"S1","periodNo":2,"startTime":"08:00","endTime":"11:00",'
    '"periodType":1,"gridPrice":1.02,"serviceFee":0.35}',
    "SCHEDULE-DEVICE-ERROR": '{"stationId":"S1","hostError":0,"acError":1,"dcError":0,"terminalError":0,'
    '"storageError":0}',
    "SCHEDULE-DEVICE-HOST-DCDC": '{"hostId":"H1","dcWorkStatus":["01","00"],"dcPower":[30.0,0.0]}',
    "SCHEDULE-DEVICE-HOST-ACDC": '{"hostId":"H1","acPower":31.2}',
    "SCHEDULE-DEVICE-STORAGE": '{"hostId":"H1","storageId":"B1","storagePower":-40.0,"storageCurrent":-52.1,'
    '"storageTempMax":33,"storageTempMin":29,"storageSOC":64,"storageSOH":97.5}',
    "MODULE-OUTPUT-LOAD-PREDICTION": '{"stationId":"S1","module":"load_prediction",'
    '"output":{"load_forecast":[70.1,72.4]},"timestamp":1762480005.2}',
}
LOAD_TOPIC = "MODULE-OUTPUT-LOAD-PREDICTION"
GLOBAL = builders.CALENDAR
READ = [
    pytest.param(module, topic, id=f"{module} reads {topic}")
    for module in catalogue.MODULES
    for topic in catalogue.topics_of(module)
    if topic in SAMPLES
]


def alike(first: Any, second: Any) -> bool:
    return type(first) is type(second) and first == second


def station_of(topic: str, document: dict[str, Any]) -> str:
    return next((document[key] for key in ("stationId", "hostId", "meterId") if key in document), "S1")


@pytest.mark.parametrize(("module", "topic"), READ)
def test_a_sample_arrives_in_the_module_input_of_each_module_that_reads_it(module: str, topic: str) -> None:
    driven = builders.an_engine(module)
    document = json.loads(SAMPLES[topic])
    station = station_of(topic, document)
    if topic == GLOBAL:
        driven.take(builders.PARAM, {"stationId": station})
    taken = driven.take(topic, SAMPLES[topic].encode())
    assert taken.refused == []
    assert [trigger.station.id for trigger in taken.triggers] == ([] if topic == GLOBAL else [station])
    module_input = driven.module_input(station)
    for field in catalogue.fields_of(topic):
        window = module_input["_topics"][topic][f"{field.name}_window"]
        value = document.get(field.name)
        assert alike(window[-1], value)
        assert alike(module_input["_topics"][topic][field.name], value)
        assert len(window) == catalogue.TOPICS[topic].window_size
        assert window.present == 1
        if field.name != "stationId":
            assert alike(module_input[field.name], value), "nothing else has data"
        assert module_input[f"{field.name}_window"] is not None
    assert module_input["stationId"] == station
    assert topic in module_input["_data_quality"]["available_topics"]


@pytest.mark.parametrize("module", catalogue.dependants_of("load_prediction"))
def test_the_sample_output_arrives_in_the_module_input_of_each_dependant(module: str) -> None:
    driven = builders.an_engine(module)
    driven.take(LOAD_TOPIC, SAMPLES[LOAD_TOPIC].encode())
    module_input = driven.module_input()
    assert module_input["load_prediction_output"] == {"load_forecast": [70.1, 72.4]}
    assert module_input["load_prediction_timestamp"] == 1762480005.2
    assert module_input["load_forecast"] == [70.1, 72.4]


@pytest.mark.parametrize("module", catalogue.MODULES)
def test_every_module_is_called_with_all_its_keys_by_its_first_record(module: str) -> None:
    driven = builders.an_engine(module)
    first = next(topic for topic in catalogue.topics_of(module) if topic != GLOBAL)
    module_input = builders.input_of(driven.take(first, {"stationId": "S1"}).triggers[0])
    expected = {"stationId", "_data_quality", "_topics", *catalogue.MODULES[module].summary_keys}
    for topic in catalogue.topics_of(module):
        for field in catalogue.fields_of(topic):
            expected |= {field.name, f"{field.name}_window"}
    for dependency in catalogue.MODULES[module].dependencies:
        expected |= {f"{dependency}_{key}" for key in ("output_window", "output", "timestamp")}
    assert set(module_input) == expected


@pytest.mark.parametrize("topic", catalogue.TOPICS)
@pytest.mark.parametrize("profile", spec.Profile)
def test_a_field_is_found_under_every_name_in_both_profiles(profile: spec.Profile, topic: str) -> None:
    other = {"topic": "OTHER", "fields": ["x"], "windowSize": 1}
    driven = builders.an_engine(profile=profile, inputs=[{"topic": topic, "windowSize": 2}, other])
    driven.take("OTHER", {"stationId": "S1", "x": 1})
    for field in catalogue.fields_of(topic, profile):
        for name in (field.name, *field.aliases):
            value = ["a", name] if field.array else name
            station = {} if name in ("stationId", "station_id") else {"stationId": "S1"}
            driven.take(topic, {**station, name: value})
            known = driven.module_input("S1" if station or topic == GLOBAL else name)
            assert known["_topics"][topic][field.name] == value


def test_a_1_1_producer_feeds_a_callback_of_either_profile() -> None:
    record = {"stationId": "S1", "gunNo": "G2", "outputPowerPerStationAvg": [74.0, 80.0]}
    for profile, key in (("standard", "historyCurveStationAvg"), ("v1.1", "outputPowerPerStationAvg")):
        driven = builders.an_engine("load_prediction", profile=profile)
        driven.take(builders.REALTIME, record)
        assert driven.module_input()[f"{key}_window"][-2:] == [74.0, 80.0]

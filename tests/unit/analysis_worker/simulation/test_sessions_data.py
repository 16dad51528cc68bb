"""Replaying real sessions: how rows become records. The files here are tiny ones in the real format."""

import gzip
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from analysis_worker import simulation
from analysis_worker.simulation import sessions_data

COLUMNS = (
    "Station_Name,Address,City,State_Province,Zip_Postal_Code,Start_Date___Time,Start_Time_Zone,"
    "End_Date___Time,End_Time_Zone,Total_Duration__hh_mm_ss_,Charging_Time__hh_mm_ss_,Energy__kWh_,"
    "GHG_Savings__kg_,Gasoline_Savings__gallons_,Port_Type,ObjectId"
)
STATIONS = """station_id,longitude,latitude,charge_count,TAZID,area,perimeter
1001,113.784724,22.714121,1,559,5726523.056,9624.5755
1002,113.785002,22.7259,22,558,3927542.045,8189.3687
1003,113.787971,22.735538,6,558,3927542.045,8189.3687
"""
NOON_MS = 1_515_758_400_000  # 2018-01-12 12:00 UTC, 05:00 on Boulder's clock
MINUTE_MS = 60_000


def a_session(
    number: int, start: str, end: str, *, name: str = "REC 1", charging: str = "1:00:00", energy: float = 6.0
) -> str:
    """Return a row; start and end as `12 15:54` in January 2018, or in full."""
    begin, finish = (text if "/" in text else f"2018/01/{text}:00+00" for text in (start, end))
    return (
        f"{name},900 Baseline Rd,Boulder,Colorado,80302,{begin},MST,{finish},MST,"
        f"9:99:99,{charging},{energy},1,1,Level 2,{number}"
    )


def weather() -> str:
    """Return two days whose temperature is the hour, plus 100 on the second day."""
    hours = [f"2022/9/{1 + hour // 24} {hour % 24}:00" for hour in range(48)]
    rows = [f"{time},{hour % 24 + hour // 24 * 100},750,756,87,0,24" for hour, time in enumerate(hours)]
    return "\n".join(["time,T,P0,P,U,nRAIN,Td", *rows]) + "\n"


Write = Callable[..., pathlib.Path]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Write:
    """Return a function that writes the three files with these session rows and returns their folder."""

    def write(*sessions: str, stations: str = STATIONS) -> pathlib.Path:
        text = "\ufeff" + "\n".join([COLUMNS, *sessions]) + "\n"
        (tmp_path / sessions_data.SESSIONS_FILE).write_bytes(gzip.compress(text.encode()))
        (tmp_path / sessions_data.STATIONS_FILE).write_text(stations)
        (tmp_path / sessions_data.WEATHER_FILE).write_text(weather())
        return tmp_path

    return write


def told(records: Iterator[simulation.SimulatedRecord], topic: str) -> list[tuple[int, dict[str, Any]]]:
    """Return time and payload of a topic's records."""
    return [(each.timestamp_ms, json.loads(each.value or b"")) for each in records if each.topic == topic]


def test_a_station_row_becomes_parameters_with_the_temperature_of_the_hour(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"))
    assert told(sessions_data.records(at), simulation.STATION_PARAM) == [
        (
            NOON_MS,
            {
                "stationId": "1001",
                "stationTemp": 105.0,
                "lat": 22.714121,
                "lng": 113.784724,
                "gunCount": 1,
                "hostId": "host-1001",
            },
        )
    ]


def test_parameters_come_again_with_a_session_in_another_temperature_only(folder: Write) -> None:
    at = folder(
        a_session(1, "12 12:00", "12 12:20", charging="0:10:00"),
        a_session(2, "12 12:40", "12 12:50", charging="0:10:00"),
        a_session(3, "12 14:00", "12 15:00", charging="0:10:00"),
    )
    found = told(sessions_data.records(at), simulation.STATION_PARAM)
    assert [(ms - NOON_MS, payload["stationTemp"]) for ms, payload in found] == [
        (0, 105.0),
        (120 * MINUTE_MS, 107.0),
    ]


def test_the_weather_is_repeated_at_its_hours_of_the_day() -> None:
    laid = sessions_data.Weather(first_hour=24 * 19_000, temperatures=list(range(48)))
    degrees = [laid.temperature(NOON_MS + day * 24 * 60 * MINUTE_MS) for day in range(4)]
    assert [degree % 24 for degree in degrees] == [5, 5, 5, 5]
    assert degrees[0] != degrees[1] == degrees[3]


def test_a_gun_turns_charging_at_the_start_and_idle_at_the_end(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 14:30"))
    statuses = [(ms - NOON_MS, payload) for ms, payload in told(sessions_data.records(at), simulation.GUN)]
    assert statuses == [
        (0, {"hostId": "host-1001", "gunId": "G1", "gunStatus": 1}),
        (150 * MINUTE_MS, {"hostId": "host-1001", "gunId": "G1", "gunStatus": 0}),
    ]


def test_a_session_becomes_an_order_while_it_charges_and_once_at_its_end(folder: Write) -> None:
    at = folder(a_session(7, "12 12:00", "12 14:30"))
    found = told(sessions_data.records(at, order_period_s=900), simulation.CAR_ORDER)
    assert [(ms - NOON_MS) // MINUTE_MS for ms, _ in found] == [0, 15, 30, 45, 150]
    assert [payload["currentSOC"] for _, payload in found] == [75.0, 78.75, 82.5, 86.25, 90.0]
    assert [payload["endTime"] for _, payload in found] == [None] * 4 + [NOON_MS // 1000 + 9000]


def test_an_orders_record_has_the_documented_shape(folder: Write) -> None:
    at = folder(a_session(7, "12 12:00", "12 14:30"))
    _, first = told(sessions_data.records(at), simulation.CAR_ORDER)[0]
    assert first == {
        "stationId": "1001",
        "orderId": "order-7",
        "chargerId": "host-1001",
        "gunId": "G1",
        "chargerRatedCurrent": 40.0,
        "startTime": NOON_MS // 1000,
        "endTime": None,
        "startSOC": 75.0,
        "currentSOC": 75.0,
        "demandVoltage": 240.0,
        "demandCurrent": 25.0,
        "mileage": None,
        "carModel": None,
        "batteryCapacity": 40.0,
    }


def test_a_session_that_took_nothing_is_one_order_record_and_two_statuses(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 12:00", charging="0:00:00", energy=0))
    topics = [record.topic for record in sessions_data.records(at)]
    assert topics == [simulation.STATION_PARAM, simulation.GUN, simulation.CAR_ORDER, simulation.GUN]


@pytest.mark.parametrize("energy", [0.5, 6.0, 33.0, 85.2, 200.0])
def test_the_state_of_charge_never_begins_below_zero(energy: float, folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 14:30", energy=energy))
    _, first = told(sessions_data.records(at), simulation.CAR_ORDER)[0]
    assert 0 <= first["startSOC"] <= 90


def test_an_end_before_the_start_gives_way_to_the_charging_time(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "1970/01/01 00:00:00+00", charging="0:50:00"))
    assert [ms - NOON_MS for ms, _ in told(sessions_data.records(at), simulation.GUN)] == [0, 50 * MINUTE_MS]


def test_the_curve_has_a_record_per_minute_of_the_charge_and_ends_with_zeros(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 14:30", charging="0:02:30", energy=0.25))
    found = told(sessions_data.records(at), simulation.STATION_REALTIME)
    assert [(ms - NOON_MS) // MINUTE_MS for ms, _ in found] == [1, 2, 3, 4]
    assert [payload["historyCurveStationAvg"] for _, payload in found] == [6.0, 6.0, 3.0, 0.0]
    assert [payload["historyCurveStationMax"] for _, payload in found] == [6.0, 6.0, 6.0, 0.0]


def test_the_curve_sums_the_guns_and_names_the_busiest(folder: Write) -> None:
    at = folder(
        a_session(1, "12 12:00", "12 13:00", energy=3.0),
        a_session(2, "12 12:30", "12 13:30", energy=7.0),
    )
    curve = dict(told(sessions_data.records(at), simulation.STATION_REALTIME))
    assert curve[NOON_MS + 45 * MINUTE_MS] == {
        "stationId": "1002",
        "gunId": "G2",
        "historyCurveGunAvg": 7.0,
        "historyCurveGunMax": 7.0,
        "historyCurveStationAvg": 10.0,
        "historyCurveStationMax": 10.0,
    }


def test_the_curve_pauses_between_charges(folder: Write) -> None:
    at = folder(
        a_session(1, "12 12:00", "12 12:02", charging="0:02:00"),
        a_session(2, "12 18:00", "12 18:02", charging="0:02:00"),
    )
    found = told(sessions_data.records(at), simulation.STATION_REALTIME)
    assert [(ms - NOON_MS) // MINUTE_MS for ms, _ in found] == [1, 2, 3, 361, 362, 363]


def test_the_curves_energy_is_the_sessions(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 14:30", charging="1:23:45", energy=9.876))
    curve = told(sessions_data.records(at), simulation.STATION_REALTIME)
    assert sum(payload["historyCurveStationAvg"] for _, payload in curve) / 60 == pytest.approx(
        9.876, abs=0.01
    )


def test_overlapping_sessions_take_guns_of_their_own_and_free_ones_are_taken_again(folder: Write) -> None:
    at = folder(
        a_session(1, "12 12:00", "12 14:00"),
        a_session(2, "12 13:00", "12 16:00"),
        a_session(3, "12 14:00", "12 15:00"),
    )
    begun = [
        payload for _, payload in told(sessions_data.records(at), simulation.GUN) if payload["gunStatus"]
    ]
    assert [payload["gunId"] for payload in begun] == ["G1", "G2", "G1"]


def test_a_station_takes_the_next_row_with_guns_enough(folder: Write) -> None:
    at = folder(
        a_session(1, "12 12:00", "12 14:00", name="BUSY"),
        a_session(2, "12 12:30", "12 14:00", name="BUSY"),
        a_session(3, "12 13:00", "12 14:00", name="QUIET"),
        a_session(4, "12 13:10", "12 14:00", name="THIRD"),
    )
    stations = [
        payload["stationId"] for _, payload in told(sessions_data.records(at), simulation.STATION_PARAM)
    ]
    assert stations == ["1002", "1001", "1003"]


def test_records_come_in_time_order_though_rows_do_not(folder: Write) -> None:
    at = folder(
        a_session(1, "14 12:00", "14 13:00"),
        a_session(2, "12 12:00", "12 13:00", name="OTHER"),
        a_session(3, "13 12:00", "13 13:00"),
        a_session(4, "12 12:15", "12 12:45", name="OTHER"),
    )
    stamps = [record.timestamp_ms for record in sessions_data.records(at)]
    assert stamps == sorted(stamps)
    assert stamps[0] == NOON_MS


def test_parameters_come_before_anything_else_of_their_station(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"), a_session(2, "12 12:00", "12 13:00", name="OTHER"))
    first: dict[bytes | None, str] = {}
    for record in sessions_data.records(at):
        first.setdefault((record.key or b"").removeprefix(b"host-"), record.topic)
    assert set(first.values()) == {simulation.STATION_PARAM}


def test_a_start_moves_all_times_alike(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"))
    real, moved = list(sessions_data.records(at)), list(sessions_data.records(at, start_ms=NOON_MS + 5_000))
    assert [record.timestamp_ms + 5_000 for record in real] == [record.timestamp_ms for record in moved]
    orders = told(iter(moved), simulation.CAR_ORDER)
    assert {payload["startTime"] for _, payload in orders} == {NOON_MS // 1000 + 5}


def test_records_are_made_as_they_are_taken(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "2018/12/12 12:00:00+00", charging="8000:00:00"))
    assert len(list(itertools.islice(sessions_data.records(at, order_period_s=1), 10))) == 10


@pytest.mark.parametrize(
    "name", [sessions_data.SESSIONS_FILE, sessions_data.STATIONS_FILE, sessions_data.WEATHER_FILE]
)
def test_a_missing_file_is_named_at_once(name: str, folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"))
    (at / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file; the real data is the three files"):
        sessions_data.records(at)


@pytest.mark.parametrize(
    ("row", "told_wrong"),
    [
        (a_session(2, "12 12:00", "12 13:00").replace(",6.0,", ",much,"), "line 3: .*much"),
        (a_session(2, "12 12:00", "12 13:00", charging="soon"), "line 3: .*soon"),
        (a_session(2, "yesterday", "12 13:00"), "line 3: .*yesterday"),
        ("REC 1,900 Baseline Rd", "line 3: "),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row: str, told_wrong: str, folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"), row)
    with pytest.raises(ValueError, match=f"{sessions_data.SESSIONS_FILE}, {told_wrong}"):
        sessions_data.records(at)


def test_a_missing_column_is_named(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"), stations=STATIONS.replace("charge_count", "piles"))
    with pytest.raises(
        ValueError, match=r"shenzhen-stations\.csv, line 2: the column 'charge_count' is missing"
    ):
        sessions_data.records(at)


@pytest.mark.parametrize("damaged", [b"not gzip at all", gzip.compress(b"x" * 10_000)[:20]])
def test_a_damaged_archive_is_named(damaged: bytes, folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"))
    (at / sessions_data.SESSIONS_FILE).write_bytes(damaged)
    with pytest.raises(ValueError, match=f"{sessions_data.SESSIONS_FILE}: .*fetch the file anew"):
        sessions_data.records(at)


def test_too_few_rows_for_the_stations_are_told(folder: Write) -> None:
    at = folder(*(a_session(n, "12 12:00", "12 13:00", name=f"N{n}") for n in range(4)))
    with pytest.raises(ValueError, match="no row with 1 or more piles is left for 'N3'"):
        sessions_data.records(at)


def test_files_without_rows_are_told(folder: Write) -> None:
    with pytest.raises(ValueError, match="holds no session"):
        sessions_data.records(folder())


def test_weather_without_hours_is_told(folder: Write) -> None:
    at = folder(a_session(1, "12 12:00", "12 13:00"))
    (at / sessions_data.WEATHER_FILE).write_text("time,T\n")
    with pytest.raises(ValueError, match="holds no hour"):
        sessions_data.records(at)


def test_an_order_period_below_a_second_is_refused(folder: Write) -> None:
    with pytest.raises(ValueError, match="order_period_s: 0 is below 1"):
        sessions_data.records(folder(a_session(1, "12 12:00", "12 13:00")), order_period_s=0)

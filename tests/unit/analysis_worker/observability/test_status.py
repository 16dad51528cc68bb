"""Verdicts on a worker and the JSON of its status."""

import json
import math

import pytest

from analysis_worker.observability import status
from tests.unit.analysis_worker.observability.facts import NOW, a_station, a_worker


def test_a_healthy_worker_is_live_and_ready() -> None:
    assert status.liveness(a_worker(), NOW) == status.readiness(a_worker()) == status.Verdict()


def test_kafka_away_is_no_reason_for_a_restart() -> None:
    away = a_worker(consumer_connected=False, producer_connected=False, last_poll_age_seconds=3600.0)
    assert status.liveness(away, NOW).ok


def test_kafka_away_is_not_ready_and_says_which_client() -> None:
    reasons = status.readiness(a_worker(consumer_connected=False, producer_connected=False)).reasons
    assert reasons == (
        "the consumer is not connected to Kafka",
        "the producer is not connected to Kafka",
    )


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_worker_that_will_not_go_on_is_not_live(state: status.State) -> None:
    verdict = status.liveness(a_worker(state=state, explain="no disk"), NOW)
    assert verdict.reasons == (f"the worker has {state}: no disk",)


def test_a_main_loop_that_ended_is_not_live() -> None:
    assert status.liveness(a_worker(main_loop_alive=False), NOW).reasons == ("the main loop does not run",)


@pytest.mark.parametrize(("age", "ok"), [(60.0, True), (60.5, False)])
def test_sixty_seconds_without_a_poll_is_the_most(age: float, ok: bool) -> None:
    assert status.liveness(a_worker(last_poll_age_seconds=age), NOW).ok is ok


def test_an_old_poll_is_told_in_seconds() -> None:
    [reason] = status.liveness(a_worker(last_poll_age_seconds=90.0), NOW).reasons
    assert reason == "the last poll of Kafka was 90 s ago, more than 60 s"


def test_a_status_that_a_blocked_loop_left_behind_ages() -> None:
    left_behind = a_worker(last_poll_age_seconds=0.5, loop_lag_seconds=0.0)
    reasons = status.liveness(left_behind, NOW + 61).reasons
    assert [reason.split(" was ")[0].split(" has ")[0] for reason in reasons] == [
        "the main loop",
        "the last poll of Kafka",
    ]


def test_a_loop_blocked_without_kafka_is_not_live() -> None:
    blocked = a_worker(consumer_connected=False, loop_lag_seconds=75.0)
    assert "has been blocked for 75 s" in status.liveness(blocked, NOW).reasons[0]


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_a_start_and_a_stop_may_take_their_time(state: status.State) -> None:
    assert status.liveness(a_worker(state=state, last_poll_age_seconds=500.0), NOW).ok


def test_a_clock_set_back_makes_nothing_old() -> None:
    assert status.liveness(a_worker(), NOW - 3600).ok


def test_a_worker_that_has_not_begun_to_poll_is_live() -> None:
    assert status.liveness(a_worker(last_poll_age_seconds=None, loop_lag_seconds=None), NOW).ok


def test_restoring_slots_are_named_with_the_progress() -> None:
    reasons = status.readiness(a_worker(restoring_slots=(3, 5), restore_progress=0.4)).reasons
    assert reasons == ("the windows of slots 3, 5 are being restored (40%)",)


def test_a_worker_without_an_assignment_is_not_ready() -> None:
    verdict = status.readiness(a_worker(config=status.ConfigStatus(), state="starting"))
    assert verdict.reasons == ("the worker is starting", "no Assignment is applied yet")


def test_a_worker_that_owns_no_slot_is_ready() -> None:
    assert status.readiness(a_worker(slots=())).ok


def test_a_refused_configuration_leaves_the_worker_ready() -> None:
    config = status.ConfigStatus(applied_hash="a", desired_hash="b", refused=("spec.padding: unknown",))
    assert config.lagging
    assert status.readiness(a_worker(config=config)).ok


def test_the_health_json_is_the_guides_to_the_letter() -> None:
    document = status.health_document(a_worker(), NOW, "1.2", [a_station()])
    assert document == {
        "status": "healthy",
        "timestamp": NOW,
        "version": "1.2",
        "service": {"main_thread": True, "consumer_alive": True, "producer_alive": True, "station_count": 2},
        "stations": {"S1": {"running": True}},
    }


@pytest.mark.parametrize("field", ["consumer_connected", "producer_connected", "main_loop_alive"])
def test_a_service_that_lacks_one_part_is_unhealthy(field: str) -> None:
    assert status.health_document(a_worker(**{field: False}), NOW, "1")["status"] == "unhealthy"


def test_a_main_thread_that_does_not_advance_is_not_alive() -> None:
    document = status.health_document(a_worker(last_poll_age_seconds=100.0), NOW, "1")
    assert document["service"]["main_thread"] is False


def test_a_station_runs_only_if_it_can_process_now() -> None:
    worker, station = a_worker(), a_station()
    assert status.running(worker, station)
    assert not status.running(worker, a_station(breaker_open=True))
    assert not status.running(a_worker(restoring_slots=(1,)), station)
    assert not status.running(a_worker(state="stopping"), station)


def test_the_status_json_has_each_fact_in_one_place() -> None:
    document = status.status_document(a_worker())
    assert list(document) == ["worker", "config", "topics", "partitions"]
    assert not {"config", "topics", "partitions"} & set(document["worker"])
    assert document["worker"]["slots"] == (0, 1, 2)
    assert document["worker"]["wrong_partition"] == 4
    assert document["config"] == {
        "applied_hash": "abc",
        "desired_hash": "abc",
        "epoch": 7,
        "refused": (),
        "applied_at": NOW - 50,
        "lagging": False,
    }
    assert document["partitions"][1] == {
        "topic": "T",
        "partition": 1,
        "position": 3,
        "end_offset": None,
        "lag_records": None,
        "lag_seconds": None,
        "restored": True,
        "wrong_partition": 4,
    }


def test_stations_are_listed_only_if_given() -> None:
    listed = status.status_document(a_worker(), [a_station()])["stations"]
    assert [(one["station_id"], one["running"]) for one in listed] == [("S1", True)]


def test_a_stations_fill_says_what_each_number_is() -> None:
    document = status.station_json(a_worker(), a_station())
    assert document["fill"] == {"T": {"records": 6, "window_size": 12}}


def test_what_json_cannot_say_is_null() -> None:
    worker = a_worker(last_poll_age_seconds=math.inf, loop_lag_seconds=math.nan)
    text = json.dumps(status.status_document(worker), allow_nan=False)
    assert json.loads(text)["worker"]["last_poll_age_seconds"] is None

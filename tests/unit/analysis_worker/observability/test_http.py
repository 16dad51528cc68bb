"""The status server over real HTTP on a port that the kernel chose."""

import contextlib
import dataclasses
import http.client
import json
import logging
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple

import prometheus_client
import pytest

from analysis_module import names
from analysis_worker.observability import http as status_http
from analysis_worker.observability import metrics
from analysis_worker.observability import status as statuses
from tests.unit.analysis_worker.observability.facts import Source, a_station, a_worker


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        return json.loads(self.body)


class Now(Source):
    """A source whose status is never old: the server's clock is the real one."""

    def status(self) -> statuses.WorkerStatus:
        return dataclasses.replace(self.worker, taken_at=time.time())


@contextlib.contextmanager
def serving(source: Source) -> Iterator[status_http.StatusServer]:
    registry = prometheus_client.CollectorRegistry()
    metrics.WorkerMetrics(registry, module="m", owner="m-0").watch(source)
    server = status_http.StatusServer(source, registry, host="127.0.0.1", port=0, version="1.2.3")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def source() -> Now:
    stations = [a_station(f"S{number}") for number in range(5)]
    return Now(a_worker(), [*stations, a_station("站/一"), a_station("\ud800")])


@pytest.fixture
def server(source: Now) -> Iterator[status_http.StatusServer]:
    with serving(source) as running:
        yield running


def ask(server: status_http.StatusServer, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_livez_answers_a_worker_that_advances(server: status_http.StatusServer) -> None:
    answer = ask(server, names.LIVENESS_PATH)
    assert (answer.status, answer.json) == (200, {"ok": True, "reasons": []})


def test_livez_tells_why_a_restart_is_due(server: status_http.StatusServer, source: Now) -> None:
    source.worker = a_worker(last_poll_age_seconds=200.0)
    answer = ask(server, names.LIVENESS_PATH)
    assert answer.status == 503
    assert answer.json == {"ok": False, "reasons": ["the last poll of Kafka was 200 s ago, more than 60 s"]}


def test_livez_stays_well_while_kafka_is_away_and_readyz_does_not(
    server: status_http.StatusServer, source: Now
) -> None:
    source.worker = a_worker(consumer_connected=False, last_poll_age_seconds=200.0)
    assert ask(server, names.LIVENESS_PATH).status == 200
    answer = ask(server, names.READINESS_PATH)
    assert (answer.status, answer.json["reasons"]) == (503, ["the consumer is not connected to Kafka"])


def test_readyz_answers_a_worker_that_works(server: status_http.StatusServer) -> None:
    assert ask(server, names.READINESS_PATH).status == 200


async def test_a_blocked_main_loop_delays_no_probe(server: status_http.StatusServer) -> None:
    # This coroutine holds the main loop until the answer is there.
    assert ask(server, names.LIVENESS_PATH).status == 200


def test_a_status_that_a_hanging_worker_left_is_no_longer_live() -> None:
    with serving(Source(a_worker(taken_at=1_000_000.0))) as server:
        answer = ask(server, names.LIVENESS_PATH)
    assert answer.status == 503
    assert "the main loop has been blocked" in answer.json["reasons"][0]


def test_health_is_the_guides_json(server: status_http.StatusServer) -> None:
    answer = ask(server, names.HEALTH_PATH)
    assert answer.status == 200
    assert list(answer.json) == ["status", "timestamp", "version", "service", "stations"]
    assert answer.json["version"] == "1.2.3"
    assert answer.json["stations"]["S0"] == {"running": True}


def test_health_is_503_when_unhealthy(server: status_http.StatusServer, source: Now) -> None:
    source.worker = a_worker(producer_connected=False)
    answer = ask(server, names.HEALTH_PATH)
    assert (answer.status, answer.json["status"]) == (503, "unhealthy")


def test_health_lists_a_thousand_stations_at_most() -> None:
    many = Now(a_worker(station_count=1500), [a_station(f"S{number:04}") for number in range(1500)])
    with serving(many) as server:
        document = ask(server, names.HEALTH_PATH).json
    assert (len(document["stations"]), document["service"]["station_count"]) == (1000, 1500)


def test_status_gives_worker_config_topics_and_partitions(server: status_http.StatusServer) -> None:
    document = ask(server, names.STATUS_PATH).json
    assert list(document) == ["version", "worker", "config", "topics", "partitions"]
    assert document["config"]["applied_hash"] == "abc"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("stations=2", ["S0", "S1"]),
        ("stations=0", []),
        ("stations=10&prefix=S4", ["S4"]),
        ("prefix=" + urllib.parse.quote("站"), ["站/一"]),
    ],
)
def test_status_lists_stations_on_request(
    server: status_http.StatusServer, query: str, ids: list[str]
) -> None:
    document = ask(server, f"{names.STATUS_PATH}?{query}").json
    assert [station["station_id"] for station in document["stations"]] == ids


@pytest.mark.parametrize("stations", ["many", "-1", "10001", ""])
def test_a_number_of_stations_that_is_none_is_refused(
    server: status_http.StatusServer, stations: str
) -> None:
    answer = ask(server, f"{names.STATUS_PATH}?stations={stations}")
    assert answer.status == 400
    assert answer.json == {"error": f"stations={stations} is not a number of stations; give 0 to 10000"}


@pytest.mark.parametrize("station_id", ["S3", "站/一"])
def test_one_station_is_found_by_its_id(server: status_http.StatusServer, station_id: str) -> None:
    answer = ask(server, f"{names.STATUS_PATH}/stations/{urllib.parse.quote(station_id, safe='')}")
    assert (answer.status, answer.json["station_id"]) == (200, station_id)


def test_a_station_that_is_not_held_is_404_as_json(server: status_http.StatusServer) -> None:
    answer = ask(server, f"{names.STATUS_PATH}/stations/nobody")
    assert answer.status == 404
    assert answer.json["error"].startswith("no station 'nobody' is held by this worker; /status?stations=100")


def test_an_id_that_utf8_cannot_write_spoils_no_list(server: status_http.StatusServer) -> None:
    document = ask(server, f"{names.STATUS_PATH}?stations=100").json
    assert "\ud800" in [station["station_id"] for station in document["stations"]]


def test_metrics_are_prometheus_text_by_default(server: status_http.StatusServer) -> None:
    answer = ask(server, names.METRICS_PATH)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\ndata_analysis_station_count 2.0\n" in answer.body


def test_metrics_are_openmetrics_if_accepted(server: status_http.StatusServer) -> None:
    answer = ask(server, names.METRICS_PATH, Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


def test_an_accept_header_that_cannot_be_read_costs_no_scrape(server: status_http.StatusServer) -> None:
    answer = ask(server, names.METRICS_PATH, Accept="application/openmetrics-text; version=abc")
    assert answer.status == 200
    assert b"data_analysis_station_count 2.0" in answer.body


def test_metrics_are_compressed_if_accepted(server: status_http.StatusServer) -> None:
    answer = ask(server, names.METRICS_PATH, **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.body[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        names.METRICS_PATH,
        names.LIVENESS_PATH,
        names.READINESS_PATH,
        names.HEALTH_PATH,
        names.STATUS_PATH,
        f"{names.STATUS_PATH}/stations/S1",
    ],
)
def test_head_is_get_without_a_body(server: status_http.StatusServer, path: str) -> None:
    head, got = ask(server, path, "HEAD"), ask(server, path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


def test_the_index_names_every_page(server: status_http.StatusServer) -> None:
    pages = ask(server, "/").json["pages"]
    assert set(pages) == {
        names.METRICS_PATH,
        names.LIVENESS_PATH,
        names.READINESS_PATH,
        names.HEALTH_PATH,
        names.STATUS_PATH,
        f"{names.STATUS_PATH}/stations/{{id}}",
    }


def test_an_unknown_page_is_404_as_json(server: status_http.StatusServer) -> None:
    answer = ask(server, "/nowhere")
    assert (answer.status, answer.json) == (
        404,
        {"error": "there is no page /nowhere; / lists those that are"},
    )


def test_a_page_cannot_be_posted_to(server: status_http.StatusServer) -> None:
    answer = ask(server, names.HEALTH_PATH, "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert answer.json == {"error": "/health does not take POST; use GET"}


def test_a_faulty_source_is_a_500_that_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Source):
        def status(self) -> statuses.WorkerStatus:
            raise KeyError("password=hunter2")

    with serving(Faulty(a_worker())) as server:
        answers = [ask(server, path) for path in (names.LIVENESS_PATH, names.METRICS_PATH)]
    assert [answer.status for answer in answers] == [500, 500]
    assert answers[0].json == {"error": "the page cannot be made: KeyError; the log says more"}
    assert "the page /livez cannot be made" in caplog.text


def test_requests_leave_no_line_in_the_log(
    server: status_http.StatusServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(server, names.LIVENESS_PATH)
        ask(server, "/nowhere")
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_scrapes_at_one_time_are_all_answered(server: status_http.StatusServer) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, names.METRICS_PATH).status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8


def a_server(host: str, port: int) -> status_http.StatusServer:
    registry = prometheus_client.CollectorRegistry()
    return status_http.StatusServer(Source(a_worker()), registry, host=host, port=port, version="1")


def test_a_taken_port_is_named_with_the_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(status_http.CannotListen) as raised:
            a_server("127.0.0.1", port).start()
    assert str(raised.value) == (
        f"cannot listen on 127.0.0.1, port {port}: something else listens there; "
        "stop it or give another port (0 takes any free one)"
    )


@pytest.mark.parametrize(
    ("host", "port", "mend"),
    [
        ("192.0.2.1", 0, "this machine has no such address"),
        ("no-such-host.invalid", 0, "the name has no address"),
        ("127.0.0.1", 70_000, "give a port of 0 to 65535"),
    ],
)
def test_a_host_or_port_that_cannot_be_is_named_with_the_mend(host: str, port: int, mend: str) -> None:
    with pytest.raises(status_http.CannotListen, match=f"cannot listen on {host}, port {port}: {mend}"):
        a_server(host, port).start()


def test_a_server_that_could_not_listen_may_be_started_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = a_server("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(status_http.CannotListen):
            server.start()
    server.start()
    server.stop()


def test_a_server_starts_once(server: status_http.StatusServer) -> None:
    with pytest.raises(RuntimeError, match="started before; make a new one"):
        server.start()


def test_stop_frees_the_port_and_the_thread_and_may_be_repeated() -> None:
    with serving(Now(a_worker())) as server:
        ask(server, names.LIVENESS_PATH)
        port = server.port
        server.stop()
        server.stop()
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert "status-http" not in [thread.name for thread in threading.enumerate()]


def test_a_server_that_never_started_can_be_stopped() -> None:
    a_server("127.0.0.1", 0).stop()


def test_an_open_connection_does_not_hold_up_the_stop() -> None:
    with serving(Now(a_worker())) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", names.LIVENESS_PATH)
        connection.getresponse().read()  # kept alive from here on
        server.stop()
        assert "status-http" not in [thread.name for thread in threading.enumerate()]
        connection.close()


def test_the_host_of_two_colons_takes_ipv4_too() -> None:
    registry = prometheus_client.CollectorRegistry()
    server = status_http.StatusServer(Now(a_worker()), registry, host="::", port=0, version="1")
    server.start()
    try:
        assert ask(server, names.LIVENESS_PATH).status == 200
    finally:
        server.stop()

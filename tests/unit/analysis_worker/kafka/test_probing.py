"""The question that is asked by hand, on sockets of this process."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from analysis_worker.kafka import probing


@contextlib.contextmanager
def a_server(answer: bytes | None) -> Iterator[str]:
    """Answers the first question with these bytes, or closes at once for None."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(1024)
                if answer is not None:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def api_versions(*keys: int) -> bytes:
    body = struct.pack(">ihi", 1, 0, len(keys)) + b"".join(struct.pack(">hhh", key, 0, 9) for key in keys)
    return struct.pack(">i", len(body)) + body


def a_closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_requests_that_a_broker_knows_are_told() -> None:
    with a_server(api_versions(0, 3, probing.CREATE_TOPICS)) as server:
        assert probing.requests_known(server, None) == {0, 3, 19}


def test_a_tls_alert_hints_at_tls() -> None:
    with (
        a_server(bytes.fromhex("15030300020246")) as server,
        pytest.raises(probing.NoAnswer, match=r"it may speak TLS there.*; check kafka\.security\.protocol"),
    ):
        probing.requests_known(server, None)


def test_a_connection_that_is_closed_hints_at_tls() -> None:
    with a_server(None) as server, pytest.raises(probing.NoAnswer, match="it may speak TLS there"):
        probing.requests_known(server, None)


def test_an_answer_that_is_cut_short_is_no_answer() -> None:
    with a_server(struct.pack(">i", 100) + b"\0" * 20) as server, pytest.raises(probing.NoAnswer):
        probing.requests_known(server, None)


def test_a_count_that_the_answer_does_not_hold_is_no_answer() -> None:
    body = struct.pack(">ihi", 1, 0, 1000)
    answer = struct.pack(">i", len(body)) + body
    with a_server(answer) as server, pytest.raises(probing.NoAnswer):
        probing.requests_known(server, None)


def test_a_port_where_nothing_listens_is_named_with_the_mend() -> None:
    port = a_closed_port()
    with pytest.raises(
        probing.NoAnswer, match=rf"127\.0\.0\.1:{port}: nothing listens there; start the broker"
    ):
        probing.requests_known(f"127.0.0.1:{port}", None)


def test_the_first_server_that_answers_is_enough() -> None:
    with a_server(api_versions(7)) as server:
        assert probing.first_answer([f"127.0.0.1:{a_closed_port()}", server], None) == {7}


def test_when_none_answers_every_reason_is_told() -> None:
    servers = [f"127.0.0.1:{a_closed_port()}", f"127.0.0.1:{a_closed_port()}"]
    with pytest.raises(probing.NoAnswer) as caught:
        probing.first_answer(servers, None)
    assert all(server in str(caught.value) for server in servers)


def test_no_server_at_all_is_told() -> None:
    with pytest.raises(probing.NoAnswer, match="bootstrapServers: no server is named"):
        probing.first_answer([], None)

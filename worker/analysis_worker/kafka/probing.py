"""One question to one broker, asked by hand: which requests do you know (ApiVersions, version 0)?

Every broker answers it before any login. A client library tells why it cannot connect only in its log; this
says it at once, and tells the embedded broker, which knows few requests, from a real one.
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator

CREATE_TOPICS = 19
"""Number of the request that creates topics (Kafka protocol guide, "API Keys")."""
_API_VERSIONS = 18
_CLIENT = b"analysis-worker"
_TLS_ALERT = 0x15
_MOST_BYTES = 1 << 20


class NoAnswer(ConnectionError):
    """A server did not answer as a Kafka broker: names it, the reason and the mend."""


def first_answer(
    servers: Iterable[str], tls: ssl.SSLContext | None, *, within_seconds: float = 5.0
) -> frozenset[int]:
    """Numbers of the requests that the first server to answer knows; raises NoAnswer if none does."""
    silent = []
    for server in servers:
        try:
            return requests_known(server, tls, within_seconds=within_seconds)
        except NoAnswer as error:
            silent.append(str(error))
    raise NoAnswer("; ".join(silent) or "kafka.bootstrapServers: no server is named; name one")


def requests_known(server: str, tls: ssl.SSLContext | None, *, within_seconds: float = 5.0) -> frozenset[int]:
    """Numbers of the requests that the broker at `host:port` knows; raises NoAnswer."""
    host, _, port = server.rpartition(":")
    where = (host.strip("[]"), int(port))
    with _reasons(server, tls is not None), socket.create_connection(where, within_seconds) as plain:
        if tls is None:
            return _ask(plain)
        with tls.wrap_socket(plain, server_hostname=where[0]) as secured:
            return _ask(secured)


@contextlib.contextmanager
def _reasons(server: str, tls: bool) -> Iterator[None]:
    """What can go wrong with one server, in words."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        wrong = f"its certificate is not accepted: {error.verify_message or error}"
        raise NoAnswer(f"{server}: {wrong}; give its CA as kafka.security.ca") from error
    except ssl.SSLError as error:
        wrong = f"no TLS there: {error.reason or error}"
        raise NoAnswer(f"{server}: {wrong}; check kafka.security.protocol and the port") from error
    except socket.gaierror as error:
        raise NoAnswer(f"{server}: the name has no address; correct kafka.bootstrapServers") from error
    except TimeoutError as error:
        raise NoAnswer(f"{server}: no answer in time; check the address, firewalls and the broker") from error
    except ConnectionRefusedError as error:
        raise NoAnswer(f"{server}: nothing listens there; start the broker, or correct the port") from error
    except (OSError, EOFError, struct.error) as error:
        hint = "it may want a client certificate" if tls else "it may speak TLS there"
        wrong = f"it closed the connection ({hint})" if isinstance(error, EOFError) else str(error)
        raise NoAnswer(f"{server}: {wrong}; check kafka.security.protocol and the port") from error


def _ask(connection: socket.socket) -> frozenset[int]:
    header = struct.pack(">hhih", _API_VERSIONS, 0, 1, len(_CLIENT)) + _CLIENT
    connection.sendall(struct.pack(">i", len(header)) + header)
    prefix = _exactly(connection, 4)
    (size,) = struct.unpack(">i", prefix)
    if prefix[0] == _TLS_ALERT or not 10 <= size <= _MOST_BYTES:
        raise EOFError
    answer = _exactly(connection, size)
    (count,) = struct.unpack_from(">i", answer, 6)  # after the correlation id and the error code
    return frozenset(struct.unpack_from(">h", answer, 10 + 6 * index)[0] for index in range(count))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)

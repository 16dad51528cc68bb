"""Ports of this machine that the kernel chose and that nobody else gets while we hold them."""

import socket
import sys

LOOPBACK = "127.0.0.1"


class ReservedPort:
    """One port of `host`, `number`, kept for a server of ours until `release`, also while that is down.

    On Linux a socket that is bound but does not listen keeps the kernel from giving the port to anyone who
    asks for any port (and to an outgoing connection, which could then connect to itself), while a server
    that names it and sets SO_REUSEADDR, as Java's do, may still listen there. Elsewhere such a socket would
    refuse our own server, so the port is only chosen, not kept.
    """

    def __init__(self, host: str = LOOPBACK) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Gives the port back."""
        self._socket.close()


def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server accepts a connection at `host`:`port` now."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0

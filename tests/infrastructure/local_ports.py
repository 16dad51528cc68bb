"""Ports of 127.0.0.1 that the kernel chose and that nobody else gets while we hold them."""

import socket
import sys


class ReservedPort:
    """One port, `number`, kept for a server of ours until `release`, also while that server is down.

    On Linux a socket that is bound but does not listen keeps the kernel from giving the port to anyone who
    asks for any port (and to an outgoing connection, which could then connect to itself), while a server
    that names it and sets SO_REUSEADDR, as Java's do, may still listen there. Elsewhere such a socket would
    refuse our own server, so the port is only chosen, not kept.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Gives the port back."""
        self._socket.close()


def accepts(port: int) -> bool:
    """Whether a server accepts a connection at 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0

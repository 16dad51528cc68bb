"""How our kafka-python clients connect, so that a killed broker costs them little and leaks nothing."""

import socket
from typing import Any

from kafka.net import inet


class _Direct(inet.KafkaNetSocket):  # type: ignore[misc]
    """A plain connection whose socket is closed if it fails; kafka-python 3.0 leaves that to the collector.

    That would be a ResourceWarning, hence an error, in whatever test runs then. The class is chosen by the
    scheme of the setting `proxy_url`.
    """

    SCHEMES = ("direct",)

    async def sock_connect(
        self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None
    ) -> socket.socket:
        """As its parent; closes `sock` when that raises."""
        try:
            connected: socket.socket = await super().sock_connect(net, sock, sockaddr, timeout_at)
        except BaseException:
            sock.close()
            raise
        return connected


def settings(bootstrap: str, **others: Any) -> dict[str, Any]:
    """The settings of a kafka-python client for `bootstrap` (host:port with commas between), and `others`."""
    return {
        "bootstrap_servers": bootstrap.split(","),
        "proxy_url": f"{_Direct.SCHEMES[0]}://",
        "request_timeout_ms": 10_000,
        "reconnect_backoff_max_ms": 500,
        **others,
    }

"""A worker that is its status page alone: a test says what it has taken over and followed."""

import http.server
import json
import random
import threading
import time
from collections.abc import Iterable
from typing import Any

from analysis_module import names
from analysis_module.assignment import Assignment
from tests.infrastructure import api_client
from tests.infrastructure.module_driver import ModuleDriver


class StatusPage:
    """Served at a worker's port of an address of its own, for one pod of a module."""

    def __init__(self, module: ModuleDriver, shard: int) -> None:
        self._module, self._shard = module, shard
        self._told = module.assignments()[shard]
        self.followed: Iterable[int] | None = ()
        """The arriving slots that it is up with; None for a worker of an older version, which has no word."""
        self.asked = 0
        self.address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        self._server = http.server.ThreadingHTTPServer((self.address, names.HTTP_PORT), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "StatusPage":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def become_ready(self) -> None:
        """Say, as a kubelet would, that the pod of the shard runs here and is ready."""
        pod = self.pod()
        status = {
            "phase": "Running",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self._module.api.patch(
            api_client.PODS,
            pod["metadata"]["name"],
            {"status": status},
            namespace=self._module.namespace,
            subresource="status",
        )

    def pod(self) -> dict[str, Any]:
        """The pod of the shard."""
        label = str(self._shard)
        pods = self._module.pods().values()
        (found,) = (each for each in pods if each["metadata"]["labels"][names.LABEL_SHARD] == label)
        return found

    def take_over(self) -> Assignment:
        """Do what the shard's ConfigMap says, and be done with it at once."""
        self._told = self._module.assignments()[self._shard]
        return self._told

    def document(self) -> dict[str, Any]:
        """What it says."""
        told = self._told
        worker: dict[str, Any] = {
            "taken_at": time.time(),
            "owner": told.owner,
            "state": "running",
            "slots": sorted(told.slots),
            "releasing_slots": [],
        }
        if self.followed is not None:
            worker["followed_slots"] = sorted(self.followed)
        config = {"epoch": told.epoch, "applied_hash": told.config_hash, "desired_hash": told.config_hash}
        return {"worker": worker, "config": config}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                content = json.dumps(page.document()).encode()
                page.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

"""Modules that give every panel of the dashboards something to show: at work, failing, rejected, killed."""

import dataclasses
import signal
from typing import Any

from tests.infrastructure import kafka_tools
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.scenario import PATIENCE_SECONDS, Scenario

FAILING = """
def callback(station_id, module_input):
    if int(module_input["number"]) % 10 == 0:
        raise ValueError("every tenth record is too much")
    return {"number": module_input["number"]}
"""
BUSY = """
import time

def callback(station_id, module_input):
    time.sleep(0.005 + 0.03 * (int(module_input["number"]) % 7 == 0))
    return {"number": module_input["number"], "oldest": module_input["number_window"][0]}
"""
WINDOW = 1_100
"""Large enough for files."""
SNAPSHOTS = {"url": "file:///tmp/snapshots", "intervalSeconds": 5}
"""In the pod's own temporary directory: what is shown is how old they are."""
BROKEN = [kafka_tools.Outgoing(b"S1", b'{"stationId": "S1", "number":')] * 3


class WatchedModules:
    """One with two workers under a steady stream, one whose callback fails at times, and a rejected one."""

    def __init__(self, numbered: Scenario) -> None:
        self.numbered = numbered
        self.failing = ModuleDriver(numbered.cluster.access, numbered.namespace, "failing")
        self.rejected = ModuleDriver(numbered.cluster.access, numbered.namespace, "rejected")

    def start(self) -> None:
        """Apply them; the stream goes on."""
        stream = self.numbered.stream
        failing = dataclasses.replace(stream, group=f"{stream.group}-failing")
        kafka_tools.create_topic(stream.bootstrap, failing.output_topic, partitions=4)
        self.failing.apply(failing.spec(callback={"source": FAILING}, errors={"retries": 0}))
        nowhere = {"configMapRef": {"name": "not-there", "key": "callback.py"}}
        rejected = dataclasses.replace(stream, group=f"{stream.group}-rejected")
        self.rejected.apply(rejected.spec(callback=nowhere))
        self.numbered.run(**self._spec())
        self.rejected.until_condition("Accepted", "False", "CallbackMissing")

    def live(self) -> None:
        """What happens to modules: broken records, a hot edit, a killed worker; half a minute in all."""
        numbered = self.numbered
        self._receive_broken_records(seconds=10)
        numbered.apply(**self._spec(), expireAfterSeconds=900)
        numbered.module.until_settled(PATIENCE_SECONDS)
        self._receive_broken_records(seconds=5)
        killed = min(numbered.module.pods())
        numbered.signal(killed, signal.SIGKILL)
        numbered.until_restarted(killed)
        self._receive_broken_records(seconds=10)

    def _receive_broken_records(self, seconds: int) -> None:
        stream = self.numbered.stream
        for _ in range(seconds):
            kafka_tools.produce_all(stream.bootstrap, stream.topic, BROKEN)
            self.numbered.until_sent_for(1)

    def _spec(self) -> dict[str, Any]:
        kept = {"window": WINDOW, "state": {"snapshots": SNAPSHOTS}}
        return {"workers": {"replicas": 2}, "callback": {"source": BUSY}, **kept}

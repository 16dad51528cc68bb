"""One module under a steady stream of numbered records on a true cluster, and what a test measures there."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import yaml

from tests.infrastructure import kafka_tools, numbered_stream, true_cluster, waiting
from tests.infrastructure.module_driver import ModuleDriver

STATIONS = 40
PATIENCE_SECONDS = 120.0


class Scenario:
    """A module of its own in a namespace of its own that enforces Pod Security `restricted`."""

    def __init__(self, cluster: true_cluster.TrueCluster, name: str) -> None:
        self.cluster = cluster
        self.stream = numbered_stream.make(cluster.kafka.bootstrap_servers, name)
        self.namespace = cluster.plane.namespace(name, true_cluster.RESTRICTED)
        self.module = ModuleDriver(cluster.plane, self.namespace, "numbered")
        self.sent: list[Any] = []
        self._numbered = numbered_stream.records(10_000_000, STATIONS)
        self._enough = threading.Event()
        self._sending: threading.Thread | None = None

    def apply(self, **changes: Any) -> None:
        """What a user does: `kubectl apply` of the module's YAML; the spec is the stream's, with changes."""
        self.module.spec = self.stream.spec(**changes)
        text = yaml.safe_dump(self.module.manifest(self.module.spec))
        done = self.cluster.plane.kubectl("apply", "--filename", "-", stdin=text)
        assert done.returncode == 0, done.stderr

    def send(self, count: int) -> None:
        """So many records, the next ones of their stations."""
        some = list(itertools.islice(self._numbered, count))
        kafka_tools.produce_all(self.stream.bootstrap, self.stream.topic, some)
        self.sent += some

    def send_steadily(self, per_second: int = 200) -> None:
        """Records at an even pace until `stop_sending`."""

        def paced() -> Iterator[Any]:
            began = time.monotonic()
            for number, record in enumerate(self._numbered):
                if self._enough.wait(max(0.0, began + number / per_second - time.monotonic())):
                    self._numbered = itertools.chain([record], self._numbered)
                    return
                self.sent.append(record)
                yield record

        self._enough.clear()
        place = (self.stream.bootstrap, self.stream.topic)
        self._sending = threading.Thread(target=lambda: kafka_tools.produce_all(*place, paced()), daemon=True)
        self._sending.start()

    def stop_sending(self) -> None:
        """Ends the steady stream and waits until there are as many outputs as records."""
        self._enough.set()
        if self._sending is not None:
            self._sending.join()
        self.until_outputs(len(self.sent))

    def until_outputs(self, count: int) -> None:
        """Waits for so many outputs; the error tells the module's status."""
        self.module.until(
            lambda: self.stream.output_count() >= count, f"there are {count} outputs", PATIENCE_SECONDS
        )

    def examine(self) -> numbered_stream.Findings:
        """What became of all records."""
        return numbered_stream.examine(self.stream.outputs(), self.sent)

    def longest_silence_seconds(self, since_ms: float) -> float:
        """The longest time without any output, by the outputs' own timestamps, from then (epoch) on."""
        times = sorted(each.timestamp_ms for each in self.stream.outputs())
        around = [since_ms, *(each for each in times if each > since_ms)]
        return max(after - before for before, after in itertools.pairwise(around)) / 1000

    def containers(self) -> dict[str, int]:
        """What runs: the id of each pod, and how often its container was restarted."""
        return {
            pod["metadata"]["uid"]: each["restartCount"]
            for pod in self.module.pods().values()
            for each in pod["status"].get("containerStatuses", ())
        }

    def until_restarted(self, pod: str) -> None:
        """Waits until a pod's container was started anew and is ready."""

        def is_ready() -> bool:
            statuses = self.module.pods()[pod]["status"]["containerStatuses"]
            return all(each["ready"] and each["restartCount"] for each in statuses)

        waiting.until(is_ready, what=f"{pod} is ready again", timeout_seconds=PATIENCE_SECONDS)

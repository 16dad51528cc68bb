"""One module under a steady stream of numbered records on a cluster, and what a test measures there."""

import collections
import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from analysis_module import names
from tests.infrastructure import kafka_tools, numbered_stream, pod_processes, release, waiting
from tests.infrastructure.module_driver import ModuleDriver

STATIONS = 40
PER_SECOND = 200
SLOTS = 64
"""Of a module that asks for no other number."""
PATIENCE_SECONDS = 120.0
NOTHING_WRONG = numbered_stream.Findings([], 0, 0, [], [])
Report = dict[str, Any]
"""What build/e2e.json holds; "scenarios" has an entry of counts for each of them."""


class Scenario:
    """A module of its own in a namespace of its own that enforces Pod Security `restricted`.

    `title` is its name in the report, of which it writes the entry when it is concluded.
    """

    def __init__(self, cluster: release.Cluster, title: str, report: Report) -> None:
        name = "-".join(word for word in "".join(c if c.isalnum() else " " for c in title).lower().split())
        self.cluster = cluster
        self.stream = numbered_stream.make(cluster.bootstrap_servers, name[:30])
        self.namespace = cluster.access.namespace(name[:30].strip("-"), release.RESTRICTED)
        self.module = ModuleDriver(cluster.access, self.namespace, "numbered")
        self.sent: list[Any] = []
        self.per_second = PER_SECOND
        self.orderly = True
        """Whether nothing has been killed or frozen."""
        self._title = title
        self._report = report
        self._numbered = numbered_stream.records(10_000_000, STATIONS)
        self._enough = threading.Event()
        self._sending: threading.Thread | None = None

    def apply(self, **changes: Any) -> None:
        """What a user does: `kubectl apply` of the module's YAML; the spec is the stream's, with changes."""
        self.module.spec = self.stream.spec(**changes)
        text = yaml.safe_dump(self.module.manifest(self.module.spec))
        done = self.cluster.access.kubectl("apply", "--filename", "-", stdin=text)
        assert done.returncode == 0, done.stderr

    def run(self, outputs: int = 400, **changes: Any) -> None:
        """Apply it and wait until it has answered so many records of a steady stream, which goes on."""
        self.apply(**changes)
        self.module.until_phase("Running")
        self.send_steadily()
        self.until_outputs(outputs)

    def until_sent_for(self, seconds: float) -> None:
        """Waits for so many seconds, by the steady stream's own count of records."""
        wanted = len(self.sent) + seconds * self.per_second
        waiting.until(
            lambda: len(self.sent) >= wanted,
            what=f"the stream has gone on for {seconds:g} s",
            timeout_seconds=seconds + PATIENCE_SECONDS,
        )

    def send(self, count: int) -> None:
        """So many records, the next ones of their stations."""
        some = list(itertools.islice(self._numbered, count))
        kafka_tools.produce_all(self.stream.bootstrap, self.stream.topic, some)
        self.sent += some

    def send_steadily(self) -> None:
        """Records at an even pace, `per_second`, until `stop_sending`."""

        def paced() -> Iterator[Any]:
            began = time.monotonic()
            for number, record in enumerate(self._numbered):
                if self._enough.wait(max(0.0, began + number / self.per_second - time.monotonic())):
                    self._numbered = itertools.chain([record], self._numbered)
                    return
                self.sent.append(record)
                yield record

        self._enough.clear()
        place = (self.stream.bootstrap, self.stream.topic)
        self._sending = threading.Thread(target=lambda: kafka_tools.produce_all(*place, paced()), daemon=True)
        self._sending.start()

    def stop_sending(self) -> None:
        """Ends the steady stream; everything sent is acknowledged then."""
        self._enough.set()
        if self._sending is not None:
            self._sending.join()
            self._sending = None

    def until_more_outputs(self, count: int) -> None:
        """Waits for so many more outputs than there are."""
        self.until_outputs(self.stream.output_count() + count)

    def until_outputs(self, count: int) -> None:
        """Waits for so many outputs; the error tells the module's status."""
        self.module.until(
            lambda: self.stream.output_count() >= count, f"there are {count} outputs", PATIENCE_SECONDS
        )

    def conclude(self) -> numbered_stream.Findings:
        """Ends the stream, waits for the output of each record, and counts; the report gets the counts.

        Raises AssertionError if `kubectl get` does not come to show a module that runs as it is asked to.
        """
        self.stop_sending()
        self.until_outputs(len(self.sent))
        self.until_columns_are_right(self.module)
        return self.count(self._title, self.stream)

    def until_columns_are_right(self, module: ModuleDriver) -> None:
        """Wait until `kubectl get` shows a module that runs as it is asked to, with all stations sent."""
        replicas = module.spec.get("workers", {}).get("replicas", 1)
        stations = {json.loads(value)["stationId"] for _, value, *_ in self.sent}
        expected = ["Running", f"{replicas}/{replicas}", f"{replicas}/{replicas}", f"{len(stations)}"]

        def are_right() -> bool:
            row = self.columns(module)
            return [row[each] for each in ("PHASE", "READY", "CONFIG", "STATIONS")] == expected

        module.until(are_right, "the columns of kubectl are right", PATIENCE_SECONDS)

    def count(self, title: str, stream: numbered_stream.NumberedStream) -> numbered_stream.Findings:
        """What became of all records in one module's outputs; the report gets an entry of that title."""
        found: list[numbered_stream.Findings] = []

        def is_answered() -> bool:
            found[:] = [numbered_stream.examine(stream.outputs(), self.sent)]
            return not found[0].lost

        with contextlib.suppress(TimeoutError):  # what is lost then is told by the findings
            waiting.until(is_answered, what="every record has its output", timeout_seconds=PATIENCE_SECONDS)
        gaps = sorted(gaps_seconds(stream).values())
        self._report["scenarios"][title] = {
            "orderly": self.orderly,
            "records": len(self.sent),
            "lost": len(found[0].lost),
            "doubled": found[0].doubled,
            "doubled_unmarked": found[0].doubled_unmarked,
            "out_of_order": len(found[0].out_of_order),
            "wrong_windows": len(found[0].wrong_windows),
            "gap_median_seconds": round(gaps[len(gaps) // 2], 2),
            "gap_longest_seconds": round(gaps[-1], 2),
        }
        return found[0]

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

    def signal(self, pod: str, number: signal.Signals) -> None:
        """Sends a signal to all processes of a pod; raises as `pod_processes.send`."""
        self.orderly = False
        pod_processes.send(self.cluster.access.api, self.namespace, pod, number)

    @contextlib.contextmanager
    def frozen(self, pod: str) -> Iterator[None]:
        """While it lasts no process of a pod's containers runs; those that are left then go on."""
        self.orderly = False
        processes = pod_processes.of_pod(self.cluster.access.api, self.namespace, pod)
        pod_processes.signal_all(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            pod_processes.signal_all(processes, signal.SIGCONT)

    def owners(self) -> dict[int, int]:
        """Slot -> the shard that is told to own it; a slot that changes hands has none."""
        return {slot: shard for shard, told in self.module.assignments().items() for slot in told.slots}

    def columns(self, module: ModuleDriver | None = None) -> dict[str, Any]:
        """What `kubectl get analysismodule` prints in each column of a module (else of the scenario's)."""
        name = (module or self.module).name
        done = self.cluster.access.kubectl(
            *("get", names.PLURAL, name, "--namespace", self.namespace, "--output", "wide")
        )
        assert done.returncode == 0, done.stderr
        head, row = done.stdout.splitlines()
        starts = [head.index(word) for word in head.split()]
        parts = [slice(a, b) for a, b in itertools.zip_longest(starts, starts[1:])]
        return {head[part].strip(): row[part].strip() for part in parts}

    def until_restarted(self, pod: str) -> None:
        """Waits until a pod's container was started anew and is ready."""

        def is_ready() -> bool:
            statuses = self.module.pods()[pod]["status"]["containerStatuses"]
            return all(each["ready"] and each["restartCount"] for each in statuses)

        waiting.until(is_ready, what=f"{pod} is ready again", timeout_seconds=PATIENCE_SECONDS)


def gaps_seconds(stream: numbered_stream.NumberedStream, since_ms: float = 0.0) -> dict[str, float]:
    """By station the longest time between two outputs, by their own timestamps, from then (epoch) on."""
    times = collections.defaultdict(list)
    for each in stream.outputs():
        if each.timestamp_ms >= since_ms:
            times[json.loads(each.value or b"")["stationId"]].append(each.timestamp_ms)
    return {
        station: max((b - a for a, b in itertools.pairwise(sorted(some))), default=0.0) / 1000
        for station, some in times.items()
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

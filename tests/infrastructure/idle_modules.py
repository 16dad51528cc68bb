"""Modules that no node runs and whose Kafka does not answer: enough to see what an operator does for them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import names
from tests.infrastructure import api_client, waiting
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver

PATIENCE_SECONDS = 60.0


def spec(**changes: Any) -> dict[str, Any]:
    """A spec that is accepted; `changes` replace whole top-level fields."""
    made: dict[str, Any] = {
        "module": "idle",
        # Port 9 (discard) of loopback: nobody listens there.
        "kafka": {"bootstrapServers": ["127.0.0.1:9"]},
        "inputs": [{"topic": "idle-input", "fields": ["stationId", "number"], "windowSize": 5}],
        "callback": {"source": "def callback(station_id, module_input):\n    return {}\n"},
    }
    return {**made, **changes}


def driver(plane: ControlPlane, namespace: str, name: str, **changes: Any) -> ModuleDriver:
    """Such a module, applied; its Kafka names are its own."""
    module = ModuleDriver(plane, namespace, name)
    whole = f"{namespace}-{name}"
    kafka = {**spec()["kafka"], "groupId": whole}
    module.apply(spec(kafka=kafka, output={"topic": f"{whole}-output"}, **changes))
    return module


def is_caught_up(module: ModuleDriver) -> bool:
    """Whether its newest spec, known by `expireAfterSeconds`, is in its ConfigMap and told by its status."""
    found = module.get()
    told = (found.get("status") or {}).get("observedGeneration")
    config_map = module.api.find(api_client.CONFIG_MAPS, f"{module.name}-0", namespace=module.namespace)
    if config_map is None or told != found["metadata"]["generation"]:
        return False
    assigned = assignments.Assignment.from_json(config_map["data"][names.ASSIGNMENT_FILE]).module_spec
    return bool(assigned.expire_after_seconds == found["spec"]["expireAfterSeconds"])


@contextlib.contextmanager
def namespaces(plane: ControlPlane) -> Iterator[Callable[[str], str]]:
    """Makes namespaces for them; at the end all go, with the pods that a later test's node would take."""
    made: list[str] = []

    def make(prefix: str) -> str:
        made.append(plane.namespace(prefix))
        return made[-1]

    try:
        yield make
    finally:
        for name in made:
            plane.api.delete(api_client.NAMESPACES, name)
        waiting.until(
            lambda: not any(plane.api.items(api_client.PODS, namespace=name) for name in made),
            what=f"no pods are left in {made}",
            timeout_seconds=PATIENCE_SECONDS,
        )

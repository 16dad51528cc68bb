"""Modules that no node runs and whose Kafka does not answer: enough to see what an operator does for them."""

import contextlib
from collections.abc import Iterator
from typing import Any

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
    """Whether its newest spec is in its ConfigMaps and told of by its status."""
    found = module.get()
    told = (found.get("status") or {}).get("observedGeneration")
    shards = module.assignments().values()
    expiries = {each.module_spec.expire_after_seconds for each in shards}
    wanted = found["spec"].get("expireAfterSeconds")
    return told == found["metadata"]["generation"] and expiries == {wanted}


@contextlib.contextmanager
def namespace(plane: ControlPlane, prefix: str) -> Iterator[str]:
    """A namespace for them; at the end it goes, and with it the pods that a later test's node would take."""
    name = plane.namespace(prefix)
    yield name
    plane.api.delete(api_client.NAMESPACES, name)
    waiting.until(
        lambda: not plane.api.items(api_client.PODS, namespace=name),
        what=f"no pods are left in {name}",
        timeout_seconds=PATIENCE_SECONDS,
    )

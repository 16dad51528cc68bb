"""A namespace with an operator of its own: what most tests of the operator start from."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infrastructure import idle_modules
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operator_account import OperatorAccount
from tests.infrastructure.operator_process import OperatorProcess

NOWHERE = "127.0.0.1:9"
"""An address where no Kafka is: the discard port of this machine."""


class OperatedNamespace:
    """A namespace, its operator, and the modules that a test makes there."""

    def __init__(self, plane: ControlPlane, namespace: str, operator: OperatorProcess, user: str) -> None:
        self.plane = plane
        self.name = namespace
        self.operator = operator
        self._user = user
        self._since = 0

    def module(self, name: str) -> ModuleDriver:
        """A driver of one module here."""
        return ModuleDriver(self.plane, self.name, name)

    def mark(self) -> None:
        """From here on `writes` counts."""
        self._since = self.plane.audit_position()

    def writes(self) -> list[str]:
        """What the operator has written since the mark, but for its Lease, as "patch pods cars-0"."""
        return [
            " ".join(
                (
                    event["verb"],
                    event["objectRef"].get("resource", ""),
                    event["objectRef"].get("name", ""),
                    event["objectRef"].get("subresource", ""),
                )
            ).rstrip()
            for event in self.plane.audit_events(since=self._since)
            if event["verb"] in ("create", "update", "patch", "delete")
            and event["user"]["username"] == self._user
            and event["objectRef"].get("resource") != "leases"
            and event["stage"] == "ResponseComplete"
        ]


@contextlib.contextmanager
def operated(
    plane: ControlPlane, directory: Path, prefix: str, settings: Mapping[str, Any] | None = None
) -> Iterator[OperatedNamespace]:
    """A fresh namespace and an operator that leads there and sees no other, with the chart's rights.

    Raises AssertionError at the end if the operator asked for more than the chart grants.
    """
    with idle_modules.namespaces(plane) as make:
        namespace = make(prefix)
        account = OperatorAccount(plane, namespace, serves=[namespace])
        operator = OperatorProcess(
            directory,
            account.kubeconfig,
            lease_namespace=namespace,
            settings={**account.scope, **(settings or {})},
        )
        with operator:
            operator.wait_until_leading()
            yield OperatedNamespace(plane, namespace, operator, account.user)
        account.require_nothing_refused()


def spec(module: str, **changes: Any) -> dict[str, Any]:
    """A module of its own with one input, whose Kafka is nowhere; `changes` replace top-level fields."""
    whole: dict[str, Any] = {
        "module": module,
        "kafka": {"bootstrapServers": [NOWHERE]},
        "inputs": [{"topic": "SCHEDULE-CAR-ORDER", "fields": ["currentSOC"]}],
    }
    return {**whole, **changes}


def output_of(module: str) -> dict[str, str]:
    """A dependency on a module of `spec`, by its output topic."""
    return {"module": module, "topic": f"MODULE-OUTPUT-{module.upper()}"}

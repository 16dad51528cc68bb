"""Every example is accepted and run by a real operator on a real API server, just as it stands."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.infrastructure import operated_namespace
from tests.infrastructure.control_plane import ControlPlane
from tests.infrastructure.module_driver import ModuleDriver
from tests.infrastructure.operated_namespace import OperatedNamespace

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted([*(EXAMPLES / "modules").glob("*.yaml"), *(EXAMPLES / "kubernetes").glob("*.yaml")])
CATALOGUE = sorted((EXAMPLES / "modules").glob("*.yaml"))


@pytest.fixture
def place(control_plane: ControlPlane, tmp_path: Path) -> Iterator[OperatedNamespace]:
    """A namespace whose operator knows where Kafka is, for the examples that do not say it."""
    kafka = {"bootstrapServers": ["kafka:9092"]}
    with operated_namespace.operated(control_plane, tmp_path, "examples", {"kafka": kafka}) as place:
        yield place


def applied(place: OperatedNamespace, file: Path) -> list[ModuleDriver]:
    """`kubectl apply` of a file; its modules."""
    done = place.plane.kubectl("apply", "--namespace", place.name, "-f", str(file))
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    return [place.module(d["metadata"]["name"]) for d in documents if d["kind"] == "AnalysisModule"]


def test_every_example_is_accepted_and_gets_its_workers(place: OperatedNamespace) -> None:
    for file in FILES:
        if file.name == "shortest.yaml":  # the same module as one of the nine
            continue
        for module in applied(place, file):
            module.until_condition("Accepted", "True")
            module.until(
                _has_worker(module),
                f"{module.name} gets its worker",
            )


def test_the_nine_modules_find_each_other(place: OperatedNamespace) -> None:
    modules = [module for file in CATALOGUE for module in applied(place, file)]
    assert len(modules) == 9
    for module in modules:
        module.until_condition("DependenciesReady", "True")


def test_the_shortest_example_is_accepted(place: OperatedNamespace) -> None:
    (module,) = applied(place, EXAMPLES / "kubernetes" / "shortest.yaml")
    module.until_condition("Accepted", "True")


def test_the_chain_is_a_chain(place: OperatedNamespace) -> None:
    first, second = applied(place, EXAMPLES / "kubernetes" / "chain.yaml")
    second.until_condition("DependenciesReady", "True", "Found")
    first.until(lambda: first.status.get("dependants") == [f"{place.name}/{second.name}"], "it is known")


def test_no_secret_of_the_secured_example_stands_anywhere_but_in_its_secret(place: OperatedNamespace) -> None:
    (module,) = applied(place, EXAMPLES / "kubernetes" / "secured-kafka.yaml")
    module.until(lambda: len(module.children()) == 5, "its objects are there")
    children = module.children()
    pod = children["deployments", "secured-evaluation-0"]["spec"]["template"]["spec"]
    mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    assert mounted == {"kafka-credentials", "kafka-ca"}
    seen = f"{children} {module.get()} {module.events()} {place.operator.log()}"
    assert "replace-me" not in seen


def test_the_windows_on_a_claim_are_on_that_claim(place: OperatedNamespace) -> None:
    (module,) = applied(place, EXAMPLES / "kubernetes" / "windows-on-a-claim.yaml")
    module.until(_has_worker(module), "it gets its worker")
    pod = module.children()["deployments", "year-of-load-0"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"] == {"claimName": "year-of-load-windows"}
    assert "emptyDir" not in volumes["state"]


def _has_worker(module: ModuleDriver) -> Callable[[], bool]:
    return lambda: ("deployments", f"{module.name}-0") in module.children()

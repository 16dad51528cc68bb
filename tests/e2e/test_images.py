"""The images: each carries its own program, nothing of the other's, and no more rights than it needs."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infrastructure import api_client, images, release, waiting
from tests.infrastructure.image_builds import Image
from tests.infrastructure.true_cluster import TrueCluster

OWN = {
    "operator": {"analysis_module", "analysis_operator"},
    "worker": {"analysis_module", "analysis_worker", "d_a"},
}
"""Image -> the packages of this tree that it may carry."""
PROGRAMS = {"operator": "analysis-operator", "worker": "analysis-worker"}
FORBIDDEN_PROGRAMS = ("gcc", "cc", "make", "go")
PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC")
"""In what a package says of its licence: do as you like, but name us."""
LOOK = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, sys
def licence(of):
    said = of.metadata
    told = [said.get("License-Expression") or "", (said.get("License") or "").split("\\n")[0]]
    return " ".join(told + [each for each in said.get_all("Classifier") or () if each.startswith("License")])
packages = ("analysis_module", "analysis_operator", "analysis_worker", "d_a")
site = pathlib.Path(sys.prefix) / "lib"
print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "packages": [name for name in packages if importlib.util.find_spec(name)],
    "programs": [name for name in sys.argv[1:] if shutil.which(name)],
    "installed": sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions()),
    "licences": {d.name: licence(d) for d in importlib.metadata.distributions()},
    "without_bytecode": [str(f) for f in site.rglob("*.py")
        if f.stat().st_size and not list((f.parent / "__pycache__").glob(f"{f.stem}.*.pyc"))],
    "pip_leftovers": [path for path in ("/tmp/.cache", "/source", "/wheels", "/opt/build",
        "/run/secrets", "/etc/pip.conf") if os.path.exists(path)],
}))
"""


def looked_into(cluster: TrueCluster, image: Image) -> Mapping[str, Any]:
    """What a program sees that runs in the image, in a pod that may do the least and write nowhere."""
    plane = cluster.plane
    namespace = plane.namespace("image", release.RESTRICTED)
    least = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "look",
        "image": image.name,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", LOOK, *FORBIDDEN_PROGRAMS],
        "securityContext": least,
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    metadata = {"name": "look", "namespace": namespace}
    plane.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def has_ended() -> bool:
        found = plane.api.get(api_client.PODS, "look", namespace=namespace)
        return found["status"]["phase"] in {"Succeeded", "Failed"}

    waiting.until(has_ended, what="the look is over", timeout_seconds=60)
    said = plane.kubectl("logs", "--namespace", namespace, "look").stdout
    plane.api.delete(api_client.NAMESPACES, namespace)
    found: Mapping[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("program", ["operator", "worker"])
def test_an_image_has_its_own_packages_pinned_compiled_and_nothing_else(
    true_cluster: TrueCluster, program: str
) -> None:
    found = looked_into(true_cluster, getattr(true_cluster.images, program))
    assert found["ids"] == [1000, 1000]
    assert set(found["packages"]) == OWN[program]
    assert (found["programs"], found["pip_leftovers"]) == ([], [])
    assert found["without_bytecode"] == []
    lines = (images.ROOT / "docker" / f"constraints-{program}.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line for line in lines if "==" in line and not line.startswith("#")}
    assert {*found["installed"]} == {*pinned, f"station-analysis=={images.version()}"}


@pytest.mark.parametrize("program", ["operator", "worker"])
def test_an_image_says_what_it_is(true_cluster: TrueCluster, program: str) -> None:
    config: Any = getattr(true_cluster.images, program).config
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"] == [PROGRAMS[program]]
    assert list(config["ExposedPorts"]) == [{"operator": "8080/tcp", "worker": "8001/tcp"}[program]]
    assert "/livez" in " ".join(config["Healthcheck"]["Test"])
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == images.version()
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("program", ["operator", "worker"])
def test_the_readme_names_each_package_of_an_image_whose_licence_asks_for_more_than_to_be_named(
    true_cluster: TrueCluster, program: str
) -> None:
    told = looked_into(true_cluster, getattr(true_cluster.images, program))["licences"]
    copyleft = {name for name, text in told.items() if "MPL" in text or not PERMISSIVE.search(text)}
    assert all("MPL" in told[name] for name in copyleft), told
    readme = (images.ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Licence\n")[2]
    named = re.findall(rf"`([\w-]+)` \([^)]*{program}[^)]*\)", readme)
    assert {*named} == copyleft

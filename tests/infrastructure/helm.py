"""The real helm: what it makes of the chart, and releases on a control plane."""

import functools
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infrastructure import kubernetes_distribution

CHART = Path(__file__).parents[2] / "helm" / "analysis-operator"
RELEASE = "analysis-operator"
NAMESPACE = "analysis"
"""What documents are rendered for unless a test says another."""

TIMEOUT_SECONDS = 120.0
Values = Mapping[str, Any]


class HelmRefused(RuntimeError):
    """helm ended with an error; the text is what it said."""


def run(*arguments: str, values: Values | None = None, kubeconfig: Path | None = None) -> str:
    """What `helm ...` prints; `values` are given as `--values`.

    The helm of this machine's user is left alone. Raises HelmRefused, and `programs.Unavailable` without Go.
    """
    given = ["--values", "-"] if values is not None else []
    with tempfile.TemporaryDirectory(prefix="station-analysis-helm-") as home:
        done = subprocess.run(
            [str(kubernetes_distribution.helm()), *arguments, *given],
            env=_environment(home, kubeconfig),
            input=yaml.safe_dump(dict(values)) if values is not None else None,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    if done.returncode != 0:
        raise HelmRefused(f"helm {' '.join(arguments)}: {done.stderr}{done.stdout}")
    return done.stdout


def lint(values: Values | None = None) -> str:
    """What a strict `helm lint` says of the chart; raises as `run`."""
    return run("lint", str(CHART), "--strict", *_version(), values=values)


def template(
    values: Values | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> Sequence[dict[str, Any]]:
    """The documents that the chart is rendered to, for all who ask so: leave them as they are.

    Raises as `run`.
    """
    return _rendered(json.dumps(values or {}, sort_keys=True), release, namespace)


@functools.cache
def _rendered(values: str, release: str, namespace: str) -> tuple[dict[str, Any], ...]:
    where = ["--namespace", namespace, *_version()]
    text = run("template", release, str(CHART), *where, values=json.loads(values))
    return tuple(document for document in yaml.safe_load_all(text) if document)


def _version() -> list[str]:
    return ["--kube-version", kubernetes_distribution.version()]


def _environment(home: str, kubeconfig: Path | None) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "HELM_CACHE_HOME": f"{home}/cache",
        "HELM_CONFIG_HOME": f"{home}/config",
        "HELM_DATA_HOME": f"{home}/data",
        "KUBECONFIG": str(kubeconfig) if kubeconfig is not None else f"{home}/no-cluster",
    }

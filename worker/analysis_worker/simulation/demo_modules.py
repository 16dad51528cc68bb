"""The manifests of the demo: the examples, with the demo's broker, and files to run them from."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import yaml

from analysis_module import catalogue, errors, modules, reading, spec
from analysis_worker import simulation

MANIFESTS = pathlib.Path("examples") / "modules"


class NoExamples(ValueError):
    """The examples are not there, or not whole: names the folder and the mend."""


@dataclasses.dataclass(frozen=True)
class DemoModule:
    """One module: its name, its spec as it stands in the examples, and what it reads and writes."""

    name: str
    module_spec: spec.ModuleSpec
    output_topic: str

    def manifest(self, address: str) -> str:
        """The manifest that the worker runs: the example, on the broker at `address`, with JSON logs."""
        written = reading.write_spec(self.module_spec)
        written["kafka"] = {**written.get("kafka", {}), "bootstrapServers": [address]}
        written["observability"] = {**written.get("observability", {}), "logFormat": "json"}
        document: dict[str, Any] = {
            "apiVersion": "dataanalysis.io/v1alpha1",
            "kind": "AnalysisModule",
            "metadata": {"name": self.name.lower().replace("_", "-")},
            "spec": written,
        }
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def find_root() -> pathlib.Path:
    """The folder that holds the examples: the working directory, else the source tree of this file.

    Raises NoExamples.
    """
    source_tree = pathlib.Path(__file__).resolve().parents[3]
    for root in (pathlib.Path.cwd(), source_tree):
        if (root / MANIFESTS).is_dir():
            return root
    raise NoExamples(f"there is no folder {MANIFESTS} here; run the demo in the project's folder")


def read_modules(root: pathlib.Path) -> list[DemoModule]:
    """All nine modules of the catalogue, in its order; raises NoExamples and InvalidSpec."""
    return [_read(root / MANIFESTS / f"{module.name}.yaml") for module in modules.ALL]


def _read(path: pathlib.Path) -> DemoModule:
    try:
        document = yaml.safe_load(path.read_bytes())
        module_spec = reading.read_manifest(document)[2]
    except errors.InvalidSpec as error:
        raise NoExamples(f"{path}: {error}") from error
    except (OSError, yaml.YAMLError) as error:
        raise NoExamples(f"{path} cannot be read: {error}; fetch the project anew") from error
    resolved = catalogue.resolve(module_spec)
    if resolved.output_topic is None:
        raise NoExamples(f"{path}: spec.output.enabled: the demo shows outputs; leave it out")
    return DemoModule(resolved.module, module_spec, resolved.output_topic)


def topics_of(modules_shown: Sequence[DemoModule]) -> list[str]:
    """Every topic that is there before the first worker: what stations send, and what modules answer."""
    return [*simulation.TOPICS, *(module.output_topic for module in modules_shown)]

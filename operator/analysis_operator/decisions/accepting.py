"""Whether a resource can be run, and the two specs that follow: the module's own and the one workers get."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import catalogue, changes, errors, reading, spec, wiring
from analysis_operator.decisions import drawing, overlays
from analysis_operator.decisions.observed import Observed
from analysis_operator.decisions.options import Options

LARGEST_ASSIGNMENT = 1_000_000
"""Bytes; a ConfigMap may hold 1 MiB (https://kubernetes.io/docs/concepts/configuration/configmap/)."""


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A resource that can be run.

    `asked` is the spec with the operator's defaults filled in, `assigned` what the workers are told: without
    what means nothing to them, and with the text of a callback that a ConfigMap holds.
    """

    asked: spec.ModuleSpec
    assigned: spec.ModuleSpec
    wiring: wiring.Wiring


@dataclasses.dataclass(frozen=True)
class Refused:
    """A resource that cannot be run, and why: `reason` for programs, problems for people."""

    reason: str
    problems: tuple[str, ...]


def filled(document: object, options: Options) -> object:
    """A spec as written, with the operator's Kafka settings wherever it leaves one out or empty."""
    if not isinstance(document, Mapping) or not isinstance(document.get("kafka", {}), Mapping | None):
        return document
    own = {
        key: value for key, value in (document.get("kafka") or {}).items() if value not in (None, "", [], {})
    }
    return {**document, "kafka": {**options.kafka, **own}}


def read(document: object, options: Options) -> spec.ModuleSpec:
    """Read a resource's spec as the operator does; raises InvalidSpec with all its problems."""
    asked = reading.read_spec(filled(document, options))
    problems = list(_examined(asked, options))
    if problems:
        raise errors.InvalidSpec(problems)
    return asked


def accept(observed: Observed, options: Options) -> Accepted | Refused:
    """Decide about one resource, by itself and beside the others."""
    try:
        asked = read(observed.module.spec, options)
    except errors.InvalidSpec as error:
        return Refused("InvalidSpec", tuple(map(str, error.problems)))
    neighbours = observed.neighbours
    if neighbours.cycle:
        path = drawing.cycle_text(neighbours.cycle)
        return Refused("DependencyCycle", (f"spec.dependencies: {path} is a cycle; remove one of them",))
    if neighbours.conflicts:
        return Refused("Conflict", tuple(_conflict(*conflict) for conflict in neighbours.conflicts))
    if observed.callback is not None and observed.callback.text is None:
        return Refused("CallbackMissing", (f"spec.callback.configMapRef: {observed.callback.missing}",))
    assigned = _assigned(asked, observed)
    size = len(assignments.Assignment(assigned, "", 0, frozenset()).to_json())
    if size > LARGEST_ASSIGNMENT:
        wrong = f"spec: it is {size} bytes as JSON, more than a ConfigMap can carry"
        mend = "put the callback into the image and give an entrypoint, or say less in its parameters"
        return Refused("TooLarge", (f"{wrong}; {mend}",))
    return Accepted(asked, assigned, catalogue.resolve(asked))


def _conflict(field: str, other: str) -> str:
    return f"{field}: {other} uses the same; give this module another one"


def _examined(asked: spec.ModuleSpec, options: Options) -> Iterator[errors.Problem]:
    if not asked.kafka.bootstrap_servers:
        mend = "give host:port, or set kafka.bootstrapServers in the operator's values"
        yield errors.Problem("spec.kafka.bootstrapServers", "is missing", mend)
    if not options.allow_inline_source:
        for name, value in (
            ("source", asked.callback.source),
            ("configMapRef", asked.callback.config_map_ref),
        ):
            if value is not None:
                wrong = "the operator's owner has switched off code that is not in the image"
                mend = "build it into the worker's image and give callback.entrypoint"
                yield errors.Problem(f"spec.callback.{name}", wrong, mend)
    yield from overlays.problems(asked.workers.pod_template, "spec.workers.podTemplate")
    yield from overlays.resource_problems(asked.workers.resources, "spec.workers.resources")


def _assigned(asked: spec.ModuleSpec, observed: Observed) -> spec.ModuleSpec:
    running = changes.running_part(asked)
    running = dataclasses.replace(running, workers=spec.Workers())
    if observed.callback is None:
        return running
    callback = dataclasses.replace(running.callback, config_map_ref=None, source=observed.callback.text)
    return dataclasses.replace(running, callback=callback)


def slots_of(document: Mapping[str, Any]) -> int:
    """The number of slots that a spec as written has; the default where it cannot be read."""
    part = document.get("partitioning")
    number = part.get("slots") if isinstance(part, Mapping) else None
    return number if isinstance(number, int) and number > 0 else spec.Partitioning().slots


def configured(document: Mapping[str, Any], options: Options) -> str | None:
    """The ConfigMap that a spec's callback comes from, None if from none; of a spec as written."""
    callback = document.get("callback")
    reference = callback.get("configMapRef") if isinstance(callback, Mapping) else None
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return name if isinstance(name, str) and options.allow_inline_source else None

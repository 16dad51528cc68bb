"""The shards of one module as they are: what each holds, who runs it, and what it says of itself."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from analysis_module import assignment as assignments
from analysis_module import errors, names
from analysis_operator.decisions import accepting, handover, manifests, pods
from analysis_operator.decisions.handover import Holding, Readiness
from analysis_operator.decisions.observed import Child, Observed, Pod, Report

_NOTHING = Holding(slots=frozenset(), releasing=frozenset(), epoch=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard as observed.

    `assignment` is what its ConfigMap says, None if there is none that can be read; `pod` the pod that runs
    it, or last ran it; `others` its further pods, on their way out.
    """

    shard: int
    holding: Holding = _NOTHING
    config_map: Child | None = None
    deployment: Child | None = None
    assignment: assignments.Assignment | None = None
    pod: Pod | None = None
    others: tuple[Pod, ...] = ()
    report: Report | None = None

    @property
    def ready(self) -> bool:
        """Whether its worker does its work, and is not to be replaced by one of another rollout."""
        return self.serving and self.pod is not None and self.rollout in (None, self.pod.rollout)

    @property
    def serving(self) -> bool:
        """Whether a worker of it is ready, whatever it was made for."""
        return self.pod is not None and self.pod.ready and not self.pod.terminating

    @property
    def alive(self) -> bool:
        """Whether some process of it may still run."""
        return any(pod.alive for pod in (*self.others, *((self.pod,) if self.pod else ())))

    @property
    def rollout(self) -> str | None:
        """The rollout that its Deployment was made for, None without a Deployment."""
        return self._template_annotation(pods.ANNOTATION_ROLLOUT)

    def _template_annotation(self, name: str) -> str | None:
        if self.deployment is None:
            return None
        template = self.deployment.document.get("spec", {}).get("template", {})
        found = (template.get("metadata", {}).get("annotations") or {}).get(name)
        return None if found is None else str(found)

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The operator's defaults that its Deployment was made with; {} if they are not known."""
        if self.deployment is None:
            return {}
        annotations = self.deployment.document["metadata"].get("annotations") or {}
        try:
            found = json.loads(annotations.get(manifests.ANNOTATION_DEFAULTS) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def shards_of(observed: Observed) -> dict[int, Shard]:
    """The shards that there are any traces of, by number."""
    found: dict[int, dict[str, Any]] = {}
    for child in observed.children:
        number = shard_number(child.document)
        if number is None or child.name != manifests.shard_name(observed.module.key.name, number):
            continue  # a copy that somebody made
        if child.kind in ("ConfigMap", "Deployment"):
            kind = "config_map" if child.kind == "ConfigMap" else "deployment"
            found.setdefault(number, {})[kind] = child
    for pod in observed.pods:
        if pod.shard >= 0:
            found.setdefault(pod.shard, {}).setdefault("pods", []).append(pod)
    remembered = _remembered(observed)
    return {
        number: _shard(number, parts, observed, remembered.get(number))
        for number, parts in sorted(found.items())
    }


def shard_number(document: Mapping[str, Any]) -> int | None:
    """The shard that an object belongs to by its label, None if to none."""
    text = (document["metadata"].get("labels") or {}).get(names.LABEL_SHARD, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def _shard(number: int, parts: Mapping[str, Any], observed: Observed, remembered: Holding | None) -> Shard:
    config_map: Child | None = parts.get("config_map")
    assignment = _assignment(config_map)
    # The one that is not on its way out, and of several the one that runs.
    ordered = sorted(parts.get("pods", ()), key=lambda pod: (pod.terminating, not pod.alive, pod.name))
    pod = ordered[0] if ordered else None
    report = observed.reports.get(pod.name) if pod is not None else None
    if report is not None and pod is not None and report.pod_uid != pod.uid:
        report = None
    shard = Shard(
        shard=number,
        config_map=config_map,
        deployment=parts.get("deployment"),
        assignment=assignment,
        pod=pod,
        others=tuple(ordered[1:]),
        report=report,
    )
    if assignment is not None:
        return dataclasses.replace(shard, holding=_holding(config_map, assignment))
    return dataclasses.replace(shard, holding=_recovered(shard, observed, remembered))


def _recovered(shard: Shard, observed: Observed, remembered: Holding | None) -> Holding:
    """What a shard holds whose ConfigMap is lost: by the status or by its worker, whichever is newer.

    One that the status has left out was taken away once it held nothing: its pod is on its way out.
    """
    slots, reported = accepting.slots_of(observed.module.spec), _reported(shard)
    if remembered is None and reported is None and observed.module.last_told.shards:
        return _NOTHING
    told = handover.recovered(pod_alive=shard.alive, reported=reported, slots=slots)
    known = [each for each in (remembered, told) if each is not None]
    return max(known, key=lambda holding: holding.epoch, default=_NOTHING)


def _assignment(config_map: Child | None) -> assignments.Assignment | None:
    if config_map is None:
        return None
    text = (config_map.document.get("data") or {}).get(names.ASSIGNMENT_FILE)
    try:
        return assignments.Assignment.from_json(text) if isinstance(text, str) else None
    except errors.InvalidSpec:
        return None


def _holding(config_map: Child | None, assignment: assignments.Assignment) -> Holding:
    annotations = (config_map.document["metadata"].get("annotations") or {}) if config_map else {}
    releasing = _parsed(annotations.get(manifests.ANNOTATION_RELEASING))
    return Holding(
        slots=assignment.slots,
        releasing=releasing - assignment.slots,
        epoch=assignment.epoch,
        arriving=assignment.arriving,
    )


def _parsed(slots: object) -> frozenset[int]:
    try:
        return assignments.parse_slots(slots) if isinstance(slots, str) else frozenset()
    except ValueError:
        return frozenset()


def _remembered(observed: Observed) -> dict[int, Holding]:
    """What the status says that shards held: for one whose ConfigMap was lost."""
    last = observed.module.last_told
    return {
        shard.shard: Holding(
            slots=_parsed(shard.slots),
            releasing=_parsed(shard.releasing),
            epoch=shard.epoch,
            arriving=_parsed(shard.arriving),
        )
        for shard in last.shards
    }


def unconfirmed(shards: Mapping[int, Shard]) -> dict[int, frozenset[int]]:
    """Of each shard's releasing slots, those that its worker may still work on."""
    return {number: slots for number, slots in _unconfirmed(shards) if slots}


def _unconfirmed(shards: Mapping[int, Shard]) -> Iterator[tuple[int, frozenset[int]]]:
    for number, shard in shards.items():
        holding = shard.holding
        yield (
            number,
            handover.unconfirmed_slots(
                holding.releasing, pod_alive=shard.alive, reported=_reported(shard), epoch=holding.epoch
            ),
        )


def readiness(shards: Mapping[int, Shard]) -> Readiness:
    """Which workers serve, and what each has followed of what arrives at it.

    Only a worker that has said that it follows is told what arrives: one of an older version, which an image
    of the module's own may be whenever its pod starts, would not read such an Assignment.
    """
    return Readiness(
        serving=frozenset(number for number, shard in shards.items() if shard.serving),
        followed=dict(_followed(shards)),
    )


def _followed(shards: Mapping[int, Shard]) -> Iterator[tuple[int, frozenset[int] | None]]:
    for number, shard in shards.items():
        arriving, report = shard.holding.arriving, shard.report
        if report is None:
            if shard.serving and arriving:
                yield number, frozenset()  # it was told, and does not answer for once: it is to go on
        elif report.followed is None:
            yield number, None
        else:
            # What it says of slots that are not named is of an earlier hand-over, and may be over any moment.
            yield number, report.followed & arriving


def _reported(shard: Shard) -> handover.Reported | None:
    """A worker's word on its slots; None while another process of the shard may say otherwise."""
    report = shard.report
    if report is None or any(pod.alive for pod in shard.others):
        return None
    return handover.Reported(epoch=report.epoch, slots=report.slots, letting_go=report.letting_go)

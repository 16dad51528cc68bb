"""Writes the pages that are data in another form: the reference, the guide's table of changes, the CRD.

`python docs/generate.py` writes them; `python docs/generate.py --check` only tells which are out of date
(exit code 1). Edit the data (`analysis_module`, the worker's `metric_catalogue`), never these pages.
"""

import argparse
import enum
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from analysis_module import catalogue, names, schema, shape, spec, wording
from analysis_worker.commands import spans
from analysis_worker.observability import metric_catalogue, tallies

DOCS = Path(__file__).parent
METRICS = DOCS / "reference" / "metrics.md"
SPEC = DOCS / "reference" / "spec.md"
CATALOGUE = DOCS / "reference" / "catalogue.md"
GUIDE = DOCS / "guide" / "worker.md"
CRD = DOCS.parent / "crds" / "analysismodule.yaml"
CHARTS_CRD = DOCS.parent / "helm" / "analysis-operator" / "files" / "analysismodule.yaml"

BEGIN = "<!-- changes:begin -->"
END = "<!-- changes:end -->"
_NOTE = "<!-- Made by docs/generate.py. Edit the data, not this page. -->"
_CRD_NOTE = """\
# Made by docs/generate.py. Edit analysis_module/spec.py (fields), schema.py (bounds), schema_rules.py and
# schema_wiring_rules.py (rules) or status.py, not this file.
"""

EFFECTS = {
    spec.Change.HOT: "taken over while running: no restart, windows stay, no record is lost",
    spec.Change.ROLLING: "refused by a running worker: restart it; progress and windows come back",
    spec.Change.RECREATE: "refused by a running worker: another module, group or ownership, so a fresh start",
    spec.Change.NONE: "the operator's: it starts and stops workers, and those that run go on undisturbed",
}
"""What an edit does to a worker, per change class."""


def pages() -> dict[Path, str]:
    """Every generated page with its text, as it should be."""
    guide = GUIDE.read_text(encoding="utf-8") if GUIDE.is_file() else f"{BEGIN}\n{END}\n"
    return {
        METRICS: metrics_page(),
        SPEC: spec_page(),
        CATALOGUE: catalogue_page(),
        GUIDE: placed(guide, changes_table()),
        CRD: crd_page(),
        CHARTS_CRD: crd_page(),
    }


def stale() -> list[Path]:
    """The pages that are not as they should be."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def placed(document: str, part: str) -> str:
    """The document with `part` between its markers; raises ValueError without exactly one pair of them."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs one {BEGIN} and one {END} after it")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{part}\n{END}{rest.partition(END)[2]}"


# -- the CRD -----------------------------------------------------------------------------------------


def crd_page() -> str:
    """The CustomResourceDefinition as YAML."""
    plain = json.loads(json.dumps(schema.crd()))  # a tree: what is one object in it twice would be an anchor
    return _CRD_NOTE + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)


# -- metrics -----------------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every metric: name, type, labels, unit, meaning; the histogram's buckets."""
    guides = {
        names.METRIC_PROCESSED_TOTAL,
        names.METRIC_ERRORS_TOTAL,
        names.METRIC_MEMORY_USAGE,
        names.METRIC_STATION_COUNT,
        names.METRIC_PROCESSING_SECONDS,
    }
    rows = [
        (
            f"`{one.name}`" + (" *" if one.name in guides else ""),
            one.type,
            ", ".join(f"`{label}`" for label in one.labels),
            one.unit,
            one.help,
        )
        for one in metric_catalogue.catalogue()
    ]
    buckets = ", ".join(f"{bound:g}" for bound in tallies.SECONDS)
    return _page(
        "Metrics",
        f"At `{names.METRICS_PATH}` on port {names.HTTP_PORT}, as Prometheus text or OpenMetrics. Those with "
        "a * are the deployment guide's, to the letter. The metrics of the process (`process_*`) stand "
        "beside them.",
        _table(("metric", "type", "labels", "unit", "meaning"), rows),
        f"Buckets of the histograms, in seconds: {buckets}. Beyond a cap of label values the rest is counted "
        f"under `{tallies.OTHER}`. The series per station are off unless `observability.perStationSeries` is "
        "true, and then there are at most `observability.maxStationSeries` of them.",
    )


# -- the resource --------------------------------------------------------------------------------------


def spec_page() -> str:
    """Every field of an AnalysisModule's `spec`: type, default, bounds, change class, meaning."""
    parts: list[str] = []
    for part, path in _parts():
        parts += [f"## `{path}`", schema.said_of(part)]
        parts.append(_table(("field", "type", "default", "change", "meaning"), _field_rows(part)))
    return _page(
        f"The fields of an {names.KIND}",
        f"`apiVersion: {names.API_GROUP_VERSION}`, `kind: {names.KIND}`. The change class says what an edit "
        "does to running workers: see [the guide](../guide/worker.md#hot-edits). A field that is absent or "
        "null has its default.",
        *parts,
    )


def _parts() -> Iterator[tuple[type, str]]:
    """Each kind of part once, with the first path that leads to it, from the root on."""
    seen: dict[type, str] = {}
    pending: list[tuple[type, str]] = [(spec.ModuleSpec, shape.ROOT)]
    while pending:
        part, path = pending.pop(0)
        if part in seen:
            continue
        seen[part] = path
        yield part, path
        for member in shape.members(part):
            here = f"{path}.{member.name}"
            if shape.is_part(shape.item_of(member.hint)):
                pending.append((shape.item_of(member.hint), f"{here}[]"))
            elif shape.is_part(member.hint):
                pending.append((member.hint, here))


def _field_rows(part: type) -> Iterator[Sequence[str]]:
    for member in shape.members(part):
        yield (
            f"`{member.name}`",
            _type_text(member),
            _default_text(member),
            member.change.name.lower(),
            schema.meaning(member),
        )


def _type_text(member: shape.Member) -> str:
    metadata = member.field.metadata
    text = _hint_text(member.hint)
    if metadata["pattern"] is not None:
        form = wording.form(metadata["pattern"])
        return f"`{form}`" if form == "package.module:function" else form
    bounds = wording.interval(metadata["minimum"], metadata["maximum"])
    return f"{text} {bounds}".strip() if member.hint in (int, float) else text


def _hint_text(hint: Any) -> str:
    item, value = shape.item_of(hint), shape.value_of(hint)
    if item is not None:
        return "list of parts" if shape.is_part(item) else f"list of {_hint_text(item)}"
    if value is not None:
        return "object" if value is Any else f"object of {_hint_text(value)}"
    if shape.is_part(hint):
        return "part"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f"`{choice.value}`" for choice in hint)
    return {str: "text", int: "integer", float: "number", bool: "true, false"}[hint]


def _default_text(member: shape.Member) -> str:
    if member.required:
        return "required"
    default = member.default()
    if default is None or (shape.is_part(type(default)) and shape.is_part(member.hint)):
        return ""
    if isinstance(default, enum.Enum):
        return f"`{default.value}`"
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, float):
        return f"`{default:g}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return "`{}`" if isinstance(default, Mapping) else f"`{default}`"


def changes_table() -> str:
    """Change class -> its effect and the fields that have it, a whole part as one where all of it has it."""
    rows = []
    for change, effect in EFFECTS.items():
        fields = ", ".join(f"`{path}`" for path in _gathered(change))
        rows.append((f"**{change.name.lower()}**", effect, fields))
    return _table(("class", "what an edit does", "fields"), rows)


def _gathered(change: spec.Change) -> list[str]:
    """The paths of a class, those inside a part that has the class as a whole left out."""
    known = shape.field_changes()
    whole: list[str] = []
    for path, own in known.items():
        inner = [other for place, other in known.items() if place.startswith((f"{path}.", f"{path}[]."))]
        covered = any(path.startswith((f"{part}.", f"{part}[].")) for part in whole)
        if own is change and not covered and all(each is change for each in inner):
            whole.append(path)
    return [path.removeprefix(f"{shape.ROOT}.") for path in whole]


# -- the catalogue -------------------------------------------------------------------------------------


def catalogue_page() -> str:
    """The modules and the topics that the catalogue ships, with fields and windows."""
    modules = [
        (
            f"`{module.name}`",
            module.meaning,
            _codes(module.dependencies),
            _codes(catalogue.topics_of(module.name)),
            f"`{names.output_topic(module.name)}`",
            _codes(module.output_keys),
        )
        for module in catalogue.MODULES.values()
    ]
    sections = [part for topic in catalogue.TOPICS.values() for part in _topic_section(topic)]
    return _page(
        "The catalogue: modules and topics",
        "What a resource gets by naming one of these modules. A window counts records.",
        "## Modules",
        _table(("module", "meaning", "depends on", "reads", "writes to", "conventional keys"), modules),
        "## Topics",
        "Every field is also accepted under its aliases and under the snake_case forms of all its names.",
        *sections,
    )


def _topic_section(topic: Any) -> list[str]:
    resolved = catalogue.resolve(spec.ModuleSpec(module="any", inputs=(spec.Input(topic=topic.name),)))
    span = spans.span_seconds(resolved.inputs[0])
    facts = [f"pushed {topic.pushed}", f"window {topic.window_size:,}"]
    facts += [f"that is {spans.worded(span)}"] if span is not None else []
    facts += ["Global: its newest record is every station's"] if topic.scope is spec.Scope.GLOBAL else []
    facts += ["a record may carry several stations"] if topic.many_stations else []
    facts += ["slow: a module keeps the newest records itself"] if topic.slow else []
    facts += [] if topic.standard else ["legacy: read only where a module's `inputs` name it"]
    rows = [
        (f"`{field.name}`", field.kind + (" list" if field.array else ""), field.unit, _codes(field.aliases))
        for field in topic.fields
    ]
    return [
        f"### {topic.name}",
        f"{facts[0].capitalize()}{''.join(f'; {fact}' for fact in facts[1:])}.",
        _table(("field", "kind", "unit", "aliases"), rows),
    ]


# -- markdown ----------------------------------------------------------------------------------------------


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _NOTE, *parts]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is stale, or only tell it; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    check = parser.parse_args(arguments).check
    found = stale()
    texts = pages()
    for path in found:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
        sys.stdout.write(f"{'out of date' if check else 'written'}: {path.relative_to(DOCS.parent)}\n")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())

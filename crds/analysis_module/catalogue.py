"""The catalogue under a spec: what its modules, topics and fields come to, nothing left open.

`resolve` lays what a user wrote over the data of `topics` and `modules`. The profile `v1.1` declares the
first alias of each field as the field, so that callbacks written for 1.1 find the keys they read.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from analysis_module import findings, modules, names, spec, topics, wiring, wiring_rules

TOPICS = topics.BY_NAME
MODULES = modules.BY_NAME
OUTPUT_WINDOW_SIZE = 12


def topics_of(module: str) -> tuple[str, ...]:
    """List the topics that a module of the catalogue reads by default, in the catalogue's order."""
    return tuple(topic.name for topic in topics.ALL if topic.standard and module in topic.modules)


def dependants_of(module: str) -> tuple[str, ...]:
    """List the modules that join the outputs of this one, in the catalogue's order."""
    return tuple(other.name for other in modules.ALL if module in other.dependencies)


def snake_case(name: str) -> tuple[str, ...]:
    """List the snake_case forms of a camelCase name: `startSOC` gives `start_SOC`, `start_soc`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).split("_")
    kept = "_".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)
    return tuple(form for form in dict.fromkeys((kept, kept.lower())) if form != name)


@functools.cache
def fields_of(topic: str, profile: spec.Profile = spec.Profile.STANDARD) -> tuple[wiring.FieldWiring, ...]:
    """List the fields of a topic of the catalogue as a profile declares them; () for any other topic."""
    if topic not in TOPICS:
        return ()
    old = profile is spec.Profile.V1_1
    return tuple(_declared(field, old) for field in TOPICS[topic].fields if field.in_v1_1 or not old)


def _declared(field: topics.Field, old: bool) -> wiring.FieldWiring:
    spellings = (field.name, *field.aliases)
    if old and field.aliases:
        spellings = (field.aliases[0], field.name, *field.aliases[1:])
    snakes = [form for spelling in spellings for form in snake_case(spelling)]
    name, *aliases = dict.fromkeys((*spellings, *snakes))
    return wiring.FieldWiring(name, tuple(aliases), array=field.array)


def output_topic_of(module: str, module_spec: spec.ModuleSpec) -> str:
    """Name the output topic of any module in the style that this spec asks for."""
    style = module_spec.output.topic_style
    if style is None:
        old = module_spec.profile is spec.Profile.V1_1
        style = spec.TopicStyle.UNDERSCORE if old else spec.TopicStyle.HYPHEN
    return names.output_topic(module, style)


def resolve(module_spec: spec.ModuleSpec) -> wiring.Wiring:
    """Work out all that a module reads and writes.

    Raises InvalidSpec with every problem that only the catalogue can tell: an unknown module or topic, a
    module without any topic, a topic that stands in two roles.
    """
    found = findings.Findings()
    resolved = examine(module_spec, "spec", found)
    found.close()
    return resolved


def examine(module_spec: spec.ModuleSpec, path: str, found: findings.Findings) -> wiring.Wiring:
    """Work out the wiring as far as it goes, with its problems added to `found`.

    `path` is where the spec stands; nothing is concluded from places that are known to be wrong already.
    """
    group = module_spec.kafka.group_id or module_spec.module
    known = MODULES.get(module_spec.module)
    inputs = tuple(_input(asked, module_spec) for asked in _asked_inputs(module_spec))
    lookups = _lookup_topics(inputs)
    resolved = wiring.Wiring(
        module=module_spec.module,
        inputs=inputs,
        dependencies=tuple(_dependency(asked, module_spec) for asked in _asked_dependencies(module_spec)),
        summary_keys=known.summary_keys if known else (),
        output_topic=_output_topic(module_spec),
        group_id=group,
        dead_letter_topic=module_spec.errors.dead_letter_topic or names.dead_letter_topic(group),
        progress_topic=names.progress_topic(group),
        strays_topic=names.strays_topic(group),
        last_topic=names.last_topic(group),
        lookup_topics=lookups,
        kept_lookups=tuple(topic for topic in lookups if topic in TOPICS and TOPICS[topic].slow),
    )
    # A list: a problem of the wiring must not cast doubt on the places of those after it.
    for where, wrong, mend in list(wiring_rules.problems(module_spec, resolved, path, found.sound)):
        found.add(where, wrong, mend)
    return resolved


def dependency_cycle(dependencies: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """Find a cycle among modules: its members in order, the first again at the end; None without one.

    The answer is the same for the same mapping in the same order. Names without an entry of their own
    depend on nothing.
    """
    finished: set[str] = set()
    for start in dependencies:
        trail: dict[str, Iterable[str]] = {}
        pending = [start]
        while pending:
            module = pending[-1]
            if module not in trail:
                trail[module] = iter(() if module in finished else dependencies.get(module, ()))
            following = next(iter(trail[module]), None)
            if following is None:
                finished.add(pending.pop())
                del trail[module]
            elif following in trail:
                return (*pending[pending.index(following) :], following)
            else:
                pending.append(following)
    return None


def _asked_inputs(module_spec: spec.ModuleSpec) -> tuple[spec.Input, ...]:
    if module_spec.inputs is not None:
        return module_spec.inputs
    return tuple(spec.Input(topic=topic) for topic in topics_of(module_spec.module))


def _asked_dependencies(module_spec: spec.ModuleSpec) -> tuple[spec.Dependency, ...]:
    if module_spec.dependencies is not None:
        return module_spec.dependencies
    known = MODULES.get(module_spec.module)
    return tuple(spec.Dependency(module=name) for name in known.dependencies) if known else ()


def _input(asked: spec.Input, module_spec: spec.ModuleSpec) -> wiring.InputWiring:
    known = TOPICS.get(asked.topic)
    scope = asked.scope or (known.scope if known else spec.Scope.STATION)
    every_shard = scope is spec.Scope.GLOBAL or (known is not None and known.many_stations)
    window_size = asked.window_size or (known.window_size if known else 1)
    slow = known is not None and known.slow and window_size <= wiring.MOST_KEPT
    return wiring.InputWiring(
        topic=asked.topic,
        fields=_fields(asked, module_spec.profile),
        window_size=window_size,
        station_key=asked.station_key,
        scope=scope,
        trigger=scope is spec.Scope.STATION if asked.trigger is None else asked.trigger,
        padding=asked.padding or module_spec.padding,
        routing=spec.Routing.FILTERED if every_shard else asked.routing or module_spec.partitioning.routing,
        keep_last=slow if asked.keep_last is None else asked.keep_last,
    )


def _fields(asked: spec.Input, profile: spec.Profile) -> tuple[wiring.FieldWiring, ...]:
    shipped = fields_of(asked.topic, profile)
    wanted = _field_names(asked.fields, [field.name for field in shipped])
    declared, arrays = frozenset(wanted), frozenset(asked.arrays)
    fields = []
    for name in wanted:
        field = _shipped_field(name, shipped)
        spellings = dict.fromkeys((*asked.aliases.get(name, ()), field.name, *field.aliases))
        aliases = tuple(alias for alias in spellings if alias not in declared)
        dtype = asked.dtypes.get(name, spec.Dtype.FLOAT64).value
        fields.append(wiring.FieldWiring(name, aliases, field.array or name in arrays, dtype))
    return tuple(fields)


def _field_names(asked: Sequence[str] | None, shipped: Sequence[str]) -> tuple[str, ...]:
    if asked is None:
        return tuple(shipped)
    remaining = [name for name in shipped if name not in asked]
    listed: list[str] = []
    for name in asked:
        listed += remaining if name == spec.REMAINING_FIELDS else [name]
    return tuple(dict.fromkeys(listed))


def _shipped_field(name: str, shipped: Sequence[wiring.FieldWiring]) -> wiring.FieldWiring:
    """Find the catalogue's field of that name or alias; a field unknown to it stands for itself."""
    named = (field for field in shipped if field.name == name)
    aliased = (field for field in shipped if name in field.aliases)
    return next(named, None) or next(aliased, None) or wiring.FieldWiring(name)


def _dependency(asked: spec.Dependency, module_spec: spec.ModuleSpec) -> wiring.DependencyWiring:
    return wiring.DependencyWiring(
        module=asked.module,
        topic=asked.topic or output_topic_of(asked.module, module_spec),
        window_size=asked.window_size,
        trigger=asked.trigger,
    )


def _output_topic(module_spec: spec.ModuleSpec) -> str | None:
    if not module_spec.output.enabled:
        return None
    return module_spec.output.topic or output_topic_of(module_spec.module, module_spec)


def _lookup_topics(inputs: Sequence[wiring.InputWiring]) -> tuple[str, ...]:
    read = {entry.topic for entry in inputs}
    vias = (entry.station_key.via for entry in inputs)
    return tuple(dict.fromkeys(via for via in vias if via is not None and via not in read))

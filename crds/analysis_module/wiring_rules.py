"""What a module may not be wired to: the problems of a spec that show only with the catalogue under it."""

from collections.abc import Callable, Iterable, Iterator

from analysis_module import errors, modules, spec, topics, wiring

Finding = tuple[str, str, str | Callable[[], str]]
"""Path, what is wrong, how to mend it; the mend as a function where finding a near word costs."""

Sound = Callable[[str], bool]
"""Whether nothing is known to be wrong at a path or inside it."""


def problems(
    module_spec: spec.ModuleSpec, resolved: wiring.Wiring, path: str, sound: Sound
) -> Iterator[Finding]:
    """Find every problem of a spec's wiring that follows from what is sound."""
    topics_sound = all(sound(f"{path}.{name}") for name in ("module", "inputs", "dependencies"))
    if topics_sound:
        yield from _no_topic(module_spec, resolved, path)
    for index, asked in enumerate(module_spec.inputs or ()):
        declared = [field.name for field in resolved.inputs[index].fields]
        here = f"{path}.inputs[{index}]"
        if sound(here) and sound(f"{path}.profile"):
            yield from _unknown_topic(asked, here)
            yield from _fields(asked, declared, here)
            yield from _routing(asked, resolved.inputs[index].scope, here)
            yield from _keep_last(resolved.inputs[index], here)
    for index, dependency in enumerate(module_spec.dependencies or ()):
        here = f"{path}.dependencies[{index}]"
        if sound(here) and sound(f"{path}.module"):
            yield from _dependency(dependency, module_spec.module, here)
    yield from _roles(resolved, path, sound)
    if topics_sound:
        yield from _required_topics(module_spec, resolved, path)


def _no_topic(module_spec: spec.ModuleSpec, resolved: wiring.Wiring, path: str) -> Iterator[Finding]:
    """Refuse a module that would read nothing or, in the old system, everything (seed system W21)."""
    if resolved.inputs or resolved.dependencies:
        return
    if module_spec.inputs is None and module_spec.module not in modules.BY_NAME:
        wrong = f"the catalogue has no module {module_spec.module}, so that it has no topic to read"
        mend = _near(module_spec.module, modules.BY_NAME, "list its topics as `inputs`")
        yield (f"{path}.module", wrong, mend)
    else:
        wrong = "the module has neither an input nor a dependency, so that it has no topic to read"
        yield (f"{path}.inputs", wrong, "list at least one topic")


def _unknown_topic(asked: spec.Input, path: str) -> Iterator[Finding]:
    if asked.topic in topics.BY_NAME:
        return
    wrong = f"the catalogue has no topic {asked.topic}, so that it is not known"
    if asked.fields is None or spec.REMAINING_FIELDS in asked.fields:
        mend = _near(asked.topic, topics.BY_NAME, "list the fields by name")
        yield (f"{path}.fields", f"{wrong} which fields to read", mend)
    if asked.window_size is None:
        mend = _near(asked.topic, topics.BY_NAME, "give the number of records to keep")
        yield (f"{path}.windowSize", f"{wrong} how long its window is", mend)


def _fields(asked: spec.Input, declared: list[str], path: str) -> Iterator[Finding]:
    """Find what is said about fields that the input does not have."""
    if asked.fields == ():
        yield (f"{path}.fields", "no field is left", "name at least one, or leave the list out")
    if not declared:
        return
    known = frozenset(declared)
    said = [(f"{path}.arrays[{index}]", name) for index, name in enumerate(asked.arrays)]
    said += [(f"{path}.aliases.{name}", name) for name in asked.aliases]
    said += [(f"{path}.dtypes.{name}", name) for name in asked.dtypes]
    for where, name in said:
        if name not in known:
            mend = _near(name, declared, "name a field of this input, or add it to fields")
            yield (where, f"{name} is not among the input's fields", mend)
    for name, aliases in asked.aliases.items():
        for index, alias in enumerate(aliases):
            if alias in known:
                wrong = f"{alias} is itself a field of this input"
                yield (f"{path}.aliases.{name}[{index}]", wrong, "remove one of the two")


def _routing(asked: spec.Input, scope: spec.Scope, path: str) -> Iterator[Finding]:
    if asked.routing is not spec.Routing.ALIGNED:
        return
    known = topics.BY_NAME.get(asked.topic)
    if scope is spec.Scope.GLOBAL or (known is not None and known.many_stations):
        wrong = "with Aligned, records of this topic, which concern many stations, would miss their owners"
        yield (f"{path}.routing", wrong, "leave it out or say Filtered")


def _keep_last(source: wiring.InputWiring, path: str) -> Iterator[Finding]:
    if source.keep_last and source.window_size > wiring.MOST_KEPT:
        wrong = f"the window has {source.window_size:,} records, and at most {wiring.MOST_KEPT:,} can be kept"
        mend = "leave keepLast out and let Kafka retain the topic for longer, or make windowSize smaller"
        yield (f"{path}.keepLast", wrong, mend)


def _dependency(asked: spec.Dependency, module: str, path: str) -> Iterator[Finding]:
    if asked.module == module:
        wrong = f"{module} depends on itself, so that each output would ask for the next"
        yield (f"{path}.module", wrong, "remove this dependency")
    elif asked.module not in modules.BY_NAME and asked.topic is None:
        wrong = f"the catalogue has no module {asked.module}, so that its output topic is not known"
        mend = _near(asked.module, modules.BY_NAME, "give its output topic as `topic`")
        yield (f"{path}.module", wrong, mend)


def _roles(resolved: wiring.Wiring, path: str, sound: Sound) -> Iterator[Finding]:
    """Find a module or a topic read twice, and a topic read that the module itself writes."""
    read = [(f"{path}.inputs[{index}]", entry.topic) for index, entry in enumerate(resolved.inputs)]
    joined: dict[str, str] = {}
    for index, dependency in enumerate(resolved.dependencies):
        here = f"{path}.dependencies[{index}]"
        if dependency.module in joined:
            wrong = f"{dependency.module} is already joined by {joined[dependency.module]}"
            yield (f"{here}.module", wrong, "remove one of the two")
        elif dependency.module != resolved.module:
            read.append((here, dependency.topic))
        joined.setdefault(dependency.module, here)
    written, first = _written(resolved), dict[str, str]()
    for where, topic in read:
        if not sound(where):
            continue
        if topic in first:
            wrong = f"{topic} is already read by {first[topic]}"
            yield (f"{where}.topic", wrong, "remove one of the two")
        if topic in written:
            wrong = f"{topic} is where the module writes {written[topic]}"
            yield (f"{where}.topic", wrong, "remove it here, or write to another topic")
        first.setdefault(topic, where)


def _written(resolved: wiring.Wiring) -> dict[str | None, str]:
    return {
        resolved.output_topic: "its outputs",
        resolved.dead_letter_topic: "its dead letters",
        resolved.progress_topic: "its progress",
        resolved.strays_topic: "its strays",
        resolved.last_topic: "its last records",
    }


def _required_topics(module_spec: spec.ModuleSpec, resolved: wiring.Wiring, path: str) -> Iterator[Finding]:
    read = dict.fromkeys(entry.topic for entry in resolved.inputs)
    read |= dict.fromkeys(entry.topic for entry in resolved.dependencies)
    for index, topic in enumerate(module_spec.trigger.required_topics):
        if topic not in read:
            wrong = f"the module does not read {topic}, so that no callback would ever run"
            mend = _near(topic, read, "name a topic of inputs or dependencies")
            yield (f"{path}.trigger.requiredTopics[{index}]", wrong, mend)


def _near(word: str, known: Iterable[str], otherwise: str) -> Callable[[], str]:
    return lambda: errors.suggestion(word, known, otherwise)

"""The CRD's rules of inputs, dependencies and the whole spec: what `wiring_rules` says, as far as CEL can.

The catalogue's names stand in the expressions as lists. What needs the catalogue's fields, or the fields of
an input twice over, only reading tells: an alias that is a field, a name among the catalogue's fields.
"""

from collections.abc import Mapping

from analysis_module import catalogue, cel, modules, names, spec, topics, wiring

_KNOWN_TOPICS = cel.texts(catalogue.TOPICS)
_KNOWN_MODULES = cel.texts(modules.BY_NAME)
_GLOBAL = cel.texts(topic.name for topic in topics.ALL if topic.scope is spec.Scope.GLOBAL)
_OF_MANY = cel.texts(topic.name for topic in topics.ALL if topic.many_stations)
_TOO_LONG = cel.texts(topic.name for topic in topics.ALL if topic.window_size > wiring.MOST_KEPT)

# -- one input, one dependency ---------------------------------------------------------------------------

_REST = cel.text(spec.REMAINING_FIELDS)
_LISTED = f"has(self.fields) && !({_REST} in self.fields)"  # the input's fields are these and no others
_UNKNOWN = f"!(self.topic in {_KNOWN_TOPICS})"
_OUTSIDE, _TOPIC = "a topic outside the catalogue", '"topic " + self.topic + ", outside the catalogue,"'
_OR_NAME = "or mend the topic's name"


def _among_fields(field: str) -> cel.Rule:
    return cel.Rule(
        f"!({_LISTED}) || self.{field}.all(name, name in self.fields)",
        f"{field} names a field that fields does not list; add it to fields, or remove it here",
        field,
    )


_INPUT = (
    cel.Rule(
        "!has(self.fields) || size(self.fields) > 0",
        "fields is empty; name at least one, or leave the list out",
        "fields",
    ),
    cel.Rule(
        '!has(self.fields) || !self.fields.exists(name, (name + "_window") in self.fields)',
        "fields lists x beside x_window, which is the key of the window of x; give one of them another name",
        "fields",
    ),
    cel.Rule(
        '!has(self.fields) || !["_data_quality", "_topics"].exists(name, name in self.fields)',
        "fields lists _data_quality or _topics, which are module_input's own keys; give it another name",
        "fields",
    ),
    cel.missing("fields", _UNKNOWN, _OUTSIDE, f"list the fields by name, {_OR_NAME}", _TOPIC),
    cel.Rule(
        f"!({_UNKNOWN} && has(self.fields) && {_REST} in self.fields)",
        f"fields has '...' for a topic outside the catalogue; list the fields by name, {_OR_NAME}",
        "fields",
    ),
    cel.missing("windowSize", _UNKNOWN, _OUTSIDE, f"give the number of records to keep, {_OR_NAME}", _TOPIC),
    *(_among_fields(field) for field in ("arrays", "aliases", "dtypes")),
    cel.Rule(
        f'!(has(self.routing) && self.routing == "Aligned") || !(self.topic in {_OF_MANY}) && '
        f'!(has(self.scope) ? self.scope == "Global" : self.topic in {_GLOBAL})',
        "routing Aligned would keep records that concern many stations from their owners; say Filtered",
        "routing",
    ),
    cel.Rule(
        "!(has(self.keepLast) && self.keepLast) || "
        f"(has(self.windowSize) ? self.windowSize <= {wiring.MOST_KEPT} : !(self.topic in {_TOO_LONG}))",
        f"keepLast keeps at most {wiring.MOST_KEPT:,} records, and the window has more; leave it out and let "
        "Kafka retain the topic for longer, or make windowSize smaller",
        "keepLast",
    ),
)

_DEPENDENCY = (
    cel.Rule(
        f"has(self.topic) || self.module in {_KNOWN_MODULES}",
        "module is not one of the catalogue, so that its output topic is not known; give it as topic",
        "module",
        shown='"module " + self.module + " is not one of the catalogue, so that its output topic is not '
        'known; give it as topic, or mend the name"',
    ),
)

# -- topics in CEL -----------------------------------------------------------------------------------------

_UNDERSCORED = (
    "(has(self.output) && has(self.output.topicStyle)"
    ' ? self.output.topicStyle == "underscore" : self.profile == "v1.1")'
)
_GROUP = "(has(self.kafka) && has(self.kafka.groupId) ? self.kafka.groupId : self.module)"
_SLOTS = f"(has(self.partitioning) ? self.partitioning.slots : {spec.Partitioning().slots})"


def _before(expression: str) -> str:
    """The same of the object before the edit."""
    return expression.replace("self.", "oldSelf.")


def _output_of(module: str) -> str:
    """The output topic of the module that an expression names, as `names.output_topic` gives it."""
    prefix = cel.text(names.OUTPUT_TOPIC_PREFIX)
    return f'({prefix} + ({_UNDERSCORED} ? {module}.upperAscii() : {module}.upperAscii().replace("_", "-")))'


def _joined(dependency: str) -> str:
    """The topic that a dependency is read from."""
    return f"(has({dependency}.topic) ? {dependency}.topic : {_output_of(f'{dependency}.module')})"


def _any(choices: list[str]) -> str:
    return f"({' || '.join(choices)})"


def _is_input(topic: str) -> str:
    """Whether a topic is among the inputs: the listed ones, else the catalogue's."""
    shipped = _any(
        [
            f"self.module == {cel.text(module)} && {topic} in {cel.texts(catalogue.topics_of(module))}"
            for module in modules.BY_NAME
        ]
    )
    return f"(has(self.inputs) ? self.inputs.exists(i, i.topic == {topic}) : {shipped})"


def _is_joined(topic: str) -> str:
    """Whether a topic is a dependency's: of the listed ones, else of the catalogue's."""
    shipped = _any(
        [
            f"self.module == {cel.text(module.name)}"
            f" && {cel.texts(module.dependencies)}.exists(m, {_output_of('m')} == {topic})"
            for module in modules.ALL
            if module.dependencies
        ]
    )
    return f"(has(self.dependencies) ? self.dependencies.exists(d, {_joined('d')} == {topic}) : {shipped})"


# -- the whole spec ----------------------------------------------------------------------------------------


def _not_read(list_name: str, reads: str, what: str, written: str, when: str) -> cel.Rule:
    """The module may not read what it writes if `when` holds: no entry `x` `reads` the topic `written`."""
    told, mend = f"where the module writes its {what}", "remove it, or write to another topic"
    return cel.Rule(
        f"!has(self.{list_name}) || !({when}) || !self.{list_name}.exists(x, {reads} == {written})",
        f"{list_name} reads a topic {told}; {mend}",
        list_name,
        cel.FORBIDDEN,
        f"{cel.text(f'{list_name} reads ')} + {written} + {cel.text(f', {told}; {mend}')}",
    )


def _own_topics() -> tuple[cel.Rule, ...]:
    chosen = "has(self.errors) && has(self.errors.deadLetterTopic) ? self.errors.deadLetterTopic"
    output = "has(self.output) && has(self.output.topic) ? self.output.topic"
    written = (
        ("outputs", f"({output} : {_output_of('self.module')})", "!has(self.output) || self.output.enabled"),
        ("dead letters", f"({chosen} : {_GROUP} + {cel.text(names.dead_letter_topic(''))})", "true"),
        ("progress", f"({_GROUP} + {cel.text(names.progress_topic(''))})", "true"),
        ("strays", f"({_GROUP} + {cel.text(names.strays_topic(''))})", "true"),
        ("last records", f"({_GROUP} + {cel.text(names.last_topic(''))})", "true"),
    )
    return tuple(
        _not_read(list_name, reads, what, where, when)
        for list_name, reads in (
            ("inputs", "x.topic"),
            ("dependencies", f"x.module != self.module && {_joined('x')}"),
        )
        for what, where, when in written
    )


_HAS_DEPENDENCY = "(has(self.dependencies) && size(self.dependencies) > 0)"
_BY_CATALOGUE = cel.texts(module.name for module in modules.ALL if module.dependencies)

_MODULE = (
    cel.Rule(
        f"self.module in {_KNOWN_MODULES} || has(self.inputs) || {_HAS_DEPENDENCY}",
        "module is not one of the catalogue, so that it has no topic to read; list its topics as inputs",
        "module",
        shown='"module " + self.module + " is not one of the catalogue, so that it has no topic to read; "'
        ' + "list its topics as inputs, or mend its name"',
    ),
    cel.Rule(
        f"!has(self.inputs) || size(self.inputs) > 0 || {_HAS_DEPENDENCY}"
        f" || !has(self.dependencies) && self.module in {_BY_CATALOGUE}",
        "inputs is empty and there is no dependency, so that there is no topic to read; list at least one",
        "inputs",
        cel.REQUIRED,
    ),
    cel.Rule(
        "!has(self.dependencies) || !self.dependencies.exists(d, d.module == self.module)",
        "dependencies names the module itself, so that each output would ask for the next; remove that entry",
        "dependencies",
        cel.FORBIDDEN,
    ),
    cel.Rule(
        "!has(self.dependencies) || self.dependencies.all(d, "
        f"self.dependencies.exists_one(e, {_joined('e')} == {_joined('d')}))",
        "dependencies reads one topic twice; remove one of the two entries, or mend its topic",
        "dependencies",
    ),
    cel.Rule(
        "!has(self.dependencies) || !has(self.inputs) || "
        f"!self.dependencies.exists(d, self.inputs.exists(i, i.topic == {_joined('d')}))",
        "dependencies reads a topic that inputs reads too; remove one of the two entries",
        "dependencies",
    ),
    *_own_topics(),
    cel.Rule(
        f"!has(self.trigger) || self.trigger.requiredTopics.all(t, {_is_input('t')} || {_is_joined('t')})",
        "requiredTopics names a topic that the module does not read, so that no callback would ever run; "
        "name a topic of inputs or dependencies",
        "trigger.requiredTopics",
    ),
    cel.Rule(
        f"{_GROUP} == {_before(_GROUP)}",
        "groupId cannot change: the progress is kept under it; leave it, or make a new AnalysisModule",
        "kafka.groupId",
        cel.FORBIDDEN,
    ),
    cel.Rule(
        f"{_SLOTS} == {_before(_SLOTS)}",
        "slots cannot change: the progress is kept by slot; leave it, or make a new AnalysisModule",
        "partitioning.slots",
        cel.FORBIDDEN,
    ),
)

PARTS: Mapping[type, tuple[cel.Rule, ...]] = {
    spec.Input: _INPUT,
    spec.Dependency: _DEPENDENCY,
    spec.ModuleSpec: _MODULE,
}
"""The rules of each of these parts."""

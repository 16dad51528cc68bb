"""A configuration of any form, validated, as one AnalysisModule spec per module. Pure: no I/O.

The settings are laid over the catalogue by `tables`, written as the resource's own document and read by its
reader (`documents`), so that one set of rules judges both; problems come by the configuration's names.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from analysis_module import catalogue, errors, findings, names, spec, wording
from d_a import documents, kafka_settings, tables
from d_a.errors import ConfigurationError
from d_a.named import Named

Part = TypeVar("Part")

UNION: Final = "all"
"""The name of the module that stands for all of them together: `module_name=None`."""

CALLBACK_TIMEOUT_SECONDS: Final = 3600.0
"""The old system let a callback take any time; an hour only frees a station whose callback hangs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a service's constructor says over its configuration; None = as the configuration has it."""

    module_name: str | None = None
    topics: Sequence[str] | None = None
    kafka_config: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)
    data_expire_seconds: float = 600
    output_topic_prefix: str | None = names.OUTPUT_TOPIC_PREFIX
    padding_strategy: str = "zero"
    topic_detail: Mapping[str, Any] | None = None
    stations: Sequence[str] | Mapping[str, Sequence[str]] | None = None
    max_workers: int = 32
    offset_commit_config: Mapping[str, Any] | None = None
    names: str | None = None
    envelope: str | None = None
    profile: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffsetCommit:
    """When progress is committed; retries have no bound, so the last two are only checked."""

    commit_interval_seconds: float = 5.0
    commit_batch_size: int = 100
    max_commit_retries: int = 3
    commit_retry_delay: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logging:
    """The section `logging` of the YAML form."""

    log_file: str | None = None
    max_bytes: int = 10 * 2**20
    backup_count: int = 5
    log_format: str = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """Validated settings: `specs` per module that has topics, `union` for all of them in one.

    `module_name` is the module that is run; None for all. `kafka` is None if it was not asked for.
    """

    module_name: str | None
    specs: Mapping[str, spec.ModuleSpec]
    union: spec.ModuleSpec
    tables: tables.Tables
    kafka: kafka_settings.KafkaSettings | None
    offset_commit: OffsetCommit
    logging: Logging
    snake_names: bool
    warnings: tuple[str, ...] = ()

    @property
    def running_spec(self) -> spec.ModuleSpec:
        """The spec of what is run."""
        return self.union if self.module_name is None else self.specs[self.module_name]

    @property
    def topic_to_modules(self) -> dict[str, list[str]]:
        """Topic -> the modules that read it, output topics last."""
        listed = {name: list(topic.modules) for name, topic in self.tables.topics.items()}
        for module, topic in self.tables.output_topics.items():
            joined = self.tables.dependencies.items()
            listed[topic] = [other for other, dependencies in joined if module in dependencies]
        return listed

    @property
    def module_to_topics(self) -> dict[str, list[str]]:
        """Module -> the topics it reads, those of its dependencies last."""
        listed = self.topic_to_modules
        return {
            module: [topic for topic, modules in listed.items() if module in modules]
            for module in self.tables.output_topics
        }


def read(settings: Named, options: Options | None = None, *, needs_kafka: bool = True) -> Configuration:
    """Lay `settings` and `options` over the catalogue; raises ConfigurationError with all problems."""
    found = findings.Findings()
    try:
        configuration = _Reader(settings, options or Options(), found).configuration(needs_kafka)
        found.close()
    except errors.InvalidSpec as error:
        raise ConfigurationError(error.problems, omitted=error.omitted) from None
    return configuration


class _Reader:
    """Reads one configuration; what is wrong goes to `found`."""

    def __init__(self, settings: Named, options: Options, found: findings.Findings) -> None:
        self._settings = settings
        self._options = options
        self._found = found
        self._warnings = list(settings.warnings)

    def configuration(self, needs_kafka: bool) -> Configuration:
        """Everything that was said; to be used only if nothing was found."""
        settings, options = self._settings, self._options
        outputs = tables.Outputs(prefix=self._prefix(), style=self._style())
        laid = tables.read(settings, options.topic_detail, outputs, self._found)
        kafka = self._kafka() if needs_kafka else None
        self._warnings += [*laid.warnings, *(kafka.warnings if kafka else ())]
        own = settings.get("MODULE_NAME")
        module = options.module_name if options.module_name is not None else own
        specs, union = self._specs(laid, module)
        if kafka is not None:
            specs = {name: _with_kafka(each, kafka, alone=name == own) for name, each in specs.items()}
            union = _with_kafka(union, kafka, alone=False)
        return Configuration(
            module_name=module,
            specs=specs,
            union=union,
            tables=laid,
            kafka=kafka,
            offset_commit=self._offset_commit(),
            logging=self._logging(),
            snake_names=self._choice("FIELD_NAMES", options.names, ("camel", "snake")) == "snake",
            warnings=tuple(self._warnings),
        )

    # -- modules ------------------------------------------------------------------------------------

    def _specs(
        self, laid: tables.Tables, module: str | None
    ) -> tuple[dict[str, spec.ModuleSpec], spec.ModuleSpec]:
        """The spec of each module that has topics, or is the one to be run, and that of all in one."""
        inputs = {name: laid.topics_of(name) for name in laid.output_topics}
        asked = self._asked_topics(laid)
        if module is not None and module not in inputs:
            self._add_unknown(module, inputs, has_topics=asked is not None)
            inputs[module] = ()
        if asked is not None and module is not None:
            inputs[module] = asked
        elif asked is not None:
            inputs = {name: tuple(t for t in listed if t in asked) for name, listed in inputs.items()}
        running = {
            name: listed
            for name, listed in inputs.items()
            if listed or laid.dependencies.get(name) or name == module
        }
        writer = documents.Writer(
            tables=laid, common=self._common(), output_window=self._output_window(), paths=self._paths()
        )
        specs = {name: self._spec(writer.module(name, listed)) for name, listed in running.items()}
        return specs, self._spec(writer.union(UNION, running))

    def _spec(self, document: documents.Document) -> spec.ModuleSpec:
        """Read a document; a place that is known to be wrong, for another module say, is not told again."""
        module_spec, problems = document.read()
        for problem in problems:
            if self._found.sound(problem.path) and document.module != UNION:
                self._found.add(problem.path, problem.wrong, problem.mend)
        return module_spec or spec.ModuleSpec(module=document.module)

    def _add_unknown(self, module: object, known: Mapping[str, Any], *, has_topics: bool) -> None:
        if not isinstance(module, str):
            self._found.add("module_name", f"is {wording.shown(module)}, not a text", "name a module")
        elif not has_topics:
            wrong = f"there is no module {module}, so that it has no topic to read"
            mend = "name it under `modules` of the topics it reads, or give it `topics`"
            self._found.add("module_name", wrong, errors.suggestion(module, known, mend))

    def _asked_topics(self, laid: tables.Tables) -> tuple[str, ...] | None:
        asked = self._options.topics
        if asked is None:
            return None
        known = {*laid.topics, *laid.output_topics.values()}
        for index, topic in enumerate(asked):
            if topic not in known:
                mend = errors.suggestion(str(topic), known, "add it to TOPIC_DETAIL")
                self._found.add(f"topics[{index}]", f"{wording.shown(topic)} is not in TOPIC_DETAIL", mend)
        listed = set(asked)
        ordered = [topic for topic in laid.topics if topic in listed]
        return (*ordered, *(topic for topic in asked if topic not in laid.topics))

    def _common(self) -> dict[str, Any]:
        """What every module's document says alike."""
        options = self._options
        padding = tables.PADDINGS.get(str(options.padding_strategy).lower())
        if padding is None:
            wrong = f"is {wording.shown(options.padding_strategy)}, which is no padding"
            self._found.add("padding_strategy", wrong, f"give {wording.one_of(list(tables.PADDINGS))}")
        envelopes = tuple(envelope.value for envelope in spec.Envelope)
        return {
            "profile": self._profile(),
            "padding": (padding or spec.Padding.ZERO).value,
            "expireAfterSeconds": options.data_expire_seconds,
            "stations": self._stations(),
            "callback": {"concurrency": options.max_workers, "timeoutSeconds": CALLBACK_TIMEOUT_SECONDS},
            "output": {
                "enabled": options.output_topic_prefix is not None,
                "envelope": self._choice("ENVELOPE", options.envelope, envelopes),
            },
        }

    def _stations(self) -> Mapping[str, Any]:
        given = self._options.stations
        if given is None or isinstance(given, Mapping):
            return given or {}
        return {"include": sorted(given) if isinstance(given, set | frozenset) else given}

    # -- single settings ----------------------------------------------------------------------------

    def _paths(self) -> dict[str, str]:
        return {name: self._settings.path(name) for name in ("MODULE_DEPENDENCIES", "MODULE_OUTPUT_TOPICS")}

    def _choice(self, name: str, given: str | None, choices: Sequence[str], default: str = "") -> str:
        value = self._settings.get(name) if given is None else given
        default = default or choices[0]
        if value is None or value in choices:
            return default if value is None else str(value)
        path = self._settings.path(name) if given is None else name.removeprefix("FIELD_").lower()
        self._found.add(path, f"is {wording.shown(value)}", f"give {wording.one_of(list(choices))}")
        return default

    def _prefix(self) -> str:
        """The argument's prefix if it says anything else than the default, else the configuration's."""
        value, path = self._options.output_topic_prefix, "output_topic_prefix"
        if value in (None, names.OUTPUT_TOPIC_PREFIX):
            name = "MODULE_OUTPUT_TOPIC_PREFIX"
            value, path = self._settings.get(name), self._settings.path(name)
        if value is None or isinstance(value, str):
            return names.OUTPUT_TOPIC_PREFIX if value is None else value
        self._found.add(path, f"is {wording.shown(value)}, not a text", "give the beginning of output topics")
        return names.OUTPUT_TOPIC_PREFIX

    def _style(self) -> str:
        styles = tuple(style.value for style in spec.TopicStyle)
        old = self._profile() == spec.Profile.V1_1.value
        default = spec.TopicStyle.UNDERSCORE if old else spec.TopicStyle.HYPHEN
        return self._choice("OUTPUT_TOPIC_STYLE", None, styles, default.value)

    def _profile(self) -> str:
        return self._choice("PROFILE", self._options.profile, tuple(p.value for p in spec.Profile))

    def _output_window(self) -> Any:
        value, path = (f("MODULE_OUTPUT_WINDOW_SIZE") for f in (self._settings.get, self._settings.path))
        if value is None:
            return catalogue.OUTPUT_WINDOW_SIZE
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self._found.add(path, f"is {wording.shown(value)}", "give a whole number of 1 or more")
            return catalogue.OUTPUT_WINDOW_SIZE
        return value

    def _kafka(self) -> kafka_settings.KafkaSettings | None:
        given = self._options.kafka_config
        if given is not None:
            return kafka_settings.read(given, "kafka_config", self._found)
        path = self._settings.path("KAFKA_CONFIG")
        return kafka_settings.read(self._settings.get("KAFKA_CONFIG"), path, self._found)

    def _offset_commit(self) -> OffsetCommit:
        given = self._options.offset_commit_config
        if given is not None:
            return self._section(OffsetCommit, given, "offset_commit_config")
        name = "OFFSET_COMMIT_CONFIG"
        return self._section(OffsetCommit, self._settings.get(name), self._settings.path(name))

    def _logging(self) -> Logging:
        path = self._settings.path("LOGGING")
        read = self._section(Logging, self._settings.get("LOGGING"), path)
        known = [form.value for form in spec.LogFormat]
        if read.log_format not in known:
            wrong = f"is {wording.shown(read.log_format)}"
            self._found.add(f"{path}.log_format", wrong, f"give {wording.one_of(known)}")
        return read

    def _section(self, part: type[Part], value: object, path: str) -> Part:
        """A flat section of texts and numbers, its keys those of the dataclass `part`."""
        if value is None:
            return part()
        if not isinstance(value, Mapping):
            self._found.add(path, f"is {wording.kind(value)}, not an object", "give an object")
            return part()
        known = {field.name: field.default for field in dataclasses.fields(part)}  # type: ignore[arg-type]
        read = {}
        for key, held in value.items():
            if key not in known:
                mend = errors.suggestion(str(key), known, "remove it")
                self._warnings.append(f"{path}.{key} is not a setting and is ignored; {mend}")
            elif (wanted := _wanted(known[key], held)) is not None:
                self._found.add(f"{path}.{key}", f"is {wording.shown(held)}", f"give {wanted}")
            elif held is not None:
                read[key] = held
        return part(**read)


def _wanted(default: Any, value: Any) -> str | None:
    """What a setting of this default wants instead of this value; None if the value will do."""
    if value is None:
        return None
    if isinstance(default, int | float):
        whole = isinstance(default, int)
        kinds: Any = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or value < 0 or (value == 0 and not whole):
            return "a whole number of 0 or more" if whole else "a number of seconds above 0"
        return None
    return None if isinstance(value, str) else "a text"


def _with_kafka(
    module_spec: spec.ModuleSpec, kafka: kafka_settings.KafkaSettings, *, alone: bool
) -> spec.ModuleSpec:
    """The given group id belongs to one module: a configuration of several gives each its own (W7)."""
    group = kafka.group_id if alone else f"{kafka.group_id}.{module_spec.module}"
    return dataclasses.replace(module_spec, kafka=kafka_settings.resource_part(kafka, group))

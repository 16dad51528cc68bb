"""What a spec means once the catalogue is laid under it: all topics, fields and outputs of one module."""

import dataclasses

from analysis_module import spec

MOST_KEPT = 1_000
"""The longest window whose records a module may keep in a topic of its own (`keepLast`)."""


@dataclasses.dataclass(frozen=True)
class FieldWiring:
    """One declared field of a topic.

    `aliases` are the other names it is accepted under, in order; `array` says that a list is one value;
    `dtype` is `float64` or `float32` for a numeric column.
    """

    name: str
    aliases: tuple[str, ...] = ()
    array: bool = False
    dtype: str = "float64"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputWiring:
    """One topic that the module reads, nothing left open."""

    topic: str
    fields: tuple[FieldWiring, ...]
    window_size: int
    station_key: spec.StationKey
    scope: spec.Scope = spec.Scope.STATION
    trigger: bool = True
    padding: spec.Padding = spec.Padding.ZERO
    routing: spec.Routing = spec.Routing.FILTERED
    keep_last: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DependencyWiring:
    """One module whose outputs are joined."""

    module: str
    topic: str
    window_size: int = 12
    trigger: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wiring:
    """All that one module reads and writes.

    `summary_keys` are those of the seed system 3.1. `output_topic` is None when outputs are off.
    `lookup_topics` are the topics outside `inputs` that a station key's `via` needs: read by every shard,
    only to learn which station a device belongs to. `kept_lookups` are those of them whose newest records
    the module keeps itself, in `last_topic`, as it does those of inputs with `keep_last`.
    """

    module: str
    inputs: tuple[InputWiring, ...]
    dependencies: tuple[DependencyWiring, ...] = ()
    summary_keys: tuple[str, ...] = ()
    output_topic: str | None = None
    group_id: str
    dead_letter_topic: str
    progress_topic: str
    strays_topic: str
    last_topic: str
    lookup_topics: tuple[str, ...] = ()
    kept_lookups: tuple[str, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether the module keeps the newest records of some topic itself."""
        return bool(self.kept_lookups) or any(source.keep_last for source in self.inputs)

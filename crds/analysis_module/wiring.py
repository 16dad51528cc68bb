"""What a spec means once the catalogue is laid under it: all topics, fields and outputs of one module."""

import dataclasses

from analysis_module import spec


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
    only to learn which station a device belongs to.
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
    lookup_topics: tuple[str, ...] = ()

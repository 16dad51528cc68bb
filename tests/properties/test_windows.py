"""Windows against a plain model: deques of dicts, padded by the letter of the seed system's 5.2.

Random streams over stations and topics, with every kind of value, whole windows, and changes of sizes and
fields in between, go in as JSON; what a callback would see is held against the model at once, and once more
when the stream is over.
"""

import collections
import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_module.spec import Padding
from analysis_worker.engine import inputs, places, views
from tests import builders

STATIONS = ("S1", "S2")
TOPICS = ("A", "B")
FIELDS = ("power", "soc", "any", "list")
SIZES = (1, 2, 5, 31, 32, 33, 70, 200)

numbers = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([0.0, -1.5, 2.0, 0.1, 1e150]),
    st.floats(-1e9, 1e9, allow_nan=False),
)
scalars = st.one_of(
    numbers,
    st.booleans(),
    st.none(),
    st.sampled_from(["", "a", "b", "深圳"]),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**60), 2**70, 10**400]),
)
STEADY = st.one_of(
    st.just(numbers), st.just(scalars), st.just(st.integers(0, 9)), st.just(st.text("ab", max_size=1))
)


@dataclasses.dataclass(frozen=True)
class Append:
    """Records of one station; a field is absent where its value is missing."""

    station: str
    topic: str
    records: Sequence[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Replace:
    """A whole window."""

    station: str
    topic: str
    lists: dict[str, list[Any]]
    held: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Change:
    """Another size and other fields of a topic."""

    topic: str
    size: int
    fields: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Look:
    """A callback reads, or only keeps, what it is given."""

    station: str
    read: bool


@st.composite
def appends(draw: st.DrawFn) -> Append:
    """Some records, or a long run of a few in turn."""
    values = draw(STEADY)
    lists = st.lists(scalars, max_size=3)
    record = st.fixed_dictionaries(
        {}, optional={"power": values, "soc": numbers, "any": scalars, "list": lists | scalars}
    )
    some = draw(st.lists(record, min_size=1, max_size=6))
    times = draw(st.sampled_from([1, 1, 1, 20, 60]))
    return Append(draw(st.sampled_from(STATIONS)), draw(st.sampled_from(TOPICS)), some * times)


@st.composite
def replaces(draw: st.DrawFn) -> Replace:
    """One to three fields as lists, the others held for each sample or absent."""
    listed = draw(st.sets(st.sampled_from(FIELDS[:3]), min_size=1))
    lists = {name: draw(st.lists(scalars, max_size=8)) for name in sorted(listed)}
    held = {} if draw(st.booleans()) else {"list": draw(st.lists(scalars, max_size=2))}
    return Replace(draw(st.sampled_from(STATIONS)), draw(st.sampled_from(TOPICS)), lists, held)


changes = st.builds(
    Change,
    st.sampled_from(TOPICS),
    st.sampled_from(SIZES),
    st.lists(st.sampled_from(FIELDS), unique=True, min_size=1, max_size=4),
)
looks = st.builds(Look, st.sampled_from(STATIONS), st.booleans())
streams = st.lists(
    st.one_of(appends(), appends(), replaces(), changes, looks, looks), min_size=3, max_size=25
)


class Model:
    """What windows are: per station and topic the last `size` samples, as dicts of the declared fields."""

    def __init__(self) -> None:
        self.sizes = dict.fromkeys(TOPICS, 5)
        self.fields: dict[str, tuple[str, ...]] = dict.fromkeys(TOPICS, FIELDS)
        self.samples: dict[tuple[str, str], collections.deque[dict[str, Any]]] = {}

    def window(self, station: str, topic: str) -> collections.deque[dict[str, Any]]:
        return self.samples.setdefault((station, topic), collections.deque(maxlen=self.sizes[topic]))

    def append(self, step: Append) -> None:
        for record in step.records:
            sample = {name: record.get(name) for name in self.fields[step.topic]}
            if any(isinstance(value, list) for name, value in record.items() if name != "list"):
                raise AssertionError("not what this step is for")
            self.window(step.station, step.topic).append(sample)

    def replace(self, step: Replace) -> None:
        lists = {name: values for name, values in step.lists.items() if name in self.fields[step.topic]}
        window = self.window(step.station, step.topic)
        if not lists:
            held = {**step.lists, **step.held}
            window.append({name: held.get(name) for name in self.fields[step.topic]})
            return
        window.clear()
        count = max(map(len, lists.values()))
        for index in range(count):
            sample = {name: step.held.get(name) for name in self.fields[step.topic]}
            for name, values in lists.items():
                position = index - (count - len(values))
                sample[name] = values[position] if position >= 0 else None
            window.append(sample)

    def change(self, step: Change) -> None:
        self.sizes[step.topic], self.fields[step.topic] = step.size, tuple(step.fields)
        for (station, topic), window in list(self.samples.items()):
            if topic == step.topic:
                kept = [{name: sample.get(name) for name in step.fields} for sample in window]
                self.samples[station, topic] = collections.deque(kept, maxlen=step.size)

    def spec(self) -> dict[str, Any]:
        return {
            "module": "module",
            "inputs": [
                {
                    "topic": topic,
                    "fields": list(self.fields[topic]),
                    "arrays": ["list"] if "list" in self.fields[topic] else [],
                    "windowSize": self.sizes[topic],
                }
                for topic in TOPICS
            ],
        }


# -- the reference


def interpolated(values: list[Any], size: int) -> list[float]:
    result = []
    for index in range(size):
        position = index * (len(values) - 1) / (size - 1) if size > 1 else len(values) - 1
        before = min(int(position), len(values) - 1)
        after = min(before + 1, len(values) - 1)
        share = position - before
        result.append(float(values[before]) * (1 - share) + float(values[after]) * share)
    return result


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e308


def padded(values: list[Any], size: int, padding: Padding) -> list[Any]:
    if len(values) >= size:
        return values[-size:]
    missing = size - len(values)
    if padding is Padding.MISSING:
        return [None] * missing + values
    if padding is Padding.ZERO or not values:
        return [0] * missing + values
    if padding is Padding.LINEAR and all(map(is_number, values)):
        return interpolated(values, size)
    return [values[0]] * missing + values


def as_array(values: list[Any]) -> Any:
    exact = all(
        value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53)
        for value in values
    )
    if exact:
        return np.array([math.nan if value is None else float(value) for value in values])
    return values


def check(view: views.Window, latest: Any, wanted: list[Any], *, linear: bool) -> None:
    listed = list(view)
    stretched = linear and all(type(value) is float for value in wanted)
    if stretched:
        assert np.allclose(listed, wanted, rtol=1e-9, atol=1e-9)
        assert math.isclose(latest, wanted[-1], rel_tol=1e-9, abs_tol=1e-9)
    else:
        assert (listed, latest) == (wanted, wanted[-1])
        assert type(latest) is type(wanted[-1])
    assert [type(value) for value in listed] == [type(value) for value in wanted]
    assert [view[index] for index in (0, len(wanted) // 2, -1)] == [
        listed[index] for index in (0, len(wanted) // 2, -1)
    ]
    array, expected = view.numpy(), as_array(wanted)
    if isinstance(expected, np.ndarray):
        assert array.dtype == np.float64
        assert np.allclose(array, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
    else:
        assert array.dtype == object
        assert array.tolist() == expected


def compare(module_input: inputs.ModuleInput, model: Model, station: str) -> None:
    """Every field of every topic under every padding."""
    for index, topic in enumerate(TOPICS):
        samples, size = list(model.window(station, topic)), model.sizes[topic]
        head = module_input.heads[index]
        for position, name in enumerate(model.fields[topic]):
            values = [sample[name] for sample in samples]
            for padding in Padding:
                check(
                    views.Window(head, position, size, padding),
                    views.latest(head, position, size, padding),
                    padded(values, size, padding),
                    linear=padding is Padding.LINEAR,
                )
            seen = module_input["_topics"][topic]
            check(seen[f"{name}_window"], seen[name], padded(values, size, Padding.ZERO), linear=False)


def begin(memory: places.Memory = places.HEAP) -> tuple[Model, builders.HandDriven]:
    """A model and what is held against it, both with one record of each station."""
    model = Model()
    driven = builders.HandDriven(model.spec(), memory=memory)
    for station in STATIONS:
        go(Append(station, "A", [{}]), model, driven)
    return model, driven


def go(step: Append | Replace | Change, model: Model, driven: builders.HandDriven) -> None:
    """One step of a stream, in both."""
    if isinstance(step, Append):
        model.append(step)
        driven.take(step.topic, *({"stationId": step.station, **record} for record in step.records))
    elif isinstance(step, Replace):
        model.replace(step)
        driven.take(step.topic, {"stationId": step.station, **step.held, **step.lists})
    else:
        model.change(step)
        driven.reconfigure(model.spec())


def run(steps: Sequence[Append | Replace | Change | Look]) -> None:
    model, driven = begin()
    kept: list[tuple[inputs.ModuleInput, Model, str]] = []
    for step in steps:
        if not isinstance(step, Look):
            go(step, model, driven)
        else:
            module_input = driven.module_input(step.station)
            kept.append((module_input, copy.deepcopy(model), step.station))
            if step.read:
                compare(driven.module_input(step.station), model, step.station)
    for station in STATIONS:
        compare(driven.module_input(station), model, station)
    for module_input, past, station in kept:
        compare(module_input, past, station)


@given(streams)
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_windows_equal_a_plain_model_at_any_time_and_for_ever(
    steps: list[Append | Replace | Change | Look],
) -> None:
    run(steps)

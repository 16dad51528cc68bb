"""A spec survives its document, and no document at all makes the reader fail but with InvalidSpec."""

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_module import assignment, catalogue, errors, reading, shape, spec

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Large documents are drawn slowly on a busy machine; how long that takes is not what is tested."""

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
NAME = st.from_regex(r"[a-z]([a-z0-9_]{0,8}[a-z0-9])?", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FREE = st.dictionaries(
    TEXT,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)
SECONDS = st.floats(0.001, 3_600)
TOPIC = st.from_regex(r"[A-Z]{3,8}-[0-9]", fullmatch=True)


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _texts(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, max_size=3, unique=True).map(tuple)


SECRET = (
    st.builds(spec.SecretSource, secret_name=st.just("kafka"), key=st.sampled_from(["ca.crt", ".x", "a_b"]))
    | st.builds(spec.SecretSource, file=TEXT)
    | st.builds(spec.SecretSource, env=st.just("SECRET"))
)


@st.composite
def securities(draw: st.DrawFn) -> spec.Security:
    protocol = draw(st.sampled_from(spec.SecurityProtocol))
    fields: dict[str, Any] = {"protocol": protocol, "check_hostname": draw(st.booleans())}
    if protocol.startswith("SASL"):
        fields["mechanism"] = draw(st.sampled_from(spec.SaslMechanism))
        fields |= {name: draw(SECRET) for name in ("username", "password", "token")}
    if protocol.endswith("SSL"):
        fields["ca"] = draw(_optional(SECRET))
        if draw(st.booleans()):
            fields |= {name: draw(SECRET) for name in ("certificate", "private_key")}
    return spec.Security(**fields)


@st.composite
def inputs(draw: st.DrawFn, topic: str) -> spec.Input:
    known = topic in catalogue.TOPICS
    fields = draw(st.lists(NAME, min_size=1, max_size=4, unique=True))
    declared = [field.name for field in catalogue.fields_of(topic)] if known else fields
    of_fields = st.lists(st.sampled_from(declared), max_size=2, unique=True)
    return spec.Input(
        topic=topic,
        fields=None if known else tuple(fields),
        arrays=tuple(draw(of_fields)),
        aliases={name: (f"{name}.old",) for name in draw(of_fields)},
        dtypes={name: draw(st.sampled_from(spec.Dtype)) for name in draw(of_fields)},
        window_size=draw(st.integers(1, 10_000_000)),
        station_key=draw(
            st.builds(spec.StationKey, fields=_texts(TEXT).filter(bool), via=_optional(TOPIC))
            | st.just(spec.StationKey())
        ),
        scope=draw(_optional(st.sampled_from(spec.Scope))),
        trigger=draw(_optional(st.booleans())),
        padding=draw(_optional(st.sampled_from(spec.Padding))),
        routing=draw(_optional(st.just(spec.Routing.FILTERED))),
    )


@st.composite
def callbacks(draw: st.DrawFn) -> spec.Callback:
    places = {
        "entrypoint": st.just("pkg.module:run"),
        "config_map_ref": st.builds(spec.ConfigMapRef, name=st.just("code")),
        "file": TEXT,
        "source": TEXT,
    }
    chosen = draw(_optional(st.sampled_from(sorted(places))))
    return spec.Callback(
        **({chosen: draw(places[chosen])} if chosen else {}),
        timeout_seconds=draw(SECONDS),
        concurrency=draw(st.integers(1, 1024)),
        input_format=draw(st.sampled_from(spec.InputFormat)),
        parameters=draw(FREE),
    )


@st.composite
def triggers(draw: st.DrawFn, topics: list[str]) -> spec.Trigger:
    policy = draw(st.sampled_from(spec.TriggerPolicy))
    seconds = draw(SECONDS if policy is spec.TriggerPolicy.INTERVAL else _optional(SECONDS))
    required = draw(st.lists(st.sampled_from(topics), max_size=2, unique=True))
    return spec.Trigger(policy=policy, interval_seconds=seconds, required_topics=tuple(required))


@st.composite
def failures(draw: st.DrawFn) -> spec.Errors:
    least, most = sorted(draw(st.tuples(SECONDS, SECONDS)))
    breaker = st.builds(spec.Breaker, failures=st.integers(0, 99), open_seconds=SECONDS)
    return spec.Errors(
        retries=draw(st.integers(0, 100)),
        backoff_seconds=least,
        max_backoff_seconds=most,
        breaker=draw(breaker),
        dead_letter_topic=draw(_optional(st.just("bad-records"))),
    )


WORKERS = st.builds(
    spec.Workers,
    replicas=st.integers(0, 1000),
    image=_optional(TEXT),
    resources=FREE,
    pod_template=FREE,
    autoscaling=_optional(
        st.builds(spec.Autoscaling, min_replicas=st.integers(1, 9), max_replicas=st.integers(9, 1000))
    ),
)
KAFKA = st.builds(
    spec.Kafka,
    bootstrap_servers=_texts(st.sampled_from(["a:1", "b.c:9092", "[::1]:65535"])),
    group_id=_optional(st.just("g.1")),
    auto_offset_reset=st.sampled_from(spec.AutoOffsetReset),
    security=securities(),
    consumer=FREE,
    producer=FREE,
)


@st.composite
def specs(draw: st.DrawFn) -> spec.ModuleSpec:
    topics = draw(st.lists(st.sampled_from(sorted(catalogue.TOPICS)) | TOPIC, min_size=1, unique=True))
    return spec.ModuleSpec(
        module=draw(NAME),
        kafka=draw(KAFKA),
        stations=draw(st.builds(spec.Stations, include=_texts(TEXT), exclude=_texts(TEXT))),
        inputs=tuple(draw(inputs(topic)) for topic in topics),
        dependencies=draw(
            st.sampled_from([None, (), (spec.Dependency(module="SOH_model", window_size=3, trigger=False),)])
        ),
        padding=draw(st.sampled_from(spec.Padding)),
        trigger=draw(triggers(topics)),
        callback=draw(callbacks()),
        output=draw(
            st.builds(
                spec.Output,
                enabled=st.booleans(),
                topic_style=_optional(st.sampled_from(spec.TopicStyle)),
                envelope=st.sampled_from(spec.Envelope),
            )
        ),
        delivery=draw(st.sampled_from(spec.Delivery)),
        errors=draw(failures()),
        expire_after_seconds=draw(st.floats(0.001, 1e9)),
        partitioning=draw(
            st.builds(spec.Partitioning, slots=st.integers(1, 4096), routing=st.sampled_from(spec.Routing))
        ),
        workers=draw(WORKERS),
        observability=draw(
            st.builds(
                spec.Observability,
                log_level=st.sampled_from(spec.LogLevel),
                log_format=st.sampled_from(spec.LogFormat),
                per_station_series=st.booleans(),
                max_station_series=st.integers(0, 100_000),
            )
        ),
        suspend=draw(st.booleans()),
    )


@given(specs())
@UNHURRIED
def test_reading_what_was_written_gives_the_spec(module_spec: spec.ModuleSpec) -> None:
    written = reading.write_spec(module_spec)
    assert reading.read_spec(written) == module_spec
    assert reading.read_spec(json.loads(json.dumps(written))) == module_spec


@given(st.sampled_from(sorted(catalogue.MODULES)), st.sampled_from(spec.Profile))
@UNHURRIED
def test_a_catalogue_module_survives_its_document(module: str, profile: spec.Profile) -> None:
    module_spec = spec.ModuleSpec(module=module, profile=profile)
    assert reading.read_spec(reading.write_spec(module_spec)) == module_spec


@given(specs(), st.integers(0, 2**53), st.data())
@UNHURRIED
def test_an_assignment_survives_its_document(
    module: spec.ModuleSpec, epoch: int, data: st.DataObject
) -> None:
    owned = data.draw(st.frozensets(st.integers(0, module.partitioning.slots - 1)))
    given_one = assignment.Assignment(module, "worker-1", epoch, owned, shard=1, shards=3)
    read = assignment.Assignment.from_json(given_one.to_json())
    assert read == given_one
    assert read.config_hash == given_one.config_hash


def _reads_or_refuses(document: object) -> None:
    problems: tuple[errors.Problem, ...] = ()
    try:
        reading.read_spec(document)
    except errors.InvalidSpec as invalid:
        problems = invalid.problems
    assert all(problem.path and problem.wrong and problem.mend for problem in problems)


@given(JSON)
@UNHURRIED
def test_any_json_is_a_spec_or_an_invalid_spec(document: object) -> None:
    _reads_or_refuses(document)


@given(st.dictionaries(st.sampled_from([member.name for member in shape.members(spec.ModuleSpec)]), JSON))
@UNHURRIED
def test_any_json_under_known_names_is_a_spec_or_an_invalid_spec(document: object) -> None:
    _reads_or_refuses(document)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        container = pending.pop()
        keys = container.keys() if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                pending.append(container[key])
    return found


@given(specs(), st.data())
@settings(UNHURRIED, max_examples=200)
def test_a_valid_document_with_anything_anywhere_is_a_spec_or_an_invalid_spec(
    module_spec: spec.ModuleSpec, data: st.DataObject
) -> None:
    document = copy.deepcopy(reading.write_spec(module_spec))
    container, key = data.draw(st.sampled_from(_places(document)))
    container[key] = data.draw(JSON)
    _reads_or_refuses(document)


@given(st.text() | st.binary() | JSON.map(json.dumps))
@UNHURRIED
def test_any_text_is_an_assignment_or_an_invalid_spec(text: str | bytes) -> None:
    with pytest.raises(errors.InvalidSpec):
        assignment.Assignment.from_json(text)


@given(JSON | st.fixed_dictionaries({"metadata": JSON, "spec": JSON, "apiVersion": JSON, "kind": JSON}))
@UNHURRIED
def test_any_json_as_a_manifest_is_an_invalid_spec(document: object) -> None:
    with pytest.raises(errors.InvalidSpec):
        reading.read_manifest(document)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _looped() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value["b"] = value
    return value


ABSURD = {
    "deep": _nested(100_000),
    "deep parameters": {"module": "m", "callback": {"parameters": {"a": _nested(100_000)}}},
    "looped parameters": {"module": "m", "callback": {"parameters": _looped()}},
    "huge object": {f"module{number}": 1 for number in range(100_000)},
    "many unknown fields": {f"module{number}": 1 for number in range(20_000)},
    "huge list": {"module": "m", "inputs": [{"topik": 5}] * 100_000},
    "many broken inputs": {"module": "m", "inputs": [{"topik": 5}] * 20_000},
    "many unknown modules": {"module": "m", "dependencies": [{"module": f"SOH{n}"} for n in range(20_000)]},
    "many undeclared fields": {
        "module": "m",
        "inputs": [
            {
                "topic": "T",
                "windowSize": 1,
                "fields": [f"{'x' * 90}{number}" for number in range(20_000)],
                "aliases": {f"{'x' * 90}y{number}": ["a"] for number in range(20_000)},
            }
        ],
    },
}


@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_document_is_answered_fast_and_in_short(kind: str) -> None:
    begin = time.process_time()
    with pytest.raises(errors.InvalidSpec) as caught:
        reading.read_spec(ABSURD[kind])
    assert time.process_time() - begin < 5.0
    assert len(caught.value.problems) <= 100
    assert len(str(caught.value)) < 100_000

"""An Assignment survives its document; a bad document is told in full."""

import dataclasses
import json
from typing import Any

import pytest

from analysis_module import assignment, errors, spec

SPEC = spec.ModuleSpec(module="load_prediction", callback=spec.Callback(parameters={"b": 1, "a": "站"}))
GIVEN = assignment.Assignment(SPEC, "worker-0", 7, frozenset({0, 1, 2, 40}), shard=1, shards=3)


def _document(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "owner": "w", "epoch": 0, "spec": {"module": "load_prediction"}, **fields}


def _problems(text: str | bytes) -> dict[str, str]:
    with pytest.raises(errors.InvalidSpec) as caught:
        assignment.Assignment.from_json(text)
    return {problem.path: problem.wrong for problem in caught.value.problems}


def _about(**fields: Any) -> dict[str, str]:
    return _problems(json.dumps(_document(**fields)))


def test_an_assignment_survives_its_document() -> None:
    assert assignment.Assignment.from_json(GIVEN.to_json()) == GIVEN
    assert assignment.Assignment.from_json(GIVEN.to_json().encode()) == GIVEN


def test_slots_are_written_as_ranges() -> None:
    assert json.loads(GIVEN.to_json())["slots"] == "0-2,40"


def test_equal_assignments_give_equal_text() -> None:
    turned = spec.ModuleSpec(module="load_prediction", callback=spec.Callback(parameters={"a": "站", "b": 1}))
    other = assignment.Assignment(turned, "worker-0", 7, frozenset({40, 2, 1, 0}), shard=1, shards=3)
    assert other.to_json() == GIVEN.to_json()


def test_slots_that_arrive_are_written_as_ranges_and_only_if_there_are_any() -> None:
    arriving = dataclasses.replace(GIVEN, arriving=[50, 51])
    assert json.loads(arriving.to_json())["arriving"] == "50-51"
    assert assignment.Assignment.from_json(arriving.to_json()) == arriving
    assert "arriving" not in json.loads(GIVEN.to_json())


def test_a_slot_that_is_owned_cannot_arrive_too() -> None:
    assert _about(slots="0-3", arriving="3-4") == {"arriving": "3 is in slots too"}


def test_slots_may_be_given_as_any_iterable() -> None:
    assert assignment.Assignment(SPEC, "w", 0, range(3)).slots == frozenset({0, 1, 2})  # type: ignore[arg-type]


def test_the_version_is_one() -> None:
    assert GIVEN.version == 1
    assert json.loads(GIVEN.to_json())["version"] == 1


def test_the_config_hash_is_twelve_hex_digits() -> None:
    assert len(GIVEN.config_hash) == 12
    assert set(GIVEN.config_hash) <= set("0123456789abcdef")


def test_the_config_hash_does_not_depend_on_epoch_owner_slots_or_order_of_keys() -> None:
    turned = spec.ModuleSpec(module="load_prediction", callback=spec.Callback(parameters={"a": "站", "b": 1}))
    other = assignment.Assignment(turned, "worker-9", 8, frozenset({5}))
    assert other.config_hash == GIVEN.config_hash


def test_the_config_hash_depends_on_the_spec() -> None:
    other = assignment.Assignment(spec.ModuleSpec(module="load_prediction"), "worker-0", 7, GIVEN.slots)
    assert other.config_hash != GIVEN.config_hash


def test_the_config_hash_is_the_same_on_both_sides_of_the_document() -> None:
    seconds = spec.ModuleSpec(module="load_prediction", expire_after_seconds=60)
    written = assignment.Assignment(seconds, "w", 0, frozenset())
    assert assignment.Assignment.from_json(written.to_json()).config_hash == written.config_hash


def test_shard_shards_and_slots_have_defaults() -> None:
    read = assignment.Assignment.from_json(json.dumps(_document()))
    assert (read.shard, read.shards, read.slots) == (0, 1, frozenset())


def test_text_that_is_no_json_is_told_with_line_and_column() -> None:
    assert "line 2, column 9" in _problems('{"version":1,\n "owner"}')["assignment"]


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe\xfd", b"\xff", "[" * 200_000, "1" * 10_000, "", "nul", "[]", "5", "null", "NaN"],
    ids=["bytes", "byte", "deep", "digits", "empty", "word", "list", "number", "null", "nan"],
)
def test_text_of_no_use_is_one_problem_and_no_crash(text: str | bytes) -> None:
    assert list(_problems(text)) == ["assignment"]


def test_another_version_is_told_and_nothing_else_of_it_is_judged() -> None:
    assert list(_problems('{"version": 2, "slotz": 5}')) == ["version"]


@pytest.mark.parametrize("version", [None, "1", True, 1.0])
def test_a_version_that_is_no_whole_number_is_told(version: object) -> None:
    assert list(_about(version=version)) == ["version"]


def test_slots_beyond_the_partitioning_are_told() -> None:
    wrong = "64-66,70 is beyond spec.partitioning.slots, 64"
    assert _about(slots="60-66,70") == {"slots": wrong}
    assert _about(arriving="60-66,70") == {"arriving": wrong}
    fewer = {"module": "load_prediction", "partitioning": {"slots": 8}}
    assert list(_about(slots="8", spec=fewer)) == ["slots"]


@pytest.mark.parametrize("slots", ["a", "3-1", "1,,2", "-1", "1-", "0-999999999", "٣"])
def test_slots_of_another_form_are_told(slots: str) -> None:
    assert list(_about(slots=slots)) == ["slots"]
    assert list(_about(arriving=slots)) == ["arriving"]


def test_all_problems_of_a_document_are_told_at_once() -> None:
    told = _about(
        owner="",
        epoch=-1,
        shard=3,
        shards=2,
        slots="x",
        spec={"module": "load_prediction", "padding": 5},
        slotz="",
    )
    assert set(told) == {"owner", "epoch", "shard", "slots", "spec.padding", "slotz"}


def test_a_document_without_its_spec_says_so() -> None:
    document = _document()
    del document["spec"]
    assert _problems(json.dumps(document)) == {"spec": "is missing"}


@pytest.mark.parametrize(
    ("slots", "text"),
    [((), ""), ((5,), "5"), ((0, 1), "0-1"), ((3, 1, 2, 7, 9, 10), "1-3,7,9-10"), (range(64), "0-63")],
)
def test_slots_and_their_text_are_each_others(slots: Any, text: str) -> None:
    assert assignment.format_slots(slots) == text
    assert assignment.parse_slots(text) == frozenset(slots)


def test_spaces_and_overlaps_between_ranges_are_allowed() -> None:
    assert assignment.parse_slots(" 0-3, 2-5 ") == frozenset(range(6))


def test_without_an_operator_a_shard_gets_its_run_of_slots() -> None:
    given = assignment.for_shard(SPEC, 1, 3)
    assert given.slots == frozenset(range(22, 43))
    assert (given.owner, given.epoch, given.shard, given.shards) == ("load_prediction-1", 0, 1, 3)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 63, 64, 65, 100])
def test_every_slot_belongs_to_exactly_one_shard(shards: int) -> None:
    owned = [assignment.for_shard(SPEC, shard, shards).slots for shard in range(shards)]
    assert sorted(slot for slots in owned for slot in slots) == list(range(64))


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 63, 64])
def test_shards_differ_by_at_most_one_slot(shards: int) -> None:
    sizes = [len(assignment.for_shard(SPEC, shard, shards).slots) for shard in range(shards)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("shard", "shards", "at"), [(3, 3, "shard"), (-1, 3, "shard"), (0, 0, "shards")])
def test_a_shard_that_does_not_exist_is_told(shard: int, shards: int, at: str) -> None:
    with pytest.raises(errors.InvalidSpec) as caught:
        assignment.for_shard(SPEC, shard, shards)
    assert [problem.path for problem in caught.value.problems] == [at]

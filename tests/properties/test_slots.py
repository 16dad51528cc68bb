"""Slots agree with an independent implementation of Kafka's hash; every slot has one shard."""

import random

from aiokafka import partitioner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis_module import assignment, slots, spec

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long a busy machine takes to draw an example is not what is tested."""


@given(st.binary(max_size=300))
@UNHURRIED
def test_murmur2_equals_the_kafka_clients(data: bytes) -> None:
    assert slots.murmur2(data) == partitioner.murmur2(data)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.integers(1, 4096))
@UNHURRIED
def test_a_slot_is_the_partition_of_a_record_keyed_by_the_station(station: str, count: int) -> None:
    partitions = list(range(count))
    choose = partitioner.DefaultPartitioner()
    assert slots.slot_of(station, count) == choose(station.encode(), partitions, partitions)


@given(st.text(), st.integers(1, 4096))
@UNHURRIED
def test_any_id_at_all_has_a_slot_within_range(station: str, count: int) -> None:
    assert 0 <= slots.slot_of(station, count) < count


def test_stations_spread_evenly_over_slots() -> None:
    draw = random.Random(7)
    counts = [0] * 16
    for _ in range(16_000):
        counts[slots.slot_of(f"station-{draw.getrandbits(64)}", 16)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


@given(st.integers(1, 4096), st.integers(1, 200))
@UNHURRIED
def test_every_slot_belongs_to_exactly_one_shard(total: int, shards: int) -> None:
    module = spec.ModuleSpec(module="load_prediction", partitioning=spec.Partitioning(slots=total))
    owned = [slot for shard in range(shards) for slot in assignment.for_shard(module, shard, shards).slots]
    assert sorted(owned) == list(range(total))


@given(st.frozensets(st.integers(0, 4095)))
@UNHURRIED
def test_slots_survive_their_text(given_slots: frozenset[int]) -> None:
    assert assignment.parse_slots(assignment.format_slots(given_slots)) == given_slots


@given(st.text(alphabet="0123456789-, x"))
@UNHURRIED
def test_any_text_is_slots_or_a_value_error(text: str) -> None:
    try:
        parsed = assignment.parse_slots(text)
    except ValueError:
        return
    assert parsed <= frozenset(range(4096))

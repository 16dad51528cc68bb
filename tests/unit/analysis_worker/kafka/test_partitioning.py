"""A record's partition from its key, as Kafka's Java client chooses it."""

import pytest

from analysis_module import slots
from analysis_worker.kafka import partitioning


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_hash_as_in_the_java_client(key: bytes, digest: int) -> None:
    positive = digest & 0x7FFFFFFF
    for partitions in (1, 3, 4, 12, 64, 1000):
        assert partitioning.partition_of(key, partitions) == positive % partitions


def test_a_key_that_is_a_station_id_goes_to_the_partition_of_the_stations_slot() -> None:
    for station in ("S1", "station-042", "1", "深圳", ""):
        assert partitioning.partition_of(station.encode(), 64) == slots.slot_of(station, 64)

"""Kafka's default partitioner: a record's partition from its key (Java client, DefaultPartitioner)."""

from analysis_module import slots


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that every Kafka client gives a record of this key."""
    return slots.to_positive(slots.murmur2(key)) % partitions

"""Which slot a station belongs to: Kafka's own default hash of the station id.

The hash is the Java client's (`org.apache.kafka.common.utils.Utils.murmur2`), so that slot n of n slots is
partition n of a topic whose records are keyed by station id.
"""

import struct

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_SHIFT = 24
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash bytes as Kafka's Java client does; an unsigned 32-bit number."""
    length = len(data)
    whole = length & ~3
    digest = (_SEED ^ length) & _WORD
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = (word * _MULTIPLIER) & _WORD
        mixed ^= mixed >> _SHIFT
        digest = (digest * _MULTIPLIER) & _WORD ^ (mixed * _MULTIPLIER) & _WORD
    if length != whole:
        digest ^= int.from_bytes(data[whole:], "little")
        digest = (digest * _MULTIPLIER) & _WORD
    digest ^= digest >> 13
    digest = (digest * _MULTIPLIER) & _WORD
    return digest ^ digest >> 15


def to_positive(number: int) -> int:
    """Drop the sign bit of a 32-bit number, as Kafka's partitioner does before the remainder."""
    return number & 0x7FFFFFFF


def slot_of(station_id: str, slots: int) -> int:
    """Give the slot, 0 to `slots - 1`, of a station.

    A lone surrogate, which JSON can carry but UTF-8 cannot, is hashed by its three-byte form: every id has
    a slot. Raises ZeroDivisionError for 0 slots.
    """
    return to_positive(murmur2(station_id.encode("utf-8", "surrogatepass"))) % slots

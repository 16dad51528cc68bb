"""The hash is Kafka's: vectors of the Java client's own tests."""

import pytest

from analysis_module import slots


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_the_java_client_gives(data: bytes, signed: int) -> None:
    assert slots.murmur2(data) == signed & 0xFFFFFFFF


def test_to_positive_drops_the_sign_bit_and_no_other() -> None:
    assert slots.to_positive(0xFFFFFFFF) == 0x7FFFFFFF
    assert slots.to_positive(0x80000000) == 0
    assert slots.to_positive(5) == 5


def test_a_station_has_the_slot_of_its_utf_8_bytes() -> None:
    assert slots.slot_of("foobar", 64) == (-790332482 & 0x7FFFFFFF) % 64
    assert slots.slot_of("站点一", 64) == slots.to_positive(slots.murmur2("站点一".encode())) % 64


def test_an_id_with_a_lone_surrogate_has_a_slot() -> None:
    assert 0 <= slots.slot_of("\ud800", 64) < 64

"""The parts in which slots come back, whatever of them is at hand: each slot is in one of them."""

from hypothesis import given
from hypothesis import strategies as st

from analysis_worker import recovering


@given(st.sets(st.integers(0, 99)), st.dictionaries(st.integers(0, 99), st.integers(1)))
def test_each_slot_comes_once(slots: set[int], apart: dict[int, int]) -> None:
    parts = recovering.parts(slots, apart)
    assert sorted(slot for part in parts for slot in part) == sorted(slots)
    assert all(parts) or parts == [frozenset()]

"""The quick way to read a record, where it reads one, comes to what the careful way comes to."""

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis_worker.engine.records import Refusal
from analysis_worker.kafka import decoding
from tests import builders

NAMES = ["stationId", "hostId", "meterId", "power", "kw", "soc", "list", "other", "realTimeData", "fee"]
FIELDS = [
    builders.a_field("stationId"),
    builders.a_field("power", "kw"),
    builders.a_field("soc"),
    builders.a_field("list", array=True),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from([10**30, -(2**63), 2**64, ""]),
)
values = st.one_of(scalars, scalars, scalars, st.lists(scalars, max_size=3), st.just({}), st.just([[1], {}]))
others = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)
complete = st.fixed_dictionaries({"stationId": scalars, "power": values, "soc": values, "list": values})
documents = others | complete | st.builds(dict.__or__, others, complete)
UNHURRIED = settings(deadline=None, max_examples=400, derandomize=True)


def a_decoder(*, quick_for_incomplete: bool) -> decoding.InputDecoder:
    made = decoding.InputDecoder(builders.an_input(fields=FIELDS))
    for _ in range(1000 if quick_for_incomplete else 0):
        made.arrivals(b'{"stationId":"S1"}')
    return made


DECODERS = [a_decoder(quick_for_incomplete=each) for each in (False, True)]


@given(documents)
@UNHURRIED
def test_the_quick_way_reads_what_the_careful_way_reads_or_leaves_it(document: Any) -> None:
    value = json.dumps(document, ensure_ascii=False).encode()
    for made in DECODERS:
        try:
            row = made.row(value)
        except (ValueError, TypeError):
            continue
        if decoding.id_text(row.key0) is None:
            continue  # no station is known by such an id: the careful way takes over
        arrivals = made.arrivals(value)
        assert len(arrivals) == 1
        assert (arrivals[0].station_id, arrivals[0].replace) == (decoding.id_text(row.key0), False)
        careful = [reader.value(arrivals[0].rows[0]) for reader in made.readers]
        quick = [reader.value(row) for reader in made.readers]
        assert json.dumps(quick) == json.dumps(careful)
        assert [column[0] for column in made.readers.columns([row])] == quick


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
@UNHURRIED
def test_any_bytes_at_all_are_read_or_refused(value: bytes) -> None:
    outputs = decoding.OutputDecoder()
    for arrivals in (*(made.arrivals for made in DECODERS), outputs.arrivals):
        with contextlib.suppress(Refusal):  # and no other error
            arrivals(value)

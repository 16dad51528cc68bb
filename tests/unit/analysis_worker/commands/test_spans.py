"""How long a time a window covers."""

import pytest

from analysis_module import catalogue, reading
from analysis_worker.commands import spans


def the_input(topic: str, window_size: int) -> spans.wiring.InputWiring:
    inputs = [{"topic": topic, "windowSize": window_size}]
    return catalogue.resolve(reading.read_spec({"module": "m", "inputs": inputs})).inputs[0]


def test_the_span_is_the_window_times_the_interval_of_its_topic() -> None:
    assert spans.span_seconds(the_input("SCHEDULE-STATION-REALTIME-DATA", 10_080)) == 7 * 86_400


def test_a_topic_without_a_steady_pace_has_no_span() -> None:
    assert spans.span_seconds(the_input("SCHEDULE-CAR-PRICE", 30)) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(604_800, "7 d"), (5_400, "90 min"), (7_200, "2 h"), (61, "61 s"), (0, "0 s")]
)
def test_a_span_is_worded_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert spans.worded(seconds) == text

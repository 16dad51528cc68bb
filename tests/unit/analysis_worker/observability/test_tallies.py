"""Counters and histograms that are counted up by one thread and read by another."""

import pytest

from analysis_worker.observability import tallies
from analysis_worker.observability.metric_catalogue import Description

PLAIN = Description("data_analysis_x_total", "counter", (), "", "Help.")
BY_TYPE = Description("data_analysis_y_total", "counter", ("error_type",), "", "Help.")
TIMES = Description("data_analysis_z_seconds", "histogram", (), "seconds", "Help.")


def samples(tally: tallies.Tally | tallies.Buckets) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for sample in tally.family().samples}


def test_a_counter_without_labels_shows_its_zero() -> None:
    assert samples(tallies.Tally(PLAIN)) == {("data_analysis_x_total",): 0}


def test_amounts_add_up_per_label() -> None:
    tally = tallies.Tally(BY_TYPE)
    for amount, label in ((2, "a"), (3, "a"), (1, "b")):
        tally.add(amount, label)
    assert samples(tally) == {("data_analysis_y_total", "a"): 5, ("data_analysis_y_total", "b"): 1}


def test_a_counter_refuses_to_fall() -> None:
    with pytest.raises(ValueError, match=r"data_analysis_x_total cannot fall: -1 is negative"):
        tallies.Tally(PLAIN).add(-1)


def test_labels_that_are_not_the_metrics_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"data_analysis_y_total got labels \('a', 'b'\); give error_type"):
        tallies.Tally(BY_TYPE).add(1, "a", "b")


def test_beyond_the_cap_the_rest_is_one_series() -> None:
    tally = tallies.Tally(BY_TYPE, most=2)
    for label in ("a", "b", "c", "d", "a"):
        tally.add(1, label)
    assert {key[1]: value for key, value in samples(tally).items()} == {"a": 2, "b": 1, "_other": 2}


def test_a_family_keeps_what_it_was_when_it_was_made() -> None:
    tally = tallies.Tally(PLAIN)
    before = tally.family()
    tally.add(5)
    assert before.samples[0].value == 0


def test_a_duration_counts_in_its_bucket_and_all_above() -> None:
    times = tallies.Buckets(TIMES, bounds=(0.1, 1.0))
    for seconds in (0.1, 0.5, 7.0):
        times.observe(seconds)
    assert samples(times) == {
        ("data_analysis_z_seconds_bucket", "0.1"): 1,
        ("data_analysis_z_seconds_bucket", "1.0"): 2,
        ("data_analysis_z_seconds_bucket", "+Inf"): 3,
        ("data_analysis_z_seconds_count",): 3,
        ("data_analysis_z_seconds_sum",): 7.6,
    }


def test_a_duration_below_zero_counts_as_zero() -> None:
    times = tallies.Buckets(TIMES, bounds=(0.1, 1.0))
    times.observe(-5.0)
    assert samples(times)["data_analysis_z_seconds_bucket", "0.1"] == 1
    assert samples(times)["data_analysis_z_seconds_sum",] == 0


def test_ids_that_only_differ_in_what_utf8_cannot_write_are_one_series() -> None:
    counts = {(label,): 1 for label in ("\ud800", "\ud801", "x" * 300)}
    family = tallies.counter_family(BY_TYPE, counts)
    assert [(sample.labels["error_type"], sample.value) for sample in family.samples] == [
        ("x" * 200, 1),
        ("?", 2),
    ]


def test_a_gauge_that_is_not_known_has_no_sample() -> None:
    description = Description("data_analysis_g", "gauge", ("topic",), "", "Help.")
    family = tallies.gauge_family(description, {("a",): None, ("b",): float("nan"), ("c",): 0})
    assert [sample.labels["topic"] for sample in family.samples] == ["c"]

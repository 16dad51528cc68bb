"""Series per station: bounded, and switched while running."""

from analysis_worker.observability import station_series


def consumed(series: station_series.StationSeries) -> dict[str, float]:
    return {sample.labels["station"]: sample.value for sample in series.families()[0].samples}


def series_for(most: int) -> station_series.StationSeries:
    series = station_series.StationSeries()
    series.limit(per_station_series=True, max_station_series=most)
    return series


def test_nothing_is_counted_unless_switched_on() -> None:
    series = station_series.StationSeries()
    series.consumed("A", 3)
    assert consumed(series) == {}


def test_each_kind_is_a_metric_of_its_own() -> None:
    series = series_for(10)
    series.consumed("A", 3)
    series.processed("A", 2)
    series.failed("A", 1)
    assert {sample.name: sample.value for family in series.families() for sample in family.samples} == {
        "data_analysis_station_consumed_records_total": 3,
        "data_analysis_station_processed_total": 2,
        "data_analysis_station_errors_total": 1,
    }


def test_stations_beyond_the_cap_are_counted_together() -> None:
    series = series_for(2)
    for station in ("A", "B", "C", "D", "A"):
        series.consumed(station, 1)
    assert consumed(series) == {"A": 2, "B": 1, "_other": 2}


def test_ten_thousand_stations_stay_within_the_cap() -> None:
    series = series_for(100)
    for number in range(10_000):
        series.consumed(f"S{number}", 1)
    assert len(consumed(series)) == 101
    assert sum(consumed(series).values()) == 10_000


def test_a_lower_cap_ends_the_youngest_series() -> None:
    series = series_for(3)
    for station in ("A", "B", "C"):
        series.consumed(station, 1)
    series.limit(per_station_series=True, max_station_series=1)
    series.consumed("B", 5)
    assert consumed(series) == {"A": 1, "_other": 5}


def test_a_higher_cap_admits_stations_that_come_again() -> None:
    series = series_for(0)
    series.consumed("A", 1)
    series.limit(per_station_series=True, max_station_series=1)
    series.consumed("A", 2)
    assert consumed(series) == {"A": 2, "_other": 1}


def test_switching_off_ends_every_series() -> None:
    series = series_for(1)
    series.consumed("A", 1)
    series.consumed("B", 1)
    series.limit(per_station_series=False, max_station_series=1)
    assert consumed(series) == {}


def test_a_forgotten_station_leaves_its_place_and_no_burst() -> None:
    series = series_for(1)
    series.consumed("A", 100)
    series.forget(["A", "unknown"])
    series.consumed("B", 1)
    assert consumed(series) == {"B": 1}


def test_a_station_named_other_shares_the_series_of_that_name() -> None:
    series = series_for(1)
    for station in ("_other", "A", "B"):
        series.consumed(station, 1)
    assert consumed(series) == {"A": 1, "_other": 2}

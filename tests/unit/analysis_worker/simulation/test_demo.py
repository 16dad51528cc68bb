"""What a demo comes to."""

from analysis_worker.simulation import demo, live_table


def an_outcome(*rows: live_table.Row, errors: dict[str, list[str]] | None = None) -> demo.Outcome:
    picture = live_table.Picture(rows=rows, seconds=25.0, sent=100, stations=20, speedup=60.0)
    return demo.Outcome(picture=picture, faults={}, errors=errors or {})


def test_the_facts_are_by_module() -> None:
    first = live_table.Row(module="a", port=1, outputs=7, dead_letters=2, first_output_seconds=3.14159)
    second = live_table.Row(module="b", port=2, dead_letters=1)
    assert an_outcome(first, second).to_json() == {
        "first_output_seconds": {"a": 3.14, "b": None},
        "outputs": {"a": 7, "b": 0},
        "dead_letters": 3,
        "errors": 0,
    }


def test_errors_are_those_counted_and_those_logged() -> None:
    row = live_table.Row(module="a", port=1, errors=2)
    assert an_outcome(row, errors={"a": ["it broke"]}).error_count == 3


def test_the_rate_stays_the_same_whatever_the_number_of_stations() -> None:
    assert demo.Settings(stations=20).source_rate == 1.0
    assert demo.Settings(stations=200).source_rate == 0.1
    assert demo.Settings(stations=1).source_rate == 5.0

"""Progress where there is no terminal."""

import io

from analysis_worker.commands import progress


def test_without_a_terminal_nothing_is_written_before_it_takes_long() -> None:
    stream = io.StringIO()
    with progress.Progress("reading", total=10, unit="records", stream=stream) as shown:
        shown.advance(4)
    assert stream.getvalue() == ""
    assert shown.count == 4


def test_a_line_tells_the_share_the_count_and_where_the_work_is() -> None:
    stream = io.StringIO()
    with progress.Progress("reading", total=10, unit="records", stream=stream, line_seconds=0.0) as shown:
        shown.advance(1_500, done=4, note="2019-01-01")
    assert stream.getvalue().startswith("reading: 40% 1,500 records, ")
    assert stream.getvalue().endswith("2019-01-01\n")


def test_without_a_total_no_share_is_told() -> None:
    stream = io.StringIO()
    with progress.Progress("reading", total=None, unit="records", stream=stream, line_seconds=0.0) as shown:
        shown.advance(1)
    assert stream.getvalue().startswith("reading: 1 records, ")

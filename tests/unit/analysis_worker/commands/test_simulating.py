"""`simulate` refuses what makes no sense, and says so, before it looks for Kafka."""

import pytest

from analysis_worker import __main__


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--stations", "0"), "--stations: 0 is not above 0"),
        (("--rate", "0"), "--rate: 0 is not above 0"),
        (("--source-rate", "-1"), "--source-rate: -1 is not above 0"),
        (("--broken", "2"), "broken: a share of 2.0 is not within 0..1"),
    ],
)
def test_an_option_out_of_bounds_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert __main__.main(["simulate", "--embedded", *options]) == 2
    assert told in capsys.readouterr().err

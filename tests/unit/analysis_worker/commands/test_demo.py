"""The demo's options."""

from pathlib import Path

import pytest

from analysis_worker import __main__
from analysis_worker.commands import demo


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--seconds", "0"), "--seconds: 0 is not above 0"),
        (("--stations", "-3"), "--stations: -3 is not above 0"),
        (("--record", "demo.png"), "--record: demo.png is neither .svg nor .txt"),
    ],
)
def test_an_option_out_of_bounds_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert __main__.main(["demo", *options]) == 2
    assert told in capsys.readouterr().err


def test_demo_seconds_that_is_no_number_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(demo.ENV_SECONDS, "soon")
    assert __main__.main(["demo"]) == 2
    assert "DEMO_SECONDS: 'soon' is no number" in capsys.readouterr().err


def test_the_demo_says_what_is_missing_where_there_are_no_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis_worker.simulation import demo_modules

    monkeypatch.setattr(demo_modules, "MANIFESTS", Path("nowhere"))
    assert __main__.main(["demo", "--seconds", "1"]) == 2
    assert "there is no folder nowhere here" in capsys.readouterr().err

"""The front door: what a reader would paste works, and the two languages say the same."""

import contextlib
import io
import json
import re
from collections.abc import Iterator

import pytest
import yaml

from analysis_module import names, reading, spec
from analysis_worker import __main__
from analysis_worker.callbacks import loading
from analysis_worker.kafka import encoding
from bench import tables
from tests import builders
from tests.project import markdown, tree


def without_figures(name: str) -> markdown.Page:
    """A README as people write it: the benchmark's tables are put in by a tool."""
    path = tree.ROOT / name
    return markdown.Page(path, tables.placed(path.read_text(encoding="utf-8"), ""))


ENGLISH = without_figures("README.md")
CHINESE = without_figures("README.zh-CN.md")
PAGES = [
    markdown.Page(path) for path in tree.files() if path.suffix == ".md" and path.parent.name != "reference"
]


def commands(program: str) -> Iterator[str]:
    """What any document tells its reader to run of a program: the rest of the line, or of the code in it."""
    for page in PAGES:
        lines = [line for text in page.code("sh") for line in text.splitlines()]
        for line in [*lines, *page.codes]:
            found = re.match(rf"(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?{program} (.+)", line.strip())
            if found:
                yield found[1]


def help_of(command: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        __main__.main([*command.split(), "--help"])
    return shown.getvalue()


def a_station() -> builders.HandDriven:
    """load_prediction with two minutes of one station."""
    hand = builders.an_engine("load_prediction")
    hand.take(builders.REALTIME, *({"stationId": "S1", "historyCurveStationAvg": kw} for kw in (70.0, 80.0)))
    return hand


class TestTwin:
    @pytest.mark.parametrize("part", markdown.outline(ENGLISH))
    def test_the_two_have_the_same(self, part: str) -> None:
        assert markdown.outline(ENGLISH)[part] == markdown.outline(CHINESE)[part]

    def test_each_has_its_place_for_the_benchmarks_table_in_the_same_section(self) -> None:
        sections = [
            [tables.BEGIN in section for section in re.split(r"^## ", page.text, flags=re.MULTILINE)]
            for page in (ENGLISH, CHINESE)
        ]
        assert sections[0] == sections[1]
        assert any(sections[0])


class TestCommands:
    def test_every_make_target_that_a_document_names_exists(self) -> None:
        targets = set(
            re.findall(r"^([a-z0-9-]+):", (tree.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert {words.split()[0] for words in commands("make")} - targets == set()

    def test_every_command_and_option_that_a_document_names_exists(self) -> None:
        for words in sorted(set(commands("analysis-worker"))):
            command = words.split()[0]
            options = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", words)
            shown = help_of("" if command.startswith("-") else command)
            missing = [option for option in options if not re.search(rf"{option}\b", shown)]
            assert missing == [], words

    def test_every_option_named_by_itself_is_one_of_some_command(self) -> None:
        names_of_commands = re.findall(r"^    (\w+) ", help_of(""), re.MULTILINE)
        known = "".join(help_of(command) for command in names_of_commands)
        alone = {
            option
            for page in PAGES
            if page.path.parent.name != "bench"
            for code in page.codes
            if code.startswith("--")
            for option in re.findall(r"--[a-z][a-z-]*", code)
        }
        assert alone
        assert {option for option in alone if not re.search(rf"{option}\b", known)} == set()

    def test_every_module_that_a_document_has_python_run_exists(self) -> None:
        for words in commands("python(?:3)? -m"):
            path = tree.ROOT / words.split()[0].replace(".", "/")
            places = [
                path,
                *(tree.ROOT / package / path.relative_to(tree.ROOT) for package in ("worker", "crds")),
            ]
            known = words.split()[0] in ("venv", "pytest")
            assert known or any(place.with_suffix(".py").is_file() for place in places), words


class TestReadme:
    def test_the_manifest_is_five_lines_and_valid(self) -> None:
        (text,) = ENGLISH.code("yaml")
        assert len(text.splitlines()) == 5
        assert reading.read_manifest(yaml.safe_load(text))[2].module == "load_prediction"

    def test_the_callback_answers_from_the_last_hour_without_the_padding(self) -> None:
        text = ENGLISH.code("python")[0]
        callback = loading.load(spec.Callback(source=text)).function
        assert callback("S1", a_station().module_input()) == {"load_forecast": [75.0] * 24}

    def test_the_callback_answers_before_there_is_any_history(self) -> None:
        text = ENGLISH.code("python")[0]
        hand = builders.an_engine("load_prediction")
        hand.take(builders.ORDER, {"stationId": "S1", "orderId": "O1"})
        assert loading.load(spec.Callback(source=text)).function("S1", hand.module_input()) == {
            "load_forecast": [0.0] * 24
        }

    def test_the_service_of_ten_lines_can_be_made_and_its_callback_called(self) -> None:
        text = ENGLISH.code("python")[1]
        making, start, arguments = text.rpartition("service.start")
        made: dict[str, object] = {}
        exec(making, made)
        assert start
        assert arguments.strip() == "(callback=my_callback, background=False)"
        callback = loading.from_callable(made["my_callback"]).function  # type: ignore[arg-type]
        assert callback("S1", a_station().module_input()) == {"load_forecast": [80.0, 80.0]}

    def test_the_output_has_the_keys_that_outputs_have(self) -> None:
        (text,) = ENGLISH.code("json")
        written = encoding.encode_output("m", builders.a_trigger(), {}, spec.Envelope.STANDARD)
        assert list(json.loads(text)) == list(json.loads(written))

    def test_every_page_of_the_worker_is_listed(self) -> None:
        pages = {
            names.METRICS_PATH,
            names.LIVENESS_PATH,
            names.READINESS_PATH,
            names.HEALTH_PATH,
            names.STATUS_PATH,
        }
        assert pages <= set(ENGLISH.codes)

    def test_the_guides_five_metrics_are_listed(self) -> None:
        listed = {code.partition("{")[0] for code in ENGLISH.codes}
        assert {
            names.METRIC_PROCESSED_TOTAL,
            names.METRIC_ERRORS_TOTAL,
            names.METRIC_MEMORY_USAGE,
            names.METRIC_STATION_COUNT,
            names.METRIC_PROCESSING_SECONDS,
        } <= listed

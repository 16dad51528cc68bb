"""The benchmark's arithmetic and tables, and that a quick run of what needs no peer works; no timing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import figures, plan, records, run, tables, turns
from tests.infrastructure import kafka_cluster, kafka_tools

ROOT = Path(__file__).parents[2]


def a_round(subject: str, seconds: float, *, number: int = 1, cpu_seconds: float = 1.0) -> dict[str, Any]:
    return {
        "round": number,
        "subject": subject,
        "records": 1000,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }


def a_result(rounds: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    once = {"window_cost": {"window_cost_ratio": 1.1}, "memory": {"bytes_per_record": 130.0}}
    return {
        **figures.summary(rounds, once),
        "quick": False,
        "rounds_per_subject": 3,
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "A processor", "cores": 2},
        "versions": {"kafka": "4.1.0", "python": "3.11.7"},
        **others,
    }


class TestRates:
    def test_a_rate_is_the_median_of_the_rounds(self) -> None:
        rounds = [a_round("ceiling", seconds, number=n) for n, seconds in enumerate([1.0, 4.0, 2.0])]

        assert figures.rates(rounds) == {"ceiling": 500.0}

    def test_the_cpu_rate_is_of_cpu_seconds(self) -> None:
        assert figures.rates([a_round("faust", 9.0, cpu_seconds=4.0)], clock="cpu_seconds") == {
            "faust": 250.0
        }

    def test_a_subject_that_failed_has_no_rate_but_its_reason(self) -> None:
        rounds = [{"round": 1, "subject": "faust", "unmeasured": "cannot join"}]

        assert figures.rates(rounds) == {}
        assert figures.unmeasured(rounds) == {"faust": "cannot join"}


class TestRatios:
    def test_ingest_is_compared_with_the_ceiling(self) -> None:
        found = figures.ratios({plan.INGEST: 60.0, plan.CEILING: 100.0})

        assert found["ingest_vs_ceiling"] == 0.6

    def test_outputs_are_compared_with_quix_to_topic(self) -> None:
        assert figures.ratios({plan.OUTPUT: 60.0, plan.QUIX_OUTPUT: 20.0})["output_vs_quix"] == 3.0

    def test_the_peer_that_comes_off_best_decides(self) -> None:
        rates = {plan.INGEST: 60.0, plan.MEAN: 40.0, "quix_apply": 30.0, "bytewax": 50.0, "faust": 1.0}

        assert figures.ratios(rates)["ingest_vs_best_peer"] == 0.8

    def test_each_peer_meets_the_nearest_job_of_ours(self) -> None:
        rates = {plan.INGEST: 60.0, plan.MEAN: 40.0, "quix_apply": 30.0, "bytewax": 20.0}

        assert figures.against_peers(rates) == {"quix_apply": 2.0, "bytewax": 2.0}

    def test_a_peer_with_outputs_does_not_decide_over_ingest(self) -> None:
        rates = {plan.OUTPUT: 1.0, plan.QUIX_OUTPUT: 100.0, plan.INGEST: 60.0, "quix_apply": 30.0}

        assert figures.ratios(rates)["ingest_vs_best_peer"] == 2.0

    def test_a_ratio_without_one_of_its_subjects_is_none(self) -> None:
        assert set(figures.ratios({plan.INGEST: 60.0}).values()) == {None}

    def test_every_answering_subject_is_a_subject(self) -> None:
        names = {subject.name for subject in plan.SUBJECTS}

        assert {subject.answered_by for subject in plan.SUBJECTS} - {None} <= names


class TestSummary:
    def test_it_holds_each_goals_figure_and_the_raw_rounds(self) -> None:
        rounds = [a_round(subject.name, 1.0) for subject in plan.SUBJECTS]

        found = figures.summary(
            rounds, {"window_cost": {"window_cost_ratio": 1.1}, "memory": {"bytes_per_record": 9.0}}
        )

        assert {goal.figure: found[goal.figure] for goal in plan.GOALS} == {
            "ingest_vs_ceiling": 1.0,
            "output_vs_quix": 1.0,
            "ingest_vs_best_peer": 1.0,
            "eos_vs_alo": 1.0,
            "window_cost_ratio": 1.1,
            "bytes_per_record": 9.0,
        }
        assert found["rounds"] == rounds

    def test_a_goal_that_is_missed_is_told_with_figure_and_bound(self) -> None:
        assert "bytes_per_record is 130.00; the goal is <= 120" in figures.missed(a_result([]))

    def test_a_figure_that_is_missing_is_a_missed_goal(self) -> None:
        assert "ingest_vs_ceiling was not measured; the goal is >= 0.5" in figures.missed(a_result([]))

    def test_a_subject_without_a_broker_that_failed_is_told(self) -> None:
        assert figures.summary([], {"memory": {"unmeasured": "killed"}})["unmeasured"] == {"memory": "killed"}


class TestTables:
    def test_each_measured_subject_has_a_line_with_both_rates(self) -> None:
        table = tables.markdown(a_result([a_round("bytewax", 0.5, cpu_seconds=0.25)]))

        assert "| Bytewax `stateful_map`, mean of 10 | 2,000 | 4,000 |" in table

    def test_a_subject_that_was_not_measured_says_why_within_its_cell(self) -> None:
        rounds = [{"round": 1, "subject": "faust", "unmeasured": "first\nsecond | third"}]

        table = tables.markdown(a_result(rounds))

        assert "| Faust agent, mean of 10 | not measured: first second \\| third | |" in table

    def test_goals_are_met_or_missed(self) -> None:
        table = tables.markdown(a_result([]))

        assert "| 1.10 | ≤ 1.2, met |" in table
        assert "| 130.00 | ≤ 120, missed |" in table

    def test_the_date_the_machine_and_the_versions_stand_above(self) -> None:
        first = tables.markdown(a_result([])).splitlines()[0]

        assert first == (
            "Measured 2026-01-02 on 2 cores of A processor, Kafka 4.1.0, Python 3.11.7; medians of 3 rounds."
        )

    def test_a_quick_run_says_that_its_figures_mean_nothing(self) -> None:
        assert "no figure means anything" in tables.markdown(a_result([], quick=True))

    def test_the_chinese_table_has_the_same_figures(self) -> None:
        found = a_result([a_round(subject.name, 0.5) for subject in plan.SUBJECTS])

        def numbers(table: str) -> list[list[str]]:
            return [line.split("|")[2:3] for line in table.splitlines() if line.startswith("| ")][1:]

        chinese, english = tables.markdown(found, tables.CHINESE), tables.markdown(found)
        assert "| 对象 |" in chinese
        assert [row for row in numbers(chinese) if row != [" 实测 "]] == [
            row for row in numbers(english) if row != [" measured "]
        ]

    def test_a_table_replaces_what_stood_between_the_markers(self) -> None:
        document = f"above\n{tables.BEGIN}\nold\n{tables.END}\nbelow\n"

        assert tables.placed(document, "new \\1") == f"above\n{tables.BEGIN}\nnew \\1\n{tables.END}\nbelow\n"

    @pytest.mark.parametrize("document", ["", tables.BEGIN, 2 * (tables.BEGIN + tables.END)])
    def test_a_document_without_one_pair_of_markers_is_refused(self, document: str) -> None:
        with pytest.raises(ValueError, match="needs one"):
            tables.placed(document, "table")

    def test_only_documents_with_markers_are_written(self, tmp_path: Path) -> None:
        with_markers, without, missing = tmp_path / "a.md", tmp_path / "b.md", tmp_path / "c.md"
        with_markers.write_text(f"{tables.BEGIN}{tables.END}")
        without.write_text("text")

        written = tables.write(a_result([]), dict.fromkeys((with_markers, without, missing), tables.ENGLISH))

        assert written == [with_markers]
        assert "Measured 2026-01-02" in with_markers.read_text()
        assert without.read_text() == "text"

    def test_the_bench_readme_has_the_markers(self) -> None:
        text = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")

        assert "table" in tables.placed(text, "table")


class TestRecords:
    def test_two_runs_have_the_same_bytes(self) -> None:
        assert list(records.orders(300)) == list(records.orders(300))

    def test_a_record_has_the_thirteen_fields_and_its_station_as_key(self) -> None:
        made = list(records.orders(120))

        assert {tuple(json.loads(each.value)) for each in made} == {records.FIELDS}
        assert all(json.loads(each.value)["stationId"].encode() == each.key for each in made)
        assert len({each.key for each in made}) == records.STATIONS

    def test_an_extended_record_has_fifteen_fields(self) -> None:
        (made,) = records.orders(1, extended=True)

        assert tuple(json.loads(made.value)) == records.ALL_FIELDS
        assert json.loads(made.value)["endTime"] is None

    def test_the_steps_of_a_station_are_its_seconds(self) -> None:
        assert [each.step for each in records.orders(6, stations=2)] == [0, 0, 1, 1, 2, 2]


class TestSubjects:
    def test_the_last_line_that_a_subject_prints_is_its_figures(self) -> None:
        assert turns.printed_figures('a warning\n\n{"records": 5}\n') == {"records": 5}

    def test_a_subject_without_figures_fails_with_its_last_words(self) -> None:
        with pytest.raises(turns.SubjectFailed, match="ValueError: no"):
            turns.printed_figures("Traceback\n  line\nValueError: no\n")

    def test_every_subject_is_a_module(self) -> None:
        modules = {path.stem for path in (ROOT / "bench" / "subjects").glob("*.py")}

        assert {subject.module for subject in (*plan.SUBJECTS, *plan.IN_PROCESS)} <= modules

    def test_a_peer_that_is_not_installed_says_how_to_install_it(self) -> None:
        missing = plan.Subject(
            name="x", label="x", label_zh="x", module="x", records=1, distribution="no-such-distribution"
        )

        with pytest.raises(turns.SubjectFailed, match=r"no-such-distribution is not installed; .*\[bench\]"):
            turns.needs_installed(missing)


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--rounds", "0"], "give 1 or more"),
            (["--quick", "--write-table"], "leave one of the two out"),
            (["--only", "faust", "--write-table"], "leave --only out"),
            (["--only", "nobody"], "invalid choice"),
        ],
    )
    def test_wrong_arguments_are_told_with_the_mend(
        self, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            run.main(arguments)

        assert ended.value.code == 2
        assert problem in capsys.readouterr().err

    def test_a_quick_run_measures_the_ceiling_and_all_of_ours(
        self, kafka: kafka_cluster.KafkaEndpoint, tmp_path: Path
    ) -> None:
        ours = ["ceiling", "ours_ingest", "ours_mean", "ours_output", "window_cost", "memory"]
        result = tmp_path / "bench.json"
        options = ["--quick", "--bootstrap", kafka.bootstrap_servers, "--result", str(result)]
        before = kafka_tools.topics(kafka.bootstrap_servers)

        done = subprocess.run(
            [sys.executable, "-m", "bench.run", *options, "--only", *ours],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

        assert done.returncode == 0, done.stderr
        found = json.loads(result.read_text())
        assert [each["subject"] for each in found["rounds"]] == ours[:4]
        assert found["unmeasured"] == {}
        assert {each["records"] for each in found["rounds"]} == {2_000}
        assert found["window_cost_ratio"] > 0
        assert found["bytes_per_record"] > 0
        assert kafka_tools.topics(kafka.bootstrap_servers) - before <= {"__consumer_offsets"}

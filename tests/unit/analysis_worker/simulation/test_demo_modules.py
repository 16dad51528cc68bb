"""The demo's manifests: the examples on another broker."""

from pathlib import Path

import pytest
import yaml

from analysis_module import modules, reading
from analysis_worker.simulation import TOPICS, demo_modules

ROOT = Path(__file__).parents[4]


def test_the_demo_shows_all_nine_in_the_catalogue_s_order() -> None:
    shown = demo_modules.read_modules(ROOT)
    assert [module.name for module in shown] == [module.name for module in modules.ALL]


def test_a_manifest_is_the_example_on_the_demo_s_broker_with_json_logs() -> None:
    (example, *_) = demo_modules.read_modules(ROOT)
    name, _, made = reading.read_manifest(yaml.safe_load(example.manifest("127.0.0.1:1")))
    assert name == "load-prediction"
    assert made.kafka.bootstrap_servers == ("127.0.0.1:1",)
    assert made.observability.log_format == "json"
    assert made.callback == example.module_spec.callback
    assert made.inputs == example.module_spec.inputs


def test_every_topic_is_there_before_the_workers() -> None:
    topics = demo_modules.topics_of(demo_modules.read_modules(ROOT))
    assert set(topics) >= {*TOPICS, "MODULE-OUTPUT-LOAD-PREDICTION"}
    assert len(topics) == len(set(topics)) == 22


def test_an_example_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / demo_modules.MANIFESTS).mkdir(parents=True)
    with pytest.raises(demo_modules.NoExamples, match=r"load_prediction\.yaml cannot be read"):
        demo_modules.read_modules(tmp_path)


def test_an_example_that_is_wrong_is_named_with_its_problems(tmp_path: Path) -> None:
    folder = tmp_path / demo_modules.MANIFESTS
    folder.mkdir(parents=True)
    (folder / "load_prediction.yaml").write_text("kind: AnalysisModule\n", encoding="utf-8")
    with pytest.raises(demo_modules.NoExamples, match=r"load_prediction\.yaml: (?s:.)*apiVersion"):
        demo_modules.read_modules(tmp_path)

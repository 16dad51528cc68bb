"""The files of examples/migration for what stands around the program: Filebeat, Nginx, MirrorMaker.

Each is read against what a worker really writes, serves and calls its topics.
"""

import fnmatch
import json
import logging
import re
from typing import Any, ClassVar

import pytest
import yaml

from analysis_module import modules, names, topics
from analysis_worker.observability import log_lines
from tests.project import tree


def text_of(name: str) -> str:
    return (tree.ROOT / "examples" / "migration" / name).read_text(encoding="utf-8")


class TestFilebeat:
    SETTINGS: ClassVar[dict[str, Any]] = yaml.safe_load(text_of("filebeat.yml"))
    JSON, TEXT = SETTINGS["filebeat.inputs"]
    RECORD = logging.makeLogRecord(
        {
            "name": "analysis_worker.flow",
            "levelname": "ERROR",
            "msg": "callback failed",
            "analysis_module": "load_prediction",
            "shard": 0,
            "station_id": "S1",
            "topic": "T",
            "partition": 3,
            "offset": 12,
            "processing_time": 1.7,
            "error_type": "callback_error",
        }
    )

    def typed(self) -> dict[str, str]:
        return {field["name"]: field["type"] for field in self.SETTINGS["setup.template"]["append_fields"]}

    def test_lines_go_to_elasticsearch_as_those_of_data_analysis(self) -> None:
        assert [each["fields"] for each in (self.JSON, self.TEXT)] == [{"app": "data_analysis"}] * 2
        assert list(self.SETTINGS)[-1] == "output.elasticsearch"

    def test_the_fields_of_the_guides_searches_are_those_that_a_json_line_has(self) -> None:
        line = json.loads(log_lines.JsonLines({}).format(self.RECORD))
        assert self.JSON["parsers"][0]["ndjson"]["target"] == ""
        assert set(self.typed()) - {"app"} == set(line) - {"time", "logger", "message"}
        assert {"level", "station_id", "processing_time"} <= set(self.typed())
        assert self.typed()["processing_time"] == "double"
        assert {name for name, kind in self.typed().items() if kind == "long"} == {
            name for name, value in line.items() if isinstance(value, int)
        }

    def test_the_time_of_a_json_line_is_read(self) -> None:
        (stamp,) = [each["timestamp"] for each in self.JSON["processors"] if "timestamp" in each]
        line = json.loads(log_lines.JsonLines({}).format(self.RECORD))
        shape = re.sub(r"\d", "0", line[stamp["field"]])
        assert [re.sub(r"\d", "0", each) for each in (*stamp["layouts"], *stamp["test"])] == [shape] * 2

    def test_a_text_line_is_cut_into_its_parts(self) -> None:
        (cut,) = [each["dissect"] for each in self.TEXT["processors"]]
        pattern = re.sub(r"%\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(cut["tokenizer"]))
        line = log_lines.text_lines().format(self.RECORD)
        found = re.fullmatch(pattern, line)
        assert found is not None
        assert found.groupdict() | {"log_time": ""} == {
            "log_time": "",
            "level": "ERROR",
            "logger": "analysis_worker.flow",
            "message": "callback failed",
        }
        assert re.match(self.TEXT["parsers"][0]["multiline"]["pattern"], line)

    @pytest.mark.parametrize(
        ("file", "taken"),
        [
            ("data_analysis.log", [False, True]),
            ("w-0.json.log", [True, False]),
            ("stdout.log", [False, False]),
        ],
    )
    def test_each_log_is_read_once_in_its_form(self, file: str, taken: list[bool]) -> None:
        path = f"/var/log/data_analysis/{file}"
        assert [self.takes(each, path) for each in (self.JSON, self.TEXT)] == taken

    @staticmethod
    def takes(each: dict[str, Any], path: str) -> bool:
        excluded = each.get("prospector.scanner.exclude_files", [])
        return any(fnmatch.fnmatch(path, pattern) for pattern in each["paths"]) and not any(
            re.search(pattern, path) for pattern in excluded
        )


class TestNginx:
    TEXT = re.sub(r"#.*", "", text_of("nginx.conf"))

    def test_every_directive_ends_and_every_block_closes(self) -> None:
        depth = 0
        for line in filter(None, map(str.strip, self.TEXT.splitlines())):
            assert line[-1] in ";{}", line
            depth += line.count("{") - line.count("}")
            assert depth >= 0
        assert depth == 0

    def test_three_instances_stand_behind_it_with_the_workers_port(self) -> None:
        ports = re.findall(r"server [\w.-]+:(\d+);", self.TEXT)
        assert ports == [str(names.HTTP_PORT)] * 3
        assert re.findall(r"listen (\d+);", self.TEXT) == [str(names.SERVICE_PORT)]

    def test_it_passes_on_pages_of_the_workers(self) -> None:
        passed = re.findall(r"location (?:= )?(\S+) \{\s+proxy_pass", self.TEXT)
        assert passed == [names.HEALTH_PATH, f"{names.STATUS_PATH}/stations/"]

    def test_it_says_that_it_shares_no_work(self) -> None:
        assert "balances nothing of the work. Records come from Kafka" in text_of("nginx.conf")


class TestMirrorMaker:
    SETTINGS: ClassVar[dict[str, str]] = dict(
        map(str.strip, line.split("=", 1))  # type: ignore[misc]
        for line in text_of("mirror-maker.properties").splitlines()
        if line and not line.startswith("#")
    )

    def matches(self, key: str, name: str) -> bool:
        patterns = self.SETTINGS[f"primary->standby.{key}"].split(",")
        return any(re.fullmatch(pattern.strip(), name) for pattern in patterns)

    def is_copied(self, topic: str) -> bool:
        return self.matches("topics", topic) and not self.matches("topics.exclude", topic)

    def test_one_site_is_copied_to_the_other_and_not_back(self) -> None:
        assert self.SETTINGS["clusters"] == "primary, standby"
        assert self.SETTINGS["primary->standby.enabled"] == "true"
        assert self.SETTINGS["standby->primary.enabled"] == "false"
        assert self.SETTINGS["replication.policy.class"].endswith(".IdentityReplicationPolicy")

    def test_groups_offsets_are_copied(self) -> None:
        for what in ("emit.checkpoints", "sync.group.offsets"):
            assert self.SETTINGS[f"primary->standby.{what}.enabled"] == "true"
        assert self.matches("groups", "data_analysis_prod.load_prediction")

    def test_every_topic_of_the_catalogue_and_every_output_is_copied(self) -> None:
        wanted = [topic.name for topic in topics.ALL]
        wanted += [
            names.output_topic(module.name, style)
            for module in modules.ALL
            for style in ("hyphen", "underscore")
        ]
        assert [topic for topic in wanted if not self.is_copied(topic)] == []

    def test_what_speaks_of_offsets_is_not(self) -> None:
        for group in ("load_prediction", "MODULE-OUTPUT-X", "SCHEDULE-X"):
            named = (names.progress_topic, names.strays_topic, names.dead_letter_topic, names.last_topic)
            own = [topic(group) for topic in named]
            assert [topic for topic in own if self.is_copied(topic)] == []

"""The program's files of examples/migration do what they say: run, verified, or read against what d_a is."""

import configparser
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from analysis_module import assignment, catalogue, names, reading
from d_a import configuration, core, running, sharding, sources
from tests.infrastructure import programs
from tests.project import markdown, tree

FILES = tree.ROOT / "examples" / "migration"
GUIDE = tree.ROOT / "examples" / "guide"
PAGE = markdown.Page(tree.ROOT / "docs" / "guide" / "migration.md")


def text_of(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def guides_spec(config: Path) -> configuration.Configuration:
    """What d_a makes of a configuration for the guide's module."""
    options = configuration.Options(module_name="load_prediction")
    return configuration.read(sources.reader_of(config)(), options)


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_a_file_says_first_what_it_is_and_how_it_is_used(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").removeprefix("#!/bin/sh\n").splitlines()
    comment = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    assert len(comment) >= 4
    assert any(line.startswith("#   ") for line in comment) or "checks it" in "".join(comment)


def test_every_file_is_in_the_guide() -> None:
    assert {path.name for path in FILES.iterdir()} <= {Path(link).name for link in PAGE.links}


class TestStartScript:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A directory as the guide has it, whose venv has a Python that only tells how it was started."""
        shutil.copy(FILES / "start.sh", tmp_path)
        venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
        self.replace_python(tmp_path, "printf '%s\\n' $$ $PWD $PYTHONPATH $DATA_ANALYSIS_LOG $*")
        return tmp_path

    @staticmethod
    def replace_python(place: Path, command: str) -> None:
        python = place / "venv" / "bin" / "python"
        python.unlink()
        python.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        python.chmod(0o755)

    @staticmethod
    def started(place: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        inherited = {"PATH": os.environ["PATH"], **variables}
        command = [str(place / "start.sh"), *arguments]
        return subprocess.Popen(command, cwd="/", env=inherited, stdout=subprocess.PIPE, text=True)

    def test_python_takes_the_place_of_the_shell_in_the_programs_directory(self, place: Path) -> None:
        process = self.started(place)
        printed, _ = process.communicate(timeout=10)
        log = f"{place}/data_analysis.log"
        assert printed.split() == [str(process.pid), str(place), str(place), log, "sync_main.py"]

    def test_script_log_and_further_packages_may_be_named(self, place: Path) -> None:
        process = self.started(place, "async_main.py", DATA_ANALYSIS_LOG="/var/x.log", PYTHONPATH="/models")
        printed, _ = process.communicate(timeout=10)
        assert printed.split()[2:] == [f"{place}:/models", "/var/x.log", "async_main.py"]

    def test_sigterm_reaches_the_program_and_its_exit_code_comes_back(self, place: Path) -> None:
        program = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True)"
        self.replace_python(place, f'exec {sys.executable} -c "{program}; signal.pause()"')
        process = self.started(place)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 7
        process.stdout.close()


class TestSystemdUnit:
    @pytest.fixture
    def unit(self) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys are told apart by case
        parser.read_string(text_of("data_analysis.service"))
        return parser

    def test_it_is_the_guides(self, unit: configparser.ConfigParser) -> None:
        asked = {
            "Type": "simple",
            "User": "analysis",
            "Group": "analysis",
            "WorkingDirectory": "/opt/data_analysis",
            "Restart": "always",
            "RestartSec": "10",
            "StandardOutput": "append:/var/log/data_analysis/stdout.log",
            "StandardError": "append:/var/log/data_analysis/stderr.log",
        }
        assert {key: unit["Service"][key] for key in asked} == asked
        assert unit["Unit"]["After"] == "network-online.target"
        assert unit["Install"]["WantedBy"] == "multi-user.target"

    def test_its_variables_are_those_that_the_program_reads(self, unit: configparser.ConfigParser) -> None:
        given = dict(pair.split("=") for pair in unit["Service"]["Environment"].split())
        assert given == {
            "PYTHONPATH": unit["Service"]["WorkingDirectory"],
            names.ENV_LOG_FILE: "/var/log/data_analysis/data_analysis.log",
            names.ENV_LOG_LEVEL: "INFO",
            core.ENV_HTTP_PORT: str(names.HTTP_PORT),
        }

    def test_its_watchdog_waits_longer_for_the_first_beat_than_a_start_may_take(
        self, unit: configparser.ConfigParser
    ) -> None:
        connecting = inspect.signature(core.ServiceCore).parameters["connect_within_seconds"].default
        assert unit["Service"]["NotifyAccess"] == "main"
        assert int(unit["Service"]["WatchdogSec"]) > connecting + running._BEYOND_CONNECTING_SECONDS

    def test_systemd_has_nothing_against_it(self, tmp_path: Path) -> None:
        whole = text_of("data_analysis.service").replace("/opt/data_analysis/venv/bin/python", sys.executable)
        told = self.analyzed(tmp_path, whole, "verify", "--man=no", "--recursive-errors=no")
        assert told.stderr == ""
        assert told.returncode == 0

    def test_systemd_finds_little_that_is_exposed(self, tmp_path: Path) -> None:
        told = self.analyzed(
            tmp_path, text_of("data_analysis.service"), "security", "--offline=true", "--threshold=25"
        )
        assert told.returncode == 0, told.stdout

    @staticmethod
    def analyzed(directory: Path, unit: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        program = shutil.which("systemd-analyze")
        if program is None:
            raise programs.Unavailable("systemd-analyze is not on PATH: run this on a machine with systemd")
        file = directory / "data_analysis.service"
        file.write_text(unit, encoding="utf-8")
        return subprocess.run([program, *arguments, str(file)], capture_output=True, text=True)


class TestDockerfile:
    TEXT = text_of("Dockerfile").replace("\\\n", " ")

    def said(self, instruction: str) -> list[str]:
        return re.findall(rf"^{instruction} +(.+)$", self.TEXT, re.MULTILINE)

    def test_it_is_the_guides_on_a_base_that_can_be_another(self) -> None:
        assert self.said("ARG") == ["BASE_IMAGE=python:3.11-slim"]
        assert self.said("FROM") == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
        assert self.said("USER") == ["1000:1000"]
        assert "useradd --uid 1000" in self.TEXT
        assert self.said("CMD")[-1] == '["python", "sync_main.py"]'

    def test_its_variables_are_those_that_the_program_reads(self) -> None:
        given = dict(pair.split("=", 1) for pair in self.said("ENV")[-1].split())
        assert given["PYTHONPATH"] == self.said("WORKDIR")[-1] == "/app"
        assert given[names.ENV_LOG_FILE] == "/app/logs/data_analysis.log"
        assert self.said("VOLUME") == ["/app/logs"]
        assert given[core.ENV_HTTP_PORT] == self.said("EXPOSE")[0] == str(names.HTTP_PORT)
        assert f":{names.HTTP_PORT}{names.LIVENESS_PATH}'" in self.TEXT

    def test_all_that_it_copies_is_there(self) -> None:
        copied = [each for line in self.said("COPY(?! --from)") for each in line.split()[:-1]]
        assert {"examples/guide/sync_main.py", "examples/guide/async_main.py", "worker/d_a"} <= set(copied)
        assert [each for each in copied if not (tree.ROOT / each).exists()] == []
        let_in = re.findall(r"^!(.+)$", text_of("Dockerfile.dockerignore"), re.MULTILINE)
        assert [
            each
            for each in copied
            if not any(Path(each).match(given) or each.startswith(f"{given}/") for given in let_in)
        ] == []

    @pytest.mark.parametrize("place", ["config.py", "d_a/config.py"])
    def test_a_config_is_found_where_it_is_said_to_be_mounted(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(GUIDE / "config.py", tmp_path / place)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(sources.ENV_CONFIG_PATH, raising=False)
        read = configuration.read(
            sources.reader_of(None)(), configuration.Options(module_name="load_prediction")
        )
        assert read.running_spec.kafka.group_id == "data_analysis_prod.load_prediction"


class TestKubernetes:
    OBJECTS: ClassVar[dict[str, Any]] = {
        each["kind"]: each for each in yaml.safe_load_all(text_of("kubernetes.yaml"))
    }
    SET = OBJECTS["StatefulSet"]["spec"]
    POD = SET["template"]["spec"]
    (CONTAINER,) = POD["containers"]
    VARIABLES: ClassVar[dict[str, Any]] = {each["name"]: each for each in CONTAINER["env"]}

    def test_all_of_it_is_in_production(self) -> None:
        assert set(self.OBJECTS) == {"ConfigMap", "Service", "StatefulSet"}
        assert {each["metadata"]["namespace"] for each in self.OBJECTS.values()} == {"production"}
        assert self.OBJECTS["StatefulSet"]["metadata"]["name"] == "data-analysis"

    def test_each_slot_has_one_owner(self) -> None:
        assert self.VARIABLES[sharding.ENV_SHARD]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
        count = self.VARIABLES[sharding.ENV_SHARDS]["value"]
        assert self.SET["replicas"] == int(count) == 3
        asked = guides_spec(GUIDE / "config.py").running_spec
        held: list[int] = []
        for ordinal in range(3):
            environment = {sharding.ENV_SHARD: f"data-analysis-{ordinal}", sharding.ENV_SHARDS: count}
            held += assignment.for_shard(asked, *sharding.from_environment(environment)).slots
        assert sorted(held) == list(range(asked.partitioning.slots))

    def test_its_config_is_the_guides_and_mounted_whole(self, tmp_path: Path) -> None:
        text = self.OBJECTS["ConfigMap"]["data"]["config.py"]
        assert text == (GUIDE / "config.py").read_text(encoding="utf-8").replace("localhost:", "kafka:")
        (tmp_path / "config.py").write_text(text, encoding="utf-8")
        assert guides_spec(tmp_path / "config.py").running_spec.kafka.bootstrap_servers == ("kafka:9092",)
        assert "subPath" not in str(self.POD)
        mounts = {mount["name"]: mount["mountPath"] for mount in self.CONTAINER["volumeMounts"]}
        assert self.VARIABLES[sources.ENV_CONFIG_PATH]["value"] == f"{mounts['config']}/config.py"
        assert Path(self.VARIABLES[names.ENV_LOG_FILE]["value"]).parent == Path(mounts["logs"])
        volumes = {volume["name"]: volume for volume in self.POD["volumes"]}
        assert volumes["config"]["configMap"]["name"] == self.OBJECTS["ConfigMap"]["metadata"]["name"]
        assert "emptyDir" in volumes["logs"]

    def test_probes_and_ports_are_the_workers(self) -> None:
        port = {"name": "http", "containerPort": names.HTTP_PORT}
        assert self.CONTAINER["ports"] == [port]
        assert self.VARIABLES[core.ENV_HTTP_PORT]["value"] == str(names.HTTP_PORT)
        probes = [self.CONTAINER[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
        assert [probe["path"] for probe in probes] == [names.LIVENESS_PATH, names.READINESS_PATH]
        service = self.OBJECTS["Service"]["spec"]
        assert service["type"] == "ClusterIP"
        assert service["selector"].items() <= self.SET["template"]["metadata"]["labels"].items()
        assert (service["ports"][0]["port"], service["ports"][0]["targetPort"]) == (
            names.SERVICE_PORT,
            "http",
        )

    def test_resources_are_the_guides(self) -> None:
        assert self.CONTAINER["resources"] == {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"cpu": "2000m", "memory": "2Gi"},
        }

    def test_its_pods_are_restricted_and_have_no_token(self) -> None:
        assert self.POD["automountServiceAccountToken"] is False
        assert self.POD["securityContext"]["runAsUser"] == 1000
        assert self.POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert self.CONTAINER["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


class TestTheGuidesModuleAsAManifest:
    def test_it_reads_the_same_into_the_same_windows_and_goes_on_in_the_same_group(self) -> None:
        (document,) = [
            each for text in PAGE.code("yaml") for each in yaml.safe_load_all(text) if "kind" in each
        ]
        asked = reading.read_manifest(document)[2]
        before = guides_spec(GUIDE / "config.py").running_spec
        new, old = catalogue.resolve(asked), catalogue.resolve(before)
        assert [(i.topic, i.window_size) for i in new.inputs] == [
            (i.topic, i.window_size) for i in old.inputs
        ]
        assert new.output_topic == old.output_topic
        assert new.progress_topic == old.progress_topic
        assert asked.partitioning.slots == before.partitioning.slots
        assert asked.expire_after_seconds == before.expire_after_seconds

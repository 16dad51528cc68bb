"""Kafka's programs: the jars that two poms beside this name, fetched once into a cache outside the tree."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.infrastructure import programs

POM = Path(__file__).with_name("pom.xml")
"""A broker."""
TOOLS_POM = Path(__file__).with_name("kafka_tools_pom.xml")
"""MirrorMaker and the command-line tools, of the same version as the broker of `POM`."""


def version() -> str:
    """The Kafka version that pom.xml asks for, such as "4.1.0"."""
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)</version>", POM.read_text())
    if found is None:
        raise ValueError(f"{POM}: no <version> after the artifact kafka_2.13; put one there")
    return found.group(1)


def jars(wanted: str | None = None) -> Path:
    """The directory that holds the jars of one broker; fetches them with Maven on the first call of all.

    `wanted` is another version than that of pom.xml. Runs that call this together wait for each other, and a
    fetch that breaks off leaves nothing behind that a later one could take for whole. Raises
    `programs.Unavailable` when Maven is missing or cannot fetch.
    """
    wanted = wanted or version()
    pom = POM.read_text().replace(f"<version>{version()}</version>", f"<version>{wanted}</version>")
    return _jars(f"kafka-{wanted}", pom)


def tool_jars() -> Path:
    """The directory that holds the jars of MirrorMaker and of the command-line tools; otherwise as `jars`."""
    return _jars(f"kafka-tools-{version()}", TOOLS_POM.read_text().replace("${kafka.version}", version()))


def command(directory: Path, *options: str) -> list[str]:
    """How `java` is called with the jars of `directory`; what follows is a class and its arguments."""
    log_levels = {
        "showDateTime": "true",
        "dateTimeFormat": "HH:mm:ss.SSS",
        "log.org.apache.kafka.common.config": "warn",  # else every start prints all 300 settings
    }
    levels = (f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in log_levels.items())
    return [java(), *options, *levels, "-cp", f"{directory}/*"]


def java() -> str:
    """The path of the `java` program, installed if it is missing and may be; else `programs.Unavailable`."""
    return programs.require("java", package="default-jre-headless")


def _jars(name: str, pom: str) -> Path:
    directory = _cache_root() / f"{name}-{hashlib.sha256(pom.encode()).hexdigest()[:12]}"
    if not directory.exists():
        with _only_one_run(directory.with_name(directory.name + ".lock")):
            if not directory.exists():
                _fetch(pom, directory)
    return directory


def _cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "station-analysis"


@contextlib.contextmanager
def _only_one_run(lock_file: Path) -> Iterator[None]:
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            programs.announce("another run is fetching Kafka; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(pom: str, directory: Path) -> None:
    maven = programs.require("mvn", package="maven")
    programs.announce(f"fetching the jars of {directory.name} with Maven (once) ...")
    started = time.monotonic()
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    # Here, for what Maven may write it writes next to the file that it reads: never in the tree.
    file = unfinished / "pom.xml"
    file.write_text(pom)
    asked = [maven, "-q", "-B", "-f", str(file), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"]
    done = subprocess.run([*asked, *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise programs.Unavailable(
            "Maven could not fetch Kafka's jars; see that it reaches its repository, "
            "or set KAFKA_BOOTSTRAP_SERVERS to a running cluster:\n"
            + done.stdout[-2000:]
            + done.stderr[-500:]
        )
    unfinished.rename(directory)
    programs.announce(f"{directory.name} is in {directory.parent} after {time.monotonic() - started:.0f} s")

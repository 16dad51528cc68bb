"""The jars of the Kafka broker that pom.xml names, fetched once into a cache outside the tree."""

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


def version() -> str:
    """The Kafka version that pom.xml asks for, such as "4.1.0"."""
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)</version>", POM.read_text())
    if found is None:
        raise ValueError(f"{POM}: no <version> after the artifact kafka_2.13; put one there")
    return found.group(1)


def jars() -> Path:
    """The directory that holds the jars of one broker; fetches them with Maven on the first call of all.

    Runs that call this together wait for each other, and a fetch that breaks off leaves nothing behind that
    a later one could take for whole. Raises `programs.Unavailable` when Maven is missing or cannot fetch.
    """
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    directory = _cache_root() / f"kafka-{version()}-{digest}"
    if not directory.exists():
        with _only_one_run(directory.with_name(directory.name + ".lock")):
            if not directory.exists():
                _fetch(directory)
    return directory


def java() -> str:
    """The path of the `java` program, installed if it is missing and may be; else `programs.Unavailable`."""
    return programs.require("java", package="default-jre-headless")


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


def _fetch(directory: Path) -> None:
    maven = programs.require("mvn", package="maven")
    programs.announce(f"fetching the jars of Kafka {version()} with Maven (once) ...")
    started = time.monotonic()
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    # A copy, for what Maven may write it writes next to the file that it reads: never in the tree.
    shutil.copy(POM, unfinished)
    command = [maven, "-q", "-B", "-f", str(unfinished / POM.name), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise programs.Unavailable(
            "Maven could not fetch Kafka's jars; see that it reaches its repository, "
            "or set KAFKA_BOOTSTRAP_SERVERS to a running cluster:\n"
            + done.stdout[-2000:]
            + done.stderr[-500:]
        )
    unfinished.rename(directory)
    programs.announce(f"Kafka {version()} is in {directory} after {time.monotonic() - started:.0f} s")

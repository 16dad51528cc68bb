"""The place of a true node: apart from this machine and from its like, and gone with the run that made it."""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.infrastructure import guarded_process, node_namespaces, waiting
from tests.infrastructure.node_namespaces import NodeNamespaces

ROOT = Path(__file__).parents[2]
ABANDONED = """
import sys, subprocess
from tests.infrastructure.node_namespaces import NodeNamespaces
place = NodeNamespaces()
place.start()
subprocess.Popen(place.inside("sleep", "60"))
print(place.cgroup, place.machine_address, flush=True)
sys.stdin.read()
"""


def wires() -> set[str]:
    """The names of this machine's network devices."""
    listed = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout
    return {each["ifname"] for each in json.loads(listed)}


def said_inside(place: NodeNamespaces, *command: str) -> str:
    return subprocess.run(place.inside(*command), capture_output=True, text=True, check=True).stdout


def test_two_places_have_networks_of_their_own_that_this_machine_reaches(tmp_path: Path) -> None:
    with NodeNamespaces() as first, NodeNamespaces() as second:
        assert first.pods != second.pods
        for number, place in enumerate((first, second)):
            serve = [sys.executable, "-m", "http.server", "8000", "--bind", place.node_address]
            server = guarded_process.GuardedProcess(
                place.inside(*serve), log_file=tmp_path / f"{number}.log", scratch=tmp_path / str(number)
            )
            answered = functools.partial(answers, place.node_address)
            waiting.until(answered, what="it answers", timeout_seconds=20)
            server.kill()


def answers(address: str) -> bool:
    """Whether a server accepts a connection at that address and port 8000."""
    probe = f"import socket; socket.create_connection(({address!r}, 8000), timeout=1).close()"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


def test_what_is_made_inside_is_not_seen_on_this_machine() -> None:
    with NodeNamespaces() as place:
        said_inside(place, "ip", "link", "add", "pods", "type", "bridge")
        said_inside(place, "sh", "-c", "echo kept >/run/trial && echo kept >/var/lib/trial")
        assert "pods" not in wires()
        assert not Path("/run/trial").exists()
        assert not Path("/var/lib/trial").exists()
        assert str(place.directory) not in Path("/proc/mounts").read_text()


def test_stopped_it_leaves_no_wire_no_cgroup_and_no_file() -> None:
    before = wires()
    place = NodeNamespaces()
    place.start()
    directory, cgroup = place.directory, place.cgroup
    assert len(wires() - before) == 1
    place.stop()
    waiting.until(lambda: wires() <= before, what="the wire is gone", timeout_seconds=20)
    assert not directory.exists()
    assert list(node_namespaces.CGROUPS.glob(f"**/{cgroup}")) == []


def test_of_a_run_that_was_killed_the_next_one_finds_nothing() -> None:
    before = wires()
    run = subprocess.Popen(
        [sys.executable, "-c", ABANDONED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin is not None
    assert run.stdout is not None
    cgroup, _ = run.stdout.readline().split()
    run.kill()
    run.wait()
    run.stdin.close()
    run.stdout.close()
    waiting.until(lambda: wires() <= before, what="its wire is gone", timeout_seconds=20)
    with NodeNamespaces():
        assert list(node_namespaces.CGROUPS.glob(f"**/{cgroup}")) == []
        assert not (Path(tempfile.gettempdir()) / cgroup).exists()

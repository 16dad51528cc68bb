"""A place apart for a true node: network, mounts and processes of its own, and a wire to this machine.

Everything that a node makes (bridges, rules of iptables, mounts, containers) is made inside, so it goes with
the place, and the place goes with the process that started it, however that ends: the kernel kills a process
namespace when its first process dies, and drops a network and its devices when nobody is left in it. Nothing
is added to this machine's own rules; two runs never meet.
"""

import ipaddress
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.infrastructure import guarded_process, programs, startable, waiting

CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "station-analysis-node-"
"""How names of directories and cgroups begin; the id of the process that they belong to comes next."""
WIRES = ipaddress.IPv4Network("10.213.0.0/16")
PODS = ipaddress.IPv4Network("10.214.0.0/16")
"""Of each, network number n of 256 addresses is that of the place with the number n."""
TIMEOUT_SECONDS = 20.0

# The first process of the place: it makes the file systems private, says its id as this machine counts (the
# old /proc still shows that), and lives on as the parent of orphans.
_FIRST = """
set -e
read own rest </proc/self/stat
mount -t proc proc /proc
mount --bind "$1/lib" /var/lib
mount --bind "$1/log" /var/log
mount -t tmpfs tmpfs /run
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo "$own" >"$1/first"
while :; do sleep 3600; done
"""


class NodeNamespaces(startable.Startable):
    """The place, there from `start` to `stop`."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._first: guarded_process.GuardedProcess | None = None
        self._first_id = 0
        self._number = -1

    def start(self) -> None:
        """Makes the place; raises `programs.Unavailable` unless this is Linux, root, and allowed to."""
        _check_this_machine()
        _remove_leftovers()
        self._directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        for part in ("lib", "log"):
            (self._directory / part).mkdir()
        try:
            self._begin()
            self._lay_wire()
            for hierarchy in _hierarchies():
                (hierarchy / self.cgroup).mkdir()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills everything inside and removes what was kept on this machine. May be called twice."""
        if self._first is not None:
            self._first.kill()
            self._first = None
        if self._directory is not None:
            waiting.until(
                lambda: not _processes(self.cgroup), what="its containers are gone", timeout_seconds=60
            )
            _remove_cgroups(self.cgroup)
            shutil.rmtree(self._directory)
            self._directory = None

    @property
    def directory(self) -> Path:
        """Its files, at the same path inside; RuntimeError unless started."""
        if self._directory is None:
            raise RuntimeError("the place is not made; call start() first")
        return self._directory

    @property
    def cgroup(self) -> str:
        """The name of its cgroup in every hierarchy; raises as `directory`."""
        return self.directory.name

    @property
    def machine_address(self) -> str:
        """Where the place finds this machine's servers, and this machine finds them too."""
        return str(self._wire[1])

    @property
    def node_address(self) -> str:
        """Where this machine finds the servers of the place."""
        return str(self._wire[2])

    @property
    def pods(self) -> str:
        """The addresses of pods, which this machine reaches through the node: "10.214.n.0/24"."""
        return str(_part(PODS, self._number))

    def inside(self, *command: str) -> list[str]:
        """The command that runs `command` in the place, and ends it when it is itself ended."""
        place = ["nsenter", f"--target={self._first_id}", "--net", "--mount", "--pid"]
        return [*place, "setpriv", "--pdeathsig", "KILL", *command]

    @property
    def _wire(self) -> ipaddress.IPv4Network:
        return _part(WIRES, self._number)

    def _begin(self) -> None:
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
        self._first = first = guarded_process.GuardedProcess(
            [*apart, "sh", "-c", _FIRST, "first", str(self.directory)],
            log_file=self.directory / "first.log",
            scratch=self.directory,
        )
        said = self.directory / "first"

        def is_made() -> bool:
            if not first.is_running():
                raise programs.Unavailable(
                    "this machine refuses a node its own namespaces; run the tests where root may make "
                    f"them (in a container: --privileged):\n{first.log_tail()}"
                )
            return said.exists() and said.read_text().endswith("\n")

        waiting.until(is_made, what="the node's place is made", timeout_seconds=TIMEOUT_SECONDS)
        self._first_id = int(said.read_text())

    def _lay_wire(self) -> None:
        """Two ends of a virtual wire; the kernel gives a name once, so our number is nobody else's."""
        for number in random.sample(range(1, 255), 254):
            self._number, name = number, f"analysis{number}"
            if _is_routed(self._wire) or _is_routed(_part(PODS, number)):
                continue
            peer = ["peer", "name", "uplink", "netns", str(self._first_id)]
            if _ip("link", "add", name, "type", "veth", *peer).returncode == 0:
                break
        else:
            raise programs.Unavailable(f"no network of {WIRES} and {PODS} is free on this machine")
        size = self._wire.prefixlen
        _done(_ip("addr", "add", f"{self.machine_address}/{size}", "dev", name))
        _done(_ip("link", "set", name, "up"))
        for command in (
            ["ip", "addr", "add", f"{self.node_address}/{size}", "dev", "uplink"],
            ["ip", "link", "set", "uplink", "up"],
            ["ip", "route", "add", "default", "via", self.machine_address],
        ):
            _done(subprocess.run(self.inside(*command), capture_output=True, text=True))
        _done(_ip("route", "add", self.pods, "via", self.node_address))


def _check_this_machine() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise programs.Unavailable("a true node needs Linux and root: run the tests as root there")
    programs.require("ip", package="iproute2")
    programs.require("nsenter", package="util-linux")


def _part(network: ipaddress.IPv4Network, number: int) -> ipaddress.IPv4Network:
    return list(network.subnets(new_prefix=24))[number]


def _is_routed(network: ipaddress.IPv4Network) -> bool:
    """Whether this machine already has a way, other than the default one, into the network."""
    routes = json.loads(_done(_ip("-json", "route", "show", "table", "all", "type", "unicast")) or "[]")
    known = (each["dst"] for each in routes if each["dst"] != "default" and ":" not in each["dst"])
    return any(network.overlaps(ipaddress.ip_network(each, strict=False)) for each in known)


def _ip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["ip", *arguments], capture_output=True, text=True)


def _done(ran: "subprocess.CompletedProcess[str]") -> str:
    if ran.returncode != 0:
        raise programs.Unavailable(f"`{' '.join(ran.args)}` is refused on this machine:\n{ran.stderr}")
    return ran.stdout


def _hierarchies() -> Sequence[Path]:
    """The roots of cgroups: one for each controller (version 1), or one for all (version 2)."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    # name=systemd and unified, of the mixed layout, limit nothing.
    return [each for each in CGROUPS.iterdir() if (each / "cgroup.procs").exists() and each.name != "unified"]


def _cgroups_of(root: str, pattern: str) -> list[Path]:
    """The cgroups under that name whose own names match."""
    tops = [each for each in (CGROUPS / root, *CGROUPS.glob(f"*/{root}")) if each.is_dir()]
    return [path for top in tops for path in top.rglob(pattern) if path.is_dir()]


def _processes(root: str) -> bool:
    """Whether any process is left in the cgroups under that name."""
    return any((each / "cgroup.procs").read_text() for each in _cgroups_of(root, "*"))


def _remove_cgroups(root: str) -> None:
    for cgroup in sorted(_cgroups_of(root, "*"), key=lambda path: len(path.parts), reverse=True):
        cgroup.rmdir()
    for top in (CGROUPS / root, *CGROUPS.glob(f"*/{root}")):
        if top.is_dir():
            top.rmdir()


def _remove_leftovers() -> None:
    """Removes what is left of runs that were killed: only files and empty cgroups outlive their process."""
    left = [*Path(tempfile.gettempdir()).glob(f"{PREFIX}*"), *CGROUPS.glob(f"{PREFIX}*")]
    left += CGROUPS.glob(f"*/{PREFIX}*")
    for each in {path.name for path in left}:
        owner = each.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            _remove_cgroups(each)
            shutil.rmtree(Path(tempfile.gettempdir()) / each, ignore_errors=True)

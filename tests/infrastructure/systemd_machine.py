"""A real systemd as the first process of a place apart: it has our units and the journal, and nothing else.

The place is that of a true node, so its network, processes and cgroups are its own and go with the run. In it
/etc, /opt and /var are directories of ours, which a test fills, and what the kernel has for all, in /proc/sys
and /sys, can only be read.
"""

import dataclasses
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.infrastructure import guarded_process, node_namespaces, programs, startable, waiting

PROGRAM = Path("/lib/systemd/systemd")
UNITS = "etc/systemd/system"
USER_ID = 1000
TIMEOUT_SECONDS = 60.0
TARGETS = {
    "sysinit": "Wants=systemd-journald.service",
    "basic": "Requires=sysinit.target\nAfter=sysinit.target",
    "multi-user": "Requires=basic.target\nAfter=basic.target",
    **dict.fromkeys(("network-online", "shutdown", "sockets"), ""),
}
"""Those that units name, without anything of the machine's own behind them -> lines of their [Unit]."""

# In the machine's cgroup first, so that it becomes the root of what systemd sees.
_ENTER = 'set -e; echo 0 >"$1/cgroup.procs"; exec unshare --cgroup sh -c "$2" first "$3"'
_FIRST = """
set -e
read own rest </proc/self/stat
touch "$1/kmsg"
mount --bind "$1/kmsg" /dev/kmsg
sh "$1/binds"
for each in etc opt var; do mount --rbind "$1/$each" "/$each"; done
ldconfig
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\n' >/run/systemd/journald.conf.d/apart.conf
echo "$own" >"$1/first"
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=station-analysis \
  SYSTEMD_UNIT_PATH=/etc/systemd/system \
  /lib/systemd/systemd --system --unit=multi-user.target --show-status=false
"""


@dataclasses.dataclass(frozen=True)
class Unit:
    """What systemd says of a unit now."""

    active: str
    result: str
    main_process: int
    restarts: int
    exit_status: int
    says: str
    """The program's STATUS, empty before the first."""


class SystemdMachine(startable.Startable):
    """The place and its systemd, from `start` to `stop`.

    `binds` are directories inside -> those of this machine that are seen there, `user` is the one user beside
    root. Once it runs, files may be written inside by way of `root`.
    """

    def __init__(self, binds: Mapping[str, Path], *, user: str) -> None:
        self._binds = binds
        self._user = user
        self._place = node_namespaces.NodeNamespaces()
        self._systemd: guarded_process.GuardedProcess | None = None

    @property
    def root(self) -> Path:
        """Where /etc, /opt and /var of the inside are on this machine."""
        return self._place.directory

    @property
    def machine_address(self) -> str:
        """Where the inside finds servers of this machine."""
        return self._place.machine_address

    @property
    def address(self) -> str:
        """Where this machine finds servers of the inside."""
        return self._place.node_address

    def start(self) -> None:
        """Returns when all targets are reached; `programs.Unavailable` where systemd cannot be the first."""
        programs.require("systemctl", package="systemd")
        if not PROGRAM.exists():
            raise programs.Unavailable(f"{PROGRAM} is missing: apt-get install systemd")
        self._place.start()
        try:
            self._lay_out()
            self._begin()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills everything inside. May be called twice."""
        if self._systemd is not None:
            self._systemd.kill()
            self._systemd = None
        self._place.stop()

    def systemctl(self, *arguments: str) -> str:
        """What `systemctl` prints; RuntimeError with its complaint if it fails."""
        return self.run("systemctl", "--no-pager", *arguments)

    def unit(self, name: str) -> Unit:
        """The unit as systemd knows it."""
        asked = "ActiveState,Result,MainPID,NRestarts,ExecMainStatus,StatusText"
        told = dict(
            line.split("=", 1) for line in self.systemctl("show", f"-p{asked}", name).splitlines() if line
        )
        return Unit(
            active=told["ActiveState"],
            result=told["Result"],
            main_process=int(told["MainPID"]),
            restarts=int(told["NRestarts"]),
            exit_status=int(told["ExecMainStatus"]),
            says=told["StatusText"],
        )

    def run(self, *command: str) -> str:
        """What a command prints that is run inside, as root; RuntimeError if it fails."""
        own = (self.root / "first").read_text().strip()
        enter = ["nsenter", f"--target={own}", "--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        done = subprocess.run(
            self._place.inside(*enter, *command), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(command)} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def _lay_out(self) -> None:
        for part in (UNITS, "opt", "var/log", "var/tmp"):
            (self.root / part).mkdir(parents=True)
        self._lay_out_etc(self.root / "etc")
        for name, lines in TARGETS.items():
            text = f"[Unit]\nDescription={name}\n{lines}\n"
            (self.root / UNITS / f"{name}.target").write_text(text, encoding="ascii")
        for name in ("systemd-journald.service", "systemd-journald.socket"):
            shutil.copy(PROGRAM.parent / "system" / name, self.root / UNITS)
        commands = ["set -e"]
        for inside, outside in self._binds.items():
            (self.root / inside.lstrip("/")).mkdir(parents=True)
            commands.append(shlex.join(["mount", "--bind", str(outside), f"{self.root}{inside}"]))
        (self.root / "binds").write_text("\n".join(commands) + "\n", encoding="utf-8")

    def _lay_out_etc(self, etc: Path) -> None:
        users = f"root:x:0:0::/:/bin/sh\n{self._user}:x:{USER_ID}:{USER_ID}::/nonexistent:/bin/false\n"
        # A program finds its own libraries even where a unit hides the path that it was built for.
        libraries = "".join(f"{inside}/lib\n" for inside in self._binds)
        texts = {
            "passwd": users,
            "group": f"root:x:0:\n{self._user}:x:{USER_ID}:\n",
            "hosts": "127.0.0.1 localhost\n",
            "machine-id": "5ca1ab1e" * 4 + "\n",
            "ld.so.conf": f"{libraries}include /etc/ld.so.conf.d/*.conf\n",
        }
        for name, text in texts.items():
            (etc / name).write_text(text, encoding="ascii")
        shutil.copytree("/etc/ld.so.conf.d", etc / "ld.so.conf.d")

    def _begin(self) -> None:
        cgroup = _unified() / self._place.cgroup
        cgroup.mkdir(exist_ok=True)
        apart = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child"]
        self._systemd = guarded_process.GuardedProcess(
            self._place.inside(*apart, "sh", "-c", _ENTER, "enter", str(cgroup), _FIRST, str(self.root)),
            log_file=self.root / "systemd.log",
            scratch=self.root / "var",
        )
        try:
            waiting.until(self._is_up, what="systemd is up", timeout_seconds=TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise programs.Unavailable(f"{error}:\n{self._log()}") from error

    def _is_up(self) -> bool:
        assert self._systemd is not None
        if not self._systemd.is_running():
            raise programs.Unavailable(f"this machine refuses systemd a place of its own:\n{self._log()}")
        try:
            return self.systemctl("is-active", "multi-user.target").strip() == "active"
        except (OSError, RuntimeError):  # it has no end to speak to yet
            return False

    def _log(self) -> str:
        early = self.root / "kmsg"
        told = early.read_text(errors="replace")[-3000:] if early.exists() else ""
        return f"{self._systemd.log_tail() if self._systemd else ''}\n{told}"


def _unified() -> Path:
    """The hierarchy of cgroups of version 2, alone or beside those of version 1."""
    for root in (node_namespaces.CGROUPS, node_namespaces.CGROUPS / "unified"):
        if (root / "cgroup.controllers").exists():
            return root
    raise programs.Unavailable("systemd needs cgroups of version 2: mount them at /sys/fs/cgroup")

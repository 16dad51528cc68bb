"""The first program in a pod's mount namespace: it puts the volumes in place and becomes the container.

Run as `unshare --mount python -I -S pod_mounts.py PLAN`, with PLAN the JSON of `Plan`. Nothing that it mounts
is seen outside. The rest of the machine's files stay visible to the container, as its image would be.
"""

import ctypes
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

# <sys/mount.h>
_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file or directory of ours, and the absolute path where the container finds it."""

    source: str
    target: str
    read_only: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to mount and run; `kept` are directories that no mount may hide; `scratch` is an empty one."""

    mounts: Sequence[Mount]
    kept: Sequence[str]
    scratch: str
    command: Sequence[str]
    environment: Mapping[str, str]

    def to_json(self) -> str:
        """The plan as `from_json` reads it."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that was written so."""
        document = json.loads(text)
        mounts = [Mount(**each) for each in document.pop("mounts")]
        return cls(mounts=mounts, **document)


def carry_out(plan: Plan) -> NoReturn:
    """Mounts and becomes the command; raises OSError where the kernel refuses."""
    targets = [Path(os.path.realpath(each.target)) for each in plan.mounts]
    hidden = [each for each in plan.kept if any(Path(each).is_relative_to(target) for target in targets)]
    # Held open, for a mount on /tmp hides what lies there.
    sources = [os.open(each.source, os.O_PATH) for each in plan.mounts]
    kept = [(os.open(each, os.O_PATH), Path(each)) for each in hidden]
    _make_room(targets, Path(plan.scratch))
    for mount, target, source in sorted(
        zip(plan.mounts, targets, sources, strict=True), key=lambda each: each[1]
    ):
        _make_place(target, is_directory=Path(f"/proc/self/fd/{source}").is_dir())
        _bind(source, target)
        if mount.read_only:
            _mount("none", target, flags=_MS_REMOUNT | _MS_BIND | _MS_RDONLY)
    for source, target in kept:
        _make_place(target, is_directory=True)
        _bind(source, target)
    os.chdir("/")
    os.execvpe(plan.command[0], list(plan.command), dict(plan.environment))


def _make_room(targets: Sequence[Path], scratch: Path) -> None:
    """Lays a private layer over each directory of the machine in which a path is missing."""
    missing = [each for each in targets if not each.exists() and not _is_below(each, targets)]
    bases = {_existing_parent(each) for each in missing}
    _mount("tmpfs", scratch, kind="tmpfs")
    for number, base in enumerate(sorted(each for each in bases if not _is_below(each, bases))):
        if base == Path("/"):
            raise OSError(f"a mountPath right under / must exist on this machine: {missing}")
        upper, work = scratch / f"upper-{number}", scratch / f"work-{number}"
        upper.mkdir()
        work.mkdir()
        _mount("overlay", base, kind="overlay", data=f"lowerdir={base},upperdir={upper},workdir={work}")


def _is_below(path: Path, others: Iterable[Path]) -> bool:
    return any(path != other and path.is_relative_to(other) for other in others)


def _existing_parent(path: Path) -> Path:
    return next(each for each in path.parents if each.exists())


def _make_place(target: Path, *, is_directory: bool) -> None:
    if is_directory:
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _bind(source: int, target: Path) -> None:
    _mount(f"/proc/self/fd/{source}", target, flags=_MS_BIND | _MS_REC)


def _mount(source: str, target: Path, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [each.encode() or None for each in (source, str(target), kind)]
    if libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {source} on {target}: {os.strerror(number)}")


if __name__ == "__main__":
    carry_out(Plan.from_json(sys.argv[1]))

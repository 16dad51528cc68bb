"""The other versions of Python on this machine, and environments of theirs with this tree installed."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEWER = ("3.12", "3.13", "3.14")
_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


@functools.cache
def found() -> Mapping[str, str]:
    """Version -> interpreter: this one, and newer ones, on PATH or of pyenv, that can make an environment."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = {
        version: interpreter
        for version in NEWER
        if version != own and (interpreter := next(_working(version), None)) is not None
    }
    return {own: sys.executable, **others}


def _working(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [] if on_path is None else [on_path]
    candidates += map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))
    for each in candidates:  # a shim of pyenv is on PATH even for versions that are not chosen, and fails
        told = subprocess.run([each, "-I", "-c", _PROBE], capture_output=True, text=True)
        if told.stdout.strip() == version:
            yield each


class Environment:
    """An environment of an interpreter's in `directory`."""

    def __init__(self, interpreter: str, directory: Path) -> None:
        self._directory = directory
        _ran([interpreter, "-I", "-m", "venv", str(directory)])

    def install(self, *extras: str) -> None:
        """Installs this tree with its extras, as a wheel: nothing of it is read from the tree any more."""
        what = f"{ROOT}[{','.join(extras)}]"
        _ran(
            [self.program("python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "-q", what]
        )

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self._directory / "bin" / name)

    def said(self, name: str, *arguments: str) -> str:
        """What one of its programs prints, run from the tree's root; it has to end with 0."""
        return _ran([self.program(name), *arguments])


def _ran(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{' '.join(command)} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout

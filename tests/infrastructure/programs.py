"""The programs of the operating system that the tests need: found, or installed where that is allowed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


class Unavailable(RuntimeError):
    """Something that a tier needs is not on this machine and cannot be brought here; the text says the mend.

    A test or fixture that raises it has not failed but "did not run"; with CI=true that is a failure too.
    """


def announce(text: str) -> None:
    """Prints one line of progress to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def require(program: str, *, package: str) -> str:
    """The path of `program`, installed from the Debian package `package` if it is missing and we are root.

    Raises Unavailable, naming what to install, where it is missing and cannot be installed.
    """
    found = shutil.which(program)
    if found is None and _may_install():
        _install(package)
        found = shutil.which(program)
    if found is None:
        raise Unavailable(
            f"the program {program!r} is not on PATH; install it (on Debian: apt-get install {package}) "
            "or put it on PATH"
        )
    return found


def install(package: str) -> None:
    """Installs a Debian package that brings no program for PATH; Unavailable where we may not."""
    if not _may_install():
        raise Unavailable(f"the Debian package {package} is missing; install it: apt-get install {package}")
    _install(package)


def _may_install() -> bool:
    is_debian = Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None
    return is_debian and os.geteuid() == 0


def _install(package: str) -> None:
    announce(f"installing the Debian package {package} (once) ...")
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--no-install-recommends", package]):
        done = subprocess.run([*apt, *command], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(
                f"apt-get {' '.join(command)} failed, so {package} is missing; install it by hand:\n"
                + done.stdout[-1000:]
                + done.stderr[-1000:]
            )

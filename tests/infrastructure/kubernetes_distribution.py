"""Kubernetes' own programs and helm, compiled once from their public sources into a cache outside the tree.

kubernetes_build/go.mod pins the version and names each program as a tool; go.sum pins every source.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.infrastructure import programs

BUILD = Path(__file__).with_name("kubernetes_build")
HELM_VERSION = "3.22.0"
PROGRESS_SECONDS = 20.0
"""How often a compilation says that it goes on."""
SELF_RENEWING_GO = (1, 21)
"""The oldest Go that by itself brings the one that a go.mod asks for."""


@dataclasses.dataclass(frozen=True)
class _Compilation:
    """What `go` is asked to do: `arguments` in `directory`, its results named `names`."""

    names: Sequence[str]
    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def version() -> str:
    """The Kubernetes version that go.mod asks for, such as "1.34.4"."""
    text = (BUILD / "go.mod").read_text()
    found = re.search(r"^\s*k8s\.io/kubernetes v([\d.]+)", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{BUILD / 'go.mod'}: it requires no k8s.io/kubernetes; run `go mod tidy` there")
    return found.group(1)


def directory_with(*names: str) -> Path:
    """The directory that holds these programs of Kubernetes, such as "kube-apiserver"; compiles what lacks.

    The first call of all takes minutes and says so. Runs that call this together wait for each other, and a
    compilation that breaks off leaves nothing that a later one could take for whole. Raises
    `programs.Unavailable` when Go is missing or cannot compile.
    """
    digest = hashlib.sha256((BUILD / "go.sum").read_bytes()).hexdigest()[:12]
    directory = _cache_root() / f"kubernetes-{version()}-{digest}"
    for_users = f"-s -w -X k8s.io/component-base/version.gitVersion=v{version()}"
    with _only_one_run(directory):
        lacking = [name for name in names if not (directory / name).exists()]
        if lacking:
            sources = [f"k8s.io/kubernetes/cmd/{name}" for name in lacking]
            arguments = ["build", "-v", "-mod=readonly", "-ldflags", for_users, "-o", "{out}/", *sources]
            _compile(_Compilation(lacking, arguments, BUILD, {"CGO_ENABLED": "0"}), into=directory)
    return directory


def kubectl() -> Path:
    """The program kubectl, of the control plane's version; raises as `directory_with`."""
    return directory_with("kubectl") / "kubectl"


def helm() -> Path:
    """The program helm; raises as `directory_with`."""
    directory = _cache_root() / f"helm-{HELM_VERSION}"
    with _only_one_run(directory):
        if not (directory / "helm").exists():
            with tempfile.TemporaryDirectory(prefix="station-analysis-helm-") as anywhere:
                arguments = ["install", "-v", f"helm.sh/helm/v3/cmd/helm@v{HELM_VERSION}"]
                environment = {"CGO_ENABLED": "0", "GOBIN": "{out}"}
                _compile(_Compilation(["helm"], arguments, Path(anywhere), environment), into=directory)
    return directory / "helm"


def etcd() -> str:
    """The path of etcd, installed if it is missing and may be; else `programs.Unavailable`."""
    return programs.require("etcd", package="etcd-server")


def _cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "station-analysis"


@contextlib.contextmanager
def _only_one_run(directory: Path) -> Iterator[None]:
    """Holds the lock of a directory of the cache, which then exists."""
    directory.mkdir(parents=True, exist_ok=True)
    with directory.with_name(directory.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            programs.announce(f"another run is compiling {directory.name}; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(compilation: _Compilation, *, into: Path) -> None:
    """Runs `go`, then puts the programs in their place; "{out}" stands for the directory they are made in."""
    what = ", ".join(compilation.names)
    unfinished = into.with_name(into.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    log = unfinished / "log"
    command = [_go(), *(each.replace("{out}", str(unfinished)) for each in compilation.arguments)]
    settings = {name: value.format(out=unfinished) for name, value in compilation.environment.items()}
    programs.announce(f"compiling {what} (once; minutes on two cores) ...")
    with log.open("wb") as output:
        running = subprocess.Popen(
            command,
            cwd=compilation.directory,
            env={**os.environ, "GOFLAGS": "", "GOROOT": "", "GOTOOLCHAIN": "auto", **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        took = _watch(running, what, log)
    if running.returncode != 0:
        raise programs.Unavailable(
            f"Go could not compile {what}; see that it reaches its module proxy and that "
            f"{_cache_root()} has 5 GiB free:\n" + log.read_text(errors="replace")[-3000:]
        )
    for name in compilation.names:
        (unfinished / name).rename(into / name)
    shutil.rmtree(unfinished)
    programs.announce(f"{what}: compiled in {took}, kept in {into}")


def _watch(running: "subprocess.Popen[bytes]", what: str, log: Path) -> str:
    """Waits for the end of a compilation, telling how far it is; returns the minutes and seconds it took."""
    started = time.monotonic()

    def passed() -> str:
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        return f"{minutes}:{seconds:02}"

    try:
        while True:
            try:
                running.wait(PROGRESS_SECONDS)
                return passed()
            except subprocess.TimeoutExpired:
                packages = log.read_bytes().count(b"\n")
                programs.announce(f"compiling {what}, {passed()}, {packages} packages so far ...")
    finally:
        running.kill()


def _go() -> str:
    """The path of a Go that can compile this or brings the one which can; else `programs.Unavailable`."""
    go = programs.require("go", package="golang-go")
    printed = _said(go, "env", "GOVERSION", "GOOS", "GOARCH").split()
    found = re.match(r"go(\d+)\.(\d+)", " ".join(printed))
    if found is None:
        raise programs.Unavailable(f"{go} does not say its version; put Go 1.25 or newer first on PATH")
    if (int(found[1]), int(found[2])) >= SELF_RENEWING_GO:
        return go
    return _newer_go(go, platform="-".join(printed[1:]))


def _newer_go(go: str, *, platform: str) -> str:
    """The Go that go.mod asks for, fetched and checked by an old one: it too is published as a module.

    What a newer Go does by itself (its document "Go Toolchains") is done here for it.
    """
    wanted = re.search(r"^go ([\d.]+)$", (BUILD / "go.mod").read_text(), re.MULTILINE)
    assert wanted is not None
    module = f"golang.org/toolchain@v0.0.1-go{wanted[1]}.{platform}"
    programs.announce(f"fetching Go {wanted[1]} (once) ...")
    toolchain = Path(json.loads(_said(go, "mod", "download", "-json", module))["Dir"])
    for folder in (toolchain / "bin", toolchain / "pkg" / "tool"):
        for program in folder.rglob("*"):  # a module's files come without the right to run them
            if program.is_file():
                program.chmod(program.stat().st_mode | 0o111)
    return str(toolchain / "bin" / "go")


def _said(go: str, *arguments: str) -> str:
    """What Go prints; `programs.Unavailable` with its complaint if it fails."""
    with tempfile.TemporaryDirectory(prefix="station-analysis-go-") as outside_any_module:
        done = subprocess.run([go, *arguments], cwd=outside_any_module, capture_output=True, text=True)
    if done.returncode != 0:
        raise programs.Unavailable(
            f"`{go} {' '.join(arguments)}` failed; put Go 1.25 or newer first on PATH:\n"
            + done.stdout[-1000:]
            + done.stderr[-1000:]
        )
    return done.stdout

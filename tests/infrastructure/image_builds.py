"""How an image is built on this machine with no registry: buildah, its store, its lock, a Debian to stand on.

Store and archives lie in the cache outside the tree, each archive under the digest of its inputs. What this
machine needs to reach a package index (pip's settings, its CA bundle) is lent to a build as secrets, which
no image holds.
"""

import ast
import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.infrastructure import programs

PROGRESS_SECONDS = 20.0
"""How often a long step says that it goes on."""
MOST_STORE_BYTES = 4 * 10**9
"""How large the store of layers may grow over many changes before it is emptied but for its bases."""
KEPT_SECONDS = 7 * 24 * 3600.0
"""How long an archive that nobody asks for stays."""
PIP_SETTINGS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
)
"""What is lent of pip's settings: where packages come from, and how patiently."""


@dataclasses.dataclass(frozen=True)
class Image:
    """An image in an archive of the OCI format, the name it is imported by, and its size in bytes."""

    name: str
    archive: Path
    unpacked_bytes: int
    config: Mapping[str, object]
    """What it says of itself, as Docker has it: "User", "Labels", "ExposedPorts", "Healthcheck" ..."""

    @property
    def archive_bytes(self) -> int:
        """Its size as a registry has it, that of its base included."""
        return self.archive.stat().st_size


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an image is made of. `digest` stands for all inputs, those of `parent` too.

    `prepare` puts files into `context`, the Dockerfile among them; `parent` is made first where it lacks.
    """

    name: str
    digest: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    parent: "Recipe | None" = None

    @property
    def short(self) -> str:
        """The name without what stands before the last "/" and without its tag."""
        return self.name.rpartition("/")[2].partition(":")[0]

    @property
    def tag(self) -> str:
        """The name of exactly this image in the store."""
        return f"localhost/{self.short}:{self.digest}"


def cache() -> Path:
    """The folder of everything here; it may be removed whenever no run is under way."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "station-analysis" / "images"


@contextlib.contextmanager
def only_one_run() -> Iterator[None]:
    """Holds the lock of the cache; raises `programs.Unavailable` where images cannot be built."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise programs.Unavailable("images are built by root on Linux: run the tests as root there")
    programs.require("buildah", package="buildah")
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            programs.announce("another run is building images; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(recipe: Recipe) -> Image:
    """The image, out of the cache or built now. The lock must be held."""
    archive = cache() / "archives" / f"{recipe.short}-{recipe.digest}.tar"
    facts = archive.with_suffix(".json")
    if not (archive.exists() and facts.exists()):
        archive.parent.mkdir(exist_ok=True)
        _empty_a_full_store(recipe)
        _build(recipe)
        facts.write_text(json.dumps(_facts(recipe.tag)))
        unfinished = archive.with_suffix(".unfinished")
        _buildah("push", "--quiet", recipe.tag, f"oci-archive:{unfinished}:{recipe.name}")
        unfinished.rename(archive)
        _forget_old_ones(archive.parent)
    os.utime(archive)
    return Image(recipe.name, archive, **json.loads(facts.read_text()))


def make_debian(archive: Path, *, suite: str, packages: Sequence[str]) -> None:
    """Writes a tar of the smallest Debian with these packages; RuntimeError with the log if that fails."""
    programs.require("debootstrap", package="debootstrap")
    root = archive.with_name("root")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    chosen = ["--variant=minbase", f"--include={','.join(packages)}"]
    run(["debootstrap", *chosen, suite, str(root), *_mirror(suite)], what=f"debootstrap of {suite}")
    left_out = ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*")
    options = ["--create", "--directory", str(root), *(f"--exclude=./{each}" for each in left_out)]
    run(["tar", *options, f"--file={archive}", "."], what="packing it")
    shutil.rmtree(root)


def run(command: Sequence[str], *, what: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a long step with mounts of its own, telling that it goes on; RuntimeError with the log's end."""
    log = cache() / "log"
    started = time.monotonic()
    programs.announce(f"{what} ...")
    with log.open("wb") as output:
        running = subprocess.Popen(
            ["unshare", "--mount", "--fork", "--kill-child", *command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while _goes_on(running):
                programs.announce(f"{what}, {time.monotonic() - started:.0f} s so far ...")
        finally:
            running.kill()
    if running.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{log.read_text(errors='replace')[-4000:]}")
    programs.announce(f"{what}: done in {time.monotonic() - started:.0f} s")


def _goes_on(running: "subprocess.Popen[bytes]") -> bool:
    try:
        running.wait(PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _build(recipe: Recipe) -> None:
    """Puts the image into the store."""
    if recipe.parent is not None and not _buildah(
        "images", "--quiet", "--filter", f"reference={recipe.parent.tag}"
    ):
        _build(recipe.parent)
    recipe.prepare()
    given = [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
    with tempfile.TemporaryDirectory(prefix="station-analysis-build-") as directory:
        run(
            [
                *_command("bud", "--layers", "--format=docker", "--network=host"),
                *_lent(Path(directory)),
                *given,
                f"--file={recipe.dockerfile}",
                f"--tag={recipe.tag}",
                str(recipe.context),
            ],
            what=f"building the image {recipe.short}",
            environment={"BUILDAH_ISOLATION": "chroot"},
        )


def _lent(directory: Path) -> list[str]:
    """The secrets that a build may use: pip's settings and the CA bundle of this machine."""
    settings = ["[global]", *(f"{name} = {value}" for name, value in _pip_settings().items())]
    options = []
    bundle = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    if bundle is not None and Path(bundle).is_file():
        settings.append("cert = /run/secrets/ca.pem")
        options.append(f"--secret=id=ca.pem,src={bundle}")
    file = directory / "pip.conf"
    file.touch(mode=0o600)
    file.write_text("\n".join(settings) + "\n")
    return [*options, f"--secret=id=pip.conf,src={file}"]


def _pip_settings() -> dict[str, str]:
    """Where this machine's pip finds packages, by the names of a pip.conf.

    `pip config list` shows values as Python literals, and what the environment says under ":env:".
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    found: dict[str, str] = {}
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in PIP_SETTINGS and (name not in found or key.startswith(":env:")):
            found[name] = str(ast.literal_eval(value))
    return found


def _mirror(suite: str) -> list[str]:
    """The archive that this machine's apt has for the suite; none: debootstrap knows one."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        f"Codename: {suite}",
    ]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    return found[:1]


def _facts(tag: str) -> dict[str, object]:
    described = json.loads(_buildah("inspect", "--type", "image", tag))["Docker"]
    listed = json.loads(_buildah("images", "--json", tag))
    return {"unpacked_bytes": _bytes(listed[0]["size"]), "config": described["config"]}


def _bytes(size: str) -> int:
    """The number in a size as buildah shows it: "321 MB"."""
    number, unit = size.split()
    return int(float(number) * 1000 ** ["B", "KB", "MB", "GB"].index(unit.upper()))


def _buildah(*arguments: str) -> str:
    command = ["unshare", "--mount", *_command(*arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"buildah {arguments[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _command(verb: str, *arguments: str) -> list[str]:
    """A call of buildah with a store of our own."""
    driver = os.environ.get("STORAGE_DRIVER", "overlay")
    store = ["--root", str(cache() / "store"), "--runroot", str(cache() / "run"), "--storage-driver", driver]
    return ["buildah", *store, verb, *arguments]


def _empty_a_full_store(recipe: Recipe) -> None:
    """Removes all images but those that the recipe stands on, if the store has grown too large."""
    kept, ancestor = set(), recipe.parent
    while ancestor is not None:
        kept.add(ancestor.tag)
        ancestor = ancestor.parent
    store = cache() / "store"
    if store.exists():
        used = subprocess.run(["du", "-s", "-B1", str(store)], capture_output=True, text=True).stdout
        if int(used.split()[0]) > MOST_STORE_BYTES:
            listed = json.loads(_buildah("images", "--json"))
            names = {name for each in listed for name in each.get("names") or ()}
            for name in names - kept:
                _buildah("rmi", "--force", name)
            _buildah("rmi", "--prune", "--force")


def _forget_old_ones(archives: Path) -> None:
    for archive in archives.glob("*.tar"):
        if time.time() - archive.stat().st_mtime > KEPT_SECONDS:
            archive.unlink()
            archive.with_suffix(".json").unlink()

"""The images as users build them, made here with no registry: `python -m tests.infrastructure.images`.

python:3.12-slim cannot be pulled everywhere, so the base is a Debian of our own with Python 3.11.
Dockerfile.operator, Dockerfile.worker and those of the examples are built on it unchanged.
"""

import dataclasses
import hashlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

from tests.infrastructure import image_builds, programs
from tests.infrastructure.image_builds import Image, Recipe

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
DEBIAN_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
OPERATOR = "docker.io/library/analysis-operator"
WORKER = "docker.io/library/analysis-worker"
EXAMPLE = "docker.io/library/my-worker:1"
MIGRATION = "docker.io/library/data-analysis"
"""Names as Kubernetes completes the short ones of the chart, of examples/images and of examples/migration."""

_BASE = """FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""
_PAUSE = """FROM scratch
COPY pause /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
"""


@dataclasses.dataclass(frozen=True)
class Images:
    """Everything that a node of the tests runs."""

    pause: Image
    """Holds the namespaces of a pod."""
    operator: Image
    worker: Image
    example: Image
    """The worker's image with a user's models in it."""
    migration: Image
    """The deployment guide's image: d_a and its start scripts."""

    def all(self) -> list[Image]:
        """Each of them."""
        return [self.pause, self.operator, self.worker, self.example, self.migration]


def version() -> str:
    """The version of this tree, such as "0.1.0"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def build() -> Images:
    """All images, built where their inputs have changed; a few minutes the first time.

    Runs that call this together wait for each other. Raises `programs.Unavailable` unless root on Linux or
    without Go, buildah or debootstrap, and RuntimeError with the log of a build that failed.
    """
    with image_builds.only_one_run():
        worker = _of_the_tree(WORKER, "Dockerfile.worker")
        return Images(
            pause=image_builds.make(_pause()),
            operator=image_builds.make(_of_the_tree(OPERATOR, "Dockerfile.operator")),
            worker=image_builds.make(worker),
            example=image_builds.make(_example(worker)),
            migration=image_builds.make(_of_the_tree(MIGRATION, "examples/migration/Dockerfile")),
        )


def _base() -> Recipe:
    context = image_builds.cache() / "base"

    def prepare() -> None:
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(_BASE)
        image_builds.make_debian(context / "rootfs.tar", suite=SUITE, packages=DEBIAN_PACKAGES)

    digest = _digest(_BASE, SUITE, *DEBIAN_PACKAGES)
    return Recipe("station-analysis-base", digest, context / "Dockerfile", context, prepare=prepare)


def _pause() -> Recipe:
    context = image_builds.cache() / "pause"
    source = Path(__file__).with_name("pause") / "main.go"

    def prepare() -> None:
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(_PAUSE)
        go = programs.require("go", package="golang-go")
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GO111MODULE": "off"}
        command = [go, "build", "-ldflags", "-s -w", "-o", "pause", str(source)]
        subprocess.run(command, cwd=context, env=environment, check=True)

    digest = _digest(_PAUSE, source)
    return Recipe(
        "localhost/station-analysis-pause:1", digest, context / "Dockerfile", context, prepare=prepare
    )


def _of_the_tree(name: str, dockerfile: str) -> Recipe:
    """An image of ours: its inputs are its Dockerfile and what that copies."""
    base = _base()
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    copied = [
        ROOT / source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
        for source in line.split()
    ]
    return Recipe(
        f"{name}:{version()}",
        _digest(base.digest, text, version(), *_files(*copied)),
        ROOT / dockerfile,
        ROOT,
        {"BASE_IMAGE": base.tag, "VERSION": version()},
        parent=base,
    )


def _example(worker: Recipe) -> Recipe:
    context = ROOT / "examples" / "images"
    digest = _digest(worker.digest, *_files(context))
    return Recipe(
        EXAMPLE, digest, context / "Dockerfile", context, {"WORKER_IMAGE": worker.tag}, parent=worker
    )


def _files(*places: Path) -> list[Path]:
    """The files there, but for bytecode."""
    found = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return sorted(file for file in found if file.is_file() and file.suffix != ".pyc")


def _digest(*inputs: str | Path) -> str:
    """Twelve hexadecimal digits that tell these texts and files (their paths in the tree too) from others."""
    known = hashlib.sha256()
    for each in inputs:
        if isinstance(each, Path):
            known.update(str(each.relative_to(ROOT)).encode() + b"\0" + each.read_bytes())
        else:
            known.update(each.encode())
        known.update(b"\0")
    return known.hexdigest()[:12]


def main() -> None:
    """Builds them and says where they are and how large."""
    for image in build().all():
        print(f"{image.name}: {image.unpacked_bytes / 1e6:.0f} MB, {image.archive}")


if __name__ == "__main__":
    main()

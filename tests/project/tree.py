"""The tree as project tests see it: the files that belong to it, and Python sources as syntax trees."""

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked, or would be: what .gitignore names is left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def sources(*folders: str) -> list[Path]:
    """The Python files under these folders of the tree."""
    roots = [ROOT / folder for folder in folders]
    return [path for path in files() if path.suffix == ".py" and any(r in path.parents for r in roots)]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """A source's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(path: Path) -> str:
    """A path as the tree has it."""
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a source imports."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.partition(".")[0])
    return names

"""Writes what the chart has in two forms: the dashboards' JSON, and the table of values in its README.

`python -m helm.generate` writes them; with `--check` it only tells which are out of date (exit code 1). Edit
`helm/dashboards.py` and the comments of the chart's `values.yaml`.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from helm import dashboards, grafana

CHART = Path(__file__).parent / "analysis-operator"
BEGIN, END = "<!-- values:begin -->", "<!-- values:end -->"
_KEY = re.compile(r"^( *)([A-Za-z]+):")


def pages() -> dict[Path, str]:
    """Every generated file with its text, as it should be."""
    readme = CHART / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    table = f"{before}{BEGIN}\n{values_table()}{END}{rest.partition(END)[2]}"
    written = {
        CHART / "dashboards" / f"{name}.json": json.dumps(grafana.to_json(each), indent=1) + "\n"
        for name, each in dashboards.ALL.items()
    }
    return {readme: table, **written}


def stale() -> list[Path]:
    """The files that are not as they should be."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def values_table() -> str:
    """Every value with its default and meaning, as a Markdown table."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, comment in commented(text):
        default = json.dumps(_at(values, path))
        rows.append(f"| `{path}` | `{default}` | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def commented(text: str) -> Iterator[tuple[str, str]]:
    """Path and comment of each value that holds no further ones; the comment is "" where there is none."""
    found: list[tuple[int, str, str]] = []
    comment: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key = _KEY.match(line)
        if key is None:
            comment = [*comment, line.strip("# ")] if line.lstrip().startswith("# ") else []
            continue
        indent = len(key[1])
        found = [each for each in found if each[0] < indent]
        found.append((indent, key[2], " ".join(comment)))
        comment = []
        if not _opens(lines, number, indent):
            yield ".".join(name for _, name, _ in found), found[-1][2]


def _opens(lines: list[str], number: int, indent: int) -> bool:
    """Whether further keys stand below the one in this line."""
    after = (line for line in lines[number + 1 :] if line.strip() and not line.lstrip().startswith("#"))
    following = next(after, "")
    return len(following) - len(following.lstrip()) > indent


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def main() -> int:
    """Write the files, or only tell which are stale; the exit code."""
    parser = argparse.ArgumentParser(description="Write the chart's dashboards and its table of values.")
    parser.add_argument("--check", action="store_true", help="only tell what is out of date")
    check = parser.parse_args().check
    old = stale()
    for path in old:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path.relative_to(CHART)}\n")
        if not check:
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())

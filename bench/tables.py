"""The figures as markdown, and its place in the documents. Pure but for `write`."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import plan

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"


@dataclasses.dataclass(frozen=True)
class Words:
    """The table's words in one language."""

    chinese: bool
    measured: str
    subject_head: str
    figure_head: str
    met: str
    missed: str
    unmeasured: str
    quick: str


ENGLISH = Words(
    chinese=False,
    measured=(
        "Measured {date} on {cores} cores of {cpu}, Kafka {kafka}, Python {python}; "
        "medians of {rounds} rounds."
    ),
    subject_head="| subject | records/s | records per CPU second |\n|---|---:|---:|",
    figure_head="| figure | measured | goal |\n|---|---:|---|",
    met="met",
    missed="missed",
    unmeasured="not measured: {reason}",
    quick="A quick run on few records: it shows that everything works, and no figure means anything.",
)
CHINESE = Words(
    chinese=True,
    measured="{date} 测于 {cpu} 的 {cores} 个核，Kafka {kafka}，Python {python}；{rounds} 轮的中位数。",
    subject_head="| 对象 | 条/秒 | 条/CPU 秒 |\n|---|---:|---:|",
    figure_head="| 指标 | 实测 | 目标 |\n|---|---:|---|",
    met="达到",
    missed="未达到",
    unmeasured="未测：{reason}",
    quick="这是少量记录的快速运行：只说明一切可用，数字没有意义。",
)


def markdown(found: Mapping[str, Any], words: Words = ENGLISH) -> str:
    """Both tables, and when and where they were measured; `found` is what build/bench.json holds."""
    where = words.measured.format(
        date=found["date"][:10],
        cores=found["machine"]["cores"],
        cpu=found["machine"]["cpu"],
        kafka=found["versions"]["kafka"],
        python=found["versions"]["python"],
        rounds=found["rounds_per_subject"],
    )
    parts = [where, _subjects(found, words), _figures(found, words)]
    return "\n\n".join([words.quick, *parts] if found["quick"] else parts)


def _subjects(found: Mapping[str, Any], words: Words) -> str:
    lines = [words.subject_head]
    for subject in plan.SUBJECTS:
        label = subject.label_zh if words.chinese else subject.label
        wall = found["records_per_second"].get(subject.name)
        if wall is not None:
            cpu = found["records_per_cpu_second"][subject.name]
            lines.append(f"| {label} | {wall:,.0f} | {cpu:,.0f} |")
        elif subject.name in found["unmeasured"]:
            reason = _cell(found["unmeasured"][subject.name])
            lines.append(f"| {label} | {words.unmeasured.format(reason=reason)} | |")
    return "\n".join(lines)


def _figures(found: Mapping[str, Any], words: Words) -> str:
    lines = [words.figure_head]
    for goal in plan.GOALS:
        value = found.get(goal.figure)
        label = goal.label_zh if words.chinese else goal.label
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
        if value is None:
            lines.append(f"| {label} | {words.unmeasured.format(reason='-')} | {bound} |")
        else:
            verdict = words.met if goal.reached(value) else words.missed
            lines.append(f"| {label} | {value:.2f} | {bound}, {verdict} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """One line that cannot break a table."""
    return " ".join(text.split()).replace("|", "\\|")[:300]


def placed(document: str, table: str) -> str:
    """The document with the table between its markers; raises ValueError without exactly one pair."""
    pair = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pair.findall(document)) != 1:
        raise ValueError(f"the document needs one {BEGIN} with one {END} after it")
    return pair.sub(lambda _: f"{BEGIN}\n{table}\n{END}", document)


def write(found: Mapping[str, Any], documents: Mapping[Path, Words]) -> list[Path]:
    """Put the table into those documents that have the markers; which ones had."""
    written = []
    for path, words in documents.items():
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if BEGIN in text:
            path.write_text(placed(text, markdown(found, words)), encoding="utf-8")
            written.append(path)
    return written

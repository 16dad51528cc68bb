"""Markdown as far as tests ask: headings, code blocks, tables, links, and what twins have alike."""

import dataclasses
import re
from pathlib import Path

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str


class Page:
    """One document; `text` stands in for the file's."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self.prose = _BLOCK.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        """The code blocks, in order."""
        return [Block(*found) for found in _BLOCK.findall(self.text)]

    def code(self, language: str) -> list[str]:
        """The texts of the blocks in one language."""
        return [block.text for block in self.blocks if block.language == language]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading."""
        return [(len(marks), text) for marks, text in re.findall(r"^(#+) (.+)$", self.prose, re.MULTILINE)]

    @property
    def anchors(self) -> set[str]:
        """What a link can point to within the page."""
        return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in self.headings}

    @property
    def links(self) -> list[str]:
        """Where the links lead, in order."""
        return _LINK.findall(self.prose)

    @property
    def tables(self) -> list[list[list[str]]]:
        """The tables, as rows of cells; the line under the head is left out."""
        found: list[list[list[str]]] = []
        inside = False
        for line in self.prose.splitlines():
            if line.startswith("|"):
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                if not inside:
                    found.append([])
                if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                    found[-1].append(cells)
            inside = line.startswith("|")
        return found

    @property
    def codes(self) -> list[str]:
        """The texts in backticks."""
        return re.findall(r"`([^`\n]+)`", self.prose)


TWINS = ".zh-CN.md"
"""How the name of a page in Chinese ends; the page of the same name without it says the same in English."""


def outline(page: Page) -> dict[str, object]:
    """What a page and its twin have alike, whatever the language of their words.

    A link counts as the page that it leads to, in either language, wherever in it: headings are translated.
    """
    sections = re.split(r"^## ", page.prose, flags=re.MULTILINE)
    return {
        "levels of headings": [level for level, _ in page.headings],
        "code blocks": page.blocks,
        "links": [link.partition("#")[0].replace(TWINS, ".md") for link in page.links],
        "sizes of tables": [[len(row) for row in table] for table in page.tables],
        "names in each section": [sorted(set(re.findall(r"`([^`\n]+)`", text))) for text in sections],
    }

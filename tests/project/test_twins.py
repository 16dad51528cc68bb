"""Every page of the guide is there in Chinese too, and the two say the same, section by section."""

import pytest

from tests.project import markdown, tree

GUIDE = tree.ROOT / "docs" / "guide"
NAMES = sorted(path.stem for path in GUIDE.glob("*.md") if not path.name.endswith(markdown.TWINS))
PARTS = list(markdown.outline(markdown.Page(GUIDE / "migration.md")))


def twins(name: str) -> tuple[markdown.Page, markdown.Page]:
    """The page in English and in Chinese."""
    return markdown.Page(GUIDE / f"{name}.md"), markdown.Page(GUIDE / f"{name}{markdown.TWINS}")


def test_every_page_has_its_twin_and_no_twin_is_alone() -> None:
    chinese = {path.name.removesuffix(markdown.TWINS) for path in GUIDE.glob(f"*{markdown.TWINS}")}
    assert chinese == set(NAMES) == {"migration", "operator", "standalone", "worker"}


@pytest.mark.parametrize("name", NAMES)
def test_each_links_the_other_before_its_first_section(name: str) -> None:
    english, chinese = twins(name)
    assert f"]({chinese.path.name})" in english.text.partition("\n## ")[0]
    assert f"]({english.path.name})" in chinese.text.partition("\n## ")[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", PARTS)
def test_the_two_have_the_same(part: str, name: str) -> None:
    english, chinese = map(markdown.outline, twins(name))
    assert english[part] == chinese[part]


@pytest.mark.parametrize("name", NAMES)
def test_no_section_of_the_one_says_much_less_than_that_of_the_other(name: str) -> None:
    lengths = [[len(section) for section in page.prose.split("\n## ")] for page in twins(name)]
    ratios = [chinese / english for english, chinese in zip(*lengths, strict=True)]
    assert all(0.25 < ratio < 1.1 for ratio in ratios), ratios

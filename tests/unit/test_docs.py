"""Links in README and docs lead somewhere, lines are short; every strategy has a page with a formula, a source, and an example that gives what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from codeact.sample.strategies import STRATEGIES
from codeact.stages.sample import strategy_table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/README.md")), *sorted(DOCS.rglob("*.md"))]
PAGES = sorted((DOCS / "strategies").glob("*.md"))


def anchors(text: str) -> set[str]:
    """Of its headings, as Git hosts make them: lower case, blanks to hyphens, other marks dropped."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


MADE = {"recipe.md"}  # by `codeact keys --markdown`


def prose(text: str) -> list[str]:
    """The lines that a writer breaks: no code, no tables, no pictures, nothing that a script writes between marks."""
    text = re.sub(r"^```.*?^```$|<!-- (\w+) -->.*?<!-- /\1 -->", "", text, flags=re.S | re.M)
    return [line for line in text.splitlines() if not line.lstrip().startswith(("|", "#", "![", "    "))]


@pytest.mark.parametrize("page", [page for page in TEXTS if page.name not in MADE], ids=lambda page: str(page.relative_to(ROOT)))  # fmt: skip
def test_lines_of_prose_are_short(page: Path) -> None:
    lines = prose(page.read_text(encoding="utf-8"))
    assert [line for line in lines if len(re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)) > 120] == []


def test_no_page_is_long() -> None:
    """But for the table of all recipe keys, which `codeact keys PART` shows in parts."""
    assert [page.name for page in DOCS.rglob("*.md") if page.name not in MADE and len(page.read_text(encoding="utf-8").split()) > 2200] == []


def test_every_page_has_its_place_in_the_sites_menu() -> None:
    """Each once; `make site` refuses a page without one."""
    _, menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")
    assert sorted(re.findall(r"[\w./-]+\.md", menu)) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_strategy_is_in_the_reference_and_has_a_page() -> None:
    """Made anew by: python -c "from codeact.stages.sample import strategy_table; print(strategy_table())"."""
    text = (DOCS / "strategies.md").read_text(encoding="utf-8")
    assert f"<!-- strategies -->\n{strategy_table()}<!-- /strategies -->" in text
    assert {one.page or one.name for one in STRATEGIES.values()} | {"verified-cdas"} == {page.stem for page in PAGES}


def test_pages_that_number_the_strategies_have_the_number_of_the_table() -> None:
    told = {page.name: re.findall(r"\b(\d+) (other )?strategies\b", page.read_text(encoding="utf-8")) for page in TEXTS}
    found = {(name, int(number) + bool(other)) for name, numbers in told.items() if name != "CHANGELOG.md" for number, other in numbers}
    assert found == {(name, len(STRATEGIES)) for name in ("concepts.md", "coming-from.md", "related-work.md")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_is_whole_and_its_example_runs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for part in ("**Takes**", "**Formula", "**Source.**", "**Needs**", "**Know.**"):
        assert text.count(part) == 1, part
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    example = doctest.DocTestParser().get_doctest(block, {}, page.stem, str(page), 0)
    assert any(one.want for one in example.examples)
    found = doctest.DocTestRunner(verbose=False).run(example)
    assert found.failed == 0

"""README.md is short, and README.zh-CN.md says the same: headings, commands, pictures, links, figures."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def headings(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), flags=re.M)]


def code(text: str) -> list[str]:
    """Blocks without their remarks, and what stands between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.S | re.M)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    return [re.sub(r" *#.*", "", block) for block in blocks] + sorted(one for one in inline if "ppl(" not in one)


def targets(text: str) -> list[str]:
    return sorted(one for one in re.findall(r"\]\(([^)\s]+)\)", text) if not one.startswith("README"))


def figures(text: str) -> list[list[str]]:
    """The numbers of each row of the tables."""
    return [re.findall(r"\d+(?:\.\d+)?", line) for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("part", [headings, code, targets, figures])
def test_both_languages_have_the_same(part: object) -> None:
    assert callable(part)
    assert part(CHINESE) == part(ENGLISH)


def test_it_is_short_and_its_first_screen_shows_the_report() -> None:
    assert len(ENGLISH.split()) < 900
    assert "docs/images/report.png" in "\n".join(ENGLISH.splitlines()[:25])


def test_the_price_of_verified_is_that_of_the_result() -> None:
    """Both parts of it: what is dropped, and what is ranked behind all others, which decides most of the table."""
    clean = json.loads(lzma.decompress((ROOT / "experiments" / "results" / "poison_code_alpaca.json.xz").read_bytes()))["clean"]
    dropped, last = (f"{100 * clean[name]:.1f} %" for name in ("dropped", "ranked_last"))
    assert f"Unchanged records: {dropped} dropped, {last} ranked last." in ENGLISH
    assert f"没改动的记录：丢弃 {dropped}，排到最后 {last}。" in CHINESE


def test_the_number_of_trainings_is_that_of_the_results() -> None:
    trainings, pools = 0, set()
    for name in ("compare_figures_first", "compare_figures", "compare_confirm", "compare_residual"):
        found = json.loads(lzma.decompress((ROOT / "experiments" / "results" / f"{name}_cells.json.xz").read_bytes()))["results"]
        cells = [cell for cell in found if cell != "base"]
        trainings += len(cells)
        pools |= {(name, re.search(r"seed[ _-]?(\d+)", str(cell))[1]) for cell in cells}  # type: ignore[index]
    assert (trainings, len(pools)) == (300, 12)
    assert "300 trainings on twelve pools" in ENGLISH
    assert "十二个数据池，300 次训练" in CHINESE

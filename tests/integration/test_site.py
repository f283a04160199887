"""The documentation as a site: built with strict links, whole, and without anything from elsewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

import codeact
from scripts.look_at_site import look_at_site

ROOT = Path(__file__).parents[2]


@pytest.mark.slow(40)
def test_the_site_is_whole_and_readable_by_all(tmp_path: Path) -> None:
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    _is_whole(tmp_path)
    _is_readable_by_all(tmp_path)


def _is_whole(tmp_path: Path) -> None:
    pages = {page.relative_to(tmp_path).as_posix(): page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= set(pages)
    for name, text in pages.items():
        article = text[text.find("<article") : text.find("</article")]
        for target in re.findall(r'(?:href|src)="([^":#]+)(?:#[^"]*)?"', article):
            assert (tmp_path / name).parent.joinpath(target).exists(), f"{name}: {target}"
        assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="https?:[^"]*"', re.sub(r'<link rel="canonical[^>]*>', "", text)), name
    assert (tmp_path / "repository/experiments/results/overlap.json.xz").exists()
    assert set(re.findall(r'id="codeact\.(\w+)"', pages["reference.html"])) == {*codeact.__all__} - {"__version__"}
    assert "share of the records, in whole files, that goes to" in pages["reference.html"]  # an argument, from its docstring


def _is_readable_by_all(site: Path) -> None:
    """Nothing serious by axe-core, light and dark: a page of prose, of commands and a wide table, of code, of signatures."""
    pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    assert look_at_site(site, ["index.html", "harvest.html", "api.html", "reference.html"]) == []


def test_a_link_that_leads_nowhere_ends_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A page\n\n[nothing](nowhere.md)\n", encoding="utf-8")
    with pytest.raises(Abort):
        build(load_config(
            str(ROOT / "mkdocs.yml"), docs_dir=str(tmp_path / "docs"), site_dir=str(tmp_path / "site"), strict=True, nav=None
        ))  # fmt: skip

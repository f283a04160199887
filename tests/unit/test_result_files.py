"""benchmarks/ and experiments/: every script and result is in the index, every row is true, and results read back."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from benchmarks import result_files

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("benchmarks", "experiments")
PLAIN_BYTES, PACKED_BYTES, ALL_BYTES = 12_000, 70_000, 500_000


def index(folder: str) -> tuple[dict[str, tuple[str, list[str]]], set[str]]:
    """Of the folder's README: script -> (page, patterns of its results), and the helpers."""
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    scripts, helpers = {}, set()
    for line in text.splitlines():
        if not (name := re.match(r"\| \[(\w+)\]\(\1\.py\) \|", line)):
            continue
        if row := re.search(r"\(\.\./docs/([\w-]+\.md)\) \| [`\[]([^`\]]+)[`\]]", line):
            found = row[2].removeprefix("results/")
            before, *names, after = re.split(r"[{,}]", found) if "{" in found else ["", found, ""]
            scripts[name[1]] = (row[1], [f"{before}{one}{after}" for one in names])
        else:
            helpers.add(name[1])
    return scripts, helpers


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_index_lists_every_script_once(folder: str) -> None:
    scripts, helpers = index(folder)
    assert not helpers & set(scripts)
    assert helpers | set(scripts) == {file.stem for file in (ROOT / folder).glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_result_is_made_by_one_listed_script_which_says_so(folder: str) -> None:
    scripts, _ = index(folder)
    results = {file.name for file in (ROOT / folder / "results").iterdir()}
    makers = {name: [s for s, (_, some) in scripts.items() if any(fnmatch(name, p) for p in some)] for name in results}
    assert {name: found for name, found in makers.items() if len(found) != 1} == {}
    for script, (page, patterns) in scripts.items():
        assert all(any(fnmatch(name, pattern) for name in results) for pattern in patterns), script
        source = (ROOT / folder / f"{script}.py").read_text(encoding="utf-8")
        assert f"{folder}/results/{re.split(r'[*.]', patterns[0])[0]}" in source, script
        told = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert re.search(rf"\b{script}\b", told), f"docs/{page} says nothing of {script}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_result_and_script_that_docs_name_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for folder, name in re.findall(r"\b(benchmarks|experiments)/results/(\w+\.json(?:\.xz)?)", text):
        made_here = "efficiency_1.3b.json", "efficiency_6.7b.json"  # commands that a reader runs
        assert (ROOT / folder / "results" / name).exists() or name in made_here, name
    for folder, name in re.findall(r"(?:python -m |`)(benchmarks|experiments)[./](\w+)(?:\.py)?\b(?!/)", text):
        assert (ROOT / folder / f"{name}.py").exists() or (ROOT / folder / name).is_dir(), name


def test_results_are_small_and_say_where_they_were_made() -> None:
    total = 0
    for file in [file for folder in FOLDERS for file in (ROOT / folder / "results").iterdir()]:
        total += file.stat().st_size
        assert file.stat().st_size < (PACKED_BYTES if file.suffix == ".xz" else PLAIN_BYTES), file.name
        document = result_files.read(file)
        assert document, file.name
    assert total < ALL_BYTES


def test_what_is_written_reads_back_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    document = {"rows": [{"id": f"é{n}", "value": round(n / 7, 6)} for n in range(100)]}
    for name in ("a.json", "a.json.xz"):
        result_files.write(tmp_path / name, document)
        assert result_files.read(tmp_path / name) == document
        before = (tmp_path / name).read_bytes()
        result_files.write(tmp_path / name, document)
        assert (tmp_path / name).read_bytes() == before
    assert json.loads((tmp_path / "a.json").read_bytes()) == document
    result_files.write(tmp_path / "a.json", {"rows": [{"value": 200 / 7, "count": 123456789, "none": None, "is": True}]})
    assert result_files.read(tmp_path / "a.json") == {"rows": [{"value": 28.571429, "count": 123456789, "none": None, "is": True}]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        result_files.write(tmp_path / "a.json", {"value": float("nan")})

"""docs/run-directory.md against a run directory: its tables column by column, and its files."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq

PAGE = Path(__file__).parents[2] / "docs" / "run-directory.md"
LIKE = {"proxy": "score"}  # of the same columns
PASSING = {"checkpoints"}  # gone, or of no use, when the run is finished


def tables() -> dict[str, tuple[list[str], list[str]]]:
    """Table -> columns, and those that it has with some setting only, as the page has them."""
    found = {}
    for name, told in re.findall(r"^\| `(\w+)\.parquet` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), flags=re.M):
        listed = re.match(r"`([^`]+)`", told)
        also = re.search(r" also `([^`]+)`", told)
        found[name] = (listed[1].split(", ") if listed else [], also[1].split(", ") if also else [])
    return {name: found[LIKE[name]] if name in LIKE else columns for name, columns in found.items()}


def files() -> set[str]:
    """Files and folders at the top of a run directory, as the page has them."""
    (table,) = re.findall(r"^\| file \| content \|\n(.*?)\n\n", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {name.partition("/")[0] for row in table.splitlines() for name in re.findall(r"`([\w./-]+)`", row.split("|")[1])}


def faults(run_dir: Path) -> list[str]:
    """What the run directory has otherwise than the page; empty where the page is true."""
    told, lines = tables(), []
    for file in sorted(run_dir.glob("*.parquet")):
        columns = pq.read_schema(file).names
        expected, also = told.get(file.stem, ([], []))
        if "RUBRIC" in expected:
            rubrics = [name for name in columns[1:] if f"{name}_status" in columns]
            expected = ["id", *(end.replace("RUBRIC", name) for name in rubrics for end in expected[1:])]
        if columns not in (expected, expected + also):
            lines.append(f"{file.name}: columns {', '.join(columns)}; the page says {', '.join(expected)}")
    for path in run_dir.iterdir():
        if path.suffix != ".parquet" and path.name not in files() | PASSING:
            lines.append(f"{path.name} is not on the page")
    return lines

"""docs/architecture.md against the source: every part has its layer on the page, and the stages stand in the plan's order."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

from codeact.config.kinds import Check
from codeact.curate.blocks import code_blocks
from codeact.curate.single_record import check_record
from codeact.curate.verify import Verdict
from tests.unit.test_layers import LAYERS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "codeact"


def planned() -> list[str]:
    """The stages' files in the order of `plan`."""
    tree = ast.parse((SOURCE / "pipeline" / "plan.py").read_text(encoding="utf-8"))
    (function,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "plan")
    (listed,) = (n.value for n in ast.walk(function) if isinstance(n, ast.Return))
    calls = [n for n in ast.walk(listed) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    calls.sort(key=lambda call: call.lineno)
    return list(dict.fromkeys(ast.unparse(call.func).partition(".")[0] for call in calls))


def test_every_part_is_in_the_table_of_layers() -> None:
    table = PAGE.partition("## Layers")[2].partition("## A record's way")[0].partition("| layer | parts |")[2]
    named = set(re.findall(r"`(\w+)`", table))
    parts = {part for parts in LAYERS.values() for part in parts} - {"__init__", "__main__"}
    assert parts - named == set()


def test_stages_stand_in_the_order_of_the_plan() -> None:
    way = PAGE.partition("## A record's way")[2]
    assert list(dict.fromkeys(re.findall(r"`stages/(\w+)\.py`", way))) == planned()


def test_files_that_the_pages_name_are_there() -> None:
    for page in (ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for name in re.findall(r"`([\w/.]+(?:\.py|/))`", text):
            assert any((folder / name).exists() for folder in (ROOT, SOURCE)), name


def test_make_targets_that_contributors_are_told_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    for page in ("CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md", ".github/workflows/tests.yml"):
        for line in re.findall(r"make ([a-z ]+?)(?=$|`|\s{2}|,)", (ROOT / page).read_text(encoding="utf-8"), flags=re.M):
            told = line.split()
            assert set(told[:1]) <= set(targets), (page, line)


def test_the_check_that_contributors_are_shown_works_and_stands_where_it_is_said() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(def check_\w+.*?)```", page, flags=re.S)
    names: dict[str, Any] = {"re": re, "code_blocks": code_blocks, "Verdict": Verdict}
    exec(code, names)
    answers = {"failed": "```makefile\nall: a.c\n    cc a.c\n```", "passed": "```makefile\nall: a.c\n\tcc a.c\n```", "unknown": "make it"}
    assert {status: names["check_tabs"](answer).status for status, answer in answers.items()} == {status: status for status in answers}
    for thing, file in ((check_record, "`curate/single_record.py`"), (get_args(Check), "`src/codeact/config/kinds.py`")):
        assert thing
        assert file in page

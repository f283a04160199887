"""The one-liner and the Python interface on a tiny model, and bad input as a user would give it: one line, exit 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import codeact
from codeact.errors import InputError
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows


@pytest.fixture
def options(tiny_model_dir: Path, tiny_embedder_dir: Path) -> list[str]:
    return [
        "--model",
        str(tiny_model_dir),
        "--embedder",
        str(tiny_embedder_dir),
        "--max-length",
        "256",
        "--set",
        "cluster.k=3",
    ]


def test_the_one_liner_writes_the_chosen_rows_untouched(pool_file: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "selected.jsonl"
    done = cli("select", str(pool_file), "--ratio", "0.25", "-o", str(out), "--json", *options)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    lines = out.read_text(encoding="utf-8").splitlines()
    source = pool_file.read_text(encoding="utf-8").splitlines()
    positions = [source.index(line) for line in lines]
    assert positions == sorted(positions)
    assert len(lines) == summary["selected"]
    tokens = pq.read_table(Path(summary["run_dir"], "lengths.parquet"))["response_tokens"].to_pylist()  # every row is in the pool
    taken = sum(tokens[position] for position in positions)
    assert abs(taken - 0.25 * sum(tokens)) <= max(tokens) / 2
    assert Path(summary["run_dir"], "ledger.parquet").exists()


def test_python_and_command_line_choose_the_same(
    pool_file: Path, tmp_path: Path, options: list[str], tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    out = tmp_path / "selected.jsonl"
    done = cli("select", str(pool_file), "--ratio", "0.25", "-o", str(out), *options)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in pool_file.read_text(encoding="utf-8").splitlines()]
    chosen = codeact.select(
        rows, model=str(tiny_model_dir), embedder=str(tiny_embedder_dir), ratio=0.25, run_dir=tmp_path / "run",
        settings={"cluster.k": 3, "model.max_length": 256},
    )  # fmt: skip
    assert [json.dumps(r) for r in chosen.rows] == [
        json.dumps(json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()
    ]
    assert chosen.rows == [rows[i] for i in chosen.indices]


def test_the_choice_does_not_depend_on_the_order_of_the_input(
    tmp_path: Path, pool_file: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    rows = [json.loads(line) for line in pool_file.read_text(encoding="utf-8").splitlines()]
    settings = {"cluster.k": 3, "model.max_length": 256, "model.dtype": "float32"}

    def chosen(order: list[dict[str, str]], name: str) -> set[str]:
        found = codeact.select(
            order,
            model=str(tiny_model_dir),
            embedder=str(tiny_embedder_dir),
            run_dir=tmp_path / name,
            settings=settings,
        )
        return {r["source"] for r in found.rows}

    assert chosen(rows, "a") == chosen(rows[::-1], "b")


def test_strategies_that_need_no_model_ask_for_none(pool_file: Path, tmp_path: Path) -> None:
    done = cli("select", str(pool_file), "--strategy", "random", "--unit", "records", "--ratio", "0.5", "-o", str(tmp_path / "o.jsonl"))
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()) == 24


def test_the_command_of_the_stage_asks_for_a_model_where_select_does(pool_file: Path, tmp_path: Path) -> None:
    for settings, told in (
        (["sample.strategy=random", "sample.unit=records"], ""),
        (["sample.strategy=random"], "sample.unit = tokens: they are counted with the tokenizer of the model to train"),
        (["sample.strategy=longest", "sample.unit=records"], "strategy 'longest' counts tokens as does the model that will be trained; name it with --model"),
        (["sample.strategy=complexity", "sample.unit=records"], "strategy 'complexity' scores with the model that will be trained; name it with --model"),
    ):
        sets = [word for setting in settings for word in ("--set", setting)]
        done = cli("sample", str(pool_file), "-o", str(tmp_path / "table.parquet"), *sets)
        assert (done.returncode, told in done.stderr) == (2 if told else 0, True), done.stderr
    assert sum(pq.read_table(tmp_path / "table.parquet")["selected"].to_pylist()) == 19


@pytest.mark.parametrize("stage", ["curate", "embed", "cluster", "score", "sample"])
def test_each_stage_has_its_own_command(stage: str, pool_file: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "table.parquet"
    given = options if stage in ("score", "sample") else options[2:4] + options[6:]  # the others read no model
    done = cli(stage, str(pool_file), "-o", str(out), "--limit", "12", *given)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out).num_rows == 12


BAD = {
    "missing file": ("missing.jsonl", None, [], "does not exist"),
    "empty file": ("a.jsonl", b"", [], "is empty"),
    "broken JSON": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n{oops\n', [], "line 2"),
    "unknown columns": ("a.jsonl", b'{"foo": "a", "bar": "b"}\n', [], "unknown columns"),
    "invalid UTF-8": ("a.jsonl", b'{"instruction": "\xff", "output": "b"}\n', [], "invalid UTF-8"),
    "duplicate ids": (
        "a.jsonl",
        b'{"id": 1, "instruction": "a", "output": "b"}\n{"id": 1, "instruction": "c", "output": "d"}\n',
        [],
        "share the id",
    ),
    "only empty responses": ("a.jsonl", b'{"instruction": "a", "output": ""}\n', [], "the response is empty"),
    "ratio 0": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--ratio", "0"], "sample.ratio"),
    "ratio 1.5": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--ratio", "1.5"], "sample.ratio"),
    "ratio text": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--ratio", "x"], "--ratio"),
    "no such model": (
        "a.jsonl",
        b'{"instruction": "a", "output": "b"}\n',
        ["--model", "./no/such/model"],
        "no such folder",
    ),
    "no model": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--model", ""], "--model"),
    "unknown key": (
        "a.jsonl",
        b'{"instruction": "a", "output": "b"}\n',
        ["--set", "cluster.kk=3"],
        "did you mean 'cluster.k'",
    ),
    "unknown strategy": (
        "a.jsonl",
        b'{"instruction": "a", "output": "b"}\n',
        ["--strategy", "best"],
        "sample.strategy",
    ),
    "unknown dtype": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--dtype", "int3"], "model.dtype"),
    "bad map": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', ["--map", "instruction=zzz"], "no column 'zzz'"),
    "unknown suffix": ("a.xlsx", b"a,b\n1,2\n", [], "unknown file type"),
    "unknown columns of a table": ("a.csv", b"a,b\n1,2\n", [], "unknown columns 'a', 'b'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(case: str, tmp_path: Path, options: list[str]) -> None:
    name, content, extra, message = BAD[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = cli("select", str(tmp_path / name), "-o", str(tmp_path / "out.jsonl"), *options, *extra)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if case != "ratio text":
        assert len([line for line in done.stderr.splitlines() if line.startswith("codeact:")]) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    pool_file: Path, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for target in (tmp_path / "file" / "out.jsonl", Path("/proc/nowhere/out.jsonl"), tmp_path / "out.csv"):
        done = cli("select", str(pool_file), "-o", str(target), *options)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "score" not in done.stderr


@pytest.mark.parametrize(("strategy", "stage"), [("trim-diversity", "lengths"), ("cdas", "score")])
def test_a_single_bad_row_is_a_status_not_a_failure(tmp_path: Path, options: list[str], strategy: str, stage: str) -> None:
    rows = [
        *pool_rows(10),
        {"instruction": "long", "output": "x = 1\n" * 33_334},
        {"instruction": "none", "output": ""},
    ]
    write_lines(tmp_path / "a.jsonl", rows)
    done = cli(
        "select",
        str(tmp_path / "a.jsonl"),
        "-o",
        str(tmp_path / "out.jsonl"),
        "--run-dir",
        str(tmp_path / "run"),
        "--strategy",
        strategy,
        *options,
    )
    assert done.returncode == 0, done.stderr
    ledger = {r["row"]: r for r in pq.read_table(tmp_path / "run" / "ledger.parquet").to_pylist()}
    assert len(ledger) == 12
    assert ledger[11]["reason"] == "empty"
    status = {r["id"]: r["status"] for r in pq.read_table(tmp_path / "run" / f"{stage}.parquet").to_pylist()}
    assert status[ledger[10]["id"]] == "truncated"


def test_python_refuses_what_it_cannot_read() -> None:
    with pytest.raises(InputError, match="data is int"):
        codeact.select(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no rows"):
        codeact.select([], strategy="random", unit="records")
    with pytest.raises(AttributeError, match="no attribute"):
        codeact.nonsense  # noqa: B018

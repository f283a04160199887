"""What callers give: paths of any kind are taken, and what is something else than asked for is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM

import codeact
from codeact.errors import InputError

ROWS = [{"instruction": f"Add {n}.", "output": f"def add_{n}(x):\n    return x + {n}\n"} for n in range(8)]
OFF = codeact.CurateConfig(decontaminate=())


class OwnPath:
    """A path by its protocol alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> tuple[Any, Any]:
    return codeact.load_model(OwnPath(tiny_model_dir), device="cpu"), codeact.load_tokenizer(Path(tiny_model_dir))


def test_paths_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    own = OwnPath(file)
    assert codeact.read_data(own).records == codeact.read_data(file).records == codeact.read_data(str(file)).records
    assert len(codeact.read_data([own, str(file)]).records) == 16
    assert codeact.preview([own, file])["records"] == 16
    there = OwnPath(tmp_path / "run")
    found = codeact.select(own, run_dir=there, output=OwnPath(tmp_path / "chosen.jsonl"), strategy="random", unit="records")
    assert found.run_dir == tmp_path / "run"
    assert len(codeact.read_data(tmp_path / "chosen.jsonl").records) == len(found)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text('def add(x: int, y: int) -> int:\n    """Add two whole numbers."""\n    total = x + y\n    return total\n', encoding="utf-8")
    assert codeact.harvest([OwnPath(source)], OwnPath(tmp_path / "h.jsonl"), min_tokens=1)["records"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"data.jsonl", "run", "chosen.jsonl", "source", "h.jsonl"}


def test_rows_that_can_only_be_iterated_are_read() -> None:
    assert codeact.read_records(row for row in ROWS).records == codeact.read_records(ROWS).records  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: codeact.read_records(pa.Table.from_pylist(ROWS)), r"the rows are .*Table; give a list of dictionaries.*to_pylist"),
        (lambda: codeact.read_records("data.jsonl"), r"the path 'data.jsonl'; read files with codeact.read_data"),
        (lambda: codeact.read_records(["a", "b"]), "the first row is str"),
        (lambda: codeact.read_records([*ROWS, 3]), "row 9 is int; give a list of dictionaries"),
        (lambda: codeact.read_data(ROWS), "read rows with codeact.read_records"),
        (lambda: codeact.curate_records(ROWS, OFF), r"the records are dict; make records of rows with codeact.read_records\(rows\).usable\(\)"),
        (lambda: codeact.curate_records(codeact.read_records(ROWS), OFF), r"reading.usable\(\)"),
        (lambda: codeact.preview(ROWS, show=-1), "show is -1"),
        (lambda: codeact.embed_texts("hello", model="demo"), "a single text; give a list"),
        (lambda: codeact.embed_texts(["a", None], model="demo"), r"texts\[1\] is NoneType"),
        (lambda: codeact.cluster_embeddings([[1.0, 0.0]], 1, 0, ids=["a"]), "the embeddings are list"),
        (lambda: codeact.project_2d([[1.0, 0.0]], ids=["a"]), "the embeddings are list"),
        (lambda: codeact.cluster_embeddings(np.eye(3, dtype=np.float32), 2.5, 0, ids=list("abc")), "cluster.k is 2.5; it must be a whole number"),
        (lambda: codeact.check_isolation("demo"), "the model is the name 'demo'; load it"),
    ],
)
def test_something_else_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()


def test_scoring_and_tokenising_refuse_something_else(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    records = codeact.read_records(ROWS).usable()
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(model.config)
    for call, said in (
        (lambda: codeact.score_ifd(ROWS, model, tokenizer), "make records of rows"),
        (lambda: codeact.score_ifd(records, "demo", tokenizer), "the model is the name 'demo'"),
        (lambda: codeact.score_ifd(records, model, "demo"), "the tokenizer is the name 'demo'"),
        (lambda: codeact.score_ifd(records, empty, tokenizer), 'on the device "meta"'),
        (lambda: codeact.check_isolation(empty), 'on the device "meta"'),
        (lambda: codeact.tokenise(ROWS, "demo"), "the tokenizer is the name 'demo'"),
        (lambda: codeact.tokenise("data.jsonl", tokenizer), "the rows are the path"),
        (lambda: codeact.tokenise(ROWS, tokenizer, overlong="trunc"), "overlong policy 'trunc' is unknown"),
    ):
        with pytest.raises(InputError, match=said):
            call()
    by_name = codeact.score_ifd(records[:2], model, tokenizer, template="alpaca")
    assert [one.status for one in by_name] == ["ok", "ok"]

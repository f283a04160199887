"""Rows with the arrays and absent values of NumPy and pandas: read as those of the file that they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import codeact

datasets = pytest.importorskip("datasets", reason="needs the extra `datasets`")
pd = pytest.importorskip("pandas", reason="comes with the extra `datasets`")

ROWS = [{"instruction": f"Add {n}.", "output": f"def add_{n}(x):\n    return x + {n}\n"} for n in range(8)]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "What is blue?", "choices": ["sky", "blood"], "answer": "sky"},
        {"query": "W?", "answers": [{"name": "f", "arguments": {"x": [1]}}], "tools": [{"name": "f", "parameters": {"x": {"type": "int"}}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "tool_calls": [{"name": "f"}]}]},
        {"instruction": "q", "output": "a", "history": [["b", "c"]], "context": ["d", "e"], "tools": []},
        {"prompt": "q", "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]},
    ],
    ids=lambda row: " ".join(row),
)
def test_rows_of_pandas_are_read_as_those_of_their_file(row: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist([row]), file)
    rows = pd.read_parquet(file).to_dict("records")
    of_file, of_rows = (codeact.preview(data) for data in (file, rows))
    told = ("records", "rejected", "not_read", "forms", "shown")
    assert [of_rows[key] for key in told] == [of_file[key] for key in told]
    assert of_rows["records"] == 1
    assert codeact.read_records(rows).records == codeact.read_data(file).records


@pytest.mark.parametrize("absent", [pd.NA, pd.NaT, float("nan"), np.float64("nan"), None], ids=str)
def test_what_pandas_has_for_an_absent_value_is_absent(absent: object) -> None:
    rows = [{**ROWS[0], "input": absent, "system": absent, "history": absent, "tools": absent}, {"messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "tool_calls": absent}]}]  # fmt: skip
    assert codeact.preview(rows)["records"] == 2
    assert codeact.preview([{**ROWS[0], "output": absent}])["rejected"] == {"empty": 1}


def test_rows_with_long_arrays_are_told_apart_and_chosen_as_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`str` of a long array leaves its middle out: two data sets would be one."""
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = [{**row, "vector": np.arange(2_000)} for row in ROWS]
    settings = {"curate.decontaminate": []}
    chosen = codeact.select(rows, strategy="random", unit="records", settings=settings)
    assert chosen.rows[0] == {**ROWS[chosen.indices[0]], "vector": list(range(2_000))}
    rows[0]["vector"][1_000] = 7
    assert codeact.select(rows, strategy="random", unit="records", settings=settings).run_dir != chosen.run_dir


@pytest.mark.parametrize("form", ["numpy", "torch", "pandas"])
def test_a_dataset_is_read_alike_in_each_of_its_formats(form: str) -> None:
    rows = [{"question": "What is blue?", "choices": ["sky", "blood"], "answer": "sky", "is_correct": False}]
    reading = codeact.read_records(datasets.Dataset.from_list(rows).with_format(form))
    assert reading == codeact.read_records(rows)
    assert list(reading.not_read) == ["column 'choices'", "column 'is_correct'"]

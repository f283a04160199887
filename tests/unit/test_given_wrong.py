"""Public functions refuse what they cannot mean in one line that names it; nothing counts from the end or is rounded unsaid."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codeact

POINTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = list("abcdef")
ROWS = [{"instruction": f"write {n}", "output": f"print({n})"} for n in range(3)]
SAMPLES: list[dict[str, Any]] = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}, {"input_ids": [1, 2]}]
HALVES: list[dict[str, Any]] = [{"input_ids": [1.5, 2.0]}]
anything: Any = codeact  # the arguments are wrong on purpose


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: anything.plan_batch([[1, 2], [3]], 4), "sample lengths must be a flat list of integers"),
        (lambda: anything.plan_epoch([1, 2], 4, seed=-1), "seed is -1; it must be a whole number of at least 0"),
        (lambda: anything.plan_epoch([1, 2], 4, rows_multiple_of=1.5), "rows_multiple_of is 1.5"),
        (lambda: anything.plan_epoch([1, 2], 4, ranks="2"), "ranks is '2'"),
        (lambda: anything.plan_ranks([1, 2, 3], 4, 1.5), "ranks is 1.5"),
        (lambda: anything.padding_rate([[0, 5]], [1, 2]), "sample 5; there are 2, numbered from 0"),
        (lambda: anything.padding_rate([[-1]], [1, 2]), "sample -1; there are 2"),
        (lambda: anything.padding_rate([[0, 1]], [1, 2], "4"), "width is '4'"),
        (lambda: anything.row_costs([[2]], [1, 2], math.inf), "sample 2; there are 2"),
        (lambda: anything.balance_steps([1.0, 2.0], 2, seed=-1), "seed is -1"),
        (lambda: anything.balance_steps([1.0, 2.0], 1.0), "ranks is 1.0"),
        (lambda: anything.collate_rows(SAMPLES, [[2]], pad_token_id=0), "sample 2; there are 2"),
        (lambda: anything.collate_rows(SAMPLES, [[-1]], pad_token_id=0), "sample -1; there are 2"),
        (lambda: anything.collate_rows(HALVES, [[0]], pad_token_id=0), "input_ids of sample 0 must be a flat list of integers, not float64"),
        (lambda: anything.PackedDataset(SAMPLES, 8, pad_token_id=0, seed=-1), "seed is -1"),
        (lambda: anything.PackedStream(SAMPLES, 8, seed=-1), "seed is -1"),
        (lambda: anything.PackedStream(SAMPLES, 8, window=0), "window is 0"),
        (lambda: anything.cluster_embeddings(POINTS, 2, -1, ids=IDS), "seed is -1; it must be a whole number from 0 to 4,294,967,295"),
        (lambda: anything.cluster_embeddings(POINTS, 2.5, 0, ids=IDS), "cluster.k is 2.5"),
        (lambda: anything.read_records(ROWS, mapping="a=b"), "the mapping is 'a=b'; give a dictionary of field and column"),
        (lambda: anything.preview(ROWS, mapping="a=b"), "the mapping is 'a=b'"),
        (lambda: anything.preview(ROWS, mapping={"instruction": 3}), "the mapping is {'instruction': 3}"),
        (lambda: anything.preview(ROWS, show="3"), "show is '3'"),
        (lambda: anything.load_model("demo", dtype="int7"), "dtype is 'int7'; it is one of auto, float32, bfloat16, float16"),
        (lambda: anything.embed_texts(["a"], model=Path("no such folder/x")), "no such folder/x"),
    ],
)  # fmt: skip
def test_one_line_that_names_it(call: Callable[[], object], told: str) -> None:
    with pytest.raises(codeact.InputError) as error:
        call()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_numpy_numbers_are_numbers() -> None:
    lengths = np.array([3, 2, 4], np.int16)
    assert codeact.plan_epoch(lengths, int(np.int32(4)), seed=int(np.int64(3)))[0].size
    assert anything.plan_epoch(lengths, np.int32(4), seed=np.int64(3), ranks=np.int8(1))[0].size
    assert len(anything.cluster_embeddings(POINTS, np.int32(2), np.uint32(2**32 - 1), ids=IDS).labels) == 6


def test_a_path_names_an_embedder(tmp_path: Path) -> None:
    with pytest.raises(codeact.InputError) as by_path:
        codeact.embed_texts(["a"], model=tmp_path / "none")
    with pytest.raises(codeact.InputError) as by_text:
        codeact.embed_texts(["a"], model=str(tmp_path / "none"))
    assert str(by_path.value) == str(by_text.value)

"""Public functions refuse what they cannot mean in one line that names it; nothing counts from the end or is rounded unsaid."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import codeact
from codeact.sample import Rules, choose
from codeact.sample.orders import k_centre
from codeact.score import length

POINTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = list("abcdef")
ROWS = [{"instruction": f"write {n}", "output": f"print({n})"} for n in range(3)]
SAMPLES: list[dict[str, Any]] = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}, {"input_ids": [1, 2]}]
HALVES: list[dict[str, Any]] = [{"input_ids": [1.5, 2.0]}]
RECORDS = codeact.read_records(ROWS).usable()
anything: Any = codeact  # the arguments are wrong on purpose
chosen: Any = choose
lengths: Any = length
rules: Any = Rules


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
        (lambda: anything.embed_texts(["a"], model=3), "model is int; name an embedder"),
        (lambda: anything.load_model("demo", device=None), "device None is not a device"),
        (lambda: anything.plan_ranks([1, 2, 3], 4, 2, crossover="8"), "crossover is '8' tokens"),
        (lambda: anything.padding_rate([0, 1], [1, 2]), "a row must be a flat list of integers"),
        (lambda: anything.crossover_tokens("1e9", 2048, 24), "body_parameters is '1e9'"),
        (lambda: anything.fit_crossover([1000, 500], [2, 1]), "row 0 must be a flat list of numbers"),
        (lambda: anything.balance_ratio([[1.0, 2.0]], 1), "the costs of rows must be a flat list of numbers"),
        (lambda: anything.balance_steps([[1.0, 2.0], [1.0]], 1), "not lists of several lengths"),
        (lambda: anything.apply_overlong(SAMPLES, 2, "truncate", "</s>"), "eos_token_id must be a flat list of integers"),
        (lambda: anything.DynamicPackCollator(None, 8, pad_token_id="<pad>"), "pad_token_id is '<pad>'"),
        (lambda: anything.collate_rows(SAMPLES, [[0]], pad_token_id=-1), "pad_token_id is -1"),
        (lambda: anything.PackedStream(SAMPLES, 8, state=3), "the state of a stream is int"),
        (lambda: anything.cluster_embeddings(POINTS, 2, 0, ids=IDS, full=-3), "full is -3"),
        (lambda: anything.project_2d(POINTS.astype(str), ids=IDS), "give numbers, float32 [N, D]"),
        (lambda: anything.curate_records(None, codeact.CurateConfig()), "the records are NoneType"),
        (lambda: anything.curate_records(RECORDS, {"decontaminate": []}), "the configuration is dict; give a codeact.CurateConfig"),
        (lambda: anything.curate_records(RECORDS, codeact.CurateConfig(), ["x"]), "the benchmark items are list"),
        (lambda: anything.load_recipe(extra={3: 4}), "settings hold the key 3"),
        (lambda: anything.load_recipe(None, [3]), "override 3 is no text of the form key=value"),
        (lambda: anything.train(ROWS, "tuned", {"train": {}}), "the recipe is dict; give one of codeact.load_recipe"),
        (lambda: anything.plan("demo", gpus=1.5), "gpus is 1.5"),
        (lambda: anything.plan("demo", price="2"), "price = '2': must be at least 0"),
        (lambda: anything.harvest(["."], "x.jsonl", held_out="0.1"), "held_out = '0.1'"),
        (lambda: chosen([1, 2, 3], strategy="random", ratio=0.5), "ids[0] is 1; ids are texts"),
        (lambda: chosen("abc", strategy="random", ratio=0.5), "the ids are a single text"),
        (lambda: chosen(IDS, strategy="random", ratio="0.5"), "sample.ratio = '0.5'"),
        (lambda: chosen(IDS, strategy=None, ratio=0.5), "sample.strategy = None"),
        (lambda: chosen(IDS, strategy="random", ratio=0.5, rules={"trim": 0.1}), "rules is dict; give codeact.sample.Rules"),
        (lambda: chosen(IDS, strategy="random", ratio=0.5, rules=rules(floor="0.5")), "sample.floor = '0.5'"),
        (lambda: chosen(IDS, strategy="complexity", ratio=0.5, ifd=np.ones((6, 2))), "'ifd' has shape [6, 2]"),
        (lambda: chosen(IDS, strategy="k-centre", ratio=0.5, embedding=[[1], [1, 2], [1], [1], [1], [1]]), "'embedding' must be numbers"),
        (lambda: k_centre(POINTS, -1), "start is -1; it must be a whole number from 0 to 5"),
        (lambda: lengths.length_summary(["a"], [1]), "scores and lengths must be numbers"),
        (lambda: lengths.length_summary([0.5, 0.6], [1, 2], ratio=2.0), "ratio = 2.0: must be above 0 and at most 1"),
        (lambda: lengths.length_summary([0.5, 0.6], [1, 2], [True]), "`selected` has shape (1,) for 2 records"),
        (lambda: lengths.length_band_rank([0.5, 0.6], [1, 2], 1.5), "bands is 1.5"),
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


@pytest.mark.parametrize(
    "call",
    [
        lambda model, out: codeact.padding(ROWS, model=model),
        lambda model, out: codeact.select(ROWS, model=model, output=out),
        lambda model, out: codeact.train(ROWS, out, model=model),
        lambda model, out: codeact.evaluate(model, out),
    ],
    ids=["padding", "select", "train", "evaluate"],
)
def test_a_path_names_a_model(call: Callable[[Any, Path], object], tmp_path: Path) -> None:
    told = []
    for model in (tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(codeact.InputError) as error:
            call(model, tmp_path / "out.jsonl")
        told.append(str(error.value))
    assert told[0] == told[1]
    assert str(tmp_path / "none") in told[0]

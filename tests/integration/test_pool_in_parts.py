"""Steps that read every record's text hold a part of the pool's texts at a time; their tables are those of the whole pool."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from codeact.config import load_recipe
from codeact.lm.models import load_model, load_tokenizer
from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.parts import PART_ROWS
from codeact.rundir.store import Store
from codeact.score import Scorer
from codeact.stages import judge, score, tags
from tests.helpers.judge_server import judge_server

GROUPS, TEXTS = 5, 24
TAGS = ("sorting", "parsing", "counting")
CHARACTERS = 2400
ROWS = GROUPS * PART_ROWS
OUT = {5, *range(900, 1500), *range(PART_ROWS, PART_ROWS + 40), ROWS - 1}


def messages(n: int) -> tuple[Message, ...]:
    """Few texts, each often: they are as large in memory as others, and scored and asked for once."""
    return Message("user", f"Add {n}."), Message("assistant", f"x = {n}\n" * (CHARACTERS // len(f"x = {n}\n")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("run"))
    said = [messages(n) for n in range(TEXTS)]
    made.write_parts(
        "records",
        (
            tables.records_table([Record(f"r{n}", said[n * 7 % TEXTS], {"row": n}) for n in range(start, start + PART_ROWS)])
            for start in range(0, ROWS, PART_ROWS)
        ),
    )
    made.write_table("curate", pa.table({"id": [f"r{n}" for n in range(ROWS)], "kept": [n not in OUT for n in range(ROWS)]}))
    return made


@contextmanager
def part_of_the_texts(python: bool = True) -> Iterator[None]:
    """Arrow and Python together hold less than the pool's texts at any time: one of five parts as a table, cut, and as records.

    `python`: whether its objects count too, which makes all of it four times slower.
    """
    before, seen, over = pa.total_allocated_bytes(), [0], threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            seen.append(pa.total_allocated_bytes() - before + tracemalloc.get_traced_memory()[0])

    if python:
        tracemalloc.start()
    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        tracemalloc.stop()
    assert max(seen) < ROWS * CHARACTERS


def test_scores_are_those_of_each_text_and_few_texts_are_held(store: Store, tiny_model_dir: Path) -> None:
    recipe = load_recipe(extra={"model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 160, "score.cache": False})
    inputs = Inputs(recipe)
    model, tokenizer = load_model(str(tiny_model_dir), dtype="float32"), load_tokenizer(str(tiny_model_dir))
    Scorer(model, tokenizer).score([Record("", messages(0))])  # what is loaded once is there
    with part_of_the_texts():
        summary = score.score(store, recipe, inputs)
    found = store.table("score")
    asked = dict.fromkeys(n * 7 % TEXTS for n in range(ROWS) if n not in OUT)
    single = Scorer(model, tokenizer, max_length=160).score([Record(str(n), messages(n)) for n in asked])
    expected = {one.id: (one.status, one.response_tokens, one.ifd, one.nll_cond) for one in single}
    columns = (found[name].to_pylist() for name in ("status", "response_tokens", "ifd", "nll_cond"))
    kept = [n for n in range(ROWS) if n not in OUT]
    assert found["id"].to_pylist() == [f"r{n}" for n in kept]
    assert list(zip(*columns, strict=True)) == [expected[str(n * 7 % TEXTS)] for n in kept]
    assert summary["cached"] == len(kept) - TEXTS  # the others of a text that was scored once
    assert score.score(store, recipe, inputs)["cached"] == len(kept)
    assert store.table("score").equals(found)


def judged(prompt: str) -> str:
    number = int(prompt.split("Add ")[1].split(".")[0])
    if '"tag"' in prompt:
        return json.dumps([{"tag": TAGS[number % 3], "explanation": ""}])
    return "I will not say." if number % 5 == 0 else f"Score: {number % 5}"


def test_a_judge_is_asked_once_for_each_text_and_few_texts_are_held(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    numbers = [n * 7 % TEXTS for n in range(ROWS) if n not in OUT]
    with judge_server(judged) as server:
        recipe = load_recipe(
            extra={"judge.endpoint": server.url, "judge.model": "m", "judge.rubrics": ["accuracy"], "judge.merge_tags": False, "judge.min_tag_count": 1}
        )
        inputs = Inputs(recipe)
        with part_of_the_texts(python=False):
            judge.rate(store, recipe, inputs)
        assert len(server.payloads) == TEXTS
        with part_of_the_texts():
            tags.tag(store, recipe, inputs)
        assert len(server.payloads) == 2 * TEXTS
    assert store.table("judge")["rating"].to_pylist() == [float(n % 5) if n % 5 else None for n in numbers]
    assert store.table("tags")["tags"].to_pylist() == [[TAGS[n % 3]] for n in numbers]
    ids = [f"r{n}" for n in range(ROWS) if n not in OUT]
    assert store.table("judge")["id"].to_pylist() == store.table("tags")["id"].to_pylist() == ids

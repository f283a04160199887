"""`import codeact` in a program: rows in memory go in, a selection answers questions, its rows train a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

CHEAP = {"curate.decontaminate": []}


@pytest.fixture
def selection(tmp_path: Path) -> codeact.Selection:
    return codeact.select(pool_rows(20), strategy="random", unit="records", ratio=0.4, run_dir=tmp_path / "run", settings=CHEAP)


def test_a_selection_is_its_rows_and_answers_for_its_run(selection: codeact.Selection, tmp_path: Path) -> None:
    assert [*selection] == selection.rows == [pool_rows(20)[i] for i in selection.indices]
    identity = selection.table["id"][0].as_py()
    assert selection.explain(identity) == codeact.explain(selection.run_dir, identity)
    made = selection.export("datasets", tmp_path / "out")
    assert made["records"] == len(selection) == 8


def test_a_selection_of_a_list_as_a_dataset(selection: codeact.Selection) -> None:
    assert selection.dataset.to_list() == selection.rows


def test_a_column_that_only_some_rows_have_is_kept(tmp_path: Path) -> None:
    rows = [{**row, **({"note": n} if n > 10 else {})} for n, row in enumerate(pool_rows(20))]
    chosen = codeact.select(rows, strategy="full", ratio=1, run_dir=tmp_path / "run", settings=CHEAP)
    assert [row["note"] for row in chosen.dataset] == [row.get("note") for row in chosen.rows]


def test_rows_without_common_types_are_said(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{**row, "tag": n if n % 2 else str(n)} for n, row in enumerate(pool_rows(6))]
    chosen = codeact.select(rows, strategy="full", ratio=1, run_dir=tmp_path / "run", settings=CHEAP)
    with pytest.raises(codeact.InputError, match=r"no common types.*selection\.rows"):
        _ = chosen.dataset


def test_a_selection_of_a_dataset_keeps_its_features(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features(
        {"instruction": Value("string"), "output": Value("string"), "kind": ClassLabel(names=["a", "b"])}
    )
    data = Dataset.from_list([{**row, "kind": n % 2} for n, row in enumerate(pool_rows(20))], features=features)
    chosen = codeact.select(data, strategy="random", unit="records", ratio=0.4, run_dir=tmp_path / "run", settings=CHEAP)
    assert chosen.dataset.features == features
    assert chosen.dataset.to_list() == data.select(chosen.indices).to_list()


def test_rows_train_a_model_as_their_file_does(tiny_model_dir: Path, tmp_path: Path) -> None:
    rows = pool_rows(8)
    file = tmp_path / "rows.jsonl"
    write_lines(file, rows)
    settings = {
        "train.epochs": 1,
        "train.batch_size": 4,
        "model.template": "question",
        "model.max_length": 256,
        "model.dtype": "float32",
    }
    one = codeact.train(rows, tmp_path / "one", model=str(tiny_model_dir), settings=settings)
    recipe = codeact.load_recipe(extra={**settings, "model.name": str(tiny_model_dir)})
    two = codeact.train(file, tmp_path / "two", recipe)
    assert one["final_loss"] == two["final_loss"]
    assert Path(one["model"]).is_dir()


def test_a_recipe_and_settings_are_not_both_taken(tmp_path: Path) -> None:
    recipe, out = codeact.Recipe(), tmp_path / "out"
    with pytest.raises(codeact.InputError, match="a recipe or settings, not both"):
        codeact.train(pool_rows(2), out, recipe, settings={"train.epochs": 1})
    with pytest.raises(codeact.InputError, match="a recipe or settings, not both"):
        codeact.evaluate("demo", out, recipe=recipe, settings={"seed": 1})
    with pytest.raises(codeact.InputError, match=r"beside a recipe, whose model\.name is ''"):
        codeact.train(pool_rows(2), out, recipe, model="demo")
    with pytest.raises(codeact.InputError, match="beside a recipe"):
        codeact.padding(pool_rows(2), recipe, model="demo")


def test_data_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(codeact.InputError, match="data is int; give paths"):
        codeact.train(7, tmp_path / "out", model="demo")

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


def test_what_holds_rows_is_refused_with_the_way_to_get_them(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    rows = pool_rows(4)
    one = datasets.Dataset.from_list(rows)
    kinds: list[tuple[object, str]] = [
        (one.to_pandas(), 'data.to_dict("records")'),
        (datasets.DatasetDict({"test": one}), "data['test']"),
        (one.to_iterable_dataset(), "list(data)"),
        (one.data.table, "data.to_pylist()"),
        ((row for row in rows), "list(data)"),
        (rows[0], "[data]"),
    ]
    for data, mend in kinds:
        for call in (codeact.preview, codeact.select):
            with pytest.raises(codeact.InputError, match="data is ") as refused:
                call(data)  # type: ignore[operator]
            assert mend in str(refused.value)
        assert codeact.preview(eval(mend.partition(",")[0], {"data": data, "list": list}))["records"] >= 1  # the mend works


def test_preview_takes_what_select_takes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    rows = [*pool_rows(4), {"instruction": "say nothing", "output": ""}]
    write_lines(tmp_path / "pool.jsonl", rows)
    told = codeact.preview(str(tmp_path / "pool.jsonl"), show=9)
    for data in (tmp_path / "pool.jsonl", rows, datasets.Dataset.from_list(rows)):
        found = codeact.preview(data, show=9)
        assert (found["records"], found["rejected"], found["refused"]) == (4, {"empty": 1}, told["refused"])
        assert found["shown"] == told["shown"]
    with pytest.raises(codeact.InputError, match="split='test'"):
        codeact.preview(rows, split="test")


def test_settings_that_are_no_mapping_are_one_line() -> None:
    rows, settings = pool_rows(2), ["sample.ratio=0.3"]
    for call in (
        lambda: codeact.select(rows, settings=settings), lambda: codeact.padding(rows, model="demo", settings=settings),
        lambda: codeact.load_recipe(extra=settings), lambda: codeact.harvest("stdlib", "h.jsonl", settings=settings),
    ):  # fmt: skip
        with pytest.raises(codeact.InputError, match="settings are list; give a mapping"):
            call()
    with pytest.raises(codeact.InputError, match=r"overrides are one text, 'sample\.ratio=0\.3'; give a list"):
        codeact.load_recipe(None, "sample.ratio=0.3")

"""The recipe refuses what it does not know and names the nearest valid key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codeact.config import known_keys, load_recipe
from codeact.errors import InputError


def write(path: Path, text: str) -> Path:
    file = path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_file_then_overrides(tmp_path: Path) -> None:
    file = write(tmp_path, "sample: {ratio: 0.5}\nseed: 3\n")
    recipe = load_recipe(file, ["sample.ratio=0.3", "evaluate.tasks=[humaneval]", "data.map.instruction=q"])
    assert recipe.sample.ratio == 0.3
    assert recipe.seed == 3
    assert recipe.evaluate.tasks == ("humaneval",)
    assert recipe.data.map == {"instruction": "q"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sample.ration=0.3", "unknown key 'sample.ration'; did you mean 'sample.ratio'?"),
        ("sampel.ratio=0.3", "unknown key 'sampel'; did you mean 'sample'?"),
        ("train.max_length=128", "did you mean 'model.max_length'?"),
        ("ratio=0.3", "did you mean 'sample.ratio'?"),
        ("curate.complete=true", "unknown key 'curate.complete'; complete is a value: curate.checks=[syntax, complete]"),
        ("sample.random=1", "unknown key 'sample.random'; random is a value: sample.strategy=random"),
        ("model.float32=true", "unknown key 'model.float32'; float32 is a value: model.dtype=float32"),
        ("data.foo=1", "unknown key 'data.foo'; did you mean 'data.source'?"),
        ("zzzz=1", "unknown key 'zzzz'; the sections are run_dir, "),
        ("sample.ratio=0", "sample.ratio = 0"),
        ("sample.ratio=1.5", "sample.ratio = 1.5"),
        ("sample.ratio=lots", "sample.ratio = 'lots'"),
        ("sample.ratio=.nan", "sample.ratio = nan"),
        ("cluster.k=0", "cluster.k = 0"),
        ("sample.strategy=best", "sample.strategy"),
        ("seed", "key=value"),
        ("seed=[1", "not valid YAML"),
        ("seed.x=1", "seed"),
    ],
)
def test_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(None, [override])
    line = str(caught.value)
    assert "\n" not in line
    assert message in line


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("train.epochs: 1", "train: {epochs: 1}"),
        ("train: {}\ndata.harvest.min_tokens: 5", "data: {harvest: {min_tokens: 5}}"),
        ("data: {harvest.min_tokens: 5}", "data: {harvest: {min_tokens: 5}}"),
    ],
)
def test_a_key_with_dots_in_a_file_is_told_how_it_is_written(text: str, written: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with dots is no key of a recipe's file") as caught:
        load_recipe(write(tmp_path, text))
    assert "did you mean" not in str(caught.value)
    mend = str(caught.value).partition("; write ")[2]
    assert mend == re.sub(r"\d", "...", written)
    assert load_recipe(write(tmp_path, mend.replace("...", "7"))) != load_recipe()


@pytest.mark.parametrize("text", ["sample: [", "- a\n- b\n", "sample: {ratio: 2}", "nope: 1"])
def test_broken_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(write(tmp_path, text))
    assert "recipe.yaml" in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_recipe("nowhere.yaml")


def test_every_shipped_recipe_is_valid() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    # comparisons are no recipes: test_compare_results.py
    files = sorted(set(folder.glob("*.yaml")) - set(folder.glob("compare*.yaml")))
    assert files
    for file in files:
        load_recipe(file)


def test_the_papers_keys_are_the_defaults_but_for_what_chooses() -> None:
    recipe = load_recipe()
    assert (recipe.sample.strategy, recipe.sample.unit, recipe.sample.trim) == ("trim-diversity", "tokens", 0.1)
    known = load_recipe("evidence").sample  # the recipe of what the evidence supports says the same, in words
    assert known == recipe.sample
    assert (recipe.cluster.k, recipe.sample.ratio, recipe.embed.model) == (
        10,
        0.4,
        "sentence-transformers/all-mpnet-base-v2",
    )
    assert "sample.ratio" in known_keys()


def test_a_whole_section_changes_the_keys_that_it_names_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("sample: {ratio: 0.3, strategy: random}\ndata: {map: {instruction: a}, harvest: {min_tokens: 7}}\n")
    for overrides, extra in ((["sample={ratio: 0.2}"], {}), ([], {"sample": {"ratio": 0.2}})):
        found = load_recipe(file, overrides, extra)
        assert (found.sample.ratio, found.sample.strategy) == (0.2, "random")
    assert load_recipe(file, ["data={harvest: {max_tokens: 90}}"]).data.harvest.min_tokens == 7
    assert load_recipe(file, ["data.map={response: b}"]).data.map == {"response": "b"}  # a key, not a section
    with pytest.raises(InputError, match=r"sample\.ratoi"):
        load_recipe(file, ["sample={ratoi: 0.2}"])


def test_a_comparison_merges_sections_too(tmp_path: Path) -> None:
    from codeact.comparison.grid import cells, load_comparison

    file = tmp_path / "grid.yaml"
    file.write_text(
        "strategies: [random, {name: mine, strategy: cdas, set: {train: {epochs: 2}}}]\nrates: [0.4]\nunits: [records]\n"
        "recipe: {train: {method: lora, epochs: 1}}\n"
    )
    changed = cells(load_comparison(file, ["recipe={train: {lora_r: 4}}"]))
    assert {cell.recipe.train.method for cell in changed} == {"lora"}
    assert {(cell.entrant, cell.recipe.train.epochs, cell.recipe.train.lora_r) for cell in changed} == {("random", 1, 4), ("mine", 2, 4)}


def test_extras_that_promise_all_hold_all() -> None:
    import tomllib

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    held = {name for extra in ("all", "demo") for name in extras[extra][0].removeprefix("codeact[").removesuffix("]").split(",")}
    # for those who develop or check this project, and an engine that brings a torch of its own
    assert set(extras) - held == {"all", "dev", "docs", "bench", "parity", "vllm"}


@pytest.mark.parametrize("text", ["", ",", " , ", "1,x", "1.5"])
def test_a_list_without_whole_numbers_is_refused(text: str) -> None:
    from codeact.cli.options import numbers

    with pytest.raises(InputError, match="--seeds"):
        numbers("--seeds", text)

"""The table of strategies: what follows from an entry, and that one entry is all that a new strategy needs (docs/strategies-adding.md)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.recipe_keys import json_schema, recipe_keys
from codeact.records import Message, Record
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample import Rules, choose, strategies
from codeact.sample.pool import Pool
from codeact.sample.strategies import STRATEGIES, Ranking, Strategy
from codeact.stages import sample
from codeact.stages.columns import COLUMNS
from codeact.stages.judge import rubrics

DOCS = Path(__file__).parents[2] / "docs"
IFD = [0.9, 0.2, 0.5, 0.55, 0.7, 1.4, None]
IDS = [f"r{n}" for n in range(len(IFD))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run directory with a pool of seven scored records."""
    made = Store(tmp_path)
    records = [Record(i, (Message("user", "Add."), Message("assistant", "x")), {"row": n}) for n, i in enumerate(IDS)]
    made.write_table("records", tables.records_table(records))
    count = len(IDS)
    made.write_table(
        "curate",
        pa.table({"id": IDS, "kept": [True] * count, "penalised": [False] * count, "language": ["python"] * count}),
    )
    made.write_table(
        "score",
        pa.table(
            {
                "id": IDS[::-1],  # in another order than the pool
                "ifd": pa.array(IFD[::-1], pa.float64()),
                "status": ["nonfinite" if value is None else "ok" for value in IFD[::-1]],
                "response_tokens": pa.array(range(10, 10 + count), pa.int32()),
                "detail": [""] * count,
            }
        ),
    )
    return made


def added(monkeypatch: pytest.MonkeyPatch, entry: Strategy) -> None:
    monkeypatch.setattr(strategies, "STRATEGIES", {**STRATEGIES, entry.name: entry})


def worked_example() -> Strategy:
    """The entry that docs/strategies-adding.md builds, its two pieces of code run as they stand there."""
    section = (DOCS / "strategies-adding.md").read_text(encoding="utf-8").partition("# Adding a strategy")[2]
    function, entry = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    names: dict[str, Any] = dict(vars(strategies))
    exec(function, names)
    (expression,) = ast.parse(entry).body
    assert isinstance(expression, ast.Expr)
    (made,) = eval(compile(ast.Expression(expression.value), "strategies-adding.md", "eval"), names)
    assert isinstance(made, Strategy)
    return made


def test_the_worked_example_of_the_docs_runs_through_the_stage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, worked_example())
    recipe = load_recipe(None, ["sample.strategy=middling", "sample.unit=records", "sample.ratio=0.4"])
    stage = sample.stage(recipe)
    assert stage.needs == ("curate", "score")
    summary = stage.work(store)
    assert (summary["selected"], summary["strategy"]) == (3, "middling")
    rows = {row["id"]: row for row in store.table("sample").to_pylist()}
    assert [i for i in IDS if rows[i]["selected"]] == ["r2", "r3", "r4"]  # 0.5, 0.55 and 0.7; the median of all is 0.625
    assert [rows[i]["rank"] for i in IDS] == [4, 5, 3, 1, 2, None, None]
    assert [rows[i]["reason"] for i in IDS] == ["below cut", "below cut", "", "", "", "ifd>=1", "status:nonfinite"]
    assert rows["r3"]["score"] == pytest.approx(-0.075)


def test_an_order_of_its_own_is_one_entry_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, Strategy("backwards", "the last", order=lambda pool: range(len(pool) - 1, -1, -1), not_taken="early"))
    recipe = load_recipe(None, ["sample.strategy=backwards", "sample.unit=records", "sample.ratio=0.3"])
    stage = sample.stage(recipe)
    assert stage.needs == ("curate",)
    stage.work(store)
    table = store.table("sample")
    assert [i for i, taken in zip(table["id"].to_pylist(), table["selected"].to_pylist(), strict=True) if taken] == ["r5", "r6"]
    assert table["reason"].to_pylist() == ["early"] * 5 + ["", ""]


def go(monkeypatch: pytest.MonkeyPatch, **entry: Any) -> list[str]:
    added(monkeypatch, Strategy("own", "an own one", **entry))
    ifd = np.linspace(0.1, 0.9, 8)
    return choose(list("abcdefgh"), strategy="own", ratio=0.5, ifd=ifd, response_tokens=[10] * 8, penalised=[1, *[0] * 7]).chosen


@pytest.mark.parametrize("made", [np.uint8, np.int64, np.float32, list])
def test_a_ranking_may_give_numbers_of_any_type(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    value = Ranking("place", lambda pool: made(range(len(pool))) if made is list else np.arange(len(pool), dtype=made))
    assert go(monkeypatch, ranking=value) == ["e", "f", "g", "h"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.ones(3), r"shape \(3,\); it must give one a record"), (1.0, "one a record"), (np.ones((8, 2)), "shape"), (["x"] * 8, "no number")],
)
def test_a_ranking_that_is_not_one_number_a_record_is_refused(monkeypatch: pytest.MonkeyPatch, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"the ranking 'odd' gives .*{said}"):
        go(monkeypatch, ranking=Ranking("odd", lambda pool: value))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([0, 0, 1, 1, 2], "record 0 twice"),
        ([-1, 0, 1], "gives -1; it must give record numbers"),
        ([99, 0], "gives 99"),
        ([0.0, 1.0], "gives 0.0"),
        (list("abc"), "gives 'a'"),
        (np.array([True, False]), "gives np.True_"),
        (None, "gives None"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_an_order_that_is_not_of_record_numbers_is_refused(monkeypatch: pytest.MonkeyPatch, order: Any, said: str, last: bool) -> None:
    def own(pool: Pool) -> Any:
        return order

    with pytest.raises(InputError, match=f"the order of 'own' gives .*{said.removeprefix('gives ')}"):
        go(monkeypatch, order=strategies.behind_last(own) if last else own)


def test_columns_with_values_that_they_cannot_have_are_refused() -> None:
    ids, ifd = list("abcd"), [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(InputError, match="'response_tokens' of record 'b' is below 0"):
        choose(ids, strategy="random", ratio=0.5, unit="tokens", response_tokens=[5, -5, 5, 5])
    with pytest.raises(InputError, match="'OK' is no status of a score; use ok, truncated"):
        choose(ids, strategy="complexity", ratio=0.5, ifd=ifd, status=["OK"] * 4)
    assert choose(ids, strategy="complexity", ratio=0.5, ifd=ifd, status=["ok", "ok", "ok", None]).chosen == ["b", "c"]


def test_an_order_that_ends_early_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, Strategy("brief", "the first", order=lambda pool: [0], not_taken="not looked at"))
    recipe = load_recipe(None, ["sample.strategy=brief", "sample.unit=records", "sample.ratio=0.6"])
    summary = sample.stage(recipe).work(store)
    told = "asked for 60% of the records, selected 14%: strategy 'brief' takes no further record (not looked at 6)"
    assert summary["shortfall"] == told


def test_every_entry_is_whole() -> None:
    former = [one.formerly for one in STRATEGIES.values() if one.formerly]
    assert len(set(former)) == len(former)
    assert not {*former} & {*STRATEGIES}
    for name, one in STRATEGIES.items():
        assert one.name == name
        assert one.takes
        assert not one.takes.endswith(".")
        assert {*one.needs} <= {*COLUMNS}
        ranking = one.ranking
        if ranking is not None and ranking.value is None:
            assert ranking.column in one.needs
        if ranking is not None and ranking.ifd_below:
            assert "ifd" in one.needs
        assert one.ranking is None or one.order is not None or one.not_taken


def test_rules_have_the_recipes_defaults() -> None:
    assert sample.rules(load_recipe(None, []).sample) == Rules()


def test_keys_and_schema_list_the_table() -> None:
    (key,) = recipe_keys("sample.strategy")
    assert re.findall(r"`([^`]+)`", key.type) == [*STRATEGIES]
    assert f'"{[*STRATEGIES][-1]}"' in json_schema()


@pytest.mark.parametrize("name", [one.formerly for one in STRATEGIES.values() if one.formerly])
def test_a_former_name_is_refused_with_the_new_one(name: str) -> None:
    (new,) = (one.name for one in STRATEGIES.values() if one.formerly == name)
    with pytest.raises(InputError, match=f"^the recipe: sample.strategy = '{name}': now called '{new}'$"):
        load_recipe(None, [f"sample.strategy={name}"])


def test_a_former_key_is_refused_with_the_new_one() -> None:
    for call in (lambda: load_recipe(None, ["sample.budget=tokens"]), lambda: recipe_keys("sample.budget")):
        with pytest.raises(InputError, match=r"'sample\.budget' is now called 'sample\.unit'$"):
            call()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sample.strategy=random", "sample.suspects=0.1"], "does not rank"),
        (["sample.strategy=longest", "sample.min_gain=5"], "does not look at IFD"),
        (["sample.strategy=cdas-paper", "sample.unit=tokens"], "as its authors do; set sample.unit=records"),
        (["sample.unit=tokens", "sample.floor=0.5"], "sample.unit=records"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_runs(settings: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        sample.stage(load_recipe(None, settings))


def test_the_judge_is_asked_for_what_the_strategy_needs() -> None:
    asked = {name: rubrics(load_recipe(None, [f"sample.strategy={name}"])) for name in ("deita", "alpagasus", "cdas")}
    assert asked == {"deita": ("complexity", "quality"), "alpagasus": ("accuracy",), "cdas": ("accuracy",)}


def test_a_table_that_lacks_a_record_is_named(store: Store) -> None:
    store.write_table("score", store.table("score").slice(0, 3))
    with pytest.raises(InputError, match=r"no row of record 'r0'"):
        sample.choose_from_run(store, IDS, load_recipe(None, ["sample.strategy=complexity"]).sample, 0)


def test_ranks_made_of_the_score_table_do_not_depend_on_its_order(tmp_path: Path) -> None:
    """Ties and equal lengths, so that positions would decide."""
    rng = np.random.default_rng(0)
    count = 60
    ids = [f"{n:03d}" for n in range(count)]
    table = pa.table(
        {
            "id": ids, "ifd": rng.choice([0.3, 0.5, 0.8, 1.2], count), "status": ["ok"] * count,
            "response_tokens": rng.integers(1, 6, count), "prefix_log_ifd": [[-0.1 * d for d in range(1, 2 + n % 3)] for n in range(count)],
        }
    )  # fmt: skip
    names = ("length_residual", "length_band", "position_matched")
    found = []
    for order in (np.arange(count), rng.permutation(count)):
        store = Store(tmp_path / str(order[0]))
        store.write_table("score", table.take(order))
        shuffled = rng.permutation(count)
        columns = sample.read_columns(store, names, [ids[n] for n in shuffled])
        found.append({name: np.asarray(columns[name])[np.argsort(shuffled)] for name in names})
    for name in names:
        np.testing.assert_array_equal(found[0][name], found[1][name])
        assert np.isnan(found[0][name][table["ifd"].to_numpy() >= 1]).all()

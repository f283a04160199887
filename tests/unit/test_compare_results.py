"""Grids, their recipes, and the figures that cells give together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from codeact.comparison.grid import (
    Comparison,
    base_recipe,
    cells,
    load_comparison,
    same_at_every_seed,
    shared_dir,
    shared_recipes,
    without_rival,
)
from codeact.comparison.kept import deciding_settings
from codeact.comparison.results import summarise
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.reporting.compare import proxies, tables, write_comparison
from codeact.statistics import crossed_interval
from tests.helpers import drawn

GRID = """
run_dir: {folder}
seeds: [0, 1]
rates: [0.2, 0.4]
strategies: [random, full, {{name: strict, strategy: cdas, set: {{curate.verify: true}}}}]
recipe:
  seed: 7
  model: {{name: m}}
  data: {{source: d.jsonl}}
  curate: {{verify: false}}
"""


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    file = tmp_path / "compare.yaml"
    file.write_text(GRID.format(folder=tmp_path / "runs"), encoding="utf-8")
    return file


def test_a_grid_has_every_cell_once_and_full_once_a_seed(grid_file: Path) -> None:
    found = cells(load_comparison(grid_file))
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names) == 2 * (2 * 2 * 2 + 1)
    assert [n for n in names if n.startswith("full")] == ["full-1-records-seed0", "full-1-records-seed1"]
    cell = next(c for c in found if c.name == "strict-0.4-tokens-seed1")
    recipe = cell.recipe
    assert (recipe.seed, recipe.sample.seed, recipe.cluster.seed, recipe.train.seed) == (7, 1, 1, 1)
    assert (recipe.sample.strategy, recipe.sample.ratio, recipe.sample.unit) == ("cdas", 0.4, "tokens")
    assert recipe.curate.verify is True
    assert not next(c for c in found if c.entrant == "random").recipe.curate.verify
    assert [c.seed for c in found] == sorted(c.seed for c in found)


def test_no_later_default_voids_a_finished_result(grid_file: Path) -> None:
    """What a result is kept by tells CDAS and records by their absence, as when they were the defaults: such results lie on disks."""
    grid = load_comparison(grid_file, ["strategies=[random,full,cdas,trim-diversity]"])
    told = {cell.name: deciding_settings(cell.recipe) for cell in cells(grid)}
    common = {"seed": 7, "model": {"name": "m"}, "data": {}, "curate": {"verify": False}}
    for name, sample in {
        "cdas-0.2-records-seed1": {"ratio": 0.2, "seed": 1}, "cdas-0.4-tokens-seed1": {"unit": "tokens", "seed": 1},
        "random-0.4-records-seed1": {"strategy": "random", "seed": 1}, "full-1-records-seed1": {"strategy": "full", "ratio": 1.0, "seed": 1},
        "trim-diversity-0.4-tokens-seed1": {"strategy": "trim-diversity", "unit": "tokens", "seed": 1},
    }.items():  # fmt: skip
        assert told[name] == {**common, "cluster": {"seed": 1}, "train": {"seed": 1}, "sample": sample}, name
    assert deciding_settings(base_recipe(grid)) == common
    (shared,) = shared_recipes(grid)
    assert (shared.sample.strategy, shared.sample.unit) == ("cdas", "records")


def test_an_entrant_can_have_rates_and_units_of_its_own(grid_file: Path) -> None:
    some = "strategies=[random,full,{name: few, strategy: longest, rates: [0.4,0.6], units: [tokens]}]"
    found = cells(load_comparison(grid_file, [some, "seeds=[0]"]))
    assert sorted(c.group for c in found if c.entrant == "few") == ["few-0.4-tokens", "few-0.6-tokens"]
    assert sum(c.entrant == "random" for c in found) == 4  # not at 60 %
    assert sum(c.entrant == "full" for c in found) == 1


def test_a_further_draw_is_another_at_every_seed(grid_file: Path) -> None:
    """With a seed that is set, the seeds of one pool trained on the same draw, and the interval over seeds knew nothing of its luck."""
    draws = ",".join(f"{{name: random-{draw}, strategy: random, draw: {draw}}}" for draw in (1, 2))
    some = f"strategies=[random,{draws},{{name: fixed, strategy: random, set: {{sample.seed: 5}}}}]"
    comparison = load_comparison(grid_file, [some, "rates=[0.4]", "units=[tokens]"])
    seeds = {(cell.entrant, cell.seed): (cell.recipe.sample.seed, cell.recipe.cluster.seed, cell.recipe.train.seed) for cell in cells(comparison)}
    assert len({sample for (name, _), (sample, _, _) in seeds.items() if name != "fixed"}) == 6
    assert all((cluster, train) == (seed, seed) for (_, seed), (_, cluster, train) in seeds.items())
    (line,) = same_at_every_seed(comparison)
    assert line.startswith("fixed has the same sample.seed at every seed")
    assert "draw: 1" in line
    assert same_at_every_seed(load_comparison(grid_file, [some, "seeds=[0]"])) == []
    assert same_at_every_seed(load_comparison(grid_file, [some, "pool_per_seed=true", "recipe.data.limit=5"])) == []
    nested = load_comparison(grid_file, ["strategies=[random,{name: fixed, strategy: cdas, set: {train: {seed: 5}}}]"])
    assert "the same train.seed at every seed" in same_at_every_seed(nested)[0]


def test_a_pool_for_each_seed_changes_the_records_and_nothing_else(grid_file: Path) -> None:
    own = ["pool_per_seed=true", "recipe.data.limit=5"]
    one, several = (cells(load_comparison(grid_file, some)) for some in (own[1:], own))
    assert [c.name for c in several] == [c.name for c in one]
    assert {(c.seed, c.recipe.seed) for c in several} == {(0, 0), (1, 1)}
    assert {c.recipe.seed for c in one} == {7}
    for before, after in zip(one, several, strict=True):
        assert before.recipe == after.recipe.model_copy(update={"seed": 7})
    comparison = load_comparison(grid_file, own)
    pools = shared_recipes(comparison)
    assert [r.seed for r in pools] == [0, 1]
    assert [Path(r.run_dir) for r in pools] == [shared_dir(comparison, seed) for seed in (0, 1)]
    assert len(shared_recipes(load_comparison(grid_file))) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rates=[1.5]", "shares above 0"),
        ("rates=[]", "at least one rate"),
        ("strategies=[random,{name: a, strategy: cdas, rates: [0]}]", "shares above 0"),
        ("strategies=[random,{name: a, strategy: cdas, units: [words]}]", "'records' or 'tokens'"),
        ("pool_per_seed=true", "set recipe.data.limit"),
        ("budgets=[tokens]", "budgets: now called 'units'"),
        ("strategies=[{name: a, strategy: cdas, budgets: [tokens]}]", "budgets: now called 'units'"),
        ("strategies=[positions]", "now called 'position-matched'"),
        ("unit=[tokens]", "did you mean 'units'"),
        ("against=nobody", "none of the strategies"),
        ("strategies=[random,random]", "occurs twice"),
        ("seeds=[0,1,0]", "seeds: 0 occurs twice"),
        ("rates=[0.3,0.30000001]", "rates: 0.3 occurs twice"),
        ("units=[tokens,tokens]", "units: tokens occurs twice"),
        ("against=[random,random]", "against: random occurs twice"),
        ("strategies=[random,{name: a, strategy: cdas, rates: [0.2,0.2]}]", "0.2 occurs twice"),
        ("strategies=[random,{name: a, strategy: cdas, units: [records,records]}]", "records occurs twice"),
        ("strategies=[cdsa]", "strategies.0.strategy"),
        ("recipe.cluster.kk=3", "unknown key 'cluster.kk'"),
        ("recipe.run_dir=mine", "run_dir is given twice: as a setting, and by the comparison"),
        ("recipe.sample.strategy=longest", "sample.strategy is given twice"),
        ("recipe.sample.ratio=0.3", "sample.ratio is given twice"),
        ("recipe.train.seed=5", "train.seed is given twice"),
        ("recipe.evaluate.enabled=false", "evaluate.enabled is given twice"),
        ("strategies=[random,{name: a, strategy: cdas, set: {sample.ratio: 0.1}}]", "sample.ratio is given twice"),
        ("strategies=[random,{name: a, strategy: cdas, set: {data.source: b}}]", "data.source is given twice"),
        ("strategies=[random,{name: a, strategy: random, draw: 1, set: {sample.seed: 3}}]", "sample.seed is given twice"),
        ("strategies=[random,{name: a, strategy: random, draw: -1}]", "draw: .*greater than or equal to 0"),
        ("strategies=[random,{name: a, strategy: cdas, set: {sample: {min_gain: 5}}}]", "sample is given twice"),
        ("colour=red", "colour"),
        ("rates", "key=value"),
    ],
)
def test_bad_grids_are_one_clear_line(grid_file: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_comparison(grid_file, [override])
    assert "\n" not in str(caught.value)


def result(seed: int, shift: float, items: int = 300) -> dict[str, Any]:
    noise = np.random.default_rng(seed)
    ease = np.random.default_rng(99).normal(1.0, 0.5, items)  # of the items, the same for every cell
    values = {f"t{n}": float(v) for n, v in enumerate(ease + shift + noise.normal(0, 0.02, items))}
    return {
        "records": 10,
        "response_tokens": 100,
        "training": {"seconds": 1.0, "steps": 4},
        "values": {"loss": values},
    }


def test_differences_are_paired_and_know_what_is_clear(grid_file: Path, tmp_path: Path) -> None:
    comparison = load_comparison(grid_file, ["seeds=[0,1,2,3]"])
    done = []
    for cell in cells(comparison):
        shift = {"random": 0.0, "full": -0.1, "strict": -0.05 if cell.rate == 0.4 else 0.0}[cell.entrant]
        done.append((cell, result(crc32(cell.name.encode()), shift)))
    base = {"values": {"loss": result(1234, 0.3)["values"]["loss"]}}
    summary = summarise(comparison, done, cells(comparison), base)
    rows = {(r["entrant"], r["rate"], r["unit"]): r["metrics"]["loss"] for r in summary["rows"]}
    assert len(rows) == 9
    better, same = rows["strict", 0.4, "tokens"]["minus_against"], rows["strict", 0.2, "tokens"]["minus_against"]
    assert better["difference"] == pytest.approx(-0.05, abs=0.01)
    assert better["interval"][1] < 0
    assert same["interval"][0] < 0 < same["interval"][1]
    width = np.diff(rows["strict", 0.4, "tokens"]["interval"])[0]
    assert width > 5 * np.diff(better["interval"])[0]  # pairing takes the items' own ease out
    assert rows["random", 0.4, "records"]["minus_against"] is None
    assert rows["full", 1.0, "records"]["minus_against"] is None
    assert rows["full", 1.0, "records"]["minus_base"]["difference"] == pytest.approx(-0.4, abs=0.01)
    shown = tables(summary)
    assert [len(lines) for _, _, lines in shown] == [5, 4]  # equal records with the full pool, equal tokens
    assert all(len(line) == len(header) for _, header, lines in shown for line in lines)
    page = write_comparison(summary, tmp_path).read_text(encoding="utf-8")
    assert page.count('<div class="chart"') == 4  # one metric at two units: by rate, and its differences
    assert "http://" not in page
    the_pictures_are_the_table(page, summary)


def test_means_over_different_items_are_said(grid_file: Path, tmp_path: Path) -> None:
    """A training whose loss of some records is no number: its mean is over the others, and so are the differences to it."""
    comparison = load_comparison(grid_file, ["rates=[0.4]"])
    done = [(cell, result(crc32(cell.name.encode()), 0.0, 40)) for cell in cells(comparison)]
    base = {"values": {"loss": result(1234, 0.3, 40)["values"]["loss"]}}
    whole = summarise(comparison, done, cells(comparison), base)
    assert whole["cautions"] == []
    assert whole["items"] == {"loss": 40}
    for cell, found in done:
        if cell.name == "strict-0.4-tokens-seed1":
            for item in ("t3", "t7"):
                del found["values"]["loss"][item]
    summary = summarise(comparison, done, cells(comparison), base)
    assert summary["cautions"] == [
        "loss: strict was measured on 38 of 40 items in every training, so the values are means over different items;"
        " differences are over the items that both sides have"
    ]
    counts = {(r["entrant"], r["unit"]): r["metrics"]["loss"]["items"] for r in summary["rows"]}
    assert counts == {(name, unit): 38 if (name, unit) == ("strict", "tokens") else 40 for name, unit in counts}
    strict = next(r for r in summary["rows"] if (r["entrant"], r["unit"]) == ("strict", "tokens"))["metrics"]["loss"]
    assert (strict["minus_against"]["items"], strict["minus_base"]["items"]) == (38, 38)
    page = write_comparison(summary, tmp_path).read_text(encoding="utf-8")
    assert "on 38 of 40 items" in page
    assert "over 40 items" in page


def the_pictures_are_the_table(page: str, summary: dict[str, Any]) -> None:
    """Figures 2 and 3 of the paper, from one's own trainings: what is read off the charts is what compare.json holds."""
    found = drawn.charts(page)
    for unit in ("records", "tokens"):
        rows = [r for r in summary["rows"] if r["unit"] == unit or r["strategy"] == "full"]
        chart = found[f"loss by rate, equal {unit}"]
        names = re.findall(r'<li><i class="k-line ([^"]*)"></i>([^<]*)</li>', chart)
        named = {kind.strip(): name for kind, name in names}
        shown = sorted((named[kind], x, y) for kind, x, y in drawn.dots(chart))
        table = sorted((r["entrant"], r["rate"], r["metrics"]["loss"]["value"]) for r in rows)
        assert [name for name, _, _ in shown] == [name for name, _, _ in table]
        np.testing.assert_allclose([s[1:] for s in shown], [t[1:] for t in table], atol=2e-3)
        apart = [r for r in rows if r["metrics"]["loss"]["minus_against"]]
        chart = found[f"loss minus {summary['against']}, equal {unit}"]
        x = drawn.scale(chart, "xt", "left")
        labels = {float(at): text for at, text in re.findall(drawn.TICK.format("yt", "bottom"), chart)}
        places = [(x(float(a)), float(b)) for _, path in drawn.DOT.findall(chart) for a, b in re.findall(r"M([\d.-]+) ([\d.-]+)h", path)]
        spans = {float(y1): (x(float(x1)), x(float(x2))) for _, x1, y1, x2, y2 in drawn.STROKE.findall(chart) if y1 == y2}
        assert len(places) == len(apart)
        for row, (value, place) in zip(apart, places, strict=True):
            of = row["metrics"]["loss"]["minus_against"]
            assert labels[min(labels, key=lambda at: abs(100 - at - place / 10))] == f"{row['entrant']}, {row['rate']:.0%}"
            np.testing.assert_allclose([value, *spans[place]], [of["difference"], *of["interval"]], atol=1e-3)


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_items", "rest", "least"),
    [(8, 1, 1, 1, 0.90), (3, 1, 0.3, 0.3, 0.86), (3, 0.1, 0.3, 1, 0.86), (3, 0, 1, 0.3, 0.90), (2, 0.3, 0.3, 1, 0.86)],
)
def test_the_interval_covers_the_mean_over_seeds_and_items(
    seeds: int, of_seeds: float, of_items: float, rest: float, least: float
) -> None:
    covered = 0
    for trial in range(400):
        rng = np.random.default_rng(trial)
        table = (
            rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_items, (1, 40)) + rng.normal(0, rest, (seeds, 40))
        )
        low, high = crossed_interval(table)
        covered += low <= 0 <= high
    assert covered / 400 >= least


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"strategies": ["random", {"name": "random", "strategy": "cdas"}]}, "strategies: the name 'random' occurs twice"),
        ({"strategies": ["cdas"]}, "against = 'random' is none of the strategies cdas"),
        ({"strategies": ["random"], "pool_per_seed": True}, "pool_per_seed draws recipe.data.limit records"),
    ],
)
def test_entrants_of_one_name_are_refused_however_the_grid_is_given(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    """Their cells would share a folder."""
    with pytest.raises(ValidationError, match=message.removeprefix("strategies: ")):
        Comparison.model_validate({"recipe": {}, **more})
    file = tmp_path / "grid.yaml"
    file.write_text(json.dumps({"recipe": {}, **more}), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{file}: {message}")):
        load_comparison(file)


def test_where_only_one_of_them_varies_the_interval_is_students() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(2, 1, 40), rng.normal(2, 1, 3)):
        plain = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        wide, tall = np.tile(values, (4, 1)), np.tile(values[:, None], (1, 5))
        for table in (wide, tall, values[None, :]):
            assert crossed_interval(table) == pytest.approx(plain, rel=1e-6)
    assert crossed_interval(np.full((3, 4), 0.5)) is None


def test_several_rivals_are_compared_with_by_their_mean_and_each_with_the_others(grid_file: Path) -> None:
    draws = "strategies=[random,{name: random-2, strategy: random, set: {sample.seed: 5}},longest]"
    comparison = load_comparison(grid_file, [draws, "against=[random,random-2]", "rates=[0.4]", "units=[tokens]"])
    shift = {"random": 0.0, "random-2": 0.2, "longest": 0.5}
    done = [(cell, result(1, shift[cell.entrant])) for cell in cells(comparison)]
    summary = summarise(comparison, done, cells(comparison), {"values": {}})
    found = {row["entrant"]: row["metrics"]["loss"]["minus_against"]["difference"] for row in summary["rows"]}
    assert found == pytest.approx({"random": -0.2, "random-2": 0.2, "longest": 0.4})
    assert summary["against"] == "random (mean of 2)"
    with pytest.raises(InputError, match="'nobody' is none of"):
        load_comparison(grid_file, ["against=[random,nobody]"])


def test_full_is_a_rival_at_every_rate_and_unit(grid_file: Path) -> None:
    """It is trained once per seed, under a rate of its own: nothing was compared with it, without a word."""
    comparison = load_comparison(grid_file, ["against=full"])
    shift = {"random": 0.25, "strict": 0.5, "full": 0.0}
    done = [(cell, result(1, shift[cell.entrant])) for cell in cells(comparison)]
    rows = summarise(comparison, done, cells(comparison), {"values": {}})["rows"]
    assert {(row["rate"], row["unit"]) for row in rows} == {(0.2, "records"), (0.2, "tokens"), (0.4, "records"), (0.4, "tokens"), (1.0, "records")}
    for row in rows:
        change = row["metrics"]["loss"]["minus_against"]
        assert change is None if row["entrant"] == "full" else (change["difference"], change["seeds"]) == (pytest.approx(shift[row["entrant"]]), 2)
    assert without_rival(comparison) == []


def test_a_rival_that_is_not_trained_everywhere_is_told(grid_file: Path) -> None:
    draws = "strategies=[random,full,longest,{name: random-2, strategy: random, draw: 1, rates: [0.4], units: [tokens]}]"
    assert without_rival(load_comparison(grid_file, [draws])) == []
    (some,) = without_rival(load_comparison(grid_file, [draws, "against=[random,random-2]"]))
    assert some == (
        "against: random-2 is not trained at 20% of the records, 40% of the records, 20% of the tokens; differences are from random alone there"
    )
    (none,) = without_rival(load_comparison(grid_file, [draws, "against=random-2", "units=[tokens]"]))
    assert none == "against: random-2 is not trained at 20% of the tokens; there are no differences from it there"


def test_unequal_sizes_are_said_and_not_called_equal(grid_file: Path, tmp_path: Path) -> None:
    comparison = load_comparison(grid_file, ["rates=[0.4]"])
    sizes = {("random", "records"): (20, 1000), ("strict", "records"): (14, 900), ("full", "records"): (50, 2500)}
    sizes |= {("random", "tokens"): (20, 1000), ("strict", "tokens"): (9, 990)}
    done = []
    for cell in cells(comparison):
        records, tokens = sizes[cell.entrant, cell.unit]
        done.append((cell, {**result(1, 0.0), "records": records, "response_tokens": tokens}))
    summary = summarise(comparison, done, cells(comparison), {"values": {}})
    (uneven,) = summary["uneven"]  # the tokens are equal within what whole records allow
    assert (uneven["unit"], uneven["rate"]) == ("records", 0.4)
    assert uneven["smallest"] == {"entrant": "strict", "size": 14}
    assert uneven["largest"] == {"entrant": "random", "size": 20}
    titles = [title for title, _, _ in tables(summary)]
    assert "records, not equal (14 to 20)" in titles[0]
    assert "equal tokens" in titles[1]
    page = write_comparison(summary, tmp_path).read_text(encoding="utf-8")
    assert "equal records" not in page.lower().split("<script")[0]
    assert uneven["line"] in page
    assert proxies(summary) in page  # it shows bits per byte
    assert proxies({"lower_is_better": {"humaneval pass@1": False}}) == ""


def test_the_shipped_comparisons_are_valid() -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    small = cells(load_comparison(recipes / "compare_small.yaml"))
    assert len({cell.seed for cell in small}) == 3
    confirm = load_comparison(recipes / "compare_confirm.yaml", ["apart_from=[]"])
    assert not {cell.seed for cell in cells(confirm)} & {cell.seed for cell in small}
    figures = load_comparison(recipes / "compare_figures.yaml", ["apart_from=[]"])
    assert {c.entrant for c in cells(figures) if c.rate == 0.6} == {
        "random", "cdas", "longest", "residual", "bands", "positions",
    }  # fmt: skip
    found = cells(load_comparison(recipes / "compare.yaml"))
    assert {cell.recipe.pack.scope for cell in found + small} == {"epoch"}  # equal tokens are equal steps
    assert {cell.entrant for cell in found} >= {"random", "full", "cdas", "verified-cdas", "longest", "length-residual"}
    for grid in (small, found):
        assert {cell.unit for cell in grid} == {"records", "tokens"}
        verified = next(cell.recipe for cell in grid if cell.entrant == "verified-cdas")
        whole = load_recipe(recipes / "verified.yaml", ["model.name=demo"])
        assert (verified.sample.suspects, verified.sample.min_gain) == (whole.sample.suspects, whole.sample.min_gain)
        for key in ("checks", "mismatch", "renamed", "near"):
            assert getattr(verified.curate, key) == getattr(whole.curate, key)


def test_few_items_and_no_spread_give_no_interval(grid_file: Path, tmp_path: Path) -> None:
    """One item of one seed was told as -0.1 [-0.1, -0.1], a clear difference, and 0 of 12 tasks as [0, 0]."""
    comparison = load_comparison(grid_file, ["rates=[0.4]", "units=[tokens]", "seeds=[0]", "strategies=[random,longest]"])
    done = [(cell, result(1, {"random": 0.0, "longest": -0.1}[cell.entrant], 9)) for cell in cells(comparison)]
    for _, found in done:
        found["values"] |= {"one loss": {"t0": 1.0}, "pass@1": {f"t{n}": 0.0 for n in range(12)}, "few pass@1": {"t0": 1.0, "t1": 0.0}}
    base = {"values": {metric: dict(values) for metric, values in done[0][1]["values"].items()}}
    summary = summarise(comparison, done, cells(comparison), base)
    figures = {row["entrant"]: row["metrics"] for row in summary["rows"]}["longest"]
    assert figures["loss"]["minus_against"]["difference"] == pytest.approx(-0.1)
    for metric in figures:
        assert figures[metric]["minus_against"]["interval"] is None
        assert figures[metric]["minus_base"]["interval"] is None
    assert figures["loss"]["interval"] is None
    assert figures["pass@1"]["interval"] == pytest.approx([0, 0.2425], abs=1e-4)  # Wilson's, as `evaluate` gives it
    assert figures["few pass@1"]["interval"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    ((_, _, lines),) = [shown for shown in tables(summary) if shown[0].startswith("loss")]
    assert lines[1][-1] == "−0.1000 (no interval)"
    assert "(no interval)" in write_comparison(summary, tmp_path).read_text(encoding="utf-8")


def test_the_interval_of_a_pass_rate_stays_within_what_a_rate_can_be(grid_file: Path) -> None:
    comparison = load_comparison(grid_file, ["seeds=[1,2]", "strategies=[random,longest]", "rates=[0.4]", "units=[tokens]"])
    rates = {1: {f"t{n}": 1.0 - (n == 0) for n in range(12)}, 2: {f"t{n}": 1.0 for n in range(12)}}
    done = [(cell, result(cell.seed, 0.0) | {"values": {"pass@1": rates[cell.seed], "loss": rates[cell.seed]}}) for cell in cells(comparison)]
    figures = summarise(comparison, done, cells(comparison), {"values": {}})["rows"][0]["metrics"]
    assert figures["loss"]["interval"][1] > 1.0  # the same values, of no rate
    assert figures["pass@1"]["interval"] == pytest.approx([figures["loss"]["interval"][0], 1.0])


def test_a_seed_that_a_rival_lacks_is_left_out_of_the_difference_and_told(grid_file: Path, tmp_path: Path) -> None:
    """`minus random (mean of 2)` was of one draw where the other was not done, without a word."""
    draws = "strategies=[random,{name: random-2, strategy: random, draw: 1},longest]"
    comparison = load_comparison(grid_file, [draws, "against=[random,random-2]", "rates=[0.4]", "units=[tokens]"])
    shift = {"random": 0.0, "random-2": 0.2, "longest": 0.5}
    done = [(cell, result(1, shift[cell.entrant])) for cell in cells(comparison) if (cell.entrant, cell.seed) != ("random-2", 0)]
    summary = summarise(comparison, done, cells(comparison), {"values": {}})
    found = {row["entrant"]: row["metrics"]["loss"]["minus_against"] for row in summary["rows"]}
    assert {name: (change["difference"], change["seeds"]) for name, change in found.items()} == {
        "random": (pytest.approx(-0.2), 1), "random-2": (pytest.approx(0.2), 1), "longest": (pytest.approx(0.4), 1),
    }  # fmt: skip
    (line,) = summary["cautions"]
    assert line.startswith("against: random-2 at 40% of the tokens is not done for seed 0; differences from it")
    told = {row[0]: row[-1] for row in tables(summary)[0][2]}
    assert told["longest"].endswith("(1 of 2 seeds)")
    assert "seeds" not in told["random-2"]
    assert line in write_comparison(summary, tmp_path).read_text(encoding="utf-8")
    none = summarise(comparison, [one for one in done if one[0].entrant != "random-2"], cells(comparison), {"values": {}})
    assert all(row["metrics"]["loss"]["minus_against"] is None for row in none["rows"])
    assert "is not done for seeds 0, 1;" in none["cautions"][0]

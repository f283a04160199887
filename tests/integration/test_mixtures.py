"""Mixtures: each source gives its quota, by the strategy, and everything that is told is told by source."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import codeact
from codeact import api, config
from codeact.errors import InputError
from codeact.pipeline.run import run_pipeline
from codeact.sample import Mixture, choose, choose_mixed
from codeact.sample.mixture import quotas, share_out
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

QUIET = {"curate.decontaminate": ()}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.jsonl with 40 rows, deep/b.csv.gz with 20 others, one of them unusable and one a copy of a row of a.jsonl."""
    monkeypatch.chdir(tmp_path)
    rows = [dict(row) for row in pool_rows(59)]
    write_lines(Path("a.jsonl"), rows[:40])
    Path("deep").mkdir()
    others = [*rows[40:58], rows[3], {"instruction": "nothing", "output": ""}]
    text = "instruction,output\n" + "".join(f"{json.dumps(r['instruction'])},\"{r['output']}\"\n" for r in others)
    Path("deep/b.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def _sources(first: Any = 3, second: Any = 1) -> list[dict[str, Any]]:
    return [{"path": "a.jsonl", "weight": first}, {"path": "deep", "weight": second, "name": "deep ones"}]


def _run(folder: str, sources: Sequence[dict[str, Any]], **settings: Any) -> Any:
    extra = {"run_dir": folder, "data.sources": list(sources), "sample.strategy": "random", "sample.unit": "records", "sample.ratio": 0.4, **QUIET, **settings}
    return run_pipeline(config.load_recipe(extra=extra), ("sample",))


def test_each_source_gives_its_quota_and_the_ledger_says_whose_a_row_is() -> None:
    store = _run("run", _sources())
    ledger = pq.read_table(store.path("ledger.parquet")).to_pylist()
    assert [row["source"] for row in ledger] == ["a.jsonl"] * 40 + ["deep ones"] * 20
    kept = Counter(row["source"] for row in ledger if row["status"] == "kept")
    pool = 58  # without the copy and the row that has no answer
    assert kept == {"a.jsonl": round(pool * 0.4) * 3 // 4, "deep ones": round(pool * 0.4) - round(pool * 0.4) * 3 // 4}
    told = store.marker("sample")["summary"]["sources"]
    assert {name: one["selected"] for name, one in told.items()} == dict(kept)
    assert {name: one["quota"] for name, one in told.items()} == dict(kept)
    assert {name: one["pool"] for name, one in told.items()} == {"a.jsonl": 40, "deep ones": 18}
    assert store.marker("records")["summary"]["sources"] == {
        "a.jsonl": {"rows": 40, "records": 40}, "deep ones": {"rows": 20, "records": 19},
    }  # fmt: skip


def test_a_weight_changes_the_choice_and_nothing_before_it() -> None:
    store = _run("run", _sources())
    before = {name: store.marker(name)["finished_at"] + store.marker(name)["fingerprint"] for name in ("records", "curate")}
    store = _run("run", _sources(1, 1))
    assert {name: store.marker(name)["finished_at"] + store.marker(name)["fingerprint"] for name in before} == before
    assert [one["selected"] for one in store.marker("sample")["summary"]["sources"].values()] == [12, 11]


def test_without_weights_the_choice_is_that_of_one_pool() -> None:
    store = _run("mixed", [{"path": "a.jsonl"}, {"path": "deep"}])
    extra = {"run_dir": "plain", "data.source": ["a.jsonl", "deep"], "sample.strategy": "random", "sample.unit": "records", "sample.ratio": 0.4, **QUIET}
    plain = run_pipeline(config.load_recipe(extra=extra), ("sample",))
    assert store.table("sample") == plain.table("sample")
    assert store.marker("sample")["summary"]["sources"]["deep"]["quota"] is None
    assert "source" not in pq.read_table(plain.path("ledger.parquet")).column_names


def test_by_tokens_the_quotas_are_tokens(tiny_model_dir: Path) -> None:
    model = {"model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 256, "score.cache": False}
    store = _run("run", _sources(1, 1), **model, **{"sample.strategy": "longest", "sample.unit": "tokens"})
    told = store.marker("sample")["summary"]["sources"]
    tokens = dict(zip(store.table("lengths")["id"].to_pylist(), store.table("lengths")["response_tokens"].to_pylist(), strict=True))
    longest = max(tokens.values())
    for one in told.values():
        assert one["quota"] in (sum(tokens.values()) * 2 // 10, sum(tokens.values()) * 2 // 10 + 1)
        assert abs(one["selected_tokens"] - one["quota"]) <= longest
    assert sum(one["tokens"] for one in told.values()) == sum(tokens.values())


def test_by_tokens_a_source_may_have_fewer_records_than_its_weight_and_coverage_compares_with_as_many(tiny_model_dir: Path) -> None:
    write_lines(Path("long.jsonl"), [{"instruction": f"list {n}", "output": f"x{n} = [{', '.join(map(str, range(n, n + 90)))}]"} for n in range(6)])
    write_lines(Path("short.jsonl"), [{"instruction": f"set {n}", "output": f"y{n} = {n} + {n * n} + {n}\n" * 4} for n in range(60)])
    sources = [{"path": "long.jsonl", "weight": 1}, {"path": "short.jsonl", "weight": 1}]
    with pytest.raises(InputError, match=r"long\.jsonl should give 7 records"):
        _run("records", sources, **{"sample.ratio": 0.2})
    model = {"model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 1024, "curate.verify": False}
    store = _run("run", sources, **model, **{"sample.unit": "tokens", "sample.ratio": 0.2})
    told = store.marker("sample")["summary"]["sources"]
    tokens = {row["id"]: row["response_tokens"] for row in store.table("lengths").to_pylist()}
    for one in told.values():
        assert abs(one["selected_tokens"] - sum(tokens.values()) / 10) <= max(tokens.values()) / 2 + 1
    seen = json.loads(store.path("coverage.json").read_text(encoding="utf-8"))
    length = {name: {row["group"]: row["selected"] for row in seen[name]["groups"]["length"]} for name in ("selection", "random")}
    assert sum(length["random"].values()) == sum(length["selection"].values()) == sum(one["selected"] for one in told.values())
    assert length["random"] == length["selection"]  # answers of one source are of one length here: as many from each


def test_select_with_weights_from_the_command_line_and_from_python() -> None:
    asked = ["select", "a.jsonl", "deep", "--weights", "3,1", "--strategy", "random", "--unit", "records", "--set", "curate.decontaminate=[]"]
    told = json.loads(cli(*asked, "-o", "out.jsonl", "--json").stdout)
    assert {name: (one["rows"], one["pool"], one["selected"]) for name, one in told["sources"].items()} == {
        "a.jsonl": (40, 40, 17), "deep": (20, 18, 6),
    }  # fmt: skip
    assert "of deep: 6 of 18 records, quota 6" in cli(*asked, "-o", "out.jsonl").stdout
    chosen = codeact.select(["a.jsonl", "deep"], weights=[3, 1], strategy="random", unit="records", run_dir="python", settings=QUIET)
    assert [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()] == chosen.rows


def test_plan_explain_diff_and_report_know_the_sources() -> None:
    recipe = {"run_dir": "one", "data": {"sources": _sources()}, "curate": {"decontaminate": []},
              "sample": {"strategy": "longest", "unit": "records", "ratio": 0.4}}  # fmt: skip
    Path("one.yaml").write_text(yaml.safe_dump({**recipe, "sample": {"strategy": "random", "unit": "records"}}), encoding="utf-8")
    planned = api.plan_select(["a.jsonl", "deep"], weights=[3, 1], strategy="random", unit="records", settings=QUIET)
    assert planned["sources"] == {"a.jsonl": {"weight": 3, "records": 40, "quota": 18}, "deep": {"weight": 1, "records": 19, "quota": 6}}
    assert "source          deep: 19 records, gives 6" in planned["lines"]
    store = _run("one", _sources())
    _run("two", _sources(1, 1))
    why = codeact.explain("one", row=45)
    assert why["source"] == "deep ones"
    assert "of 18 in the pool of deep ones are" in why["sentence"]
    for change in why["changes"]:
        if change["set"].startswith("sample.ratio="):
            again = _run("again", _sources(), **{"sample.ratio": float(change["set"].partition("=")[2])})
            kept = again.table("ledger").filter(again.table("ledger")["row"].to_numpy() == 44)["status"].to_pylist()
            assert kept == [{"kept": "kept", "dropped": "dropped"}[change["then"]]]
    found = codeact.diff("one", "two")
    assert found["sources"] == {"a.jsonl": [17, 12], "deep ones": [6, 11]}
    assert "data.sources" in found["settings"]
    page = codeact.report("one")
    assert "By source" in page.read_text(encoding="utf-8")
    report = json.loads((store.root / "report.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["rows"], one["quota"], one["selected"]) for one in report["sources"]] == [
        ("a.jsonl", 40, 17, 17), ("deep ones", 20, 6, 6),
    ]  # fmt: skip


WRONG = {
    "zero": ("data.sources=[{path: a.jsonl, weight: 0}, {path: deep, weight: 1}]", "data.sources.0.weight = 0: input should be greater than 0"),
    "negative": ("data.sources=[{path: a.jsonl, weight: -1}, {path: deep, weight: 1}]", "data.sources.0.weight = -1"),
    "nan": ("data.sources=[{path: a.jsonl, weight: .nan}, {path: deep, weight: 1}]", "data.sources.0.weight = nan: input should be a finite number"),
    "infinite": ("data.sources=[{path: a.jsonl, weight: .inf}, {path: deep, weight: 1}]", "data.sources.0.weight = inf"),
    "word": ("data.sources=[{path: a.jsonl, weight: much}, {path: deep, weight: 1}]", "data.sources.0.weight = 'much'"),
    "no path": ("data.sources=[{weight: 1}]", "data.sources.0.path"),
    "key": ("data.sources=[{path: a.jsonl, wieght: 1}]", "data.sources.0.weight"),
    "twice": ("data.sources=[{path: a.jsonl, weight: 1}, {path: a.jsonl, weight: 1, name: b}]", "two sources have the path 'a.jsonl'"),
    "name twice": ("data.sources=[{path: a.jsonl, name: x}, {path: deep, name: x}]", "two sources have the name 'x'"),
    "one file by two names": ("data.sources=[{path: deep, weight: 1}, {path: deep/b.csv.gz, weight: 1}]", "is in two sources, deep and deep/b.csv.gz"),
    "one file by another way": ("data.sources=[{path: a.jsonl}, {path: ./a.jsonl}]", "is in two sources"),
    "some weights": ("data.sources=[{path: a.jsonl, weight: 1}, {path: deep}]", "'deep' has no weight and others have"),
    "missing": ("data.sources=[{path: a.jsonl, weight: 1}, {path: none.jsonl, weight: 1}]", "none.jsonl does not exist"),
    "harvest": ("data.sources=[{path: harvest, weight: 1}, {path: deep, weight: 1}]", "`harvest` cannot be a part of a mixture"),
    "too large": ("data.sources=[{path: a.jsonl, weight: 1}, {path: deep, weight: 9}]", "deep should give 21 records"),
    "too small": ("data.sources=[{path: a.jsonl, weight: 999}, {path: deep, weight: 1}]", "would give nothing"),
    "everything": ("sample.strategy=full", "takes everything"),
    "both": ("data.source=a.jsonl", "data.source is set too"),
    "adaptive": ("score.adaptive=true", "leave score.adaptive off"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_one_line(wrong: str) -> None:
    setting, message = WRONG[wrong]
    strategy = "complexity" if wrong == "adaptive" else "random"
    recipe = {"run_dir": "run", "data": {"sources": _sources()}, "curate": {"decontaminate": []}, "evaluate": {"enabled": False},
              "model": {"name": "demo"}, "sample": {"strategy": strategy, "unit": "records"}}  # fmt: skip
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    for more in ((), ("--plan",)):
        if more and wrong in ("too large", "too small"):
            continue  # by the pool of `select --plan`, below
        ended = cli("run", "recipe.yaml", setting, *more)
        assert ended.returncode == 2, ended.stderr
        told = [line for line in ended.stderr.splitlines() if line.startswith("codeact: ")]
        assert len(told) == 1
        assert "Traceback" not in ended.stderr
        assert message in told[0]


def test_a_quota_that_is_too_large_is_said_before_anything_is_scored_and_the_mend_works() -> None:
    with pytest.raises(InputError, match=r"deep should give 21 records \(weight 9 of 10, of 23\), and its pool has 18.*at most 0\.344") as told:
        codeact.select(["a.jsonl", "deep"], weights=[1, 9], model="none/such", strategy="random", unit="records", run_dir="run", settings=QUIET)
    ratio = float(str(told.value).rpartition(" ")[2])
    assert len(codeact.select(["a.jsonl", "deep"], weights=[1, 9], strategy="random", unit="records", ratio=ratio, run_dir="run", settings=QUIET)) == 20
    with pytest.raises(InputError, match="deep should give"):
        api.plan_select(["a.jsonl", "deep"], weights=[1, 9], strategy="random", unit="records", settings=QUIET)


def test_weights_that_do_not_fit_the_data_are_said() -> None:
    for weights, data, message in (
        ([1], ["a.jsonl", "deep"], "1 for 2 sources"),
        ([1, 1], pool_rows(2), "rows are in memory"),
        ([1, float("nan")], ["a.jsonl", "deep"], "weight = nan"),
    ):
        with pytest.raises(InputError, match=message):
            codeact.select(data, weights=weights, strategy="random", unit="records", run_dir="run")
    assert "give numbers with commas" in cli("select", "a.jsonl", "deep", "--weights", "3:1", "-o", "x.jsonl").stderr


def test_a_comparison_refuses_quotas_and_takes_mixtures_without() -> None:
    recipe = {"recipe": {"model": {"name": "demo"}, "data": {"sources": _sources()}}, "strategies": ["random"], "rates": [0.4], "seeds": [0], "run_dir": "c"}
    Path("compare.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    ended = cli("compare", "compare.yaml", "--plan")
    assert (ended.returncode, "keeps no quotas" in ended.stderr) == (2, True)


@given(st.integers(0, 10_000), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_shares_are_the_largest_remainders(total: int, numbers: list[float]) -> None:
    weights = {str(n): weight for n, weight in enumerate(numbers)}
    found = share_out(total, weights)
    assert sum(found.values()) == total
    whole = sum(Fraction(repr(weight)) for weight in numbers)
    assert all(abs(found[name] - total * Fraction(repr(weight)) / whole) < 1 for name, weight in weights.items())


def test_the_choice_of_a_source_is_that_of_its_own_pool() -> None:
    rng = np.random.default_rng(0)
    ids = [f"r{n}" for n in rng.permutation(300)]
    source = [("x", "y", "z")[n] for n in rng.integers(0, 3, 300)]
    ifd, cluster, tokens = rng.uniform(0.3, 1.2, 300), rng.integers(0, 4, 300), rng.integers(1, 90, 300)
    weights = {"x": 0.2, "y": 0.5, "z": 0.3}
    for unit in ("records", "tokens"):
        columns = {"ifd": ifd, "cluster": cluster, "response_tokens": tokens}
        found = choose_mixed(ids, Mixture(source, weights), strategy="cdas", ratio=0.25, unit=unit, **columns)  # type: ignore[arg-type]
        sizes = {name: sum(int(t) if unit == "tokens" else 1 for t, s in zip(tokens, source, strict=True) if s == name) for name in weights}
        given = quotas(sizes, weights, 0.25, unit)  # type: ignore[arg-type]
        for name in weights:
            rows = [n for n in range(300) if source[n] == name]
            own = choose(
                [ids[n] for n in rows], strategy="cdas", ratio=given[name] / sizes[name], unit=unit,  # type: ignore[arg-type]
                **{key: column[rows] for key, column in columns.items()},
            )  # fmt: skip
            assert found.selected[rows].tolist() == own.selected.tolist()
            assert found.rank[rows].tolist() == own.rank.tolist()
            assert [found.reason[n] for n in rows] == list(own.reason)
            if unit == "records":
                assert own.selected.sum() == given[name]



def test_the_control_has_the_tokens_of_the_selection_from_each_source(tiny_model_dir: Path) -> None:
    extra = {"run_dir": "run", "data.sources": _sources(1, 1), "sample.strategy": "longest", "sample.unit": "records", "sample.ratio": 0.3,
             "control": "random",
             "model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 256, "score.cache": False, **QUIET}  # fmt: skip
    store = run_pipeline(config.load_recipe(extra=extra), ("control",))
    tokens = dict(zip(store.table("lengths")["id"].to_pylist(), store.table("lengths")["response_tokens"].to_pylist(), strict=True))
    source = {row["id"]: row["source"] for row in store.table("records").select(["id", "source"]).to_pylist()}
    sums: dict[str, Counter[str]] = {}
    for stage in ("sample", "control"):
        sums[stage] = Counter()
        for row in store.table(stage).select(["id", "selected"]).to_pylist():
            sums[stage][source[row["id"]]] += tokens[row["id"]] if row["selected"] else 0
    for name, chosen in sums["sample"].items():
        assert abs(sums["control"][name] - chosen) <= max(tokens.values())


def test_chance_of_a_mixture_is_that_of_draws_by_its_quotas() -> None:
    store = _run("run", _sources(1, 3))
    quota = {name: one["quota"] for name, one in store.marker("sample")["summary"]["sources"].items()}
    assert quota == {"a.jsonl": 6, "deep ones": 17}
    found = codeact.stability("run", seeds=tuple(range(12)))
    both = 6**2 / 40 + 17**2 / 18
    assert found["chance"] == pytest.approx(both / (2 * 23 - both))
    assert found["seeds"]["mean"] == pytest.approx(found["chance"], abs=0.03)
    assert found["ks"] is None  # a random draw reads no clusters
    told = cli("stability", "run", "--ks", "2,3")
    assert f"by chance {found['chance']:.2f}" in told.stdout
    assert "number of clusters" not in told.stdout
    assert "strategy random reads no clusters, so another number of them changes nothing: left out" in told.stderr

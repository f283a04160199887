"""experiments/leaderboard: fixed pools, entrants that are checked, and results that are refused where they are not the board's."""

from __future__ import annotations

import copy
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codeact.comparison.grid import cells
from codeact.errors import InputError
from codeact.rundir.store import digest
from codeact.storage import write_jsonl
from experiments.leaderboard import pools, run


@pytest.mark.parametrize("name", pools.SIZES)
def test_pools_are_as_they_were_published(name: str) -> None:
    pool, (size, held_out, seed) = pools.find(name), pools.SIZES[name]
    assert (len(pool["ids"]), pool["held_out"], pool["seed"]) == (size, held_out, seed)
    assert len(set(pool["ids"])) == size


def test_a_changed_pool_or_a_wrong_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {"small": {**pools.find("small"), "ids": pools.find("small")["ids"][:-1]}}
    with pytest.raises(InputError, match="no pool 'large'; the pools are small"):
        pools.find("large")
    monkeypatch.setattr(pools, "known", lambda: changed)
    with pytest.raises(InputError, match="were changed"):
        pools.find("small")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pool of 30 made-up records, 6 of them to be held out."""
    rows = [{"instruction": f"Add {n} to a number.", "output": f"def f(x):\n    return x + {n}\n"} for n in range(40)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    ids = sorted(record.id for record in pools.read_data(tmp_path / "data.jsonl").records)[:30]
    pool = {"ids": ids, "held_out": 6, "seed": 3, "digest": digest(ids)}
    monkeypatch.setattr(pools, "known", lambda: {"made": pool})
    pools.write_source(pool, tmp_path / "data.jsonl", tmp_path / "root" / "source.jsonl")
    return tmp_path


def test_candidates_are_the_pool_without_what_is_held_out(made: Path) -> None:
    plan = run.comparison("made", made / "root", None, "demo", "auto")
    ids = run.candidates(plan, made / "root")
    assert len(ids) == 24
    assert set(ids) < set(pools.find("made")["ids"])
    run.check_list(ids[:5], ids, "mine.txt")
    (held,) = list(set(pools.find("made")["ids"]) - set(ids))[:1]
    with pytest.raises(InputError, match=rf"mine.txt: entry 2, '{held}', is no candidate"):
        run.check_list([ids[0], held], ids, "mine.txt")
    with pytest.raises(InputError, match=r"entry 3, .* is there twice"):
        run.check_list([ids[0], ids[1], ids[0]], ids, "mine.txt")
    with pytest.raises(InputError, match="has no record"):
        pools.write_source({"ids": ["0" * 16]}, made / "data.jsonl", made / "x.jsonl")


def test_an_entry_is_trained_beside_three_draws_a_seed_at_equal_tokens(made: Path) -> None:
    own = {"name": "mine", "strategy": "list", "set": {"sample.listed": "mine.txt"}}
    planned = cells(run.comparison("made", made / "root", own, "demo", "auto"))
    assert len(planned) == 4 * len(run.SEEDS) * len(pools.BUDGETS)
    assert {cell.unit for cell in planned} == {"tokens"}
    drawn = {cell.recipe.sample.seed for cell in planned if cell.entrant in run.RANDOM}
    assert len(drawn) == 3 * len(run.SEEDS)
    assert {cell.recipe.sample.listed for cell in planned if cell.entrant == "mine"} == {"mine.txt"}


def sent() -> dict[str, Any]:
    """A sound result."""
    ids = pools.find("made")["ids"][:10]
    change = {"difference": -0.01, "interval": [-0.02, 0.0], "seeds": 3}
    rows = [
        {
            "entrant": name, "strategy": "x", "rate": rate, "unit": "tokens", "seeds": [0, 1, 2], "records": 9.0, "response_tokens": 1000.0,
            "metrics": {"held-out loss": {"value": 0.5, "interval": [0.4, 0.6], "minus_base": None, "minus_against": change}, "m": None},
        }
        for rate in pools.BUDGETS
        for name in (*run.RANDOM, "mine")
    ]  # fmt: skip
    return {
        "form": 1, "pool": "made", "pool_digest": pools.find("made")["digest"], "model": "demo", "entrant": "mine", "strategy": "list",
        "list": ids, "list_digest": digest(ids), "base": {}, "lower_is_better": {"held-out loss": True, "m": True}, "rows": rows,
        "uneven": [], "versions": {},
    }  # fmt: skip


def test_a_sound_result_stands_on_the_board(made: Path) -> None:
    found = json.loads(json.dumps(sent()))
    assert run.faults(found) == []
    lines = run.board([found])
    assert len(lines) == 2 + len(pools.BUDGETS)
    assert "-0.0100 [-0.0200, +0.0000]" in lines[2]


def _changed(**more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found.update(more)


def _tokens(found: dict[str, Any]) -> None:
    found["rows"][3]["response_tokens"] = 1300.0


def _no_number(found: dict[str, Any]) -> None:
    found["rows"][0]["metrics"]["held-out loss"]["value"] = float("nan")


def _one_seed_less(found: dict[str, Any]) -> None:
    found["rows"][7]["seeds"] = [0, 1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_changed(form=9), "form 9; this kit reads 1"),
        (_changed(pool="large"), "pool 'large' is none of made"),
        (_changed(pool_digest="0"), "another version of pool 'made'"),
        (_changed(list=["a"]), "not the one that was trained on"),
        (_changed(list=["a"]), "1 records that are not in the pool, 'a' first"),
        (_tokens, "budgets at 10% are not equal: 1,000 to 1,300 response tokens"),
        (_no_number, "random at 10% has a figure that is no number"),
        (_one_seed_less, "no mine at 40% with seeds 0, 1, 2"),
        (lambda found: found.pop("rows"), "lacks rows"),
    ],
)
def test_what_is_not_the_boards_is_refused(made: Path, change: Callable[[dict[str, Any]], None], told: str) -> None:
    found = copy.deepcopy(sent())
    change(found)
    assert any(told in line for line in run.faults(found)), run.faults(found)


def test_check_says_of_every_file_what_it_is_and_never_how_it_failed(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "sound": json.dumps(sent()), "list": "[1, 2]", "text": "no JSON", "rows": json.dumps({**sent(), "rows": [1]}),
        "pool": json.dumps({**sent(), "pool": ["made"]}),
        "metrics": json.dumps({**sent(), "rows": [{**sent()["rows"][0], "metrics": {"m": {"value": 1.0, "minus_against": {"difference": 2}}}}]}),
    }  # fmt: skip
    for name, text in texts.items():
        (made / f"{name}.json").write_text(text, encoding="utf-8")
    (made / "cut.json.xz").write_bytes(lzma.compress(texts["sound"].encode())[:40])
    names = ["sound.json", "list.json", "text.json", "rows.json", "metrics.json", "pool.json", "cut.json.xz", "none.json.xz"]
    monkeypatch.setattr("sys.argv", ["run", "check", *(str(made / name) for name in names)])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 1
    told = dict(line.removeprefix(f"{made}/").split(": ", 1) for line in capsys.readouterr().out.splitlines() if line.startswith(str(made)))
    assert told == {
        "sound.json": "sound", "list.json": "is no result of `enter`", "text.json": "cannot be read; give the .json.xz file that `enter` wrote",
        "rows.json": "a row is not as `enter` writes it", "metrics.json": "a row is not as `enter` writes it",
        "pool.json": "one of pool, model, entrant, list, rows, lower_is_better is not as `enter` writes it",
        "cut.json.xz": "cannot be read; give the .json.xz file that `enter` wrote",
        "none.json.xz": "does not exist; `enter` writes it when all its trainings are done",
    }  # fmt: skip

"""experiments/leaderboard: fixed pools, entrants that are checked, and results that are refused where they are not the board's."""

from __future__ import annotations

import copy
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import result_files
from codeact.comparison.grid import cells
from codeact.errors import InputError
from codeact.records import read_data
from codeact.rundir.store import digest
from codeact.storage import read_rows, write_jsonl
from experiments.leaderboard import pools, results, rules, run

IDENTITY = "sha256:" + "0a" * 16
PUBLISHED = {"small": "d189b46ddfff3ebf", "small-2": "3283b27ef838950b", "middle": "21190560843dd9d1"}  # of the ids


@pytest.mark.parametrize("name", pools.SIZES)
def test_pools_are_as_they_were_published(name: str) -> None:
    pool, (size, held_out, seed) = pools.find(name), pools.SIZES[name]
    assert (len(pool["ids"]), pool["held_out"], pool["seed"]) == (size, held_out, seed)
    assert digest(pool["ids"]) == PUBLISHED[name]
    assert len(pools.candidates(pool)) == len(set(pool["ids"])) - len(pool["held_out_ids"]) == size - 60


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pool of 30 made-up records, 6 of them to be held out."""
    rows = [{"instruction": f"Add {n} to a number.", "output": f"def f(x):\n    return x + {n}\n"} for n in range(40)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    ids = sorted(record.id for record in read_data(tmp_path / "data.jsonl").records)[:30]
    monkeypatch.setattr(pools, "FILE", tmp_path / "pools.json.xz")
    result_files.write(pools.FILE, {"made": pools.described(ids, 6, 3, tmp_path / "data.jsonl")})
    return tmp_path


@pytest.mark.parametrize("change", [{"ids": ["a"]}, {"seed": 4}, {"held_out": 5}, {"held_out_ids": []}, {"bytes": {"all": 1, "longest": 1}}])
def test_a_changed_pool_or_a_wrong_name_is_refused(made: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no pool 'large'; the pools are made"):
        pools.find("large")
    result_files.write(pools.FILE, {"made": {**pools.find("made"), **change}})
    with pytest.raises(InputError, match="was changed"):
        pools.find("made")


def test_the_pools_records_are_found_by_what_they_say_whatever_ids_their_rows_have(made: Path) -> None:
    pool, rows = pools.find("made"), read_rows(made / "data.jsonl").rows
    write_jsonl(made / "numbered.jsonl", [{"id": f"row-{n}", **row} for n, row in enumerate(rows)])
    for name in ("data", "numbered"):
        pools.write_source(pool, made / f"{name}.jsonl", made / f"{name}-source.jsonl")
    assert (made / "data-source.jsonl").read_bytes() == (made / "numbered-source.jsonl").read_bytes()
    write_jsonl(made / "spoofed.jsonl", [{"id": one, "instruction": f"made up {one}", "output": "x"} for one in pool["ids"]])
    with pytest.raises(InputError, match=f"has no record whose content gives it the id {pool['ids'][0]}"):
        pools.write_source(pool, made / "spoofed.jsonl", made / "x.jsonl")


def test_candidates_are_the_pool_without_what_is_held_out(made: Path) -> None:
    pool = pools.find("made")
    plan = run.comparison("made", made / "root", None, "demo", "auto")
    pools.write_source(pool, made / "data.jsonl", made / "root" / "source.jsonl")
    ids = run.candidates(plan, pool)
    assert len(ids) == 24
    assert set(ids) == pools.candidates(pool)
    run.check_list(ids[:5], ids, "mine.txt")
    held = pool["held_out_ids"][0]
    with pytest.raises(InputError, match=rf"mine.txt: entry 2, '{held}', is no candidate"):
        run.check_list([ids[0], held], ids, "mine.txt")
    with pytest.raises(InputError, match=r"entry 3, .* is there twice"):
        run.check_list([ids[0], ids[1], ids[0]], ids, "mine.txt")
    with pytest.raises(InputError, match="holds other records out"):
        run.candidates(plan, {**pool, "held_out_ids": ids[:6]})


def test_an_entry_is_trained_beside_three_draws_a_seed_at_equal_tokens(made: Path) -> None:
    own = {"name": "mine", "strategy": "list", "set": {"sample.listed": "mine.txt"}}
    planned = cells(run.comparison("made", made / "root", own, "demo", "auto"))
    assert len(planned) == 4 * len(rules.SEEDS) * len(rules.BUDGETS)
    assert {cell.unit for cell in planned} == {"tokens"}
    drawn = {cell.recipe.sample.seed for cell in planned if cell.entrant in rules.RANDOM}
    assert len(drawn) == 3 * len(rules.SEEDS)
    assert {cell.recipe.sample.listed for cell in planned if cell.entrant == "mine"} == {"mine.txt"}


def called(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a call of the kit."""
    monkeypatch.setattr("sys.argv", ["run", *map(str, words)])
    try:
        run.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--list", "mine.txt", "--name", "my entry"], "the name 'my entry' does not fit"),
        (["--list", "mine.txt", "--name", "../../x"], "does not fit"),
        (["--list", "mine.txt", "--name", "n" * 61], "does not fit"),
        (["--list", "mine.txt", "--name", "Random-2"], "'Random-2' is that of a random draw"),
        (["--list", "mine.txt"], "name the entrant"),
        (["--list", "mine.txt", "--name", "mine", "--strategy", "cdas"], "not allowed with"),
        (["--strategy", "list"], "give --list FILE"),
        (["--strategy", "bogus"], "'bogus': unknown"),
        (["--strategy", "full"], "'full' has no budget of tokens"),
        (["--strategy", "cdas-paper"], "'cdas-paper' has no budget of tokens"),
        (["--strategy", "random", "--name", "mine"], "what entrants are compared with"),
        (["--strategy", "cdas", "--dtype", "float31"], "dtype"),
        (["--strategy", "cdas", "--model", "./none"], "no such folder"),
    ],
)  # fmt: skip
def test_what_cannot_stand_on_the_board_is_refused_in_a_line_before_anything_is_written(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(made)
    (made / "mine.txt").write_text("\n".join(pools.find("made")["ids"]), encoding="utf-8")
    before = sorted(made.rglob("*"))
    assert called(monkeypatch, "enter", "--pool", "made", "--data", "data.jsonl", *words) == 2
    error = capsys.readouterr().err
    assert told in error.splitlines()[-1], error
    assert "Traceback" not in error
    assert sorted(made.rglob("*")) == before


def test_a_list_that_misses_a_budget_is_refused_before_any_measuring(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_model_dir: Path
) -> None:
    ids = sorted(pools.candidates(pools.find("made")))
    (made / "short.txt").write_text("\n".join(ids[:4]), encoding="utf-8")
    words = ("enter", "--pool", "made", "--data", made / "data.jsonl", "--runs", made / "runs", "--out", made / "out", "--model", tiny_model_dir)
    assert called(monkeypatch, *words, "--list", made / "short.txt", "--name", "short", "--dtype", "float32") == 2
    error = capsys.readouterr().err
    assert "4 of its 4 records are taken for this budget" in error
    assert "40% of the pool are" in error
    (label,) = (path.name for path in (made / "runs" / "made").iterdir())
    assert label.startswith(f"{tiny_model_dir.name}-")
    assert label.endswith("-float32")
    assert not list(made.rglob("base"))

    taken = made / "out" / f"short-made-{label}.json.xz"
    result_files.write(taken, {"form": results.FORM, "entrant": "short"})
    assert called(monkeypatch, *words, "--list", made / "short.txt", "--name", "short", "--dtype", "float32") == 2
    assert f"{taken} holds another result; move it away" in capsys.readouterr().err


def sent(name: str = "mine", strategy: str = "list", **more: Any) -> dict[str, Any]:
    """A sound result."""
    pool = pools.find("made")
    ids = sorted(pools.candidates(pool))[:12]
    chosen = {f"{rate:g}": {str(seed): ids[:9] for seed in rules.SEEDS} for rate in rules.BUDGETS}

    def metric(own: bool) -> dict[str, Any]:
        value = 0.5 if own else 0.53
        difference = -0.03 if own else 0.0
        change = {"difference": difference, "interval": [difference - 0.01, difference + 0.01], "items": 6, "seeds": 3}
        return {"value": value, "interval": [0.4, 0.6], "items": 6, "minus_base": None, "minus_against": change}

    rows = [
        {
            "entrant": one, "strategy": strategy if one == name else "random", "rate": rate, "unit": "tokens", "seeds": [0, 1, 2],
            "records": 9.0, "response_tokens": 300 * rate, "metrics": {measure: metric(one == name) for measure in rules.MEASURES},
        }
        for rate in rules.BUDGETS
        for one in (*rules.RANDOM, name)
    ]  # fmt: skip
    listed = ids if strategy == "list" else []
    return {
        "form": results.FORM, "pool": "made", "pool_digest": pool["digest"], "pool_tokens": 300, "model": "demo", "model_identity": IDENTITY,
        "dtype": "float32", "entrant": name, "strategy": strategy, "list": listed, "list_digest": digest(listed),
        "chosen": {} if strategy == "list" else chosen, "base": dict.fromkeys(rules.MEASURES, 0.6), "rows": rows, "uneven": [],
        "versions": {"python": "3.11"}, **more,
    }  # fmt: skip


def test_a_sound_result_stands_on_the_board(made: Path) -> None:
    for found in (sent(), sent("our-cdas", "cdas")):
        found = json.loads(json.dumps(found))
        assert results.faults(found) == []
        lines = results.board([found])
        assert len(lines) == 2 + len(rules.BUDGETS) * len(rules.MEASURES)
        assert "-0.0300 [-0.0400, -0.0200]" in lines[2]
        assert [line.split(" | ")[5] for line in lines[2:]] == 2 * [
            "held-out loss", "humanevalpack-python bits_per_byte", "cruxeval-o bits_per_byte", "humanevalpack-python margin_per_token",
            "humanevalpack-python margin",
        ]  # fmt: skip


def test_results_of_models_of_one_name_but_other_weights_or_number_types_are_boards_of_their_own(made: Path, tmp_path: Path) -> None:
    other = "sha256:" + "ff" * 16
    mixed = [sent(), sent("b", dtype="bfloat16"), sent("c", model_identity=other), sent("d")]
    assert {results.board_of(one) for one in mixed} == {("made", IDENTITY, "float32"), ("made", IDENTITY, "bfloat16"), ("made", other, "float32")}
    assert len({line.split("|")[2] for line in results.board(mixed)[2:]}) == 3
    (tmp_path / "my model").mkdir()
    assert results.published(str(tmp_path / "my model")) == "my_model"
    assert results.label("org/name", IDENTITY, "float32") != results.label("org/name", other, "float32")


def test_a_result_is_replaced_by_the_same_figures_only(made: Path) -> None:
    path = made / "mine.json.xz"
    results.write_result(path, sent())
    results.write_result(path, sent(date="2030-01-01", versions={"python": "3.12"}))
    assert results.read_result(path)["date"] == "2030-01-01"
    with pytest.raises(InputError, match="holds another result"):
        results.write_result(path, sent(dtype="bfloat16"))
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"cannot be read; .*; move it away"):
        results.write_result(path, sent())


Change = Callable[[dict[str, Any]], object]


def _set(*keys: Any, to: Any) -> Change:
    """Put a value where these keys lead."""

    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = to

    return change


def _one(*keys: Any, to: Any, row: int = 3) -> Change:
    """Put a value into the held-out loss of a row; the fourth is the entrant's."""
    return _set("rows", row, "metrics", "held-out loss", *keys, to=to)


def _held_out(found: dict[str, Any]) -> None:
    found["list"] = pools.find("made")["held_out_ids"]
    found["list_digest"] = digest(found["list"])


def _row_again(found: dict[str, Any]) -> None:
    found["rows"].insert(0, {**copy.deepcopy(found["rows"][3]), "seeds": [7]})


def _another_rate(found: dict[str, Any]) -> None:
    found["rows"].append({**copy.deepcopy(found["rows"][3]), "rate": 0.9})


def _over_budget(found: dict[str, Any]) -> None:
    for row in found["rows"]:
        row["response_tokens"] = 50_000.0


def _forged_difference(found: dict[str, Any]) -> None:
    found["rows"][3]["metrics"]["held-out loss"]["minus_against"].update(difference=-3.0, interval=[-3.1, -2.9])


def _forged_name(name: str) -> Change:
    def change(found: dict[str, Any]) -> None:
        found["entrant"] = name
        for row in (found["rows"][3], found["rows"][7]):
            row["entrant"] = name

    return change


SHAPE, NAME = "a row is not as `enter` writes it", "does not fit"
REFUSED: list[tuple[Change, str]] = [
    (_set("form", to=1), "form 1; this kit reads 3"),
    (_set("pool", to="large"), "pool 'large' is none of made"),
    (_set("pool", to=["made"]), "pool: not as `enter` writes it"),
    (_set("pool_digest", to="0"), "another version of pool 'made'"),
    (_set("list", to=["\ud800"]), "names 1 records that are no candidates of the pool, '\\ud800' first"),
    (_set("list", to=[]), "its list is empty"),
    (_set("list_digest", to="0"), "not the one that was trained on"),
    (_held_out, "names 6 records that are no candidates"),
    (_row_again, "more rows than the board has: 'mine' at 0.1"),
    (_another_rate, "more rows than the board has: 'mine' at 0.9"),
    (_set("rows", 3, "rate", to=True), SHAPE),
    (_over_budget, "the budget is not met: 50,000 response tokens, and 10% of the pool are 30"),
    (_set("pool_tokens", to=10**400), "pool_tokens: of type int are not what the pool's"),
    (_set("rows", 7, "seeds", to=[0, 1]), "'mine' at 40%: not trained with seeds 0, 1, 2"),
    (_set("rows", 3, "unit", to="records"), "with a budget of tokens, and the row says otherwise"),
    (_set("rows", 0, "strategy", to="full"), "of strategy 'random', with a budget of tokens"),
    (_set("rows", 3, "records", to=900), "trained on 900 records, and the ids that it names are not so many"),
    (_set("rows", 3, "response_tokens", to=float("nan")), SHAPE),
    (_set("rows", 3, "response_tokens", to=10**400), SHAPE),
    (_set("rows", 3, "metrics", to={"m": {"value": 1.0, "minus_against": {"difference": 2}}}), SHAPE),
    (_forged_difference, "held-out loss: the values differ by -0.0300, and -3.0000 [-3.1000, -2.9000] is given"),
    (_one("minus_against", "interval", to=[1.0, 2.0]), "-0.0300 [+1.0000, +2.0000] is given"),
    (_one("minus_against", "difference", to=float("nan")), "a figure is no number"),
    (_one("minus_against", "interval", to=[float("-inf"), float("inf")]), "a figure is no number"),
    (_one("value", to=10**400), "a figure is no number"),
    (_one("items", to=[6], row=0), "a figure is no number"),
    (_one("items", to=5), "measured on other items"),
    (_one("minus_against", to=None), "held-out loss: not measured, or without a difference"),
    (_set("rows", 3, "metrics", "held-out loss", to=None), "held-out loss: not measured"),
    (lambda found: found["rows"][3]["metrics"].popitem(), "its measures are not the board's"),
    (_set("rows", 3, "metrics", "more", to=None), "its measures are not the board's"),
    (lambda found: found["rows"].pop(), "no 'mine' at 40%"),
    (_set("base", "held-out loss", to=None), "base: the model before training"),
    (_set("versions", to={}), "names no versions"),
    (_set("versions", to=None), "versions: not as `enter` writes it"),
    (lambda found: found.pop("rows"), "lacks rows"),
    (_forged_name("mine | held-out loss | -9 |\n| made | demo | 10% | winner"), NAME),
    (_forged_name("\x1b[2J\x1b[31mred"), NAME),
    (_forged_name("Random"), "is that of a random draw"),
    (_set("model", to="a | b"), "model, model_identity or dtype is not"),
    (_set("model", to="/home/me/x"), "model, model_identity or dtype is not"),
    (_set("model_identity", to="sha256:0\n"), "model, model_identity or dtype is not"),
    (_set("dtype", to="int3"), "model, model_identity or dtype is not"),
    (_set("strategy", to="bogus"), "'bogus': unknown"),
    (_set("chosen", to={"0.1": {}}), "chosen: an entrant that is a list has none"),
]
OF_STRATEGIES: list[tuple[Change, str]] = [
    (_set("chosen", to={}), "chosen: it does not hold the ids of each budget and seed"),
    (_set("chosen", "0.1", "2", to=7), "chosen: it does not hold the ids of each budget and seed"),
    (_set("chosen", "0.1", "2", to=[{}]), "chosen at 0.1 with seed 2 names 1 records that are no candidates of the pool, of type dict first"),
    (lambda found: found["chosen"]["0.4"]["0"].append(found["chosen"]["0.4"]["0"][0]), "chosen at 0.4 with seed 0 names a record twice"),
    (lambda found: found["chosen"]["0.4"]["0"].pop(), "40%: it was trained on 9 records"),
    (_set("list", to=["a"]), "its list is of no use"),
]  # fmt: skip


@pytest.mark.parametrize("ours", [False, True])
def test_what_is_not_the_boards_is_refused(made: Path, ours: bool) -> None:
    for change, told in OF_STRATEGIES if ours else REFUSED:
        found = copy.deepcopy(sent("our-cdas", "cdas") if ours else sent())
        change(found)
        lines = results.faults(found)
        assert any(told in line for line in lines), (told, lines)
        assert all(line.isascii() and line.isprintable() and len(line) < 700 for line in lines), lines


def test_check_says_of_every_file_what_it_is_and_never_how_it_failed(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    huge = json.dumps(sent()).replace('"response_tokens": 30.0', f'"response_tokens": 1{"0" * 400}')
    texts = {
        "sound": json.dumps(sent()), "again": json.dumps(sent("MINE")), "list": "[1, 2]", "text": "no JSON", "huge": huge,
        "deep": "[" * 100_000, "large": " " * (results.MOST_BYTES + 1),
    }  # fmt: skip
    for name, text in texts.items():
        (made / f"{name}.json.xz").write_bytes(lzma.compress(text.encode()))
    (made / "cut.json.xz").write_bytes(lzma.compress(texts["sound"].encode())[:40])
    names = [*texts, "cut", "none"]
    assert called(monkeypatch, "check", *(made / f"{name}.json.xz" for name in names)) == 1
    shown = capsys.readouterr().out
    told = dict(line.removeprefix(f"{made}/").split(".json.xz: ", 1) for line in shown.splitlines() if line.startswith(str(made)))
    unread = "cannot be read; give the .json.xz file that `enter` wrote"
    assert told == {
        "sound": "sound", "again": f"{made / 'sound.json.xz'} is of an entrant of this name on the same board; give one of the two",
        "list": "is no result of `enter`", "text": unread, "huge": SHAPE, "deep": unread, "cut": unread,
        "large": "holds more than 4,000,000 bytes; give the .json.xz file that `enter` wrote",
        "none": "does not exist; `enter` writes it when all its trainings are done",
    }  # fmt: skip
    assert shown.count("| mine |") == len(rules.BUDGETS) * len(rules.MEASURES)
    assert "| MINE |" not in shown

"""One command for a leaderboard entry: an entrant's list of ids, trained and measured beside three random draws; or a check of results.

    python -m experiments.real_records --out runs/real_records.jsonl
    python -m experiments.leaderboard.run candidates --pool small                      # the records to choose from, with their ids
    python -m experiments.leaderboard.run enter --pool small --list mine.txt --name mine --minutes 9      # again and again, until it says done
    python -m experiments.leaderboard.run enter --pool small --strategy cdas --minutes 9                  # one of ours
    python -m experiments.leaderboard.run check results/*.json                          # those that others sent, too

A killed call goes on where it was, inside a training too; `--minutes 9` begins no further training after nine minutes. The result file is
written when all trainings are done. Rules: README.md beside this file.
"""

from __future__ import annotations

import argparse
import lzma
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from codeact.comparison.grid import Comparison
from codeact.comparison.run import run_comparison
from codeact.comparison.split import divide
from codeact.errors import CodeactError, InputError
from codeact.rundir.store import digest
from codeact.stages.listed import read_list
from codeact.storage import read_rows
from experiments.leaderboard import pools

FORM = 1
RANDOM = ("random", "random-2", "random-3")
SEEDS = (0, 1, 2)
UNEQUAL = 0.02  # of the response tokens, above which two selections are not of equal size


def comparison(pool_name: str, root: Path, entrant: Mapping[str, Any] | None, model: str, dtype: str) -> Comparison:
    """The comparison of an entrant with three random draws on a pool; without an entrant, of the draws alone."""
    pool = pools.find(pool_name)
    draws = [{"name": name, "strategy": "random", "draw": n} for n, name in enumerate(RANDOM)]
    evaluate = {"tasks": ["humaneval", "humanevalpack-python", "cruxeval-o"], "generate_limit": 0}
    train = {"method": "lora", "epochs": 1, "batch_size": 1, "learning_rate": 1e-3, "warmup_steps": 2, "merge": True, "save_steps": 20}
    recipe = {
        "seed": pool["seed"], "model": {"name": model, "max_length": 1024, "dtype": dtype, "template": "auto"},
        "data": {"source": str(root / "source.jsonl")}, "curate": {"dedup": False, "decontaminate": [], "verify": False},
        "embed": {"model": "demo"}, "cluster": {"k": 10}, "pack": {"scope": "epoch"}, "train": train, "evaluate": evaluate,
    }  # fmt: skip
    strategies = [*draws, *([entrant] if entrant else [])]
    return Comparison.model_validate(
        {"run_dir": str(root / "compare"), "recipe": recipe, "strategies": strategies, "rates": pools.BUDGETS, "units": ["tokens"],
         "seeds": SEEDS, "held_out": pool["held_out"], "against": RANDOM}
    )  # fmt: skip


def candidates(plan: Comparison, root: Path) -> list[str]:
    """Ids that may be chosen, the rows in `pool.jsonl` of the comparison's run directory; the held-out ones are not among them."""
    folder = Path(plan.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    divide(plan, folder)
    return [str(row["id"]) for row in read_rows(folder / "pool.jsonl").rows]


def check_list(entries: Sequence[str], ids: Sequence[str], name: str) -> None:
    """An entrant's list.

    Raises:
        InputError: an id that is no candidate, or one twice.
    """
    known, seen = set(ids), set()
    for place, entry in enumerate(entries, 1):
        if entry not in known:
            raise InputError(f"{name}: entry {place}, {entry!r}, is no candidate of this pool; `candidates` writes them")
        if entry in seen:
            raise InputError(f"{name}: entry {place}, {entry!r}, is there twice")
        seen.add(entry)


def result(summary: Mapping[str, Any], pool_name: str, entrant: Mapping[str, Any], entries: Sequence[str], model: str) -> dict[str, Any]:
    """What is sent."""
    return {
        "form": FORM, **machine.provenance(), "pool": pool_name, "pool_digest": pools.find(pool_name)["digest"], "model": model,
        "entrant": entrant["name"], "strategy": entrant["strategy"], "list": list(entries), "list_digest": digest(list(entries)),
        "base": summary["base"], "lower_is_better": summary["lower_is_better"],
        "rows": [{k: v for k, v in row.items() if k != "training_seconds"} for row in summary["rows"]], "uneven": summary["uneven"],
    }  # fmt: skip


def read_result(path: Path) -> Any:
    """The document of a result file, whoever sent it.

    Raises:
        InputError: there is none that can be read.
    """
    try:
        return result_files.read(path)
    except FileNotFoundError as error:
        raise InputError("does not exist; `enter` writes it when all its trainings are done") from error
    except (OSError, ValueError, RecursionError, lzma.LZMAError, EOFError) as error:
        raise InputError("cannot be read; give the .json.xz file that `enter` wrote") from error


def faults(found: Any) -> list[str]:
    """What is wrong with a result file, one line each; none: it may stand on the board."""
    if not isinstance(found, Mapping):
        return ["is no result of `enter`"]
    keys = ("form", "pool", "pool_digest", "model", "entrant", "list", "list_digest", "rows", "base", "lower_is_better", "versions")
    lacking = [key for key in keys if key not in found]
    if lacking:
        return [f"lacks {', '.join(lacking)}"]
    kinds = {"pool": str, "model": str, "entrant": str, "list": list, "rows": list, "lower_is_better": dict}
    if not all(isinstance(found[key], kind) for key, kind in kinds.items()) or not all(isinstance(one, str) for one in found["list"]):
        return [f"one of {', '.join(kinds)} is not as `enter` writes it"]
    if not all(_is_row(row, found["lower_is_better"]) for row in found["rows"]):
        return ["a row is not as `enter` writes it"]
    told: list[str] = []
    if found["form"] != FORM:
        told.append(f"form {found['form']!r}; this kit reads {FORM}")
    pool = pools.known().get(found["pool"])
    if pool is None:
        return [*told, f"pool {found['pool']!r} is none of {', '.join(pools.known())}"]
    if found["pool_digest"] != pool["digest"]:
        told.append(f"made on another version of pool {found['pool']!r}")
    if digest(found["list"]) != found["list_digest"]:
        told.append("its list is not the one that was trained on")
    outside = set(found["list"]) - set(pool["ids"])
    if outside:
        told.append(f"its list names {len(outside)} records that are not in the pool, {min(outside)!r} first")
    if len(set(found["list"])) < len(found["list"]):
        told.append("its list names a record twice")
    rows = {(row["entrant"], row["rate"]): row for row in found["rows"]}
    for rate in pools.BUDGETS:
        for name in (*RANDOM, found["entrant"]):
            row = rows.get((name, rate))
            if row is None or sorted(row["seeds"]) != list(SEEDS):
                told.append(f"no {name} at {rate:.0%} with seeds {', '.join(map(str, SEEDS))}")
                continue
            values = [one["value"] for one in row["metrics"].values() if one is not None]
            if not values or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
                told.append(f"{name} at {rate:.0%} has a figure that is no number")
        sizes = [rows[name, rate]["response_tokens"] for name in (*RANDOM, found["entrant"]) if (name, rate) in rows]
        if sizes and max(sizes) - min(sizes) > UNEQUAL * max(sizes):
            told.append(f"budgets at {rate:.0%} are not equal: {min(sizes):,.0f} to {max(sizes):,.0f} response tokens")
    return told


def _is_row(row: Any, metrics: Collection[str]) -> bool:
    """Whether a row has all that is read of it, in the types that it is read as."""
    kinds = {"entrant": str, "rate": int | float, "seeds": list, "response_tokens": int | float, "metrics": dict}
    if not isinstance(row, Mapping) or not all(isinstance(row.get(key), kind) for key, kind in kinds.items()):
        return False
    if not all(isinstance(seed, int) for seed in row["seeds"]):
        return False
    return all(name in metrics and (one is None or _is_metric(one)) for name, one in row["metrics"].items())


def _is_metric(one: Any) -> bool:
    if not isinstance(one, Mapping) or not {"value", "minus_against"} <= one.keys():
        return False
    change = one["minus_against"]
    return change is None or (isinstance(change, Mapping) and all(isinstance(n, int | float) for n in _figures(change)))


def _figures(change: Mapping[str, Any]) -> list[Any]:
    """The difference and the two ends of its interval; something that is no number where one lacks."""
    ends = change.get("interval")
    return [change.get("difference"), *(ends if isinstance(ends, list) and len(ends) == 2 else [None])]


def board(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: of each pool, model and budget the entrants' differences to the mean of the three draws, best held-out loss first."""
    lines = ["| pool | model | budget | entrant | measure | minus random |", "|---|---|---|---|---|---|"]
    rows = []
    for found in results:
        for row in found["rows"]:
            if row["entrant"] == found["entrant"]:
                for metric, one in row["metrics"].items():
                    if one is not None and one["minus_against"] is not None:
                        change = one["minus_against"]
                        sign = 1 if found["lower_is_better"][metric] else -1
                        key = (found["pool"], found["model"], row["rate"], metric, sign * change["difference"])
                        between = "[{:+.4f}, {:+.4f}]".format(*change["interval"])
                        told = f"{change['difference']:+.4f} {between}"
                        rows.append((key, f"| {found['pool']} | {found['model']} | {row['rate']:.0%} | {row['entrant']} | {metric} | {told} |"))
    return [*lines, *(line for _, line in sorted(rows))]


def enter(options: argparse.Namespace) -> None:
    """Go on with an entry; write its result file when it is done."""
    root = options.runs / options.pool / (options.name or options.strategy)
    own: dict[str, Any] = {"name": options.name or f"our-{options.strategy}", "strategy": options.strategy}
    pools.write_source(pools.find(options.pool), options.data, root / "source.jsonl")
    entries: list[str] = []
    if options.list:
        entries = read_list(str(options.list))
        bare = comparison(options.pool, root, None, options.model, options.dtype)
        check_list(entries, candidates(bare, root), str(options.list))
        own = {"name": own["name"], "strategy": "list", "set": {"sample.listed": str(options.list)}}
    plan = comparison(options.pool, root, own, options.model, options.dtype)
    summary = run_comparison(plan, minutes=options.minutes)
    done, planned = summary["cells"]["done"], summary["cells"]["planned"]
    if done < planned:
        print(f"{done} of {planned} trainings are done; run the same command again to go on")
        return
    found = result(summary, options.pool, own, entries, options.model)
    wrong = faults(found)
    path = options.out / f"{own['name']}-{options.pool}.json.xz"
    result_files.write(path, found)
    print("\n".join([f"done: {path}", *(f"fault: {line}" for line in wrong)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="action", required=True)
    for name in ("candidates", "enter"):
        command = commands.add_parser(name)
        command.add_argument("--pool", required=True)
        command.add_argument("--data", type=Path, default=Path("runs/real_records.jsonl"))
        command.add_argument("--runs", type=Path, default=Path("runs/leaderboard"))
        command.add_argument("--model", default="demo")
        command.add_argument("--dtype", default="auto")
    command.add_argument("--list", type=Path, help="ids, the first to take first")
    command.add_argument("--strategy", default="list", help="one of ours instead of a list")
    command.add_argument("--name", default="")
    command.add_argument("--minutes", type=float, default=9.0)
    command.add_argument("--out", type=Path, default=Path("runs/leaderboard/results"))
    look = commands.add_parser("check")
    look.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    try:
        if options.action == "check":
            sound = []
            for path in options.files:
                try:
                    found = read_result(path)
                    wrong = faults(found)
                except InputError as error:
                    found, wrong = None, [str(error)]
                print("\n".join(f"{path}: {line}" for line in wrong or ["sound"]))
                sound += [] if wrong else [found]
            print("\n".join(board(sound)))
            if len(sound) < len(options.files):
                sys.exit(1)
        elif options.action == "candidates":
            root = options.runs / options.pool / "candidates"
            pools.write_source(pools.find(options.pool), options.data, root / "source.jsonl")
            plan = comparison(options.pool, root, None, options.model, options.dtype)
            print(f"{len(candidates(plan, root)):,} candidates: {Path(plan.run_dir) / 'pool.jsonl'}")
        elif not options.list and options.strategy == "list":
            parser.error("give --list FILE of ids, or --strategy NAME")
        else:
            enter(options)
    except CodeactError as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

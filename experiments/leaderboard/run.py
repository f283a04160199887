"""One command for a leaderboard entry: an entrant's list of ids, trained and measured beside three random draws; or a check of results.

    python -m experiments.real_records --out runs/real_records.jsonl
    python -m experiments.leaderboard.run candidates --pool small                      # the records to choose from, with their ids
    python -m experiments.leaderboard.run enter --pool small --list mine.txt --name mine --minutes 9      # again and again, until it says done
    python -m experiments.leaderboard.run enter --pool small --strategy cdas --minutes 9                  # one of ours
    python -m experiments.leaderboard.run check results/*.json.xz                      # those that others sent, too

A killed call goes on where it was, inside a training too; `--minutes 9` begins no further training after nine minutes. The first call
measures the model before any training, however few the minutes. The result file is written when all trainings are done. Rules:
README.md beside this file.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from codeact.comparison.grid import Comparison, cells, shared_recipes, source_recipe
from codeact.comparison.run import READY, run_comparison
from codeact.errors import CodeactError, InputError
from codeact.pipeline.run import run_pipeline
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store
from codeact.stages.columns import LENGTHS
from codeact.stages.listed import read_list
from codeact.terminal import visible
from experiments.leaderboard import pools, results
from experiments.leaderboard.rules import BUDGETS, LISTED, RANDOM, SEEDS, TASKS, check_entrant, check_reach, off_budget

log = logging.getLogger(__name__)


def comparison(pool_name: str, root: Path, entrant: Mapping[str, Any] | None, model: str, dtype: str) -> Comparison:
    """The comparison of an entrant with three random draws on a pool; without an entrant, of the draws alone.

    Raises:
        InputError: no such pool, or a setting that is out of range.
    """
    pool = pools.find(pool_name)
    draws = [{"name": name, "strategy": "random", "draw": n} for n, name in enumerate(RANDOM)]
    evaluate = {"tasks": [*TASKS], "generate_limit": 0}
    train = {"method": "lora", "epochs": 1, "batch_size": 1, "learning_rate": 1e-3, "warmup_steps": 2, "merge": True, "save_steps": 20}
    recipe = {
        "seed": pool["seed"], "model": {"name": model, "max_length": 1024, "dtype": dtype, "template": "auto"},
        "data": {"source": str(root / "source.jsonl")}, "curate": {"dedup": False, "decontaminate": [], "verify": False},
        "embed": {"model": "demo"}, "cluster": {"k": 10}, "pack": {"scope": "epoch"}, "train": train, "evaluate": evaluate,
    }  # fmt: skip
    strategies = [*draws, *([entrant] if entrant else [])]
    plan = Comparison.model_validate(
        {"run_dir": str(root / "compare"), "recipe": recipe, "strategies": strategies, "rates": BUDGETS, "units": ["tokens"],
         "seeds": SEEDS, "held_out": pool["held_out"], "against": RANDOM}
    )  # fmt: skip
    cells(plan)  # refuses settings before anything is written
    return plan


def candidates(plan: Comparison, pool: Mapping[str, Any]) -> list[str]:
    """Ids that may be chosen, the rows in `pool.jsonl` of the comparison's run directory; the held-out ones are not among them.

    Raises:
        InputError: other records are held out than the pool's file says.
    """
    ids = pools.divided(plan)
    if {*ids} != pools.candidates(pool):
        raise InputError("this version of codeact holds other records out than those of the pool's file; use the version that the kit came with")
    return ids


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


def count_tokens(plan: Comparison) -> dict[str, int]:
    """Candidate -> response tokens, by the model's tokenizer: the stage of which the comparison takes its budgets.

    Raises:
        CodeactError: the model cannot be read, or nothing could be counted.
    """
    (recipe,) = shared_recipes(plan)
    waits = partial(log.info, "another process is in %s; waiting for it", recipe.run_dir)
    with Store(Path(recipe.run_dir)).wait_lock(READY, waits):
        store = run_pipeline(recipe, (LENGTHS,))
    table = store.table(LENGTHS, ["id", "response_tokens"]).to_pydict()
    return dict(zip(table["id"], table["response_tokens"], strict=True))


def chosen_ids(plan: Comparison, entrant: str) -> dict[str, dict[str, list[str]]]:
    """Budget -> seed -> ids that an entrant was trained on, of trainings that are done."""
    found: dict[str, dict[str, list[str]]] = {}
    for cell in cells(plan):
        if cell.entrant == entrant:
            ids = tables.ids_where(Store(Path(cell.recipe.run_dir)).table("sample"), "selected")
            found.setdefault(f"{cell.rate:g}", {})[str(cell.seed)] = sorted(ids)
    return found


def enter(options: argparse.Namespace) -> None:
    """Go on with an entry; write its result file when it is done.

    Raises:
        InputError: what is entered cannot stand on the board, or its file holds another result.
        CodeactError: a stage of a training failed.
    """
    strategy = LISTED if options.list else options.strategy
    name = options.name or f"our-{strategy}"
    check_entrant(name, strategy)
    pool = pools.find(options.pool)
    facts = Inputs(source_recipe(comparison(options.pool, options.runs, None, options.model, options.dtype))).model()
    label = results.label(options.model, facts["identity"], facts["dtype"])
    about: dict[str, Any] = {
        "pool": options.pool, "pool_digest": pool["digest"], "model": results.published(options.model), "model_identity": facts["identity"],
        "dtype": facts["dtype"], "entrant": name, "strategy": strategy,
    }  # fmt: skip
    entries = read_list(str(options.list)) if options.list else []
    path = options.out / f"{name}-{options.pool}-{label}.json.xz"
    results.check_free(path, {**about, "list": entries}, [*about, "list"])
    root = options.runs / options.pool / label / name
    own = {"name": name, "strategy": strategy, "set": {"sample.listed": str(options.list)} if options.list else {}}
    plan = comparison(options.pool, root, own, options.model, options.dtype)
    pools.write_source(pool, options.data, root / "source.jsonl")
    ids = candidates(plan, pool)
    if options.list:
        check_list(entries, ids, str(options.list))
    tokens = count_tokens(plan)
    if options.list:
        check_reach(entries, tokens, pool, str(options.list))
    about["pool_tokens"] = sum(tokens.values())
    summary = run_comparison(plan, minutes=options.minutes)
    for row in summary["rows"]:
        missed = off_budget(pool, about["pool_tokens"], row["rate"], row["response_tokens"]) if row["entrant"] == name else ""
        if missed:
            raise InputError(f"{name} at {row['rate']:.0%} cannot stand on the board: {missed}; enter another selection")
    done, planned = summary["cells"]["done"], summary["cells"]["planned"]
    if done < planned:
        print(f"{done} of {planned} trainings are done; run the same command again to go on")
        return
    found = results.result(summary, about, entries, {} if options.list else chosen_ids(plan, name))
    wrong = results.faults(found)
    results.write_result(path, found)
    print("\n".join([f"done: {path}", *(f"fault: {line}" for line in wrong)]))


def check(files: Sequence[Path]) -> bool:
    """Say of every result file whether it is sound, then print the board of those that are; whether all are."""
    sound: dict[tuple[Any, ...], tuple[Path, Mapping[str, Any]]] = {}
    for path in files:
        try:
            found = results.read_result(path)
            wrong = results.faults(found)
        except InputError as error:
            found, wrong = None, [str(error)]
        if not wrong:
            key = (*results.board_of(found), found["entrant"].lower())
            first, _ = sound.setdefault(key, (path, found))
            wrong = [] if first is path else [f"{first} is of an entrant of this name on the same board; give one of the two"]
        print("\n".join(visible(f"{path}: {line}") for line in wrong or ["sound"]))
    print("\n".join(results.board([found for _, found in sound.values()])))
    return len(sound) == len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="action", required=True)
    for name in ("candidates", "enter"):
        command = commands.add_parser(name)
        command.add_argument("--pool", required=True)
        command.add_argument("--data", type=Path, default=Path("runs/real_records.jsonl"))
        command.add_argument("--runs", type=Path, default=Path("runs/leaderboard"))
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", type=Path, help="ids, the first to take first")
    what.add_argument("--strategy", help="one of ours instead of a list")
    command.add_argument("--name", default="", help="of the entrant; needed with --list")
    command.add_argument("--model", default="demo")
    command.add_argument("--dtype", default="auto")
    command.add_argument("--minutes", type=float, default=9.0, help="begin no training after these; measuring the model, before the first, is not cut short")
    command.add_argument("--out", type=Path, default=Path("runs/leaderboard/results"))
    look = commands.add_parser("check")
    look.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    if options.action == "enter" and options.strategy == LISTED:
        parser.error("--strategy list: give --list FILE of ids")
    if options.action == "enter" and options.list and not options.name:
        parser.error("--list: name the entrant with --name")
    try:
        if options.action == "check":
            if not check(options.files):
                sys.exit(1)
        elif options.action == "candidates":
            root, pool = options.runs / options.pool / "candidates", pools.find(options.pool)
            plan = comparison(options.pool, root, None, "demo", "auto")
            pools.write_source(pool, options.data, root / "source.jsonl")
            print(f"{len(candidates(plan, pool)):,} candidates: {Path(plan.run_dir) / 'pool.jsonl'}")
        else:
            enter(options)
    except CodeactError as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

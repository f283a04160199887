"""What a choice by lengths takes with the tokenizer's counts, and what it took with those that came with scoring.

    python -m benchmarks.lengths_alone --data code_alpaca_2017.json --records 500

One run directory holds both tables: seconds of every stage, model tokens of scoring (both passes), whether the counts are the same in every
record, and whether each strategy and budget that reads lengths alone takes the same records by either table.

Result: benchmarks/results/lengths_alone.json
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.config import load_recipe
from codeact.pipeline.run import run_pipeline
from codeact.rundir import tables
from codeact.rundir.store import Store
from codeact.sample.strategies import STRATEGIES
from codeact.score.cost import estimate
from codeact.stages.columns import LENGTHS, SCORES
from codeact.stages.pool import read_pool
from codeact.stages.sample import choose_from_run, counted_by, tables_for

RESULTS = Path(__file__).parent / "results"
EVIDENCE = {"sample.strategy": "trim-diversity", "sample.unit": "tokens", "curate.checks": ["syntax"]}


def choices(store: Store, recipe: Any) -> dict[str, bool]:
    """Strategy and unit -> whether both tables give the same selection and reasons; those whose other tables the run lacks are left out."""
    ids = read_pool(store, columns=("id",))["id"].to_pylist()
    found = {}
    for name, one in STRATEGIES.items():
        for unit in ("records",) if one.records_only else ("records", "tokens"):
            config = recipe.sample.model_copy(update={"strategy": name, "unit": unit, "like": "longest"})
            read = {*tables_for(config)}
            if counted_by(config) == SCORES or LENGTHS not in read or read - {LENGTHS, "cluster", "embed"}:
                continue
            own, _ = choose_from_run(store, ids, config, 0)
            scored, _ = choose_from_run(store, ids, config, 0, scores=store.table(SCORES))
            found[f"{name}, {unit}"] = (own.chosen, own.reason) == (scored.chosen, scored.reason)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULTS / "lengths_alone.json")
    args = parser.parse_args()
    told = provenance()
    from transformers import AutoConfig

    from codeact.lm.identity import resolve
    from codeact.lm.models import load_tokenizer
    from codeact.score import default_template

    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "run_dir": folder, "data.source": str(args.data), "data.limit": args.records, "model.name": "demo", "embed.model": "demo", "score.cache": False,
        }  # fmt: skip
        recipe = load_recipe(extra={**settings, **EVIDENCE})
        store = run_pipeline(recipe, ("sample", SCORES))
        seconds = {name: (store.marker(name) or {})["seconds"] for name in ("records", "curate", "embed", "cluster", SCORES, LENGTHS, "sample")}
        counted, scores = store.table(LENGTHS), store.table(SCORES)
        tokenizer = load_tokenizer("demo")
        cost = estimate(
            tables.records_from(read_pool(store)), AutoConfig.from_pretrained(resolve("demo")), tokenizer,
            template=default_template("default", tokenizer), max_length=recipe.model.max_length,
        )  # fmt: skip
        found = {
            "settings": EVIDENCE,
            "pool": scores.num_rows,
            "stages_seconds": seconds,
            "before": {"seconds": round(sum(s for name, s in seconds.items() if name != LENGTHS), 2), "model_passes": 2, "model_tokens": cost.tokens},
            "now": {"seconds": round(sum(s for name, s in seconds.items() if name != SCORES), 2), "model_passes": 0, "model_tokens": 0},
            "status": dict(Counter(counted["status"].to_pylist())),
            "counts_are_equal": counted.equals(scores.select(counted.column_names)),
            "same_choice": choices(store, recipe),
        }
    for name in ("before", "now"):
        print(f"{name:<7} {found[name]['seconds']:>8.1f} s, {found[name]['model_tokens']:,} model tokens")
    print(f"counts equal: {found['counts_are_equal']}; same choices: {sum(found['same_choice'].values())} of {len(found['same_choice'])}")
    result_files.write(args.output, {**told, "data": args.data.name, **found})


if __name__ == "__main__":
    main()

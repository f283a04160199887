"""How much likelier a base model finds right programs than their buggy twins: MBPP's mutations beside HumanEvalPack's, in one run.

    python -m experiments.twin_margins --out runs/twin_margins

Likelihoods alone: nothing is generated. 164 tasks of each set, all that HumanEvalPack has, evenly spaced in MBPP.
By operator how many of MBPP's twins have a right program that is likelier.
Data: $CODEACT_DATA. Result: experiments/results/twin_margins.json.xz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from codeact import storage
from codeact.config import EvaluateConfig, ModelConfig
from codeact.evaluation.compare import per_task
from codeact.evaluation.likelihood import TWIN
from codeact.evaluation.run import evaluate_model
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.sets.mbpp_twins import digest, table

RESULT = Path(__file__).parent / "results" / "twin_margins.json.xz"
TASKS = 164
SETS = ("humanevalpack-python", "mbpp")


def longer(folder: Path, name: str) -> dict[str, int]:
    """How many twins have more tokens than the right program, and how many fewer."""
    tokens = {row["task_id"]: row["tokens"] for row in storage.read_jsonl(folder / "bits.jsonl") if row["task_set"].removesuffix(TWIN) == name}
    more = [tokens[task + TWIN] - count for task, count in tokens.items() if task + TWIN in tokens]
    return {"twins_with_more_tokens": sum(one > 0 for one in more), "with_fewer": sum(one < 0 for one in more)}


def by_operator(folder: Path) -> dict[str, list[int]]:
    """Operator of MBPP's twins -> twins whose right program is likelier, twins."""
    solutions = {task.id: task.canonical_solution for task in load_tasks("mbpp").tasks}
    found: dict[str, list[int]] = {}
    for task, margin in per_task(folder, "mbpp", "margin").items():
        of = found.setdefault(table()[task, digest(solutions[task])][0], [0, 0])
        of[0] += margin > 0
        of[1] += 1
    return dict(sorted(found.items()))


def figures(results: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """The margins of one set, rounded."""
    own = results[name]
    kept = ("margin", "margin_interval", "margin_per_token", "margin_per_token_interval", "prefers_right", "prefers_right_interval")
    shown = {key: [round(one, 4) for one in own[key]] if isinstance(own[key], list) else round(own[key], 4) for key in kept}
    return {"version": own["version"], "twins": own["margin_tasks"], "tasks": own["bits_per_byte_tasks"]} | shown | longer(folder, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--out", type=Path, default=Path("runs/twin_margins"))
    options = parser.parse_args()
    told = machine.provenance()
    model = ModelConfig(name=options.model, dtype="float32", device="cpu")
    results = evaluate_model(options.model, options.out, model=model, config=EvaluateConfig(tasks=SETS, generate_limit=0, bits_limit=TASKS), seed=0)
    found = {name: figures(results, options.out, name) for name in SETS}
    result_files.write(RESULT, told | {"model": options.model, "sets": found, "mbpp_by_operator": by_operator(options.out)})


if __name__ == "__main__":
    main()

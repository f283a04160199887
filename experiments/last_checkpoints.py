"""Is the mean of a training's last three checkpoints a quieter measure than its end? Random draws of one pool, which differ by luck alone.

    codeact compare compare_noise recipe.data.source=runs/noise/00.jsonl run_dir=runs/compare_noise_00      # docs/experiments-noise.md
    python -m experiments.last_checkpoints recipes/compare_noise.yaml recipe.data.source=runs/noise/00.jsonl run_dir=runs/compare_noise_00

The trainings of the first two entrants of `against` are made again at equal tokens, with checkpoints at about 80 and 90 % of the steps, which
are measured as `codeact compare` measures the end. How much a measure moves over these three is set beside what two draws differ by at the end,
and in the mean of the three. The end is not measured again: that the losses of the steps are those of the first time is checked.
What is done is kept in --work and not done again.

Result: experiments/results/last_checkpoints.json.xz
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact import storage
from codeact.comparison.grid import HELD_OUT, Cell, cells, load_comparison
from codeact.comparison.run import task_values
from codeact.evaluation.run import evaluate_model
from codeact.lm.models import load_tokenizer
from codeact.records import Record, read_data
from codeact.rundir.store import Store
from codeact.score.response_loss import response_losses
from codeact.stages.pool import selected_records
from codeact.training import recorder, sft
from codeact.training.checkpoints import checkpoint_path

OUT = Path(__file__).parent / "results" / "last_checkpoints.json.xz"
SHARES = (0.8, 0.9)


def kept_steps(steps: int) -> tuple[int, list[int]]:
    """How many steps lie between checkpoints, and the two that are measured before the end."""
    every = max(1, round(steps / 10))
    return every, [every * round(share * steps / every) for share in SHARES]


def measured(cell: Cell, work: Path, held_out: Sequence[Record]) -> dict[str, Any]:
    """`steps` that were measured, the last being the end, and the mean of each metric after each."""
    path = work / f"{cell.name}.json"
    if path.exists():
        kept: dict[str, Any] = storage.read_json(path)
        return kept
    store, out = Store(Path(cell.recipe.run_dir)), work / cell.name
    end = storage.read_json(store.path("result.json"))
    every, before = kept_steps(end["training"]["steps"])
    recorder.remove_checkpoints = sft.remove_checkpoints = lambda *_, **__: None  # a training keeps its last alone
    train = cell.recipe.train.model_copy(update={"save_steps": every, "merge": False})
    sft.fine_tune(
        selected_records(store, "sample"), out, model=cell.recipe.model, train=train, pack=cell.recipe.pack, seed=cell.recipe.seed_of("train"),
    )  # fmt: skip
    first, again = ([json.loads(line).get("loss") for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (store.path("train"), out))
    assert np.allclose(first, again, rtol=1e-4), f"{cell.name}: made again, it is another training"
    tokenizer = load_tokenizer(cell.recipe.model.name, cell.recipe.model.revision)
    values: dict[str, list[float]] = {}
    for step in before:
        adapter, folder = checkpoint_path(out, step), out / f"evaluate-{step}"
        tokenizer.save_pretrained(adapter)
        evaluate_model(str(adapter), folder, model=cell.recipe.model, config=cell.recipe.evaluate, seed=cell.recipe.seed)
        found = {**task_values(folder), HELD_OUT: response_losses(str(adapter), held_out, cell.recipe.model, HELD_OUT)}
        for metric, items in found.items():
            values.setdefault(metric, []).append(float(np.mean(list(items.values()))))
    for metric, items in end["values"].items():
        values[metric].append(float(np.mean(list(items.values()))))
    done = {"entrant": cell.entrant, "seed": cell.seed, "steps": [*before, end["training"]["steps"]], "values": values}
    storage.write_json(path, done)
    shutil.rmtree(out)
    return done


def figures(trainings: Sequence[dict[str, Any]], metric: str) -> dict[str, float]:
    """Of a metric: root mean squares of what the mean of three and the end of one training differ by, and of what two draws of a pool do by either."""
    by_pool: dict[int, list[np.ndarray]] = {}
    for one in trainings:
        by_pool.setdefault(one["seed"], []).append(np.array(one["values"][metric]))
    apart = np.array([two[0] - two[1] for two in by_pool.values() if len(two) == 2])  # [pools, checkpoints]
    moved = np.array([values.mean() - values[-1] for pool in by_pool.values() for values in pool])
    rms = {"mean_minus_end": moved, "two_draws_at_the_end": apart[:, -1], "two_draws_in_the_mean": apart.mean(axis=1)}
    return {name: float(np.sqrt((values**2).mean())) for name, values in rms.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--work", type=Path, default=Path("runs/last_checkpoints"))
    parser.add_argument("--output", type=Path, default=OUT)
    options = parser.parse_args()
    told = machine.provenance()
    comparison = load_comparison(options.comparison, options.overrides)
    options.work.mkdir(parents=True, exist_ok=True)
    held_out = read_data(Path(comparison.run_dir) / "held_out.jsonl").records
    chosen = [cell for cell in cells(comparison) if cell.entrant in comparison.against[:2] and cell.unit == "tokens"]
    if missing := [cell.name for cell in chosen if not (Path(cell.recipe.run_dir) / "result.json").exists()]:
        parser.error(f"{', '.join(missing)}: not trained yet; run the comparison first")
    trainings = [measured(cell, options.work, held_out) for cell in chosen]
    found = {metric: figures(trainings, metric) for metric in trainings[0]["values"]}
    for metric, values in found.items():
        print(metric, {name: round(value, 5) for name, value in values.items()})
    result_files.write(options.output, {**told, "metrics": found, "trainings": trainings})


if __name__ == "__main__":
    main()

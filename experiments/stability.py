"""How stable a selection is: overlap (Jaccard) across seeds, numbers of clusters and scoring models, beside that of chance.

    python -m experiments.stability
    python -m experiments.stability --data pool.jsonl --proxy tiny=some/other-model --output experiments/results/stability.json.xz

Selects once with --model (or reuses --run-dir of an earlier `codeact select`), scores again with every --proxy, and repeats
clustering and selection. The peer in the same run is the random selection: its overlap is ratio / (2 - ratio) by chance. Beside the
strategy itself `complexity` (no clusters) is repeated, which no seed can change: its row is a check.

Result: experiments/results/stability*.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact import api, progress
from codeact.config import load_recipe
from codeact.pipeline.stability import measure_stability
from codeact.rundir.store import Store

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--embedder", default="demo")
    parser.add_argument("--proxy", action="append", default=[], help="NAME=MODEL that scores the same records too")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/stability"))
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--k", default="10", help="a number, or auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--ks", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--output", type=Path, default=RESULTS / "stability.json.xz")
    given = parser.parse_args()

    progress.show()
    k = given.k if given.k == "auto" else int(given.k)
    keys = {"model.max_length": given.max_length, "cluster.k": k}
    selection = api.select(
        given.data, model=given.model, embedder=given.embedder, ratio=given.ratio, unit="records",
        strategy="cdas", limit=given.limit,
        run_dir=given.run_dir / "run", settings=keys,
    )  # fmt: skip
    scores: dict[str, Path] = {}
    for pair in given.proxy:
        name, _, model = pair.partition("=")
        folder = given.run_dir / f"proxy-{name}"
        extra = {"data.source": given.data, "data.limit": given.limit, "model.name": model, "run_dir": str(folder)}
        api.run_stages(load_recipe(extra={**keys, **extra}), ["score"], None)
        scores[name] = folder / "score.parquet"
    found = {
        strategy: measure_stability(selection.run_dir, seeds=given.seeds, ks=given.ks, scores=scores, strategy=strategy)
        for strategy in ("cdas", "complexity", "diversity", "random")
    }
    result = {
        **machine.provenance(),
        "what": "Jaccard index of selections that differ in one choice; `chance` is that of two random selections",
        "ratio_to_chance": {
            name: {choice: one[choice] and one[choice]["mean"] / one["chance"] for choice in ("seeds", "ks", "models")}
            for name, one in found.items()
        },
        "strategies": found,
        "auto_k": (Store(selection.run_dir).marker("cluster") or {}).get("summary", {}).get("auto"),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    result_files.write(given.output, result)
    print(json.dumps(result["ratio_to_chance"], indent=2))


if __name__ == "__main__":
    main()

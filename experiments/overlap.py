"""Which strategies choose the same records, and how much text: overlap (Jaccard) of every two, and the token share of each.

    python -m experiments.overlap --run-dir runs/stability/run

Reads a run directory with the tables of records, embed, cluster and score (`codeact select` or experiments/stability.py leaves one) and
repeats the selection under each strategy at an equal number of records; no model is called. Chance is the overlap of two random selections.

Result: experiments/results/overlap.json.xz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks import machine, result_files
from codeact.rundir.store import Store
from codeact.sample import choose
from codeact.sample.strategies import find
from codeact.stages.columns import read_columns
from codeact.statistics import chance_overlap, jaccard, spearman, token_share

RESULTS = Path(__file__).parent / "results"
STRATEGIES = (
    "random", "longest", "complexity", "cdas", "length-residual", "length-band", "position-matched",
    "cdas-length-residual", "cdas-length-band", "cdas-position-matched",
    "cherry", "ppl-low", "ppl-high", "diversity", "k-centre", "facility-location",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/stability/run"))
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.1, 0.2, 0.4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "overlap.json.xz")
    args = parser.parse_args()
    store = Store(args.run_dir)
    ids = store.table("sample")["id"].to_pylist()
    wanted = sorted({column for name in STRATEGIES for column in find(name).needs})
    columns = read_columns(store, wanted, ids)
    tokens = np.array(columns["response_tokens"], np.float64)
    found = {}
    for ratio in args.ratios:
        chosen = {
            name: choose(ids, strategy=name, ratio=ratio, seed=args.seed, **columns).selected
            for name in STRATEGIES
        }
        found[f"{ratio:g}"] = {
            "chance": chance_overlap(ratio),
            "token_share": {name: token_share(taken, tokens) for name, taken in chosen.items()},
            "jaccard": {a: {b: jaccard(chosen[a], chosen[b]) for b in STRATEGIES} for a in STRATEGIES},
        }
    result = {
        **machine.provenance(),
        "pool": len(ids),
        "ifd_length_spearman": spearman(np.array(columns["ifd"], np.float64), tokens),
        "ratios": found,
    }
    result_files.write(args.output, result)
    print(f"Spearman of IFD and response length: {result['ifd_length_spearman']:.3f}, {len(ids)} records")
    for ratio, one in found.items():
        print(f"ratio {ratio}, chance {one['chance']:.3f}")
        for name in STRATEGIES:
            print(
                f"  {name:<18} tokens {one['token_share'][name]:.2f}  with longest {one['jaccard'][name]['longest']:.2f}"
                f"  with cdas {one['jaccard'][name]['cdas']:.2f}"
            )


if __name__ == "__main__":
    main()

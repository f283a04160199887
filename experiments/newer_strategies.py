"""How far the newer strategies follow length, and whom they take, from the tables of a run: no model is run.

    for strategy in cdas rds learnable dsir; do    # their tables, of one pool
        codeact select runs/real_records.jsonl --model demo --embedder demo --strategy $strategy --run-dir runs/newer -o runs/newer.jsonl --force \
            --set data.limit=120 --set seed=20 --set model.max_length=512 --set model.dtype=float32 --set cluster.k=10 \
            --set 'curate.decontaminate=[humaneval,mbpp]' --set sample.target=runs/mbpp_64.jsonl
    done
    python -m experiments.newer_strategies runs/newer

runs/mbpp_64.jsonl: the first 64 lines of what `python -m experiments.mbpp_examples` writes.

Result: experiments/results/newer_strategies.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact.config import SampleConfig
from codeact.rundir.store import Store
from codeact.stages.pool import read_pool
from codeact.stages.sample import choose_from_run
from codeact.statistics import jaccard, spearman, spearman_interval, token_share

RESULT = Path(__file__).parent / "results" / "newer_strategies.json"
NAMES = ("random", "cdas", "longest", "s-ifd", "trim", "trim-diversity", "parametric", "rds", "learnable", "dsir", "length-matched")
RANKED = ("s-ifd", "rds", "learnable", "dsir")  # by a score of their own
RATIO = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    store = Store(options.run)
    ids: list[str] = read_pool(store)["id"].to_pylist()
    tokens = np.array(choose_from_run(store, ids, SampleConfig(strategy="longest", unit="records"), 0)[1]["response_tokens"])
    chosen = {name: choose_from_run(store, ids, SampleConfig(strategy=name, ratio=RATIO, unit="records"), options.seed)[0] for name in NAMES}
    rows: dict[str, dict[str, Any]] = {}
    for name, found in chosen.items():
        rho = spearman(found.selected.astype(float), tokens)
        known = np.isfinite(found.score)
        ranked = spearman(found.score[known], tokens[known]) if name in RANKED else None
        rows[name] = {
            "records": int(found.selected.sum()), "token_share": token_share(found.selected, tokens),
            "spearman_selected_length": rho, "spearman_score_length": ranked,
            "interval": None if ranked is None else spearman_interval(ranked, int(known.sum())),
            "overlap_longest": jaccard(found.selected, chosen["longest"].selected), "overlap_cdas": jaccard(found.selected, chosen["cdas"].selected),
        }  # fmt: skip
        line = rows[name]
        print(f"| `{name}` | {line['token_share']:.2f} | {rho:.2f} | {line['overlap_longest']:.2f} | {line['overlap_cdas']:.2f} |")
    ifd = chosen["cdas"].ifd
    fine = np.isfinite(ifd)
    whole = spearman(ifd[fine], tokens[fine])
    document = {**machine.provenance(), "note": "busy machine; no times are told", "pool": len(ids), "ratio": RATIO, "ifd_length": whole, "strategies": rows}
    print(f"Spearman with length: IFD {whole:.2f}", *(f"{name} {rows[name]['spearman_score_length']:.2f} {rows[name]['interval']}" for name in RANKED), sep=", ")
    result_files.write(RESULT, document)


if __name__ == "__main__":
    main()

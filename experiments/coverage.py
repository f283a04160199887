"""What a chosen 40 % has not seen: CDAS against complexity only and random, on scores measured before.

    python -m experiments.coverage --losses runs/token_losses --cache runs/coverage

Needs the token losses of `token_losses.py`; records without one take no part. Prints the distance of every unselected record
to its nearest selected one (1 - cosine of the instruction's embedding; mean and 95th percentile) and the groups that are short.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.cluster import cluster_embeddings
from codeact.curate.single_record import language_of
from codeact.embed import embed_texts
from codeact.records import read_data
from codeact.sample import Rules, choose
from codeact.sample.coverage import coverage, length_bands
from experiments import loss_cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--losses", type=Path, default=Path("runs/token_losses"))
    parser.add_argument("--embedder", default="demo")
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=10, help="random selections that the random figure is the mean of")
    parser.add_argument("--cache", type=Path, default=Path("runs/coverage"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/coverage.json.xz"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    losses = loss_cache.read([args.losses])
    records = [r for r in read_data(args.data).records if r.id in losses]
    args.cache.mkdir(parents=True, exist_ok=True)
    saved = args.cache / f"{Path(args.data).stem}-{len(records)}.npy"
    if not saved.exists():
        np.save(saved, embed_texts([r.instruction for r in records], model=args.embedder))
    vectors = np.load(saved)
    ids = [r.id for r in records]
    labels = cluster_embeddings(vectors, 10, 0, ids=ids).labels
    ifd = [float(np.exp(losses[i].log_ifd)) for i in ids]
    languages = [language_of(r.response) for r in records]
    tokens = [len(losses[i].cond) for i in ids]
    groups = {
        "cluster": labels.tolist(),
        "language": languages,
        "length": length_bands(tokens),
    }
    common = {"ifd": ifd, "cluster": labels, "language": languages, "ratio": args.ratio}
    chosen = {
        "cdas": choose(ids, strategy="cdas", **common).selected,
        "cdas, floor 0.5": choose(ids, strategy="cdas", rules=Rules(floor=0.5), **common).selected,
        "cdas, floor 0.5, lengths too": choose(
            ids, strategy="cdas", rules=Rules(floor=0.5, floor_lengths=True), response_tokens=tokens, **common
        ).selected,
        "complexity": choose(ids, strategy="complexity", **common).selected,
    }
    result |= {"records": len(records), "ratio": args.ratio, "embedder": args.embedder, "selections": {}}
    draws = [
        coverage(choose(ids, strategy="random", ratio=args.ratio, seed=s).selected, groups, vectors)
        for s in range(args.seeds)
    ]
    base = {key: float(np.mean([draw["distance"][key] for draw in draws])) for key in ("mean", "p95")}
    result["random"] = {
        "distance": base,
        "warnings": float(np.mean([len(draw["warnings"]) for draw in draws])),
        "seeds": args.seeds,
    }
    print(f"{'selection':<30}{'mean':>8}{'/random':>9}{'p95':>8}{'/random':>9}{'short groups':>14}")
    print(
        f"{'random':<30}{base['mean']:>8.4f}{1:>9.3f}{base['p95']:>8.4f}{1:>9.3f}{result['random']['warnings']:>14.1f}"
    )
    for name, selected in chosen.items():
        found = result["selections"][name] = coverage(selected, groups, vectors)
        gap = found["distance"]
        found["against_random"] = {key: gap[key] / base[key] for key in gap}
        print(
            f"{name:<30}{gap['mean']:>8.4f}{gap['mean'] / base['mean']:>9.3f}{gap['p95']:>8.4f}{gap['p95'] / base['p95']:>9.3f}{len(found['warnings']):>14}"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result_files.write(args.out, result)


if __name__ == "__main__":
    main()

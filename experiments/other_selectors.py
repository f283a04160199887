"""DSIR and ZIP-FIT by their own packages: how far their values follow the length of a text, and what they take. No model is run.

    python -m experiments.mbpp_examples --out runs/mbpp_examples.jsonl
    pip install data-selection zip-fit zstandard brotli lz4        # zip-fit imports the last three without bringing two of them
    python -m experiments.other_selectors --examples runs/mbpp_examples.jsonl

The pool is evol_instruct_code_1966.json of CODEACT_DATA, of which ZIP-FIT sees the first records: it compresses every pair.
Result: experiments/results/other_selectors.json.xz
"""

from __future__ import annotations

import argparse
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.records import Record, read_data
from codeact.sample import choose
from codeact.sample.importance import log_weights
from codeact.stages.dsir import text
from codeact.statistics import jaccard, spearman, spearman_interval
from codeact.types import Floats

RESULT = Path(__file__).parent / "results" / "other_selectors.json.xz"
LEVELS = (0, 9)  # of gzip: the package's own default, which stores; Python's


def usable(name: Path) -> list[Record]:
    return list(read_data(name).usable())


def alignment(pool: list[str], examples: list[str], level: int) -> Floats:
    """1 - normalised compression distance to each example, averaged, by the package's own functions; float64 [N]."""
    from zip_fit import ZIPFIT

    tool = ZIPFIT("", "", len(pool), compression_algorithm="gzip", compress_level=level, cache_size=2)
    sizes, own = [tool.compress(one) for one in pool], [tool.compress(one) for one in examples]
    pairs = [[tool.similarity((one, other, sizes[i], own[j], i))[1] for j, other in enumerate(examples)] for i, one in enumerate(pool)]
    return np.array(pairs, np.float64).mean(axis=1)


def follows(value: Floats, length: Floats) -> dict[str, Any]:
    rho = spearman(value, length)
    return {"spearman_length": rho, "interval": None if rho is None else spearman_interval(rho, len(value))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--examples", type=Path, default=Path("runs/mbpp_examples.jsonl"))
    parser.add_argument("--pairs", type=int, default=400, help="records that ZIP-FIT sees")
    options = parser.parse_args()
    records, wanted = usable(options.data / "evol_instruct_code_1966.json"), [text(one) for one in usable(options.examples)]
    pool = [text(one) for one in records]
    length, answer = (np.array([len(one) for one in some], np.float64) for some in (pool, [one.response for one in records]))
    start = time.perf_counter()
    weights = log_weights(pool, wanted)
    seconds = time.perf_counter() - start
    ids = [one.id for one in records]
    taken = choose(ids, strategy="dsir", ratio=0.4, seed=0, importance=weights).selected
    longest, shortest = np.zeros(len(pool), np.bool_), np.zeros(len(pool), np.bool_)
    by_length = np.argsort(answer, kind="stable")
    longest[by_length[-int(taken.sum()) :]] = True
    shortest[by_length[: int(taken.sum())]] = True
    dsir = {
        "records": len(pool), "seconds": round(seconds, 1), **follows(weights, length),
        "share_of_characters": float(answer[taken].sum() / answer.sum()),
        "overlap_longest": jaccard(taken, longest), "overlap_shortest": jaccard(taken, shortest),
        "same_without_noise": jaccard(taken, weights >= np.sort(weights)[-int(taken.sum())]),
    }  # fmt: skip
    some = [int(n) for n in np.linspace(0, len(pool) - 1, min(options.pairs, len(pool)))]
    zip_fit: dict[str, Any] = {"records": len(some)}
    for level in LEVELS:
        start = time.perf_counter()
        value = alignment([pool[n] for n in some], wanted, level)
        took = time.perf_counter() - start
        zip_fit[f"gzip level {level}"] = {**follows(value, length[some]), "milliseconds_a_pair": round(1e3 * took / len(some) / len(wanted), 3)}
    versions = {name: metadata.version(name) for name in ("data-selection", "zip-fit", "zstandard", "brotli", "lz4", "nltk")}
    document = {**machine.provenance(), "packages": versions, "examples": len(wanted), "dsir": dsir, "zip_fit": zip_fit}
    print(dsir, zip_fit, sep="\n")
    result_files.write(RESULT, document)


if __name__ == "__main__":
    main()

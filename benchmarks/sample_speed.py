"""Time of CDAS on a synthetic pool, against the authors' algorithm, and what each of the two keeps.

    python -m benchmarks.sample_speed --records 1000000

The pool: IFD log-normal around 0.7, 10 clusters of unequal size, about one record in seventeen not eligible (IFD >= 1). The
authors' algorithm (CDAS/select_data.py of github.com/Kyle-Lyu/CodeACT) is restated here with pandas, which it uses: drop, sort, and
take int(left * ratio) of every cluster.

Result: benchmarks/results/sample_speed.json
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.sample import choose

RESULTS = Path(__file__).parent / "results"


def reference(ifd: NDArray[np.float64], cluster: NDArray[np.int64], ratio: float) -> int:
    """How many records the authors' script keeps."""
    frame = pd.DataFrame({"ifd": ifd, "cluster": cluster})
    frame = frame[frame["ifd"] < 1].sort_values("ifd", ascending=False, kind="stable")
    return sum(len(part.head(int(len(part) * ratio))) for _, part in frame.groupby("cluster"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--output", type=Path, default=RESULTS / "sample_speed.json")
    args = parser.parse_args()
    told = provenance()
    rng = np.random.default_rng(0)
    ifd = np.exp(rng.normal(np.log(0.7), 0.2285, args.records))
    cluster = rng.choice(10, args.records, p=np.arange(1, 11) / 55)
    ids = [f"record-{n}" for n in range(args.records)]
    found = {}
    for strategy in ("cdas", "cdas-paper"):
        wall, processor = time.perf_counter(), time.process_time()
        chosen = choose(ids, strategy=strategy, ratio=args.ratio, ifd=ifd, cluster=cluster)
        found[strategy] = {
            "selected": int(chosen.selected.sum()),
            "seconds": round(time.perf_counter() - wall, 3),
            "processor_seconds": round(time.process_time() - processor, 3),
        }
    wall, processor = time.perf_counter(), time.process_time()
    kept = reference(ifd, cluster, args.ratio)
    found["authors' algorithm"] = {
        "selected": kept,
        "seconds": round(time.perf_counter() - wall, 3),
        "processor_seconds": round(time.process_time() - processor, 3),
    }
    ours, theirs = (found[name]["processor_seconds"] for name in ("cdas", "authors' algorithm"))
    for name, row in found.items():
        print(f"{name:<20} {row['selected']:>9,} selected  {row['processor_seconds']:.2f} CPU s")
    print(
        f"cdas takes {ours / theirs:.1f} times the CPU seconds of the authors' algorithm, for a table with ranks, cutoffs and reasons"
    )
    result_files.write(
        args.output,
        {
            **told,
            "records": args.records,
            "ratio": args.ratio,
            "not_eligible": int((ifd >= 1).sum()),
            "ways": found,
            "cdas_over_authors": round(ours / theirs, 2),
        },
    )


if __name__ == "__main__":
    main()

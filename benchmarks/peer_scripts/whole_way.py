"""datatrove's own way from a file to a file: one task for each part of the input, as many processes as asked for."""

import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

GIVEN = json.loads(sys.argv[1])
FOLDER, TASKS = Path(GIVEN["folder"]), GIVEN["processes"]
MINHASH = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=8)  # two texts share a bucket at about 0.7


def text_of(document):
    return document.text


EXACT = ExactDedupConfig(content_getter=text_of)


def main():
    read, write = JsonlReader(GIVEN["given"]), JsonlWriter(str(FOLDER / "kept"), compression=None)
    made, found = str(FOLDER / "made"), str(FOLDER / "found")
    steps = {
        "filter": [([read, GopherRepetitionFilter(), write], TASKS)],
        "exact": [
            ([read, ExactDedupSignature(made, EXACT)], TASKS), ([ExactFindDedups(made, found, EXACT)], 1),
            ([read, ExactDedupFilter(found, EXACT), write], TASKS),
        ],
        "minhash": [
            ([read, MinhashDedupSignature(made, config=MINHASH)], TASKS),
            ([MinhashDedupBuckets(made, found, config=MINHASH)], MINHASH.num_buckets),
            ([MinhashDedupCluster(found, f"{found}_out", config=MINHASH)], 1),
            ([read, MinhashDedupFilter(f"{found}_out"), write], TASKS),
        ],
    }[GIVEN["work"]]  # fmt: skip
    for number, (step, tasks) in enumerate(steps):
        LocalPipelineExecutor(step, tasks=tasks, workers=min(tasks, TASKS), logging_dir=str(FOLDER / f"logs{number}")).run()


if __name__ == "__main__":
    main()

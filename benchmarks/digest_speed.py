"""How fast finished outputs are verified: SHA-256 of a file that the system holds in memory, by CPU time.

    python -m benchmarks.digest_speed

Result: benchmarks/results/digest_speed.json
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

from benchmarks import result_files
from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--output", type=Path, default=RESULTS / "digest_speed.json")
    args = parser.parse_args()
    told = provenance()
    speeds = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights"
        file.write_bytes(bytes(args.megabytes * 10**6))
        for _ in range(5):
            started = time.process_time()
            with file.open("rb") as handle:
                hashlib.file_digest(handle, "sha256")
            speeds.append(args.megabytes / 1000 / (time.process_time() - started))
    result_files.write(args.output, {**told, "gigabytes_per_cpu_second": {"median": sorted(speeds)[2], "all": speeds}})
    print(f"{sorted(speeds)[2]:.2f} GB a CPU second")


if __name__ == "__main__":
    main()

"""Fixed pools: which records of which public files, by the ids that their content gives them.

    python -m experiments.leaderboard.pools --data runs/real_records.jsonl       # draws pools.json.xz anew; not for entrants

Records that hold a task of a benchmark at hand (HumanEval, MBPP, HumanEvalPack, CRUXEval) were left out when the pools were drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import result_files
from codeact.config import CurateConfig
from codeact.curate.decontaminate import build_index, find_overlap
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.evaluation.benchmarks import benchmark_items
from codeact.records import Record, read_data
from codeact.rundir.store import digest
from codeact.storage import write_jsonl

FILE = Path(__file__).with_name("pools.json.xz")
SIZES = {"small": (460, 60, 101), "small-2": (460, 60, 102), "middle": (2060, 60, 103)}  # records, held out, seed
BUDGETS = (0.1, 0.4)  # shares of the pool's response tokens


def known() -> Mapping[str, Mapping[str, Any]]:
    """Name -> `ids`, `held_out`, `seed` and `digest` of each pool."""
    found: Mapping[str, Mapping[str, Any]] = result_files.read(FILE)
    return found


def find(name: str) -> Mapping[str, Any]:
    """The pool of this name.

    Raises:
        InputError: there is none, or its ids are not those of its digest.
    """
    pools = known()
    if name not in pools:
        raise InputError(f"leaderboard: no pool {name!r}; the pools are {', '.join(pools)}")
    if digest(pools[name]["ids"]) != pools[name]["digest"]:
        raise InputError(f"leaderboard: the ids of pool {name!r} in {FILE.name} were changed; take the file as it was published")
    return pools[name]


def write_source(pool: Mapping[str, Any], data: Path, out: Path) -> None:
    """Write the pool's records, those that will be held out among them, with their ids, from the public data.

    Raises:
        InputError: the data lack one of them.
    """
    by_id = {record.id: record for record in read_data(data).records}
    missing = next((identity for identity in pool["ids"] if identity not in by_id), None)
    if missing is not None:
        raise InputError(f"leaderboard: {data} has no record {missing}; make it with python -m experiments.real_records")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(out, [_row(by_id[identity]) for identity in pool["ids"]])


def _row(record: Record) -> dict[str, str]:
    return {"id": record.id, "instruction": record.instruction, "output": record.response}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/real_records.jsonl"))
    options = parser.parse_args()
    items = [item for some in benchmark_items(CurateConfig()).values() for item in some]
    index = build_index(items)
    ids = sorted({record.id for record in read_data(options.data).records if len(record.messages) == 2 and find_overlap(record, index) is None})
    made: dict[str, Any] = {}
    for name, (size, held_out, seed) in SIZES.items():
        chosen = sorted(seeded_subset(ids, size, seed))
        made[name] = {"held_out": held_out, "seed": seed, "digest": digest(chosen), "ids": chosen}
    result_files.write(FILE, made)


if __name__ == "__main__":
    main()

"""Fixed pools: which records of which public files, by the ids that their content gives them.

    python -m experiments.leaderboard.pools --data runs/real_records.jsonl       # draws pools.json.xz anew; not for entrants

Records that hold a task of a benchmark at hand (HumanEval, MBPP, HumanEvalPack, CRUXEval) were left out when the pools were drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmarks import result_files
from codeact.comparison.grid import Comparison
from codeact.comparison.split import POOL_FILE, divide
from codeact.config import CurateConfig
from codeact.curate.decontaminate import build_index, find_overlap
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.evaluation.benchmarks import benchmark_items
from codeact.records import Record, content_hash, read_data
from codeact.rundir.store import digest
from codeact.storage import read_rows, write_jsonl

FILE = Path(__file__).with_name("pools.json.xz")
SIZES = {"small": (460, 60, 101), "small-2": (460, 60, 102), "middle": (2060, 60, 103)}  # records, held out, seed


def known() -> Mapping[str, Mapping[str, Any]]:
    """The pools by their names.

    Each has `ids`; `held_out`, how many instructions are kept out under `seed`, and `held_out_ids`, the records of these; `bytes` of the
    candidates' responses in UTF-8, `all` and the `longest`; and `digest`, of all of these.
    """
    found: Mapping[str, Mapping[str, Any]] = result_files.read(FILE)
    return found


def find(name: str) -> Mapping[str, Any]:
    """The pool of this name.

    Raises:
        InputError: there is none, or it is not that of its digest.
    """
    pools = known()
    if name not in pools:
        raise InputError(f"no pool {name!r}; the pools are {', '.join(pools)}")
    if signed(pools[name]) != pools[name]:
        raise InputError(f"pool {name!r} in {FILE.name} was changed; take the file as it was published")
    return pools[name]


def signed(pool: Mapping[str, Any]) -> dict[str, Any]:
    """The pool with the digest of all the rest."""
    bare = {key: value for key, value in pool.items() if key != "digest"}
    return {**bare, "digest": digest(bare)}


def candidates(pool: Mapping[str, Any]) -> frozenset[str]:
    """Ids that may be chosen."""
    return frozenset(pool["ids"]) - frozenset(pool["held_out_ids"])


def write_source(pool: Mapping[str, Any], data: Path, out: Path) -> None:
    """Write the pool's records, those that will be held out among them, with their ids, from the public data.

    A record is found by what it says, whatever id its row has.

    Raises:
        InputError: the data lack one of them.
    """
    by_id = {content_hash(record.messages, record.tools): record for record in read_data(data).records}
    missing = next((identity for identity in pool["ids"] if identity not in by_id), None)
    if missing is not None:
        raise InputError(f"{data} has no record whose content gives it the id {missing}; make it with python -m experiments.real_records")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(out, [_row(identity, by_id[identity]) for identity in pool["ids"]])


def divided(plan: Comparison) -> list[str]:
    """Ids that a comparison may choose from, in its order; its `pool.jsonl` is written where that is not yet done."""
    folder = Path(plan.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    divide(plan, folder)
    return [str(row["id"]) for row in read_rows(folder / POOL_FILE).rows]


def described(ids: Collection[str], held_out: int, seed: int, data: Path) -> dict[str, Any]:
    """A pool of these records, as in the file.

    Raises:
        InputError: the data lack one of them, or have too few instructions to hold so many out.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.jsonl"
        write_source({"ids": ids}, data, source)
        recipe = {"seed": seed, "data": {"source": str(source)}}
        draws = {"strategies": ["random"], "held_out": held_out, "recipe": recipe, "run_dir": str(Path(folder) / "compare")}
        chosen_from = set(divided(Comparison.model_validate(draws)))
        sizes = [len(record.response.encode()) for record in read_data(source).records if record.id in chosen_from]
    held_out_ids = [identity for identity in ids if identity not in chosen_from]
    size = {"all": sum(sizes), "longest": max(sizes)}
    return signed({"held_out": held_out, "seed": seed, "ids": [*ids], "held_out_ids": held_out_ids, "bytes": size})


def _row(identity: str, record: Record) -> dict[str, str]:
    return {"id": identity, "instruction": record.instruction, "output": record.response}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/real_records.jsonl"))
    options = parser.parse_args()
    items = [item for some in benchmark_items(CurateConfig()).values() for item in some]
    index = build_index(items)
    ids = sorted({record.id for record in read_data(options.data).records if len(record.messages) == 2 and find_overlap(record, index) is None})
    made = {name: described(sorted(seeded_subset(ids, size, seed)), held_out, seed, options.data) for name, (size, held_out, seed) in SIZES.items()}
    result_files.write(FILE, made)


if __name__ == "__main__":
    main()

"""Pools in which a share of the records is wrong, to see from which share on selection pays.

    python -m experiments.real_records --out runs/real_records.jsonl
    python -m experiments.noise --data runs/real_records.jsonl --out runs/noise          # runs/noise/{00,15,30,45}.jsonl
    for s in 00 45 30 15; do codeact compare recipes/compare_noise.yaml recipe.data.source=runs/noise/$s.jsonl run_dir=runs/compare_noise_$s; done

Each file holds the same records in the same order, under the ids that they have when clean, so that the comparisons draw the same pools from
each; those wrong at 15 % are wrong at 30 % too. The records that the comparison will hold out stay clean: they are the draw that
`codeact compare` makes from the same instructions, which no corruption used here changes.
What was expected before the first training, and what was found: docs/experiments-noise.md.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codeact.comparison.split import normal_text
from codeact.draws import seeded_subset
from codeact.records import Record, read_data
from codeact.storage import write_jsonl
from experiments import corruptions

SHARES = (0.0, 0.15, 0.3, 0.45)
KINDS = ("swapped", "syntax", "operators", "constants", "truncated")  # none of them touches the instruction


def held_out(records: Sequence[Record], count: int, seed: int) -> set[str]:
    """The instructions that `codeact compare` with this seed will hold out of these records."""
    return seeded_subset(sorted({normal_text(record.instruction) for record in records}), count, seed)


def noisy(records: Sequence[Record], share: float, kept: set[str], seed: int) -> tuple[list[Record], Counter[str]]:
    """The records with this share of those that are not held out made wrong, by each kind in turn, and how many by which.

    A record that a kind cannot be applied to gets the next kind; one that none can be applied to stays, and the next one is taken.
    """
    rng = random.Random(f"noise {seed}")
    order = [n for n, record in enumerate(records) if normal_text(record.instruction) not in kept]
    rng.shuffle(order)
    wanted = round(share * len(order))
    made, found = list(records), Counter[str]()
    for place, at in enumerate(order):
        if sum(found.values()) == wanted:
            break
        for turn in range(len(KINDS)):
            kind = KINDS[(place + turn) % len(KINDS)]
            changed = _changed(kind, records, at, order[place - 1], seed)
            if changed is not None:
                made[at] = changed
                found[kind] += 1
                break
    return made, found


def _changed(kind: str, records: Sequence[Record], at: int, other: int, seed: int) -> Record | None:
    if kind == "swapped":
        answer = records[other].response
        return None if answer == records[at].response else corruptions.rebuilt(records[at], records[at].instruction, answer)
    return corruptions.corrupt(kind, [records[at]], [0], [], 1, seed).get(0)


def rows(records: Sequence[Record], clean: Sequence[Record]) -> list[dict[str, Any]]:
    """As a data file; `wrong` says which were changed, and no reader takes it for a part of the record."""
    return [
        {"id": before.id, "instruction": r.instruction, "output": r.response, "wrong": r.response != before.response}
        for r, before in zip(records, clean, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/real_records.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("runs/noise"))
    parser.add_argument("--records", type=int, default=8040, help="held-out ones among them; a pool is a part of the others")
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--seed", type=int, default=30, help="also recipe.seed of the comparison")
    options = parser.parse_args()
    records = [r for r in read_data(options.data).records if len(r.messages) == 2]
    chosen = seeded_subset([r.id for r in records], options.records, options.seed)
    clean = [r for r in records if r.id in chosen]
    kept = held_out(clean, options.held_out, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for share in SHARES:
        made, found = noisy(clean, share, kept, options.seed)
        path = options.out / f"{round(100 * share):02}.jsonl"
        write_jsonl(path, rows(made, clean))
        print(f"{path}: {len(made):,} records, {sum(found.values()):,} wrong ({', '.join(f'{k} {n}' for k, n in found.most_common())})")


if __name__ == "__main__":
    main()

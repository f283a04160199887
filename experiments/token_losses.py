"""Every response token's loss, with and without the instruction, for all records of a file: what the scoring studies replay.

    python -m experiments.token_losses --model demo --out runs/token_losses

One .npz of 64 records a time (run it again after a kill to go on): ids, prompt and response tokens, and the two losses of
every response token in the record's order, concatenated. `load` reads the folder back.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.streams import stream_losses
from codeact.progress import track
from codeact.records import Record, read_data
from codeact.score import Scorer

SHARD = 64


@dataclass(frozen=True)
class Losses:
    """One record: float64 nats per response token, given the instruction and alone."""

    id: str
    prompt_tokens: int
    cond: np.ndarray
    uncond: np.ndarray

    @property
    def log_ifd(self) -> float:
        return float(self.cond.mean() - self.uncond.mean())


def measure(
    records: list[Record], model_name: str, dtype: str, max_length: int, folder: Path, last_first: bool = False
) -> None:
    """Fill `folder` with the shards that it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = {folder / f"{at // SHARD:05d}.npz": records[at : at + SHARD] for at in range(0, len(records), SHARD)}
    missing = {path: part for path, part in shards.items() if not path.exists()}
    if not missing:
        return
    scorer = Scorer(load_model(model_name, dtype=dtype), load_tokenizer(model_name), max_length=max_length)
    done = len(records) - sum(map(len, missing.values()))
    with track("token losses", len(records), "records", done=done) as bar:
        for path, part in sorted(missing.items(), reverse=last_first):
            if path.exists():
                continue
            write_part(scorer, part, path)
            bar.advance(len(part))


def write_part(scorer: Scorer, records: Sequence[Record], path: Path) -> None:
    """Measure these records and write one .npz, atomically; nothing where none of them has tokens to score."""
    usable = [item for item in scorer.prepare(records) if item.streams]
    if not usable:
        return
    losses = iter(stream_losses(scorer.model, [s for item in usable for s in item.streams], scorer.batch_tokens))
    cond, uncond = [], []
    for item in usable:
        cond += [next(losses) for _ in item.conditional]
        uncond += [next(losses) for _ in item.unconditional]
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        id=np.array([item.id for item in usable]),
        prompt=np.array([item.prompt_tokens for item in usable]),
        response=np.array([item.response_tokens for item in usable]),
        cond=np.concatenate(cond).astype(np.float32),
        uncond=np.concatenate(uncond).astype(np.float32),
    )
    temporary.rename(path)


def load(folder: Path) -> list[Losses]:
    """The records of a finished folder, in the order of the file."""
    found = []
    for path in sorted(folder.glob("?????.npz")):
        with np.load(path) as shard:
            ends = np.cumsum(shard["response"])[:-1]
            cond, uncond = (np.split(shard[name].astype(np.float64), ends) for name in ("cond", "uncond"))
            rows = zip(shard["id"].tolist(), shard["prompt"].tolist(), cond, uncond, strict=True)
            found += [Losses(*row) for row in rows]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--out", type=Path, default=Path("runs/token_losses"))
    parser.add_argument(
        "--last-first", action="store_true", help="from the end: for a second process on the same folder"
    )
    args = parser.parse_args()
    records = read_data(args.data).records
    measure(records, args.model, args.dtype, args.max_length, args.out, args.last_first)
    found = load(args.out)
    tokens = sum(item.prompt_tokens + 2 * len(item.cond) for item in found)
    print(f"{len(found):,} of {len(records):,} records, {tokens:,} model tokens")


if __name__ == "__main__":
    main()

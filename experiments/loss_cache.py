"""Token losses of records, kept on disk by the hash of their content: what was measured once is never measured again.

A folder holds .npz files in the form of `token_losses.py` (which also writes them); any number of folders can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.prompts import load_template
from codeact.progress import track
from codeact.records import Record
from codeact.score import Scorer
from codeact.score.sequences import build_sequences
from codeact.score.surprise import Spot, worst_spot
from experiments.token_losses import Losses, write_part

CHUNK = 8


def read(folders: Sequence[Path]) -> dict[str, Losses]:
    """Every measured record of these folders, by id."""
    found: dict[str, Losses] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.npz") if ".tmp" not in path.name):
        try:
            shard = np.load(path)
        except (OSError, ValueError, BadZipFile):
            continue  # another process is writing it
        with shard:
            ends = np.cumsum(shard["response"])[:-1]
            cond, uncond = (np.split(shard[name].astype(np.float64), ends) for name in ("cond", "uncond"))
            for row in zip(shard["id"].tolist(), shard["prompt"].tolist(), cond, uncond, strict=True):
                found[row[0]] = Losses(*row)
    return found


def measure(
    records: Sequence[Record], model_name: str, max_length: int, folder: Path, others: Sequence[Path] = ()
) -> dict[str, Losses]:
    """Token losses of every record that can be scored; those that no folder holds are measured into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    known = read([folder, *others])
    missing = list({r.id: r for r in records if r.id not in known}.values())
    if missing:
        scorer = Scorer(load_model(model_name), load_tokenizer(model_name), max_length=max_length)
        with track("token losses", len(missing), "records") as bar:
            for at in range(0, len(missing), CHUNK):
                part = missing[at : at + CHUNK]
                name = hashlib.sha256(" ".join(record.id for record in part).encode()).hexdigest()[:16]
                write_part(scorer, part, folder / f"{name}.npz")
                bar.advance(len(part))
        known = read([folder, *others])
    return {r.id: known[r.id] for r in records if r.id in known}


def spots(records: Sequence[Record], model_name: str, max_length: int) -> dict[str, tuple[Spot, ...]]:
    """Where the scored tokens of each record spell an operator or a number, as the scorer finds them, by id."""
    tokenizer = load_tokenizer(model_name)
    template = load_template("auto", tokenizer)
    return {
        r.id: build_sequences(r, template, tokenizer, max_length=max_length).spots
        for r in {r.id: r for r in records}.values()
    }


def spikes(
    records: Sequence[Record], losses: dict[str, Losses], model_name: str, max_length: int
) -> dict[str, float | None]:
    """`codeact.score.Score.spike` of each record from its kept losses, by id."""
    found = spots([r for r in records if r.id in losses], model_name, max_length)
    return {identity: worst_spot(some, losses[identity].cond)[0] for identity, some in found.items()}

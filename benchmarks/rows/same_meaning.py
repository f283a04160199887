"""Records of the same meaning by their vectors: exact search of ours beside semhash's index."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import row, told, tools
from benchmarks.turns import Turn, in_turns, timed
from codeact.curate.near_copies import find_same_meaning

OURS = "codeact semantic"


def measure(records: int, rounds: int, peers: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(records, 384)).astype(np.float32)
    pairs = records // 20
    vectors[-pairs:] = vectors[:pairs] + 0.05 * rng.normal(size=(pairs, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{n:07d}" for n in range(records)]

    def ours(_: int) -> Turn:
        found, turn = timed(lambda: find_same_meaning(ids, vectors, range(records), 0.98))
        return {**turn, "work": records, "dropped": len(found)}

    with tempfile.TemporaryDirectory() as folder:
        texts, file = Path(folder, "texts.json"), Path(folder, "vectors.bin")
        texts.write_text(json.dumps(ids), encoding="utf-8")
        file.write_bytes(vectors.tobytes())
        given = {"texts": str(texts), "vectors": str(file), "threshold": 0.98}
        wanted: dict[str, tuple[str, str, dict[str, Any]]] = {"semhash": ("semhash", "same_meaning", given)} if peers else {}
        with tools(wanted) as (ready, missing):
            ways = {OURS: ours, **{name: lambda number, name=name: {**ready[name](number), "work": records} for name in ready}}
            turns = in_turns(ways, rounds, missing)
        return row(
            f"Same meaning among {records:,} vectors", "records", turns, OURS, missing, versions=told(wanted, missing), planted=pairs,
            note=f"Random vectors of 384 numbers, cosine 0.98, {pairs} copies planted. Ours compares all pairs, semhash an approximate index (usearch).",
        )  # fmt: skip

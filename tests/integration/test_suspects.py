"""`sample.suspects` and `sample.min_gain` through the whole selection: tables, reasons and the ledger's evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from codeact import select
from tests.helpers.pool import pool_rows


def test_suspects_and_gain_reach_the_selection_and_the_ledger(
    tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path
) -> None:
    rows = [{**row, "output": f"{row['output']}print({n} + 1)\n"} for n, row in enumerate(pool_rows(32))]
    settings = {"cluster.k": 2, "curate.dedup": False, "model.dtype": "float32", "model.template": "question",
                "sample.strategy": "cdas", "sample.unit": "records"}  # fmt: skip

    def run(**more: float) -> tuple[list[dict[str, object]], dict[str, dict[str, object]]]:
        select(
            rows, model=str(tiny_model_dir), embedder=str(tiny_embedder_dir), ratio=0.2, run_dir=tmp_path,
            settings=settings | {f"sample.{key}": value for key, value in more.items()},
        )  # fmt: skip
        ledger = {row["id"]: row for row in pq.read_table(tmp_path / "ledger.parquet").to_pylist()}
        return pq.read_table(tmp_path / "score.parquet").to_pylist(), ledger

    scores, _ = run()
    usable = [s for s in scores if s["ifd"] < 1]
    gains = {s["id"]: (s["nll_uncond"] - s["nll_cond"]) * s["response_tokens"] for s in scores}
    limit = float(np.median([gains[s["id"]] for s in usable]))
    _, ledger = run(min_gain=limit)
    for score in scores:
        low = score["ifd"] < 1 and gains[score["id"]] < limit
        assert ledger[score["id"]]["reason"].startswith("gain<") == low
    _, ledger = run(suspects=0.25)
    highest = sorted(scores, key=lambda s: -s["spike"])[:8]
    told = {i: row["detail"] for i, row in ledger.items() if "does not expect" in row["detail"]}
    assert set(told) == {s["id"] for s in highest}
    for score in highest:
        assert score["spike_at"] in told[score["id"]]
        assert ledger[score["id"]]["reason"] in ("", "suspect", "ifd>=1")
    assert all(row["reason"] != "suspect" for i, row in ledger.items() if i not in told)

"""One optimizer step over the same samples: packed by ours, padded to the batch's longest, and TRL's SFTTrainer with its packing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import efficiency
from benchmarks import peers as tools
from benchmarks.data_folder import EVOL_INSTRUCT
from benchmarks.rows import row
from benchmarks.rows.scoring import weights_folder
from benchmarks.turns import Turn, in_turns

OURS, PADDED, TRL, TRL_PADDED = "codeact, Dynamic Pack", "codeact, dynamic padding", "TRL SFTTrainer, packing", "TRL SFTTrainer, padding"
RATE = 2e-5


def measure(records: int, batch_size: int, max_length: int, rounds: int, dtype: str, model: str = "demo", peers: bool = True) -> dict[str, Any]:
    words = ["--records", str(records), "--batch-size", str(batch_size), "--grad-accum", str(records), "--max-length", str(max_length)]
    words += ["--dtype", dtype, "--model", model, "--data", str(EVOL_INSTRUCT), "--learning-rate", str(RATE)]
    options = efficiency.parse(words)
    from codeact.lm.models import load_tokenizer

    tokenizer = load_tokenizer(model)
    samples = efficiency.tokenised(efficiency.read_records(options.data, records, options.seed), tokenizer, max_length)
    learnt = sum(int((s["labels"] != -100).sum()) for s in samples)
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}

    def ours(way: str) -> Turn:
        found = efficiency.run_apart(way, words)
        return {
            "seconds": found["seconds"], "cpu_seconds": found["cpu_seconds"], "work": learnt, "loss": found["losses"][0],
            "peak_memory_MiB": found["peak_memory_bytes"] // 2**20, "padding": found["padding_rate"],
        }  # fmt: skip

    ways: dict[str, Any] = {OURS: lambda _: ours("ours"), PADDED: lambda _: ours("dynamic")}
    with tempfile.TemporaryDirectory() as folder:
        home, file = Path(folder, "model"), Path(folder, "samples.json")
        if peers:
            home.mkdir()
            for part in weights_folder(model).iterdir():
                (home / part.name).symlink_to(part.absolute())
            tokenizer.save_pretrained(Path(folder, "tokenizer"))
            for part in Path(folder, "tokenizer").iterdir():
                if not (home / part.name).exists():
                    (home / part.name).symlink_to(part)
            file.write_text(json.dumps([{k: s[k].tolist() for k in ("input_ids", "labels")} for s in samples]), encoding="utf-8")
        given = {"model": str(home), "samples": str(file), "max_length": max_length, "learning_rate": RATE, "bf16": dtype == "bfloat16"}

        def theirs(packing: bool) -> Turn:
            # a process of its own each time: its peak of memory is that of the training
            with tools.waiting("trl", "training", {**given, "packing": packing, "rows": 1 if packing else batch_size}) as script:
                turn = script()
            turn |= {"seconds": turn.pop("train_seconds"), "work": learnt}
            return turn

        if peers:
            try:
                tools.python_of("trl")
                versions = tools.versions("trl")
                ways |= {TRL: lambda _: theirs(True), TRL_PADDED: lambda _: theirs(False)}
            except tools.PeerError as error:
                missing[TRL] = str(error)
        turns = in_turns(ways, rounds, missing)
    return row(
        f"Full fine-tuning, one optimizer step over {records} records, rows of {max_length:,}", "learnt tokens", turns, OURS, missing,
        versions=versions, limit=None,
        note=f"SmolLM2-135M, {dtype}, batches of {batch_size} records (TRL's packing: one row at a time); each in a process of its own. Equal losses"
        " say that the same was learnt from the same tokens. TRL's processor seconds count its loading too, its clock does not.",
    )  # fmt: skip

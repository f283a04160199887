"""One optimizer step over the same samples: packed by ours, padded to the batch's longest, and TRL's SFTTrainer with its packing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import efficiency
from benchmarks import peers as tools
from benchmarks.data_folder import EVOL_INSTRUCT
from benchmarks.ifd_speed import peak_by_processor
from benchmarks.rows import row
from benchmarks.rows.scoring import weights_folder
from benchmarks.turns import Turn, in_turns, timed

FORWARD = "three forward passes of the same rows"
OURS, PADDED, TRL, TRL_PADDED = "codeact, Dynamic Pack", "codeact, dynamic padding", "TRL SFTTrainer, packing", "TRL SFTTrainer, padding"
RATE = 2e-5


def forward_passes(samples: list[dict[str, Any]], model: str, dtype: str, max_length: int) -> Turn:
    """A forward pass over the packed rows, with the losses of the learnt tokens and without gradients, times three."""
    import numpy as np
    import torch

    from codeact.lm.forward import hidden_states, write_losses
    from codeact.lm.models import load_model
    from codeact.packing import collate_rows, plan_epoch
    from codeact.score.cost import forward_flops, model_cost

    network = load_model(model, dtype=dtype)
    lengths = np.array([len(sample["input_ids"]) for sample in samples], np.int64)
    batches = [collate_rows(samples, [row], pad_token_id=0) for row in plan_epoch(lengths, max_length)]

    def losses() -> int:
        count = 0
        with torch.inference_mode():
            for batch in batches:
                learnt = torch.nonzero(batch["labels"][0, 1:] != -100).flatten()
                write_losses(network, hidden_states(network, batch)[0][learnt], batch["labels"][0, 1:][learnt], torch.empty(len(learnt)))
                count += len(learnt)
        return count

    losses()
    learnt, turn = timed(losses)
    peak = peak_by_processor(network.dtype)
    flops = forward_flops(model_cost(network.config), lengths.tolist(), learnt)
    return {
        "seconds": 3 * turn["seconds"], "cpu_seconds": 3 * turn["cpu_seconds"], "work": learnt, "flops": 3 * flops, "peak": peak,
        "share_of_limit": flops / turn["cpu_seconds"] / peak,
    }  # fmt: skip


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

    ways: dict[str, Any] = {
        OURS: lambda _: ours("ours"), FORWARD: lambda _: forward_passes(samples, model, dtype, max_length), PADDED: lambda _: ours("dynamic"),
    }  # fmt: skip
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
    for mine, forward in zip(turns[OURS], turns[FORWARD], strict=True):
        mine["share_of_limit"] = forward.pop("flops") / mine["cpu_seconds"] / forward.pop("peak")
    return row(
        f"Full fine-tuning, one optimizer step over {records} records, rows of {max_length:,}", "learnt tokens", turns, OURS, missing,
        versions=versions, limit="three forward passes at the best matrix product of the same type, by processor seconds",
        note=f"SmolLM2-135M, {dtype}, batches of {batch_size} records (TRL's packing: one row at a time); each in a process of its own. Equal losses"
        " say that the same was learnt from the same tokens. TRL's processor seconds count its loading too, its clock does not.",
    )  # fmt: skip

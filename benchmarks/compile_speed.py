"""Does torch.compile pay within one scoring run? The same packed rows, without it and with it, in one process.

    python -m benchmarks.compile_speed --model demo --rows 8 --batch-tokens 1024

Each decoder layer is compiled on its own with dynamic shapes (layers share their code, so that one is compiled and all are
served; the whole model would take longer). Rows of packed records go through the decoder four times: without compilation,
compiled for the first time, compiled again, and without once more, which shows how steady the machine was. CPU seconds
decide: on a shared machine the clock does not.

Result: benchmarks/results/compile_speed.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from benchmarks.machine import provenance
from codeact.lm.forward import hidden_states
from codeact.lm.models import load_model, load_tokenizer
from codeact.packing.collate import collate_rows
from codeact.packing.plan import plan_epoch
from codeact.records import read_data
from codeact.score import Scorer

RESULTS = Path(__file__).parent / "results"


def packed_rows(scorer: Scorer, records: Sequence[Any], rows: int) -> list[dict[str, Any]]:
    """The first rows that scoring these records would run."""
    streams = [stream for item in scorer.prepare(records) for stream in item.streams]
    samples = [{"input_ids": np.asarray(stream.ids[:-1], np.int64)} for stream in streams]
    lengths = np.array([len(sample["input_ids"]) for sample in samples], np.int64)
    plan = plan_epoch(lengths, max(scorer.batch_tokens, int(lengths.max())))
    return [collate_rows(samples, [row], pad_token_id=0) for row in list(plan)[:rows]]


def timed(model: Any, rows: Sequence[dict[str, Any]]) -> tuple[dict[str, float], list[Any]]:
    """Wall and CPU seconds of one pass over the rows, and the hidden states."""
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        hidden = [hidden_states(model, row) for row in rows]
    tokens = sum(row["input_ids"].numel() for row in rows)
    cpu_seconds = time.process_time() - cpu
    return {
        "tokens": tokens,
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "tokens_per_cpu_second": round(tokens / cpu_seconds, 1),
    }, hidden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--records", type=int, default=200, help="records that the rows are planned from")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--output", type=Path, default=RESULTS / "compile_speed.json")
    args = parser.parse_args()
    told = provenance()
    model, tokenizer = load_model(args.model, dtype="float32"), load_tokenizer(args.model)
    records = read_data(args.data).records[: args.records]
    scorer = Scorer(model, tokenizer, max_length=args.max_length, batch_tokens=args.batch_tokens)
    rows = packed_rows(scorer, records, args.rows)
    layers = model.get_decoder().layers

    passes = {"plain": timed(model, rows)}
    for layer in layers:
        layer.compile(dynamic=True)
    passes["compiled_first"] = timed(model, rows)
    passes["compiled_again"] = timed(model, rows)
    for layer in layers:
        layer._compiled_call_impl = None
    passes["plain_again"] = timed(model, rows)

    told_by = {name: figures for name, (figures, _) in passes.items()}
    gap = max(float((a - b).abs().max()) for a, b in zip(passes["plain"][1], passes["compiled_again"][1], strict=True))
    plain = (told_by["plain"]["cpu_seconds"] + told_by["plain_again"]["cpu_seconds"]) / 2
    compiling = told_by["compiled_first"]["cpu_seconds"] - told_by["compiled_again"]["cpu_seconds"]
    tokens = told_by["plain"]["tokens"]
    saved = (plain - told_by["compiled_again"]["cpu_seconds"]) / tokens
    counters = torch._dynamo.utils.counters
    result = {
        "passes": told_by,
        "compile_cpu_seconds": round(compiling, 1),
        "ratio_once_compiled": round(plain / told_by["compiled_again"]["cpu_seconds"], 3),
        "tokens_to_break_even": round(compiling / saved) if saved > 0 else None,
        "graphs": int(counters["stats"]["unique_graphs"]),
        "graph_breaks": sum(counters["graph_break"].values()),
        "largest_difference": gap,
    }
    for name, figures in told_by.items():
        print(
            f"{name:<16} {figures['cpu_seconds']:>8.1f} CPU s  {figures['tokens_per_cpu_second']:>8.1f} tokens per CPU s"
        )
    print({key: value for key, value in result.items() if key != "passes"})
    result_files.write(args.output, {**told, "threads": torch.get_num_threads(), **result})


if __name__ == "__main__":
    main()

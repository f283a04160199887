"""Streaming plans against the window's size, and how evenly steps of packed rows load their ranks.

    python -m benchmarks.stream_balance

Part 1 packs 1,000,000 lengths (those of Evol-Instruct in configs/, drawn with replacement) as a stream, window by window,
beside `plan_epoch` of all of them. Part 2 is a simulation: it counts FLOPs, no model is run. Lengths of reasoning traces are
drawn from a log-normal distribution (median 2,000 tokens, sigma 1.2, cut at the row), so they are an assumption and no data.

Result: benchmarks/results/stream_balance.json.xz
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from codeact.packing import (
    PackedStream,
    balance_ratio,
    balance_steps,
    crossover_tokens,
    padding_rate,
    plan_epoch,
    row_costs,
)

HERE = Path(__file__).parent
RANKS, ROWS_PER_RANK = 8, 4


def streaming(count: int, capacity: int, windows: list[int]) -> list[dict[str, Any]]:
    pairs = json.loads((HERE / "configs" / "evol_instruct_lengths.json").read_text(encoding="utf-8"))
    known = np.minimum(np.array(pairs).sum(axis=1), capacity)
    lengths = np.random.default_rng(0).choice(known, count)
    found = []
    for window in windows:
        begun = time.perf_counter()
        rows = iter(PackedStream(lengths.tolist(), capacity, window=window, length=int))
        tokens, made = sum(next(rows)), 1
        first = time.perf_counter() - begun
        for row in rows:
            tokens += sum(row)
            made += 1
        seconds = time.perf_counter() - begun
        rate = 1 - tokens / (made * capacity)
        found.append({"window": window, "padding_rate": rate, "first_row_seconds": first, "seconds": seconds})
    begun = time.perf_counter()
    epoch = plan_epoch(lengths, capacity)
    seconds = time.perf_counter() - begun
    rate = padding_rate(epoch, lengths, capacity)
    return [*found, {"window": "all", "padding_rate": rate, "first_row_seconds": seconds, "seconds": seconds}]


def balance(capacity: int, model: str, rows_wanted: int = 3200) -> dict[str, Any]:
    config = json.loads((HERE / "configs" / f"{model}.json").read_text(encoding="utf-8"))
    hidden, inner, layers = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    crossover = crossover_tokens(layers * (4 * hidden**2 + 3 * hidden * inner), hidden, layers)
    generator = np.random.default_rng(1)
    drawn = generator.lognormal(np.log(2000), 1.2, rows_wanted * capacity // 2000).astype(np.int64)
    lengths = np.clip(drawn, 16, capacity)
    rows = plan_epoch(lengths, capacity, rows_multiple_of=RANKS * ROWS_PER_RANK)
    costs = row_costs(rows, lengths, crossover)
    tokens = row_costs(rows, lengths, np.inf)
    by_cost = balance_steps(costs, RANKS, ROWS_PER_RANK)
    return {
        "model": model, "capacity": capacity, "crossover_tokens": round(crossover), "rows": len(rows), "samples": len(lengths),
        "token_balance": float(balance_ratio(tokens, RANKS, ROWS_PER_RANK).mean()),
        "compute_balance": float(balance_ratio(costs, RANKS, ROWS_PER_RANK).mean()),
        "compute_balance_worst_step": float(balance_ratio(costs, RANKS, ROWS_PER_RANK).min()),
        "balanced": float(balance_ratio(costs[by_cost], RANKS, ROWS_PER_RANK).mean()),
        "balanced_worst_step": float(balance_ratio(costs[by_cost], RANKS, ROWS_PER_RANK).min()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "stream_balance.json.xz")
    options = parser.parse_args()
    windows = [64, 256, 1024, 4096, 16384]
    result = {
        **machine.provenance(),
        "streaming": {"capacity": 2048, "samples": options.samples, "rows": streaming(options.samples, 2048, windows)},
        "balance": {
            "simulated": True, "ranks": RANKS, "rows_per_rank": ROWS_PER_RANK, "window_steps": 32,
            "rows": [balance(c, m) for m in ("deepseek-coder-1.3b", "deepseek-coder-6.7b") for c in (2048, 16384, 32768)],
        },
    }  # fmt: skip
    result_files.write(options.output, result)
    for row in (*result["streaming"]["rows"], *result["balance"]["rows"]):
        print(row)


if __name__ == "__main__":
    main()

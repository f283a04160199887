"""100 million records on 64 GPUs, on paper: tokens, FLOPs, bytes and money, checked against what was measured; and a simulation of what goes wrong.

    python -m experiments.scale_model [--records 100000000] [--gpus 64] [--price 2.5]

The simulation is one of events: workers take shards, are slow, die and come back. It takes a minute of one core and needs no GPU. Writes
experiments/results/scale_model.json.xz.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.lm.hardware import CARDS, UTILISATION
from codeact.score.cost import ModelCost, forward_flops

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "scale_model.json.xz"
SEED = 0
HOUR = 3600.0
MODELS = {  # body, head, heads * head size * layers
    "SmolLM2 135M": ModelCost(106_203_456, 28_311_552, 17_280),
    "1.3B": ModelCost(1_214_251_008, 66_060_288, 49_152),
    "6.7B": ModelCost(6_476_271_616, 131_072_000, 131_072),
}
EMBEDDER = ModelCost(85_054_464, 0, 9_216)  # all-mpnet-base-v2
INSTRUCTION_TOKENS, DIMENSIONS = 88, 768
DATA_BYTES = 753  # a record of the data set of benchmarks/scale.py
RESTART_S = 120.0  # a process starts and loads its model: assumed
LENGTH_SPREAD = 0.7  # standard deviation / mean of a record's tokens: Evol-Instruct code


@dataclass(frozen=True)
class Outcome:
    """What a simulation found.

    Attributes:
        seconds: until the last shard is done.
        lost: seconds of work that were done for nothing, all workers together.
        idle: seconds in which workers that were up had nothing to do.
        failures: how many.
        again: shards that were begun more than once.
    """

    seconds: float
    lost: float
    idle: float
    failures: int
    again: int


def simulate(
    work: NDArray[np.float64], speeds: NDArray[np.float64], *, mtbf: float = np.inf, restart: float = 0.0, shared: bool = True, seed: int = SEED
) -> Outcome:
    """Shards over workers that fail: a failed worker is away for `restart` seconds, and its shard is done anew by whoever takes it.

    Args:
        work: float64 [shards], seconds of each at speed 1.
        speeds: float64 [workers].
        mtbf: mean seconds of work between failures of a worker; failures have no memory.
        restart: seconds.
        shared: whoever is free takes the next shard; else shard n belongs to worker n modulo their number, for good.
        seed: of the failures.
    """
    drawn = np.random.default_rng(seed)
    workers = len(speeds)
    queues = [deque(range(len(work)))] if shared else [deque(range(n, len(work), workers)) for n in range(workers)]
    events: list[tuple[float, int, int, int]] = [(0.0, n, -1, 0) for n in range(workers)]  # when, worker, shard, 1 = it fails
    heapq.heapify(events)
    idle: dict[int, float] = {}
    begun: set[int] = set()
    lost = idle_seconds = end = 0.0
    failures = again = 0

    def take(worker: int, now: float) -> None:
        nonlocal again, lost
        queue = queues[0 if shared else worker]
        if not queue:
            idle[worker] = now
            return
        shard = queue.popleft()
        again += shard in begun
        begun.add(shard)
        needed = float(work[shard] / speeds[worker])
        until = float(drawn.exponential(mtbf)) if np.isfinite(mtbf) else np.inf
        fails = until < needed
        lost += until if fails else 0.0
        heapq.heappush(events, (now + min(until, needed), worker, shard, int(fails)))

    while events:
        now, worker, shard, failed = heapq.heappop(events)
        if failed:
            failures += 1
            queues[0 if shared else worker].appendleft(shard)
            heapq.heappush(events, (now + restart, worker, -1, 0))
            if shared and idle:
                waiting = min(idle)
                idle_seconds += now - idle.pop(waiting)
                take(waiting, now)
            continue
        if shard >= 0:
            end = now
        take(worker, now)
    idle_seconds += sum(max(0.0, end - since) for since in idle.values())
    return Outcome(end, lost, idle_seconds, failures, again)


def seconds_with_failures(shards: int, work: float, mtbf: float, restart: float) -> float:
    """Mean time of one worker, in closed form: a shard of t seconds takes (e^(t/m) - 1) (m + restart) where failures have no memory."""
    return float(shards * np.expm1(work / mtbf) * (mtbf + restart))


def lengths(path: str = "ifd_speed_avx2.json") -> dict[str, float]:
    """Tokens of both scoring passes, and scored ones, of a record, as measured on Evol-Instruct code."""
    found = result_files.read(ROOT / "benchmarks" / "results" / path)
    return {"tokens": found["tokens"] / found["records"], "scored": found["scored_tokens"] / found["records"]}


def newest(scale: Mapping[str, Any]) -> dict[str, Any]:
    """`select --strategy random` of the largest run with default settings of the last such state of benchmarks/results/scale.json.xz."""
    for state in reversed(scale["states"].values()):
        runs = [run for run in state["runs"].values() if not run.get("settings") and "select_random" in run]
        if runs:
            largest: dict[str, Any] = max(runs, key=lambda run: run["records"])["select_random"]
            return largest
    raise SystemExit("benchmarks/results/scale.json.xz has no run with default settings; run python -m benchmarks.scale")


def checks() -> list[dict[str, Any]]:
    """The model's figures beside measured ones of committed result files."""
    read = {name.partition(".")[0]: result_files.read(ROOT / "benchmarks" / "results" / name) for name in ("ifd_speed_avx2.json", "efficiency.json.xz")}
    read["scale"] = result_files.read(ROOT / "benchmarks" / "results" / "scale.json.xz")
    scoring, training = read["ifd_speed_avx2"], read["efficiency"]["results"]["ours"]
    small = MODELS["SmolLM2 135M"]
    # the share of the peak that scoring reaches, on two threads, predicts the training of another day on one
    peak = scoring["peak_flops"]
    records = read["efficiency"]["settings"]["records"]
    mean = training["tokens"] / records
    once = forward_flops(small, [mean] * records, round(training["tokens"] * scoring["scored_tokens"] / scoring["tokens"]))
    one_pass = [scoring["tokens"] / (2 * scoring["records"])] * 2 * scoring["records"]
    trained = 3 * once / (scoring["ours_share_of_peak"] * peak / 2)
    scale = read["scale"]["states"]["before"]["runs"]  # one process: later states start several, whose start is no part of the records' work
    few, many = scale["20000"]["select_random"], scale["100000"]["select_random"]
    return [
        _check("FLOPs of scoring 32 records, by their mean length", forward_flops(small, one_pass, scoring["scored_tokens"]), scoring["flops"]),
        _check("seconds of training 200 records, by the share of the peak that scoring reaches", trained, training["seconds"]),
        _check("processor seconds of select --strategy random at 100,000, from 20,000", 5 * few["processor_seconds"], many["processor_seconds"]),
    ]


def _check(what: str, model: float, measured: float) -> dict[str, Any]:
    return {"what": what, "model": round(model, 2), "measured": round(measured, 2), "ratio": round(model / measured, 3)}


def costs(records: int, gpus: int, price: float) -> list[dict[str, Any]]:
    """Tokens, FLOPs, hours, bytes and money of each stage; money counts GPUs only."""
    size, peak = lengths(), CARDS["h100"].flops * UTILISATION
    run = newest(result_files.read(ROOT / "benchmarks" / "results" / "scale.json.xz"))
    embedding = forward_flops(EMBEDDER, [INSTRUCTION_TOKENS], 0)
    rows = [
        {"stage": "read, curate, write", "core_hours": records / run["records_per_processor_second"] / HOUR, "bytes": records * DATA_BYTES * 2},
        {"stage": "embed", "tokens": records * INSTRUCTION_TOKENS, "flops": records * embedding, "bytes": records * DIMENSIONS * 4},
    ]
    for name, model in MODELS.items():
        flops = forward_flops(model, [size["tokens"] / 2] * 2, round(size["scored"]))
        row_bytes = 2 * size["scored"] / 2 + 200  # token_log_ifd, and the figures
        rows.append({"stage": f"score, {name}", "tokens": records * size["tokens"], "flops": records * flops, "bytes": records * row_bytes})
    for row in rows:
        if "flops" in row:
            row["gpu_hours"] = row["flops"] / peak / HOUR
            row["hours"] = row["gpu_hours"] / gpus
            row["money"] = row["gpu_hours"] * price
    return [{key: value if isinstance(value, str) else float(f"{value:.4g}") for key, value in row.items()} for row in rows]


def scenarios(records: int, gpus: int) -> list[dict[str, Any]]:
    """Scoring by the 6.7B model when workers are slow and die: shards of several sizes, shared or dealt out."""
    each = forward_flops(MODELS["6.7B"], [lengths()["tokens"] / 2] * 2, round(lengths()["scored"])) / (CARDS["h100"].flops * UTILISATION)
    drawn = np.random.default_rng(SEED)
    slow = np.ones(gpus)
    slow[: max(1, gpus // 20)] = 0.6
    found = []
    kinds = {
        "all well": (np.ones(gpus), np.inf), "one GPU in 20 at 0.6 of the speed": (slow, np.inf),
        "and a failure each 50,000 GPU hours": (slow, 50_000 * HOUR), "and a preemption each 24 GPU hours": (slow, 24 * HOUR),
        "and a preemption each GPU hour": (slow, HOUR),
    }  # fmt: skip
    for size in (128, 1_024, 8_192, 65_536):
        count = -(-records // size)
        work = each * size * np.maximum(0.05, 1 + drawn.normal(0, LENGTH_SPREAD / np.sqrt(size), count))
        for kind, (speeds, mtbf) in kinds.items():
            ideal = float(work.sum() / speeds.sum())
            for shared in (True, False):
                if size == 128 and not shared:
                    continue
                outcome = simulate(work, speeds, mtbf=mtbf, restart=RESTART_S, shared=shared)
                found.append({
                    "shard": size, "seconds_of_a_shard": round(each * size, 1), "workers": kind, "shared": shared, "hours": round(outcome.seconds / HOUR, 2),
                    "over_ideal": round(outcome.seconds / ideal - 1, 4), "lost_share": round(outcome.lost / float(work.sum()), 5),
                    "failures": outcome.failures, "begun_again": outcome.again,
                })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000_000)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--price", type=float, default=2.5, help="of a GPU hour")
    parser.add_argument("--keep-simulation", action="store_true", help="leave the simulation as the result file has it: it does not read the measured speeds")
    options = parser.parse_args()
    known = simulate(np.full(20_000, 60.0), np.ones(1), mtbf=600.0, restart=RESTART_S)
    closed = seconds_with_failures(20_000, 60.0, 600.0, RESTART_S)
    document = {
        **provenance(), "records": options.records, "gpus": options.gpus, "gpu": "H100 at 45 % of its peak (assumed, not measured)", "price": options.price,
        "checks": checks(), "costs": costs(options.records, options.gpus, options.price),
        "closed_form": {"simulated": round(known.seconds), "formula": round(closed), "ratio": round(known.seconds / closed, 4), **asdict(known)},
        "simulation": result_files.read(RESULT)["simulation"] if options.keep_simulation else scenarios(options.records, options.gpus),
    }  # fmt: skip
    result_files.write(RESULT, document)
    print(json.dumps({key: document[key] for key in ("checks", "costs", "closed_form")}, indent=1))


if __name__ == "__main__":
    main()

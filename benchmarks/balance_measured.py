"""How evenly processes really work on rows of long samples: token-balanced plans beside cost-balanced ones, over gloo on CPUs.

    OMP_NUM_THREADS=1 python -m benchmarks.balance_measured --processes 2 4

Lengths are those of `stream_balance`'s simulation (log-normal, median 2,000 tokens, cut at the row: reasoning traces, an assumption and
no data). First one process times rows of long and of short samples, and `fit_crossover` gives the length at which attention costs as
much as all else for this model on this machine. Then 2 and 4 processes take the same rows, forward and backward, and sum their gradients
after each step: once in the random order of `plan_epoch`, once in that of `plan_epoch(..., ranks=..., crossover=...)`. Both are of equal
tokens. Measured are the processor seconds of each process in each step without the sum: a process that waits uses none, and other
programs hardly change them. `balance` is their mean over the processes divided by the slowest, over all steps: the share of the time
that the processes work.

Result: benchmarks/results/balance_measured.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.turns import Load
from codeact.packing import collate_rows, crossover_tokens, fit_crossover, plan_epoch, row_costs

RESULT = Path(__file__).parent / "results" / "balance_measured.json"
SHAPE = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
TIMED = ([4096], [2048] * 2, [512] * 8, [128] * 32, [6144], [1024] * 4)


def lengths_of(samples: int, capacity: int) -> np.ndarray:
    drawn = np.random.default_rng(0).lognormal(np.log(2000), 1.2, samples).astype(np.int64) + 1
    return np.minimum(drawn, capacity)


def network() -> Any:
    """The decoder of a small llama with random weights; a head's logits would be most of its work."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from codeact.lm.attention import register

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SHAPE), attn_implementation=register())
    return model.get_decoder()


def work(decoder: Any, sizes: Sequence[int]) -> float:
    """Processor seconds of one row of random tokens, forward and backward."""
    rng = np.random.default_rng(len(sizes))
    samples = [{"input_ids": rng.integers(1, SHAPE["vocab_size"], size).astype(np.int64)} for size in sizes]
    batch = collate_rows(samples, [np.arange(len(samples))], pad_token_id=0)
    batch.pop("labels", None)
    start = time.process_time()
    decoder(**batch, use_cache=False)[0].square().mean().backward()
    return time.process_time() - start


def one_rank(options: argparse.Namespace) -> None:
    """A process of the measurement: its rows, step after step, and the sum of gradients after each."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{options.meeting}", rank=options.rank, world_size=options.world)
    decoder, plan = network(), json.loads(options.plan.read_text(encoding="utf-8"))
    work(decoder, [64])
    took = []
    for step in plan:
        took.append(sum(work(decoder, row) for row in step[options.rank]))
        for parameter in decoder.parameters():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad.zero_()
    options.result.write_text(json.dumps(took), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


def measured(plan: list[list[list[list[int]]]], ranks: int) -> np.ndarray:
    """Processor seconds [steps, ranks]. plan: steps of ranks of rows of lengths."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "plan.json")
        given.write_text(json.dumps(plan), encoding="utf-8")
        outputs = [Path(folder, f"{rank}.json") for rank in range(ranks)]
        command = [sys.executable, "-m", "benchmarks.balance_measured", "--plan", str(given), "--meeting", f"{folder}/meet", "--world", str(ranks)]
        running = [subprocess.Popen([*command, "--rank", str(rank), "--result", str(outputs[rank])]) for rank in range(ranks)]
        if sum(process.wait() != 0 for process in running):
            raise SystemExit("a process failed; its message is above")
        return np.array([json.loads(output.read_text(encoding="utf-8")) for output in outputs]).T


def share(steps: np.ndarray) -> float:
    """Of [steps, ranks]: mean of the ranks divided by the slowest, over all steps."""
    return float(steps.mean(axis=1).sum() / steps.max(axis=1).sum())


def measure(ranks: int, capacity: int, samples: int, crossover: float) -> dict[str, Any]:
    lengths = lengths_of(samples, capacity)
    plans = {
        "tokens": plan_epoch(lengths, capacity, 0, rows_multiple_of=ranks),
        "compute": plan_epoch(lengths, capacity, 0, ranks=ranks, crossover=crossover),
    }
    found: dict[str, Any] = {}
    for name, rows in plans.items():
        order = [rows[at] for at in range(len(rows))]
        steps = [[[lengths[row].tolist()] for row in order[at : at + ranks]] for at in range(0, len(order), ranks)]
        seconds = measured(steps, ranks)
        counted, tokens = (row_costs(rows, lengths, how).reshape(-1, ranks) for how in (crossover, np.inf))
        found[name] = {
            "rows": len(rows), "balance": round(share(seconds), 4), "worst_step": round(float((seconds.mean(1) / seconds.max(1)).min()), 4),
            "balance_counted": round(share(counted), 4), "balance_in_tokens": round(share(tokens), 4),
            "seconds_of_the_slowest": round(float(seconds.max(axis=1).sum()), 2), "seconds_of_all": round(float(seconds.sum()), 2),
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--capacity", type=int, nargs="+", default=[16_384])
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--output", type=Path, default=RESULT)
    for name in ("--plan", "--meeting", "--result"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    for name in ("--rank", "--world"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plan:
        one_rank(options)
        return
    told = machine.provenance()
    decoder = network()
    work(decoder, [64])
    runs: dict[str, Any] = {}
    with Load() as load:
        times = [min(work(decoder, row) for _ in range(2)) for row in TIMED]
        fitted = fit_crossover(TIMED, times)
        for capacity in options.capacity:
            for ranks in options.processes:
                found = measure(ranks, capacity, options.samples, fitted)
                runs[f"rows of {capacity}, {ranks} processes"] = found
                print(capacity, ranks, {name: (run["balance"], run["balance_counted"], run["rows"]) for name, run in found.items()}, flush=True)
    body = sum(parameter.numel() for parameter in decoder.layers.parameters())
    others = load.others or 0.0
    result_files.write(options.output, {
        **told, "shape": SHAPE, "samples": options.samples,
        "crossover": {"measured": round(fitted), "counted": round(crossover_tokens(body, SHAPE["hidden_size"], SHAPE["num_hidden_layers"])),
                      "rows": [f"{len(row)} x {row[0]}" for row in TIMED], "processor_seconds": [round(t, 4) for t in times]},
        "others_share_of_the_machine": round(others, 3), "busy_machine": others > 0.1, "runs": runs,
    })  # fmt: skip


if __name__ == "__main__":
    main()

"""What training measures: tokens, padding, speed, memory and loss, per logged step and in sum."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from codeact.packing.plan import compare_layouts, shuffled_batches
from codeact.types import Ints

if TYPE_CHECKING:
    import torch

FIELDS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "padding_rate",
    "peak_memory_bytes",
    "seconds",
)
RANK_FIELDS = ("balance", "worst_balance", "rank_costs")  # of several processes
EDGE = 0.1
DRAWN = 32  # samples of the picture of batches
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Meter:
    """Counts the batches of a step and the time since the last reading.

    Attributes:
        tokens: sample tokens since the last reading.
        slots: tokens of the batches, padding included, since the last reading.
        costs: compute of each optimizer step since the last reading.
    """

    def __init__(self) -> None:
        self.tokens = self.slots = 0
        self.costs: list[float] = []
        self._cost = 0.0
        self._since = time.perf_counter()
        self._paused: float | None = None

    def add(self, tokens: int, slots: int, cost: float = 0.0) -> None:
        """Count one batch."""
        self.tokens += tokens
        self.slots += slots
        self._cost += cost

    def end_step(self) -> None:
        """An optimizer step is complete."""
        self.costs.append(self._cost)
        self._cost = 0.0

    def read_costs(self) -> list[float]:
        """Compute of each optimizer step since the last reading."""
        counted, self.costs = self.costs, []
        return counted

    def restart(self) -> None:
        """Leave out the time since the last reading."""
        self._since, self._paused = time.perf_counter(), None

    def pause(self) -> None:
        """Leave out the time until `go` (a checkpoint is written, a validation loss measured)."""
        if self._paused is None:
            self._paused = time.perf_counter()

    def go(self) -> None:
        """Count again, after a `pause` or without one."""
        if self._paused is not None:
            self._since += time.perf_counter() - self._paused
            self._paused = None

    def read(self) -> tuple[int, int, float]:
        """Tokens, slots and seconds since the last reading, which start again from zero."""
        now = time.perf_counter() if self._paused is None else self._paused
        counted = (self.tokens, self.slots, now - self._since)
        self.tokens, self.slots, self._since = 0, 0, now
        return counted


def step_metrics(tokens: int, slots: int, seconds: float, peak_memory: int) -> dict[str, float]:
    """The measured part of one line of metrics.jsonl.

    `tokens` counts samples' tokens and no padding, since the last line; `padding_rate` is padding / all tokens of the
    batches; `peak_memory_bytes` as `peak_memory_bytes()`.
    """
    return {
        "tokens": tokens,
        "tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
        "padding_rate": 1.0 - tokens / slots if slots else 0.0,
        "peak_memory_bytes": peak_memory,
        "seconds": seconds,
    }


def rank_metrics(costs: ArrayLike) -> dict[str, Any]:
    """How evenly steps load the processes, of their compute [ranks, steps]: in the lines of metrics.jsonl.

    A step's balance is the mean of its ranks divided by the slowest; `balance` is the mean and `worst_balance` the least of
    them, `rank_costs` each rank's sum, in tokens of the linear part (`packing.balance.row_costs`).
    """
    table = np.asarray(costs, dtype=np.float64)
    steps = table.mean(axis=0) / np.maximum(table.max(axis=0), 1e-300)
    return {"balance": float(steps.mean()), "worst_balance": float(steps.min()), "rank_costs": table.sum(axis=1).tolist()}


def entries(parameter: torch.nn.Parameter) -> int:
    """Numbers that a parameter stands for, those in 4 bits too."""
    packed = getattr(parameter, "quant_state", None)
    return int(parameter.numel() if packed is None else packed.shape.numel())


def logged_rows(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl from a Trainer's log history: those of steps, and those of validations."""
    rows: list[dict[str, Any]] = []
    for entry in history:
        if "loss" in entry:
            of_ranks = {key: entry[key] for key in RANK_FIELDS if key in entry}
            rows.append({**{key: entry.get(key) for key in FIELDS}, **of_ranks})
        elif "eval_loss" in entry:
            rows.append({"step": entry["step"], "epoch": entry.get("epoch"), "validation_loss": entry["eval_loss"]})
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Totals over the lines of metrics.jsonl.

    `first_loss` and `final_loss` are means over the first and last tenth of the logged steps (at least one), since the
    loss of a single batch is noise; `seconds` leaves out loading, saving and validation. `first_validation_loss` and
    `final_validation_loss` are there only if some were measured, `balance` (mean and worst over the steps, compute of each
    rank) only with several processes.
    """
    watched = [row["validation_loss"] for row in rows if "validation_loss" in row]
    rows = [row for row in rows if "validation_loss" not in row]
    tokens = sum(row["tokens"] for row in rows)
    slots = sum(row["tokens"] / (1.0 - row["padding_rate"]) for row in rows)
    seconds = sum(row["seconds"] for row in rows)
    edge = max(1, math.ceil(EDGE * len(rows)))
    losses = [row["loss"] for row in rows]
    return {
        "steps": rows[-1]["step"],
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
        "padding_rate": 1.0 - tokens / slots if slots else 0.0,
        "peak_memory_bytes": max(row["peak_memory_bytes"] for row in rows),
        "final_loss": sum(losses[-edge:]) / edge,
        "first_loss": sum(losses[:edge]) / edge,
        **_balance([row for row in rows if "balance" in row]),
        **({"first_validation_loss": watched[0], "final_validation_loss": watched[-1]} if watched else {}),
    }


def _balance(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {}
    steps = np.diff([0, *(row["step"] for row in rows)])
    mean = float(np.average([row["balance"] for row in rows], weights=steps))
    ranks = len(rows[-1]["rank_costs"])  # a training that went on with another number of processes has rows of both
    costs = np.sum([row["rank_costs"] for row in rows if len(row["rank_costs"]) == ranks], axis=0).tolist()
    return {"balance": {"mean": mean, "worst": min(row["worst_balance"] for row in rows), "rank_costs": costs}}


def pack_report(
    lengths: Sequence[int] | Ints,
    capacity: int,
    batch_size: int,
    seed: int = 0,
    truncated: int = 0,
    dropped: int = 0,
) -> dict[str, Any]:
    """The content of pack.json: rows and padding of one epoch under each way of batching, and the first batches, to be drawn.

    `batches` holds the lengths of as many batches as make up 32 samples, at least one, of which no more than 32 samples.

    Args:
        lengths: tokens of each sample.
        capacity: most tokens of a row.
        batch_size: samples per batch.
        seed: of the order of the samples.
        truncated: records that were cut to the capacity, for the report.
        dropped: records that were left out, for the report.

    Raises:
        InputError: as `packing.plan.compare_layouts`, which holds the meaning of `methods`.
    """
    sizes = [int(length) for length in lengths]
    methods = compare_layouts(sizes, capacity, batch_size, seed)
    batches = shuffled_batches(np.array(sizes, np.int64), batch_size, seed)[: max(1, DRAWN // batch_size)]
    return {
        "capacity": capacity,
        "records": len(sizes),
        "tokens": sum(sizes),
        "batch_size": batch_size,
        "methods": methods,
        "batches": [batch[:DRAWN].tolist() for batch in batches],
        "truncated": truncated,
        "dropped": dropped,
    }


def reset_peak_memory(device: torch.device) -> None:
    """Start the peak anew, so that it belongs to what follows: on CUDA, and on Linux for the process."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR.write_text("5")  # Linux, proc(5): resets the peak resident set size
    except OSError:
        return


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory in use at once, in bytes: allocated on the CUDA device, or the resident set of this process."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)

"""Where the time of scoring goes, and what would make it shorter: shares of processor time by kind of work, and variants in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.scoring_profile --dtype bfloat16

The same packed rows of records go through the decoder and the head: once with every linear layer, norm, activation, rotary embedding and
attention timed by processor seconds (`rest`: additions, products of gates, copies, Python), then in turns as it is
(page faults are counted), with attention by PyTorch's kernel in float32, with each decoder layer compiled
(dynamic shapes), and without the head. What a compiled layer saves is set against what compiling took. Processor seconds: other
programs hardly change them.

Result: benchmarks/results/scoring_profile.json
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import machine, result_files
from benchmarks.ifd_speed import peak_by_processor
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import Load, Turn, in_turns, timed
from codeact.lm import attention, blocked_attention
from codeact.lm.forward import hidden_states, write_losses
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.streams import Stream
from codeact.packing import collate_rows, plan_epoch
from codeact.score import Scorer
from codeact.score.cost import forward_flops, model_cost

RESULT = Path(__file__).parent / "results" / "scoring_profile.json"
PLAIN, OWN = "as it is", "attention by PyTorch's kernel"
COMPILED, BODY = "compiled layers", "without the head"
Row = tuple[dict[str, Any], Any, Any]


def packed(scorer: Scorer, records: Sequence[Any], rows: int) -> tuple[list[Row], list[int], int]:
    """The first rows that scoring would run, with the positions that predict a scored token and those tokens; lengths; scored tokens."""
    streams: list[Stream] = [stream for item in scorer.prepare(records) for stream in item.streams]
    samples = [{"input_ids": np.asarray(stream.ids[:-1], np.int64)} for stream in streams]
    lengths = np.array([len(sample["input_ids"]) for sample in samples], np.int64)
    made, sizes, scored = [], [], 0
    for row in list(plan_epoch(lengths, max(scorer.batch_tokens, int(lengths.max()))))[:rows]:
        places, targets, offset = [], [], 0
        for stream in (streams[i] for i in row):
            for span in stream.spans:
                places.append(np.arange(offset + span.start - 1, offset + span.end - 1))
                targets += stream.ids[span.start : span.end]
            offset += len(stream.ids) - 1
        made.append((collate_rows(samples, [row], pad_token_id=0), torch.from_numpy(np.concatenate(places)), torch.tensor(targets)))
        sizes += lengths[row].tolist()
        scored += len(targets)
    return made, sizes, scored


def run(model: Any, rows: Sequence[Row], head: bool = True) -> list[Any]:
    """Losses of each row; without the head none."""
    found = []
    with torch.inference_mode():
        for batch, positions, targets in rows:
            hidden = hidden_states(model, batch)[0].index_select(0, positions)
            if head:
                losses = torch.empty(len(targets))
                write_losses(model, hidden, targets, losses)
                found.append(losses)
    return found


@contextmanager
def by_kind(model: Any) -> Iterator[Counter[str]]:
    """Processor seconds of the model's parts while the block runs."""
    spent: Counter[str] = Counter()
    begun: dict[int, float] = {}
    head = model.get_output_embeddings()
    handles = []

    def kind_of(module: Any) -> str | None:
        name = type(module).__name__
        if module is head:
            return "head"
        if isinstance(module, torch.nn.Linear):
            return "linear layers"
        return "norms" if "Norm" in name else "activation" if "SiLU" in name or "GELU" in name else None

    def clocked(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = function(*args, **kwargs)
            spent[kind] += time.process_time() - start
            return result

        return call

    for module in model.modules():
        if kind := kind_of(module):
            handles.append(module.register_forward_pre_hook(lambda m, _: begun.__setitem__(id(m), time.process_time())))
            handles.append(module.register_forward_hook(lambda m, _, __, kind=kind: spent.update({kind: time.process_time() - begun[id(m)]})))
    modelling = sys.modules[type(model).__module__]
    rotary, segments = modelling.apply_rotary_pos_emb, attention._by_segment
    modelling.apply_rotary_pos_emb, attention._by_segment = clocked(rotary, "rotary"), clocked(segments, "attention")
    try:
        yield spent
    finally:
        modelling.apply_rotary_pos_emb, attention._by_segment = rotary, segments
        for handle in handles:
            handle.remove()


class Compiled:
    """Turns with compiled layers; the first one's time is that of compiling too, and is followed by one that counts."""

    def __init__(self, model: Any, rows: Sequence[Row]) -> None:
        self.model, self.rows, self.first = model, rows, 0.0

    def __call__(self) -> tuple[Any, Turn]:
        layers = self.model.get_decoder().layers
        for layer in layers:
            layer.compile(dynamic=True)
        try:
            if not self.first:
                self.first = timed(lambda: run(self.model, self.rows))[1]["cpu_seconds"]
            return timed(lambda: run(self.model, self.rows))
        finally:
            for layer in layers:
                layer._compiled_call_impl = None


def faulting(model: Any, rows: Sequence[Row]) -> tuple[Any, Turn]:
    """A turn with its page faults."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    found, took = timed(lambda: run(model, rows))
    return found, {**took, "page_faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}


def by_pytorch(model: Any, rows: Sequence[Row]) -> tuple[Any, Turn]:
    """A turn whose attention is PyTorch's kernel, segment by segment, in float32."""
    kept, blocked_attention.serves = blocked_attention.serves, lambda *tensors: False
    try:
        return timed(lambda: run(model, rows))
    finally:
        blocked_attention.serves = kept


def attention_flops(config: Any, sizes: Sequence[int]) -> float:
    """Of causal attention: scores, and their product with the values."""
    return sum(2.0 * n * (n + 1) for n in sizes) * config.hidden_size * config.num_hidden_layers


def measure(model_name: str, dtype: str, records: int, count: int, rounds: int, compiles: bool) -> dict[str, Any]:
    model, tokenizer = load_model(model_name, dtype=dtype), load_tokenizer(model_name)
    scorer = Scorer(model, tokenizer, max_length=1024)
    rows, sizes, scored = packed(scorer, spread(instruction_records(files=("evol_instruct_code_1966.json",)), records), count)
    tokens, cost = sum(sizes), model_cost(model.config)
    flops, body = forward_flops(cost, sizes, scored), forward_flops(cost, sizes, 0)
    run(model, rows[:1])
    losses: dict[str, Any] = {}
    compiled = Compiled(model, rows)
    works: dict[str, Callable[[], tuple[Any, Turn]]] = {
        PLAIN: lambda: faulting(model, rows),
        OWN: lambda: by_pytorch(model, rows), **({COMPILED: compiled} if compiles else {}),
        BODY: lambda: timed(lambda: run(model, rows, head=False)),
    }  # fmt: skip

    def turn(name: str) -> Turn:
        losses[name], took = works[name]()
        return took

    with Load() as load:
        peaks = [peak_by_processor(model.dtype)]
        with by_kind(model) as spent:
            _, whole = timed(lambda: run(model, rows))
        turns = in_turns({name: lambda _, name=name: turn(name) for name in works}, rounds)
        peaks.append(peak_by_processor(model.dtype))
    parts = {**spent, "rest": whole["cpu_seconds"] - sum(spent.values())}
    took = {name: median(one["cpu_seconds"] for one in some) for name, some in turns.items()}
    peak, inner = max(peaks), attention_flops(model.config, sizes)
    found: dict[str, Any] = {
        "model": model_name, "dtype": dtype, "threads": torch.get_num_threads(), "rows": len(rows), "tokens": tokens, "samples": len(sizes),
        "scored_tokens": scored, "peak_flops_per_processor_second": round(peak),
        "share_by_kind": {k: round(v / whole["cpu_seconds"], 3) for k, v in sorted(parts.items(), key=lambda kv: -kv[1])},
        "share_of_peak_of_linear_layers": round((body - inner) / parts["linear layers"] / peak, 3),
        "share_of_peak_of_the_head": round((flops - body) / parts["head"] / peak, 3) if parts.get("head") else None,
        "share_of_peak_of_attention": round(inner / parts["attention"] / peak, 3),
        "processor_seconds": {k: [round(one["cpu_seconds"], 3) for one in some] for k, some in turns.items()},
        "page_faults": {k: [one["page_faults"] for one in some] for k, some in turns.items() if "page_faults" in some[0]},
        "share_of_peak": {name: round((body if name == BODY else flops) / seconds / peak, 3) for name, seconds in took.items()},
        "largest_difference_of_a_loss": {
            k: round(max(float((a - b).abs().max()) for a, b in zip(v, losses[PLAIN], strict=True)), 6) for k, v in losses.items() if v
        },
        "others_share_of_the_machine": round(load.others or 0, 3), "busy_machine": (load.others or 0) > 0.1,
    }  # fmt: skip
    if compiles:
        extra, saved = compiled.first - took[COMPILED], (took[PLAIN] - took[COMPILED]) / tokens
        found |= {"compile_processor_seconds": round(extra, 1), "tokens_to_break_even": round(extra / saved) if saved > 0 else None}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--records", type=int, default=40, help="records that the rows are planned from")
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    told = machine.provenance()
    found = measure(options.model, options.dtype, options.records, options.rows, options.rounds, not options.no_compile)
    for key, value in found.items():
        print(key, value)
    result_files.write(options.output, {**told, **found})


if __name__ == "__main__":
    main()

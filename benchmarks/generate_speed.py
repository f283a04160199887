"""Does the generator of slots earn its lines? Greedy generation on HumanEval prompts, three ways, in turns in one process:

    slots        codeact.evaluation.generate: a row that is finished leaves at once, the next prompt takes its place
    padded       transformers' `generate` on left-padded batches of prompts sorted by length, longest first
    continuous   transformers' own continuous batching (`generate_batch`, a paged cache)

    python -m benchmarks.generate_speed --workload free --tasks 32 --batch-size 16 --max-new-tokens 64
    python -m benchmarks.generate_speed --workload stops --tasks 32 --batch-size 16 --max-new-tokens 128

Two workloads, one a call (benchmarks/results/generate_speed.json keeps the other's part). `free` writes all tokens: only end tokens stop a row.
`stops` is what `codeact evaluate` does with its base prompts: a row ends where its function does. There, transformers'
`generate` gets a stopping criterion that reads each row's newest text; continuous batching takes no stop texts, so it
takes part in `free` alone.

All ways use the same weights, dtype, prompts and end tokens; the share of equal answers is reported. Rates count the
tokens that a user gets, up to the stop. Processor seconds say what the work was on a shared machine (--threads 1).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import result_files
from benchmarks.eval_speed import end_tokens, transformers_way
from benchmarks.machine import provenance

Written = list[list[int]]


def padded_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], stops: Sequence[tuple[str, ...]], size: int, limit: int
) -> Written:
    """`generate` in batches sorted by length; a row whose newest text holds one of its stops is finished."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found: dict[int, list[int]] = {}

    def has_stop(ids: list[int], texts: tuple[str, ...]) -> bool:
        reach = max(len(text.encode()) for text in texts) + 1
        tail = tokenizer.decode(ids[-reach:], skip_special_tokens=True)
        return any(text in tail for text in texts)

    class Stops(StoppingCriteria):
        def __init__(self, width: int, texts: list[tuple[str, ...]]) -> None:
            self.width, self.texts = width, texts
            self.done = [False] * len(texts)

        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            for row, ids in enumerate(input_ids[:, self.width :].tolist()):
                self.done[row] = self.done[row] or has_stop(ids, self.texts[row])
            return torch.tensor(self.done, device=input_ids.device)

    for at in range(0, len(order), size):
        batch = order[at : at + size]
        texts = [stops[i] for i in batch]
        criteria = [Stops(max(len(rows[i]) for i in batch), texts)] if all(texts) else []
        written = transformers_way(
            model, tokenizer, [rows[i] for i in batch], limit, stopping_criteria=StoppingCriteriaList(criteria)
        )
        for row, tokens, some in zip(batch, written, texts, strict=True):
            last = next((n for n in range(1, len(tokens)) if has_stop(tokens[:n], some)), len(tokens)) if some else None
            found[row] = tokens[:last]
    return [found[i] for i in range(len(rows))]


def continuous_way(model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], size: int, limit: int) -> Written:
    """transformers' continuous batching with as many requests at a time as the others have rows, and room for all of them."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    asked = GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=sorted(end_tokens(model, tokenizer)),
        pad_token_id=tokenizer.pad_token_id,
    )
    page = 32
    pages = size * ((max(map(len, rows)) + limit) // page + 2)
    settings = ContinuousBatchingConfig(
        page_size=page, num_blocks=pages, max_batch_tokens=2048, max_requests_per_batch=size, allow_block_sharing=False
    )
    answers = model.generate_batch(
        [list(row) for row in rows], generation_config=asked, continuous_batching_config=settings, warmup=False
    )
    in_order = sorted(answers.items(), key=lambda item: int(item[0].rpartition("_")[2]))
    for _, answer in in_order:
        if answer.error:
            raise SystemExit(f"continuous batching failed: {answer.error}")
    return [list(answer.generated_tokens) for _, answer in in_order]


def slots_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], stops: Sequence[tuple[str, ...]], size: int, limit: int
) -> list[tuple[int, str]]:
    from codeact.evaluation.generate import Prompt, generate

    requests = [Prompt(tuple(row), some) for row, some in zip(rows, stops, strict=True)]
    found = {}
    for done in generate(model, tokenizer, requests, max_new_tokens=limit, batch_size=size):
        found.update(done)
    return [(found[i].tokens, found[i].text) for i in range(len(rows))]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall-clock seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workload", required=True, choices=["free", "stops"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="0: PyTorch's own choice")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "generate_speed.json")
    options = parser.parse_args()

    import torch
    from transformers.utils import logging

    from codeact.evaluation.generate import Prompt, cut, task_prompt
    from codeact.evaluation.sets import load_tasks
    from codeact.evaluation.task_selection import subset
    from codeact.lm import models

    logging.set_verbosity_error()
    told = provenance()
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenizer = models.load_tokenizer(options.model)
    model = models.load_model(options.model, dtype=options.dtype, device=options.device)
    prompts = [task_prompt(t, "base", None, tokenizer) for t in subset(load_tasks("humaneval").tasks, options.tasks)]
    rows = [prompt.ids for prompt in prompts]
    size, limit = options.batch_size, options.max_new_tokens

    def texts(written: Written, stops: Sequence[tuple[str, ...]]) -> list[tuple[int, str]]:
        found = [cut(tokenizer, Prompt(tuple(r), s), w, "length") for r, s, w in zip(rows, stops, written, strict=True)]
        return [(one.tokens, one.text) for one in found]

    workload = options.workload
    stops = [prompt.stops if workload == "stops" else () for prompt in prompts]
    works: dict[str, tuple[str, Callable[[], list[tuple[int, str]]]]] = {
        "slots": ("codeact", lambda: slots_way(model, tokenizer, rows, stops, size, limit)),
        "padded": ("sdpa", lambda: texts(padded_way(model, tokenizer, rows, stops, size, limit), stops)),
        "continuous": ("sdpa", lambda: texts(continuous_way(model, tokenizer, rows, size, limit), stops)),
    }
    ways = [way for way in works if workload == "free" or way != "continuous"]
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    answers = {}
    for _ in range(options.rounds):
        for way in ways:
            attention, work = works[way]
            model.set_attn_implementation(attention)
            answers[way], wall, processor = timed(work)
            tokens = sum(count for count, _ in answers[way])
            runs[way].append({"tokens": tokens, "seconds": round(wall, 2), "processor_seconds": round(processor, 2)})
            print(workload, way, runs[way][-1], flush=True)
    lengths = sorted(count for count, _ in answers["slots"])
    rates = {
        key: {way: median(run["tokens"] / run[key] for run in some) for way, some in runs.items()}
        for key in ("seconds", "processor_seconds")
    }
    others = [way for way in ways if way != "slots"]
    result = told | {
        "model": options.model, "dtype": options.dtype, "device": str(model.device), "threads": torch.get_num_threads(),
        "tasks": len(rows), "prompt_tokens": {"median": median(map(len, rows)), "most": max(map(len, rows))},
        "batch_size": size, "max_new_tokens": limit, "rounds": options.rounds,
        "tokens_written": {"median": median(lengths), "most": lengths[-1]},
        "runs": runs,
        "tokens_per_second": {way: round(rate, 1) for way, rate in rates["seconds"].items()},
        "tokens_per_processor_second": {way: round(rate, 1) for way, rate in rates["processor_seconds"].items()},
        "slots_times_as_fast": {
            way: {key: round(some["slots"] / some[way], 2) for key, some in rates.items()} for way in others
        },
        "equal_to_slots": {
            way: sum(a == b for a, b in zip(answers["slots"], answers[way], strict=True)) / len(rows) for way in others
        },
    }  # fmt: skip
    print(json.dumps({key: result[key] for key in ("slots_times_as_fast", "equal_to_slots")}))
    known = result_files.read(options.output) if options.output.exists() else {}
    result_files.write(options.output, known | {workload: result})


if __name__ == "__main__":
    main()

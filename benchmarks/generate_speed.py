"""Does the generator of slots earn its lines? The same answers, four ways:

    slots        codeact.evaluation.generate: a row that is finished leaves at once, the next prompt takes its place
    padded       transformers' `generate` on left-padded batches of prompts sorted by length, longest first
    continuous   transformers' own continuous batching (a paged cache); a row is cancelled once its stop text is read
    one          transformers' `generate`, one prompt at a time, of every --every-th prompt

    python -m benchmarks.generate_speed --workload base
    python -m benchmarks.generate_speed --workload base --batch-size 32 --tasks 64 --ways slots one --dtype bfloat16

Workloads, as `codeact evaluate` has them: `base` (HumanEval's prompts, stop texts), `chat` (`--prompting instruct`), `samples` (20 of each
task at temperature 0.8, stop texts); and `free` (base prompts, no stop texts: all rows are equally long).

All ways use the same weights, dtype, prompts, end tokens and stop texts; the share of equal answers is reported (samples are drawn otherwise,
so there it is none). transformers' ways run with its "sdpa" attention, ours with "codeact", as `codeact evaluate` does. Rates count the tokens
that a user gets, up to the stop. Processor seconds say what the work was on a shared machine (--threads 1).

benchmarks/results/generate_speed.json.xz keeps one part for each workload, dtype and size; `slots` is run again in each call, and a way's factor
is of its own call.
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
from benchmarks.machine import provenance

Written = list[list[int]]
TEMPERATURE, SAMPLES = 0.8, 20


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer, as `codeact.evaluation.generate` has them."""
    named = model.generation_config.eos_token_id
    return {*tokenizer.all_special_ids, *(named if isinstance(named, list) else [] if named is None else [named])}


def drawing(temperature: float) -> dict[str, Any]:
    return {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {"do_sample": False}


def transformers_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], new_tokens: int, temperature: float = 0.0, **options: Any
) -> Written:
    """New tokens of each row, its end token included, by transformers on one left-padded batch."""
    import torch

    width, ends = max(map(len, rows)), end_tokens(model, tokenizer)
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + list(row) for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=new_tokens, use_cache=True, repetition_penalty=1.0,
        eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id, **drawing(temperature), **options,
    )[:, width:].tolist()  # fmt: skip
    return [row[: next((i + 1 for i, token in enumerate(row) if token in ends), len(row))] for row in out]


def has_stop(tokenizer: Any, ids: Sequence[int], texts: Sequence[str]) -> bool:
    """Whether the newest token ends a stop text."""
    if not texts:
        return False
    reach = max(len(text.encode()) for text in texts) + 1
    tail = tokenizer.decode(ids[-reach:], skip_special_tokens=True)
    return any(text in tail for text in texts)


def padded_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], stops: Sequence[tuple[str, ...]], size: int, limit: int,
    temperature: float = 0.0,
) -> Written:  # fmt: skip
    """`generate` in batches sorted by length; a row whose newest text holds one of its stops is finished."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found: dict[int, list[int]] = {}

    class Stops(StoppingCriteria):
        def __init__(self, width: int, texts: list[tuple[str, ...]]) -> None:
            self.width, self.texts = width, texts
            self.ends: list[int | None] = [None] * len(texts)

        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            for row, ids in enumerate(input_ids[:, self.width :].tolist()):
                if self.ends[row] is None and has_stop(tokenizer, ids, self.texts[row]):
                    self.ends[row] = len(ids)
            return torch.tensor([end is not None for end in self.ends], device=input_ids.device)

    for at in range(0, len(order), size):
        batch = order[at : at + size]
        criterion = Stops(max(len(rows[i]) for i in batch), [stops[i] for i in batch])
        some = [rows[i] for i in batch]
        written = transformers_way(model, tokenizer, some, limit, temperature, stopping_criteria=StoppingCriteriaList([criterion]))
        found |= {row: tokens[:end] for row, tokens, end in zip(batch, written, criterion.ends, strict=True)}
    return [found[i] for i in range(len(rows))]


def continuous_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], stops: Sequence[tuple[str, ...]], size: int, limit: int,
    temperature: float = 0.0,
) -> Written:  # fmt: skip
    """transformers' continuous batching with as many requests at a time as the others have rows, and room for all of them."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    asked = GenerationConfig(
        max_new_tokens=limit, eos_token_id=sorted(end_tokens(model, tokenizer)), pad_token_id=tokenizer.pad_token_id, **drawing(temperature)
    )
    page = 32
    pages = size * ((max(map(len, rows)) + limit) // page + 2)
    settings = ContinuousBatchingConfig(
        page_size=page, num_blocks=pages, max_batch_tokens=2048, max_requests_per_batch=size, allow_block_sharing=temperature > 0
    )
    found: dict[str, list[int]] = {}
    with model.continuous_batching_context_manager(
        generation_config=asked, continuous_batching_config=settings, warmup=False
    ) as manager:
        ids = manager.add_requests(inputs=[list(row) for row in rows], max_new_tokens=limit, streaming=any(stops))
        texts = dict(zip(ids, stops, strict=True))
        while len(found) < len(ids):
            answer = manager.get_result(timeout=1)
            if answer is None and not manager.is_running():
                raise SystemExit("continuous batching ended early")
            if answer is None or answer.request_id in found:
                continue
            if answer.error:
                raise SystemExit(f"continuous batching failed: {answer.error}")
            tokens = list(answer.generated_tokens)
            if has_stop(tokenizer, tokens, texts[answer.request_id]) and not answer.is_finished():
                manager.cancel_request(answer.request_id)
                found[answer.request_id] = tokens
            elif answer.is_finished():
                found[answer.request_id] = tokens
    return [found[one] for one in ids]


def slots_way(
    model: Any, tokenizer: Any, prompts: Sequence[Any], size: int, limit: int, temperature: float = 0.0
) -> list[tuple[int, str]]:
    """(tokens, text) of each prompt, as `codeact evaluate` generates it."""
    from codeact.evaluation import generate as generation

    found = {}
    for done in generation.generate(model, tokenizer, prompts, max_new_tokens=limit, batch_size=size, temperature=temperature):
        found.update(done)
    return [(found[i].tokens, found[i].text) for i in range(len(prompts))]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall-clock seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - processor


def prompts_of(workload: str, count: int, tokenizer: Any) -> list[Any]:
    """The prompts of `codeact evaluate --tasks humaneval --limit count`."""
    from dataclasses import replace

    from codeact.evaluation.generate import sample_seed, task_prompt
    from codeact.evaluation.sets import load_tasks
    from codeact.evaluation.task_selection import subset
    from codeact.lm.prompts import load_template

    tasks = subset(load_tasks("humaneval").tasks, count)
    if workload == "chat":
        template = load_template("auto", tokenizer)
        return [task_prompt(task, "instruct", template, tokenizer) for task in tasks]
    found = [task_prompt(task, "base", None, tokenizer) for task in tasks]
    if workload == "samples":
        return [replace(p, seed=sample_seed(0, t.id, n)) for p, t in zip(found, tasks, strict=True) for n in range(SAMPLES)]
    return found if workload == "base" else [replace(prompt, stops=()) for prompt in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workload", required=True, choices=["base", "chat", "samples", "free"])
    parser.add_argument("--ways", nargs="+", default=["slots", "padded", "continuous"], choices=["slots", "padded", "continuous", "one"])
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="0: PyTorch's own choice")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "generate_speed.json.xz")
    options = parser.parse_args()

    import torch
    from transformers.utils import logging

    from codeact.evaluation.generate import cut
    from codeact.lm import models

    logging.set_verbosity_error()
    told = provenance()
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenizer = models.load_tokenizer(options.model)
    model = models.load_model(options.model, dtype=options.dtype, device=options.device)
    prompts = prompts_of(options.workload, options.tasks, tokenizer)
    size, limit = options.batch_size, options.max_new_tokens
    temperature = TEMPERATURE if options.workload == "samples" else 0.0
    rows, stops = [prompt.ids for prompt in prompts], [prompt.stops for prompt in prompts]
    few = slice(None, None, options.every)

    def texts(written: Written, some: slice = slice(None)) -> list[tuple[int, str]]:
        found = [cut(tokenizer, prompt, tokens, "length") for prompt, tokens in zip(prompts[some], written, strict=True)]
        return [(one.tokens, one.text) for one in found]

    works: dict[str, tuple[str, Callable[[], list[tuple[int, str]]]]] = {
        "slots": ("codeact", lambda: slots_way(model, tokenizer, prompts, size, limit, temperature)),
        "padded": ("sdpa", lambda: texts(padded_way(model, tokenizer, rows, stops, size, limit, temperature))),
        "continuous": ("sdpa", lambda: texts(continuous_way(model, tokenizer, rows, stops, size, limit, temperature))),
        "one": ("sdpa", lambda: texts(padded_way(model, tokenizer, rows[few], stops[few], 1, limit, temperature), few)),
    }
    transformers_way(model, tokenizer, rows[:1], 2)  # first-call costs belong to nobody
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
    answers: dict[str, list[tuple[int, str]]] = {}
    for _ in range(options.rounds):
        for way in options.ways:
            attention, work = works[way]
            model.set_attn_implementation(attention)
            answers[way], wall, processor = timed(work)
            tokens = sum(count for count, _ in answers[way])
            runs[way].append({"answers": len(answers[way]), "tokens": tokens, "seconds": round(wall, 2), "processor_seconds": round(processor, 2)})
            print(options.workload, way, runs[way][-1], flush=True)
    rates = {
        key: {way: median(run["tokens"] / run[key] for run in some) for way, some in runs.items()} for key in ("seconds", "processor_seconds")
    }
    others = [way for way in options.ways if way != "slots"]
    lengths = sorted(count for count, _ in answers["slots"])
    result = {
        "command": told["command"], "date": told["date"], "machine": told["machine"], "versions": told["versions"],
        "device": str(model.device), "threads": torch.get_num_threads(), "answers": len(rows),
        "prompt_tokens": {"median": median(map(len, rows)), "most": max(map(len, rows))},
        "tokens_written": {"median": median(lengths), "most": lengths[-1]},
        "runs": runs,
        "slots_times_as_fast": {way: {key: round(some["slots"] / some[way], 2) for key, some in rates.items()} for way in others},
        "equal_to_slots": {} if temperature else {
            way: sum(a == b for a, b in zip(answers["slots"][few if way == "one" else slice(None)], answers[way], strict=True)) / len(answers[way])
            for way in others
        },
    }  # fmt: skip
    print(json.dumps({key: result[key] for key in ("slots_times_as_fast", "equal_to_slots")}))
    known = result_files.read(options.output) if options.output.exists() else {}
    part = f"{options.workload}, {options.model} in {options.dtype}, batch {size}, {limit} tokens, {' '.join(options.ways)}"
    result_files.write(options.output, known | {part: result})


if __name__ == "__main__":
    main()

"""Tokens per second of greedy generation on HumanEval prompts, three ways, in one run:

    one by one    transformers' `generate`, one prompt at a time, as evaluation scripts commonly do
    padded batch  transformers' `generate` on one left-padded batch
    codeact       codeact.evaluation.generate: batched, finished rows leave and the next prompt takes their place

    python -m benchmarks.eval_speed --model demo --tasks 64 --batch-size 32 --max-new-tokens 128

All ways use the same weights, dtype, prompts and end tokens, and no stop texts, so that all write the same tokens; the
share of prompts with identical token counts and text is reported. transformers' ways run with its "sdpa" attention, ours
with "codeact", as `codeact evaluate` does. One by one runs on every --every-th prompt only, because it is slow, and so
does a second measurement of it at the end: the two tell whether the machine was quiet (--once leaves it out). Wall-clock
seconds are what a user waits; processor seconds say what the work was when other programs were running too (use
--threads 1 then: waiting threads of a pool count as work).

Result: benchmarks/results/eval_speed.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer, as `codeact.evaluation.generate` has them."""
    named = model.generation_config.eos_token_id
    return {*tokenizer.all_special_ids, *(named if isinstance(named, list) else [] if named is None else [named])}


def transformers_way(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], new_tokens: int, **options: Any
) -> list[list[int]]:
    """New tokens of each row, its end token included, by transformers' greedy search on one left-padded batch."""
    import torch

    width, ends = max(map(len, rows)), end_tokens(model, tokenizer)
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + list(row) for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, use_cache=True, repetition_penalty=1.0,
        eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id, **options,
    )[:, width:].tolist()  # fmt: skip
    return [row[: next((i + 1 for i, token in enumerate(row) if token in ends), len(row))] for row in out]


def timed(work: Callable[[], list[tuple[int, str]]]) -> tuple[list[tuple[int, str]], dict[str, float]]:
    """The result, and what it cost; `tokens` counts generated ones."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    tokens = sum(count for count, _ in result)
    return result, {
        "prompts": len(result), "tokens": tokens, "seconds": wall, "processor_seconds": processor,
        "tokens_per_second": tokens / wall, "tokens_per_processor_second": tokens / processor,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--every", type=int, default=16)
    parser.add_argument("--once", action="store_true", help="measure one by one only once")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "eval_speed.json")
    options = parser.parse_args()

    import torch

    from codeact.evaluation.generate import Completion, Prompt, generate, task_prompt
    from codeact.evaluation.sets import load_tasks
    from codeact.evaluation.task_selection import subset
    from codeact.lm import models

    told = provenance()
    if options.threads:
        torch.set_num_threads(options.threads)
    tokenizer = models.load_tokenizer(options.model)
    model = models.load_model(options.model, dtype=options.dtype, device=options.device)
    tasks = subset(load_tasks("humaneval").tasks, options.tasks)
    rows = [task_prompt(task, "base", None, tokenizer).ids for task in tasks]
    limit = options.max_new_tokens

    def decode(written: Sequence[list[int]]) -> list[tuple[int, str]]:
        return [(len(ids), tokenizer.decode(ids, skip_special_tokens=True)) for ids in written]

    def one_by_one() -> list[tuple[int, str]]:
        return decode(
            [ids for row in rows[:: options.every] for ids in transformers_way(model, tokenizer, [row], limit)]
        )

    def padded() -> list[tuple[int, str]]:
        size = options.batch_size
        return decode(
            [
                ids
                for at in range(0, len(rows), size)
                for ids in transformers_way(model, tokenizer, rows[at : at + size], limit)
            ]
        )

    def ours() -> list[tuple[int, str]]:
        found: dict[int, Completion] = {}
        requests = [Prompt(tuple(row)) for row in rows]
        for done in generate(model, tokenizer, requests, max_new_tokens=limit, batch_size=options.batch_size):
            found.update(done)
        return [(found[i].tokens, found[i].text) for i in range(len(rows))]

    transformers_way(model, tokenizer, rows[:1], 2)  # first-call costs belong to nobody
    texts, costs = {}, {}
    ways = [("one by one", "sdpa", one_by_one), ("codeact", "codeact", ours), ("padded batch", "sdpa", padded)]
    for name, attention, work in [*ways, *([] if options.once else [("one by one again", "sdpa", one_by_one)])]:
        model.set_attn_implementation(attention)
        texts[name], costs[name] = timed(work)
        print(f"{name}: {costs[name]}", flush=True)
    same = [a == b for a, b in zip(texts["codeact"][:: options.every], texts["one by one"], strict=True)]
    speed = {name: cost["tokens_per_second"] for name, cost in costs.items()}
    effort = {name: cost["tokens_per_processor_second"] for name, cost in costs.items()}
    result = told | {
        "model": options.model, "dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device),
        "batch_size": options.batch_size, "max_new_tokens": limit, "threads": torch.get_num_threads(), "ways": costs,
        "speedup_over_one_by_one": speed["codeact"] / speed["one by one"],
        "speedup_over_padded_batch": speed["codeact"] / speed["padded batch"],
        "speedup_over_one_by_one_processor": effort["codeact"] / effort["one by one"],
        "speedup_over_padded_batch_processor": effort["codeact"] / effort["padded batch"],
        "identical_to_one_by_one": sum(same) / len(same),
    }  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    result_files.write(options.output, result)
    print(
        f"x {result['speedup_over_one_by_one']:.1f} against one by one, x {result['speedup_over_padded_batch']:.1f} against a padded batch"
    )


if __name__ == "__main__":
    main()

"""Time, memory and padding of one epoch under five ways of batching, on the same records and model, in one run.

    python benchmarks/efficiency.py --model demo --records 200 --max-length 1024 --batch-size 8
    python benchmarks/efficiency.py --config benchmarks/configs/deepseek-coder-1.3b.json --records 1966 --max-length 2048

The ways, in the paper's order (CodeACT, arXiv 2408.02193):

    pad to max               every record padded to --max-length
    dynamic padding          to the longest record of its batch
    reference Dynamic Pack   ascending next-fit in the batch, one attention mask of ones, positions not reset: its samples see
                             each other, as in the reference code
    Dynamic Pack             ours: balanced rows, isolated samples, loss in chunks over the learnt positions
    40 %, Dynamic Pack       the same on --ratio of the records: those of --selected (what `codeact select` wrote), else a
                             seeded random part

The first three keep the model's own loss over all logits, as the scripts that they stand for do. Each way runs in a
process of its own, so that peaks of memory are its own; seconds leave out loading and saving. With --config the model has
random weights of that configuration, and token ids are taken modulo its vocabulary: only lengths matter then. On a CUDA
device, peak memory is what PyTorch allocated; on a CPU, the resident set of the process, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from codeact import __version__

PAD_TO_MAX, DYNAMIC, REFERENCE, OURS = "pad to max", "dynamic padding", "reference Dynamic Pack", "Dynamic Pack"
DEFAULT_DATA = Path(os.environ.get("CODEACT_DATA", "../shared/data")) / "evol_instruct_code_1966.json"


class ReferenceCollator:
    """Rows by ascending next-fit, under one mask of ones: positions run on and samples see each other."""

    def __init__(self, capacity: int, pad_token_id: int) -> None:
        self.capacity, self.pad_token_id = capacity, pad_token_id

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        from codeact.packing.collate import collate_rows
        from codeact.packing.plan import plan_batch

        rows = plan_batch([len(s["input_ids"]) for s in samples], self.capacity, "paper")
        batch = collate_rows(samples, rows, pad_token_id=self.pad_token_id)
        mask = batch["input_ids"].new_zeros(batch["input_ids"].shape)
        for line, row in enumerate(rows):
            mask[line, : sum(len(samples[i]["input_ids"]) for i in row)] = 1
        return {"input_ids": batch["input_ids"], "labels": batch["labels"], "attention_mask": mask}


def read_records(path: Path, limit: int, seed: int) -> list[Any]:
    """A seeded random sample of the records of a file."""
    from codeact.records import to_records
    from codeact.storage import read_rows

    records, _ = to_records(read_rows(path).rows, None, str(path))
    order = np.random.default_rng(seed).permutation(len(records))[:limit]
    return [records[i] for i in sorted(order.tolist())]


def part(records: list[Any], ratio: float, selected: Path | None, seed: int) -> list[Any]:
    """The records of `selected` that are in the sample, else a random `ratio` of it."""
    from codeact.records import content_hash, to_records
    from codeact.storage import read_rows

    if selected is None:
        order = np.random.default_rng(seed + 1).permutation(len(records))[: round(ratio * len(records))]
        return [records[i] for i in sorted(order.tolist())]
    chosen = {content_hash(r.messages) for r in to_records(read_rows(selected).rows, None, str(selected))[0]}
    return [r for r in records if content_hash(r.messages) in chosen]


def measure(way: str, records: list[Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train one epoch one way, and say what it cost."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from codeact.config import ModelConfig, TrainConfig
    from codeact.models import choose_device, choose_dtype, load_tokenizer
    from codeact.packing.attention import register
    from codeact.packing.collate import DynamicPackCollator
    from codeact.prompts import load_template
    from codeact.train.data import tokenise
    from codeact.train.losses import use_chunked_loss
    from codeact.train.metrics import summarise
    from codeact.train.sft import PaddingCollator, parameter_counts, prepare_model
    from codeact.train.trainer import fit, hushed

    packed = way == OURS
    tokenizer = load_tokenizer(options.tokenizer or options.model)
    length = options.max_length
    samples = tokenise(records, load_template("question", tokenizer), tokenizer, length).samples
    config = ModelConfig(name=options.model, max_length=length, device=options.device, dtype=options.dtype)
    hyper = TrainConfig(
        method=options.method, epochs=1, batch_size=options.batch_size, grad_accum=options.grad_accum, learning_rate=options.learning_rate,
        warmup_steps=3, gradient_checkpointing=options.gradient_checkpointing,
    )  # fmt: skip
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    with tempfile.TemporaryDirectory() as folder:
        if options.config:
            torch.manual_seed(options.seed)
            shape = AutoConfig.for_model(**json.loads(options.config.read_text(encoding="utf-8")))
            random = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16, attn_implementation=register())
            with hushed():
                random.save_pretrained(f"{folder}/random")
            del random
            config = config.model_copy(update={"name": f"{folder}/random"})
        model = prepare_model(config, hyper, packed, options.seed)
        vocabulary = model.config.get_text_config().vocab_size
        for sample in samples:
            for key in ("input_ids", "labels"):
                sample[key] = np.where(sample[key] < 0, sample[key], sample[key] % vocabulary)
        collate: Any = {
            PAD_TO_MAX: PaddingCollator(tokenizer, length),
            DYNAMIC: PaddingCollator(tokenizer),
            REFERENCE: ReferenceCollator(length, tokenizer.pad_token_id % vocabulary),
            OURS: DynamicPackCollator(tokenizer, length, pad_token_id=tokenizer.pad_token_id % vocabulary),
        }[way]
        chunked = packed and use_chunked_loss(model)
        rows = fit(
            model, samples, collate, Path(folder), train=hyper, batch_size=options.batch_size, seed=options.seed, dtype=dtype, device=device,
            quiet=options.quiet,
        )  # fmt: skip
    total, trainable = parameter_counts(model)
    return {
        **summarise(rows), "records": len(samples), "mean_loss": float(np.mean([row["loss"] for row in rows])), "chunked_loss": chunked,
        "parameters": total, "trainable_parameters": trainable, "dtype": str(dtype).removeprefix("torch."),
    }  # fmt: skip


def run_apart(way: str, share: str, arguments: list[str]) -> dict[str, Any]:
    """`measure` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, __file__, *arguments, "--way", way, "--share", share, "--result", str(result)]
        subprocess.run(command, check=True)
        return dict(json.loads(result.read_text(encoding="utf-8")))


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows of the table, with time and memory as shares of the first row and of dynamic padding."""
    first, second = results[PAD_TO_MAX], results[DYNAMIC]
    head = (
        "",
        "records",
        "padding",
        "seconds",
        "tokens/s",
        "peak GB",
        "mean loss",
        "time / max",
        "time / dynamic",
        "memory / max",
        "memory / dynamic",
    )
    lines = [head]
    for name, r in results.items():
        lines.append((
            name, f"{r['records']:,}", f"{r['padding_rate']:.1%}", f"{r['seconds']:.1f}", f"{r['tokens_per_second']:,.0f}",
            f"{r['peak_memory_bytes'] / 1e9:.2f}", f"{r['mean_loss']:.4f}",
            *(f"{r[key] / other[key]:.2f}" for key in ("seconds", "peak_memory_bytes") for other in (first, second)),
        ))  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="hub name, folder, GGUF file or demo")
    parser.add_argument(
        "--config", type=Path, help="random weights of this configuration instead; --model gives the tokenizer"
    )
    parser.add_argument("--tokenizer", default="", help="another tokenizer than the model's")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--selected", type=Path, help="records chosen by `codeact select` from the data")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--grad-accum", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--method", choices=("full", "lora"), default="full")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "efficiency.json")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--share", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.way:
        records = read_records(options.data, options.records, options.seed)
        if options.share == "part":
            records = part(records, options.ratio, options.selected, options.seed)
        options.result.write_text(json.dumps(measure(options.way, records, options)), encoding="utf-8")
        return
    results = {}
    for way in (PAD_TO_MAX, DYNAMIC, REFERENCE, OURS):
        results[way] = run_apart(way, "all", sys.argv[1:])
    name = f"{options.ratio:.0%} of the data, {OURS}"
    results[name] = run_apart(OURS, "part", sys.argv[1:])
    print(table(results))
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() and options.device != "cpu" else None
    settings = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in vars(options).items()
        if k not in ("way", "share", "result", "output", "quiet")
    }
    settings["data"] = options.data.name
    document = {
        "results": results,
        "settings": settings,
        "environment": {
            "device": gpu or "cpu", "cpu_cores": os.cpu_count(), "threads": torch.get_num_threads(), "platform": platform.platform(),
            "python": platform.python_version(), "codeact": __version__, **{p: version(p) for p in ("torch", "transformers")},
        },
    }  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()

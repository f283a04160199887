"""Time, memory and padding of one epoch under five ways of batching, on the same records and model, in one run.

    python -m benchmarks.efficiency
    python -m benchmarks.efficiency --config benchmarks/configs/deepseek-coder-1.3b.json --max-length 2048 --batch-size 16
        --lengths benchmarks/configs/evol_instruct_lengths.json --records 960 --gradient-checkpointing --output efficiency_1.3b.json

The ways, in the paper's order (CodeACT, arXiv 2408.02193):

    max        pad to max               every record padded to --max-length
    dynamic    dynamic padding          to the longest record of its batch
    reference  reference Dynamic Pack   ascending next-fit in the batch, one attention mask of ones, positions not reset: its
                                        samples see each other, as in the reference code
    ours       Dynamic Pack             balanced rows, isolated samples, loss in chunks over the learnt positions
    part       40 %, Dynamic Pack       the same on --ratio of the records: those of --selected (what `codeact select` chose of the
                                        file that --save-records writes), else a seeded random part

The first three keep the model's own loss over all logits, as the scripts that they stand for do. Each way runs in a
process of its own, so that peaks of memory are its own; seconds leave out loading and saving. --only runs some of the ways
and takes the others from the output file, if it was made with the same settings: slices of a run that is too long.

With --config the model has random weights of that configuration and no hub is asked for anything: --lengths is a JSON list
of [prompt tokens, all tokens] for each record, and the tokens are random (--save-lengths writes that list from --data). On a
CUDA device, peak memory is what PyTorch allocated; on a CPU, the resident set of the process, interpreter and libraries included.

Result: benchmarks/results/efficiency.json.xz
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact import progress

PAD_TO_MAX, DYNAMIC, REFERENCE, OURS = "pad to max", "dynamic padding", "reference Dynamic Pack", "Dynamic Pack"
WAYS = {"max": PAD_TO_MAX, "dynamic": DYNAMIC, "reference": REFERENCE, "ours": OURS, "part": OURS}
PAD = 0  # of random tokens
TIME_TARGET, MEMORY_TARGET = 0.20, 0.65


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
    from codeact.records import read_data

    records = read_data(path).records
    order = np.random.default_rng(seed).permutation(len(records))[:limit]
    return [records[i] for i in sorted(order.tolist())]


def random_part(count: int, ratio: float, seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed + 1).permutation(count)[: round(ratio * count)].tolist())


def part(records: list[Any], ratio: float, selected: Path | None, seed: int) -> list[Any]:
    """The records of `selected` that are in the sample, else a random `ratio` of it."""
    from codeact.records import content_hash, read_data

    if selected is None:
        return [records[i] for i in random_part(len(records), ratio, seed)]
    chosen = {content_hash(r.messages) for r in read_data(selected).records}
    kept = [r for r in records if content_hash(r.messages) in chosen]
    if not kept:
        raise SystemExit(
            f"{selected}: none of its records is in the sample of {len(records)}; select from the same data"
        )
    return kept


def tokenised(records: list[Any], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    from codeact.lm.prompts import load_template
    from codeact.training.data import tokenise_records

    return [dict(s) for s in tokenise_records(records, load_template("question", tokenizer), tokenizer, max_length).samples]


def random_samples(
    lengths: list[list[int]], options: argparse.Namespace, vocabulary: int, whole: bool
) -> list[dict[str, Any]]:
    """Random tokens of the given [prompt, all] lengths; the prompt is not learnt."""
    rng = np.random.default_rng(options.seed)
    chosen = sorted(rng.permutation(len(lengths))[: options.records].tolist())
    samples = []
    for prompt, size in (lengths[i] for i in chosen):
        size = min(size, options.max_length)
        ids = rng.integers(PAD + 1, vocabulary, size).astype(np.int32)
        labels = ids.copy()
        labels[: max(1, min(prompt, size - 1))] = -100
        samples.append({"input_ids": ids, "labels": labels})
    return samples if whole else [samples[i] for i in random_part(len(samples), options.ratio, options.seed)]


def build(options: argparse.Namespace, packed: bool, hyper: Any, device: Any, dtype: Any) -> Any:
    """The model, ready to be trained: loaded, or random weights of --config made on the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from codeact.config import ModelConfig
    from codeact.lm.attention import register
    from codeact.training.sft import adapt_model, prepare_model

    if not options.config:
        config = ModelConfig(
            name=options.model, max_length=options.max_length, device=options.device, dtype=options.dtype
        )
        return prepare_model(config, hyper, packed, options.seed)
    torch.manual_seed(options.seed)
    shape = AutoConfig.for_model(**json.loads(options.config.read_text(encoding="utf-8")))
    weights = torch.float32 if hyper.method == "full" else dtype
    with device:
        model = AutoModelForCausalLM.from_config(
            shape, dtype=weights, attn_implementation=register() if packed else "sdpa"
        )
    model.config.use_cache = False
    return adapt_model(model, hyper, options.seed)


def measure(way: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one epoch one way, and say what it cost."""
    from codeact.config import PackConfig, TrainConfig
    from codeact.lm.devices import choose_device, choose_dtype
    from codeact.lm.models import load_tokenizer
    from codeact.packing.collate import DynamicPackCollator
    from codeact.training.checks import parameter_counts
    from codeact.training.losses import use_chunked_loss
    from codeact.training.metrics import summarise
    from codeact.training.sft import PaddingCollator
    from codeact.training.trainer import Feed, fit

    packed, length = WAYS[way] == OURS, options.max_length
    hyper = TrainConfig(
        method=options.method, epochs=1, batch_size=options.batch_size, grad_accum=options.grad_accum, learning_rate=options.learning_rate,
        warmup_steps=3, gradient_checkpointing=options.gradient_checkpointing,
    )  # fmt: skip
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    model = build(options, packed, hyper, device, dtype)
    if options.lengths:
        lengths = json.loads(options.lengths.read_text(encoding="utf-8"))
        vocabulary = model.config.get_text_config().vocab_size
        samples, pad = random_samples(lengths, options, vocabulary, way != "part"), PAD
    else:
        records = read_records(options.data, options.records, options.seed)
        if way == "part":
            records = part(records, options.ratio, options.selected, options.seed)
        tokenizer = load_tokenizer(options.model)
        samples, pad = tokenised(records, tokenizer, length), int(tokenizer.pad_token_id)
    collate: Any = {
        PAD_TO_MAX: PaddingCollator(width=length, pad_token_id=pad),
        DYNAMIC: PaddingCollator(pad_token_id=pad),
        REFERENCE: ReferenceCollator(length, pad),
        OURS: DynamicPackCollator(capacity=length, pad_token_id=pad),
    }[WAYS[way]]
    chunked = packed and use_chunked_loss(model)
    total, trainable = parameter_counts(model)
    with tempfile.TemporaryDirectory() as folder:
        processor = time.process_time()
        rows = fit(
            model, Feed(samples, collate, options.batch_size, PackConfig().rows_per_pass if chunked else 0), Path(folder),
            train=hyper, seed=options.seed, dtype=dtype, device=device,
        ).rows  # fmt: skip
    processor = time.process_time() - processor
    losses = [row["loss"] for row in rows]
    return {
        "name": WAYS[way] if way != "part" else f"{len(samples) / max(1, options.records):.0%} of the data, {OURS}",
        **summarise(rows), "cpu_seconds": processor, "records": len(samples), "mean_loss": float(np.mean(losses)), "losses": losses, "chunked_loss": chunked,
        "parameters": total, "trainable_parameters": trainable, "dtype": str(dtype).removeprefix("torch."),
    }  # fmt: skip


def run_apart(way: str, arguments: list[str]) -> dict[str, Any]:
    """`measure` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.efficiency", *arguments, "--way", way, "--result", str(result)]
        subprocess.run(command, check=True)
        return dict(json.loads(result.read_text(encoding="utf-8")))


def compare(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Ratios of each way to each baseline that was run, and how far packed losses are from padded ones."""
    ratios = {
        way: {
            WAYS[base]: {
                key: r[name] / results[base][name]
                for key, name in (("time", "seconds"), ("memory", "peak_memory_bytes"))
            }
            for base in ("max", "dynamic", "reference")
            if base in results
        }
        for way, r in results.items()
    }
    found: dict[str, Any] = {"ratios": ratios}
    if "ours" in results and (base := next((b for b in ("dynamic", "max") if b in results), None)):
        packed, padded = (np.array(results[way]["losses"]) for way in ("ours", base))
        apart = np.abs(packed - padded) / np.abs(padded)
        found["packed_against_padded"] = {
            "baseline": WAYS[base], "steps": len(apart), "first_step_relative_difference": float(apart[0]),
            "largest_relative_difference": float(apart.max()),
        }  # fmt: skip
    return found


def show(results: Mapping[str, Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """The table: one row a way, with time and memory as shares of each baseline's."""
    bases = [WAYS[b] for b in ("max", "dynamic", "reference") if b in results]
    head = ["", "records", "padding", "seconds", "tokens/s", "peak GB", "mean loss"]
    head += [f"{key} / {base}" for key in ("time", "memory") for base in bases]
    lines = [head]
    for way, r in results.items():
        lines.append([
            r["name"], f"{r['records']:,}", f"{r['padding_rate']:.1%}", f"{r['seconds']:.1f}", f"{r['tokens_per_second']:,.0f}",
            f"{r['peak_memory_bytes'] / 1e9:.2f}", f"{r['mean_loss']:.4f}",
            *(f"{found['ratios'][way][base][key]:.2f}" for key in ("time", "memory") for base in bases),
        ])  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    if "packed_against_padded" in found:
        apart = found["packed_against_padded"]
        text.append(
            f"packed loss against {apart['baseline']}: relative difference {apart['first_step_relative_difference']:.1e} at the first step,"
            f" at most {apart['largest_relative_difference']:.1e} over {apart['steps']} steps ({results['ours']['dtype']})"
        )
    for base in (b for b in ("max", "dynamic") if "part" in results and b in results):
        ratio = found["ratios"]["part"][WAYS[base]]
        text.append(
            f"{results['part']['name']} against {WAYS[base]} of all data: time {ratio['time']:.2f} (target {TIME_TARGET:.2f}),"
            f" peak memory {ratio['memory']:.2f} (target {MEMORY_TARGET:.2f})"
        )
    return "\n".join(text)


def earlier(path: Path, settings: Mapping[str, Any], ways: Sequence[str]) -> dict[str, Any]:
    """Results of other ways in the output file, where they were made with the same settings."""
    if len(ways) == len(WAYS) or not path.exists():
        return {}
    document = result_files.read(path)
    if document.get("settings") != settings or document.get("machine", {}).get("gpu") != machine.gpu():
        return {}
    return dict(document["results"])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="hub name, folder, GGUF file or demo")
    parser.add_argument("--config", type=Path, help="random weights of this configuration instead; needs --lengths")
    parser.add_argument("--lengths", type=Path, help="random tokens of these lengths instead of --data")
    parser.add_argument("--data", type=Path, default=EVOL_INSTRUCT)
    parser.add_argument("--records", type=int, default=48)
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
    parser.add_argument(
        "--only",
        nargs="+",
        choices=tuple(WAYS),
        default=list(WAYS),
        help="ways to run; others come from the output file",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "efficiency.json.xz")
    parser.add_argument(
        "--save-lengths",
        type=Path,
        help="write the token counts of all records of --data under --model's tokenizer, and stop",
    )
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--save-records", type=Path, help="write the records of the run (JSON lines), and stop")
    options = parser.parse_args(arguments)
    if options.config and not options.lengths:
        parser.error("--config needs --lengths: random weights have no tokenizer")
    if options.lengths and options.selected:
        parser.error("--selected needs records, and --lengths has none")
    return options


def save_lengths(options: argparse.Namespace) -> None:
    from codeact.lm.models import load_tokenizer

    samples = tokenised(read_records(options.data, sys.maxsize, 0), load_tokenizer(options.model), 1_000_000)
    counts = [[int((s["labels"] == -100).sum()), len(s["input_ids"])] for s in samples]
    options.save_lengths.write_text(json.dumps(counts, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(counts)} records, mean {np.mean([size for _, size in counts]):.1f} tokens -> {options.save_lengths}")


def save_records(options: argparse.Namespace) -> None:
    """The rows of the sample, untouched, for `codeact select`."""
    from codeact.row_output import write_rows
    from codeact.storage import Source, read_rows

    source = read_rows(options.data)
    chosen = [int(record.meta["row"]) for record in read_records(options.data, options.records, options.seed)]
    write_rows(Source(source.name, source.rows), chosen, options.save_records)
    print(f"{len(chosen)} records -> {options.save_records}")


def main() -> None:
    options = parse()
    if options.save_records:
        save_records(options)
        return
    if options.save_lengths:
        save_lengths(options)
        return
    if options.way:
        progress.show(not options.quiet)
        options.result.write_text(json.dumps(measure(options.way, options)), encoding="utf-8")
        return
    document: dict[str, Any] = machine.provenance()
    left_out = ("way", "result", "output", "quiet", "only", "save_lengths", "save_records")
    settings = {k: v.name if isinstance(v, Path) else v for k, v in vars(options).items() if k not in left_out}
    results = earlier(options.output, settings, options.only)
    for way in options.only:
        results[way] = run_apart(way, sys.argv[1:])
        results = {w: results[w] for w in WAYS if w in results}
        found = compare(results)
        result_files.write(options.output, {**document, "settings": settings, "results": results, **found})
    print(show(results, found))
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()

"""Everything that needs a CUDA GPU, in slices of minutes that can be gone on with, and one table of it.

    python -m benchmarks.gpu

runs the slices that the output file does not hold yet, each in a process of its own, until --minutes are used; call it again
until it says that nothing is left. `--only scoring` runs the slices whose name holds the word, `--list` names them, `--table`
prints the table alone. A slice that failed, or was ended at the limit, is kept with its reason; --again runs it once more.

    attention    one packed row through varlen, flash-attn (where installed), flex, sample by sample, and a dense mask
    scoring      both passes of IFD, packed, against one text at a time; share of the matrix-multiply peak
    efficiency   one epoch of training under each way of batching (benchmarks/efficiency.py), a slice each
    memory       what a training step holds, part by part (benchmarks/train_memory.py)

Weights are random, of the shapes of DeepSeek-Coder 1.3B and 6.7B, and lengths those of Evol-Instruct (both in configs/), so
nothing is fetched. `--tiny` does the same with a tiny shape, on a CPU too: a test runs it, so that the kit stays whole.

Result: the file of --output; none is kept in the repository yet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.slices import Slice, run, run_apart
from codeact import progress

MINUTES = 8.5
SHAPES = {"1.3b": "deepseek-coder-1.3b", "6.7b": "deepseek-coder-6.7b"}
WAYS = ("max", "dynamic", "reference", "ours", "part")


def slices(tiny: bool) -> list[Slice]:
    """All of them, in the order of running."""
    shapes = {"tiny": "tiny"} if tiny else SHAPES
    made = []
    for short, config in shapes.items():
        made.append(Slice(f"attention {short}", "attention", {"config": config, "tokens": 256 if tiny else 4096, "repeats": 1 if tiny else 20}))
    for short, config in shapes.items():
        made.append(Slice(f"scoring {short}", "scoring", {"config": config, "records": 6 if tiny else 1966, "alone": 3 if tiny else 200}, 4.0))
    for short, config in shapes.items():
        method = "lora" if short == "6.7b" else "full"
        records, length, size = (8, 96, 4) if tiny else (320 if method == "lora" else 960, 2048, 16)
        common = {"config": config, "method": method, "records": records, "max_length": length, "batch_size": size}
        made += [Slice(f"efficiency {short} {way}", "efficiency", {**common, "way": way}, 4.0) for way in WAYS]
        made.append(Slice(f"memory {short}", "memory", {"config": config, "method": method, "max_length": 64 if tiny else 2048}))
    return made


def run_here(one: Slice, device: str, dtype: str) -> dict[str, Any]:
    """The measurement, in this process."""
    from codeact.lm.devices import choose_device, choose_dtype

    given = dict(one.settings)
    if one.work in ("attention", "scoring"):
        from benchmarks import gpu_work

        place = choose_device(device)
        work = {"attention": gpu_work.measure_attention, "scoring": gpu_work.measure_scoring}[one.work]
        return dict(work(given.pop("config"), place, choose_dtype(dtype, place), **given))
    from benchmarks import gpu_work

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps(gpu_work.read_config(given["config"])), encoding="utf-8")
        words = ["--config", str(config), "--device", device, "--dtype", dtype, "--method", given["method"]]
        words += ["--max-length", str(given["max_length"])]
        if one.work == "efficiency":
            from benchmarks import efficiency

            words += ["--lengths", str(gpu_work.LENGTHS), "--records", str(given["records"]), "--batch-size", str(given["batch_size"])]
            return efficiency.measure(given["way"], efficiency.parse([*words, "--gradient-checkpointing"]))
        from benchmarks import train_memory

        sample = min(256, given["max_length"] // 2)
        return train_memory.account(train_memory.parse([*words, "--gradient-checkpointing", "--sample-tokens", str(sample)]))


def apart(one: Slice, device: str, dtype: str, limit: float, tiny: bool) -> dict[str, Any]:
    """The measurement in a process of its own (`run_apart`)."""
    words = ["--slice", one.name, "--device", device, "--dtype", dtype, *(["--tiny"] if tiny else [])]
    return run_apart("benchmarks.gpu", words, limit)


def table(found: Mapping[str, Any]) -> list[str]:
    """One line a figure of the slices in a result file."""
    lines = []
    for name, entry in found.items():
        result = entry["result"]
        if "failed" in result:
            lines.append(f"{name:<26} failed: {result['failed']}")
        elif "kernels" in result:
            for kernel, r in result["kernels"].items():
                extra = f"{r['extra_memory_bytes'] / 1e6:8.0f} MB" if r["extra_memory_bytes"] is not None else ""
                lines.append(
                    f"{name:<26} {kernel:<12} forward {r['forward_ms'][0]:8.3f} ms {r['forward_tflops']:7.1f} TFLOP/s"
                    f"   with backward {r['forward_backward_ms'][0]:8.3f} ms {r['forward_backward_tflops']:7.1f} TFLOP/s {extra}"
                )
        elif "ratios" in result:
            low, high = min(result["ratios"]), max(result["ratios"])
            lines.append(
                f"{name:<26} packed {max(result['packed_tokens_per_second']):,.0f} tokens/s, {low:.2f} to {high:.2f} of one by one;"
                f" share of peak {result['packed_share_of_peak']:.2f} (one by one {result['alone_share_of_peak']:.2f})"
            )
        elif "parts" in result:
            parts = ", ".join(f"{part} {size / 1e9:.2f}" for part, size in result["parts"].items())
            lines.append(f"{name:<26} peak {result['peak'] / 1e9:.2f} GB: {parts}")
    return [*lines, *_efficiency(found)]


def _efficiency(found: Mapping[str, Any]) -> list[str]:
    """The table of each shape whose ways of batching were run."""
    from benchmarks import efficiency

    lines = []
    shapes = dict.fromkeys(name.split()[1] for name in found if name.startswith("efficiency"))
    for shape in shapes:
        names = {way: found.get(f"efficiency {shape} {way}", {}).get("result", {"failed": "not run"}) for way in WAYS}
        results = {way: result for way, result in names.items() if "failed" not in result}
        if results:
            lines += ["", f"efficiency {shape}", efficiency.show(results, efficiency.compare(results))]
    return lines


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="words: slices whose name holds one of them")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of this call")
    parser.add_argument("--again", action="store_true", help="run slices that failed once more")
    parser.add_argument("--list", action="store_true", help="name the slices and stop")
    parser.add_argument("--table", action="store_true", help="print the table of the output file and stop")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes: a dry run")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--slice", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    every = slices(options.tiny)
    if options.slice:
        progress.show(False)
        one = next(one for one in every if one.name == options.slice)
        options.result.write_text(json.dumps(run_here(one, options.device, options.dtype)), encoding="utf-8")
        return
    chosen = [one for one in every if not options.only or any(word in one.name for word in options.only)]
    if options.list:
        print("\n".join(one.name for one in chosen))
        return
    left: list[str] = []
    if not options.table:
        left = run(
            chosen, options.output, 60 * options.minutes, options.again,
            lambda one, limit: apart(one, options.device, options.dtype, limit, options.tiny),
        )  # fmt: skip
    print("\n".join(table(result_files.read(options.output)["slices"])))
    print(f"left: {', '.join(left)}; call it again" if left else "nothing is left")


if __name__ == "__main__":
    main()

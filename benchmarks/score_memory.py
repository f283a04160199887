"""Memory of scoring as the number of records grows: what is held after every 500 records, and the slope through it.

    python -m benchmarks.score_memory scorer
    python -m benchmarks.score_memory stage

Real records, cut short and repeated with other ids, go through a random two-layer model with a tokenizer of 2,000 entries made
here (the logits are made in chunks of one size, whatever the vocabulary), by `Scorer` alone or in the shards of the pipeline's
stage `score`. After every 500 records three figures are read:

- resident: anonymous resident memory (RssAnon), with what the allocator keeps for itself;
- in use: bytes that are allocated and not freed (glibc's mallinfo2, tensors included);
- blocks: objects of Python's small-object allocator.

A leak raises all three record by record; pages that the heap keeps raise `resident` alone, and not steadily. The slope is
that of least squares over the samples after the first 1,000 records, with its standard error.

Result: benchmarks/results/score_memory_*.json.xz
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from benchmarks.machine import provenance
from codeact.records import Message, Record, read_data
from codeact.score import Scorer, to_table

RESULTS = Path(__file__).parent / "results"
MARKS = (1_000, 5_000, 10_000)
WARM_UP = 1_000


class MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    )


def held() -> dict[str, int]:
    """Bytes resident, bytes at their peak, bytes in use, Python's blocks: of this process, now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(RssAnon|VmHWM):\s+(\d+) kB", status, re.MULTILINE)}
    info = ctypes.CDLL(None).mallinfo2
    info.restype = MallocInfo
    heap = info()
    return {
        "resident": found["RssAnon"],
        "peak": found["VmHWM"],
        "in_use": heap.uordblks + heap.hblkhd,
        "blocks": sys.getallocatedblocks(),
    }


class Sampler:
    """A `Progress` that reads the figures whenever another `step` records are done."""

    def __init__(self, step: int) -> None:
        self.step, self.done = step, 0.0
        self.samples: list[dict[str, int]] = []

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        before, self.done = self.done, self.done + amount
        if int(before // self.step) != int(self.done // self.step):
            gc.collect()
            self.samples.append({"records": int(self.done), **held()})


def short_records(data: str, count: int, characters: int) -> list[Record]:
    """`count` records of the file, each message cut; from the start again where there are not so many."""
    real = read_data(data).records
    cut = [tuple(Message(m.role, m.content[:characters]) for m in record.messages) for record in real]
    return [replace(real[n % len(real)], id=str(n), messages=cut[n % len(real)]) for n in range(count)]


def make_tokenizer(records: list[Record]) -> Any:
    """A byte-level BPE tokenizer of 2,000 entries, learnt from the first records."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([m.content for record in records[:500] for m in record.messages], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<end>")


def make_scorer(records: list[Record]) -> Scorer:
    """Scores with a random two-layer Llama; a few records have been scored, so that what is kept once is there."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from codeact.lm.attention import register

    tokenizer = make_tokenizer(records)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048,
    )  # fmt: skip
    scorer = Scorer(AutoModelForCausalLM.from_config(config, attn_implementation=register()).eval(), tokenizer)
    scorer.score(records[:8])
    return scorer


def by_scorer(records: list[Record], sampler: Sampler) -> int:
    """Score them in one call; how many have a score."""
    scorer = make_scorer(records)
    sampler.samples.append({"records": 0, **held()})
    return sum(score.ifd is not None for score in scorer.score(records, sampler))


def by_stage(records: list[Record], sampler: Sampler) -> int:
    """Score them as the pipeline's stage does, in shards that go to the disk; how many have a score."""
    from codeact.rundir.score_cache import ScoreCache, run_cached
    from codeact.rundir.shards import Worker, run_local
    from codeact.rundir.tables import records_from, records_table

    scorer = make_scorer(records)
    # every record gets a text of its own: the stage scores equal ones once
    own = [replace(r, messages=(Message("user", f"{r.messages[0].content} {r.id}"), *r.messages[1:])) for r in records]
    table = records_table([replace(r, meta={"row": n}) for n, r in enumerate(own)])
    records.clear()
    del own

    def make_worker() -> Worker:
        sampler.samples.append({"records": 0, **held()})
        return lambda shard, progress: to_table(scorer.score(records_from(shard), sampler))

    with tempfile.TemporaryDirectory() as folder:
        scores, _ = run_cached(
            ScoreCache(Path(folder), {}), table, make_worker, backend=run_local, shard_size=128, label="score"
        )
        sampler.samples.append({"records": len(table), **held()})
        return sum(len(part) - part["ifd"].null_count for part in scores.values())


def slope(samples: list[dict[str, int]], what: str) -> dict[str, float]:
    """Growth a record after the warm-up, and its standard error, by least squares."""
    rows = [sample for sample in samples if sample["records"] >= WARM_UP]
    x, y = (np.array([row[name] for row in rows], np.float64) for name in ("records", what))
    design = np.stack([x, np.ones_like(x)], 1)
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = float(np.square(y - design @ found).sum() / max(1, len(x) - 2))
    error = float(np.sqrt(spread / np.square(x - x.mean()).sum()))
    return {"per_record": round(float(found[0]), 3), "standard_error": round(error, 3)}


def measure(way: str, data: str, count: int, characters: int, step: int) -> dict[str, Any]:
    """Score `count` records one way and say what memory that took."""
    records, sampler = short_records(data, count, characters), Sampler(step)
    scored = {"scorer": by_scorer, "stage": by_stage}[way](records, sampler)
    samples = sampler.samples
    start = samples[0]
    marks = {}
    for mark in (m for m in MARKS if m <= count):
        at = max((s for s in samples if s["records"] <= mark), key=lambda s: s["records"])
        marks[str(mark)] = {
            "peak_above_start": at["peak"] - start["peak"],
            "in_use_above_start": at["in_use"] - start["in_use"],
        }
    return {
        "way": way,
        "records": count,
        "scored": scored,
        "after": marks,
        "growth": {what: slope(samples, what) for what in ("resident", "in_use", "blocks")},
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["scorer", "stage"])
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=60, help="of each message")
    parser.add_argument("--step", type=int, default=500)
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/score_memory_WAY.json.xz")
    args = parser.parse_args()
    told = provenance()
    found = measure(args.way, args.data, args.records, args.characters, args.step)
    for what, growth in found["growth"].items():
        print(f"{what:<9} {growth['per_record']:>10,.1f} +- {growth['standard_error']:,.1f} a record")
    for mark, after in found["after"].items():
        print(f"after {int(mark):>6,} records: peak {after['peak_above_start'] / 2**20:,.0f} MiB above the start")
    result_files.write(
        args.output or RESULTS / f"score_memory_{args.way}.json.xz", {**told, "characters": args.characters, **found}
    )


if __name__ == "__main__":
    main()

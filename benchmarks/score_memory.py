"""Peak memory of scoring at 1,000 and at 10,000 records: what the model needs must not grow with the pool.

    python benchmarks/score_memory.py --data ../shared/data/evol_instruct_code_1966.json

Each count runs in a process of its own: real records, repeated with other ids, through a random two-layer model with the
demo model's tokenizer and vocabulary (so that logits have their real width). Beside the peak stands what the process held
before it scored, records included: the difference is what scoring took.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import provenance

from codeact.models import load_tokenizer
from codeact.packing.attention import register
from codeact.records import to_records
from codeact.score import Scorer
from codeact.storage import read_rows, write_json

RESULTS = Path(__file__).parent / "results"


def resident() -> int:
    """Peak resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(data: str, count: int, max_length: int) -> dict[str, Any]:
    """Score `count` records and say what memory that took."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    tokenizer = load_tokenizer("demo")
    real, _ = to_records(read_rows(data).rows, where=data)
    records = [replace(real[n % len(real)], id=str(n)) for n in range(count)]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation=register()).eval()
    scorer = Scorer(model, tokenizer, max_length=max_length)
    scorer.score(records[:8])
    before = resident()
    scores = scorer.score(records)
    return {
        "records": count,
        "scored": sum(s.ifd is not None for s in scores),
        "before_bytes": before,
        "peak_bytes": resident(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/evol_instruct_code_1966.json")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--output", type=Path, default=RESULTS / "score_memory.json")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.data, args.one, args.max_length)))
        return
    told = provenance()
    rows = []
    for count in args.counts:
        command = [
            sys.executable,
            __file__,
            "--data",
            args.data,
            "--max-length",
            str(args.max_length),
            "--one",
            str(count),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        row = rows[-1]
        took = row["peak_bytes"] - row["before_bytes"]
        print(
            f"{count:>7,} records: peak {row['peak_bytes'] / 2**20:,.0f} MiB, of it by scoring {took / 2**20:,.0f} MiB"
        )
    write_json(args.output, {**told, "max_length": args.max_length, "runs": rows})


if __name__ == "__main__":
    main()

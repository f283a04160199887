"""How many instructions are longer than an embedder reads: they are cut there, and what follows does not count.

python -m experiments.embed_cut --embedder demo

Result: experiments/results/embed_cut.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import result_files
from benchmarks.data_folder import DATA
from benchmarks.machine import provenance
from codeact.lm.identity import resolve_embedder
from codeact.lm.models import load_tokenizer
from codeact.records import read_data
from codeact.storage import read_json

RESULTS = Path(__file__).parent / "results"
FILES = [
    str(DATA / f"{name}.json") for name in ("evol_instruct_code_1966", "code_alpaca_2017", "code_alpaca_new_4535")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="demo")
    parser.add_argument("--data", nargs="+", default=FILES)
    parser.add_argument("--output", type=Path, default=RESULTS / "embed_cut.json")
    args = parser.parse_args()
    told = provenance()
    folder = Path(resolve_embedder(args.embedder))
    longest = int(read_json(folder / "sentence_bert_config.json")["max_seq_length"])
    tokenizer = load_tokenizer(str(folder))
    found = {}
    for file in args.data:
        records = read_data(file).records
        texts = [next(m.content for m in record.messages if m.role == "user") for record in records]
        lengths = [len(ids) for ids in tokenizer(texts, truncation=False)["input_ids"]]
        cut = sum(length > longest for length in lengths)
        found[Path(file).stem] = {"records": len(records), "cut": cut, "share": round(cut / len(records), 5)}
        print(f"{Path(file).stem:<28} {cut:>5} of {len(records):>6,} records are longer than {longest} tokens")
    result_files.write(args.output, {**told, "embedder": args.embedder, "longest": longest, "data": found})


if __name__ == "__main__":
    main()

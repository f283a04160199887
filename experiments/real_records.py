"""The 8,516 real instruction records of CODEACT_DATA as one file: Evol-Instruct for code, CodeAlpaca, and its newer version.

    python -m experiments.real_records --out runs/real_records.jsonl
    python -m experiments.real_records --characters 1600 --out runs/short_records.jsonl     # 7,942 of them

Every row has instruction, output, and the source file's name; an input is joined to its instruction as `codeact` reads it.
Rows without an answer are left out, and with `--characters` those whose instruction and answer have more together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.data_folder import DATA
from codeact.records import read_data
from codeact.storage import write_jsonl

FILES = ("evol_instruct_code_1966.json", "code_alpaca_2017.json", "code_alpaca_new_4535.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("runs/real_records.jsonl"))
    parser.add_argument("--characters", type=int, help="of instruction and answer together, at most; default: no limit")
    options = parser.parse_args()
    rows = []
    for name in FILES:
        records = read_data(options.data / name).records
        rows += [
            {"instruction": r.instruction, "output": r.messages[-1].content, "source": name.removesuffix(".json")}
            for r in records
        ]
    if options.characters is not None:
        rows = [row for row in rows if len(row["instruction"]) + len(row["output"]) <= options.characters]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(options.out, rows)
    print(f"{len(rows):,} records -> {options.out}")


if __name__ == "__main__":
    main()

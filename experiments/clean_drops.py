"""Which records of public data do the checks drop or rank last, and are they right?

    python -m experiments.clean_drops --files FOLDER --verdicts experiments/results/clean_drops.json.xz

Runs every check of `recipes/verified.yaml` on the sources of `clean_sources.py` (SOURCES: where each is from, its language and
licence). Each record that leaves or is ranked last was read once in full, instruction and answers, by one reader; the verdict
stays in --verdicts, and is kept there from run to run by record and rule, with a few words of why: "right" (it is wrong as
it stands, for the reason given), "wrong" (it is sound, or faulty for another reason), or "" (not read yet). No text of the data is
kept. A second sample, of rows that the first one leaves out, is looked at for what would leave only: "mended" in
the result lists what it dropped wrongly when it was first looked at, which was mended then. `--before` writes the counts of an older revision's checks beside them.

Result: experiments/results/clean_drops*.json*
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.curate.single_record import check_record
from codeact.records import Record
from codeact.sandbox import detect_backend
from experiments import clean_sources

CHECKS = ("syntax", "grammars", "complete", "language", "names", "examples")
ALONE = CurateConfig(verify=False, dedup=False, mismatch=0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--verdicts", type=Path, default=Path("experiments/results/clean_drops.json.xz"))
    parser.add_argument("--before", type=Path, help="counts of an older revision, as this script prints them")
    args = parser.parse_args()
    old: dict[str, Any] = result_files.read(args.verdicts) if args.verdicts.exists() else {}
    known = {(row["id"], row["check"], row["rule"]): row for row in old.get("records", [])}
    backend = detect_backend()

    def judge(records: Sequence[Record], wanted: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
        return [
            (record.id, check, verdict.reason, verdict.status)
            for record in records
            for check in CHECKS
            if (verdict := check_record(record, (check,), backend)).status in wanted
        ]

    rows: list[dict[str, Any]] = []
    sources: dict[str, dict[str, Any]] = {}
    for source in clean_sources.SOURCES:
        records = clean_sources.load(source, args.files, args.data)
        if not records:
            print(f"{source.name}: not there, left out")
            continue
        more = clean_sources.load(source, args.files, args.data, second=True)
        found = judge(records, ("failed", "doubtful"))
        found += [(d.id, "mismatch", "mismatch", "doubtful") for d in curate_records(records, ALONE) if d.penalised]
        others = judge(more, ("failed",))
        for sample, (identity, check, rule, status) in [*((1, row) for row in found), *((2, row) for row in others)]:
            rows.append({
                "sample": sample,
                "id": identity, "source": source.name, "language": source.language, "check": check, "rule": rule, "status": status,
                **{key: known.get((identity, check, rule), {}).get(key, "") for key in ("verdict", "why")},
            })  # fmt: skip
        sources[source.name] = {
            "path": source.path,
            "language": source.language,
            "licence": source.licence,
            "records": len(records),
            "second": len(more),
        }
        print(
            f"{source.name:<16}{len(records):>6}",
            len(more),
            dict(Counter(f"{c}: {r} ({s})" for _, c, r, s in [*found, *others])),
            flush=True,
        )
    result = machine.provenance() | {
        "sources": sources,
        "rules": rules([row for row in rows if row["sample"] == 1]),
        "second": rules([row for row in rows if row["sample"] == 2]),
        "mended": old.get("mended", []),
        "records": rows,
    }
    if args.before:
        result["before"] = result_files.read(args.before)
    elif "before" in old:
        result["before"] = old["before"]
    result_files.write(args.verdicts, result)
    for rule, counts in [*result["rules"].items(), *result["second"].items()]:
        print(f"{rule:<40}{counts}")


def rules(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per check, rule and status: records, those read, those right, the share of right ones among those read, and the sources."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({f"{row['check']}: {row['rule']} ({row['status']})" for row in rows}):
        some = [row for row in rows if f"{row['check']}: {row['rule']} ({row['status']})" == name]
        read = [row for row in some if row["verdict"]]
        right = sum(row["verdict"] == "right" for row in read)
        found[name] = {
            "records": len(some), "read": len(read), "right": right, "precision": right / len(read) if read else None,
            "by_source": dict(Counter(row["source"] for row in some)),
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()

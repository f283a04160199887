"""Which records of public data do the checks drop or rank last, and are they right?

    python benchmarks/clean_drops.py --files FOLDER --data ../shared/data --verdicts benchmarks/results/clean_drops.json

Runs every check of `recipes/verified.yaml` on the sources of `clean_sources.py` (SOURCES: where each is from, its language and
licence). Each record that leaves was read once, in full, by a person's eyes or a session's; the verdict stays in --verdicts and is
kept there from run to run by record and rule: "right" (it is wrong as it stands, for the reason given), "wrong" (it is sound),
or "" (not read yet). No text of the data is kept. `--before` writes the counts of an older revision's checks beside them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import clean_sources
import machine

from codeact.config import CurateConfig
from codeact.curate import curate
from codeact.curate.run import check_record
from codeact.sandbox import detect_backend

CHECKS = ("syntax", "grammars", "complete", "language", "names", "examples")
ALONE = CurateConfig(verify=False, dedup=False, mismatch=0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--verdicts", type=Path, default=Path("benchmarks/results/clean_drops.json"))
    parser.add_argument("--before", type=Path, help="counts of an older revision, as this script prints them")
    args = parser.parse_args()
    old: dict[str, Any] = json.loads(args.verdicts.read_text(encoding="utf-8")) if args.verdicts.exists() else {}
    known = {(row["id"], row["check"], row["rule"]): row["verdict"] for row in old.get("records", [])}
    backend = detect_backend()
    rows: list[dict[str, str]] = []
    sources: dict[str, dict[str, Any]] = {}
    for source in clean_sources.SOURCES:
        records = clean_sources.load(source, args.files, args.data)
        if not records:
            print(f"{source.name}: not there, left out")
            continue
        found = [
            (record.id, check, verdict.reason, verdict.status)
            for record in records
            for check in CHECKS
            if (verdict := check_record(record, (check,), backend)).status in ("failed", "doubtful")
        ]
        found += [(d.id, "mismatch", "mismatch", "doubtful") for d in curate(records, ALONE, quiet=True) if d.penalised]
        for identity, check, rule, status in found:
            rows.append({
                "id": identity, "source": source.name, "language": source.language, "check": check, "rule": rule, "status": status,
                "verdict": known.get((identity, check, rule), ""),
            })  # fmt: skip
        sources[source.name] = {
            "path": source.path,
            "language": source.language,
            "licence": source.licence,
            "records": len(records),
        }
        print(
            f"{source.name:<16}{len(records):>6}", dict(Counter(f"{c}: {r} ({s})" for _, c, r, s in found)), flush=True
        )
    result = machine.provenance() | {"sources": sources, "rules": rules(rows), "records": rows}
    if args.before:
        result["before"] = json.loads(args.before.read_text(encoding="utf-8"))
    elif "before" in old:
        result["before"] = old["before"]
    args.verdicts.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for rule, counts in result["rules"].items():
        print(f"{rule:<40}{counts}")


def rules(rows: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
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

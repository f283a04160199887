"""Do the canonical answers of a task set pass here, and do the buggy ones of HumanEvalPack fail?

    python -m benchmarks.task_sets --sets cruxeval-o cruxeval-i
    python -m benchmarks.task_sets --sets humanevalpack-go --again    only what did not pass in that row, kept in it as `again`

Rows of other sets and sandboxes that the result file holds stay, each with the command, date and data file of its own.
Data: $CODEACT_DATA. Result: benchmarks/results/task_sets.json.xz
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.evaluation.grade import grade
from codeact.evaluation.set_checks import check_tasks
from codeact.evaluation.sets import FAMILIES, load_tasks
from codeact.sandbox import detect_backend

RESULT = Path(__file__).parent / "results" / "task_sets.json.xz"


def data_of(name: str, version: str) -> dict[str, str]:
    """Where the data of a set come from; loading them refuses a file with another digest."""
    family = next(family for family in FAMILIES if name in family.names)
    releases = [release for release in family.releases if release.version == version]
    release = next((one for one in releases if one.family == name), releases[0])
    return {"url": release.url, "sha256": release.sha256}


def again(row: dict[str, Any], sandbox: Any) -> dict[str, Any]:
    """The row with the solutions that failed, and their twins, run once more."""
    ids = [found["task_id"] for found in row["failed"]]
    task_set, backend = load_tasks(row["name"]), detect_backend(sandbox)
    tasks = [task for task in task_set.tasks if task.id in ids]
    right = grade(task_set, [(task.id, task.canonical_program) for task in tasks], backend=backend)
    wrong = grade(task_set, [(task.id, task.prompt + task.buggy_solution) for task in tasks], backend=backend)
    failed = [{"task_id": v.task_id, "status": v.statuses[-1], "detail": v.detail} for v in right if v.base_status != "passed"]
    twins = [one for one in row["buggy_passed"] if one not in ids] + [v.task_id for v in wrong if v.base_status == "passed"]
    return row | {"passed": row["passed"] + len(ids) - len(failed), "failed": failed, "buggy_passed": twins, "again": {"tasks": ids}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--sandbox", choices=("bubblewrap", "landlock"), help="default: the strongest that holds")
    parser.add_argument("--again", action="store_true", help="run only what failed in the row that is there")
    options = parser.parse_args()
    told = provenance()
    rows: dict[str, Any] = result_files.read(RESULT)["sets"] if RESULT.is_file() else {}
    for name in options.sets:
        backend = detect_backend(options.sandbox).name
        if options.again:
            found = again(rows[f"{name} in {backend}"], options.sandbox)
            found["again"] |= {"command": told["command"], "date": told["date"]}
            print(json.dumps(found, ensure_ascii=False), flush=True)
            rows[f"{name} in {backend}"] = found
            continue
        found = check_tasks(name, sandbox=options.sandbox)
        print(json.dumps(found, ensure_ascii=False), flush=True)
        run = {"command": told["command"], "date": told["date"], "load_average": told["machine"]["load_average_at_start"]}
        rows[f"{name} in {found['sandbox']}"] = found | {"data": data_of(found["name"], found["version"]), "run": run}
    told["note"] = "seconds are of a machine that other work used too; each row has its load"
    result_files.write(RESULT, told | {"sets": dict(sorted(rows.items()))})


if __name__ == "__main__":
    main()

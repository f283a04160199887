"""Do the canonical answers of a task set pass here, and do the buggy ones of HumanEvalPack fail?

    python -m benchmarks.task_sets --sets cruxeval-o cruxeval-i

Rows of other sets and sandboxes that the result file holds stay. Data: $CODEACT_DATA. Result: benchmarks/results/task_sets.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.evaluation.canonical import check_tasks

RESULT = Path(__file__).parent / "results" / "task_sets.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--sandbox", choices=("bubblewrap", "landlock"), help="default: the strongest that holds")
    options = parser.parse_args()
    told = provenance()
    rows: dict[str, Any] = result_files.read(RESULT)["sets"] if RESULT.is_file() else {}
    for name in options.sets:
        found = check_tasks(name, sandbox=options.sandbox)
        print(json.dumps(found, ensure_ascii=False), flush=True)
        rows[f"{name} in {found['sandbox']}"] = found
    result_files.write(RESULT, told | {"sets": dict(sorted(rows.items()))})


if __name__ == "__main__":
    main()

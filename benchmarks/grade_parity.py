"""Compares our verdicts with other people's on the same solutions.

    python -m benchmarks.grade_parity               with the published verdicts on Qwen2.5-Coder-1.5B's generations
    python -m benchmarks.grade_parity --evalplus    also with EvalPlus 0.3.1, run here on the same solutions, timed
                                                    (pip install 'codeact[parity]'; it has no sandbox, see docs/sandbox.md)

Who executes HumanEval+ faster, both timed three times in turn:

    python -m benchmarks.grade_parity --evalplus --benchmarks humaneval --repeats 3 --workers 2 8

The generations and published verdicts are read from $CODEACT_DATA/qwen2.5-coder-1.5b.

Result: benchmarks/results/grade_parity_*.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.data_folder import DATA
from benchmarks.machine import provenance
from codeact.errors import InputError, require
from codeact.evaluation.grade import Verdict, grade
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.sets.mbpp import AS_SETS
from codeact.evaluation.tasks import Task, TaskSet
from codeact.progress import track
from codeact.sandbox import Backend, detect_backend

RESULTS = Path(__file__).parent / "results"
# Benchmark, our name for the task set that the published verdicts were reached on.
PUBLISHED = (("humaneval", "humaneval+@v0.1.9"), ("mbpp", "mbpp+@v0.1.0"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandbox", choices=("bubblewrap", "landlock"))
    parser.add_argument("--evalplus", action="store_true")
    parser.add_argument(
        "--benchmarks", nargs="+", choices=[name for name, _ in PUBLISHED], default=["humaneval", "mbpp"]
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[os.cpu_count()], help="solutions tested at a time; several are timed in turn")
    parser.add_argument("--repeats", type=int, default=1, help="time both this often in turn; the best counts")
    arguments = parser.parse_args()
    told = provenance()
    backend = detect_backend(arguments.sandbox)
    if arguments.evalplus:
        require("evalplus.eval", "parity", "a comparison with EvalPlus")
    RESULTS.mkdir(exist_ok=True)
    for benchmark, name in PUBLISHED:
        if benchmark not in arguments.benchmarks:
            continue
        task_set = load_tasks(name, DATA)
        published = read_published(benchmark)
        samples = {identity: row["solution"] for identity, row in published.items()}
        verdicts, seconds = grade_here(task_set, samples, backend, arguments.workers[0])
        theirs = {identity: (row["base_status"], row["plus_status"]) for identity, row in published.items()}
        report = told | compare(task_set, verdicts, theirs)
        report |= {"sandbox": backend.name, "seconds": seconds, "compared with": "the published verdicts"}
        write(f"grade_parity_{benchmark}.json", report)
        if arguments.evalplus:
            runs = []
            for workers in arguments.workers:
                pairs = []
                for _ in range(arguments.repeats):
                    ours = grade_here(task_set, samples, backend, workers)[1]
                    statuses, theirs_s = run_evalplus(task_set, samples, workers)
                    pairs.append((ours, theirs_s))
                best = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
                runs.append({"workers": workers, "seconds": best[0], "evalplus_seconds": best[1], "speedup_over_evalplus": round(best[1] / best[0], 3)})
            report = told | compare(task_set, verdicts, statuses) | {"sandbox": backend.name, **runs[0], "runs": runs}
            report |= {
                "repeats": arguments.repeats,
                "compared with": "EvalPlus 0.3.1 run here",
            }
            write(f"grade_parity_{benchmark}_evalplus.json", report)


def read_published(benchmark: str) -> dict[str, dict[str, Any]]:
    """Task id -> the published solution and its verdicts."""
    file = DATA / "qwen2.5-coder-1.5b" / f"1.5b-base-{benchmark}-generated_eval_results.json"
    if not file.exists():
        raise InputError(f"{file} does not exist; point CODEACT_DATA to the folder of benchmark data")
    return {identity: rows[0] for identity, rows in json.loads(file.read_text())["eval"].items()}


def grade_here(
    task_set: TaskSet, samples: dict[str, str], backend: Backend, workers: int
) -> tuple[list[Verdict], float]:
    """Our verdicts, and the seconds they took once the canonical answers are known."""
    grade(task_set, samples.items(), backend=backend, workers=workers)  # fills the cache of canonical answers
    started = time.monotonic()
    with track(task_set.name, len(samples), "solutions") as progress:
        verdicts = grade(task_set, samples.items(), backend=backend, workers=workers, progress=progress)
    return verdicts, round(time.monotonic() - started, 2)


def compare(task_set: TaskSet, verdicts: list[Verdict], theirs: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Scores and the tasks on which the verdicts differ; a plus verdict counts with its base verdict, as in pass@1."""
    differing = []
    agree_base = agree_plus = our_base = our_plus = their_base = their_plus = 0
    for verdict in verdicts:
        base, plus = theirs[verdict.task_id]
        ours = (verdict.base_status == "passed", verdict.plus_status == "passed")
        other = (base == "pass", base == plus == "pass")
        agree_base += ours[0] == other[0]
        agree_plus += ours[1] == other[1]
        our_base, our_plus = our_base + ours[0], our_plus + ours[1]
        their_base, their_plus = their_base + other[0], their_plus + other[1]
        if ours != other:
            differing.append(
                {
                    "task": verdict.task_id,
                    "ours": [verdict.base_status, verdict.plus_status],
                    "theirs": [base, plus],
                    "detail": verdict.detail,
                    "why": why(verdict, theirs[verdict.task_id]),
                }
            )
    count = len(verdicts)
    return {
        "task_set": task_set.name,
        "version": task_set.version,
        "tasks": count,
        "agree": {"base": agree_base, "plus": agree_plus},
        "pass@1 ours": [round(our_base / count, 4), round(our_plus / count, 4)],
        "pass@1 theirs": [round(their_base / count, 4), round(their_plus / count, 4)],
        "differing": differing,
    }


def why(verdict: Verdict, theirs: tuple[str, str]) -> str:
    """The cause of a difference, where it is known."""
    if verdict.task_id in AS_SETS:
        return "the order of the answer counted in EvalPlus 0.2, which gave the published verdict; it does not in 0.3"
    if "timeout" in (*verdict.statuses, *theirs):
        return "a time limit: EvalPlus measures by the clock, so it depends on what else the machine does"
    return ""


def run_evalplus(task_set: TaskSet, samples: dict[str, str], workers: int) -> tuple[dict[str, tuple[str, str]], float]:
    """EvalPlus's own verdicts, and the seconds they took once it has the canonical answers."""
    tasks = {task.id: task for task in task_set.tasks}
    jobs = [(task_set.base_name, tasks[identity], source) for identity, source in samples.items()]
    with ProcessPoolExecutor(workers) as pool:
        truths = list(pool.map(evalplus_truth, [job[1] for job in jobs]))
        started = time.monotonic()
        found = list(pool.map(evalplus_check, jobs, truths))
        return dict(zip(samples, found, strict=True)), round(time.monotonic() - started, 2)


def evalplus_truth(task: Task) -> tuple[Any, Any]:
    """The canonical answers and times, as EvalPlus computes them."""
    from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
    from evalplus.gen.util import trusted_exec

    parts = [
        trusted_exec(
            task.reference,
            [list(arguments) for arguments in inputs],
            task.entry_point,
            record_time=True,
            output_not_none=task.entry_point in MBPP_OUTPUT_NOT_NONE_TASKS,
        )
        for inputs in (task.base_inputs, task.plus_inputs)
    ]
    return parts[0], parts[1]


def evalplus_check(job: tuple[str, Task, str], truth: tuple[Any, Any]) -> tuple[str, str]:
    """EvalPlus's base and plus status of one solution."""
    from evalplus.eval import untrusted_check

    dataset, task, source = job
    statuses = []
    for inputs, (expected, seconds) in zip((task.base_inputs, task.plus_inputs), truth, strict=True):
        copies = [list(arguments) for arguments in inputs]
        status, _ = untrusted_check(
            dataset, source, copies, task.entry_point, expected, task.atol, seconds, fast_check=True
        )
        statuses.append(status)
    return statuses[0], statuses[1]


def write(name: str, report: dict[str, Any]) -> None:
    result_files.write(RESULTS / name, report)
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()

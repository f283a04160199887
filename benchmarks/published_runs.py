"""Grades published runs of three chat models on HumanEval: the verdict that each run has there, and ours on the same program.

    python -m benchmarks.published_runs DIR

DIR is a checkout of github.com/jamesmurdza/humaneval-results: of each model a folder with one page a task, ten runs on each page.
They are not copied into this repository. Programs are run as they are published; equal ones of a task are run once.

Result: benchmarks/results/published_runs.json.xz
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.evaluation.grade import grade
from codeact.evaluation.sets import load_tasks
from codeact.sandbox import detect_backend

RESULT = Path(__file__).parent / "results" / "published_runs.json.xz"
SOURCE = "https://github.com/jamesmurdza/humaneval-results at 5eac7809"
MODELS = {"gpt-4": "GPT-4", "gpt-3.5-turbo": "GPT-3.5 Turbo", "codellama-34b-instruct": "Code Llama 34B Instruct"}
RUN = re.compile(r"^### \S+ Run (\d+)\n(.*?)(?=^### \S+ Run \d|\Z)", re.M | re.S)


def runs(folder: Path) -> list[tuple[str, int, str, bool]]:
    """(task, number of the run, program, whether it passed there) of a model's pages."""
    found = []
    for page in sorted(folder.glob("*.md"), key=lambda path: int(path.stem)):
        for number, text in RUN.findall(page.read_text(encoding="utf-8")):
            program, result = re.search(r"```python\n(.*)\n```", text, re.S), re.search(r"^Result: (\w+)", text, re.M)
            assert program
            assert result
            found.append((f"HumanEval/{page.stem}", int(number), program[1] + "\n", result[1] == "Pass"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    report, backend, task_set = provenance(), detect_backend(), load_tasks("humaneval")
    models: dict[str, Any] = {}
    for name, model in MODELS.items():
        read = runs(options.folder / name)
        verdicts = grade(task_set, [(task, program) for task, _, program, _ in read], backend=backend, workers=options.workers)
        pairs = list(zip(read, verdicts, strict=True))
        differing = [
            {"task": task, "run": number, "published": passed, "ours": verdict.base_status, "detail": verdict.detail}
            for (task, number, _, passed), verdict in pairs
            if passed != (verdict.base_status == "passed")
        ]
        models[name] = {
            "model": model, "runs": len(read), "programs": len({(task, program) for task, _, program, _ in read}),
            "passed": {"ours": sum(v.base_status == "passed" for v in verdicts), "published": sum(passed for *_, passed in read)},
            "equal": len(read) - len(differing), "differing by task": dict(Counter(row["task"] for row in differing)), "differing": differing,
        }  # fmt: skip
        print(json.dumps(models[name], indent=1, ensure_ascii=False), flush=True)
    found = {"source": SOURCE, "task_set": task_set.name, "version": task_set.version, "sandbox": backend.name, "models": models}
    result_files.write(RESULT, report | found)


if __name__ == "__main__":
    main()

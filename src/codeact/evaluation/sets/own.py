"""A team's own tasks: a JSONL file, one task a line, each looked at before anything is loaded (docs/evaluation.md)."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import keyword
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import InputError, did_you_mean
from codeact.evaluation.oracle import fits_example, same_truths
from codeact.evaluation.sets import own_languages, own_python, own_wrong
from codeact.evaluation.tasks import Rules, Task, TaskSet, python_question
from codeact.parsing import parse
from codeact.sources import objects

ENDINGS = (".jsonl", ".jsonl.gz")
KEYS = ("task_id", "prompt", "tests", "examples", "entry_point", "language", "canonical_solution", "instruction", "same_process")
LANGUAGES = ("python", *own_languages.LANGUAGES)
SHOWN = 20
# What a results.json holds beside the task sets.
TAKEN = frozenset(
    ("model", "model_identity", "sandbox", "python", "prompting", "template", "dtype", "max_new_tokens", "temperature", "samples_per_task",
     "backend", "seed", "seconds", "seconds_bits", "seconds_generation", "seconds_execution", "warnings", "against", "differences", "held-out",
     "prompting_why", "endpoint", "thinking", "thinking_tokens", "template_begins", "solve_rate", "request_extra", "kept_answers",
     "answered_by", "usd")
)  # fmt: skip


def is_file(name: str) -> bool:
    """Whether the name of a task set is that of a file of one's own."""
    return name.endswith(ENDINGS)


def load(name: str, taken: Sequence[str] = ()) -> TaskSet:
    """The tasks of a file; the set is called as the file, its version is the beginning of the file's SHA-256.

    Args:
        name: path of a .jsonl or .jsonl.gz file.
        taken: names that other sets have.

    Raises:
        InputError: the file cannot be read, or one line for each fault in it: file, row, key and the mend.
    """
    path = Path(name)
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl").rstrip("+")
    if not stem or stem in (*taken, *TAKEN):
        raise InputError(f"{path}: {stem!r} is the name of something else in results.json; call the file otherwise")
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if name.endswith(".gz") else raw
        lines = text.decode("utf-8-sig").split("\n")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as JSONL in UTF-8: {reason}") from error
    rows: list[Mapping[str, Any]] = []
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _parse(line)
            found = [row] if isinstance(row, str) else list(_faults(row))
            faults += [f"{path}, row {number}: {fault}" for fault in found]
            rows += [] if found or isinstance(row, str) else [row]
    if not rows and sum(bool(line.strip()) for line in lines) > 1 and not isinstance(_parse(lines[0]), dict) and isinstance(_parse("\n".join(lines)), dict):
        faults = [f"{path}: it is one JSON object on several lines; write each on one line"]
    counts = Counter(row["task_id"] for row in rows)
    faults += [f"{path}: task_id {i!r} is in {n} rows; give each task its own" for i, n in counts.items() if n > 1]
    if not rows and not faults:
        faults = [f"{path} holds no tasks; write one JSON object with {', '.join(KEYS[:5])} on a line"]
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise InputError("\n".join([*faults[:SHOWN], *more]))
    tasks = tuple(_task(row) for row in rows)
    digest = hashlib.sha256(text).hexdigest()
    return TaskSet(stem, f"sha256 {digest[:12]}", tasks, digest)


def _parse(line: str) -> Mapping[str, Any] | str:
    """The object on a line, or why there is none."""
    try:
        row = objects.parse(line)
        json.dumps(row, ensure_ascii=False).encode()
    except objects.TwiceError as error:
        return str(error)
    except UnicodeEncodeError:
        return "a text in it holds half of a surrogate pair, which is no character; leave it out"
    except (ValueError, RecursionError) as error:
        return "an integer in it has more than 4,300 digits; leave it out" if "digits" in str(error) else "it is no JSON object; write one object on a line"
    return row if isinstance(row, dict) else "it is no JSON object; write one object on a line"


def _faults(row: Mapping[str, Any]) -> Iterator[str]:
    for key in row:
        if key not in KEYS and (near := did_you_mean(key, [k for k in KEYS if k not in row])):
            yield f"the key {key!r} is not known{near}"
    for key in ("task_id", "prompt", "entry_point"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            yield f"{key} is {_shown(row, key)}; give a text"
    for key in ("canonical_solution", "instruction", "language"):
        if key in row and not isinstance(row[key], str):
            yield f"{key} is {_shown(row, key)}; give a text, or leave the key out"
    language = row.get("language", "python")
    if isinstance(language, str) and language not in LANGUAGES:
        alias = own_languages.ALIASES.get(language.lower(), language.lower())
        near = f"; did you mean {alias!r}?" if alias in LANGUAGES else did_you_mean(language, LANGUAGES)
        yield f"language is {language!r}{near}; the languages are {', '.join(LANGUAGES)}"
    if ("tests" in row) == ("examples" in row):
        yield "give either tests (a program) or examples (inputs and outputs)"
    if "tests" in row and not _is_program(row["tests"]):
        yield "tests is no program; give a text, or a list of assertions"
    if "same_process" in row and (not isinstance(row["same_process"], bool) or "tests" not in row or language != "python"):
        yield f"same_process is {_shown(row, 'same_process')}; it is true or false, and for tests in Python alone"
    if "examples" in row:
        yield from _example_faults(row["examples"])
    texts = all(isinstance(row.get(key), str) and row[key].strip() for key in ("prompt", "entry_point"))
    if language in own_languages.LANGUAGES and texts and _is_program(row.get("tests", "-")):
        yield from own_languages.faults(row, language)
    elif isinstance(row.get("entry_point"), str) and row["entry_point"].strip() and language not in own_languages.LANGUAGES:
        yield from _entry_faults(row, own_python.name(row["entry_point"]))


def _shown(row: Mapping[str, Any], key: str) -> str:
    if key not in row:
        return "missing"
    text = json.dumps(row[key])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _is_program(tests: object) -> bool:
    lines = isinstance(tests, list) and all(isinstance(line, str) for line in tests)
    return bool(tests) and (lines or isinstance(tests, str))


def _example_faults(examples: object) -> Iterator[str]:
    if not isinstance(examples, list) or not examples:
        yield 'examples is no list of examples; give [{"input": [1, 2], "output": 3}]'
        return
    for number, example in enumerate(examples, 1):
        if not isinstance(example, dict) or set(example) != {"input", "output"} or not isinstance(example["input"], list):
            yield f'examples, number {number}: give {{"input": [the arguments, in a list], "output": the answer}}'
    try:
        json.dumps(examples, allow_nan=False)
    except ValueError:
        yield "examples hold NaN or Infinity, which JSON does not have; write tests for them"


def _entry_faults(row: Mapping[str, Any], entry: str) -> Iterator[str]:
    if not entry.isidentifier() or keyword.iskeyword(entry):
        yield f"entry_point {entry!r} is no name of a function; give the name alone"
        return
    prompt, solution = row.get("prompt"), row.get("canonical_solution")
    if not isinstance(prompt, str):
        return
    if isinstance(solution, str):
        tree = parse(prompt + solution)
        if tree is None:
            yield "prompt and canonical_solution together do not parse as Python; the solution continues the prompt"
            return
        if entry not in {getattr(node, "name", getattr(node, "id", None)) for node in ast.walk(tree)}:
            yield f"prompt and canonical_solution together define no {entry!r}; name the function that is tested"
            return
    if _is_program(row.get("tests", "-")):
        yield from own_python.faults(row, entry)


def _task(row: Mapping[str, Any]) -> Task:
    examples = row.get("examples", ())
    language = row.get("language", "python")
    entry, rules, test = row["entry_point"], own_languages.RULES, ""
    if language == "python":
        entry = own_python.name(entry)
        rules = RULES if examples else TOGETHER if row.get("same_process") else TESTED
        test = own_python.check_program(row, entry) if "tests" in row else ""
    elif "tests" in row:
        test = own_languages.tests_program(own_python.source(row["tests"]), language)
    return Task(
        id=row["task_id"],
        prompt=row["prompt"],
        entry_point=entry,
        canonical_solution=row.get("canonical_solution", ""),
        base_inputs=tuple(tuple(example["input"]) for example in examples),
        outputs=tuple(example["output"] for example in examples),
        test=test,
        instruction=row.get("instruction", ""),
        language=language,
        rules=rules,
    )


def question(task: Task) -> str:
    """The task's own instruction, where it has one."""
    return task.instruction or python_question(task)


def special(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool | None:
    """JSON has no tuples: an answer's tuples count as lists. A tuple of floats is compared with the usual tolerance. Its true is not its 1."""
    if not task.outputs:
        return None
    plain = _lists(answer)
    return same_truths(expected, plain) and fits_example(expected, plain)


def _lists(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_lists(item) for item in value]
    return {key: _lists(item) for key, item in value.items()} if isinstance(value, dict) else value


RULES = Rules(question=question, special=special, wrong=own_wrong.wrong_programs)
TESTED = Rules(question=question, judge=own_python.judge, wrong=own_wrong.wrong_programs)
TOGETHER = Rules(question=question, judge=own_python.judge_together, wrong=own_wrong.wrong_programs)

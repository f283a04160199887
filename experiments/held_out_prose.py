"""Readers of public data in natural languages, and of models' answers, for `held_out_drops`: how a repository becomes conversations."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml

from codeact.errors import InputError
from experiments.clean_sources import Turns
from experiments.held_out_code import Pages, some


def rows_of(text: str) -> list[Any]:
    """The objects of a JSON list, of JSON lines, or written one behind the other."""
    text = text.lstrip("\ufeff")
    if text.lstrip().startswith("["):
        try:
            found: list[Any] = json.loads(text)
            return found
        except ValueError as error:
            raise InputError(f"no JSON list: {error}") from error
    rows, at, decoder = [], 0, json.JSONDecoder()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        row, at = decoder.raw_decode(text, at)
        rows.append(row)
    return rows


def _all(pages: Pages) -> Iterator[Any]:
    return (row for path in pages.paths for row in rows_of(pages.show(path)))


def _pair(asked: object, answer: object) -> Turns:
    return [("user", str(asked).strip()), ("assistant", str(answer).strip())]


def _told(row: Mapping[str, Any], key: str) -> str:
    return str(row[key]) + (f"\n\n{row['input']}" if key == "instruction" and row.get("input") else "")


def _pairs(pages: Pages) -> Iterable[Turns]:
    """The two named columns."""
    asked, answer = pages.further.split(",")
    return (_pair(_told(row, asked), row[answer]) for row in _all(pages))


def _lists(pages: Pages) -> Iterable[Turns]:
    """Two columns of lists."""
    asked, answer = pages.further.split(",")
    for row in _all(pages):
        if isinstance(row, dict) and isinstance(row.get(asked), list) and isinstance(row.get(answer), list):
            yield from map(_pair, row[asked], row[answer])


def _table(pages: Pages) -> Iterable[Turns]:
    """A CSV with columns `Q` and `A`."""
    return (_pair(row["Q"], row["A"]) for path in pages.paths for row in csv.DictReader(io.StringIO(pages.show(path))))


def _options(pages: Pages) -> Iterable[Turns]:
    """A question with its options, and how it is solved."""
    return (_pair(row["question"] + "\n" + "\n".join(row["options"]), row["rationale"]) for row in _all(pages))


def _choice(pages: Pages) -> Iterable[Turns]:
    """A question with five choices, and the right one."""
    for row in _all(pages):
        yield _pair("\n".join([row["question"], *(row[f"choice{n}"] for n in range(5))]), row[f"choice{row['label']}"])


def _passages(pages: Pages) -> Iterable[Turns]:
    """Questions on a passage in SQuAD's layout: `first` two of each, or the `rest`."""
    some = slice(None, 2) if pages.further == "first" else slice(2, None)
    for path in pages.paths:
        for passage in (p for article in json.loads(pages.show(path))["data"] for p in article["paragraphs"]):
            for question in passage["qas"][some]:
                if question["answers"]:
                    yield _pair(f"{passage['context']}\n\n{question['question']}", question["answers"][0]["text"])


def _messages(pages: Pages) -> Iterable[Turns]:
    return ([(turn["role"], turn["content"]) for turn in row["messages"]] for row in _all(pages))


def _dialogues(pages: Pages) -> Iterable[Turns]:
    """YAML lists of lines, said in turn."""
    for path in pages.paths:
        try:
            listed = yaml.safe_load(pages.show(path)).get("conversations", [])
        except yaml.YAMLError:
            continue
        for said in ([str(line) for line in dialogue if line is not None] for dialogue in listed):
            if len(said) >= 2:
                yield [("assistant" if n % 2 else "user", line) for n, line in enumerate(said[: len(said) // 2 * 2])]


def _examples(pages: Pages) -> Iterable[Turns]:
    """The first twenty examples of each task of BIG-bench's layout."""
    for path in pages.paths:
        for row in json.loads(pages.show(path))["examples"][:20]:
            yield _pair(row["input"], row["target"])


def _seeds(pages: Pages) -> Iterable[Turns]:
    """Seed tasks of Self-Instruct's layout, the first instance of each."""
    for row in _all(pages):
        first = row["instances"][0]
        yield _pair(row["instruction"] + (f"\n\n{first['input']}" if first["input"] else ""), first["output"])


def _reviews(pages: Pages) -> Iterable[Turns]:
    """A question, and the first of the answers that are compared."""
    return (_pair(row["metadata"]["question"], row["metadata"]["answers"][0]) for row in _all(pages))


def _classes(pages: Pages) -> Iterable[Turns]:
    """The skeleton of a class, and what a model made of it; of sixty files, those that the clone has."""
    rows: list[Any] = []
    for path in some(pages.paths, 60):
        with contextlib.suppress(subprocess.CalledProcessError):
            rows += rows_of(pages.show(path))
    for row in rows:
        made = row.get("raw_output") or row.get("predict") or []
        made = made[0] if isinstance(made, list) and made else made
        if isinstance(made, str):
            yield [("user", f"Complete the class.\n\n{row['skeleton']}"), ("assistant", made)]


def _circuits(pages: Pages) -> Iterable[Turns]:
    """Hardware descriptions and their programs."""
    for row in (row for row in _all(pages) if isinstance(row, dict)):
        asked = row.get("Instruction") or row.get("Description") or row.get("instruction")
        made = row.get("Response") or row.get("Output") or row.get("output")
        for answer in made if isinstance(made, list) else [made]:
            if asked and isinstance(answer, str):
                yield [("user", str(asked)), ("assistant", answer)]


def _prompts(pages: Pages) -> Iterable[Turns]:
    """A prompt and its reference in files beside each other."""
    for path in pages.paths:
        reference = path.replace("_prompt.txt", "_ref.sv")
        if reference in pages.listed:
            yield [("user", pages.show(path)), ("assistant", pages.show(reference))]


def _fenced(text: str) -> str:
    """reStructuredText's blocks of code between fences."""
    found = r"(?m)^\.\. code-block:: *(\w+)\n\n((?:(?: {4}.*)?\n)+)"
    return re.sub(found, lambda m: f"```{m[1]}\n" + re.sub(r"(?m)^ {4}", "", m[2]).strip("\n") + "\n```\n", text).strip()


def _underlined(pages: Pages) -> Iterable[Turns]:
    """Sections of reStructuredText."""
    for path in pages.paths:
        for found in re.finditer(r"(?ms)^([^\n]{3,80})\n[-=~]{3,}\n(.*?)(?=^[^\n]{3,80}\n[-=~]{3,}\n|\Z)", pages.show(path)):
            yield [("user", found[1]), ("assistant", _fenced(found[2]))]


def _recipes(pages: Pages) -> Iterable[Turns]:
    """A title and a problem; its solution and discussion."""
    for path in pages.paths:
        found = re.search(r"(?ms)=+\n([^\n]+)\n=+\n(.*)", pages.show(path))
        parts = re.split(r"(?m)^-{4,}\n(?:问题|解决方案|讨论)\n-{4,}\n", found[2]) if found else []
        if found and len(parts) >= 3:
            yield [("user", f"{found[1]}\n{parts[1].strip()}"), ("assistant", _fenced("".join(parts[2:])))]


def _numbered_answers(pages: Pages) -> Iterable[Turns]:
    """Answers of models to numbered questions."""
    for row in _all(pages):
        if row.get("text"):
            yield [("user", f"Question {row.get('question_id')}"), ("assistant", row["text"])]


def _notebooks(pages: Pages) -> Iterable[Turns]:
    """A cell of text, and the cell of code below it."""
    for path in pages.paths:
        asked = ""
        for cell in json.loads(pages.show(path)).get("cells", []):
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                asked = text
            elif asked and text.strip():
                yield [("user", asked), ("assistant", text)]
                asked = ""


def _introductions(pages: Pages) -> Iterable[Turns]:
    """Titles and introductions of lessons, at any depth."""

    def walk(node: object) -> Iterator[Turns]:
        if isinstance(node, dict):
            if isinstance(node.get("title"), str) and isinstance(node.get("intro"), list):
                yield [("user", node["title"]), ("assistant", "\n".join(map(str, node["intro"])))]
            for inner in node.values():
                yield from walk(inner)

    return (turns for path in pages.paths for turns in walk(json.loads(pages.show(path))))


READERS: Mapping[str, Callable[[Pages], Iterable[Turns]]] = {
    "pairs": _pairs, "lists": _lists, "table": _table, "options": _options, "choice": _choice, "passages": _passages, "messages": _messages,
    "dialogues": _dialogues, "examples": _examples, "seeds": _seeds, "reviews": _reviews, "classes": _classes, "circuits": _circuits,
    "prompts": _prompts, "underlined": _underlined, "recipes": _recipes, "answers": _numbered_answers, "notebooks": _notebooks,
    "introductions": _introductions,
}  # fmt: skip

"""MultiPL-E (arXiv 2208.08227): HumanEval and MBPP translated to other languages; of its languages those that run here.

A prompt ends in an open function; the published tests begin with the brace that closes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeact.errors import InputError
from codeact.evaluation import languages
from codeact.evaluation.sets import published
from codeact.evaluation.sets.files import Family
from codeact.evaluation.sets.own_languages import question
from codeact.evaluation.tasks import Rules, Task, TaskSet
from codeact.sandbox import Backend, Outcome

SOURCE = "https://huggingface.co/datasets/nuprl/MultiPL-E (or prompts/ of https://github.com/nuprl/MultiPL-E)"
# Short name in the files -> language.
FILES = {"cpp": "cpp", "go": "go", "java": "java", "js": "javascript", "rs": "rust"}
SPELT = {"go": "go_test.go"}  # in the files
NAMES = {f"multipl-e{middle}-{short}": (origin, short) for origin, middle in (("humaneval", ""), ("mbpp", "-mbpp")) for short in FILES}
# Every Java prompt imports this library, which few of them use.
JAVATUPLES = re.compile(r"^[ \t]*import\s+org\.javatuples\.[\w.*]+;", re.M)
TUPLES = re.compile(r"\b(?:Unit|Pair|Triplet|Quartet|Quintet|Sextet|Septet|Octet|Ennead|Decade)\s*[<.]")
# The wording that its authors take for their figures first; as JSON and JSONL of their repository, and as Parquet.
PATTERNS = (
    "{stem}/test-*.parquet", "{stem}/test/*.parquet", "{stem}/*.parquet", "{stem}.parquet", "{stem}.jsonl*", "{stem}-reworded.jsonl*",
    "{stem}-reworded.json", "prompts/{stem}-reworded.jsonl*", "prompts/{stem}-reworded.json", "{stem}-*.jsonl*", "{stem}*.json",
)  # fmt: skip
KEYS = ("name", "language", "prompt", "tests", "stop_tokens")


def files(name: str, data_dir: Path | None) -> list[Path]:
    """As `published.find`."""
    stem = "-".join(NAMES[name])
    return published.find(name, [pattern.format(stem=stem) for pattern in PATTERNS], data_dir, SOURCE)


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The set "multipl-e-cpp" (of HumanEval) or "multipl-e-mbpp-cpp"; also -go, -java, -js, -rs."""
    _, short = NAMES[name]
    paths = files(name, data_dir)

    def make(row: Mapping[str, Any], _: int) -> Task:
        there = row["language"]
        if there not in (short, FILES[short], SPELT.get(short)):
            named = FILES[there] if there in FILES else repr(there)
            mend = f"ask for {name.removesuffix(short)}{there}, or bring the file of {short}" if there in FILES else f"bring the file of {short}"
            raise InputError(f"{paths[0]}: its tasks are in {named} and not in {FILES[short]}; {mend}")
        return _task(row, name, short)

    return published.read(name, version, paths, KEYS, make)


def _task(row: Mapping[str, Any], name: str, short: str) -> Task:
    tokens, tests = row["stop_tokens"], published.text(row, "tests")
    if isinstance(tokens, str) or not all(isinstance(token, str) and token for token in tokens):
        raise ValueError("stop_tokens is no list of texts")
    language, prompt = FILES[short], published.text(row, "prompt")
    entry = _entry(prompt, language)
    if re.search(rf"(?<![\w$])(?:candidate|{re.escape(entry)})\s*\(", tests) is None:
        raise ValueError(f"its tests do not call {entry}: any program would pass")
    tuples = language == "java" and TUPLES.search(tests + prompt.rstrip().rpartition("\n")[2])
    return Task(
        id=f"{name}/{row['name']}",
        prompt=prompt,
        entry_point=entry,
        canonical_solution="",
        test=_test(tests, language, prompt),
        setup=_head(prompt) if language == "go" else "",
        language=language,
        not_run="it needs org.javatuples, which programs here do not have" if tuples else "",
        rules=Rules(lambda task: tuple(tokens), question, program, judge=judge, always_cut=True),
    )


def _entry(prompt: str, language: str) -> str:
    """The function that the prompt leaves open: the last name before a parenthesis in its last line of code."""
    line = next(line for line in reversed(prompt.rstrip().split("\n")) if "(" in line)
    found = re.findall(r"([A-Za-z_$][\w$]*)\s*\(", line.split("func ")[-1] if language == "go" else line)
    return str(found[0])


def _head(prompt: str) -> str:
    return prompt[: prompt.index(")") + 1] + "\n" if "import (" in prompt else ""


def _test(tests: str, language: str, prompt: str) -> str:
    tests = re.sub(r"^\s*\}", "", tests, count=1)
    if language == "java":
        owner = re.search(r"\bclass\s+(\w+)", prompt)
        return f"public class Main extends {owner[1] if owner else 'Problem'} {{\n{tests}"
    if language == "rust":
        test = re.sub(r"\bfn main\s*\(\s*\)", "#[test]\nfn test_task()", tests, count=1)
        return f"#[cfg(test)]\nmod tests {{\nuse super::*;\n{test}\n}}\n"
    return tests


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Compile and run a program with the published tests, without the import of a library that is not there and not used."""
    if task.language == "java":
        source, task = JAVATUPLES.sub("", source), replace(task, prompt=JAVATUPLES.sub("", task.prompt))
    return languages.judge(task, source, backend)


def program(answer: str, task: Task, prompt: str) -> str:
    """The program in an answer; what a stop text cut off, the closing braces, is added."""
    text = languages.program(answer, task, prompt)
    return text.rstrip() + "\n" + "}\n" * max(0, languages.depth(text, task.language))


FAMILY = Family(tuple(NAMES), published.VERSIONS, "MIT", SOURCE, load, (), tuple(FILES.values()), files)

"""A team's own tasks in JavaScript, Java, Go, C++ and Rust: what a row has to hold, and how its tests become a test program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from codeact.evaluation import languages
from codeact.evaluation.languages.text import bare
from codeact.evaluation.sets.own_wrong import wrong_programs
from codeact.evaluation.tasks import Rules, Task

LANGUAGES = ("javascript", "java", "go", "cpp", "rust")
SPOKEN = {"javascript": "JavaScript", "java": "Java", "go": "Go", "cpp": "C++", "rust": "Rust"}
# Other names of the languages, which would be no near misses.
ALIASES = {"js": "javascript", "node": "javascript", "golang": "go", "c++": "cpp", "cxx": "cpp", "cc": "cpp", "rs": "rust", "py": "python", "python3": "python"}
ASSERTS = {
    "javascript": r"\bassert|\bthrow\b|\bexpect\b",
    "java": r"\bassert|\bthrow\b|\bAssert",
    "go": r"\bassert\.|\brequire\.|\bt\.(?:Error|Fatal|Fail)|\bpanic\(",
    "cpp": r"\bassert\s*\(|\bthrow\b|\babort\s*\(|\bexit\s*\(",
    "rust": r"\bassert|\bpanic!|\bshould_panic\b|->\s*Result\b",
}
PROGRAMS = {"java": r"\bclass\s+Main\b", "go": r"\bfunc\s+Test\w*\s*\(", "cpp": r"\bint\s+main\s*\(", "rust": r"#\[test\]", "javascript": ""}
# JavaScript's test runners: their functions are not there, or run when the tests have ended.
RUNNER = re.compile(r"""(?:^|[;\n{])[ \t]*(?:describe|it|test|beforeEach|afterEach)(?:\.\w+)?\(|['"](?:node:test|vitest|@jest/globals|mocha|jest)['"]""")
AROUND = {
    "java": ("public class Main { public static void main(String[] args) throws Throwable {\n", "\n} }\n"),
    "go": ("func TestTask(t *testing.T) {\nassert := assert.New(t)\n_ = assert\n", "\n}\n"),
    "cpp": ("#undef NDEBUG\n#include <cassert>\nint main() {\n", "\n}\n"),
    "rust": ("#[cfg(test)]\nmod tests {\nuse super::*;\n#[test]\nfn test_task() {\n", "\n}\n}\n"),
    "javascript": ("", "\n"),
}
QUESTION = "Complete the following {spoken} function. Answer with the whole program in one code block.\n\n```{language}\n{prompt}\n```"


def question(task: Task) -> str:
    """The task's own instruction, or the chat turn that asks for the program."""
    return task.instruction or QUESTION.format(spoken=SPOKEN[task.language], language=task.language, prompt=task.prompt.strip("\n"))


RULES = Rules(languages.stops, question, languages.program, judge=languages.judge, wrong=wrong_programs)


def tests_program(tests: str, language: str) -> str:
    """The tests as they are where they are a program of the language, else statements with such a program around them."""
    whole = PROGRAMS[language]
    if not whole or re.search(whole, bare(tests, language)):
        return tests
    before, after = AROUND[language]
    if language in ("java", "cpp"):  # what has to stand outside of a function goes before it
        head = [line for line in tests.split("\n") if re.match(r"\s*(?:#|import\b|using\b)", line)]
        rest = [line for line in tests.split("\n") if line not in head]
        return "\n".join([*head, before + "\n".join(rest) + after])
    return before + tests + after


def faults(row: Mapping[str, Any], language: str) -> Iterator[str]:
    """What is wrong with a row whose keys are of the right kinds; one line each, with the mend."""
    prompt, entry, spoken = row["prompt"], row["entry_point"], SPOKEN[language]
    if re.fullmatch(r"[A-Za-z_$][\w$]*", entry) is None:
        yield f"entry_point {entry!r} is no name of a function; give the name alone"
        return
    if re.search(rf"(?<![\w$]){re.escape(entry)}(?![\w$])", bare(prompt, language)) is None:
        yield f"prompt declares no {entry!r}; a prompt in {spoken} ends with the head of the function and its opening brace"
    elif languages.depth(prompt, language) < 1:
        yield f"prompt has no open brace at its end; a prompt in {spoken} ends with the head of the function and its opening brace"
    elif isinstance(row.get("canonical_solution"), str) and (left := languages.depth(prompt + row["canonical_solution"], language)):
        yield f"prompt and canonical_solution together have {abs(left)} braces too {'many open' if left > 0 else 'many closed'}; the solution continues the prompt"
    if "tests" in row:
        text = row["tests"] if isinstance(row["tests"], str) else "\n".join(row["tests"])
        plain = bare(text, language)
        if languages.depth(text, language):
            yield f"tests has unequal numbers of opening and closing braces; mend the {spoken} program"
        elif re.search(ASSERTS[language], plain) is None:
            yield "tests asserts nothing, so that everything would pass; add assertions"
        elif language == "javascript" and (runner := RUNNER.search(text)) and not re.search(r"\bfunction\s+(?:describe|it|test)\b", plain):
            yield f"tests uses a test runner ({runner[0].strip()}...), which is not run here; write assertions as statements"
        elif re.search(rf"(?<![\w$]){re.escape(entry)}(?![\w$])", plain) is None:
            yield f"tests does not call {entry!r}, so that everything would pass; test the function"

"""How programs of other languages are cut out of an answer, put together with their tests, and judged.

A test program and the program under test are one program here, unlike in Python. So a verdict takes more than the exit
status: a mark drawn for this run has to be printed once the tests have returned, which a program that ends early does not
print; in Go and Rust their test runner has to say besides that the one test passed. A program that searches its own memory
or files for the mark could forge it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from codeact.sandbox import Backend, Outcome
from codeact.sandbox.compiled import run_files

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

STOPS = {
    "javascript": ("\nconsole.", "\n```", "\nmodule.exports"),
    "java": ("\npublic class Main", "\n```"),
    "go": ("\nfunc main(", "\nfunc Test", "\n```"),
    "cpp": ("\nint main", "\n```"),
    "rust": ("\n#[cfg(test)]", "\nmod tests", "\n```"),
}
FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.M | re.S)
# Comments and texts, in which a brace closes nothing; in Rust a lone ' begins a lifetime.
QUOTED = r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\])*"|`[^`]*`'
CHARACTER = r"'(?:\\[^']*|[^'\\\n]{1,2})'"
TEXT = r"'(?:\\.|[^'\\\n])*'"
# Crates, which no distribution has compiled: their names go where nothing uses them.
CRATES = {"rand::Rng": r"\brand\b|\bRng\b|thread_rng", "regex::Regex": r"\bRegex\b", "md5": r"\bmd5::"}
MACROS = "use ::std::{assert, assert_eq, assert_ne, panic, vec};"


def stops(task: Task) -> tuple[str, ...]:
    """What ends a completion."""
    return STOPS[task.language]


def program(answer: str, task: Task, prompt: str) -> str:
    """The program in an answer: a fenced one that defines the entry point, else what continues `prompt`, up to its last brace."""
    blocks = [block for block in FENCE.findall(answer) if task.entry_point in block]
    if blocks:
        begun = prompt.strip()
        body = str(blocks[-1])
        return body if _defines(body, task.entry_point) else begun + "\n" + body
    if answer.lstrip().startswith(prompt.strip()[:80]) and prompt.strip():
        answer = answer.lstrip().removeprefix(prompt.strip())
    return prompt + closed(answer, depth(prompt, task.language), task.language)


def _defines(text: str, entry: str) -> bool:
    return re.search(rf"\b{re.escape(entry)}\b\s*(?:=|\()", text) is not None and "{" in text


def _bare(text: str, language: str) -> str:
    """The text with blanks for comments and quoted texts, character by character."""
    quoted = f"{QUOTED}|{CHARACTER if language in ('rust', 'java', 'cpp', 'go') else TEXT}"
    blank: Callable[[re.Match[str]], str] = lambda found: " " * len(found[0])  # noqa: E731
    return re.compile(quoted, re.S).sub(blank, text)


def depth(text: str, language: str) -> int:
    """How many braces are open at the end."""
    bare = _bare(text, language)
    return bare.count("{") - bare.count("}")


def closed(text: str, opened: int, language: str) -> str:
    """The text up to the brace that closes the last of `opened`; missing ones are added where all but the outermost are closed."""
    level = opened
    for position, letter in enumerate(_bare(text, language)):
        level += {"{": 1, "}": -1}.get(letter, 0)
        if level == 0:
            return text[: position + 1] + "\n"
    return text + ("\n}\n" if level == 1 and opened > 1 else "\n")


def judge(task: Task, source: str, backend: Backend) -> Outcome:
    """Compile and run a program with its task's tests; "passed" only where the tests ran to their end.

    Raises:
        InputError: the language's toolchain is not installed.
    """
    mark = secrets.token_hex(16)
    outcome = run_files(task.language, FILES[task.language](task, source, mark), backend=backend)
    if outcome.status == "killed" and ("Assertion" in outcome.detail or "terminate called" in outcome.detail):
        return Outcome("failed", outcome.detail)
    if outcome.status != "passed":
        return outcome
    printed = [line.strip() for line in outcome.stdout.strip().split("\n")]
    if mark in printed and printed[-1].partition(";")[0] == RUNNERS.get(task.language, mark):
        return outcome
    return Outcome("failed", "it ended before the tests did")


# The last line of those that have a test runner.
RUNNERS = {"go": "PASS", "rust": "test result: ok. 1 passed"}


def _javascript(task: Task, source: str, mark: str) -> dict[str, str]:
    # Names that the program cannot have known: a console or a JSON of its own is not the tests'.
    check, text = f"check_{secrets.token_hex(8)}", f"text_{secrets.token_hex(8)}"
    strict = f'const {text} = JSON.stringify; const {check} = (ok, ...why) => {{ if (!ok) throw new Error("assertion failed " + why.join(" ")); }};'
    test = re.sub(r"\bconsole\.assert\b", check, task.test)
    test = re.sub(r"\bJSON\.stringify\b", text, test)
    return {"main.js": f"{strict}\n{source}\n{test}\nconsole.log('\\n{mark}');\n"}


def _java(task: Task, source: str, mark: str) -> dict[str, str]:
    source = re.sub(r"public\s+class\s+(?!Main\b)", "class ", source)
    source = source.replace("public class Main {\n    }", "")
    if not re.search(r"\bclass\s+Solution\b", source):
        source = f"import java.util.*;\nclass Solution {{\n{source}\n}}"
    imports = [line for line in task.prompt.split("\n") if line.startswith("import ") and line not in source]
    run = f'class Run {{ public static void main(String[] a) throws Exception {{ Main.main(a); System.out.println("\\n{mark}"); }} }}'
    return {"Main.java": "\n".join([*imports, source, task.test]), "Run.java": run}


def _cpp(task: Task, source: str, mark: str) -> dict[str, str]:
    includes = [line for line in task.prompt.split("\n") if line.startswith(("#include", "using namespace")) and line not in source]
    source = source.split("int main")[0]
    # A macro of the program's own must not reach into the tests, whose `assert` and `bool` it could rewrite.
    undone = [f"#undef {name}" for name in dict.fromkeys(_DEFINE.findall(re.sub(r"\\[ \t]*\r?\n", "", source)))]
    main = f'#undef main\nint main() {{ codeact_tests(); __builtin_puts("\\n{mark}"); return 0; }}'
    return {"main.cpp": "\n".join([CPP, *includes, source, *undone, "#define main codeact_tests", task.test, main]) + "\n"}


_DEFINE = re.compile(r"(?:#|%:|\?\?=)(?:\s|/\*.*?\*/)*define(?:\s|/\*.*?\*/)+(\w+)", re.DOTALL)
CPP = "\n".join(
    f"#include <{name}>"
    for name in ("cstdlib", "algorithm", "cmath", "numeric", "cstdio", "vector", "set", "map", "queue", "stack", "list", "deque", "string",
                 "climits", "cstring", "iostream", "sstream", "cassert")
)  # fmt: skip


def _go(task: Task, source: str, mark: str) -> dict[str, str]:
    source = re.sub(r"^package \w+\s*$", "", source, flags=re.M)
    known = set(re.findall(r'^\s*(?:import\s+)?("[\w/.]+")\s*$', source, flags=re.M))
    begun = "\n".join(line for line in task.setup.split("\n") if line.strip() not in known)
    begun = begun.replace("package main", 'package main\nimport codeact_os "os"', 1)
    test = re.sub(r"\bfunc Test(\w+)\(", r"func codeact_\1(", task.test, count=1)
    name = re.search(r"\bfunc (codeact_\w+)\(", test)
    called = f"{name[1]}(t)" if name else 't.Fatal("the task has no test")'
    run = f'func TestCodeact(t *testing.T) {{ {called}; if !t.Failed() {{ codeact_os.Stdout.WriteString("\\n{mark}\\n") }} }}'
    return {"main_test.go": f"{begun}\n{source}\n{test}\n{run}\n"}


def _rust(task: Task, source: str, mark: str) -> dict[str, str]:
    # The tests stand before the program, and name their macros: so one of its own named assert_eq! is not theirs.
    test = re.sub(r"\bmod (\w+)\s*\{", rf"mod \1 {{\n    {MACROS}", task.test, count=1)
    test, found = re.subn(r"#\[test\]((?:\s|//[^\n]*)*)fn (\w+)", r"\1pub fn \2", test, count=1)
    module, name = re.search(r"\bmod (\w+)", test), re.search(r"\bpub fn (\w+)", test)
    if found and module and name:
        mark_line = f'::std::io::Write::write_all(&mut ::std::io::stdout(), b"\\n{mark}\\n").unwrap();'
        test += f"\n#[cfg(test)]\n#[test]\nfn codeact_tests() {{ {module[1]}::{name[1]}(); {mark_line} }}"
    inner = "\n".join(re.findall(r"^\s*#!\[.*\]\s*$", source, re.M))
    source = re.sub(r"^\s*#!\[.*\]\s*$", "", source, flags=re.M)
    whole = f"{inner}\n{test}\n{source}\n"
    if not re.search(r"^\s*fn main\(", whole, re.M):
        whole += "fn main() {}\n"
    for crate, use in CRATES.items():
        line = f"use {crate};"
        if not re.search(use, whole.replace(line, "")):
            whole = whole.replace(line, "")
    return {"main.rs": whole}


FILES: dict[str, Callable[[Task, str, str], dict[str, str]]] = {
    "javascript": _javascript, "java": _java, "cpp": _cpp, "go": _go, "rust": _rust,
}  # fmt: skip

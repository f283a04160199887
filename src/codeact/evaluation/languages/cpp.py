"""C++: the program is a shared library of its own, so that nothing of it reaches into the tests but the function that they call.

Its macros, pragmas, operators and specialisations stay in its translation unit. The tests are linked with the C and C++
libraries first: what the program defines under a library's name, the tests do not call.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.answers import harness, open_brace

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

DEFINE = re.compile(r"(?:#|%:|\?\?=)(?:\s|/\*.*?\*/)*define(?:\s|/\*.*?\*/)+(\w+)", re.DOTALL)
# Functions that another translation unit cannot call by their declaration.
INSIDE = re.compile(r"\b(?:template|static|inline|auto|constexpr|class|struct|namespace)\b")
MARKED = '#undef main\nint main() {{ codeact_tests(); __builtin_puts("\\n{mark}"); return 0; }}'


def tests(task: Task, source: str, mark: str) -> dict[str, str]:
    """The files of a program with the tests of its task."""
    main = MARKED.format(mark=mark)
    begun = declared(task.prompt)
    if begun is None:
        return {"main.cpp": "\n".join([*_includes(task, source), source, *_undone(source), "#define main codeact_tests", task.test, main]) + "\n"}
    return {
        "program.cpp": "\n".join([*_includes(task, source), source]) + "\n",
        "main.cpp": "\n".join([begun, "#define main codeact_tests", task.test, main]) + "\n",
    }


def examples(task: Task, source: str, mark: str) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task."""
    begun = declared(task.prompt)
    calls = "\n".join(
        f'  codeact::tell({number}, {task.entry_point}, {json.dumps(json.dumps(list(given), ensure_ascii=True))});'
        for number, given in enumerate(task.base_inputs)
    )
    main = f'int main() {{\n  codeact::mark = "{mark}";\n{calls}\n}}'
    if begun is None:
        return {"main.cpp": "\n".join([READER, *_includes(task, source), source, *_undone(source), main]) + "\n"}
    return {
        "program.cpp": "\n".join([*_includes(task, source), source]) + "\n",
        "main.cpp": "\n".join([READER, begun, main]) + "\n",
    }


def declared(prompt: str) -> str | None:
    """The prompt with a declaration of the function that it leaves open; None where another file cannot call that."""
    at = open_brace(prompt, "cpp")
    if at is None:
        return None
    head = re.split(r"[;}]", prompt[:at])[-1]
    head = re.sub(r"^\s*#.*$|/\*.*?\*/|//[^\n]*", "", head, flags=re.M | re.S)
    return None if INSIDE.search(head) or "(" not in head else f"{prompt[:at].rstrip()};\n"


def _includes(task: Task, source: str) -> list[str]:
    """Lines of the prompt that a whole program may have left out."""
    return [line for line in task.prompt.split("\n") if line.startswith(("#include", "using namespace")) and line not in source]


def _undone(source: str) -> list[str]:
    """The end of the program's macros, which would rewrite what tests in the same file say."""
    return [f"#undef {name}" for name in dict.fromkeys(DEFINE.findall(re.sub(r"\\[ \t]*\r?\n", "", source)))]


READER = harness("examples.hpp")

"""C++: the program is a shared library of its own, so that nothing of it reaches into the tests but the function that they call.

Its macros, pragmas, operators and specialisations stay in its translation unit. The tests are linked with the C and C++
libraries first: what the program defines under a library's name, the tests do not call.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.assertions import quoted, rewritten
from codeact.evaluation.languages.text import bare, harness, open_brace, parameters

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

DEFINE = re.compile(r"(?:#|%:|\?\?=)(?:\s|/\*.*?\*/)*define(?:\s|/\*.*?\*/)+(\w+)", re.DOTALL)
# Functions that another translation unit cannot call by their declaration.
INSIDE = re.compile(r"\b(?:template|static|inline|auto|constexpr|class|struct|namespace)\b")
MARKED = '#undef main\nint main() {{ {run}; __builtin_puts("\\n{mark}"); return 0; }}'
# What the second try is compiled as; the last standard that is named counts.
NEWER = {"options": "-std=c++20"}
# Tests whose assertions are left as they are: off, the tests' own, or with texts that are not read here.
OWN_ASSERT = re.compile(r"#\s*define\s+(?:NDEBUG|assert)\b|\bR\"|\bassert\s*\([^()]*\)\s*\{")


def tests(task: Task, source: str, mark: str, tell: bool) -> dict[str, str]:
    """The files of a program with the tests of its task, which tell the values of a failed assertion where `tell` is true."""
    begun = declared(task.prompt)
    if begun is None:
        main = MARKED.format(run="codeact_tests()", mark=mark)
        whole = "\n".join([*_includes(task, source), source, *_undone(source), "#define main codeact_tests", task.test, main]) + "\n"
        return {**({} if tell else NEWER), "main.cpp": whole}
    head, test, run, bridge = [begun], task.test, "codeact_tests()", ""
    if not tell:
        begun, bridge = bridged(task, begun)
        head = [begun]
    else:
        head = ["#define CODEACT_ANY", SHOW, SAID, begun, *_told(task, begun)]
        test = test if OWN_ASSERT.search(test) else rewritten(test, "cpp", r"(?<!\w)assert", _asserted)
        run = "codeact::tests([] { codeact_tests(); })"
    return {
        **({} if tell else NEWER),
        "program.cpp": "\n".join([*_includes(task, source), source]) + f"\n{bridge}",
        "main.cpp": "\n".join([*head, "#define main codeact_tests", test, MARKED.format(run=run, mark=mark)]) + "\n",
    }


def _asserted(expression: str, names: list[str]) -> str:
    values = "".join(f' + codeact::kept("{name}", {name})' for name in names)
    return f'(static_cast<bool>({expression}) ? void(0) : codeact::fail({quoted(expression)}, std::string(){values}))'


def _told(task: Task, begun: str) -> list[str]:
    """What stands for the function in the tests; nothing where it is more than a function that they call."""
    entry = re.escape(task.entry_point)
    declared, test = bare(begun, "cpp"), bare(task.test, "cpp")
    parameters = declared.rpartition(task.entry_point)[2]
    if len(re.findall(rf"\b{entry}\s*\(", declared)) != 1 or "=" in parameters or re.search(rf"(?:\.|->|::|&)\s*{entry}\b", test):
        return []
    return [f'static const codeact::Told<decltype({task.entry_point})> codeact_told{{&{task.entry_point}, "{task.entry_point}"}};',
            f"#define {task.entry_point} codeact_told"]  # fmt: skip


def examples(task: Task, source: str, mark: str, directly: bool) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task: by the prompt's declaration, else through a function of it."""
    begun = declared(task.prompt)
    calls = "\n".join(
        f'  codeact::tell({number}, {task.entry_point}, {json.dumps(json.dumps(list(given), ensure_ascii=True))});'
        for number, given in enumerate(task.base_inputs)
    )
    main = f'int main() {{\n  codeact::mark = "{mark}";\n{calls}\n}}'
    if begun is None:
        return {**({} if directly else NEWER), "main.cpp": "\n".join([READER, *_includes(task, source), source, *_undone(source), main]) + "\n"}
    begun, bridge = (begun, "") if directly else bridged(task, begun)
    return {
        **({} if directly else NEWER),
        "program.cpp": "\n".join([*_includes(task, source), source]) + f"\n{bridge}",
        "main.cpp": "\n".join([READER, begun, main]) + "\n",
    }


def bridged(task: Task, begun: str) -> tuple[str, str]:
    """The declaration of a function with the prompt's head, and its definition, which calls the program's.

    A program may take `const vector<int>&` for `vector<int>`, be a template, `static` or `inline`, or give a type that the declared
    one is made of. The declaration as it is, and "", where the parameters have no plain names.
    """
    head = bare(begun, "cpp").rstrip().removesuffix(";")
    head = re.sub(r"^[ \t]*#[^\n]*", "", re.split(r"[;}]", head)[-1], flags=re.M)
    found = re.fullmatch(rf"\s*(.+?)\b{re.escape(task.entry_point)}\s*\((.*)\)\s*", head, re.S)
    taken = [one.partition("=")[0].strip() for one in parameters(found[2])] if found else []
    named = [re.search(r"[\s&*>](\w+)\s*(?:\[\w*\])*$", one) for one in taken]
    if found is None or not all(named):
        return begun, ""
    gives, given = found[1].strip(), ", ".join(one[1] for one in named if one)
    call = f"{'' if gives == 'void' else 'return '}{task.entry_point}({given});"
    inner = f"{gives} codeact_bridge({', '.join(taken)})"
    label = '__asm__("codeact_entry")'
    return f"{begun.rstrip().removesuffix(';')} {label};\n", f"{inner} {label};\n{inner} {{ {call} }}\n"


def declared(prompt: str) -> str | None:
    """The prompt with a declaration of the function that it leaves open; None where another file cannot call that."""
    at = open_brace(prompt, "cpp")
    if at is None:
        return None
    head = re.split(r"[;}]", prompt[:at])[-1]
    head = re.sub(r"^[ \t]*#[^\n]*|/\*.*?\*/|//[^\n]*", "", head, flags=re.M | re.S)
    return None if INSIDE.search(head) or "(" not in head else f"{prompt[:at].rstrip()};\n"


def _includes(task: Task, source: str) -> list[str]:
    """Lines of the prompt that a whole program may have left out."""
    return [line for line in task.prompt.split("\n") if line.startswith(("#include", "using namespace")) and line not in source]


def _undone(source: str) -> list[str]:
    """The end of the program's macros, which would rewrite what tests in the same file say."""
    return [f"#undef {name}" for name in dict.fromkeys(DEFINE.findall(re.sub(r"\\[ \t]*\r?\n", "", source)))]


SHOW, SAID = harness("show.hpp"), harness("said.hpp")
READER = SHOW + harness("examples.hpp")

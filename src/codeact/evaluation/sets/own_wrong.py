"""Programs that are wrong whatever a team's task asks for: tests that pass all of them judge nothing.

Each returns another value, so only tests that look at no value pass all: those that assert nothing, swallow what they assert, or are
never called. Where a typed language's value cannot be made up, the last program ends with an error instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codeact.evaluation import languages
from codeact.evaluation.tasks import Task
from codeact.parsing import parse

PYTHON = ("None", "'no such answer'", "-7654321.25")
SCRIPT = ("undefined", "'no such answer'", "-7654321.25")
CALLED = {"": "def {entry}(*args, **keywords):\n    return {value}\n", "async": "async def {entry}(*args, **keywords):\n    return {value}\n",
          "class": "class {entry}:\n    def __init__(self, *args, **keywords):\n        pass\n    def __getattr__(self, name):\n"
                   "        return lambda *args, **keywords: {value}\n"}  # fmt: skip
# The values of the two programs by return type; () is any other type: its empty value, and an error.
TEXT, TRUTH = ('""', '"no such answer"'), ("false", "true")
TYPES: dict[str, tuple[tuple[str, tuple[str, str]], ...]] = {
    "go": ((r"u?int\d*|byte|rune", ("0", "77")), (r"float\d+", ("0", "77.25")), ("bool", TRUTH), ("string", TEXT)),
    "rust": ((r"[iu](?:8|16|32|64|128|size)", ("0", "77")), (r"f(?:32|64)", ("0.0", "77.25")), ("bool", TRUTH),
             ("String", ("String::new()", 'String::from("no such answer")')), (r"&.*str", TEXT)),
    "java": ((r"int|long", ("0", "77")), (r"short|byte|char", ("0", "77")), ("float|double", ("0", "77")), ("[Bb]oolean", TRUTH), ("String", TEXT),
             ("Integer", ("0", "77")), ("Long", ("0L", "77L")), ("Double", ("0.0", "77.25"))),
}  # fmt: skip
OTHER = {
    "go": ("var codeact_none {type}; return codeact_none", 'panic("no answer")'),
    "rust": ("return Default::default();", "panic!()"),
    "java": ("return null;", "throw new RuntimeException();"),
}
HEADS = {"go": r"\)\s*(?P<type>[^(){{}}]*?)\s*\Z", "rust": r"->\s*(?P<type>[^{{}}]*?)\s*\Z", "java": r"(?P<type>[\w.]+(?:<[^()]*>)?(?:\[\])*)\s+{entry}\s*\([^(]*\Z"}
# C++ makes up a value of the type that is asked for.
ANY = """#include <string>
#include <type_traits>
struct codeact_any { template <class T> operator T() const {
    if constexpr (std::is_same_v<T, bool>) return true;
    else if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(77);
    else if constexpr (std::is_same_v<T, std::string>) return "no such answer";
    else throw 77;
} };
"""


def wrong_programs(task: Task) -> Sequence[str]:
    """Wrong programs for a task with tests; none where a typed head cannot be read."""
    if not task.test:
        return ()
    if task.language == "python":
        tree = parse(task.prompt + task.canonical_solution) or parse(task.prompt.rstrip() + "\n    pass\n")
        kinds = {getattr(node, "name", ""): type(node).__name__ for node in (tree.body if tree else ())}
        form = {"ClassDef": "class", "AsyncFunctionDef": "async"}.get(kinds.get(task.entry_point, ""), "")
        before = f"{task.reference}\n" if task.canonical_solution else ""  # its helpers
        return [before + CALLED[form].format(entry=task.entry_point, value=value) for value in PYTHON]
    if task.language == "javascript":
        return [f"function {task.entry_point}() {{ return {value}; }}\n" for value in SCRIPT]
    bodies = ("return {};", "return codeact_any{};") if task.language == "cpp" else _bodies(task)
    closed = "\n" + "}" * languages.depth(task.prompt, task.language) + "\n"
    return [(ANY if task.language == "cpp" else "") + task.prompt + body + closed for body in bodies]


def _bodies(task: Task) -> tuple[str, ...]:
    """The two function bodies of a typed language, by the return type that the prompt's head names."""
    head = re.search(HEADS[task.language].format(entry=re.escape(task.entry_point)), task.prompt.rstrip().removesuffix("{"))
    kind = head["type"].strip() if head else ""
    if not kind or kind == "void":
        return ()
    for pattern, values in TYPES[task.language]:
        if re.fullmatch(pattern, kind):
            return tuple(f"return {value}{'' if task.language == 'go' else ';'}" for value in values)
    return tuple(body.replace("{type}", kind) for body in OTHER[task.language])

"""JavaScript: the program runs in a realm of its own, so that its prototypes, its `JSON` and its `assert` are not those of the tests.

The realm of the tests is frozen (`node --frozen-intrinsics`), and what the program returns is cloned into it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.answers import harness, outermost
from codeact.evaluation.languages.assertions import quoted, rewritten

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

DECLARED = re.compile(r"(?:export\s+)?(?:default\s+)?(?:(?:async\s+)?function\s*\*?|class|const|let|var)\s+([A-Za-z_$][\w$]*)")
REQUIRED = re.compile(r"\brequire\(\s*['\"]([\w:/.-]+)['\"]\s*\)")


def tests(task: Task, source: str, mark: str, tell: bool) -> dict[str, str]:
    """The files of a program with the tests of its task."""
    test = rewritten(task.test, "javascript", r"\bconsole\.assert", _asserted) if tell else task.test
    test = re.sub(r"\bconsole\.assert\b", "codeact_check", test)
    names = [name for name in _names(task) if re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", test)]
    asked = json.dumps(sorted({*REQUIRED.findall(test), "assert"}))
    head = HEAD.replace("ASKED", asked)
    return {"program.js": source, "main.js": _run(names, test, head, f"codeact_say('\\n{mark}')")}


def examples(task: Task, source: str, mark: str) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task."""
    calls = "\n".join(
        f"  codeact_say('\\n{mark} {number} ' + codeact_show(await {task.entry_point}(...{json.dumps(list(given), ensure_ascii=True)})));"
        for number, given in enumerate(task.base_inputs)
    )
    head = f"{HEAD.replace('ASKED', '[]')}\n{SHOW}"
    return {"program.js": source, "main.js": _run([task.entry_point], calls, head, "undefined")}


def _asserted(expression: str, names: list[str]) -> str:
    values = ", ".join(f"[{quoted(name)}, {name}]" for name in names)
    return f"codeact_that({expression}, {quoted(expression)}, () => [{values}])"


def _names(task: Task) -> list[str]:
    """What the prompt declares outermost, and the entry point."""
    declared = [m[1] for _, line in outermost(task.prompt, "javascript") if (m := DECLARED.match(line.strip()))]
    return list(dict.fromkeys([*declared, task.entry_point]))


def _run(names: list[str], body: str, head: str, last: str) -> str:
    taken = " ".join(f"const {name} = codeact_take({json.dumps(name)});" for name in names)
    end = f".then(() => {last}, e => {{ codeact_err(codeact_told(String((e && e.stack) || e)) + '\\n'); codeact_exit(1); }});"
    return f"{head}\n(async () => {{ codeact_load(); {taken} return (async () => {{\n{body}\n}})(); }})(){end}\n"


HEAD = harness("tests.js")
SHOW = harness("examples.js")

"""JavaScript: the program runs in a realm of its own, so that its prototypes, its `JSON` and its `assert` are not those of the tests.

The realm of the tests is frozen (`node --frozen-intrinsics`), and what the program returns is cloned into it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.assertions import quoted, rewritten
from codeact.evaluation.languages.text import harness, outermost

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
    return {"program.js": script(source, [task.entry_point, *names]), "main.js": _run(names, test, head, f"codeact_say('\\n{mark}')")}


def examples(task: Task, source: str, mark: str, directly: bool) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task; there is one way to call it."""
    calls = "\n".join(
        f"  codeact_say('\\n{mark} {number} ' + codeact_show(await {task.entry_point}(...{json.dumps(list(given), ensure_ascii=True)})));"
        for number, given in enumerate(task.base_inputs)
    )
    head = f"{HEAD.replace('ASKED', '[]')}\n{SHOW}"
    return {"program.js": script(source, [task.entry_point]), "main.js": _run([task.entry_point], calls, head, "undefined")}


def script(source: str, names: list[str]) -> str:
    """A program as a script: `import` and `export` of modules as `require` and `exports`; with an outermost `await`, in an async function."""
    starts = outermost(source, "javascript")
    for at, line in reversed(starts):
        if re.match(r"\s*(?:import|export)\b(?!\s*[(.])", line):
            source = source[:at] + _statement(source[at:])
    if any(re.match(r"(?:(?:const|let|var)\s+[^=]+=\s*)?await\b", line.strip()) for _, line in starts):
        kept = "".join(f"\ntry {{ globalThis.{name} = {name}; }} catch {{ }}" for name in dict.fromkeys(names))
        return f"globalThis.codeact_ready = (async () => {{ {source}\n{kept}\n}})()"
    return source


def _statement(text: str) -> str:
    """The text with the `import` or `export` at its beginning as a statement of a script."""
    if found := re.match(r"\s*import\s+(?:([\w$*{][^'\";]*?)\s+from\s+)?(['\"][^'\"\n]+['\"])(?:\s+(?:with|assert)\s*\{[^}]*\})?[ \t]*;?", text):
        taken = re.match(r"(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)|(\{.*\}))?$", found[1] or "", re.S)
        names = [f"const {name} = require({found[2]});" for name in (taken.groups()[:2] if taken else ()) if name]
        parts = ["const " + re.sub(r"([\w$]+)\s+as\s+", r"\1: ", taken[3]) + f" = require({found[2]});"] if taken and taken[3] else []
        return " ".join([*names, *parts] or [f"require({found[2]});"]) + text[found.end() :]
    if found := re.match(r"\s*export\s*\{([^}]*)\}[ \t]*;?", text):
        pairs = [re.split(r"\s+as\s+", one.strip()) for one in found[1].split(",") if one.strip()]
        return " ".join(f"exports.{pair[-1]} = {pair[0]};" for pair in pairs) + text[found.end() :]
    if found := re.match(r"\s*export\s+default\s+(?!(?:async\s+)?function\s*\*?\s*[\w$]|class\s+[\w$])", text):
        return "module.exports = " + text[found.end() :]
    return re.sub(r"\s*export\s+(?:default\s+)?", "", text, count=1)


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
    return f"{head}\n(async () => {{ await codeact_load(); {taken} return (async () => {{\n{body}\n}})(); }})(){end}\n"


HEAD = harness("tests.js")
SHOW = harness("examples.js")

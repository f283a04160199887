"""Go: the program is a package of its own, so that its names do not shadow those of the tests: not `true`, not `len`, not `string`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from codeact.evaluation.languages.text import bare, block_end, harness, outermost, parameters

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

PROGRAM, EXPORTS = "src/program/program.go", "src/program/exports.go"
HELPERS = tuple(f'"{name}"' for name in ("math", "strings", "fmt", "strconv", "time", "bytes", "regexp", "sort", "math/rand", "crypto/md5"))
IMPORTS = re.compile(r'(?:^|;)[^\S\n]*import\s*(?:\(([^)]*)\)|((?:[\w.]+[^\S\n]+)?"[^"\n]+"))', re.M)
IMPORT = re.compile(r'(?:[\w.]+[^\S\n]+)?"[\w/.-]+"')
DECLARED = re.compile(r"^(func|var|const|type)\s+([A-Za-z_]\w*)")
SETUP = 'package main\n\nimport (\n    "testing"\n    "github.com/stretchr/testify/assert"\n)\n'


def tests(task: Task, source: str, mark: str, tell: bool) -> dict[str, str]:
    """The files of a program with the tests of its task."""
    setup = task.setup or SETUP
    test = re.sub(r"\bfunc Test(\w+)\(", r"func codeact_\1(", task.test)
    names = re.findall(r"^func (codeact_\w+)\(\s*\w+\s+\*testing\.T\s*\)", test, re.M)
    called = "; ".join(f"{name}(t)" for name in names) or 't.Fatal("the task has no test")'
    run = f'func TestCodeact(t *testing.T) {{ {called}; if !t.Failed() {{ codeact_os.Stdout.WriteString("\\n{mark}\\n") }} }}'
    # As in the published harness, where all is one file, the tests may use what the prompt imports.
    imports = dict.fromkeys([*_used(setup, test), *_used(task.prompt, test)])
    if tell and re.search(rf"\bfunc\s+{task.entry_point}\s*\(", bare(task.prompt, "go")):
        imports |= dict.fromkeys(('codeact_fmt "fmt"', 'codeact_reflect "reflect"', 'codeact_sync "sync"'))
        plain = bare(test, "go")
        for found in reversed(list(re.finditer(rf"(?<![\w.]){task.entry_point}(?=\s*\()", plain))):
            if not re.search(r"\bfunc\s+$", plain[: found.start()]):
                test = f"{test[: found.start()]}codeact_told{test[found.end() :]}"
        test += f'\n{SAID}\nvar codeact_told = codeact_tells("{task.entry_point}", {task.entry_point})'
        run = run.replace("{ ", "{ codeact_now = t; defer codeact_said(); ", 1)
    return _files(task, source, list(imports), f"{test}\n{run}\n", _imports(setup), tell)


def examples(task: Task, source: str, mark: str, directly: bool) -> dict[str, str]:
    """The files of a program that is called with the inputs of its task: as it is declared, else through a function of the prompt's head."""
    calls = "\n".join(
        f"    codeact_tell({number}, {task.entry_point}, {json.dumps(json.dumps(list(given), ensure_ascii=True))})"
        for number, given in enumerate(task.base_inputs)
    )
    run = f'const codeact_mark = "{mark}"\n{READER}\nfunc TestCodeact(t *testing.T) {{\n{calls}\n}}\n'
    return _files(task, source, [f'"{name}"' for name in ("testing", "encoding/json", "fmt", "reflect", "math", "strconv", "sort")], run, _imports(task.setup), directly)


def _files(task: Task, source: str, imports: list[str], body: str, offered: list[str], directly: bool) -> dict[str, str]:
    source = re.sub(r"^[^\S\n]*//(?:go:build| \+build)\b.*$", "", source, flags=re.M)
    source = re.sub(r"^package \w+[ \t]*;?", "", source, count=1, flags=re.M)
    # As in the published harness: what the prompt imports and nothing uses goes, what is used and not imported comes.
    for line in _imports(task.prompt):
        if not _uses(source, line):
            source = re.sub(rf"^[^\S\n]*(?:import\s+)?{re.escape(line)}[ \t]*$", "", source, count=1, flags=re.M)
    has = set(_imports(source))
    offered = [line for line in offered if not line.endswith(('"testing"', 'testify/assert"'))]
    lent = [line for line in dict.fromkeys([*offered, *HELPERS]) if line not in has and _uses(source, line)]
    head = "".join(f"import {line}\n" for line in lent)
    lower = [(kind, name) for kind, name in _outer_names(task) if name[0].islower() and re.search(rf"\b{name}\b", body)]
    files = {
        PROGRAM: f"package program\n{head}{source}\n",
        "main_test.go": "package main\n"
        + "".join(f"import {line}\n" for line in ('codeact_os "os"', '. "program"', *imports))
        + "var _ = codeact_os.Exit\n"
        + "".join(f"{kind} {name} = Codeact_{name}\n" for kind, name in lower)
        + body,
    }
    if lower:
        bridge = None if directly else _bridge(task)
        lines = [bridge if bridge and name == task.entry_point else f"{kind} Codeact_{name} = {name}\n" for kind, name in lower]
        used = _used(task.prompt, bridge or "") if bridge else []
        files[EXPORTS] = "package program\n" + "".join([*(f"import {line}\n" for line in used), *lines])
    return files


def _bridge(task: Task) -> str | None:
    """A function with the prompt's head that calls the program's, which may be generic or give a type of its own; None where it cannot be."""
    plain = bare(task.prompt, "go")
    found = re.search(rf"\bfunc\s+{re.escape(task.entry_point)}\s*(?=\()", plain)
    if found is None:
        return None
    end = block_end(plain, found.end())
    gives, taken = plain[end:].rpartition("{")[0].strip(), plain[found.end() + 1 : end - 1]
    given = ", ".join(one.split()[0] + ("..." if "..." in one else "") for one in parameters(taken))
    return f"func Codeact_{task.entry_point}({taken}) {gives} {{ {'return ' if gives else ''}{task.entry_point}({given}) }}\n"


def _outer_names(task: Task) -> list[tuple[str, str]]:
    """(`var`, `const` or `type`, name) of what the prompt declares outermost, and of the entry point."""
    found = {m[2]: m[1].replace("func", "var") for _, line in outermost(task.prompt, "go") if (m := DECLARED.match(line))}
    found.setdefault(task.entry_point, "var")
    return [(kind, name) for name, kind in found.items()]


def _imports(text: str) -> list[str]:
    return [line.strip() for several, one in IMPORTS.findall(text) for line in IMPORT.findall(several or one)]


def _uses(text: str, imported: str) -> bool:
    name = imported.split()[0] if " " in imported else imported.strip('"').rpartition("/")[2]
    return name in ("_", ".") or re.search(rf"(?<![\w.]){re.escape(name)}\.", bare(text, "go")) is not None


def _used(setup: str, test: str) -> list[str]:
    """The imports of the tests' head that the tests use: Go refuses the others."""
    return [line for line in _imports(setup) if _uses(test, line)]


SAID, READER = harness("said.go"), harness("examples.go")

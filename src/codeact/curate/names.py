"""Names that Python code uses and nothing defines, by pyflakes (https://github.com/PyCQA/pyflakes)."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from codeact.curate.blocks import PYTHON_NAMES, code_blocks, python_evidence
from codeact.curate.verify import NOTHING_TO_CHECK, PASSED, Verdict
from codeact.errors import require

# What notebooks and snippets take as given.
_GIVEN = frozenset(
    "np pd plt sns tf torch nn F math os sys re json time random datetime collections itertools functools requests sklearn scipy string "
    "df data app db model session request spark cursor conn cv2 self cls logger display get_ipython nltk sp sm".split()
)


@dataclass(frozen=True, slots=True)
class Lost:
    """A name without a definition: where it stands, and whether that is the code's last line."""

    name: str
    line: int
    last: bool


def python_program(response: str) -> str | None:
    """The Python code of an answer as one program: its fenced Python blocks in order, or all of it; None where it does not parse."""
    blocks = code_blocks(response)
    if blocks:
        parts = [
            b.code for b in blocks if b.language in PYTHON_NAMES or (not b.language and python_evidence(b.code) == 2)
        ]
    else:
        parts = [response] if python_evidence(response) == 2 else []
    code = "\n\n".join(parts)
    if not code.strip() or ">>>" in code.partition("\n")[0]:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return code


def lost_names(code: str) -> tuple[list[Lost], bool]:
    """Names that nothing defines, and whether the last line sets a local name that is never read.

    Args:
        code: Python that parses.

    Raises:
        MissingExtraError: pyflakes is not installed.
    """
    checker = require("pyflakes.checker", "curate", "looking for undefined names")
    messages = require("pyflakes.messages", "curate", "looking for undefined names")
    try:
        found = checker.Checker(ast.parse(code)).messages
    except RecursionError:
        return [], False
    last = code.rstrip().count("\n") + 1
    lost = [
        Lost(str(m.message_args[0]), int(m.lineno), int(m.lineno) == last)
        for m in found
        if isinstance(m, messages.UndefinedName)
    ]
    unused = any(isinstance(m, messages.UnusedVariable) and _reaches(code, int(m.lineno), last) for m in found)
    return lost, unused


def _reaches(code: str, line: int, last: int) -> bool:
    return line == last or any(
        isinstance(node, ast.Assign) and node.lineno == line and node.end_lineno == last
        for node in ast.walk(ast.parse(code))
    )


def check_names(response: str, instruction: str = "") -> Verdict:
    """Python whose functions use a name that neither the code, nor the instruction, nor the text around it mentions.

    Only complete code is judged: what a snippet leaves to its reader (names of common modules, upper-case constants,
    names that the instruction or the prose gives) is no fault, and neither is a name at the top level.

    Raises:
        MissingExtraError: pyflakes is not installed.
    """
    code = python_program(response)
    if code is None:
        return NOTHING_TO_CHECK
    lost, unused = lost_names(code)
    lines = code.split("\n")
    if not code_blocks(response):
        tail = lines[code.rstrip().count("\n")]
        half = any(name.last and code.count(name.name) == 1 for name in lost)
        if (half or unused) and tail[:1].isspace() and not tail.lstrip().startswith(("return", "#")):
            return Verdict("failed", "cut off", f"it ends with {tail.strip()[:100]!r}")
    known = _outside(response, instruction)
    for name in lost:
        if name.name in _GIVEN or name.name.isupper() or name.name in known or name.name.startswith("__"):
            continue
        line = lines[name.line - 1]
        if line[:1].isspace() and not re.search(rf"\b{re.escape(name.name)}\s*\(", line) and "global " not in code:
            return Verdict(
                "failed",
                "undefined name",
                f"line {name.line} of the code: {name.name!r} is defined nowhere: {line.strip()[:100]!r}",
            )
    return (
        PASSED
        if not lost
        else Verdict("unknown", "names that the code leaves open", ", ".join(sorted({n.name for n in lost})[:5]))
    )


def _outside(response: str, instruction: str) -> set[str]:
    blocks = code_blocks(response)
    prose = response
    for block in blocks:
        prose = prose.replace(block.code, " ")
    return set(re.findall(r"[A-Za-z_]\w*", instruction + (" " + prose if blocks else "")))

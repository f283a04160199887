"""Names that Python code uses and nothing defines, by pyflakes (https://github.com/PyCQA/pyflakes)."""

from __future__ import annotations

import ast
import difflib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from codeact.curate.blocks import PYTHON_NAMES, code_blocks, python_evidence, without_blocks
from codeact.curate.verify import NOTHING_TO_CHECK, PASSED, Verdict
from codeact.errors import require
from codeact.parsing import parse

MAX_CHARS = 100_000  # of a program that pyflakes looks at
MAX_NAMES, MAX_LOST = 2_000, 50

# What notebooks and snippets take as given.
_TYPES = frozenset(
    "List Dict Set Tuple Optional Union Any Callable Iterable Iterator Generator Sequence Mapping Type TypeVar Deque DefaultDict Counter Literal "
    "ListNode TreeNode Node deque defaultdict inf heappush heappop heapify bisect_left bisect_right lru_cache cache reduce partial chain product "
    "permutations combinations accumulate pairwise gcd sqrt ceil floor".split()
)
_GIVEN = _TYPES | frozenset(
    "np pd plt sns tf torch nn F math os sys re json time random datetime collections itertools functools requests sklearn scipy string "
    "true false null df data app db model session request spark cursor conn cv2 self cls logger display get_ipython nltk sp sm "
    "frozendict sentinel".split()  # built in since Python 3.15
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
    return code if parse(code) is not None else None


def lost_names(code: str) -> tuple[list[Lost], bool]:
    """Names that nothing defines, and whether the last line sets a local name that is never read.

    Args:
        code: Python that parses.

    Raises:
        MissingExtraError: pyflakes is not installed.
    """
    checker = require("pyflakes.checker", "curate", "looking for undefined names")
    messages = require("pyflakes.messages", "curate", "looking for undefined names")
    if len(code) > MAX_CHARS:
        return [], False
    tree = ast.parse(code)
    try:
        found = checker.Checker(tree).messages
    except RecursionError:
        return [], False
    last = code.rstrip().count("\n") + 1
    lost = [
        Lost(str(m.message_args[0]), int(m.lineno), int(m.lineno) == last)
        for m in found
        if isinstance(m, messages.UndefinedName)
    ]
    ends = {last} | {n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assign) and n.end_lineno == last}
    return lost, any(isinstance(m, messages.UnusedVariable) and int(m.lineno) in ends for m in found)


def check_names(response: str, instruction: str = "") -> Verdict:
    """Python whose functions use a name that neither the code, nor the instruction, nor the text around it mentions.

    It fails where that name is another one of the code with a letter wrong (`totl` beside `total`), and is doubtful elsewhere: a
    snippet leaves names to its reader. What it always may leave open (names of common modules and types, modules without their
    import, upper-case constants, a lone word in place of a body) is no fault, and neither is a name at the top level.

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
        half = any(name.last and code.count(name.name) == 1 for name in lost[-MAX_LOST:])
        if (half or unused) and tail[:1].isspace() and not tail.lstrip().startswith(("return", "#")):
            return Verdict("doubtful", "cut off", f"it ends with {tail.strip()[:100]!r}")
    known = _outside(response, instruction)
    counts = Counter(re.findall(r"[A-Za-z_]\w*", code))
    doubtful = None
    for name in lost[:MAX_LOST]:
        line = lines[name.line - 1]
        if name.name in known or "global " in code or not _must_be_defined(name.name, line):
            continue
        detail = f"line {name.line} of the code: {name.name!r} is defined nowhere: {line.strip()[:100]!r}"
        if _is_misspelt(name.name, counts):
            return Verdict("failed", "undefined name", detail)
        doubtful = doubtful or Verdict("doubtful", "undefined name", detail)
    if doubtful is not None:
        return doubtful
    return (
        PASSED
        if not lost
        else Verdict("unknown", "names that the code leaves open", ", ".join(sorted({n.name for n in lost})[:5]))
    )


def _must_be_defined(name: str, line: str) -> bool:
    """Whether a line of a function needs a name to be a value of the program's own: no module, type, constant or placeholder."""
    if name in _GIVEN or not name.isascii() or name[:1].isupper() or name.startswith("__") or line.strip() == name:
        return False
    return line[:1].isspace() and re.search(rf"\b{re.escape(name)}\s*[.(]", line) is None


def _is_misspelt(name: str, counts: Mapping[str, int]) -> bool:
    """Whether a name that stands once is another of the code with one letter lost, added or changed (a plural is another word)."""
    if len(name) < 4 or counts[name] > 1:
        return False
    others = [other for other, count in counts.items() if count > 1 and abs(len(other) - len(name)) <= 1]
    near = difflib.get_close_matches(name, others[:MAX_NAMES], 1, 0.85)
    return bool(near) and near[0].rstrip("s") != name.rstrip("s") and not any(c.isdigit() for c in near[0] + name)


def _outside(response: str, instruction: str) -> set[str]:
    prose = without_blocks(response) if code_blocks(response) else ""
    return set(re.findall(r"[A-Za-z_]\w*", f"{instruction} {prose}"))

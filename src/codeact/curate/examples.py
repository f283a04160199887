"""Runs the Python of an answer in the sandbox and compares it with what the answer itself says: asserts, doctests, stated outputs."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from codeact.curate.blocks import code_blocks
from codeact.curate.undefined_names import lost_names, python_program
from codeact.curate.verify import NOTHING_TO_CHECK, PASSED, Verdict
from codeact.sandbox import Backend, Limits, run_program

LIMITS = Limits(cpu_seconds=5.0, wall_seconds=30.0, memory_bytes=1 << 30, output_bytes=1 << 20, answer_bytes=1 << 20)
MOST_PARTS = 2  # blocks: a function, and how it is used
_OPEN, _CLOSE = "\x02", "\x03"
_STATED = re.compile(
    r"#+\s*(?:(?:expected|sample|example)\s+)?(?:output|outputs|result|prints?|returns?|should (?:print|return|output)|"
    r"will (?:print|return|output))\b[^:=>\d\[({'\"-]{0,12}[:=>]*\s*(.+)$",
    re.IGNORECASE,
)
_BARE = re.compile(r"#+\s*(?:(?:=>|->|>)\s*)?(-?\d[\d.,]*|True|False|None|\[.*\]|\(.*\)|\{.*\}|\"[^\"]*\"|'[^']*')\s*$")
_WAITS = re.compile(
    r"\b(?:input|open|exit|quit)\s*\(|\bsys\.(?:argv|stdin|exit|version|platform|maxsize|getsizeof|getrefcount)\b|while True"
    r"|\b(?:time\.sleep|sleep|socket|requests|urllib|subprocess|random|tkinter|turtle|threading|asyncio|datetime|time)\b"
    r"|\b(?:platform|uname|getpid|getcwd|sqlite3|zipfile|tempfile|shutil|pathlib)\b|(?<!stdout)\.write\(|\b(?:ET|ElementTree|minidom)\.parse\("
)
_ERROR_TALK = re.compile(r"\b(?:raises?|error|exception|fail|invalid)", re.IGNORECASE)
_SHOWS_WRONG_CODE = re.compile(
    r"\b(?:erroneous|incorrect|buggy|faulty|broken)\s+(?:\w+\s+){0,2}?(?:code|snippet|function|program|logic|implementation|version)\b",
    re.IGNORECASE,
)
_FAULTS = (
    "AssertionError",
    "IndexError",
    "KeyError",
    "ZeroDivisionError",
    "RecursionError",
    "UnboundLocalError",
    "TypeError",
    "AttributeError",
    "NameError",
)


@dataclass(frozen=True, slots=True)
class Example:
    """What a top-level statement on `line` is said to print or to be."""

    line: int
    stated: str


def check_examples(response: str, backend: Backend, *, limits: Limits = LIMITS) -> Verdict:
    """Run the answer's own examples.

    In an answer of more than two blocks, and where an example ends in an error that a reader may be meant to see, a failure is
    only doubtful. Passed: at least one assert, doctest or stated output held, and none failed. Failed: an assert or a doctest failed, a
    printed value differs from the one stated beside it, or the examples end in an error of the code. Doubtful too: they do not end. Unknown:
    nothing to run, or it needs what the sandbox does not give (input, files, network, other packages, time, chance).

    Args:
        response: the answer.
        backend: of the sandbox.
        limits: of one run.

    Raises:
        CodeactError: the sandbox cannot start a process.
        MissingExtraError: pyflakes is not installed.
    """
    code = python_program(response)
    if code is None or _WAITS.search(code):
        return NOTHING_TO_CHECK
    tree = ast.parse(code)
    doctests = _has_doctests(tree)
    if not doctests and not any(_is_use(node) for node in tree.body):
        return NOTHING_TO_CHECK
    if lost_names(code)[0]:
        return Verdict("unknown", "names that the code leaves open")
    examples = _stated(tree, code.split("\n"))
    program = _instrumented(tree, {e.line for e in examples}) + (_doctest_code() if doctests else "")
    outcome = run_program(program, limits=limits, backend=backend)
    printed = _printed(outcome.stdout)
    held = 0
    for example in examples:
        if str(example.line) not in printed:
            break
        same = _agrees(example.stated, printed[str(example.line)])
        if same is False:
            if _is_reordered(example.stated, printed[str(example.line)]) and _makes_sets(tree):
                return Verdict("unknown", "the order of a set")
            detail = f"line {example.line} of the code: stated {_clip(example.stated)!r}, printed {_clip(printed[str(example.line)])!r}"
            return Verdict(_status(response), "wrong output", detail)
        held += same is True
    if outcome.status == "timeout":
        return Verdict(
            "doubtful", "does not end", f"its examples ran for more than {limits.cpu_seconds:g} s of processor time"
        )
    if outcome.status == "failed":
        if _is_announced(outcome.detail, response) or _SHOWS_WRONG_CODE.search(response) or _is_guard(outcome.detail, tree) or _shows_assert(outcome.detail, tree):
            return Verdict("unknown", "an error that is meant to be shown", outcome.detail[:200])
        return _raised(outcome.detail, code, parts=len(code_blocks(response)))
    if outcome.status != "passed":
        return Verdict("unknown", f"run ended with {outcome.status}", outcome.detail[:100])
    if nothing := outcome.stdout.partition(f"{_OPEN}doctest: ")[2].partition("\n")[0]:
        return Verdict("doubtful", "examples raise", f"doctest: {nothing}")
    asserted = any(isinstance(node, ast.Assert) for node in tree.body)
    whole = _stated_block(response, outcome.stdout)
    if whole is not None and not whole[0]:
        return Verdict(_status(response), "wrong output", whole[1])
    if held or f"{_OPEN}0\n" in outcome.stdout or asserted or (whole is not None and whole[0]):
        return PASSED
    return Verdict("unknown", "ran without a stated result")


def _is_use(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.AsyncFunctionDef):
        return False
    return any(isinstance(inner, ast.Call) for inner in ast.walk(node)) or isinstance(node, ast.Assert)


def _has_doctests(tree: ast.Module) -> bool:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef))
    parser = doctest.DocTestParser()
    for node in nodes:
        text = ast.get_docstring(node) or ""
        try:
            if ">>>" in text and any(example.want for example in parser.get_examples(text)):
                return True
        except ValueError:
            continue
    return False


# Runs behind the answer's own code. An example tells something of the code where it states a plain value: one that needs names the
# answer has not, is no Python, or states in words what becomes of an object, tells nothing.
_RUN_DOCTESTS = """
def _codeact_doctests():
    import ast, doctest, sys, warnings
{values}
    class Told(doctest.DocTestRunner):
        told, nothing, held = "", "", 0
        def report_success(self, out, test, example, got):
            self.held += bool(example.want)
        def report_failure(self, out, test, example, got):
            want, value = _value(example.want), _value(got)
            text = f"{{example.source.strip()}}: stated {{example.want.strip()}}, gives {{got.strip() or 'nothing'}}"
            if want is not None and not got.strip():
                self.nothing = self.nothing or text
            elif want is not None and value is not None and not _equal(want[0], value[0]):
                self.told = self.told or text
            else:
                self.held += want is not None and value is not None
        def report_unexpected_exception(self, out, test, example, exc_info):
            pass
    runner = Told(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    for test in doctest.DocTestFinder(recurse=True, exclude_empty=True).find(sys.modules["__main__"], "answer"):
        runner.run(test, out=len)
    if runner.told:
        raise AssertionError("doctest: " + " ".join(runner.told.split())[:200])
    if runner.nothing:
        print("{open}doctest: " + " ".join(runner.nothing.split())[:200])
    if runner.held:
        print("{open}0")
_codeact_doctests()
"""


def _doctest_code() -> str:
    """The code that runs the doctests, in a function of its own: no name of the answer's is touched. Values are compared there as here."""
    values = textwrap.indent(inspect.getsource(_value) + inspect.getsource(_equal), "    ")
    return _RUN_DOCTESTS.format(values=values, open=_OPEN)


def _stated(tree: ast.Module, lines: Sequence[str]) -> list[Example]:
    """Top-level `print(...)` and bare calls with the value stated in a comment on the same line or the next."""
    found = []
    for node in tree.body:
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call) or node.end_lineno is None:
            continue
        same = lines[node.end_lineno - 1]
        comment = same[same.rfind("#") :] if "#" in same and node.end_lineno == node.lineno else ""
        below = lines[node.end_lineno].strip() if node.end_lineno < len(lines) else ""
        match = (
            _STATED.match(comment)
            or _BARE.match(comment)
            or (None if comment else _STATED.match(below) if below.startswith("#") else None)
        )
        if match is not None and not _ERROR_TALK.search(match[0]):
            found.append(Example(node.lineno, match[1].strip()))
    return found


def _instrumented(tree: ast.Module, lines: set[int]) -> str:
    """The program with marks around what the stated statements print; a bare call's value is printed as the prompt would."""
    body: list[ast.stmt] = []
    for node in tree.body:
        if node.lineno not in lines or not isinstance(node, ast.Expr):
            body.append(node)
            continue
        is_print = (
            isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "print"
        )
        shown = (
            node
            if is_print
            else ast.parse(f"_codeact_value = {ast.unparse(node)}\nif _codeact_value is not None: print(repr(_codeact_value))").body
        )
        marks = [ast.parse(f"print({mark + str(node.lineno)!r})").body[0] for mark in (_OPEN, _CLOSE)]
        body += [marks[0], *(shown if isinstance(shown, list) else [shown]), marks[1]]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body=body, type_ignores=[])))


def _printed(stdout: str) -> dict[str, str]:
    """Line -> what its statement printed between its two marks; linear in the output, which the program makes up."""
    found = {}
    for piece in stdout.split(_OPEN)[1:]:
        line, _, rest = piece.partition("\n")
        text, closed, after = rest.partition(_CLOSE)
        if closed and after.startswith(f"{line}\n"):
            found[line] = text
    return found


def _agrees(stated: str, printed: str) -> bool | None:
    """Whether a stated value is what was printed; None where the comment is no value (a remark, a rounded figure's unit)."""
    seen = _plain(printed)
    for text in (stated, re.sub(r"\s*(?:\(.*\)|-- .*|# .*|, (?:since|because|as) .*)$", "", stated)):
        if _plain(text) == seen:
            return True
    if (
        "..." in stated
        or not seen
        or re.search(
            r"\b(?:or|order|may|might|vary|approx|about|similar|random|example|depends|memory|object)\b",
            stated,
            re.IGNORECASE,
        )
    ):
        return None
    values = _value(stated), _value(printed.strip())
    if values[0] is None or values[1] is None:
        return None
    return _equal(values[0][0], values[1][0])


def _plain(text: str) -> str:
    return re.sub(r"[\s'\"`]+", "", text).rstrip(".").casefold()


def _value(text: str) -> tuple[object] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (ast.literal_eval(text.strip().rstrip(".,; ")),)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _equal(stated: object, printed: object) -> bool:
    """Numbers to the digits stated; lists and tuples alike; collections item by item."""
    if isinstance(stated, bool) or isinstance(printed, bool):
        return stated == printed
    if isinstance(stated, int | float) and isinstance(printed, int | float):
        return (
            abs(stated - printed) <= max(1e-2 * abs(stated), 5e-2) if isinstance(stated, float) else stated == printed
        )
    if isinstance(stated, list | tuple) and isinstance(printed, list | tuple):
        return len(stated) == len(printed) and all(map(_equal, stated, printed))
    return stated == printed


def _stated_block(response: str, stdout: str) -> tuple[bool, str] | None:
    """Compare all that was printed with a block that follows the words "Output:"; (same, evidence), or None without such a block."""
    blocks = code_blocks(response)
    lines = response.split("\n")
    for before, block in pairwise(blocks):
        lead = " ".join(lines[before.line + before.code.count("\n") + 1 : block.line - 2]).strip()
        if (
            block.language in ("", "text", "output", "console")
            and re.fullmatch(r".{0,40}\boutputs?\b.{0,20}:", lead, re.IGNORECASE)
            and "..." not in block.code
        ):
            clean = re.sub(rf"[{_OPEN}{_CLOSE}]\d+\n", "", stdout)
            stated = block.code.strip()
            if _plain(stated) == _plain(clean):
                return True, ""
            numbers = [re.findall(r"-?\d+(?:\.\d+)?", text) for text in (stated, clean)]
            letters = [re.sub(r"[\W\d_]+", "", text).casefold() for text in (stated, clean)]
            if letters[0] == letters[1] and len(numbers[0]) == len(numbers[1]) > 0:
                same = all(
                    abs(float(a) - float(b)) <= max(0.05, 0.01 * abs(float(a))) if "." in a else a == b
                    for a, b in zip(*numbers, strict=True)
                )
                return same, f"stated output {_clip(stated)!r}, printed {_clip(clean)!r}"
            return None
    return None


def _is_announced(detail: str, response: str) -> bool:
    """Whether an answer speaks of the error that it ends with, by its name or its message: a lesson on errors shows them.

    A message of one word, as the key of a `KeyError`, stands in any answer that uses it and tells nothing.
    """
    kind, _, message = (part.strip() for part in detail.partition(":"))
    named = kind.isidentifier() and re.search(rf"\b{kind}\b", response) is not None
    return named or (kind != "KeyError" and len(message) >= 12 and " " in message and message in response)


def _is_guard(detail: str, tree: ast.Module) -> bool:
    """Whether an assert within a function refused an argument, as it should; asserts of `test_...` functions are no guards."""
    kind, _, message = detail.partition(":")
    if kind.strip() != "AssertionError" or message.strip().startswith("doctest"):
        return False
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and not n.name.lower().startswith("test")]
    guards = [node for function in functions for node in ast.walk(function) if isinstance(node, ast.Assert)]
    said = {node.msg.value for node in guards if isinstance(node.msg, ast.Constant)}
    alone = bool(guards) and not any(isinstance(node, ast.Assert) for node in tree.body)
    return message.strip() in said if message.strip() else alone


def _shows_assert(detail: str, tree: ast.Module) -> bool:
    """Whether an assert outside of functions was refused, in a loop over values that the code calls nothing for: it shows its message."""
    kind, _, message = detail.partition(":")
    loops = [node for node in tree.body if isinstance(node, ast.For | ast.While)]
    asserts = [node for loop in loops for node in ast.walk(loop) if isinstance(node, ast.Assert) and node.msg is not None]
    return (
        kind.strip() == "AssertionError"
        and bool(message.strip())
        and any(not any(isinstance(inner, ast.Call) for inner in ast.walk(node.test)) for node in asserts)
    )


def _is_reordered(stated: str, printed: str) -> bool:
    """Whether two values have the same items in another order."""
    left, right = (sorted(re.findall(r"[^\s,()\[\]{}]+", text)) for text in (stated, printed))
    return bool(left) and left == right


def _makes_sets(tree: ast.Module) -> bool:
    """Whether the code makes a set, whose items come in no order that a reader could know."""
    return any(
        isinstance(node, ast.Set | ast.SetComp) or (isinstance(node, ast.Name) and node.id in ("set", "frozenset"))
        for node in ast.walk(tree)
    )


def _raised(detail: str, code: str, parts: int) -> Verdict:
    """An error of the code itself; blocks that were never meant to run after each other may clash, which proves nothing."""
    kind = detail.partition(":")[0].strip()
    if parts > 2 and kind in ("AttributeError", "TypeError", "NameError"):
        return Verdict("unknown", "ended with an exception", detail[:200])
    if kind not in _FAULTS or (
        _ERROR_TALK.search(code) and kind not in ("RecursionError", "UnboundLocalError", "AssertionError")
    ):
        return Verdict("unknown", "ended with an exception", detail[:200])
    if "'type'" in detail:  # a built-in name stands for the reader's own value
        return Verdict("unknown", "names that the code leaves open", detail[:200])
    sure = kind in ("AssertionError", "RecursionError", "UnboundLocalError") and parts <= MOST_PARTS
    return Verdict("failed" if sure else "doubtful", "examples raise", detail[:300])


def _status(response: str) -> Literal["failed", "doubtful"]:
    """A course shows many small blocks, which were never meant to run after each other."""
    return "failed" if len(code_blocks(response)) <= MOST_PARTS else "doubtful"


def _clip(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

"""Python that does not parse: an error for sure, perhaps one, or no Python at all?

Sure is only a single fault: some repair of one place makes all the rest parse, the rest is a program, and the place itself is
code (its names stand elsewhere in the program or belong to Python). Prose, output, shell, another language or a sketch in a
Python block break the grammar in several places or in words that the program does not know, in whatever language they are
written, so that no list of words of any language is needed.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import html
import keyword
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from codeact.curate.brackets import brackets, repairs
from codeact.parsing import parse, parse_or_error

Finding = tuple[Literal["failed", "doubtful", "unknown"], str]

MAX_CHARS = 50_000  # every repair is one more parse
_MAX_LINES = 24  # of a statement whose bracket is never closed
_NAME = re.compile(r"[^\W\d]\w*")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*(?:\"|$)|'(?:[^'\\]|\\.)*(?:'|$)|#.*")
_SIGN = re.compile(r"[()\[\]{}=<>+*/%]|:\s*$")
_ELLIPSIS = re.compile(r"\.\.|\u2026|<[^\W\d][\w .-]*>")
_RESULT_ARROW = re.compile(r"=>|\u2192|(?<!\))\s->|//|/\*|\*/")
SHOWN = re.compile(r"\b(?:Syntax|Indentation|Tab|Parse)Error\b|\b[Pp]arse error\b")  # an answer that speaks of them shows one
_REMARK = re.compile(
    r"#.*(?:error|invalid|wrong|illegal|not allowed|bad|\u274c|\u2717|\u9519|\u8aa4|erro|fehler|falsch|erreur|\u043e\u0448\u0438\u0431|\u30a8\u30e9\u30fc|\uc624\ub958)",
    re.IGNORECASE,
)
_KNOWN = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | {"self", "cls"}
_HEADER = re.compile(
    r"\s*(?:@|(?:async\s+)?(?:def|for|with)\b|class\b|if\b|elif\b|else\b|while\b|try\b|except\b|finally\b)"
)
_NEXT_PART = ("@", "def ", "class ", "async ", "else", "elif", "except", "finally", "if __name__")
_PAIR = re.compile(r"(?<![\w.])([^\W\d]\w*) +(?=([^\W\d]\w*))")
_OTHERS_END = re.compile(r"\s*(?:end|fi|done|esac|endif|endfor|endwhile|endfunction|next|loop|wend)[;.]?\s*", re.IGNORECASE)
# Supersets of Python, in fences that say Python: how the answer names each, and what only its lines have.
_SUPERSETS = (
    (re.compile(r"\b[Cc]ython\b|\.pyx\b"), re.compile(r"\b(?:cp?def|cimport|ctypedef|nogil)\b|[(,]\s*(?:unsigned )?(?:int|long|float|double|char|bint|size_t)\b[ *]+\w")),
    (re.compile(r"\bMojo\b|\.mojo\b"), re.compile(r"^\s*(?:fn|var|let|struct)\s|\b(?:inout|borrowed|owned)\s")),
    (re.compile(r"\bSage(?:Math)?\b"), re.compile(r"\w\.<\w+")),
)
_ESCAPE = re.compile(r"\\([_*\[\]#<>])")
_TYPOGRAPHY = str.maketrans(
    "\u201c\u201d\u2018\u2019\uff08\uff09\uff0c\uff1a\uff1b\uff3b\uff3d\uff5b\uff5d", "\"\"''(),:;[]{}"
)
# What a part of a program may be put into: branches without their `if`, entries of a table, arguments, a lone signature.
_FRAMES = (
    ("if 1:\n    pass\n", ""), ("try:\n    pass\n", ""), ("{\n", "\n}"), ("f(\n", "\n)"), ("", "\n    pass"), ("", "\n        pass"), ("", "\ndef f(): pass"),
    ("", "\n    def f(): pass"), ("try:\n    pass\nfinally:\n    pass\n", ""),
)  # fmt: skip


def find(code: str, line: int, message: str, instruction: str, answer: str) -> Finding:
    """What stops the parser at a 0-based line of the code: ("failed" | "doubtful" | "unknown", why).

    Args:
        code: Python that does not parse.
        line: where the parser stopped.
        message: what it said.
        instruction: what was asked; a line that it quotes is no fault of the answer.
        answer: all of the answer; one that speaks of syntax errors shows one.
    """
    lines = code.split("\n")
    text = lines[line]
    if len(code) > MAX_CHARS:
        return "unknown", f"a fault in code of more than {MAX_CHARS:,} characters"
    if why := meant(text, instruction, answer):
        return "unknown", why
    if _ELLIPSIS.search(_TEXT.sub("", text)) or _body_left_out(message, lines, line):
        return "unknown", "left-out code"
    if code.lstrip()[:1] in (")", "]", "}") or _is_fragment(code, lines):
        return "unknown", "a part of a program"
    if any(_OTHERS_END.fullmatch(other) for other in lines) or any(named.search(answer) and sign.search(text) for named, sign in _SUPERSETS):
        return "unknown", "another language"
    for sign, other in _rewritten(code).items():
        if other != code and _is_program(parse(other)):
            return "failed", f"syntax error: {sign} in the code"
    if not any(_is_program(parse(repaired)) for repaired in _repairs(lines, line, message)):
        return "unknown", "not Python up to one fault"
    lacks_colon = message.startswith("expected ':'") and text.isascii()  # all before it was read as a header
    if not lacks_colon and not is_code_line(text, code):
        return "unknown", "prose or output among the code"
    if _RESULT_ARROW.search(_TEXT.sub("", text)) or message.startswith("cannot "):
        return "doubtful", "syntax error"
    return "failed", "syntax error"


def _rewritten(code: str) -> dict[str, str]:
    return {
        "Markdown escapes": _ESCAPE.sub(r"\1", code),
        "HTML entities": html.unescape(code),
        "typographic signs": code.translate(_TYPOGRAPHY),
        "NUL characters": code.replace("\0", ""),
    }


def meant(line: str, instruction: str, answer: str) -> str:
    """Why a line that does not parse is no fault of the answer: "" where nothing excuses it."""
    if SHOWN.search(answer) or SHOWN.search(instruction) or _REMARK.search(line):
        return "an error that is shown on purpose"
    return "a line of the instruction" if len(line.strip()) >= 8 and line.strip() in instruction else ""


def is_code_line(line: str, code: str) -> bool:
    """Whether a line is a program's: it has a sign of code, and most of its names stand elsewhere in it or are Python's own."""
    bare = _TEXT.sub("", line)
    words = _NAME.findall(bare)
    around = {
        name
        for other in code.split("\n")
        if other.strip() != line.strip()
        for name in _NAME.findall(_TEXT.sub("", other))
    }
    lost = any(bare.count(closing) > bare.count(opening) for opening, closing in ("()", "[]", "{}"))
    known = [word for word in words if word in _KNOWN or word in around or (lost and _joined(word, around))]
    near = [name for name in keyword.kwlist if words and abs(len(name) - len(words[0])) <= 1]
    typo = bool(words) and words[0] not in known and bool(difflib.get_close_matches(words[0], near, 1, 0.75))
    if _is_said(bare, {*known, words[0]} if typo else set(known)):
        return False
    if typo:
        known.append(words[0])  # a keyword that lost a letter
        words_known = len(known) == len(words)
        return words_known or (bool(_SIGN.search(bare)) and 2 * len(known) >= len(words))
    if not words or not known:
        return False
    if not _SIGN.search(bare):
        return len(known) == len(words) and (words[0] in keyword.kwlist or len(words) == 1)
    return 2 * len(known) >= len(words)


def _is_said(line: str, known: set[str]) -> bool:
    """Whether a line has words of a sentence, in any language: letters beyond ASCII, or two words in a row of which one is unknown."""
    if any(not word.isascii() for word in _NAME.findall(line) if word not in known):
        return True
    return any(
        not {pair[1], pair[2]} & {*keyword.kwlist, *keyword.softkwlist} and not {pair[1], pair[2]} <= known for pair in _PAIR.finditer(line)
    )


def _joined(word: str, names: set[str]) -> bool:
    """Whether a word is two names of the program side by side: the bracket between them is lost."""
    return any(word[:cut] in names and word[cut:] in names for cut in range(2, len(word) - 1))


def _is_program(tree: ast.Module | None) -> bool:
    """Whether a tree holds more than words: a definition, an import, a call, an assignment, a branch."""
    if tree is None:
        return False
    return any(
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Call | ast.Assign | ast.AugAssign | ast.For | ast.Return)
        for node in ast.walk(tree)
    )  # fmt: skip


def _body_left_out(message: str, lines: list[str], at: int) -> bool:
    """A header above nothing, comments or the next header: a sketch of a program."""
    if not message.startswith("expected an indented block"):
        return False
    above = next((n for n in reversed(range(max(0, at - 20), at)) if lines[n].strip()), None)
    if not lines[at].strip() or lines[at].lstrip().startswith("#") or above is None:
        return True
    remarks = list(takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), reversed(lines[max(0, at - 20) : at])))
    if any(line.strip() and _indent(line) > _indent(lines[at]) for line in remarks):
        return True
    if _indent(lines[at]) < _indent(lines[above]) or lines[at].lstrip().startswith(_NEXT_PART):
        return True
    rest = [line for line in lines[at:] if line.strip()]
    return all(_HEADER.match(line) for line in rest)


def _is_fragment(code: str, lines: list[str]) -> bool:
    """Code that parses within a frame, or once its first line is indented as the others are (its blanks were stripped)."""
    if any(parse(before + code + after) is not None for before, after in _FRAMES):
        return True
    rest = [line for line in lines[1:] if line.strip()]
    depth = min((_indent(line) for line in rest), default=0)
    if depth and lines[0].strip() and not lines[0][:1].isspace() and not _HEADER.match(lines[0]):
        shifted = "\n".join(line[depth:] for line in lines[1:])
        return parse(f"{lines[0]}\n{shifted}") is not None
    return False


def _repairs(lines: list[str], at: int, message: str) -> Iterator[str]:
    text = lines[at]
    body = text.rstrip()
    indent = text[: _indent(text)]
    below = next((line for line in lines[at + 1 :] if line.strip()), "")

    def put(*replaced: str, until: int = at) -> str:
        return "\n".join([*lines[:at], *replaced, *lines[until + 1 :]])

    if _indent(below) > len(indent):
        yield put(f"{indent}if 1:")
    yield put(f"{indent}pass")
    yield put(f"{body}:")
    if any(word in message for word in ("closed", "unmatched", "does not match", "comma", "invalid syntax")):
        code = "\n".join(lines)
        yield from repairs(code, brackets(code, "python"))
    if "indent" in message:
        yield from _indented(lines, at)
    if "string literal" in message:  # to the end, where an answer stops inside a text
        yield "\n".join([*lines[:at], f"{indent}pass"])
    if any(
        word in message
        for word in ("never closed", "unmatched", "does not match", "invalid syntax", "comma", "expected")
    ):
        most = 1 if message.startswith("invalid syntax") else _MAX_LINES
        for until in range(at, min(at + most, len(lines))):
            after = next((line for line in lines[until + 1 :] if line.strip()), "")
            yield put(f"{indent}if 1:" if _indent(after) > len(indent) else f"{indent}pass", until=until)
        if "never closed" in message:
            yield "\n".join([*lines[:at], f"{indent}pass"])
        before = next((n for n in reversed(range(at)) if lines[n].strip()), None)
        if before is not None:  # a bracket that the line above lost, or has too many
            above = lines[before][: _indent(lines[before])]
            yield "\n".join(
                [*lines[:before], f"{above}if 1:" if _indent(text) > len(above) else f"{above}pass", *lines[at:]]
            )
            yield "\n".join([*lines[:before], f"{above}pass", f"{indent}if 1:" if _indent(below) > len(indent) else f"{indent}pass", *lines[at + 1 :]])  # fmt: skip


def _indented(lines: list[str], at: int) -> Iterator[str]:
    """Other indentations of the line, of its block, and of all that follows; lost ones are put back one by one."""
    above = next((line for line in reversed(lines[:at]) if line.strip()), "")
    wanted = {_indent(line) for line in lines[max(0, at - 40) : at] if line.strip()} | {_indent(above) + 4}
    depth = _indent(lines[at])
    end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() and _indent(lines[n]) < depth), len(lines))
    for width in sorted(wanted - {depth}, reverse=True)[:6]:
        moved = [" " * width + lines[at].lstrip()]
        yield "\n".join([*lines[:at], *moved, *lines[at + 1 :]])
        block = [
            " " * max(0, _indent(line) + width - depth) + line.lstrip() if line.strip() else ""
            for line in lines[at:end]
        ]
        yield "\n".join([*lines[:at], *block, *lines[end:]])
    current = list(lines)
    for _ in range(8):
        found = parse_or_error("\n".join(current))
        if isinstance(found, ast.Module):
            yield "\n".join(current)
            return
        number = (found.lineno or 0) - 1 if isinstance(found, IndentationError) else -1
        if not str(found).startswith("expected an indented block") or not 0 <= number < len(current):
            return
        current[number:] = [f"    {line}" if line.strip() else line for line in current[number:]]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))

"""Does the Python code of an answer parse, and is the answer complete? A verdict with its evidence, or `unknown`."""

from __future__ import annotations

import ast
import keyword
import re
import sys
import warnings
from dataclasses import dataclass
from typing import Literal

from codeact.curate.blocks import PYTHON_NAMES, TRANSCRIPT_NAMES, Block, code_blocks, python_evidence
from codeact.records import Record

Status = Literal["passed", "failed", "unknown"]

# CPython's parser takes time quadratic in some single statements (`from a.a.a... import`), so their length has a limit.
MAX_CODE_CHARS = 1_000_000
MAX_LINE_CHARS = 10_000
_LANGUAGE_KEYS = ("language", "lang", "programming_language")
_STARTS_WITH_PROMPT = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*>>>(?: |$)", re.MULTILINE)
_SHELL_LINE = re.compile(
    r"\s*(?:\$ |(?:sudo |python3? -m )?pip3? install\b|conda install\b|python3? [\w./-]+\.py\b|(?:cd|npm|git|mkdir|source|export) [\w./-])"
)
_MAGIC_LINE = re.compile(r"^([ \t]*)[!%]%?[a-z][^\n]*", re.MULTILINE)
_PYTHON2_LINE = re.compile(
    r"""\s*(?:.*[:;]\s*)?(?:print\s+["'\w%-].*|print\s*>>.*|exec\s+["'\w].*|raise\s+\w+\s*,.*|except\s+[\w.]+\s*,\s*\w+\s*:.*)|.*\w\s*<>\s*\w.*"""
)
_NEWER_LINE = re.compile(r"\s*(?:type\s+\w+.*=.*|(?:async\s+)?def\s+\w+\[.*|class\s+\w+\[.*)")  # PEP 695, Python 3.12
_NEWER_F_STRING = ("f-string: expecting '}'", "f-string expression part cannot include")  # PEP 701, Python 3.12
_ASKS_PYTHON = re.compile(r"\bpython\b", re.IGNORECASE)
_ASKS_PYTHON2 = re.compile(r"\bpython\s*2\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*>#+]+\s+|\d+[.)]\s+)?")
_HEADING = re.compile(r"[A-Z\d][\w -]{0,40}:")
_PLAIN_WORD = re.compile(r"""["'`(\u201c\u2018*]*[A-Za-z][\w.]*(?:['\u2019-][A-Za-z]+)*["'`)\u201d\u2019*]*[.,;:!?]*""")
_ENGLISH = re.compile(
    r"(?:an?|the|this|that|these|those|its?|you|your|we|our|they|of|to|by|on|at|are|be|been|was|were|will|would|can|could|should"
    r"|may|must|has|have|which|what|how|when|here|there|following|using|use|one|let|given|example|output)",
    re.IGNORECASE,
)
_OUTPUT_FOLLOWS = re.compile(r"#*\s*(?:\w+ )?output:?\s*", re.IGNORECASE)
_ONLY_FIGURES = re.compile(r"[\s\d.,:;\[\](){}+-]*\d[\s\d.,:;\[\](){}+-]*")
_CODE_SIGN = re.compile(r"[()=\[\]{}\"'#@\\]|//|/\*")
_LONG_LINE = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` and `detail` are empty unless the status is "failed" (why, and the evidence) or "unknown" (why)."""

    status: Status
    reason: str = ""
    detail: str = ""


PASSED = Verdict("passed")
NOTHING_TO_CHECK = Verdict("unknown", "no Python code")


def verify_record(record: Record) -> Verdict:
    """The verdict on a record: that of its assistant turns together."""
    language = next(
        (str(record.meta[key]).lower() for key in _LANGUAGE_KEYS if isinstance(record.meta.get(key), str)), ""
    )
    verdicts = [
        verify_response(message.content, instruction=record.instruction, language=language)
        for message in record.messages
        if message.role == "assistant"
    ]
    return combine(verdicts)


def verify_response(response: str, *, instruction: str = "", language: str = "") -> Verdict:
    """Parse the Python code of an answer with this Python's own grammar.

    With fences, every block labelled Python, and every unlabelled one that looks like it, must parse, and the last one
    must be closed. Without fences the whole answer is checked where it looks like Python. REPL transcripts are checked
    input by input. What cannot be told for sure (prose or output among the code, a body left out, shell commands, another
    language) is "unknown", never "failed".

    Args:
        response: the answer.
        instruction: what was asked; Python 2 syntax fails unless it asks for Python 2.
        language: the language of the answer where the data says so, else "".
    """
    python2 = bool(_ASKS_PYTHON2.search(instruction))
    blocks = code_blocks(response)
    if not blocks or _is_stray_end(response, blocks):
        text = response if not blocks else "\n".join(response.split("\n")[: blocks[0].line - 2])
        evidence = max(python_evidence(text), int(language in PYTHON_NAMES))
        verdict = _check(text, 1, python2, labelled=False) if evidence else NOTHING_TO_CHECK
        if evidence == 1 and verdict.status == "failed" and not _ASKS_PYTHON.search(instruction):
            return Verdict("unknown", "perhaps no Python", verdict.detail)
        return verdict
    if len(blocks) > 1 and blocks[-1] == Block("", "", blocks[-1].line, False):
        blocks.pop()
    if not blocks[-1].closed:
        last = blocks[-1].code.rstrip().rpartition("\n")[2]
        return Verdict(
            "failed",
            "truncated fence",
            f"line {blocks[-1].line - 1}: the fence is never closed; it ends with {_clip(last)!r}",
        )
    return combine([_check_block(block, python2) for block in blocks])


def _is_stray_end(response: str, blocks: list[Block]) -> bool:
    """Whether the only fence closes code whose opening fence was lost, as where a prompt ended with it."""
    block = blocks[0]
    if len(blocks) > 1 or block.closed or block.language:
        return False
    before = "\n".join(response.split("\n")[: block.line - 2])
    after = block.code.strip().partition("\n")[0]
    return not after or _is_prose(after) or python_evidence(before) == 2


def combine(verdicts: list[Verdict]) -> Verdict:
    """One failure fails the whole; it passes when a part passes and no part that was looked at is in doubt."""
    looked_at = [verdict for verdict in verdicts if verdict is not NOTHING_TO_CHECK]
    order = {"failed": 0, "unknown": 1, "passed": 2}
    return min(looked_at, key=lambda verdict: order[verdict.status], default=NOTHING_TO_CHECK)


def _check_block(block: Block, python2: bool) -> Verdict:
    if block.language in PYTHON_NAMES:
        return _check(block.code, block.line, python2, labelled=True)
    if block.language in TRANSCRIPT_NAMES:
        return _check_transcript(block.code, block.line, python2)
    if block.language == "" and python_evidence(block.code) == 2:
        return _check(block.code, block.line, python2, labelled=False)
    return NOTHING_TO_CHECK


def _check(code: str, first_line: int, python2: bool, labelled: bool) -> Verdict:
    if not code.strip():
        return NOTHING_TO_CHECK
    if len(code) > MAX_CODE_CHARS:
        return Verdict("unknown", f"code of more than {MAX_CODE_CHARS:,} characters")
    if max(map(len, code.replace("\\\n", "").split("\n"))) > MAX_LINE_CHARS:
        return Verdict("unknown", f"a line of more than {MAX_LINE_CHARS:,} characters")
    error = _syntax_error(code)
    if error is None:
        return PASSED
    if isinstance(error, RecursionError | MemoryError):
        return Verdict("unknown", "nested too deeply for this Python's parser")
    if _STARTS_WITH_PROMPT.match(code):
        return _check_transcript(code, first_line, python2)
    if _MAGIC_LINE.search(code):
        return _check(_MAGIC_LINE.sub(r"\1pass", code), first_line, python2, labelled)
    return _judge(error, code, first_line, python2, labelled)


def _syntax_error(code: str) -> SyntaxError | ValueError | RecursionError | MemoryError | None:
    """What stops this Python's parser, also after removing an indentation that all lines share."""
    first: SyntaxError | ValueError | RecursionError | MemoryError | None = None
    for text in (code, _unindent(code)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            first = first or error
            if not isinstance(error, IndentationError):
                break
        else:
            return None
    return first


def _unindent(code: str) -> str:
    lines = code.split("\n")
    first = next(line for line in lines if line.strip())
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines)


def _judge(error: SyntaxError | ValueError, code: str, first_line: int, python2: bool, labelled: bool) -> Verdict:
    lines = code.split("\n")
    number = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
    index = min(number, len(lines)) - 1
    line = lines[index][:_LONG_LINE]
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    detail = f"line {first_line + index}: {message}: {_clip(line)!r}"
    if _SHELL_LINE.match(line):
        return Verdict("unknown", "shell commands", detail)
    if "..." in line or "\u2026" in line or _body_is_a_comment(message, lines, index):
        return Verdict("unknown", "left-out code", detail)
    if not labelled and (_is_prose(line) or _only_text_follows(lines, index)):
        return Verdict("unknown", "prose among the code", detail)
    if _PYTHON2_LINE.fullmatch(line):
        return Verdict("unknown" if python2 else "failed", "Python 2 syntax", detail)
    if sys.version_info < (3, 12) and (message.startswith(_NEWER_F_STRING) or _NEWER_LINE.fullmatch(line)):
        return Verdict("unknown", "perhaps the syntax of a newer Python", detail)
    return Verdict("failed", "syntax error", detail)


def _body_is_a_comment(message: str, lines: list[str], index: int) -> bool:
    """`while condition:` above `# your code here` and nothing else: a sketch."""
    if not message.startswith("expected an indented block"):
        return False
    above = next((line for line in reversed(lines[max(0, index - 20) : index]) if line.strip()), "")
    deeper = len(above) - len(above.lstrip()) > len(lines[index]) - len(lines[index].lstrip())
    return lines[index].lstrip().startswith("#") or (deeper and above.lstrip().startswith("#"))


def _is_prose(line: str) -> bool:
    """Whether a line that is no Python is a sentence or a heading, not broken code."""
    text = _BULLET.sub("", line, count=1).strip()
    words = text.split()
    if _HEADING.fullmatch(text):
        return True
    if len(words) < 3 or words[0] in keyword.kwlist or not all(_PLAIN_WORD.fullmatch(word) for word in words[:2]):
        return False
    return any(_ENGLISH.fullmatch(word.strip("\"'`.,;:!?()")) for word in words)


def _only_text_follows(lines: list[str], index: int) -> bool:
    """Whether the answer is complete code, then text without a trace of code: what the program prints, or a remark."""
    above = next((line for line in reversed(lines[:index]) if line.strip()), "")
    if lines[index][:1].isspace() or not above:
        return False
    for line in lines[index:] if not _OUTPUT_FOLLOWS.fullmatch(above) else ():
        first = line.split()[0] if line.strip() else ""
        if first in keyword.kwlist or not (
            _is_prose(line) or _ONLY_FIGURES.fullmatch(line) or not _CODE_SIGN.search(line)
        ):
            return False
    return _syntax_error("\n".join(lines[:index])) is None


def _check_transcript(code: str, first_line: int, python2: bool) -> Verdict:
    """Check each `>>>` input of an interactive session; its output is left alone."""
    if "SyntaxError" in code or "IndentationError" in code:
        return Verdict("unknown", "a transcript that shows a syntax error")
    inputs: list[tuple[int, list[str]]] = []
    for offset, raw in enumerate(code.split("\n")):
        line = raw.strip()
        if line.startswith(">>>"):
            inputs.append((offset, [line[4:]]))
        elif line.startswith("...") and inputs:
            inputs[-1][1].append(line[4:])
    verdicts = []
    for offset, parts in inputs:
        source = "\n".join(parts)
        error = _syntax_error(source) if source.strip() else None
        if isinstance(error, RecursionError | MemoryError):
            verdicts.append(Verdict("unknown", "nested too deeply for this Python's parser"))
        else:
            verdicts.append(
                PASSED if error is None else _judge(error, source, first_line + offset, python2, labelled=False)
            )
    return combine(verdicts)


def _clip(text: str, limit: int = 120) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

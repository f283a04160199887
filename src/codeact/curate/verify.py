"""Does the Python code of an answer parse, and is the answer complete? A verdict with its evidence, or `unknown`."""

from __future__ import annotations

import ast
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from codeact.curate.blocks import PYTHON_NAMES, TRANSCRIPT_NAMES, Block, code_blocks, python_evidence
from codeact.curate.brackets import brackets
from codeact.curate.continuation import goes_on_in_python, is_methods
from codeact.curate.f_strings import with_plain_fields
from codeact.curate.faults import find, is_code_line, meant
from codeact.curate.languages import LABELS
from codeact.parsing import F_STRING, T_STRING, NeverParsed, parse, parse_or_error, too_costly
from codeact.records import Record

Status = Literal["passed", "failed", "doubtful", "unknown"]

# CPython's parser takes time quadratic in some single statements, so their length has a limit.
MAX_LINE_CHARS = 10_000
_LANGUAGE_KEYS = ("language", "lang", "programming_language")
_STARTS_WITH_PROMPT = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*>>>(?: |$)", re.MULTILINE)
_SHELL_LINE = re.compile(
    r"\s*(?:\([\w-]+\)\s*)?(?:[$%>#] |[\w.-]+@[\w.-]+:?\S*\s*[$#%>]|[A-Z]:\\\\?\S*>|(?:sudo |python3? -m )?pip3? install\b|conda install\b"
    r"|python3? [\w./-]+\.py\b|(?:cd|npm|git|mkdir|source|export) [\w./-])"
)
_LONG_LINE, _TAIL = 2000, 300
_PROSE_END = re.compile(r"(?:\S+\s+){3}.*[.!?:\u2026]\W*$|[\u3002\uff01\uff1f\uff1a]\W*$|\|")
_MAGIC_LINE = re.compile(r"^([ \t]*)[!%]%?[a-z][^\n]*", re.MULTILINE)
_PYTHON2_LINE = re.compile(
    r"""\s*(?:.*[:;]\s*)?(?:print\s+["'\w%-].*|print\s*>>.*|exec\s+["'\w].*|raise\s+\w+\s*,.*|except\s+[\w.]+\s*,\s*\w+\s*:.*)|.*\w\s*<>\s*\w.*"""
)
_NEWER_LINE = re.compile(r"\s*(?:type\s+\w+.*=.*|(?:async\s+)?def\s+\w+\[.*|class\s+\w+\[.*)")  # PEP 695, Python 3.12
# PEP 758, Python 3.14; Python 2 has a variable behind the comma
_NEWER_EXCEPT = re.compile(r"\s*except\*?\s+[\w.]+(?:\s*,\s*(?:[A-Z]\w*|\w+(?:\.\w+)+))+\s*:.*")
_NEWER_UNPACKING = ("iterable unpacking cannot be used in", "dict unpacking cannot be used in")  # PEP 798, Python 3.15
_NEWER_F_STRING = ("f-string: expecting '}'", "f-string expression part cannot include")  # PEP 701, Python 3.12
# ASCII boundaries: Chinese, Japanese and Korean write no blank beside a name.
_ASKS_PYTHON = re.compile(r"(?<![A-Za-z0-9_])python(?![A-Za-z_])", re.IGNORECASE)
_ASKS_PYTHON2 = re.compile(r"(?<![A-Za-z0-9_])(?:python|py)[\s_-]*2(?![0-9]|\.\d{2})(?:\.\d)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of an answer; `reason` and `detail` (the evidence) are empty where it passed.

    "failed" is sure, and the record may be dropped for it. "doubtful" is evidence that is right less often than nine times in
    ten: such a record is only ranked last. "unknown": nothing to check, or what was found proves nothing.
    """

    status: Status
    reason: str = ""
    detail: str = ""


PASSED = Verdict("passed")
_ORDER: Mapping[Status, int] = {"failed": 0, "doubtful": 1, "unknown": 2, "passed": 3}
NOTHING_TO_CHECK = Verdict("unknown", "no Python code")
NEWER = Verdict("unknown", "perhaps the syntax of a newer Python")


@dataclass(frozen=True, slots=True)
class Exchange:
    """An assistant turn, the user's turn that it answers, and all that the user said until then."""

    answer: str
    asked: str
    so_far: str


def exchanges(record: Record) -> list[Exchange]:
    """The turns of a record that are learnt and say something, each with what was asked; a mere call of a tool says nothing."""
    found: list[Exchange] = []
    asked: list[str] = []
    for message in record.messages:
        if message.role == "user":
            asked.append(message.content)
        elif message.role == "assistant" and message.learn and (message.content.strip() or not message.tool_calls):
            found.append(Exchange(message.content, asked[-1] if asked else "", "\n\n".join(asked)))
    return found


def verify_record(record: Record, turns: Sequence[Exchange] | None = None) -> Verdict:
    """The verdict on a record: that of its assistant turns together.

    Args:
        record: the record.
        turns: its `exchanges`, where they are at hand.
    """
    language = next(
        (str(record.meta[key]).lower() for key in _LANGUAGE_KEYS if isinstance(record.meta.get(key), str)), ""
    )
    turns = exchanges(record) if turns is None else turns
    return combine(
        [
            eased(verify_response(turn.answer, instruction=turn.so_far, language=language), turn is turns[-1])
            for turn in turns
        ]
    )


def eased(verdict: Verdict, is_last: bool) -> Verdict:
    """A turn cut off or empty in the middle of a conversation, which goes on from it ("continue"), is doubtful: the others are sound."""
    ends_early = verdict.status == "failed" and verdict.reason in ("cut off", "truncated fence", "empty answer")
    return replace(verdict, status="doubtful") if ends_early and not is_last else verdict


def verify_response(response: str, *, instruction: str = "", language: str = "") -> Verdict:
    """Parse the Python code of an answer with this Python's own grammar.

    With fences, every block labelled Python, and every unlabelled one that looks like it, must parse, and the last one
    must be closed. Without fences the whole answer is checked where it looks like Python. REPL transcripts are checked
    input by input. A text fails only where one repair of one place makes the rest a program (`faults`); what cannot be told
    for sure (prose, output or a shell among the code, a part of a program, another language) is "unknown". Code that the request
    begins and the answer goes on with is judged with it.

    Args:
        response: the answer.
        instruction: what was asked; Python 2 is not held against an answer to a question for Python 2.
        language: the language of the answer where the data says so, else "".
    """
    context = _Context(response, instruction)
    blocks = code_blocks(response)
    if not blocks or _is_stray_end(response, blocks):
        text = response if not blocks else "\n".join(response.split("\n")[: blocks[0].line - 2])
        evidence = max(python_evidence(text), int(language in PYTHON_NAMES))
        verdict = _check(text, 1, context) if evidence else NOTHING_TO_CHECK
        if evidence == 1 and verdict.status in ("failed", "doubtful") and not _ASKS_PYTHON.search(instruction):
            return Verdict("unknown", "perhaps no Python", verdict.detail)
        return verdict
    if len(blocks) > 1 and blocks[-1] == Block("", "", blocks[-1].line, False):
        blocks.pop()
    if not blocks[-1].closed:
        return combine([*(_check_block(block, context) for block in blocks[:-1]), _open_fence(blocks[-1], context)])
    return combine([_check_block(block, context) for block in blocks])


def _asks_python2(instruction: str) -> bool:
    """Whether Python 2 is asked for, full-width letters and figures included."""
    plain = instruction if instruction.isascii() else unicodedata.normalize("NFKC", instruction)
    return "2" in plain and _ASKS_PYTHON2.search(plain) is not None


@dataclass(frozen=True, slots=True)
class _Context:
    answer: str
    instruction: str


def open_fence(response: str, instruction: str = "") -> Verdict:
    """What the last fence of an answer, which nothing closes, says of it; `NOTHING_TO_CHECK` where all are closed."""
    blocks = code_blocks(response)
    if not blocks or blocks[-1].closed:
        return NOTHING_TO_CHECK
    return _open_fence(blocks[-1], _Context(response, instruction))


def _open_fence(block: Block, context: _Context) -> Verdict:
    """A fence that nothing closes: sure where its code stops in the middle, unknown where prose follows it, else doubtful."""
    code = block.code.rstrip()
    language = LABELS.get(block.language, block.language)
    last = code.rpartition("\n")[2][-_TAIL:]
    detail = f"line {block.line - 1}: the fence is never closed; it ends with {_clip(last)!r}"
    if not code.strip() or _PROSE_END.search(last):
        return Verdict("unknown", "a fence that is never closed", detail)
    if block.language in PYTHON_NAMES or (not language and python_evidence(code) == 2):
        found = _check(code, block.line, context)
        return Verdict("failed" if found.status == "failed" else "doubtful", "truncated fence", detail)
    left = brackets(code, language)
    sure = bool(language) and left.unclosed > 0 and not left.stray and last[-1:].isalnum()
    return Verdict("failed" if sure else "doubtful", "truncated fence", detail)


def _is_stray_end(response: str, blocks: list[Block]) -> bool:
    """Whether the only fence closes code whose opening fence was lost, as where a prompt ended with it."""
    block = blocks[0]
    if len(blocks) > 1 or block.closed or block.language:
        return False
    return not block.code.strip() or python_evidence("\n".join(response.split("\n")[: block.line - 2])) == 2


def combine(verdicts: list[Verdict]) -> Verdict:
    """One failure fails the whole; it passes when a part passes and no part that was looked at is in doubt."""
    looked_at = [verdict for verdict in verdicts if verdict is not NOTHING_TO_CHECK]
    return min(looked_at, key=_place, default=NOTHING_TO_CHECK) if len(looked_at) != 1 else looked_at[0]


def _place(verdict: Verdict) -> int:
    return _ORDER[verdict.status]


def _check_block(block: Block, context: _Context) -> Verdict:
    if block.language in TRANSCRIPT_NAMES:
        return _check_transcript(block.code, block.line)
    if block.language in PYTHON_NAMES or (block.language == "" and python_evidence(block.code) == 2):
        return _check(block.code, block.line, context)
    return NOTHING_TO_CHECK


def _check(code: str, first_line: int, context: _Context) -> Verdict:
    if not code.strip():
        return NOTHING_TO_CHECK
    why = too_costly(code)
    if why:
        return Verdict("unknown", why)
    if max(map(len, code.replace("\\\n", "").split("\n"))) > MAX_LINE_CHARS:
        return Verdict("unknown", f"a line of more than {MAX_LINE_CHARS:,} characters")
    error = _syntax_error(code)
    if error is None:
        return PASSED
    if isinstance(error, RecursionError | MemoryError):
        return Verdict("unknown", "nested too deeply for this Python's parser")
    if _STARTS_WITH_PROMPT.match(code):
        return _check_transcript(code, first_line)
    newer = with_plain_fields(code) if _has_newer_strings(code) else code
    if newer is not None and newer != code:
        found = _syntax_error(newer)
        if found is None:
            return NEWER
        if not isinstance(found, RecursionError | MemoryError):
            error, code = found, newer
    if _MAGIC_LINE.search(code):
        return _check(_MAGIC_LINE.sub(r"\1pass", code), first_line, context)
    return _judge(error, code, first_line, context)


def _has_newer_strings(code: str) -> bool:
    """Whether there are strings that this Python may not read, though a newer one does."""
    f_strings = sys.version_info < (3, 12) and F_STRING.search(code)
    return bool(f_strings or (sys.version_info < (3, 14) and T_STRING.search(code)))


def _syntax_error(code: str) -> NeverParsed | None:
    """What stops this Python's parser, also after removing an indentation that all lines share."""
    first = parse_or_error(code)
    if isinstance(first, ast.Module) or (isinstance(first, IndentationError) and parse(_unindent(code)) is not None):
        return None
    return first


def _unindent(code: str) -> str:
    lines = code.split("\n")
    first = next(line for line in lines if line.strip())
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines)


def _judge(error: SyntaxError | ValueError | OverflowError, code: str, first_line: int, context: _Context) -> Verdict:
    lines = code.split("\n")
    number = error.lineno if isinstance(error, SyntaxError) and error.lineno else 1
    index = min(number, len(lines)) - 1
    line = lines[index][:_LONG_LINE]
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    detail = f"line {first_line + index}: {message}: {_clip(line)!r}"
    if index and line.lstrip().startswith(">>>"):  # a definition, then a session that looks at it
        above, session = "\n".join(lines[:index]), "\n".join(lines[index:])
        return combine([_check(above, first_line, context), _check_transcript(session, first_line + index)])
    if _SHELL_LINE.match(line):
        return Verdict("unknown", "shell commands", detail)
    if sys.version_info < (3, 14) and _NEWER_EXCEPT.fullmatch(line):
        return replace(NEWER, detail=detail)
    if sys.version_info < (3, 15) and message.startswith(_NEWER_UNPACKING):
        return replace(NEWER, detail=detail)
    if _PYTHON2_LINE.fullmatch(line):
        excused = _asks_python2(context.instruction) or meant(line, context.instruction, context.answer)
        return Verdict("unknown" if excused else "doubtful", "Python 2 syntax", detail)
    if sys.version_info < (3, 12) and (message.startswith(_NEWER_F_STRING) or _NEWER_LINE.fullmatch(line)):
        return replace(NEWER, detail=detail)
    if goes_on_in_python(context.instruction, code):
        return PASSED
    if is_methods(code):
        return Verdict("unknown", "a part of a program", detail)
    status, why = find(_unindent(code), index, message, context.instruction, context.answer)
    return Verdict(status, "syntax error" if status != "unknown" else why, detail)


def _check_transcript(code: str, first_line: int) -> Verdict:
    """Parse each `>>>` input of an interactive session; its output is left alone, and one that does not parse is doubtful."""
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
        elif error is None:
            verdicts.append(PASSED)
        else:
            number = (error.lineno or 1) if isinstance(error, SyntaxError) else 1
            index = min(number, len(parts)) - 1
            message = error.msg if isinstance(error, SyntaxError) else str(error)
            detail = f"line {first_line + offset + index}: {message}: {_clip(parts[index])!r}"
            code_line = is_code_line(parts[index], code) and not _MAGIC_LINE.match(parts[index])
            verdicts.append(Verdict("doubtful" if code_line else "unknown", "syntax error", detail))
    return combine(verdicts)


def _clip(text: str, limit: int = 120) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

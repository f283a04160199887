"""Answers in other languages than Python: their syntax, and whether it is the language that was asked for."""

from __future__ import annotations

import re

from codeact.curate.blocks import Block, code_blocks, python_evidence
from codeact.curate.languages import (
    COMPATIBLE,
    GRAMMAR_LANGUAGES,
    LABELS,
    TELLING,
    Brackets,
    asked_language,
    brackets,
    fault,
    guess_language,
)
from codeact.curate.shell import bash_refuses
from codeact.curate.verify import MAX_CODE_CHARS, NOTHING_TO_CHECK, PASSED, Verdict

# What makes a shell block no script: a prompt before a command, a placeholder.
_SESSION = re.compile(r"^\s*[$>%] |<[A-Za-z][\w .-]*>", re.MULTILINE)
PROGRAMMING = frozenset(
    {
        "python",
        "java",
        "javascript",
        "typescript",
        "c",
        "cpp",
        "csharp",
        "go",
        "rust",
        "php",
        "ruby",
        "swift",
        "kotlin",
        "perl",
        "r",
        "scala",
    }
)
"""Languages that "write it in X" can be wrong about; SQL, shell, HTML and CSS come along with others."""

NO_BRACKET_RULE = frozenset(
    {
        "bash",
        "haskell",
        "regex",
        "text",
        "plaintext",
        "markdown",
        "output",
        "diff",
        "xml",
        "tex",
        "latex",
        "lisp",
        "scheme",
        "matlab",
    }
)
_CODE_LINE = re.compile(
    r".*[;{}:)\],]\s*(?:(?://|#|--).*)?|\s*[\w.$\[\]'\"]+\s*[-+*/]?=\s*\S.*|\s*(?:return|import|from"
    r"|SELECT|FROM|WHERE|def|function|class|end|else|print|echo|puts|var|let|const)\b.*"
    r"|\s*<[/!]?\w.*>\s*|\s*(?:#|//|/\*|\*|--).*"
)
_SENTENCE = re.compile(r"[A-Z\"'`*(].*\s\w+.*[.:!?]\s*")
LEFT_OUT = re.compile(r"\.\.\.|\u2026")
_WORDS = re.compile(r"[A-Za-z][a-z']*")
MIDDLE_WORDS = frozenset(
    "a an the of to in for and or with by from at on is are was were be that which this these its as into than then if when where while "
    "but so not can will would should could may must has have using your our their it we you each any all".split()
)


def check_grammars(response: str) -> Verdict:
    """The syntax of the code that is not Python: by its grammar where there is one, and by its brackets in any language.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    blocks = code_blocks(response)
    if not blocks:
        return _check_bare(response)
    seen = NOTHING_TO_CHECK
    for block in blocks:
        verdict = _check_block(block)
        if verdict.status == "failed":
            return verdict
        if verdict.status == "passed":
            seen = verdict
    return seen


def _check_block(block: Block) -> Verdict:
    label = LABELS.get(block.language, block.language)
    if label == "python" or not block.code.strip() or len(block.code) > MAX_CODE_CHARS:
        return NOTHING_TO_CHECK
    if not label:
        return _check_unlabelled(block.code, block.line)
    if label in GRAMMAR_LANGUAGES:
        found = fault(label, block.code)
        if found is None:
            return PASSED
        line = _line(block.code, found.line)
        sure = _is_sure(label, block)
        if not sure or LEFT_OUT.search(line):
            return Verdict("unknown", "left-out code" if sure else f"{label} that the grammar does not know", line)
        return Verdict(
            "failed", "syntax error", f"line {block.line + found.line - 1}: {label} {found.message}: {line!r}"
        )
    if label in NO_BRACKET_RULE:
        return NOTHING_TO_CHECK
    return _bracket_verdict(brackets(block.code, label), block.code, block.line)


def _is_sure(label: str, block: Block) -> bool:
    """The grammars of SQL and of the shell know neither every dialect nor every expansion: there a second reader must agree."""
    if label == "sql":
        return bool(brackets(block.code, label))
    if label == "bash":
        return block.language != "zsh" and not _SESSION.search(block.code) and bash_refuses(block.code)
    return True


def _check_unlabelled(code: str, first: int) -> Verdict:
    if python_evidence(code) == 2 or not is_code(code):
        return NOTHING_TO_CHECK
    language = guess_language(code)
    if language in NO_BRACKET_RULE or language == "python":
        return NOTHING_TO_CHECK
    found = brackets(code, language)
    if not language:  # a `#` or a `//` may open a comment or not: both readings must agree
        found = found if brackets(code, "python") else Brackets(0, False, 0, "")
        return _bracket_verdict(found, code, first) if found else NOTHING_TO_CHECK
    if found and language in GRAMMAR_LANGUAGES and fault(language, code) is None:
        return PASSED  # a bracket of a regular expression, say
    return _bracket_verdict(found, code, first)


def _check_bare(text: str) -> Verdict:
    """An answer without a fence, where most of its lines are code and none is a sentence of its own."""
    if len(text) > MAX_CODE_CHARS or python_evidence(text):
        return NOTHING_TO_CHECK
    return _check_unlabelled(text, 1)


def _bracket_verdict(found: Brackets, code: str, first: int) -> Verdict:
    if not found:
        return PASSED
    line = _line(code, found.line)
    if LEFT_OUT.search(code):
        return Verdict("unknown", "left-out code", line)
    what = "without a partner" if found.stray else "never closed"
    return Verdict("failed", "syntax error", f"line {first + found.line - 1}: {found.symbol!r} {what}: {line!r}")


def _line(code: str, number: int) -> str:
    lines = code.split("\n")
    return lines[min(number, len(lines)) - 1].strip()[:120]


def is_code(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not re.search(r"[=;{}()<>]", text):
        return False
    code = sum(_CODE_LINE.fullmatch(line) is not None and not is_sentence(line) for line in lines)
    return code >= 0.6 * len(lines)


def is_sentence(line: str) -> bool:
    words = _WORDS.findall(line)
    return (
        len(words) >= 5 and _SENTENCE.fullmatch(line.strip()) is not None and sum(w in MIDDLE_WORDS for w in words) >= 2
    )


def check_language(response: str, instruction: str) -> Verdict:
    """The code is in another language than the instruction asks for: it parses in the one and not in the other.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    asked = asked_language(instruction)
    if asked not in PROGRAMMING & TELLING:
        return NOTHING_TO_CHECK
    blocks = [block for block in code_blocks(response) if block.code.strip()]
    pieces = [(LABELS.get(b.language, b.language), b.code) for b in blocks] or [("", response)]
    found: list[tuple[str, str, bool]] = []
    for label, code in pieces:
        language = label if label in PROGRAMMING else "" if label else guess_language(code, 1)
        if label and label not in PROGRAMMING and label in COMPATIBLE.get(asked, ()):
            return PASSED
        if language:
            found.append((language, code, bool(label)))
    languages = {language for language, _, _ in found}
    if not languages & PROGRAMMING or asked in languages or languages & COMPATIBLE.get(asked, frozenset()):
        return PASSED if asked in languages else NOTHING_TO_CHECK
    language, code, labelled = max(found, key=lambda piece: len(piece[1]))
    if language not in PROGRAMMING or not _is_other(asked, language, code, labelled):
        return NOTHING_TO_CHECK
    first = next((line.strip() for line in code.split("\n") if line.strip()), "")
    return Verdict("failed", "wrong language", f"asked for {asked}, answered in {language}: {clip(first)!r}")


def _is_other(asked: str, language: str, code: str, labelled: bool) -> bool:
    """Whether the asked language's parser refuses the code, and the other's takes it, or its label or its signs name it."""
    parsed = {"python", *GRAMMAR_LANGUAGES}
    if asked in parsed and fault(asked, code) is None:
        return False
    if language in parsed and fault(language, code) is not None:
        return guess_language(code, 3) == language
    return language in parsed or labelled or guess_language(code) == language


def clip(text: str, limit: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

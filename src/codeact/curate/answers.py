"""Answers in other languages than Python: their syntax, and whether it is the language that was asked for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from codeact.curate.blocks import Block, code_blocks, python_evidence
from codeact.curate.brackets import Brackets, brackets, repairs
from codeact.curate.continuation import fits, opened_code
from codeact.curate.faults import SHOWN
from codeact.curate.languages import (
    GRAMMAR_LANGUAGES,
    LABELS,
    fault,
    guess_language,
)
from codeact.curate.shell import bash_refuses
from codeact.curate.verify import NOTHING_TO_CHECK, PASSED, Verdict, combine

MAX_GRAMMAR_CHARS = 50_000  # tree-sitter takes more than linear time to recover from errors
# What makes a shell block a script, and what makes it none: a prompt before a command, a placeholder.
_SESSION = re.compile(r"^[^\S\n]*[$>%] |<[A-Za-z][\w .-]*>", re.MULTILINE)
_SCRIPT = re.compile(
    r"^#!|^[^\S\n]*(?:if|for|while|until|case)\s.*(?:then|do|in)\s*$|^[^\S\n]*(?:function\s+)?\w+\s*\(\)\s*\{|;\s*(?:then|do)\b",
    re.MULTILINE,
)
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
_MARKS = re.compile(r"[:;=8][-^']?[()]|^[^\S\n]*\(?\w+\)\s", re.MULTILINE)  # smileys, and the numbers of lists
LONG_CHARS = 5_000
MAX_BLOCKS = 100  # of an answer
_LONG, _MOST_LINES = 300, 5_000
_LABELLED = frozenset(LABELS.values())
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


def check_grammars(response: str, instruction: str = "") -> Verdict:
    """The syntax of the code that is not Python: by its grammar where there is one, and by its brackets in any language.

    A block fails where its language's grammar refuses it, its brackets do not match, and putting in or taking out one of them
    makes the grammar take it: so its label is right, and it has that one fault. Brackets alone are doubtful, and so is a fault in
    one of several blocks of a language (parts shown one after the other). What a grammar alone refuses is unknown: it may be of
    another language than its label says, output, a dialect, or a mark of the page that it comes from. Code that the instruction begins
    and the answer goes on with is judged with it.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    blocks = code_blocks(response)
    if not blocks:
        return _check_bare(response, instruction)
    if SHOWN.search(response):
        return Verdict("unknown", "an error that is shown on purpose")
    labels = Counter(LABELS.get(block.language, block.language) for block in blocks)
    verdicts = [
        _check_block(block, labels[LABELS.get(block.language, block.language)] > 1, instruction)
        for block in blocks[:MAX_BLOCKS]
        if block.closed
    ]
    return combine(verdicts)


def _check_block(block: Block, one_of_several: bool, asked: str) -> Verdict:
    label = LABELS.get(block.language, block.language)
    if label == "python" or not block.code.strip() or len(block.code) > MAX_GRAMMAR_CHARS:
        return NOTHING_TO_CHECK
    if not label:
        verdict = _check_unlabelled(block.code, block.line, asked)
    elif label == "bash":
        verdict = _check_script(block)
    elif label in GRAMMAR_LANGUAGES:
        verdict = _check_grammar(label, block.code, block.line, asked)
    elif label in _LABELLED - NO_BRACKET_RULE:
        verdict = _bracket_verdict(brackets(block.code, label), block.code, block.line, label, asked)
    else:
        return NOTHING_TO_CHECK
    return replace(verdict, status="doubtful") if verdict.status == "failed" and one_of_several else verdict


def _check_grammar(language: str, code: str, first: int, asked: str) -> Verdict:
    found = fault(language, code)
    if found is None:
        return PASSED
    if code.lstrip()[:1] in (")", "]", "}"):
        return Verdict("unknown", "a part of a program", _line(code, 1))
    wrong = brackets(code, language)
    refused = Verdict("unknown", f"{language} that the grammar does not know", _line(code, found.line))
    if not wrong:
        return refused
    verdict = _bracket_verdict(wrong, code, first, language, asked)
    if verdict.status in ("unknown", "passed"):
        return verdict
    mended = repairs(code, wrong)
    if len(code) > LONG_CHARS:  # every repair is several more parses; whether its brackets close is a hundredth of the work
        mended = (repaired for repaired in mended if not brackets(repaired, language))
    if any(fault(language, repaired) is None for repaired in mended):
        return replace(verdict, status="failed")
    return verdict if guess_language(code) == language else refused


def _check_script(block: Block) -> Verdict:
    """Shell blocks are mostly sessions and output: a script fails where one word that closes a part of it mends it for bash itself."""
    code = block.code
    first = _line(code, 1)
    if block.language == "zsh" or _SESSION.search(code) or not _SCRIPT.search(code):
        return Verdict("unknown", "a shell session, perhaps", first) if fault("bash", code) else PASSED
    if fault("bash", code) is None:
        return PASSED
    if not bash_refuses(code):
        return Verdict("unknown", "bash that the grammar does not know", first)
    for closer in ("fi", "done", "esac", "}"):
        lines = code.rstrip().split("\n")
        if any(not bash_refuses("\n".join([*lines[:at], closer, *lines[at:]])) for at in (len(lines), len(lines) - 1)):
            return Verdict("failed", "syntax error", f"line {block.line}: bash: {closer!r} is missing: {first!r}")
    return Verdict("unknown", "no script, perhaps", first)


def _check_unlabelled(code: str, first: int, asked: str) -> Verdict:
    if python_evidence(code) == 2 or not is_code(code):
        return NOTHING_TO_CHECK
    language = guess_language(code)
    if not language or language in NO_BRACKET_RULE or language == "python":
        return NOTHING_TO_CHECK
    if language in GRAMMAR_LANGUAGES:
        return _check_grammar(language, code, first, asked)
    return _bracket_verdict(brackets(code, language), code, first, language, asked)


def _check_bare(text: str, asked: str) -> Verdict:
    """An answer without a fence, where most of its lines are code and none is a sentence of its own."""
    if len(text) > MAX_GRAMMAR_CHARS or python_evidence(text):
        return NOTHING_TO_CHECK
    if guess_language(text) or not is_code(text) or not text.isascii() or _MARKS.search(text):
        return _check_unlabelled(text, 1, asked)
    found = brackets(text, "")  # a `#` or a `//` may open a comment or not: both readings must agree
    return _bracket_verdict(found, text, 1, "", asked) if found and brackets(text, "python") else NOTHING_TO_CHECK


def _bracket_verdict(found: Brackets, code: str, first: int, language: str, asked: str) -> Verdict:
    if not found:
        return PASSED
    line = _line(code, found.line)
    if LEFT_OUT.search(code):
        return Verdict("unknown", "left-out code", line)
    begun = opened_code(asked, language)
    if begun and language in GRAMMAR_LANGUAGES and fault(language, f"{begun}\n{code}") is None:
        return PASSED
    if begun and fits(begun, code, language):
        return Verdict("unknown", "it goes on with the code of the request", line)
    if not begun and found.stray and code.lstrip("\n")[:1] in (" ", "\t") and code[found.at - 1 : found.at] == "\n":  # a body, and its end
        return Verdict("unknown", "a part of a program", line)
    what = "without a partner" if found.stray else "never closed"
    return Verdict("doubtful", "syntax error", f"line {first + found.line - 1}: {found.symbol!r} {what}: {line!r}")


def _line(code: str, number: int) -> str:
    lines = code.split("\n")
    return lines[min(number, len(lines)) - 1].strip()[:120]


def is_code(text: str) -> bool:
    """Whether most lines of a text are code; of long lines only the beginning is looked at, of long texts the first lines."""
    lines = [line[:_LONG] for line in text.split("\n") if line.strip()][:_MOST_LINES]
    if not lines or not re.search(r"[=;{}()<>]", text):
        return False
    code = sum(_CODE_LINE.fullmatch(line) is not None and not is_sentence(line) for line in lines)
    return code >= 0.6 * len(lines)


def is_sentence(line: str) -> bool:
    """Whether a line is prose: five words, an end, two of the words that stand in the middle of sentences."""
    line = line[:_LONG]
    words = _WORDS.findall(line)
    return (
        len(words) >= 5 and _SENTENCE.fullmatch(line.strip()) is not None and sum(w in MIDDLE_WORDS for w in words) >= 2
    )


def clip(text: str, limit: int = 120) -> str:
    """A text in one line, cut to `limit` characters for a message."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

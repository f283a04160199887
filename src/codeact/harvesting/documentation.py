"""A function to learn, and whether its documentation says enough to be an instruction."""

from __future__ import annotations

import re
from dataclasses import dataclass

MIN_DOC_WORDS = 3
# Of Python, since CPython takes up to a kilobyte of memory for each character; and of other languages.
MAX_FILE_BYTES, MAX_GRAMMAR_BYTES = 500_000, 2_000_000

_EMPTY_DOC = re.compile(
    r"(?:see|same as|inherit\w* from|overrides?|like|ditto)\b[^.\n]{0,60}\.?|(?:todo|fixme|xxx|deprecated)\b.*|\{?@inheritdoc\}?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{2,}")
# Chinese, Japanese and Korean are written without blanks: about two characters make a word.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Function:
    """A function to learn: line from 1, names of the owners and its own, both texts, the lexical tokens of the response, and whether
    its documentation is in the instruction, which else is its signature alone."""

    line: int
    name: str
    instruction: str
    response: str
    tokens: tuple[str, ...]
    documented: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """A function as it stands in a file, documented or not: line from 1, names of the owners and its own, dedented text, lexical tokens."""

    line: int
    name: str
    text: str
    tokens: tuple[str, ...]


def count_words(prose: str) -> int:
    """Words of two letters and more; two characters of a script without blanks are one."""
    return len(_WORD.findall(_UNSPACED.sub(" ", prose))) + len(_UNSPACED.findall(prose)) // 2


def doc_fault(doc: str, prose: str) -> str:
    """Why a documentation is of no use, or "".

    Args:
        doc: the whole text.
        prose: the text without its examples.
    """
    if count_words(prose) < MIN_DOC_WORDS or _EMPTY_DOC.fullmatch(doc):
        return "thin docstring"
    if any("\ud800" <= character <= "\udfff" for character in doc):
        return "docstring is not valid Unicode"
    return ""


def about(doc: str) -> str:
    """The first paragraph of a class's documentation on one line; "" where it says too little."""
    summary = doc.strip().partition("\n\n")[0]
    return f" The class: {' '.join(summary.split())}" if count_words(summary) >= MIN_DOC_WORDS else ""

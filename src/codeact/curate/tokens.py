"""The words of a text in any script, for comparing texts: without case, in one Unicode form."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Scripts that put no blanks between words: Thai to Tibetan, Myanmar, Khmer, kana, Han. Each letter is a unit of its own.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Vowel signs and accents belong to their word, but `\w` leaves them out.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\W{_UNSPACED}]|[{_MARKS}])+")
# The same where all letters are ASCII: what is in no word becomes a blank, and capitals small letters.
_ASCII_WORDS = bytes(ord(letter.lower()) if letter.isalnum() or letter == "_" else 32 for letter in map(chr, range(128))).ljust(256)
_LETTER = re.compile(rf"[{_UNSPACED}]")
_APOSTROPHE = re.compile(r"([^\W\d_]+)['\u2019\u02bc`\u00b4]([^\W\d_]+)")
_ENDINGS = frozenset("s d m t ll re ve".split())
UNITS_OF_A_WORD = 2  # a Chinese or Japanese word is about two letters


def plain(text: str) -> str:
    """The text in compatibility form NFKC: full-width letters and composed accents are written in one way."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def words(text: str) -> list[str]:
    """Words in lower case; of a script without blanks, its letters.

    >>> words("Sort the list: 用Python写Ａ")
    ['sort', 'the', 'list', '用', 'python', '写', 'a']
    """
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_WORDS).decode("ascii").split()
    return WORD.findall(plain(text).lower())


def whole_words(text: str) -> str:
    """The text without what apostrophes cut from words, for readers: no `don` of "don't", no `s` of "date's", no `qu` of "qu'une".

    >>> whole_words("I don't know the user's l'histoire")
    'I   know the user  histoire'
    """
    return _APOSTROPHE.sub(_whole, text)


def _whole(found: re.Match[str]) -> str:
    head, tail = found.groups()
    if tail.lower() == "t" and head.lower().endswith("n"):
        return " "
    return f"{head} " if tail.lower() in _ENDINGS else f" {tail}"


def spelled(text: str) -> bytes:
    """`words` as bytes, with one or more blanks between them."""
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_WORDS)
    return " ".join(words(text)).encode("utf-8", "surrogatepass")


def is_unspaced(word: str) -> bool:
    """Whether a word is one letter of a script without blanks between words."""
    return len(word) == 1 and word > "\u0e00" and _LETTER.match(word) is not None


def terms(text: str) -> set[str]:
    """What two texts can have in common: words of two or more letters, and pairs of adjacent letters where words have no blanks.

    >>> sorted(terms("a list 排序列表"))
    ['list', '列表', '序列', '排序']
    """
    found = words(text)
    pairs = {a + b for a, b in pairwise(found) if is_unspaced(a) and is_unspaced(b)}
    return {word for word in found if len(word) > 1} | pairs

"""Copies with other names: records whose code is the same up to what its author calls things."""

from __future__ import annotations

import marshal
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codeact.curate.canonical import canonical_code, canonical_tokens, fingerprint
from codeact.curate.dedup import Copy, file_order, lines_of, setting
from codeact.curate.languages import guess_language
from codeact.curate.spool import Spool
from codeact.curate.tokens import plain, terms, words
from codeact.records import Record
from codeact.types import Floats

MIN_CODE_TOKENS = 20
MIN_SHARED_WORDS = 0.25
LONG_CODE_TOKENS = 30
SHORT_SHARED_WORDS = 0.5
MIN_GIVEN_CODE = 20
MIN_TOLD = 4
TRANSLATED = 0.45
"""Of the words of the shorter text: of 20 translated questions the most is 0.37, of 152 copies in English the least 0.52."""
MOST_COMPARED = 50
MOST_COPIES = 10
"""Of one program. What more requests get is a template's; of 28 public sources the most is 7."""
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_CODE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED = re.compile(r"""(?<!\w)["'`\u201c\u2018\u00ab]([^"'`\u201d\u2019\u00bb\n]{1,60})["'`\u201d\u2019\u00bb](?!\w)""")
_BRACKETED = re.compile("[「『《〈]([^」』》〉\\n]{1,60})[」』》〉]")
_COUNTED = ("zero|no", "one|once|single|first", "two|twice|both|second|pairs?", "three|third", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = re.compile(r"\d+")
_LOOSE = dict.fromkeys(map(ord, "_<>+*%$^~@#|&\"'"), " ")
"""Signs that a form's fields have too (`ATTACK_END 4 <b>+2/+2</b>`): without a bracket, `=` or a fence they make no example."""
_REMARK = re.compile(r"^[ \t]*(?:--|//|#+)[ \t]+", re.MULTILINE)
_TITLE = re.compile(r"#+ ")


class _Said(NamedTuple):
    """What is compared of a record whose code is that of another."""

    id: str
    instruction: str
    response: str


def find_renamed(records: Iterable[Record], folder: Path | None = None) -> dict[str, Copy]:
    """Records whose code differs in the names that it defines, in remarks and in layout only (the indentation of Python counts).

    At least 20 tokens of code. The instructions need a quarter of their distinct words in common (half of them under
    30 tokens), and neither the word that tells them apart nor a number may differ: one program under two titles is no
    copy. Nor does one name a value that the program holds and the other does not: the two largest are not the n
    largest. Nor is one mended program for two broken ones: code that the user shows must agree too. Nor is a
    translation. Text of no known language is never a copy, nor is a program that more than ten others repeat: a
    template's. The lowest row represents the group, then the lowest id.

    Args:
        records: the pool, gone through once.
        folder: where their texts lie meanwhile; None: where the system has its temporary files.
    """
    said = Spool(folder)
    keys, file_rows, sizes = bytearray(), array("d"), array("q")
    for record in records:
        code = canonical_code(record.response)
        if len(code) < MIN_CODE_TOKENS:
            continue
        keys += fingerprint([*code, setting(record), *_given_code(record)])
        file_rows.append(file_order(record)[0])
        sizes.append(len(code))
        said.append(marshal.dumps((record.id, record.instruction, record.response)))
    found: dict[str, Copy] = {}
    first, last = np.frombuffer(bytes(keys), np.uint64).reshape(-1, 2).T
    for group in _of_one_key(first, last, np.array(file_rows), lambda row: _at(said, row).id):
        copies = _renamed_in((_at(said, row), sizes[row]) for row in group)
        found |= copies if len(copies) <= MOST_COPIES else {}
    return found


def _at(said: Spool, row: int) -> _Said:
    return _Said(*marshal.loads(said[row]))


def _of_one_key(first: NDArray[np.uint64], last: NDArray[np.uint64], file_rows: Floats, name: Callable[[int], str]) -> Iterator[list[int]]:
    """The numbers of all that have one key of two halves, where they are several, in the order of the file."""
    order = np.lexsort((last, first))
    same = (first[order[1:]] == first[order[:-1]]) & (last[order[1:]] == last[order[:-1]])
    for group in np.split(order, 1 + np.flatnonzero(~same)):
        if len(group) > 1:
            yield sorted(group.tolist(), key=lambda row: (file_rows[row], name(row)))


def _renamed_in(group: Iterable[tuple[_Said, int]]) -> dict[str, Copy]:
    """The copies among records of the same code, with its tokens, in the order of the file."""
    stay: list[_Said] = []
    copies: dict[str, Copy] = {}
    for one, tokens in group:
        least = MIN_SHARED_WORDS if tokens >= LONG_CODE_TOKENS else SHORT_SHARED_WORDS
        original = next(
            (
                other
                for other in stay
                if shared_words(other.instruction, one.instruction) >= least and not _ask_apart(other, one) and _same_tongue(other, one)
            ),
            None,
        )
        if original is not None:
            copies[one.id] = Copy(original.id, f"same code as {original.id} up to names, remarks and layout ({tokens} tokens)")
        elif len(stay) < MOST_COMPARED:
            stay.append(one)
    return copies


def _ask_apart(left: _Said, right: _Said) -> bool:
    """Whether each request has a number of its own in its sentences, a word of its own that only its answer takes up, or the same words
    in other roles, or a quoted text that the program does not hold; or one of them a value of its own that the program holds.

    A program from a template carries its title in remarks and in the text around it, where a copy with other names has
    the same words. Both must have one: a copy may leave out an example, or name a thing that the other only describes.
    """
    numbers = [Counter(_prose_numbers(record.instruction)) for record in (left, right)]
    if numbers[0] - numbers[1] and numbers[1] - numbers[0]:
        return True
    said = words(left.instruction), words(right.instruction)
    if said[0] != said[1] and Counter(said[0]) == Counter(said[1]):  # "rand7 by rand5", "rand5 by rand7"
        return True
    if _names_more(left, right) or _names_more(right, left):
        return True
    titles = _quotes(left.instruction), _quotes(right.instruction)
    if all(any(name not in _spelled(record.response) for name in own) for record, own in ((left, titles[0] - titles[1]), (right, titles[1] - titles[0]))):
        return True
    asked, other = terms(left.instruction), terms(right.instruction)
    answered, reply = terms(left.response), terms(right.response)
    return bool((asked - other) & (answered - reply)) and bool((other - asked) & (reply - answered))


def _quotes(request: str) -> set[str]:
    """What the sentences of a request quote: titles, and names and examples that the program may hold."""
    bare = _CODE_BLOCK.sub(" ", request)
    return {_spelled(found) for found in [*_QUOTED.findall(bare), *_BRACKETED.findall(bare)]} - {""}


def _spelled(text: str) -> str:
    """The words of a text without accents, a blank before and behind each."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(f" {word} " for word in words(bare))


def _names_more(left: _Said, right: _Said) -> bool:
    """Whether a request names a value that the program holds and the other request does not name: "the two largest", "the n largest"."""
    named = _values(left.instruction)
    told = right.instruction.lower()
    numbers = {*_NUMBER.findall(told), *(str(n) for n, word in enumerate(_COUNTED) if re.search(rf"\b(?:{word})\b", told))}
    own = {value for value in named if (value not in numbers if value.isdigit() else value.lower() not in told)}
    return bool(own) and any(value in own for value in _literals(left.response))


def _values(request: str) -> set[str]:
    """The numbers of a request's sentences, of a request of one line all, and what it quotes."""
    bare = _CODE_BLOCK.sub(" ", request)
    numbers = _NUMBER.findall(plain(bare)) if "\n" not in bare.strip() else _prose_numbers(bare)
    return {*numbers, *(found.strip() for found in (*_QUOTED.findall(bare), *_BRACKETED.findall(bare)))} - {""}


def _literals(answer: str) -> Iterator[str]:
    """The numbers and strings of an answer's code."""
    for token in canonical_code(answer):
        if token[:1] == '"':
            yield token.strip('"').strip()
        elif token[:1].isdigit():
            yield token


def _same_tongue(left: _Said, right: _Said) -> bool:
    """Whether what two records say outside of code may be in one language: a translation shares the code, and few words."""
    a, b = (terms(_CODE.sub(" ", f"{record.instruction}\n{record.response}")) for record in (left, right))
    return min(len(a), len(b)) < MIN_TOLD or len(a & b) >= TRANSLATED * min(len(a), len(b))


def _prose_numbers(text: str) -> list[str]:
    """The numbers of the lines that are prose, remarks too, and of a title: those of an example differ between two requests for one program."""
    title, _, rest = text.partition("\n") if _TITLE.match(text) else ("", "", text)
    bare = _REMARK.sub("", rest).translate(_LOOSE)
    lines = [title, *(line for line, prose in lines_of(bare) if prose)]
    return [number for line in lines for number in _NUMBER.findall(plain(line))]


def _given_code(record: Record) -> list[str]:
    """The tokens of the code that the user shows, if it is more than a call or a list: two programs to mend are two tasks."""
    lines = [line for line, prose in lines_of(record.instruction) if not prose]
    shown = canonical_tokens("\n".join(lines), indented=True) if lines else []
    return shown if len(shown) >= MIN_GIVEN_CODE and guess_language("\n".join(lines)) else []


def shared_words(left: str, right: str) -> float:
    """Jaccard similarity of the sets of words of two or more letters, or of pairs of letters where words have no blanks between them."""
    a, b = terms(left), terms(right)
    return len(a & b) / len(a | b) if a | b else 1.0

"""Records that hold a benchmark's prompt or solution, or enough of it to give the item away."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, chain

from codeact.config import DEFAULTS
from codeact.curate.blocks import strip_comments
from codeact.curate.canonical import fingerprint, function_shape, function_signs, function_tokens, python_functions
from codeact.curate.tokens import UNITS_OF_A_WORD, WORD, is_unspaced, plain, spelled, words
from codeact.curate.word_runs import Runs
from codeact.records import Record, called_texts

MIN_EXACT_WORDS = 8
BOILERPLATE_ITEMS = 3
MIN_TELLING_WORDS = 2
LETTERS_THAT_TELL = 4
MIN_SOLUTION_SHARE = 0.8
SHORT_CODE_TOKENS = 8
# Tokens of a function below -> share of the prompt's words that the instruction must have.
MIN_PROMPT_WORDS = ((24, 0.75), (40, 0.3), (float("inf"), 0.0))
_IDIOM_WORDS = frozenset(word.lower() for word in keyword.kwlist) | {
    "range",
    "len",
    "int",
    "str",
    "print",
    "self",
    "list",
    *"zero one two three four five six seven eight nine ten eleven twelve".split(),
    *"monday tuesday wednesday thursday friday saturday sunday".split(),
    *"january february march april may june july august september october november december".split(),
}
# an n-gram of nothing else asks for any function: "Write a function that takes an array of numbers as input and returns the number of"
_STOCK = frozenset(
    "a an of to in as is it or if be by on you this its write create implement define function method program code that which takes take given "
    "accepts receives returns return returning and the for with from should will input inputs output number numbers integer integers string "
    "strings array arrays vector list lists argument arguments parameter parameters".split()
)
_Words = tuple[str, ...]
_Source = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """One task of a benchmark: `text_prompt` as a model sees it, `solution` as the reference solves it ("" if there is none)."""

    benchmark: str
    id: str
    text_prompt: str
    solution: str = ""


@dataclass(frozen=True, slots=True)
class Overlap:
    """A hit: `method` is "exact prompt", "exact solution" or "13-gram"; `text` is the overlapping passage of the record."""

    item: BenchmarkItem
    method: str
    text: str


@dataclass(frozen=True)
class Index:
    """Word sequences that give an item away.

    Attributes:
        items: the tasks.
        ngram: words in an n-gram.
        sequences: length -> sequence -> (position in `items`, whether it comes from the prompt) of every item that holds it.
        functions: fingerprint of a solution's function, up to names and comments -> positions in `items`.
        shapes: of these functions (`canonical.function_shape`), with their signs (`canonical.function_signs`): no other need be looked at.
    """

    items: tuple[BenchmarkItem, ...]
    ngram: int
    sequences: Mapping[int, Mapping[_Words, tuple[_Source, ...]]]
    functions: Mapping[bytes, tuple[int, ...]] = field(default_factory=dict)
    shapes: Mapping[tuple[str, ...], frozenset[tuple[str, ...]]] = field(default_factory=dict)

    @cached_property
    def runs(self) -> Runs:
        """Tells where one of the sequences may stand."""
        return Runs(self.sequences)


def build_index(items: Iterable[BenchmarkItem], ngram: int = DEFAULTS.curate.ngram) -> Index:
    """Index the word n-grams of each item's prompt followed by its solution, and its short prompts and solutions whole.

    Words are compared without case and punctuation. 13 words are the n-gram of GPT-3's contamination analysis
    (arXiv 2005.14165, appendix C), and so are the 8 words below which a text is never looked for. Sequences that do not
    point at one item are left out: those that three or more items of one benchmark share (licence headers, imports,
    stock phrases), those with fewer than two distinct telling words (tables of numbers, also in words, days and months,
    `for i in range(n)`), and n-grams that ask for any function.

    Args:
        items: the tasks of one or more benchmarks.
        ngram: words in an n-gram.
    """
    return _index(tuple(items), ngram)


@lru_cache(maxsize=2)  # the benchmarks of one process are mostly the same
def _index(kept: tuple[BenchmarkItem, ...], ngram: int) -> Index:
    found: dict[int, dict[_Words, dict[int, bool]]] = {ngram: {}}
    for position, item in enumerate(kept):
        for sequence, prompt in _sequences(item, ngram):
            holders = found.setdefault(len(sequence), {}).setdefault(sequence, {})
            holders[position] = prompt or holders.get(position, False)
    sequences = {
        length: {
            s: tuple(at.items())
            for s, at in table.items()
            if _tells(s) and not _is_boilerplate(at, kept) and not (length == ngram and _STOCK.issuperset(s))
        }
        for length, table in found.items()
    }
    sequences = {length: table for length, table in sequences.items() if table}
    functions, shapes = _functions(kept)
    return Index(kept, ngram, sequences, functions, shapes)


def find_overlap(record: Record, index: Index) -> Overlap | None:
    """The benchmark item that a record overlaps most, or None.

    One sequence of an item's prompt is a hit. Sequences of its solution alone are a hit when together they cover at least
    0.8 of its words: two programs may share a common loop. The record is read with and without its `#` comments, which
    would otherwise hide a solution. Takes time linear in the record's length.
    """
    return find_overlaps([record], index)[0]


def find_overlaps(records: Sequence[Record], index: Index) -> list[Overlap | None]:
    """`find_overlap` of each record; many together take a fraction of the time."""
    texts: list[str] = []
    whose: list[int] = []
    for number, record in enumerate(records):
        text = plain("\n".join([text for m in record.messages for text in (m.content, m.reasoning, *called_texts(m.tool_calls)) if text]))
        variants = dict.fromkeys([text, strip_comments(text)] if "#" in text else [text])
        texts += variants
        whose += [number] * len(variants)
    hits: dict[int, list[Overlap]] = {}
    for number, text, shared in zip(whose, texts, index.runs([spelled(text) for text in texts]), strict=True):
        hit = _longest_overlap(text, shared, index) if shared else None
        if hit is not None:
            hits.setdefault(number, []).append(hit)
    return [max(hits[n], key=lambda hit: len(words(hit.text))) if n in hits else None for n in range(len(records))]


def _functions(
    items: Sequence[BenchmarkItem],
) -> tuple[dict[bytes, tuple[int, ...]], dict[tuple[str, ...], frozenset[tuple[str, ...]]]]:
    """Fingerprint of each solution's function -> positions; and the shapes of these functions, each with its signs."""
    found: dict[bytes, tuple[int, ...]] = {}
    shapes: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for position, item in enumerate(items):
        whole = (
            item.solution
            if re.search(r"^(?:async )?def |^class ", item.solution, re.MULTILINE)
            else item.text_prompt + item.solution
        )
        for node in python_functions(f"```python\n{whole}\n```", nested=False):
            tokens = function_tokens(node)
            if len(tokens) >= SHORT_CODE_TOKENS:
                key = fingerprint(tokens)
                found[key] = tuple(dict.fromkeys((*found.get(key, ()), position)))
                shapes.setdefault(function_shape(node), set()).add(function_signs(node))
    return found, {shape: frozenset(signs) for shape, signs in shapes.items()}


def find_renamed_solution(record: Record, index: Index) -> Overlap | None:
    """The benchmark item whose solution a record holds up to names, comments, docstrings and annotations, or None.

    A function of 40 tokens is enough. A shorter one needs distinct words of the item's prompt in the record's instruction as well: 0.3
    of them from 24 tokens on, and 0.75 from 8 on, since short functions are everyone's: the mean of a list, removing duplicates.
    """
    asked: set[str] | None = None
    further = [text for m in record.messages if m.role == "assistant" for text in (m.reasoning, *called_texts(m.tool_calls)) if text]
    for node in chain.from_iterable(map(python_functions, [record.response, *further])):
        signs = index.shapes.get(function_shape(node))
        if signs is None or function_signs(node) not in signs:
            continue
        tokens = function_tokens(node)
        if len(tokens) < SHORT_CODE_TOKENS:
            continue
        for position in index.functions.get(fingerprint(tokens), ()):
            if asked is None:
                asked = {word for word in words(record.instruction) if len(word) > 2}
            item = index.items[position]
            prompt = {
                word
                for word in words(re.split(">>>", item.text_prompt)[0])
                if len(word) > 2 and word not in _IDIOM_WORDS
            }
            share = len(asked & prompt) / max(1, len(prompt))
            if share >= next(least for most, least in MIN_PROMPT_WORDS if len(tokens) < most):
                return Overlap(
                    item, "renamed code", f"function {node.name} of {len(tokens)} tokens; {share:.2f} of the prompt's words"
                )
    return None


def _longest_overlap(text: str, shared: Sequence[tuple[int, int]], index: Index) -> Overlap | None:
    said = words(text)
    spans: dict[int, list[tuple[int, int]]] = {}
    from_prompt: set[int] = set()
    for start, length in shared:
        for position, prompt in index.sequences[length].get(tuple(said[start : start + length]), ()):
            spans.setdefault(position, []).append((start, start + length))
            if prompt:
                from_prompt.add(position)
    runs: dict[int, tuple[int, int]] = {}
    for position, found in spans.items():
        stretches = _merge(found)
        covered = sum(end - start for start, end in stretches)
        needed = MIN_SOLUTION_SHARE * len(words(strip_comments(index.items[position].solution)))
        if position in from_prompt or covered >= needed:
            runs[position] = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    if not runs:
        return None
    # The longest passage decides, then the item's place in the benchmark.
    position = min(runs, key=lambda at: (runs[at][0] - runs[at][1], at))
    item = index.items[position]
    return Overlap(item, _method(item, said, index.ngram), _passage(text, *runs[position]))


def _sequences(item: BenchmarkItem, ngram: int) -> Iterator[tuple[_Words, bool]]:
    """(sequence, whether most of it comes from the prompt)

    Where words have no blanks between them, a sequence is twice as long: two letters make about a word.
    """
    prompt = tuple(words(item.text_prompt))
    for text in {item.solution, strip_comments(item.solution)}:
        solution = tuple(words(text))
        for part in (prompt, solution):
            if _length(part) >= MIN_EXACT_WORDS and len(part) < _span(part, ngram):
                yield part, part is prompt
        both = prompt + solution
        letters = [0, *accumulate(map(is_unspaced, both))] if not _spaced(both) else [0] * (len(both) + 1)
        for span in {ngram, _span(prompt, ngram)}:
            for start in range(len(both) - span + 1):
                unspaced = 2 * (letters[start + span] - letters[start]) > span
                if unspaced == (span > ngram):
                    yield both[start : start + span], 2 * start + span <= 2 * len(prompt)


def _spaced(sequence: _Words) -> bool:
    """Whether every word is surely of a script with blanks."""
    return "".join(sequence).isascii()


def _length(sequence: _Words) -> float:
    """Its number of words; of a script without blanks, two letters are one."""
    letters = 0 if _spaced(sequence) else sum(map(is_unspaced, sequence))
    return len(sequence) - letters + letters / UNITS_OF_A_WORD


def _span(sequence: _Words, ngram: int) -> int:
    """How many units make an n-gram of this text."""
    if _spaced(sequence):
        return ngram
    return ngram * UNITS_OF_A_WORD if 2 * sum(map(is_unspaced, sequence)) > len(sequence) else ngram


def _tells(sequence: _Words) -> bool:
    return sum(map(_told, set(sequence))) >= MIN_TELLING_WORDS


@lru_cache(maxsize=1 << 16)  # sequences of one text share their words
def _told(word: str) -> float:
    """What a word adds to what a sequence tells."""
    plain_word = len(word) >= 3 and not word.isdecimal() and word not in _IDIOM_WORDS
    return plain_word + is_unspaced(word) / LETTERS_THAT_TELL


def _is_boilerplate(positions: Collection[int], items: Sequence[BenchmarkItem]) -> bool:
    if len(positions) < BOILERPLATE_ITEMS:
        return False
    return max(Counter(items[position].benchmark for position in positions).values()) >= BOILERPLATE_ITEMS


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches that overlapping or touching spans cover, in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _method(item: BenchmarkItem, said: Sequence[str], ngram: int) -> str:
    joined = f" {' '.join(said)} "
    for name, text in (("exact prompt", item.text_prompt), ("exact solution", item.solution)):
        part = words(text)
        if _length(tuple(part)) >= MIN_EXACT_WORDS and f" {' '.join(part)} " in joined:
            return name
    return f"{ngram}-gram"


def _passage(text: str, start: int, end: int) -> str:
    spans = [found.span() for position, found in enumerate(WORD.finditer(text)) if start <= position < end]
    return " ".join(text[spans[0][0] : spans[-1][1]].split())

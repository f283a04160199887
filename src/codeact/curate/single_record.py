"""What one record says by itself: its verdict, its overlap with benchmarks, its language. No other record has a say here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codeact.confidential import Finding, find_confidential
from codeact.config import CurateConfig
from codeact.curate.answers import check_grammars
from codeact.curate.asked_language import check_language
from codeact.curate.blocks import code_blocks
from codeact.curate.completeness import check_complete
from codeact.curate.decontaminate import (
    BenchmarkItem,
    Index,
    Overlap,
    build_index,
    find_overlaps,
    find_renamed_solution,
)
from codeact.curate.dedup import sketch
from codeact.curate.examples import check_examples
from codeact.curate.languages import LABELS, MOST_GUESSED, guess_language
from codeact.curate.undefined_names import check_names
from codeact.curate.verify import Verdict, combine, eased, exchanges, verify_record
from codeact.errors import InputError
from codeact.records import Record
from codeact.sandbox import Backend, detect_backend

MAX_DETAIL_CHARS = 500
MAX_ANSWER_CHARS = 200_000
"""Longer answers are kept unchecked but for their Python's syntax."""
BATCH_CHARS = 1 << 15
"""Characters of records in which benchmarks are looked for together."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one record says by itself.

    Attributes:
        id: the record's id.
        language: of the response's code, "" where it cannot be told.
        sketch: equal in all exact copies, see `dedup.sketch`.
        secret: what bars it, before anything else was looked at.
        verdict: of the checks, where there are any.
        overlap: "benchmark:item id" and the evidence.
    """

    id: str
    language: str
    sketch: bytes
    secret: Finding | None = None
    verdict: Verdict | None = None
    overlap: tuple[str, str] | None = None


class Looker:
    """Looks at records, each by itself.

    Args:
        config: which checks run, and the n-gram length.
        items: the tasks of every benchmark that is looked for (see `benchmarks_of`), or their index.

    Raises:
        CodeactError: the sandbox, where the checks need it, cannot start.
    """

    def __init__(self, config: CurateConfig, items: Sequence[BenchmarkItem] | Index) -> None:
        self.config = config
        self.index = items if isinstance(items, Index) else build_index(items, config.ngram) if items else None
        self.backend = detect_backend() if config.verify and "examples" in config.checks else None

    def __call__(self, records: Iterable[Record]) -> Iterator[Facts]:
        """The facts of each record, in order; what its own facts bar is not looked for in benchmarks."""
        for some in _batches(records):
            overlaps = find_overlaps(some, self.index) if self.index is not None else [None] * len(some)
            yield from map(self._facts, some, overlaps)

    def _facts(self, record: Record, overlap: Overlap | None) -> Facts:
        config = self.config
        language, key = language_of(record.response), sketch(record) if config.dedup else b""
        secret = find_confidential(record, config.secrets) if config.secrets else None
        if secret is not None:
            return Facts(record.id, language, key, secret)
        verdict = check_record(record, config.checks, self.backend) if config.verify else None
        if verdict is not None and verdict.status == "failed" and config.failed == "drop":
            return Facts(record.id, language, key, None, verdict)
        if overlap is None and self.index is not None:
            overlap = find_renamed_solution(record, self.index)
        if overlap is None:
            return Facts(record.id, language, key, None, verdict)
        detail = f"{overlap.method}: {overlap.text}"[:MAX_DETAIL_CHARS]
        return Facts(record.id, language, key, None, verdict, (f"{overlap.item.benchmark}:{overlap.item.id}", detail))


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Neighbours of about `BATCH_CHARS` characters together."""
    open_: list[Record] = []
    held = 0
    for record in records:
        open_.append(record)
        held += sum([len(message.content) for message in record.messages])
        if held >= BATCH_CHARS:
            yield open_
            open_, held = [], 0
    if open_:
        yield open_


def benchmarks_of(
    config: CurateConfig, given: Mapping[str, Sequence[BenchmarkItem]] | None = None
) -> list[BenchmarkItem]:
    """The tasks of every benchmark that the configuration names, of those given.

    Raises:
        InputError: a benchmark that is named has no tasks, or something else in place of a configuration or of tasks by benchmark.
    """
    if not isinstance(config, CurateConfig):
        raise InputError(f"the configuration is {type(config).__name__}; give a codeact.CurateConfig")
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"the benchmark items are {type(given).__name__}; give them by benchmark: {{'humaneval': [...]}}")
    given = given or {}
    names = tuple(given) if config.decontaminate == "auto" else (*config.decontaminate, *config.benchmark_files)
    for name in names:
        if not given.get(name):
            raise InputError(
                f"curate.decontaminate: no tasks of the benchmark {name!r} were given; load them, or leave it out"
            )
    return [item for name in names for item in given[name]]


def check_record(record: Record, checks: Iterable[str], backend: Backend | None = None) -> Verdict:
    """The verdict of the named checks together: the worst that is known (failed, doubtful), else passed where one passed.

    Args:
        record: its assistant turns that are learnt are checked, each against the user's turn before it.
        checks: see `codeact.config.CurateConfig.checks`.
        backend: of the sandbox, for "examples".

    Raises:
        MissingExtraError: a check needs a package that is not installed.
        CodeactError: the sandbox cannot start a process.
    """
    chosen = set(checks)
    turns = exchanges(record)
    verdicts = [verify_record(record, turns)] if "syntax" in chosen else []
    for turn in turns:
        if len(turn.answer) > MAX_ANSWER_CHARS:
            verdicts.append(Verdict("unknown", f"an answer of more than {MAX_ANSWER_CHARS:,} characters"))
            continue
        if "grammars" in chosen:
            verdicts.append(check_grammars(turn.answer, turn.asked))
        if "complete" in chosen:
            whole = eased(check_complete(turn.answer, turn.asked), turn is turns[-1])
            verdicts += [whole] if whole.status in ("failed", "doubtful") else []
        if "language" in chosen:
            verdicts.append(check_language(turn.answer, turn.asked))
        if "names" in chosen:
            verdicts.append(check_names(turn.answer, turn.so_far))
        if "examples" in chosen and backend is not None and not any(v.status == "failed" for v in verdicts):
            verdicts.append(check_examples(turn.answer, backend))
    for status in ("failed", "doubtful", "passed"):
        if (found := next((verdict for verdict in verdicts if verdict.status == status), None)) is not None:
            return found
    return combine(verdicts)


def language_of(response: str) -> str:
    """The language of most of an answer's code, from the labels of its fences or the signs of the code; "" where it cannot be told."""
    sizes: dict[str, int] = {}
    for at, block in enumerate(code_blocks(response)):
        guessed = guess_language(block.code) if not block.language and at < MOST_GUESSED else ""
        language = LABELS.get(block.language, block.language) or guessed
        sizes[language] = sizes.get(language, 0) + len(block.code)
    sizes.pop("", None)
    return max(sizes, key=lambda name: (sizes[name], name)) if sizes else guess_language(response)

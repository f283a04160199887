"""The curation policy: verify, then dedup, then decontaminate; the first reason found wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from codeact.confidential import find_confidential
from codeact.config import CurateConfig
from codeact.curate.answers import check_grammars
from codeact.curate.asked_language import check_language
from codeact.curate.blocks import code_blocks
from codeact.curate.completeness import check_complete
from codeact.curate.decontaminate import BenchmarkItem, build_index, find_overlap, find_renamed_solution
from codeact.curate.dedup import find_duplicates
from codeact.curate.examples import check_examples
from codeact.curate.languages import LABELS, MOST_GUESSED, guess_language
from codeact.curate.mismatch import find_mismatches
from codeact.curate.names import check_names
from codeact.curate.near_copies import Copy, find_near, find_renamed
from codeact.curate.verify import Verdict, combine, eased, exchanges, verify_record
from codeact.errors import InputError
from codeact.progress import track
from codeact.records import Record
from codeact.sandbox import Backend, detect_backend

MAX_DETAIL_CHARS = 500
MAX_ANSWER_CHARS = 200_000
"""Longer answers are kept unchecked but for their Python's syntax."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What curation decided about one record.

    Attributes:
        id: the record's id.
        kept: whether it stays in the pool.
        reason: "" if kept, else why it was dropped (docs/curate.md lists the reasons).
        detail: the evidence, in one line.
        duplicate_of: id of the record that represents its group, for a duplicate.
        benchmark_item: "benchmark:item id", for an overlap.
        verdict: "passed", "failed", "doubtful" or "unknown", or "" where nothing was checked.
        penalised: whether a check failed or is in doubt and the record stays all the same, to be ranked last.
        language: of the response's code, "" where it cannot be told.
    """

    id: str
    kept: bool
    reason: str = ""
    detail: str = ""
    duplicate_of: str | None = None
    benchmark_item: str | None = None
    verdict: str = ""
    penalised: bool = False
    language: str = ""


def curate_records(
    records: Sequence[Record],
    config: CurateConfig,
    benchmark_items: Mapping[str, Sequence[BenchmarkItem]] | None = None,
) -> list[Decision]:
    """Decide about every record; one decision per record, in the order given.

    A record dropped by one stage takes no part in the next: broken code never represents a group of duplicates.

    Args:
        records: the pool; ids are unique.
        config: which stages run, and the n-gram length.
        benchmark_items: benchmark name -> its tasks, for every benchmark that `config.decontaminate` names; with `auto` all that are
            given are looked for.

    Raises:
        InputError: `config.decontaminate` names a benchmark without tasks in `benchmark_items`, or two records share an id.
    """
    dropped: dict[str, Decision] = {}
    if len({record.id for record in records}) != len(records):
        raise InputError("curate: two records share an id; make the ids unique")
    given = benchmark_items or {}
    names = tuple(given) if config.decontaminate == "auto" else (*config.decontaminate, *config.benchmark_files)
    for name in names:
        if not given.get(name):
            raise InputError(
                f"curate.decontaminate: no tasks of the benchmark {name!r} were given; load them, or leave it out"
            )
    verdicts: dict[str, Verdict] = {}
    if config.secrets:
        with track("secrets", len(records)) as progress:
            for record in records:
                finding = find_confidential(record, config.secrets)
                if finding is not None:
                    dropped[record.id] = Decision(record.id, False, finding.reason, finding.detail)
                progress.advance()
    if config.verify:
        backend = detect_backend() if "examples" in config.checks else None
        with track("verify", len(records)) as progress:
            for record in records:
                if record.id in dropped:
                    progress.advance()
                    continue
                verdict = verdicts[record.id] = check_record(record, config.checks, backend)
                if verdict.status == "failed" and config.failed == "drop":
                    dropped[record.id] = Decision(record.id, False, verdict.reason, verdict.detail)
                progress.advance()
    if config.mismatch is not None:
        with track("mismatch", len(records)) as progress:
            for identity, evidence in find_mismatches(
                [r for r in records if r.id not in dropped], config.mismatch
            ).items():
                verdicts[identity] = Verdict("doubtful", "mismatch", evidence)
            progress.advance(len(records))
    for label, wanted, find in (
        ("dedup", config.dedup, lambda left: {c: Copy(o, f"same as {o}") for c, o in find_duplicates(left).items()}),
        ("dedup (names)", config.renamed, find_renamed),
        ("dedup (near)", config.near is not None, lambda left: find_near(left, config.near or 1.0)),
    ):
        if wanted:
            with track(label, len(records)) as progress:
                for identity, copy in find(_left(records, dropped, verdicts)).items():
                    dropped[identity] = Decision(
                        identity, False, "duplicate", copy.evidence, duplicate_of=copy.original
                    )
                progress.advance(len(records))
    if names:
        index = build_index([item for name in names for item in given[name]], config.ngram)
        with track("decontaminate", len(records)) as progress:
            for record in records:
                overlap = (
                    None
                    if record.id in dropped
                    else find_overlap(record, index) or find_renamed_solution(record, index)
                )
                if overlap is not None:
                    item = f"{overlap.item.benchmark}:{overlap.item.id}"
                    detail = f"{overlap.method}: {overlap.text}"[:MAX_DETAIL_CHARS]
                    dropped[record.id] = Decision(record.id, False, "benchmark overlap", detail, benchmark_item=item)
                progress.advance()
    return [_decision(record, dropped.get(record.id), verdicts.get(record.id)) for record in records]


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
    verdicts = [verify_record(record)] if "syntax" in chosen else []
    turns = exchanges(record)
    for turn in turns:
        if len(turn.answer) > MAX_ANSWER_CHARS:
            verdicts.append(Verdict("unknown", f"an answer of more than {MAX_ANSWER_CHARS:,} characters"))
            continue
        if "grammars" in chosen:
            verdicts.append(check_grammars(turn.answer))
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


def _left(records: Sequence[Record], dropped: Mapping[str, Decision], verdicts: Mapping[str, Verdict]) -> list[Record]:
    """What is still in the pool and failed no check: broken code never represents a group of duplicates."""
    return [r for r in records if r.id not in dropped and not (r.id in verdicts and _is_faulty(verdicts[r.id]))]


def _is_faulty(verdict: Verdict) -> bool:
    return verdict.status in ("failed", "doubtful")


def _decision(record: Record, dropped: Decision | None, verdict: Verdict | None) -> Decision:
    decision = dropped or Decision(record.id, True)
    failed = verdict is not None and _is_faulty(verdict)
    if decision.kept and failed and verdict is not None:
        decision = replace(decision, detail=f"{verdict.reason}: {verdict.detail}"[:MAX_DETAIL_CHARS])
    return replace(
        decision,
        verdict=verdict.status if verdict else "",
        penalised=decision.kept and failed,
        language=language_of(record.response),
    )

"""The curation policy: verify, then dedup, then decontaminate; the first reason found wins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codeact.config import CurateConfig
from codeact.curate.decontaminate import BenchmarkItem
from codeact.curate.dedup import Copy, TakeRecords, find_duplicates_at
from codeact.curate.mismatch import find_mismatches
from codeact.curate.near_copies import find_near
from codeact.curate.renamed_copies import find_renamed
from codeact.curate.single_record import MAX_DETAIL_CHARS, Facts, Looker, benchmarks_of
from codeact.curate.verify import Verdict
from codeact.errors import InputError
from codeact.progress import track
from codeact.records import Record
from codeact.records.given import check_records
from codeact.types import Ints

SHARED_ID = "curate: two records share an id; make the ids unique"


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
        InputError: `config.decontaminate` names a benchmark without tasks in `benchmark_items`, two records share an id, or rows
            are given in place of records.
    """
    check_records(records)
    items = benchmarks_of(config, benchmark_items)
    check_ids([record.id for record in records])
    look = Looker(config, items)
    with track("verify", len(records)) as progress:
        facts = []
        for one in look(records):
            facts.append(one)
            progress.advance()
    return list(decide(facts, config, lambda positions: (records[at] for at in positions.tolist())))


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that are not unique.

    Raises:
        InputError: two records share one.
    """
    if len(set(ids)) != len(ids):
        raise InputError(SHARED_ID)


def decide(
    facts: Collection[Facts], config: CurateConfig, take: TakeRecords, folder: Path | None = None
) -> Iterator[Decision]:
    """Decide about every record by what each says (`look.Looker`) and by what they have in common, in the order given.

    Args:
        facts: of the records, whose ids are unique; gone through twice, and once more for each step that finds copies which are not exact.
        config: which stages run.
        take: gives the records that must be compared. Exact copies need few of them, the other steps all that are left.
        folder: where such a step writes meanwhile what it compares; None: where the system has its temporary files.
    """
    count = len(facts)
    dropped: dict[int, Decision] = {}
    verdicts: dict[int, Verdict] = {}  # of the records that are not simply in order
    sketches = np.zeros(count, np.uint64)
    for at, one in enumerate(facts):
        sketches[at] = int.from_bytes(one.sketch[:8], "little")
        if one.verdict is not None and _is_faulty(one.verdict):
            verdicts[at] = one.verdict
        if one.secret is not None:
            dropped[at] = Decision(one.id, False, one.secret.reason, one.secret.detail)
        elif one.verdict is not None and one.verdict.status == "failed" and config.failed == "drop":
            dropped[at] = Decision(one.id, False, one.verdict.reason, one.verdict.detail)

    def left(*, faulty: bool = False) -> Ints:
        """What is still in the pool, and failed no check: broken code never represents a group of duplicates."""
        there = np.ones(count, np.bool_)
        there[list(dropped)] = False
        if not faulty:
            there[list(verdicts)] = False
        return np.flatnonzero(there)

    if config.mismatch is not None:
        with track("mismatch", count) as progress:
            positions, position_of = left(faulty=True), dict[str, int]()
            pool = list(_placed(take(positions), positions, position_of))
            for identity, evidence in find_mismatches(pool, config.mismatch).items():
                verdicts[position_of[identity]] = Verdict("doubtful", "mismatch", evidence)
            progress.advance(count)

    if config.dedup:
        with track("dedup", count) as progress:
            positions = _alike(sketches, left())
            for at, identity, first in find_duplicates_at(take, positions, sketches[positions]):
                dropped[at] = _duplicate(identity, Copy(first, f"same as {first}"))
            progress.advance(count)
    near = partial(find_near, threshold=config.near or 1.0, folder=folder)
    for label, wanted, find in (
        ("dedup (names)", config.renamed, partial(find_renamed, folder=folder)),
        ("dedup (near)", config.near is not None, near),
    ):
        if wanted:
            with track(label, count) as progress:
                copies = find(take(left()))
                dropped |= {at: _duplicate(one.id, copies[one.id]) for at, one in enumerate(facts if copies else ()) if one.id in copies}
                progress.advance(count)
    for at, one in enumerate(facts):
        if one.overlap is not None and at not in dropped:
            item, detail = one.overlap
            dropped[at] = Decision(one.id, False, "benchmark overlap", detail, benchmark_item=item)
        yield _decision(one, dropped.get(at), verdicts.get(at, one.verdict))


def _placed(records: Iterable[Record], positions: Ints, position_of: dict[str, int]) -> Iterator[Record]:
    """The records, whose positions are noted on the way."""
    for record, at in zip(records, positions.tolist(), strict=True):
        position_of[record.id] = at
        yield record


def _duplicate(identity: str, copy: Copy) -> Decision:
    return Decision(identity, False, "duplicate", copy.evidence, duplicate_of=copy.original)


def _alike(sketches: NDArray[np.uint64], positions: Ints) -> Ints:
    """Of these records those that may have an exact copy: another has the same beginning of its sketch."""
    _, inverse, counts = np.unique(sketches[positions], return_inverse=True, return_counts=True)
    found: Ints = positions[counts[inverse] > 1]
    return found


def _is_faulty(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.status in ("failed", "doubtful")


def _decision(facts: Facts, dropped: Decision | None, verdict: Verdict | None) -> Decision:
    failed, status = _is_faulty(verdict), verdict.status if verdict else ""
    if dropped is not None:
        return replace(dropped, verdict=status, language=facts.language)
    detail = f"{verdict.reason}: {verdict.detail}"[:MAX_DETAIL_CHARS] if failed and verdict is not None else ""
    return Decision(facts.id, True, "", detail, None, None, status, failed, facts.language)

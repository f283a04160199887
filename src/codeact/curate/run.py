"""The curation policy: verify, then dedup, then decontaminate; the first reason found wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from codeact.config import CurateConfig
from codeact.curate.decontaminate import BenchmarkItem
from codeact.curate.dedup import find_duplicates
from codeact.curate.look import MAX_DETAIL_CHARS, Facts, Looker, benchmarks_of
from codeact.curate.mismatch import find_mismatches
from codeact.curate.near_copies import Copy, find_near, find_renamed
from codeact.curate.verify import Verdict
from codeact.errors import InputError
from codeact.progress import track
from codeact.records import Record

TakeRecords = Callable[[Sequence[int]], list[Record]]
"""The records of these positions, in their order."""


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
    items = benchmarks_of(config, benchmark_items)
    check_ids([record.id for record in records])
    look = Looker(config, items)
    with track("verify", len(records)) as progress:
        facts = []
        for record in records:
            facts.append(look(record))
            progress.advance()
    return decide(facts, config, lambda positions: [records[at] for at in positions])


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that are not unique.

    Raises:
        InputError: two records share one.
    """
    if len(set(ids)) != len(ids):
        raise InputError("curate: two records share an id; make the ids unique")


def decide(facts: Sequence[Facts], config: CurateConfig, take: TakeRecords) -> list[Decision]:
    """Decide about every record by what each says (`look.Looker`) and by what they have in common.

    Args:
        facts: of the records, whose ids are unique.
        config: which stages run.
        take: gives the records that must be compared. Exact copies need few of them, the other stages all that are left.
    """
    dropped: dict[int, Decision] = {}
    verdicts = {at: one.verdict for at, one in enumerate(facts) if one.verdict is not None}
    for at, one in enumerate(facts):
        if one.secret is not None:
            dropped[at] = Decision(one.id, False, one.secret.reason, one.secret.detail)
        elif one.verdict is not None and one.verdict.status == "failed" and config.failed == "drop":
            dropped[at] = Decision(one.id, False, one.verdict.reason, one.verdict.detail)
    positions = {one.id: at for at, one in enumerate(facts)}
    if config.mismatch is not None:
        with track("mismatch", len(facts)) as progress:
            pool = take([at for at in range(len(facts)) if at not in dropped])
            for identity, evidence in find_mismatches(pool, config.mismatch).items():
                verdicts[positions[identity]] = Verdict("doubtful", "mismatch", evidence)
            progress.advance(len(facts))

    def left() -> list[int]:
        """What is still in the pool and failed no check: broken code never represents a group of duplicates."""
        return [at for at in range(len(facts)) if at not in dropped and not _is_faulty(verdicts.get(at))]

    def exact() -> dict[str, Copy]:
        return {c: Copy(o, f"same as {o}") for c, o in find_duplicates(take(_alike(facts, left()))).items()}

    for label, wanted, find in (
        ("dedup", config.dedup, exact),
        ("dedup (names)", config.renamed, lambda: find_renamed(take(left()))),
        ("dedup (near)", config.near is not None, lambda: find_near(take(left()), config.near or 1.0)),
    ):
        if wanted:
            with track(label, len(facts)) as progress:
                for identity, copy in find().items():
                    dropped[positions[identity]] = Decision(
                        identity, False, "duplicate", copy.evidence, duplicate_of=copy.original
                    )
                progress.advance(len(facts))
    for at, one in enumerate(facts):
        if one.overlap is not None and at not in dropped:
            item, detail = one.overlap
            dropped[at] = Decision(one.id, False, "benchmark overlap", detail, benchmark_item=item)
    return [_decision(one, dropped.get(at), verdicts.get(at)) for at, one in enumerate(facts)]


def _alike(facts: Sequence[Facts], positions: Sequence[int]) -> list[int]:
    """Of these records those whose sketch another has too: no other can have an exact copy."""
    counts = Counter(facts[at].sketch for at in positions)
    return [at for at in positions if counts[facts[at].sketch] > 1]


def _is_faulty(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.status in ("failed", "doubtful")


def _decision(facts: Facts, dropped: Decision | None, verdict: Verdict | None) -> Decision:
    decision = dropped or Decision(facts.id, True)
    failed = _is_faulty(verdict)
    if decision.kept and failed and verdict is not None:
        decision = replace(decision, detail=f"{verdict.reason}: {verdict.detail}"[:MAX_DETAIL_CHARS])
    return replace(
        decision,
        verdict=verdict.status if verdict else "",
        penalised=decision.kept and failed,
        language=facts.language,
    )

"""The curation policy: verify, then dedup, then decontaminate; the first reason found wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codeact.config import CurateConfig
from codeact.curate.decontaminate import BenchmarkItem, build_index, find_overlap
from codeact.curate.dedup import find_duplicates
from codeact.curate.verify import verify_record
from codeact.errors import InputError
from codeact.progress import track
from codeact.records import Record

MAX_DETAIL_CHARS = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """What curation decided about one record.

    Attributes:
        id: the record's id.
        kept: whether it stays in the pool.
        reason: "" if kept, else "syntax error", "Python 2 syntax", "truncated fence", "duplicate" or "benchmark overlap".
        detail: the evidence, in one line.
        duplicate_of: id of the record that represents its group, for a duplicate.
        benchmark_item: "benchmark:item id", for an overlap.
    """

    id: str
    kept: bool
    reason: str = ""
    detail: str = ""
    duplicate_of: str | None = None
    benchmark_item: str | None = None


def curate(
    records: Sequence[Record],
    config: CurateConfig,
    benchmark_items: Mapping[str, Sequence[BenchmarkItem]] | None = None,
    *,
    quiet: bool = False,
) -> list[Decision]:
    """Decide about every record; one decision per record, in the order given.

    A record dropped by one stage takes no part in the next: broken code never represents a group of duplicates.

    Args:
        records: the pool; ids are unique.
        config: which stages run, and the n-gram length.
        benchmark_items: benchmark name -> its tasks, for every benchmark that `config.decontaminate` names.
        quiet: show no progress.

    Raises:
        InputError: `config.decontaminate` names a benchmark without tasks in `benchmark_items`, or two records share an id.
    """
    dropped: dict[str, Decision] = {}
    if len({record.id for record in records}) != len(records):
        raise InputError("curate: two records share an id; make the ids unique")
    for name in config.decontaminate:
        if not (benchmark_items or {}).get(name):
            raise InputError(
                f"curate.decontaminate: no tasks of the benchmark {name!r} were given; load them, or leave it out"
            )
    if config.verify:
        with track("verify", len(records), quiet=quiet) as progress:
            for record in records:
                verdict = verify_record(record)
                if verdict.status == "failed":
                    dropped[record.id] = Decision(record.id, False, verdict.reason, verdict.detail)
                progress.advance()
    if config.dedup:
        with track("dedup", len(records), quiet=quiet) as progress:
            left = [record for record in records if record.id not in dropped]
            for copy, original in find_duplicates(left).items():
                dropped[copy] = Decision(copy, False, "duplicate", f"same as {original}", duplicate_of=original)
            progress.advance(len(records))
    if config.decontaminate and benchmark_items is not None:
        index = build_index([item for name in config.decontaminate for item in benchmark_items[name]], config.ngram)
        with track("decontaminate", len(records), quiet=quiet) as progress:
            for record in records:
                overlap = None if record.id in dropped else find_overlap(record, index)
                if overlap is not None:
                    item = f"{overlap.item.benchmark}:{overlap.item.id}"
                    detail = f"{overlap.method}: {overlap.text}"[:MAX_DETAIL_CHARS]
                    dropped[record.id] = Decision(record.id, False, "benchmark overlap", detail, benchmark_item=item)
                progress.advance()
    return [dropped.get(record.id, Decision(record.id, True)) for record in records]

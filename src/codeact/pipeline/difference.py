"""Two runs side by side: what one selected and the other did not, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact.config import flatten
from codeact.files import name_of
from codeact.pipeline.outcomes import Outcomes, read_outcomes, sentence
from codeact.rundir.reading import reading

ELSEWHERE = ("run_dir",)  # settings that decide nothing


def diff(one: str | Path, other: str | Path) -> dict[str, Any]:
    """What the first run selected and the second did not, and the other way round. Records are the same where their ids are.

    Returns:
        `both`, `overlap` (Jaccard index); `sources`, of mixtures: name -> [selected of the first, of the second]; `settings`,
        key -> [first, second] where they differ; `only_first` and `only_second`: `count`, `reasons` (why the other run lacks them ->
        how many) and `records` (id, row, and the other run's sentence, in the order of the data).

    Raises:
        InputError: one of them is no run directory, or was changed while it was read.
    """
    with reading(one) as here, reading(other) as there:
        return _difference(read_outcomes(here), read_outcomes(there), name_of(one), name_of(other))


def _difference(first: Outcomes, second: Outcomes, one: str, other: str) -> dict[str, Any]:
    chosen = [_selected(outcomes) for outcomes in (first, second)]
    union = len(chosen[0] | chosen[1])
    return {
        "first": one, "second": other,
        "selected": [len(chosen[0]), len(chosen[1])],
        "both": len(chosen[0] & chosen[1]),
        "overlap": len(chosen[0] & chosen[1]) / union if union else 1.0,
        "sources": _sources([first, second], chosen),
        "settings": _settings(first, second),
        "only_first": _only(first, second, chosen[0] - chosen[1]),
        "only_second": _only(second, first, chosen[1] - chosen[0]),
    }  # fmt: skip


def diff_lines(found: Mapping[str, Any], shown: int) -> list[str]:
    """A difference for people, with the first `shown` records of each side."""
    first, second = found["first"], found["second"]
    lines = [f"{first}: {found['selected'][0]:,} selected; {second}: {found['selected'][1]:,} selected"]
    lines += [f"both: {found['both']:,} (Jaccard index {found['overlap']:.3f})"]
    lines += [f"  {key}: {a} | {b}" for key, (a, b) in found["settings"].items()]
    lines += [f"  selected of {name}: {a:,} | {b:,}" for name, (a, b) in found["sources"].items()]
    for key, here, there in (("only_first", first, second), ("only_second", second, first)):
        side = found[key]
        lines += ["", f"only {here}: {side['count']:,}"]
        lines += [f"  {count:,} not in {there}: {reason}" for reason, count in side["reasons"].items()]
        lines += [f"    {row['id']}  there {row['sentence']}" for row in side["records"][:shown]]
        if side["count"] > shown:
            lines += [f"    and {side['count'] - shown:,} more (--show {side['count']}, or --json)"]
    return lines


def _selected(outcomes: Outcomes) -> set[str]:
    return {i for i, row in outcomes.rows.items() if row["status"] == "kept" and row["stage"] == "sample"}


def _sources(both: Sequence[Outcomes], chosen: Sequence[set[str]]) -> dict[str, list[int]]:
    counts = [Counter(str(outcomes.rows[i]["source"]) for i in ids if "source" in outcomes.rows[i]) for outcomes, ids in zip(both, chosen, strict=True)]
    return {name: [count[name] for count in counts] for name in sorted(counts[0] | counts[1])}


def _only(here: Outcomes, there: Outcomes, ids: set[str]) -> dict[str, Any]:
    ordered = [identity for identity in here.rows if identity in ids]
    reasons = Counter(_reason(there, identity) for identity in ordered)
    records = [
        {"id": i, "row": here.rows[i]["row"], "sentence": sentence(there, there.rows[i]) if i in there.rows else "not in its data"}
        for i in ordered
    ]
    return {"count": len(ordered), "reasons": dict(reasons.most_common()), "records": records}


def _reason(outcomes: Outcomes, identity: str) -> str:
    row = outcomes.rows.get(identity)
    return "not in its data" if row is None else f"{row['stage']}, {row['reason'] or 'nothing was chosen yet'}"


def _settings(first: Outcomes, second: Outcomes) -> dict[str, list[Any]]:
    flat = [flatten(outcomes.recipe.model_dump(mode="json")) for outcomes in (first, second)]
    return {key: [flat[0].get(key), flat[1].get(key)] for key in flat[0] | flat[1]
            if key not in ELSEWHERE and flat[0].get(key) != flat[1].get(key)}  # fmt: skip

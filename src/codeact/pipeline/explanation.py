"""One record of a run: its outcome in a sentence, its neighbours, the settings that would change it, and what each token gained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import Recipe
from codeact.errors import InputError
from codeact.mirror import name_of_run
from codeact.pipeline.outcomes import Outcomes, read_outcomes, sentence
from codeact.rundir import tables
from codeact.rundir.reading import reading
from codeact.rundir.store import Store
from codeact.sample.strategies import STRATEGIES
from codeact.stages.columns import lacking, vectors
from codeact.stages.pool import pool_stages, read_mixture, read_pool, records_by_id
from codeact.stages.sample import choose_from_run, tables_for
from codeact.types import Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa

NEIGHBOURS = 5
MOST_FOUND = 20
MOST_FOR_ORDER = 3_000  # records; strategies with an order of their own take quadratic time
STEPS = 100  # of the ratio
EXCERPT = 100


def explain(
    run_dir: str | Path, record_id: str = "", *, row: int | None = None, find: str = "", tokens: bool = False
) -> dict[str, Any]:
    """Everything a run knows about one record. Its settings are really tried: the strategy chooses again with each.

    Args:
        run_dir: of a finished run.
        record_id: of the record, or how it begins.
        row: of the data instead, the first is 1.
        find: a text that the record holds instead, in any case.
        tokens: also load the model and say what the instruction saves on each token of the answer.

    Returns:
        The ledger's row; `sentence`; `words` of its cluster; `score`, `lengths` and `record`, where the run has them; `neighbours`; `changes`, settings
        and what they would do; `tokens`, nats with and without the instruction.

    Raises:
        InputError: no ledger there, or no such record, or several (the nearest ones are named); or it was changed while it was read.
    """
    with reading(run_dir) as root:
        return _explained(read_outcomes(root), record_id, row, find, tokens)


def _explained(outcomes: Outcomes, record_id: str, row: int | None, find: str, tokens: bool) -> dict[str, Any]:
    identity = find_record(outcomes, record_id, row, find)
    told = outcomes.rows[identity]
    ratio = changing_ratio(outcomes, told)
    found: dict[str, Any] = dict(told)
    found["sentence"] = sentence(outcomes, told, _at_ratio(told, ratio))
    found["words"] = list(outcomes.words.get(told["cluster"], ()))
    for stage, key in (("score", "score"), ("lengths", "lengths"), ("records", "record")):
        if stage in outcomes.done:
            match = outcomes.store.table(stage)
            rows = match.filter(_equal(match["id"], identity)).to_pylist()
            found[key] = {name: value for name, value in rows[0].items() if name != "token_log_ifd"} if rows else None
    found["neighbours"] = neighbours(outcomes, identity)
    found["changes"] = list(changes(outcomes, told, ratio))
    if tokens:
        found["tokens"] = token_gains(outcomes, identity)
    return found


def find_record(outcomes: Outcomes, record_id: str, row: int | None, find: str) -> str:
    """The id of the one record that is meant.

    Raises:
        InputError: none, several, or not exactly one way of naming it.
    """
    import difflib

    if (record_id != "") + (row is not None) + (find != "") != 1:
        raise InputError("explain: name the record by its id, by --row, or by --find, one of the three")
    if row is not None:
        match = [identity for identity, told in outcomes.rows.items() if told["row"] == row - 1]
        if not match:
            raise InputError(f"{outcomes.name}: there is no row {row}; the data has rows 1 to {len(outcomes.rows):,}")
        return match[0]
    if find:
        match = list(holding(outcomes, find))
        if len(match) != 1:
            raise InputError(_several(outcomes, match, f"{find!r} in its text"))
        return match[0]
    if record_id in outcomes.rows:
        return record_id
    match = [identity for identity in outcomes.rows if identity.startswith(record_id)]
    if len(match) > 1:
        raise InputError(_several(outcomes, match, f"an id that begins with {record_id!r}"))
    if match:
        return match[0]
    near = difflib.get_close_matches(record_id, list(outcomes.rows), n=3, cutoff=0.3) or list(outcomes.rows)[:3]
    raise InputError(f"{outcomes.name}: no record has the id {record_id!r}; near ones: {', '.join(near)}")


def holding(outcomes: Outcomes, text: str) -> Iterator[str]:
    """Ids of the records that hold a text in any of their turns, whatever its case."""
    wanted = text.casefold()
    for some in outcomes.store.parts("records").values():
        for record in tables.records_from(some):
            if any(wanted in part.casefold() for m in record.messages for part in (m.content, m.reasoning, m.tool_calls)):
                yield record.id


def _several(outcomes: Outcomes, match: Sequence[str], what: str) -> str:
    if not match:
        return f"{outcomes.name}: no record has {what}"
    lines = [f"\n  {identity}  {sentence(outcomes, outcomes.rows[identity])}" for identity in match[:MOST_FOUND]]
    more = f"\n  and {len(match) - MOST_FOUND:,} more" if len(match) > MOST_FOUND else ""
    return f"{outcomes.name}: {len(match):,} records have {what}; name one by its id:{''.join(lines)}{more}"


def neighbours(outcomes: Outcomes, identity: str) -> list[dict[str, Any]]:
    """The records whose embeddings are nearest, with their outcomes: by cosine, at most five; none without embeddings."""
    if "embed" not in outcomes.done:
        return []
    table = outcomes.store.table("embed")
    ids = table["id"].to_pylist()
    if identity not in ids:
        return []
    points, at = vectors(table), ids.index(identity)
    cosine = points @ points[at]
    cosine[at] = -np.inf
    nearest = np.argsort(-cosine, kind="stable")[: min(NEIGHBOURS, len(ids) - 1)]
    texts = records_of(outcomes.store, [ids[n] for n in nearest])
    found = []
    for n, record in zip(nearest.tolist(), texts, strict=True):
        row = outcomes.rows[ids[n]]
        first = " ".join(record.instruction.split())[:EXCERPT]
        found.append({"id": ids[n], "cosine": round(float(cosine[n]), 4), "instruction": first}
                     | {key: row[key] for key in ("status", "reason", "cluster", "ifd")})  # fmt: skip
    return found


def records_of(store: Store, ids: Sequence[str]) -> list[Any]:
    """These records of a run, in this order.

    Raises:
        InputError: a row never became a record.
    """
    found = records_by_id(store, ids)
    lacking = next((identity for identity in ids if identity not in found), None)
    if lacking is not None:
        raise InputError(f"{name_of_run(store.root)}: the row {lacking!r} never became a record, so its text is not there")
    return [found[identity] for identity in ids]


def changing_ratio(outcomes: Outcomes, row: Mapping[str, Any]) -> float | None:
    """The ratio nearest to the run's, in steps of a hundredth, at which a record's outcome is the other one; None where none is found.

    Each is tried: the strategy chooses again from the run's tables. A dropped record is looked for above the ratio, a kept one below it.
    """
    if row["stage"] != "sample" or not _can_choose(outcomes, outcomes.recipe):
        return None
    kept, at = row["status"] == "kept", outcomes.recipe.sample.ratio * STEPS
    pool = _pool(outcomes)

    def other(step: int) -> bool:
        return chosen_with(outcomes, pool, row["id"], {"ratio": step / STEPS}) is not kept

    steps = list(range(int(np.ceil(at)) - 1, 0, -1)) if kept else list(range(int(at) + 1, STEPS + 1))
    if outcomes.recipe.data.weights:  # the quota of a small source ends the way
        steps = list(takewhile(lambda step: chosen_with(outcomes, pool, row["id"], {"ratio": step / STEPS}) is not None, steps))
    if not steps or not other(steps[-1]):
        return None
    low, high = -1, len(steps) - 1  # halving, as if a larger budget only added records; what is told was tried
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if other(steps[middle]) else (middle, high)
    return steps[high] / STEPS


def chosen_with(outcomes: Outcomes, pool: pa.Table, identity: str, settings: Mapping[str, Any]) -> bool | None:
    """Whether the record is selected where `sample` has these settings; None where the choice cannot be made from the run's tables."""
    config = outcomes.recipe.sample.model_copy(update=dict(settings))
    ids: list[str] = pool["id"].to_pylist()
    mixture = read_mixture(pool, outcomes.recipe.data.weights)
    try:
        found, _ = choose_from_run(outcomes.store, ids, config, outcomes.recipe.seed_of("sample"), mixture=mixture)
    except InputError:
        return None
    return bool(found.selected[ids.index(identity)])


def changes(outcomes: Outcomes, row: Mapping[str, Any], ratio: float | None) -> Iterator[dict[str, Any]]:
    """Settings that would change the record's outcome: `set`, `then`, and `tried`, whether the choice was made again with it."""
    then = "dropped" if row["status"] == "kept" else "kept"
    if row["stage"] == "records":
        if row["reason"] == "limit":
            yield {"set": "data.limit=null", "then": "read", "tried": False}
        return
    if row["stage"] != "sample":
        yield from ({"set": one, "then": "not dropped there", "tried": False} for one in _curation(outcomes.recipe, row))
        return
    if ratio is not None:
        yield {"set": f"sample.ratio={ratio:g}", "then": then, "tried": True}
    sample, pool = outcomes.recipe.sample, _pool(outcomes)
    rules: list[tuple[str, dict[str, Any]]] = [(f"sample.{rule}", {rule: 0.0}) for rule in ("suspects", "min_gain", "floor") if getattr(sample, rule)]
    others: list[tuple[str, dict[str, Any]]] = [
        ("sample.strategy", {"strategy": name})
        for name, one in STRATEGIES.items()
        if name not in (sample.strategy, "full", "cdas-paper") and one.ranks
    ]
    for key, settings in (*rules, *others):
        recipe = outcomes.recipe.model_copy(update={"sample": sample.model_copy(update=settings)})
        if _can_choose(outcomes, recipe) and chosen_with(outcomes, pool, row["id"], settings) is (then == "kept"):
            yield {"set": f"{key}={next(iter(settings.values()))}", "then": then, "tried": True}
    needed = {"too_long": f"model.max_length above {outcomes.recipe.model.max_length}", "refused": "model.template, one that takes it"}
    if (state := outcomes.state(row)) in needed:
        yield {"set": needed[state], "then": "eligible", "tried": False}


def _curation(recipe: Recipe, row: Mapping[str, Any]) -> list[str]:
    """Settings of curation that drop no record for this reason."""
    reason, config = str(row["reason"]), recipe.curate
    if row["stage"] == "refine":
        return ["curate.semantic=null"]
    if reason == "duplicate":
        if str(row["detail"]).startswith("same as"):
            return ["curate.dedup=false"]
        return [*(["curate.renamed=false"] if config.renamed else []), *(["curate.near=null"] if config.near is not None else [])]
    if reason == "benchmark overlap":
        return ["curate.decontaminate=[]"]
    if row["status"] == "dropped" and config.verify:
        return ["curate.failed=penalise", "curate.verify=false"]
    return []


def _can_choose(outcomes: Outcomes, recipe: Recipe) -> bool:
    """Whether the run holds the tables that this choice reads, and is small enough for it."""
    small = STRATEGIES[recipe.sample.strategy].order is None or len(outcomes.rows) <= MOST_FOR_ORDER
    return small and not lacking((*tables_for(recipe.sample), "sample"), outcomes.done) and not recipe.score.adaptive


def _pool(outcomes: Outcomes) -> pa.Table:
    return read_pool(outcomes.store, pool_stages(outcomes.recipe.curate))


def _at_ratio(row: Mapping[str, Any], ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"dropped at ratio {ratio:g}" if row["status"] == "kept" else f"kept at ratio {ratio:g}"


def _equal(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.equal(column, value)


def token_gains(outcomes: Outcomes, identity: str) -> list[dict[str, Any]]:
    """What the instruction saves on each token of the answer: `text`, and nats `with` and `without` the instruction.

    The run's model is loaded and both passes of the default variant are made anew, with as much of the record as was scored.

    Raises:
        InputError: the run names no model or one whose files are others than those that scored, or the record has no score.
    """
    from codeact.lm.identity import model_identity
    from codeact.lm.models import load_model, load_tokenizer
    from codeact.lm.streams import stream_losses
    from codeact.score.sequences import build_sequences, default_template
    from codeact.stages.score import longest

    model = outcomes.recipe.model
    if not model.name:
        raise InputError(f"{outcomes.name}: the run has no model, so no token was scored")
    scored = outcomes.store.marker("score") if "score" in outcomes.done else None
    if scored and scored["config"]["model"]["identity"] != model_identity(model.name, model.revision):
        raise InputError(
            f"{outcomes.name}: the files of the model {model.name} are not those that scored; put these back, or score again with another run directory"
        )
    limit = longest(model, 1 if scored and "engine" in scored["config"] else 0)
    tokenizer = load_tokenizer(model.name, model.revision)
    template = default_template("default", tokenizer, model.template)
    (record,) = records_of(outcomes.store, [identity])
    made = build_sequences(record, template, tokenizer, "default", limit)
    if not made.streams:
        raise InputError(f"record {identity!r} has no tokens to score: its status is {made.status}")
    loaded = load_model(model.name, revision=model.revision, dtype=model.dtype, device=model.device, attention="any")
    (given, *alone) = stream_losses(loaded, made.streams, limit)
    with_it, without = given, np.concatenate(alone)
    ids = [i for span in made.conditional[0].spans for i in made.conditional[0].ids[span.start : span.end]]
    return [
        {"text": text, "with": float(a), "without": float(b)}
        for text, a, b in zip(_pieces(tokenizer, ids), with_it, without, strict=True)
    ]


def _pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[str]:
    """The text of each token; of a character that several tokens spell, the last has it all."""
    waiting: list[int] = []
    for identity in ids:
        waiting.append(identity)
        text = str(tokenizer.decode(waiting, clean_up_tokenization_spaces=False))
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(waiting) < 8:
            yield ""
        else:
            yield text
            waiting.clear()

"""Result files of the board: what is sent, how one that anybody sent is read, what is wrong with it, and the board of those that are sound."""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import machine, result_files
from codeact.errors import InputError
from codeact.rundir.store import digest
from experiments.leaderboard import pools
from experiments.leaderboard.rules import (
    BUDGETS,
    LISTED,
    MEASURES,
    RANDOM,
    SEEDS,
    check_entrant,
    lower_is_better,
    off_budget,
)

FORM = 3
KINDS = {
    "pool": str, "pool_digest": str, "pool_tokens": int, "model": str, "model_identity": str, "dtype": str, "entrant": str, "strategy": str,
    "list": list, "list_digest": str, "chosen": dict, "base": dict, "rows": list, "versions": dict,
}  # fmt: skip
ROW_KINDS = {"entrant": str, "strategy": str, "unit": str, "rate": float, "seeds": list, "records": float, "response_tokens": float, "metrics": dict}
DTYPES = ("float32", "bfloat16", "float16")
MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,95}")  # what a line of the board may hold
IDENTITY = re.compile(r"(sha256|hub):[A-Za-z0-9_.+/@: -]{1,300}")
LARGEST = 1e15  # of a figure
MOST_BYTES = 4_000_000  # of a result file unpacked; one of pool `middle` has a tenth of it
WHEN_AND_WHERE = ("command", "date", "machine", "versions")


def label(model: str, identity: str, dtype: str) -> str:
    """One board's model in the names of files: its name without folders, the beginning of its identity's digest, its number type."""
    return f"{published(model).rsplit('/', 1)[-1]}-{digest(identity)[:8]}-{dtype}"


def published(model: str) -> str:
    """A model's name as results tell it: of a local folder or file its own name alone, and no sign that a line of the board cannot hold."""
    path = Path(model).expanduser()
    name = path.resolve().name if path.exists() else model
    return re.sub(r"[^A-Za-z0-9_.+/-]", "_", name).lstrip(".+/-")[:96] or "model"


def result(summary: Mapping[str, Any], about: Mapping[str, Any], entries: Sequence[str], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent.

    Args:
        summary: of the comparison, see `codeact.comparison.results.summarise`.
        about: pool, pool_digest, pool_tokens, model, model_identity, dtype, entrant and strategy.
        entries: ids of a list; none for a strategy.
        chosen: budget -> seed -> ids that a strategy chose; nothing for a list.
    """
    rows = [{k: v for k, v in row.items() if k != "training_seconds"} for row in summary["rows"]]
    return {
        "form": FORM, **machine.provenance(), **about, "list": list(entries), "list_digest": digest(list(entries)), "chosen": chosen,
        "base": summary["base"], "rows": rows, "uneven": summary["uneven"],
    }  # fmt: skip


def read_result(path: Path) -> Any:
    """The document of a result file, whoever sent it.

    Raises:
        InputError: there is none that can be read.
    """
    try:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"holds more than {MOST_BYTES:,} bytes; give the .json.xz file that `enter` wrote")
        return json.loads(data)
    except FileNotFoundError as error:
        raise InputError("does not exist; `enter` writes it when all its trainings are done") from error
    except (OSError, ValueError, RecursionError, lzma.LZMAError, EOFError) as error:
        raise InputError("cannot be read; give the .json.xz file that `enter` wrote") from error


def write_result(path: Path, found: Mapping[str, Any]) -> None:
    """Write a result; one of the same entry with the same figures is replaced.

    Raises:
        InputError: the file holds anything else.
    """
    check_free(path, found, [key for key in found if key not in WHEN_AND_WHERE])
    result_files.write(path, found)


def check_free(path: Path, entry: Mapping[str, Any], keys: Collection[str]) -> None:
    """Refuse to replace a file that differs from this entry in one of these keys.

    Raises:
        InputError: it does, or it is no result.
    """
    if not path.exists():
        return
    try:
        there = read_result(path)
    except InputError as error:
        raise InputError(f"{path} {error}; move it away, or give another --out") from error
    plain = result_files.shortened(json.loads(json.dumps({key: entry[key] for key in keys})))
    if not isinstance(there, Mapping) or any(there.get(key) != value for key, value in plain.items()):
        raise InputError(f"{path} holds another result; move it away, or give another --name or --out")


def faults(found: Any) -> list[str]:
    """What is wrong with a result file, one line each; none: it may stand on the board."""
    if not isinstance(found, Mapping):
        return ["is no result of `enter`"]
    if found.get("form") != FORM:
        return [f"form {_told(found.get('form'))}; this kit reads {FORM}"]
    lacking = [key for key in KINDS if key not in found]
    if lacking:
        return [f"lacks {', '.join(lacking)}"]
    wrong = [key for key, kind in KINDS.items() if type(found[key]) is not kind]
    if wrong:
        return [f"{', '.join(wrong)}: not as `enter` writes it"]
    if not all(_is_row(row) for row in found["rows"]):
        return ["a row is not as `enter` writes it"]
    pool = pools.known().get(found["pool"])
    if pool is None:
        return [f"pool {_told(found['pool'])} is none of {', '.join(pools.known())}"]
    told = [] if found["pool_digest"] == pool["digest"] else [f"made on another version of pool {found['pool']!r}"]
    return [*told, *_of_entry(found), *_of_list(found, pools.candidates(pool)), *_of_rows(found, pool)]


def _of_entry(found: Mapping[str, Any]) -> list[str]:
    """Names, model and versions, and the model before training."""
    told = []
    try:
        check_entrant(found["entrant"][:200], found["strategy"][:200])  # they are told
    except InputError as error:
        told.append(str(error))
    if not MODEL.fullmatch(found["model"]) or not IDENTITY.fullmatch(found["model_identity"]) or found["dtype"] not in DTYPES:
        told.append("model, model_identity or dtype is not as `enter` writes it")
    if not found["versions"]:
        told.append("names no versions")
    if {*found["base"]} != {*MEASURES} or not all(map(is_figure, found["base"].values())):
        told.append("base: the model before training has not every measure of the board as a number")
    return told


def _of_list(found: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """The list of ids, or the ids that a strategy chose."""
    if found["strategy"] == LISTED:
        if found["chosen"]:
            return ["chosen: an entrant that is a list has none"]
        told = [] if found["list"] else ["its list is empty"]
        told += _of_ids(found["list"], known, "its list")
        if not told and digest(found["list"]) != found["list_digest"]:
            told.append("its list is not the one that was trained on")
        return told
    if found["list"]:
        return [f"its list is of no use: it was made by strategy {_told(found['strategy'])}"]
    chosen = {(rate, seed): ids for rate, of_rate in found["chosen"].items() if isinstance(of_rate, dict) for seed, ids in of_rate.items()}
    if {*chosen} != {(f"{rate:g}", str(seed)) for rate in BUDGETS for seed in SEEDS} or not all(isinstance(ids, list) for ids in chosen.values()):
        return ["chosen: it does not hold the ids of each budget and seed"]
    return [line for (rate, seed), ids in chosen.items() for line in _of_ids(ids, known, f"chosen at {rate} with seed {seed}")]


def _of_ids(ids: Sequence[Any], known: Collection[str], what: str) -> list[str]:
    outside = [one for one in ids if not isinstance(one, str) or one not in known]
    if outside:
        return [f"{what} names {len(outside):,} records that are no candidates of the pool, {_told(outside[0])} first"]
    return [f"{what} names a record twice"] if len(set(ids)) < len(ids) else []


def _of_rows(found: Mapping[str, Any], pool: Mapping[str, Any]) -> list[str]:
    """One row for each name and budget and no other, of the same seeds, unit, sizes and measures, with differences that follow from the values."""
    names = (*RANDOM, found["entrant"])
    wanted = [(name, rate) for rate in BUDGETS for name in names]
    places = [(row["entrant"], row["rate"]) for row in found["rows"]]
    told = []
    if not 0 < found["pool_tokens"] <= pool["bytes"]["all"] + len(pool["ids"]):  # a token is a byte at least; each response ends with one more
        told.append(f"pool_tokens: {_told(found['pool_tokens'])} are not what the pool's {pool['bytes']['all']:,} bytes of responses can have")
    if extra := [place for place, times in Counter(places).items() if place not in wanted or times > 1]:
        told.append(f"more rows than the board has: {_told(extra[0][0])} at {_told(extra[0][1])}")
    if lacking := [place for place in wanted if place not in places]:
        told += [f"no {_told(name)} at {rate:.0%}" for name, rate in lacking]
    if told:
        return told
    rows = {(row["entrant"], row["rate"]): row for row in found["rows"]}
    strategies = dict.fromkeys(RANDOM, "random") | {found["entrant"]: found["strategy"]}
    for name, rate in wanted:
        row, where = rows[name, rate], f"{_told(name)} at {rate:.0%}"
        if sorted(row["seeds"]) != list(SEEDS):
            told.append(f"{where}: not trained with seeds {', '.join(map(str, SEEDS))}")
        if row["unit"] != "tokens" or row["strategy"] != strategies[name]:
            told.append(f"{where}: it is of strategy {_told(strategies[name])}, with a budget of tokens, and the row says otherwise")
        if wrong := off_budget(pool, found["pool_tokens"], rate, row["response_tokens"]):
            told.append(f"{where}: the budget is not met: {wrong}")
        told += [f"{where}: {line}" for line in _of_metrics(row, [rows[rival, rate] for rival in RANDOM if rival != name])]
    return told + ([] if told else _of_sizes(found, rows))


def _of_sizes(found: Mapping[str, Any], rows: Mapping[tuple[str, float], Mapping[str, Any]]) -> list[str]:
    """Whether the numbers of records are those of the list, or of what a strategy chose."""
    told = []
    for rate in BUDGETS:
        records, of_rate = rows[found["entrant"], rate]["records"], found["chosen"].get(f"{rate:g}", {})
        counts = [len(ids) for ids in of_rate.values() if isinstance(ids, list)]
        fits = abs(records - fmean(counts)) < 1e-6 if counts else 0 < records <= len(found["list"])
        if not fits:
            told.append(f"{rate:.0%}: it was trained on {records:,.0f} records, and the ids that it names are not so many")
    return told


def _of_metrics(row: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    """The board's measures and no other, each on the items of the rivals, with the difference from these that the values have."""
    if {*row["metrics"]} != {*MEASURES}:
        return [f"its measures are not the board's: {', '.join(MEASURES)}"]
    told = []
    for measure, one in row["metrics"].items():
        if one is None or one["minus_against"] is None:
            told.append(f"{measure}: not measured, or without a difference")
            continue
        change, theirs = one["minus_against"], [rival["metrics"].get(measure) for rival in rivals]
        if any(other is None for other in theirs):
            continue  # told of the rival
        measured = [number for side in (one, *theirs) for number in (side["value"], side["items"])]
        if not all(map(is_figure, [*measured, change["difference"], *change["interval"], change["items"]])):
            told.append(f"{measure}: a figure is no number")
        elif {one["items"], change["items"], *(other["items"] for other in theirs)} != {one["items"]}:
            told.append(f"{measure}: measured on other items than the random draws")
        else:
            expected = one["value"] - fmean(other["value"] for other in theirs)
            low, high = change["interval"]
            slack = 1e-6 * max(1.0, *(abs(other["value"]) for other in [one, *theirs]))
            if abs(change["difference"] - expected) > slack or not low - slack <= expected <= high + slack:
                told.append(f"{measure}: the values differ by {expected:+.4f}, and {change['difference']:+.4f} [{low:+.4f}, {high:+.4f}] is given")
    return told


def is_figure(value: Any) -> bool:
    """Whether it is a finite number, of a size that can be computed with."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def _is_row(row: Any) -> bool:
    """Whether a row has all that is read of it, in the types that it is read as; numbers may still be none, as NaN."""
    if not isinstance(row, Mapping):
        return False
    for key, kind in ROW_KINDS.items():
        fits = is_figure(row.get(key)) if kind is float else isinstance(row.get(key), kind)
        if not fits:
            return False
    return all(type(seed) is int for seed in row["seeds"]) and all(one is None or _is_metric(one) for one in row["metrics"].values())


def _is_metric(one: Any) -> bool:
    if not isinstance(one, Mapping) or not {"value", "items", "minus_against"} <= one.keys():
        return False
    change = one["minus_against"]
    return change is None or (isinstance(change, Mapping) and {"difference", "items"} <= change.keys() and _is_pair(change.get("interval")))


def _is_pair(ends: Any) -> bool:
    return isinstance(ends, list) and len(ends) == 2


def _told(value: Any) -> str:
    """A value of somebody's file, as a line may hold it: in ASCII, and short."""
    text = ascii(value) if isinstance(value, str | float | None) or is_figure(value) else f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def board_of(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """What results have in common that are compared with each other: pool, model by its content, number type."""
    return found["pool"], found["model_identity"], found["dtype"]


def board(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown, of sound results: of each pool, model, number type and budget the entrants' differences to the mean of the three draws,
    measure by measure in the order of `compare`, best first."""
    lines = ["| pool | model | budget | tokens minus random | entrant | measure | minus random |", "|---|---|---|---|---|---|---|"]
    rows = []
    for found in results:
        model = f"{found['model']} ({digest(found['model_identity'])[:8]}, {found['dtype']})"
        for row in found["rows"]:
            if row["entrant"] != found["entrant"]:
                continue
            drawn = fmean(one["response_tokens"] for one in found["rows"] if one["entrant"] in RANDOM and one["rate"] == row["rate"])
            more = row["response_tokens"] / drawn - 1
            for measure, one in row["metrics"].items():
                change = one["minus_against"]
                better = change["difference"] if lower_is_better(measure) else -change["difference"]
                key = (*board_of(found), row["rate"], MEASURES.index(measure), better)
                told = "{:+.4f} [{:+.4f}, {:+.4f}]".format(change["difference"], *change["interval"])
                rows.append((key, f"| {found['pool']} | {model} | {row['rate']:.0%} | {more:+.1%} | {row['entrant']} | {measure} | {told} |"))
    return [*lines, *(line for _, line in sorted(rows))]

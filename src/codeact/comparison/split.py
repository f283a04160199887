"""Which records a comparison may choose from, which it keeps out, and which an earlier one has used up."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from codeact import row_output, storage
from codeact.amounts import amount
from codeact.comparison.grid import Comparison, shared_dir, source_recipe
from codeact.config import Recipe, read_yaml
from codeact.draws import seeded_subset
from codeact.errors import InputError
from codeact.records import Record, read_data, reading_lines
from codeact.rundir import tables
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import digest, file_digest

log = logging.getLogger(__name__)
DRAWN = "markers/records.json"
IN_COMMON = 0.1  # share of a pool's records that another may have without a word: standard errors are 1.2 times too small at most, for three pools
POOL_FILE, HELD_OUT_FILE, POOLS_FILE = "pool.jsonl", "held_out.jsonl", "pools.json"


def divide(comparison: Comparison, root: Path) -> list[Record]:
    """Write pool.jsonl and held_out.jsonl once; no instruction is in both, nor in a comparison of `apart_from`.

    Also pools.json: the pools that will be drawn, by which a comparison that keeps apart from this one sees whether all of them are.

    Returns:
        The held-out records.

    Raises:
        InputError: bad data, too few instructions, or a comparison of `apart_from` that has not drawn all its records.
    """
    recipe = source_recipe(comparison)
    inputs = Inputs(recipe)
    wanted = _wanted(comparison, inputs)
    marker = root / "split.json"
    drawn = {path.parent.parent.name for path in root.glob(f"shared*/{DRAWN}")}
    planned = {shared_dir(comparison, seed).name for seed in comparison.seeds}
    storage.write_checked(root / POOLS_FILE, {"pools": sorted(drawn | planned)})
    if _is_divided(marker, wanted):
        return held_out_records(comparison, root)
    source, reading = inputs.source, inputs.read()
    records = reading.usable()
    used = set().union(*(used_instructions(Path(earlier), recipe) for earlier in comparison.apart_from))
    texts = {r.id: normal_text(r.instruction) for r in records}
    unused = sorted(set(texts.values()) - used)
    if comparison.held_out >= len(unused):
        apart = f" that {', '.join(comparison.apart_from)} did not use" if comparison.apart_from else ""
        raise InputError(
            f"held_out = {comparison.held_out}, but {source.name} has {amount(len(unused), 'distinct instruction')}{apart}; lower it"
        )
    # a draw is by a hash of the seed: without the earlier ones in it, it would go on where theirs ended
    salt = digest(wanted["apart_from"]) if comparison.apart_from else ""
    order = {digest([salt, text]): text for text in unused} if salt else {text: text for text in unused}
    chosen = {order[key] for key in seeded_subset(list(order), comparison.held_out, recipe.seed)}
    first = {texts[r.id]: r for r in reversed(records)}
    kept_out = [int(first[text].meta["row"]) for text in chosen]
    outside = {int(r.meta["row"]) for r in records if texts[r.id] in chosen or texts[r.id] in used}
    pool = [row for row in range(len(source.rows)) if row not in outside]
    check_pools(comparison, len(pool))
    plain = storage.Source(source.name, source.rows)
    row_output.write_rows(plain, pool, root / POOL_FILE)
    row_output.write_rows(plain, kept_out, root / HELD_OUT_FILE)
    files = {name: file_digest(root / name) for name in (POOL_FILE, HELD_OUT_FILE)}
    storage.write_checked(marker, {**wanted, "files": files})
    log.info("pool: %d rows (%d unusable), held out: %d", len(pool), len(reading.rejected), len(kept_out))
    for line in reading_lines(reading.summary()):
        log.info("%s", line)
    return held_out_records(comparison, root)


def held_out_records(comparison: Comparison, root: Path) -> list[Record]:
    """The records that `divide` has kept out.

    Raises:
        InputError: their file is not there, or broken.
    """
    return _read_records(root / HELD_OUT_FILE, source_recipe(comparison)) if comparison.held_out else []


def is_divided(comparison: Comparison, root: Path) -> bool:
    """Whether `divide` would keep the two files as they are.

    Raises:
        InputError: as `divide`.
    """
    marker = root / "split.json"
    return marker.exists() and _is_divided(marker, _wanted(comparison, Inputs(source_recipe(comparison))))


def _wanted(comparison: Comparison, inputs: Inputs) -> dict[str, Any]:
    """What the two files are made of, as JSON values."""
    recipe = inputs.recipe
    wanted = {"data": inputs.identity(), "map": recipe.data.map, "held_out": comparison.held_out, "seed": recipe.seed}
    if comparison.apart_from:
        wanted["apart_from"] = [[file_digest(path) for path in _used_files(Path(earlier))] for earlier in comparison.apart_from]
    found: dict[str, Any] = json.loads(json.dumps(wanted, default=str))
    return found


def _is_divided(marker: Path, wanted: dict[str, Any]) -> bool:
    """Whether the two files were made of exactly this, and are whole."""
    found = storage.read_checked(marker) or {}
    files = found.pop("files", {})
    found.pop("check", None)
    paths = {marker.with_name(name): known for name, known in files.items()}
    return found == wanted and all(path.exists() and file_digest(path) == known for path, known in paths.items())


def check_pools(comparison: Comparison, rows: int) -> str | None:
    """What the pools of the seeds have in common, in one line for people; None where it is a tenth or less, or where there is one pool.

    Of `rows` rows each pool has a share p, drawn independently, so two pools share p of theirs. If what a pool does is a mean over its
    records, the effects of two pools correlate by p: the mean over n pools varies by (1 + (n - 1) p) / n of an effect's variance, and the
    variance seen between them is 1 - p of it. So a standard error over pools is too small by sqrt((1 + (n - 1) p) / (1 - p)).

    Args:
        comparison: what is planned.
        rows: that the pools are drawn from.

    Raises:
        InputError: each seed would draw all rows.
    """
    drawn, pools = source_recipe(comparison).data.limit, len(comparison.seeds)
    if not comparison.pool_per_seed or drawn is None or pools < 2:
        return None
    if drawn >= rows:
        apart = f" and what {', '.join(comparison.apart_from)} used" if comparison.apart_from else ""
        raise InputError(
            f"pool_per_seed: each seed draws {amount(drawn, 'record')}, and there are {amount(rows, 'row')} besides those held out{apart},"
            " so all pools would be the same; lower recipe.data.limit, or set pool_per_seed: false"
        )
    share = drawn / rows
    if share <= IN_COMMON:
        return None
    narrow = math.sqrt((1 + (pools - 1) * share) / (1 - share))
    return (
        f"two pools share {share:.0%} of their records ({drawn:,} of {rows:,} rows each), so intervals that speak of other records are"
        f" too narrow, by about {narrow:.1f} times; lower recipe.data.limit, or give more data"
    )


def pool_rows(root: Path) -> int | None:
    """Rows of the file that the pools are drawn from; None before it is written."""
    path = root / POOL_FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)


def check_seeds(comparison: Comparison) -> None:
    """What a seeded draw left is no random sample for a second draw under the same seed.

    Raises:
        InputError: a comparison of `apart_from` has drawn its pool under a seed that this one uses too.
    """
    recipe = source_recipe(comparison)
    own = {*comparison.seeds} if comparison.pool_per_seed else {recipe.seed}
    for earlier in comparison.apart_from:
        for path in sorted(Path(earlier).glob("shared*/recipe.yaml")):
            theirs = read_yaml(path)
            seed = theirs.get("seed", 0)
            if recipe.data.limit and theirs.get("data", {}).get("limit") and seed in own:
                raise InputError(
                    f"apart_from: {earlier} drew its records under seed {seed}, so what it left is no random sample under that seed;"
                    f" use other {'seeds' if comparison.pool_per_seed else 'values of recipe.seed'}"
                )


def used_instructions(earlier: Path, recipe: Recipe) -> set[str]:
    """Normalised instructions that the comparison in this run directory chose from or kept out.

    Raises:
        InputError: none is there, or not all of its records are drawn.
    """
    used: set[str] = set()
    for path in _used_files(earlier):
        whole = path.suffix == ".parquet"
        records = tables.records_from(storage.read_parquet(path)) if whole else _read_records(path, recipe)
        used |= {normal_text(record.instruction) for record in records}
    return used


def _used_files(earlier: Path) -> list[Path]:
    found, held_out = sorted(earlier.glob("shared*/records.parquet")), earlier / HELD_OUT_FILE
    if not found:
        raise InputError(
            f"apart_from: {earlier} holds no comparison's records (shared/records.parquet); run that comparison first, or go without: apart_from=[]"
        )
    pools = (storage.read_checked(earlier / POOLS_FILE) or {}).get("pools")
    if pools is None:
        raise InputError(f"apart_from: {earlier} does not say which pools it draws ({POOLS_FILE}); run that comparison's command again, which keeps what is done")
    if left := [name for name in pools if not (earlier / name / DRAWN).exists()]:
        raise InputError(f"apart_from: {earlier} has not drawn all its records yet ({', '.join(left)} is left); run that comparison until it has, then this one")
    return [*found, held_out] if held_out.exists() else found


def normal_text(instruction: str) -> str:
    """An instruction as it is compared: without case, and without the number of blanks."""
    return " ".join(instruction.lower().split())


def _read_records(path: Path, recipe: Recipe) -> list[Record]:
    return read_data(path, recipe.data.map).records

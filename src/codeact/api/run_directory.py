"""What the directory of a run tells: its `report`, what became of a record, and how far chance decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codeact import config, storage
from codeact.errors import InputError, MissingExtraError
from codeact.pipeline.ledger import finished, ledger_table
from codeact.rundir.store import Store


def report(run_dir: str | Path) -> Path:
    """Write report.json and report.html from the tables of a run and return the page's path (report.json without plotly).

    Raises:
        InputError: the folder is no run directory.
    """
    from codeact.reporting import write_report

    root = Path(run_dir)
    if not (root / "markers").is_dir():
        raise InputError(
            f"{root} is not a run directory (it has no markers/); give the folder that `codeact run` or `select` printed"
        )
    try:
        return write_report(root)
    except MissingExtraError:
        return root / "report.json"  # written by then; the page alone needs plotly


def summary_rows(run_dir: str | Path) -> list[tuple[str, str]]:
    """The report's main figures as (name, value) lines for a terminal."""
    from codeact.reporting import main_figures

    return main_figures(storage.read_json(Path(run_dir) / "report.json"))


def score_summary(run_dir: str | Path, ratio: float | None = None, examples: int = 0) -> dict[str, Any]:
    """How a run's scores follow response length, and a few records; see `codeact.reporting.scores.summarise_scores`."""
    from codeact.reporting.scores import summarise_scores

    root = Path(run_dir)
    share = config.load_recipe(root / "recipe.yaml").sample.ratio if ratio is None else ratio
    return summarise_scores(Store(root), share, examples)


def explain(run_dir: str | Path, record_id: str) -> dict[str, Any]:
    """Everything a run knows about one record: its ledger row, score and text.

    Raises:
        InputError: no ledger there, or no such id (the nearest ones are named).
    """
    import difflib

    root = Path(run_dir)
    if not (root / "ledger.parquet").exists() or not (root / "recipe.yaml").exists():
        raise InputError(f"{root} holds no ledger.parquet; give the folder of a finished run")
    store = Store(root)
    done = finished(store, config.load_recipe(root / "recipe.yaml"))
    table = ledger_table(store, done)  # the file may be older than the tables, where a later run was stopped
    rows = {row["id"]: row for row in table.to_pylist()} if table is not None else {}
    if record_id not in rows:
        near = difflib.get_close_matches(record_id, list(rows), n=3, cutoff=0.3) or list(rows)[:3]
        raise InputError(f"{root}: no record has the id {record_id!r}; near ones: {', '.join(near)}")
    found: dict[str, Any] = dict(rows[record_id])
    for stage, key in (("score", "score"), ("records", "record")):
        if stage in done:
            match = [r for r in store.table(stage).to_pylist() if r["id"] == record_id]
            found[key] = match[0] if match else None
    return found


def stability(run_dir: str | Path, **choices: Any) -> dict[str, Any]:
    """Overlap (Jaccard) of a run's selection with those of other seeds, numbers of clusters and scoring models.

    Args:
        run_dir: of `select` or `run`.
        choices: seeds, ks, scores, strategy, ratio: see `codeact.pipeline.stability.measure_stability`.

    Returns:
        What that function returns, and `lines` for people.

    Raises:
        InputError: no selection there, or a score table that lacks a record.
    """
    from codeact.pipeline.stability import measure_stability, stability_lines

    found = measure_stability(run_dir, **choices)
    return {**found, "lines": stability_lines(found)}

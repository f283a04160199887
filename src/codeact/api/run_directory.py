"""What the directory of a run tells: its `report`, what became of a record, and how far chance decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from codeact import config, storage
from codeact.amounts import amount
from codeact.errors import InputError
from codeact.files import make_folder
from codeact.mirror import alone_at, put_back
from codeact.pipeline.difference import diff
from codeact.pipeline.explanation import explain
from codeact.rundir.reading import reading
from codeact.rundir.store import Store
from codeact.sources.remote import check_run_dir

if TYPE_CHECKING:
    from codeact.pipeline.stability import Choices

__all__ = ["cluster_lines", "diff", "explain", "report", "score_summary", "stability"]


@dataclass(frozen=True)
class Reported:
    """A report that was just written.

    Attributes:
        page: report.html.
        figures: what report.json holds.
    """

    page: Path
    figures: dict[str, Any]


def report(run_dir: str | Path) -> Path:
    """Write report.json and report.html from the tables of a run and return the page's path, of a run at an address that of a copy.

    Raises:
        InputError: the folder is no run directory, or lies where nothing can be put; or another process is working in it.
    """
    return reported(run_dir).page


def reported(run_dir: str | Path) -> Reported:
    """`report`, and its figures.

    Raises:
        InputError: as `report`.
    """
    check_run_dir(run_dir)
    with alone_at(run_dir) as root:
        if not Store(root).has_begun():
            raise InputError(
                f"{root} is not a run directory (no stage was begun in it); give the folder that `codeact run` or `select` printed"
            )
        make_folder(root, "copy the run directory to where it can be, and give that")
        with Store(root).lock():
            found = write_reported(root)
        put_back(run_dir, ("report.json", "report.html"))
    return found


def write_reported(root: Path) -> Reported:
    """The report of a run directory whose lock the caller has."""
    from codeact.reporting import write_report

    page = write_report(root)
    return Reported(page, storage.read_json(root / "report.json"))


def score_summary(run_dir: str | Path, ratio: float | None = None, examples: int = 0) -> dict[str, Any]:
    """How the scores in a run's folder follow response length, and a few records; see `codeact.reporting.scores.summarise_scores`."""
    from codeact.reporting.scores import summarise_scores

    root = Path(run_dir)
    share = config.kept_recipe(root).sample.ratio if ratio is None else ratio
    return summarise_scores(Store(root), share, examples)


def cluster_lines(run_dir: str | Path) -> list[str]:
    """The clusters of a run with their words and sizes, one a line."""
    from collections import Counter

    from codeact.stages.cluster import cluster_name, cluster_words

    store = Store(Path(run_dir))
    words, sizes = cluster_words(store), Counter(store.table("cluster")["cluster"].to_pylist())
    return [f"cluster {cluster_name(number, words)}: {amount(sizes[number], 'record')}" for number in sorted(sizes)]


def stability(run_dir: str | Path, **choices: Unpack[Choices]) -> dict[str, Any]:
    """Overlap (Jaccard) of a run's selection with those of other seeds, numbers of clusters and scoring models.

    Args:
        run_dir: of `select` or `run`.
        choices: seeds, ks, scores, strategy, ratio: see `codeact.pipeline.stability.measure_stability`.

    Returns:
        What that function returns, and `lines` for people.

    Raises:
        InputError: no selection there, or one that was changed while it was read; or a score table that lacks a record.
    """
    from codeact.pipeline.stability import measure_stability, stability_lines

    with reading(run_dir) as root:
        found = measure_stability(root, **choices)
    return {**found, "lines": stability_lines(found)}

"""Gathers every figure of a run directory into one JSON-serialisable dictionary: the content of `report.json`."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact import config, storage
from codeact.amounts import amount
from codeact.errors import InputError
from codeact.pipeline.ledger import BEFORE_SAMPLING, ledger_table
from codeact.pipeline.plan import plan
from codeact.reporting.results import evaluation_figures
from codeact.reporting.selection import Frame, cluster_figures, ifd_figures, read_frame
from codeact.reporting.wording import control_text, metric_text, percent
from codeact.rundir.inputs import Inputs
from codeact.rundir.stage import states
from codeact.rundir.store import Store
from codeact.rundir.versions import in_words, joint_versions
from codeact.sample.strategies import IFD_LIMIT, find
from codeact.score.length import lengths_held
from codeact.stages.cluster import cluster_words
from codeact.stages.columns import counted_in
from codeact.stages.embed import UNREAD
from codeact.stages.evaluate import TRAINED
from codeact.statuses import ESTIMATED

if TYPE_CHECKING:
    import pyarrow as pa

_MARKER_KEYS = ("seconds", "finished_at", "fingerprint")
CURVE_POINTS = 2_000
VERSION = 1
NOT_KEPT = "not known: they are of the last call, and the stages may be of earlier ones"


def gather(run_dir: Path) -> dict[str, Any]:
    """Every figure of the run, as plain JSON values (a failed or missing figure is None, never NaN).

    Only finished stages count. Any other has one of these statuses in `stages`, and its sections are None: `not run`,
    `unfinished` (no completion marker), `outdated` (made with other settings than the directory has now, or from an earlier result of a stage that
    it reads).

    Raises:
        InputError: `run_dir` is no run directory, or one of its files cannot be read.
    """
    run_dir = Path(run_dir)
    if not (run_dir / "recipe.yaml").is_file():
        raise InputError(f"{run_dir} is no run directory: it holds no recipe.yaml; give the run_dir of a recipe")
    recipe, store = config.kept_recipe(run_dir), Store(run_dir)
    planned = plan(recipe, Inputs(recipe))
    found = states(store, planned)
    told = [stage.name for stage in planned if found[stage.name][0] != "not run" or not stage.on_demand]
    stages = [{"stage": n, "status": found[n][0]} | {k: found[n][1].get(k) for k in _MARKER_KEYS} for n in told]
    done = {name for name, (status, _) in found.items() if status == "done"}
    paths = {stage.name: run_dir / stage.main_file if stage.name in done else None for stage in planned}
    counted = counted_in(store)
    frame = read_frame(paths["sample"], paths["cluster"], paths["score"], paths[counted] if counted else None)
    outcomes = ledger_table(store, done)
    sides = [side for side in ("base", *TRAINED) if f"evaluate_{side}" in done]
    figures: dict[str, Any] = {
        "version": VERSION,
        "run": {"name": run_dir.resolve().name, "date": _date(stages)},
        "stages": stages,
        "reading": (found["records"][1].get("summary") or None) if "records" in done else None,
        "funnel": None if outcomes is None else _funnel(paths, outcomes, frame),
        "sources": _sources(found),
        "drops": None if outcomes is None else _drops(outcomes),
        "ifd": None if frame is None else ifd_figures(frame),
        "clusters": None if frame is None or "cluster" not in done else cluster_figures(frame, paths["records"], cluster_words(store) if "records" in done else {}),
        "length": None
        if frame is None or counted not in done or "sample" not in done
        else lengths_held(frame.ifd, frame.tokens, frame.selected),
        "coverage": _coverage(run_dir / "coverage.json") if "sample" in done else None,
        "packing": storage.read_json(run_dir / "pack.json") if "pack" in done else None,
        "training": _training(run_dir / "train") if "train" in done else None,
        "evaluation": evaluation_figures(run_dir / "evaluate", sides) if sides else None,
        "control": _control(run_dir, found) if "control" in done else None,
        "settings": {
            "recipe": config.flatten(config.read_yaml(run_dir / "recipe.yaml")),
            "changed": _changed(recipe),
            "versions": _versions(run_dir / "versions.json", {name: marker for name, (status, marker) in found.items() if status == "done"}),
        },
    }
    if figures["ifd"] is not None:
        figures["ifd"]["estimated"] = _estimated(paths["score"])
    if figures["clusters"] is not None:
        unread = (found["embed"][1].get("summary") or {}).get("unread") or 0.0
        figures["clusters"]["unread"] = unread if unread >= UNREAD else None
        figures["clusters"]["shared_out"] = find(recipe.sample.strategy).clustered
    figures["headline"] = _headline(figures)
    clean: dict[str, Any] = storage.plain(figures)
    return clean


def _date(stages: list[dict[str, Any]]) -> str:
    """Day on which the last stage finished; today when none did."""
    finished = max((stage["finished_at"] for stage in stages if stage["finished_at"]), default=None)
    return datetime.date.today().isoformat() if finished is None else str(finished)[:10]


def _funnel(paths: dict[str, Path | None], outcomes: pa.Table, frame: Frame | None) -> list[dict[str, Any]]:
    """Records left after each stage; `share` is the fraction of the records that could be read."""
    rows = [row for row in outcomes.select(["status", "stage"]).to_pylist() if row["stage"] != "records"]
    steps: list[tuple[str, int]] = [("records", len(rows))]
    if paths["curate"] is not None:
        steps.append(("curated", sum(row["status"] == "kept" or row["stage"] == "sample" for row in rows)))
    if paths["score"] is not None and frame is not None:
        steps += [("scored", int(np.isfinite(frame.ifd).sum())), ("IFD < 1", int((frame.ifd < IFD_LIMIT).sum()))]
    if paths["sample"] is not None:
        steps.append(("selected", sum(row["status"] == "kept" for row in rows)))
    return [{"name": name, "records": count, "share": count / len(rows) if rows else None} for name, count in steps]


def _sources(found: Mapping[str, tuple[str, dict[str, Any]]]) -> list[dict[str, Any]] | None:
    """Of a mixture: each source with what was read of it and what it gave (`stages.sample.source_figures`)."""
    read, gave = (found[name][1].get("summary", {}).get("sources") for name in ("records", "sample"))
    return [{"name": name, **one, **(gave or {}).get(name, {})} for name, one in read.items()] if read else None


def _estimated(score: Path | None) -> int:
    """Records whose IFD is an estimate of adaptive scoring."""
    return 0 if score is None else storage.read_parquet(score)["status"].to_pylist().count(ESTIMATED)


def _drops(outcomes: pa.Table) -> list[dict[str, Any]]:
    """Dropped rows by stage and reason, as in the ledger: stages in the order of the data's way, the most frequent reason first."""
    order = (*BEFORE_SAMPLING, "sample")
    counts = Counter(
        (row["stage"], row["reason"] or "")
        for row in outcomes.select(["status", "stage", "reason"]).to_pylist()
        if row["status"] == "dropped"
    )
    ranked = sorted(counts.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
    return [{"stage": stage, "reason": reason, "records": count} for (stage, reason), count in ranked]


def _training(folder: Path) -> dict[str, Any]:
    metrics = folder / "metrics.jsonl"
    rows = [row for row in (storage.read_jsonl(metrics) if metrics.is_file() else []) if row.get("loss") is not None]
    kept = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), CURVE_POINTS)).round().astype(int))
    curve = {key: [rows[i].get(key) for i in kept] for key in ("step", "epoch", "loss", "learning_rate")}
    return {"summary": storage.read_json(folder / "summary.json"), "logged": len(rows), "curve": curve}


def _control(run_dir: Path, found: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """What was drawn for the control, and its training where that is done."""
    trained = found["train_control"][0] == "done"
    training = storage.read_json(run_dir / "train_control" / "summary.json") if trained else None
    return {**found["control"][1].get("summary", {}), "training": training}


def _changed(recipe: config.Recipe) -> dict[str, Any]:
    """The settings that differ from the defaults."""
    usual = config.flatten(config.DEFAULTS.model_dump(mode="json"))
    return {k: v for k, v in config.flatten(recipe.model_dump(mode="json")).items() if k not in usual or usual[k] != v}


def _versions(path: Path, markers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the stages were made with; of a run of an earlier release what its last call had, which need not have made them."""
    found = joint_versions(markers)
    differ, unknown = found.pop("differ"), found.pop("unknown")
    if not found and not differ:
        told = storage.read_json(path) if path.is_file() else {}
        last = {name: version for name, version in told.items() if name not in ("differ", "unknown")}
        return {**config.flatten(last), "made with these": NOT_KEPT} if last else {}
    apart = {name: in_words(some) for name, some in differ.items()}
    return {**found, **apart, **({"not known of": ", ".join(unknown)} if unknown else {})}


def _coverage(path: Path) -> dict[str, Any] | None:
    """Distances and warnings of the selection, and the distances of its peers; None for a run made before coverage was."""
    if not path.exists():
        return None
    found = storage.read_json(path)
    distances = {name: peer.get("distance") for name, peer in found.items()}
    return {"distance": distances, "warnings": found["selection"]["warnings"]}


def _headline(figures: dict[str, Any]) -> dict[str, Any]:
    steps = {step["name"]: step["records"] for step in figures["funnel"] or ()}
    selection = None
    if "selected" in steps:
        pool = steps.get("curated", steps["records"])
        share = f" ({percent(steps['selected'] / pool)})" if pool else ""
        selection = f"Selected {steps['selected']:,} of {amount(pool, 'record')}{share}."
    evaluation = figures["evaluation"]
    results = [f"{metric['title']}: {metric_text(metric)}" for metric in (evaluation or {"metrics": ()})["metrics"]]
    control = [f"{metric['title']}: {said}" for metric in (evaluation or {"metrics": ()})["metrics"] if (said := control_text(metric))]
    return {"selection": selection, "results": results, "control": control}

"""Gathers every figure of a run directory into one JSON-serialisable dictionary: the content of `report.json`."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from codeact import storage
from codeact.errors import InputError
from codeact.report.results import evaluation_figures
from codeact.report.selection import RANKED, cluster_figures, ifd_figures, length_figures, read_frame
from codeact.report.words import metric_text, percent

STAGES: dict[str, str] = {
    "records": "records.parquet",
    "curate": "curate.parquet",
    "embed": "embed.parquet",
    "cluster": "cluster.parquet",
    "score": "score.parquet",
    "sample": "sample.parquet",
    "pack": "pack.json",
    "train": "train/summary.json",
    "evaluate_base": "evaluate/base/results.json",
    "evaluate_tuned": "evaluate/tuned/results.json",
}
_MARKER_KEYS = ("seconds", "finished_at", "fingerprint")
_COUNTED = ("records", "curate", "score", "sample")
CURVE_POINTS = 2_000
VERSION = 1


def gather(run_dir: Path) -> dict[str, Any]:
    """Every figure of the run, as plain JSON values (a failed or missing figure is None, never NaN).

    Only finished stages count. Any other has one of these statuses in `stages`, and its sections are None: `not run`,
    `unfinished` (no completion marker), `outdated` (made from an earlier result of a stage that it reads).

    Raises:
        InputError: `run_dir` is no run directory, or one of its files cannot be read.
    """
    run_dir = Path(run_dir)
    if not (run_dir / "recipe.yaml").is_file():
        raise InputError(f"{run_dir} is no run directory: it holds no recipe.yaml; give the run_dir of a recipe")
    stages = _stages(run_dir)
    done = {stage["stage"] for stage in stages if stage["status"] == "done"}
    paths = {stage: run_dir / STAGES[stage] if stage in done else None for stage in STAGES}
    frame = read_frame(paths["sample"], paths["cluster"], paths["score"])
    sides = [side for side in ("base", "tuned") if f"evaluate_{side}" in done]
    figures = {
        "version": VERSION,
        "run": {"name": run_dir.resolve().name, "date": _date(stages)},
        "stages": stages,
        "funnel": _funnel(paths),
        "drops": _drops(paths, run_dir / "rejected.parquet"),
        "ifd": None if frame is None else ifd_figures(frame),
        "clusters": None if frame is None or "cluster" not in done else cluster_figures(frame, paths["records"]),
        "length": None if frame is None or not {"score", "sample"} <= done else length_figures(frame),
        "coverage": _coverage(run_dir / "coverage.json") if "sample" in done else None,
        "packing": storage.read_json(run_dir / "pack.json") if "pack" in done else None,
        "training": _training(run_dir / "train") if "train" in done else None,
        "evaluation": evaluation_figures(run_dir / "evaluate", sides) if sides else None,
        "settings": {"recipe": _recipe(run_dir / "recipe.yaml"), "versions": _versions(run_dir / "versions.json")},
    }
    figures["headline"] = _headline(figures)
    clean: dict[str, Any] = _clean(figures)
    return clean


def _stages(run_dir: Path) -> list[dict[str, Any]]:
    """Status of every stage, with the seconds, the end and the fingerprint of those that count."""
    markers: dict[str, dict[str, Any]] = {}
    stages = []
    for name, file in STAGES.items():
        path, present = run_dir / "markers" / f"{name}.json", (run_dir / file).is_file()
        marker = storage.read_json(path) if path.is_file() and present else None
        if marker is None:
            status = "unfinished" if present or path.exists() or path.with_suffix(".started").exists() else "not run"
        elif all(_current(run_dir, stage, markers) == fingerprint for stage, fingerprint in marker["inputs"].items()):
            status, markers[name] = "done", marker
        else:
            status = "outdated"
        stages.append({"stage": name, "status": status} | {key: markers.get(name, {}).get(key) for key in _MARKER_KEYS})
    return stages


def _current(run_dir: Path, stage: str, markers: dict[str, dict[str, Any]]) -> str | None:
    """Fingerprint of a stage that counts; of a stage that only some strategies need, what its marker says."""
    path = run_dir / "markers" / f"{stage}.json"
    if stage not in STAGES and path.is_file():
        return str(storage.read_json(path)["fingerprint"])
    return markers[stage]["fingerprint"] if stage in markers else None


def _date(stages: list[dict[str, Any]]) -> str:
    """Day on which the last stage finished; today when none did."""
    finished = max((stage["finished_at"] for stage in stages if stage["finished_at"]), default=None)
    return datetime.date.today().isoformat() if finished is None else str(finished)[:10]


def _funnel(paths: dict[str, Path | None]) -> list[dict[str, Any]] | None:
    """Records left after each stage; `share` is the fraction of the pool, the records that were read."""
    import pyarrow.compute as pc

    finished = {stage: path for stage, path in paths.items() if path is not None}
    tables = {stage: storage.read_parquet(path) for stage, path in finished.items() if stage in _COUNTED}
    if "records" not in tables:
        return None
    pool = tables["records"].num_rows
    steps: list[tuple[str, int]] = [("pool", pool)]
    if "curate" in tables:
        steps.append(("curated", pc.sum(tables["curate"].column("kept")).as_py() or 0))
    if "score" in tables:
        ifd = tables["score"].column("ifd").cast("float64").fill_null(np.nan).to_numpy()
        ranked = np.isin(tables["score"].column("status").to_numpy(), RANKED) & np.isfinite(ifd)
        steps += [("scored", int(ranked.sum())), ("IFD < 1", int((ranked & (ifd < 1)).sum()))]
    if "sample" in tables:
        steps.append(("selected", pc.sum(tables["sample"].column("selected")).as_py() or 0))
    return [{"name": name, "records": count, "share": count / pool if pool else None} for name, count in steps]


def _drops(paths: dict[str, Path | None], rejected: Path) -> list[dict[str, Any]] | None:
    """Dropped rows by stage and reason, as in the ledger: stages in order, the most frequent reason first.

    Taken from the tables of finished stages, for a run that was stopped has the ledger of the run before it.
    """
    import pyarrow.compute as pc

    if paths["records"] is None:
        return None
    sources: list[tuple[str, Path | None, str | None]] = [
        ("records", rejected if rejected.is_file() else None, None),
        ("curate", paths["curate"], "kept"),
        ("sample", paths["sample"], "selected"),
    ]
    drops = []
    for stage, path, flag in sources:
        if path is not None:
            table = storage.read_parquet(path)
            left = table if flag is None else table.filter(pc.invert(table.column(flag)))
            counts = [(row["values"] or "", row["counts"]) for row in left.column("reason").value_counts().to_pylist()]
            drops += [
                {"stage": stage, "reason": reason, "records": count}
                for reason, count in sorted(counts, key=lambda pair: (-pair[1], pair[0]))
            ]
    return drops


def _training(folder: Path) -> dict[str, Any]:
    metrics = folder / "metrics.jsonl"
    rows = [row for row in (storage.read_jsonl(metrics) if metrics.is_file() else []) if row.get("loss") is not None]
    kept = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), CURVE_POINTS)).round().astype(int))
    curve = {key: [rows[i].get(key) for i in kept] for key in ("step", "epoch", "loss", "learning_rate")}
    return {"summary": storage.read_json(folder / "summary.json"), "logged": len(rows), "curve": curve}


def _recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML: {problem}; start the run again to rewrite it") from error
    return flatten(recipe if isinstance(recipe, dict) else {})


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key: `{"sample": {"ratio": 0.4}}` -> `{"sample.ratio": 0.4}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _versions(path: Path) -> dict[str, Any]:
    return flatten(storage.read_json(path)) if path.is_file() else {}


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
        share = f" ({percent(steps['selected'] / steps['pool'])})" if steps["pool"] else ""
        selection = f"Selected {steps['selected']:,} of {steps['pool']:,} records{share}."
    evaluation = figures["evaluation"]
    results = [f"{metric['title']}: {metric_text(metric)}" for metric in (evaluation or {"metrics": ()})["metrics"]]
    return {"selection": selection, "results": results}


def _clean(value: Any) -> Any:
    """Plain JSON values: numpy becomes Python, NaN and infinities become None, dates become text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)

"""The result of every stage on a fixed tiny model and fixed records, as plain values that are the same on every machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from codeact.config import EvaluateConfig, ModelConfig, load_recipe
from codeact.evaluation.run import evaluate_model
from codeact.pipeline.plan import plan
from codeact.pipeline.run import run_pipeline
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store
from codeact.sample import cdas
from codeact.sample.strategies import STRATEGIES
from codeact.score.adaptive.decide import Facts, Pool, decide
from codeact.score.selective import STEPS_PER_NAT
from tests.golden import pieces
from tests.helpers.judge_server import judge_server
from tests.helpers.lines import write_lines

FILE = Path(__file__).with_name("stages.json")
SET = 2  # of the model, the records and the values kept below; raised where one of these is changed, or a library gives other values
LIBRARIES = ("numpy", "scikit-learn", "scipy", "sentence-transformers", "tokenizers", "torch", "transformers")
# stages that share a file, and its VERSION
FILES = {
    "proxy": "score", "train_control": "train", "evaluate_base": "evaluate", "evaluate_tuned": "evaluate", "evaluate_control": "evaluate",
}  # fmt: skip
WRITE = "write the file anew with `python tests/golden/write.py`:"


def planned() -> tuple[dict[str, int], dict[str, set[str]]]:
    """`VERSION` of every stage's file, and the files whose results it reads, directly or not."""
    version: dict[str, int] = {}
    reads: dict[str, set[str]] = {}
    for strategy in STRATEGIES:
        for more in ({"curate.semantic": 0.9}, {"score.adaptive": strategy == "cdas"}, {} if strategy == "full" else {"control": "random"}):
            recipe = load_recipe(extra={"sample.strategy": strategy, "sample.unit": "records", **more})
            for stage in plan(recipe, Inputs(recipe)):
                name = FILES.get(stage.name, stage.name)
                version[name] = stage.version
                above = {FILES.get(need, need) for need in stage.needs}
                reads.setdefault(name, set()).update(above, *(reads[need] for need in above))
    return version, reads


def libraries() -> dict[str, str]:
    """The versions of what computes."""
    return {name: metadata.version(name) for name in LIBRARIES}


def faults(old: Mapping[str, Any], found: Mapping[str, Any], version: Mapping[str, int], reads: Mapping[str, set[str]]) -> list[str]:
    """What is wrong between the file's content and what the stages give now; each entry names the stage to look at.

    A result that changed because an earlier stage's did is not that stage's fault, and the choices of a new strategy change no other's.
    """
    was = old["versions"]
    lines = []
    known, now = (side.get("sample", {}).get("choices", {}) for side in (old["stages"], found))
    if new := sorted({*now} - {*known}):
        lines.append(f"{WRITE} it has no choices of {', '.join(new)}")
        found = {**found, "sample": {**found["sample"], "choices": {name: now[name] for name in now if name in known}}}
    told = {name: difference(old["stages"].get(name), found[name], name) for name in found}
    raised = {name for name in found if version[name] != was.get(name)}
    for name in found:
        if name in raised:
            lines.append(f"{WRITE} stage {name} has VERSION {version[name]}, the file holds {was.get(name)}")
        elif told[name] and not any(told[one] or one in raised for one in reads[name]):
            lines.append(f"results of stage {name} changed ({told[name]}): raise VERSION in stages/{name}.py and {WRITE[:-1]}")
    return lines


def run_all(folder: Path) -> dict[str, Any]:
    """Every stage's values, by stage. `folder` must be empty; the caches are the caller's business."""
    model, other = pieces.write_model(folder / "model", seed=500), pieces.write_model(folder / "other", seed=1100)
    embedder = pieces.write_embedder(folder / "embedder")
    data = write_lines(folder / "rows.jsonl", pieces.rows())
    own = write_lines(folder / "own.jsonl", [{"prompt": pieces.plain_row(5)["instruction"] + " " + pieces.plain_row(5)["output"]}])
    listed = folder / "listed.txt"
    listed.write_text("\n".join(str(row) for row in (7, 3, 11, 0, 2, 19, 20, 5, 28)), encoding="utf-8")
    near = write_lines(folder / "target.jsonl", [pieces.plain_row(3), pieces.plain_row(12)])
    common = {
        "run_dir": str(folder / "run"), "seed": 3, "data.source": str(data), "model.name": str(model), "model.dtype": "float32",
        "model.device": "cpu", "model.max_length": 320, "model.template": "question", "embed.model": str(embedder), "cluster.k": 3,
        "curate.renamed": True, "curate.near": 0.8, "curate.semantic": 0.94, "curate.neighbours": 0.8,
        "curate.decontaminate": ["humaneval"], "curate.benchmark_files": [str(own)], "curate.secrets": ["keys"],
        "curate.checks": ["syntax", "grammars", "complete", "language", "names"],
        "score.cache": False, "score.proxy": str(other), "score.shard_size": 8, "sample.target": str(near), "sample.listed": str(listed),
        "sample.strategy": "cdas", "sample.unit": "records",
        "train.batch_size": 3, "train.epochs": 1, "train.learning_rate": 1e-3, "train.warmup_steps": 1, "train.validation": 0.25,
        "evaluate.bits_limit": 4, "evaluate.generate_limit": 2, "evaluate.max_new_tokens": 8, "evaluate.unsafe_no_sandbox": True,
    }  # fmt: skip
    found = _stages_of(_run({**common, "sample.ratio": 0.5}, None))
    with judge_server(pieces.judged) as server:
        asked = {**common, "judge.endpoint": server.url, "judge.model": "canned", "sample.ratio": 0.3}
        choices, extra = {}, {}
        for strategy in STRATEGIES:
            store = _run({**asked, "sample.strategy": strategy}, ("sample",))
            choices[strategy] = _chosen(store)
            if strategy in ("alpagasus", "deita"):
                extra[f"judge of {strategy}"] = _table(store, "judge")
            if strategy == "instag":
                found["tags"] = _table(store, "tags")
            if strategy == "targeted":
                found["target"] = _table(store, "target")
            for name in {"list": ("listed",), "rds": ("rds",), "dsir": ("dsir",), "learnable": ("learn",), "trim": ("lengths",)}.get(strategy, ()):
                found[name] = {column: values for column, values in _table(store, name).items() if column != "learnable"}  # of two near losses
            if strategy == "rds":
                found["hidden"] = {"hidden": [row and row[:4] for row in _table(store, "hidden")["hidden"]]}
            if strategy == "superfiltering":
                found["score"]["proxy"] = _table(store, "proxy")
    local = {**common, "judge.model": str(model), "judge.min_mass": 0.0, "sample.strategy": "alpagasus"}
    found["judge"] = {**extra, "local judge": _table(_run(local, ("judge",)), "judge")}
    for name, settings in {
        "tokens": {"sample.unit": "tokens"}, "floor": {"sample.floor": 0.9, "sample.floor_lengths": True},
        "suspects": {"sample.suspects": 0.3}, "gain": {"sample.min_gain": 0.5},
    }.items():  # fmt: skip
        choices[name] = _chosen(_run({**common, "sample.ratio": 0.3, **settings}, ("sample",)))
    found["sample"]["choices"] = choices
    found["evaluate"]["answers"] = _graded(folder)
    drawn = _run({**common, "sample.ratio": 0.3, "control": "random"}, ("control",))
    found["control"] = {"drawn": "".join(str(int(one)) for one in _table(drawn, "control")["selected"]), **drawn.marker("control")["summary"]}  # type: ignore[index]
    found["score"]["paper"] = _table(_run({**common, "score.variant": "paper"}, ("score",)), "score")
    adaptive = {**common, "score.adaptive": True, "sample.ratio": 0.3}
    found["score"]["adaptive"] = _table(_run(adaptive, ("score",)), "score")
    found["score"]["decided"] = _decided()
    return found


def _run(settings: Mapping[str, Any], targets: tuple[str, ...] | None) -> Store:
    return run_pipeline(load_recipe(extra=settings), targets)


def _stages_of(store: Store) -> dict[str, Any]:
    """The tables and result files of a whole run."""
    found: dict[str, Any] = {}
    for name in ("records", "curate", "embed", "refine", "cluster", "score", "sample"):
        found[name] = {"table": _table(store, name)}
    found["embed"]["table"]["embedding"] = [row[:4] for row in found["embed"]["table"]["embedding"]]
    found["records"]["rejected"] = _columns(store.path("rejected.parquet"))
    found["records"]["summary"] = store.marker("records")["summary"]  # type: ignore[index]
    found["sample"]["coverage"] = _json(store.path("coverage.json"))
    found["pack"] = _json(store.path("pack.json"))
    summary = _json(store.path("train/summary.json"))
    names = ("steps", "records", "tokens", "first_loss", "final_loss", "padding_rate", "parameters", "trainable_parameters")
    steps = _lines(store.path("train/metrics.jsonl"))
    kept = ("step", "loss", "validation_loss", "learning_rate", "grad_norm")
    found["train"] = {
        "summary": {name: summary.get(name) for name in names},
        "steps": [{name: step[name] for name in kept if name in step} for step in steps],
    }
    found["evaluate"] = {side: _evaluation(store.path(f"evaluate/{side}")) for side in ("base", "tuned")}
    return found


def _evaluation(folder: Path) -> dict[str, Any]:
    bits = {row["task_id"]: row["bits_per_byte"] for row in _lines(folder / "bits.jsonl")}
    samples = {row["task_id"]: [row.get("completion"), row.get("solution"), row["status"]] for row in _lines(folder / "samples.jsonl")}
    results = _json(folder / "results.json")["humaneval"]
    return {"bits": bits, "samples": samples, "results": {name: value for name, value in results.items() if name != "missing"}}


def _graded(folder: Path) -> dict[str, Any]:
    """Ready chat answers, through the reading of answers and the grading."""
    answers = write_lines(folder / "answers.jsonl", pieces.ANSWERS)
    config = EvaluateConfig(bits_per_byte=False, unsafe_no_sandbox=True)
    evaluate_model(None, folder / "graded", model=ModelConfig(), config=config, seed=0, samples=answers, sanitized=True)
    return {key: value for key, value in _evaluation(folder / "graded").items() if key != "bits"}


def _chosen(store: Store) -> dict[str, Any]:
    table = _table(store, "sample")
    return {"rank": table["rank"], "selected": "".join(str(int(one)) for one in table["selected"]), "reason": table["reason"]}


def _decided() -> dict[str, Any]:
    """What adaptive scoring measures of made-up losses, and what it makes of them: no model, whose last bits would tip the scale."""
    count = 160
    sizes = (40 + 260 * (1 + pieces.spread(count, 7))).astype(np.int64)
    level = 0.3 + 0.2 * pieces.spread(count, 8)
    alone = [1 + 0.8 * pieces.spread(size, 100 + n) for n, size in enumerate(sizes)]
    asked = [u - level[n] * 6 / (np.arange(len(u)) + 6) + 0.1 * pieces.spread(len(u), 400 + n) for n, u in enumerate(alone)]
    group, tie = np.arange(count) % 4, np.arange(count)
    done = np.zeros(count, np.int64)

    class Replay:
        window = 1 << 30

        def __call__(self, records: Any, upto: Any) -> list[tuple[Any, Any]]:
            parts = []
            for n, end in zip(records.tolist(), upto.tolist(), strict=True):
                parts.append((asked[n][done[n] : end], alone[n][done[n] : end]))
                done[n] = end
            return parts

        def forget(self, records: Any) -> None:
            return None

    def selected(value: Any) -> Any:
        return cdas(np.exp(value), value < 0, group, tie, 0.3)

    features = np.column_stack([np.log(sizes), level + 0.1 * pieces.spread(count, 9)])
    facts = Facts(features, np.zeros(count, np.int64), sizes, np.argsort(pieces.spread(count, 10)))
    found = decide(facts, Replay(), Pool(selected, group, np.full(count, np.nan), np.arange(count)), agreement=0.9)
    return {
        "measured": done.tolist(), "log_ifd": found.log_ifd.tolist(), "doubt": found.doubt.tolist(), "expected": found.expected_agreement,
    }  # fmt: skip


def _table(store: Store, name: str) -> dict[str, list[Any]]:
    return _columns(store.path(f"{name}.parquet"))


def _columns(file: Path) -> dict[str, list[Any]]:
    """The columns of a table, rows ordered by id."""
    from codeact.storage import read_parquet

    columns: dict[str, list[Any]] = read_parquet(file).sort_by("id").to_pydict()
    if "token_log_ifd" in columns:
        columns["token_log_ifd"] = [None if steps is None else sum(steps) / STEPS_PER_NAT for steps in columns["token_log_ifd"]]
    left_out = {"messages"} if file.stem in ("records", "rejected", "sample") else {"id"}
    return {name: values for name, values in columns.items() if name not in left_out}


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line] if file.is_file() else []


def rounded(value: Any) -> Any:
    """The value with numbers to six digits: what is written."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first place where two results differ by more than what CPUs differ by; None: nowhere."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old.keys() != new.keys():
            return f"{where}: {sorted(old)} became {sorted(new)}"
        return next((told for key in old if (told := difference(old[key], new[key], f"{where}/{key}"))), None)
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return f"{where}: {len(old)} values became {len(new)}"
        pairs = enumerate(zip(old, new, strict=True))
        return next((told for n, (a, b) in pairs if (told := difference(a, b, f"{where}[{n}]"))), None)
    if isinstance(old, float) or (isinstance(new, float) and isinstance(old, int)):
        steps = 3 / STEPS_PER_NAT if "/token_log_ifd[" in where else 0.0  # another CPU rounds the steps of a token or two otherwise
        near = isinstance(new, int | float) and abs(old - new) <= 2e-4 * abs(old) + 2e-6 + steps
        return None if near else f"{where}: {old} became {new}"
    return None if old == new and type(old) is type(new) else f"{where}: {old!r} became {new!r}"

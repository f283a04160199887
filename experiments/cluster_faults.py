"""A Ray cluster of two or three unequal nodes, whose workers and driver are killed (-9) at random: what is lost, and what is done twice.

    python -m experiments.cluster_faults --folder FOLDER [--trials 20] [--minutes 3.5]

A trial is one kill. Forty of them hit one run over 240 records with tiny random models: in each of the eight mapped stages four workers and
the driver, each after a random number of shards has begun. A killed driver is started again with the same command. At the end every table must
be that of one local process, bit for bit; the workers' own log says how many shards were begun more than once.

Runs are added to experiments/results/cluster_faults.json.xz as they end; run it again to go on. --trials counts those in each stage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.rundir import ranks
from codeact.rundir.shards import Worker
from codeact.sources import lines
from codeact.stages import curate, embed, hidden, judge, lengths, score, shared_reading

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.progress import Progress

RESULT = Path(__file__).parent / "results" / "cluster_faults.json.xz"
RECORDS, SHARD, PAUSE_S = 240, 8, 0.1
NODES = {2: (1, 2), 3: (0, 1, 2)}  # CPUs of each
TABLES = ("records", "rejected", "curate", "embed", "cluster", "lengths", "score", "proxy", "hidden", "judge", "sample")
VICTIMS = ("worker", "worker", "driver", "worker", "worker")  # in each stage of each run
BEGUN = "CODEACT_TRIAL_BEGUN"
MAPPED: dict[str, tuple[ModuleType, str]] = {
    "records": (shared_reading, "_worker"), "curate": (curate, "_worker"), "embed": (embed, "_embed_worker"), "lengths": (lengths, "_worker"),
    "score": (score, "_worker"), "hidden": (hidden, "_worker"), "judge": (judge, "_worker"),
}  # fmt: skip
PLAIN = {stage: getattr(module, name) for stage, (module, name) in MAPPED.items()}
STAGES = ("records", "curate", "embed", "score", "lengths", "proxy", "judge", "hidden")  # as they run


def counted(stage: str, *settings: Any) -> Worker:
    """The stage's own worker, which writes down each shard that it begins, and takes a moment longer for it."""
    work = PLAIN[stage](*settings)
    if stage == "score" and settings[0].name.endswith("proxy"):
        stage = "proxy"

    def counting(shard: pa.Table, progress: Progress) -> pa.Table:
        with Path(os.environ[BEGUN]).open("a", encoding="utf-8") as log:
            log.write(json.dumps([stage, shard["id"][0].as_py(), os.getpid()]) + "\n")
        time.sleep(PAUSE_S)
        return work(shard, progress)

    return counting


def drive(folder: Path, backend: str) -> None:
    """The run of the trial in `folder`; started again it goes on."""
    from codeact.config import load_recipe
    from codeact.pipeline.run import run_pipeline

    for module in (embed, lengths, hidden, judge):
        module.SHARD_RECORDS = SHARD
    if backend == "ray":
        watched()
    made = folder.parent / "made"
    recipe = load_recipe(extra={
        "run_dir": str(folder / "run"), "backend": backend, "workers": int(backend == "local"), "data.source": str(made / "pool.jsonl"),
        "model.name": str(made / "model"), "model.dtype": "float32", "model.max_length": 512, "model.template": "question",
        "embed.model": str(made / "embedder" / "model"), "score.proxy": str(made / "proxy"), "judge.model": str(made / "model"), "judge.min_mass": 0.0,
        "score.shard_size": SHARD, "score.cache": False, "cluster.k": 3, "curate.decontaminate": (), "curate.secrets": ["keys"],
        "sample.strategy": "cdas", "sample.unit": "records",
    })  # fmt: skip
    run_pipeline(recipe, ("lengths", "proxy", "hidden", "judge", "sample"))


def watched() -> None:
    """Workers that write down what they begin; few records are worth a cluster everywhere."""
    for stage, (module, name) in MAPPED.items():
        setattr(module, name, partial(counted, stage))
    for module in (ranks, curate, shared_reading):
        module.WORTH_IT = 0
    curate.PARTITION = lines.PLACED = shared_reading.PLACED = SHARD
    lines.WHOLE = 1


def make(folder: Path) -> None:
    """The data and the models of all trials, and the tables of one local process."""
    from tests.helpers.pool import pool_rows
    from tests.helpers.tiny_models import byte_level, ended, save_embedder, save_llama

    made = folder / "made"
    if (folder / "local" / "done").exists():
        return
    made.mkdir(parents=True, exist_ok=True)
    rows = pool_rows(RECORDS)
    rows[17]["output"], rows[99]["output"] = "", "key = 'AKIA" + "QWERTZ7UIOPASD2F'"  # refused, and barred
    (made / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = ended(byte_level([row["output"] for row in rows[:64]], 600, ["<end>"]))
    save_llama(made / "model", tokenizer, 0, len(tokenizer), 1024)
    save_llama(made / "proxy", tokenizer, 1, len(tokenizer), 1024)
    (made / "embedder").mkdir(exist_ok=True)
    save_embedder(made / "embedder")
    start(folder / "local", "local", {}).wait()
    (folder / "local" / "done").touch()


def start(folder: Path, backend: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """The driver as a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "OMP_NUM_THREADS": "1", BEGUN: str(folder / "begun.txt"), **environment}
    with (folder / "driver.txt").open("ab") as out:
        command = [sys.executable, "-m", "experiments.cluster_faults", "--drive", backend, "--folder", str(folder)]
        return subprocess.Popen(command, env=variables, stdout=out, stderr=out)


def begun(folder: Path, stage: str = "") -> list[tuple[str, str, int]]:
    """What the workers of a trial wrote down: stage, first record of the shard, process."""
    path = folder / "begun.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(one, first, pid) for one, first, pid in map(json.loads, lines) if stage in ("", one)]


def run(number: int, folder: Path) -> dict[str, Any]:
    """One run on a cluster of its own, with kills in every mapped stage."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = NODES[2 + number % 2]
    drawn = random.Random(number)
    here = folder / f"run-{number}"
    os.environ[BEGUN], os.environ["OMP_NUM_THREADS"] = str(here / "begun.txt"), "1"  # the nodes' processes take them from here
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": nodes[0], "include_dashboard": False})
    started, kills = time.monotonic(), []
    try:
        for cpus in nodes[1:]:
            cluster.add_node(num_cpus=cpus)
        driver = start(here, "ray", {"RAY_ADDRESS": cluster.address})
        for stage, victim, after in planned(drawn):
            living: list[int] = []
            while driver.poll() is None and (len({shard for _, shard, _ in begun(here, stage)}) < after or not living):
                time.sleep(0.02)
                living = [process for _, _, process in begun(here, stage)[-3:] if Path(f"/proc/{process}").exists()]
            seen = begun(here, stage)
            pid = driver.pid if victim == "driver" else drawn.choice(living)
            os.kill(pid, signal.SIGKILL)
            kills.append({"stage": stage, "killed": victim, "after_shards": len({shard for _, shard, _ in seen})})
            if victim == "driver":
                driver.wait()
                driver = start(here, "ray", {"RAY_ADDRESS": cluster.address})
        code = driver.wait(timeout=300)
    finally:
        ray.shutdown()
        cluster.shutdown()
    seen = begun(here)
    return {
        "run": number, "nodes": list(nodes), "actors": sum(nodes), "kills": kills, "exit_status": code,
        "tables_equal": code == 0 and equal(here, folder / "local"), "seconds": round(time.monotonic() - started, 1),
        "shards": {stage: len({shard for one, shard, _ in seen if one == stage}) for stage in STAGES},
        "begun_again": {stage: _again(seen, stage) for stage in STAGES},
    }  # fmt: skip


def planned(drawn: random.Random) -> list[tuple[str, str, int]]:
    """Stage, victim, and how many shards of the stage have begun before: ascending in a stage, and none of the last three."""
    return [
        (stage, victim, after)
        for stage in STAGES
        for victim, after in zip(VICTIMS, sorted(drawn.sample(range(2, RECORDS // SHARD - 3), len(VICTIMS))), strict=True)
    ]


def _again(seen: list[tuple[str, str, int]], stage: str) -> int:
    mine = [shard for one, shard, _ in seen if one == stage]
    return len(mine) - len(set(mine))


def allowed(found: dict[str, Any], stage: str) -> int:
    """Shards that were in flight: one of each killed worker, and at most one of each actor of a killed driver."""
    return sum(1 if kill["killed"] == "worker" else found["actors"] for kill in found["kills"] if kill["stage"] == stage)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Kills of each stage, and whether what they cost is what was in flight."""
    kills = [kill for one in runs for kill in one["kills"]]
    return {
        "kills": {stage: sum(kill["stage"] == stage for kill in kills) for stage in STAGES},
        "of_these_the_driver": sum(kill["killed"] == "driver" for kill in kills),
        "runs_with_other_tables": [one["run"] for one in runs if not one["tables_equal"]],
        "begun_again": {stage: sum(one["begun_again"][stage] for one in runs) for stage in STAGES},
        "allowed": {stage: sum(allowed(one, stage) for one in runs) for stage in STAGES},
        "within_what_is_allowed_in_each_stage_of_each_run": all(one["begun_again"][stage] <= allowed(one, stage) for one in runs for stage in STAGES),
    }  # fmt: skip


def equal(one: Path, other: Path) -> bool:
    """Whether all tables of two run directories are the same, bit for bit."""
    import pyarrow.parquet as pq

    return all(pq.read_table(one / "run" / f"{name}.parquet") == pq.read_table(other / "run" / f"{name}.parquet") for name in TABLES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--drive", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.folder, options.drive)
        return
    until = time.monotonic() + 60 * options.minutes
    make(options.folder)
    done = result_files.read(RESULT)["runs"] if RESULT.exists() else []
    for number in range(-(-options.trials // len(VICTIMS))):
        if any(one["run"] == number for one in done) or time.monotonic() > until:
            continue
        done.append(run(number, options.folder))
        print(done[-1], flush=True)
        result_files.write(RESULT, {**provenance(), "busy_machine": True, "summary": summary(done), "runs": done})


if __name__ == "__main__":
    main()

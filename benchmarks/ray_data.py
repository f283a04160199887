"""The same checks over the same partitions by codeact's own actors, by Ray Data and by processes: time, memory, and what a fault costs.

    python -m benchmarks.ray_data --work DIR [--records 100000]

The stage `records` makes a table of real lengths (`benchmarks.scale`), which is written as partitions of 4,096 records too. The function of
the stage `curate` that looks at one record at a time then goes over it: by `backend=ray`, by Ray Data (`read_parquet -> map_batches(actors)
-> write_parquet`) and by processes of this machine, with two workers each. Then, for both of Ray's ways: the driver is killed (-9) when
half of the partitions have been begun and started again; and one partition always fails.

Result: benchmarks/results/ray_data.json.xz
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import result_files
from benchmarks.data_folder import CODE_ALPACA, EVOL_INSTRUCT
from benchmarks.machine import installed, provenance
from benchmarks.scale import measured, write_data
from codeact.config import load_recipe
from codeact.errors import CodeactError
from codeact.progress import SILENT, Progress
from codeact.rundir.parts import Tapered, file_parts
from codeact.rundir.processes import ProcessBackend
from codeact.rundir.shards import Backend, Worker, make_shards, read_shards
from codeact.rundir.store import Store
from codeact.stages import curate

if TYPE_CHECKING:
    import pyarrow as pa

RESULT = Path(__file__).parent / "results" / "ray_data.json.xz"
BEGUN, POISON = "CODEACT_TRIAL_BEGUN", "CODEACT_TRIAL_POISON"
WAYS = ("backend=ray", "Ray Data", "processes")
WORKERS = 2


def looked(config: Mapping[str, Any], index: Any) -> Worker:
    """The stage's own worker, which writes down the partitions that it begins, and fails over the one that it is told."""
    work = curate._worker(config, index)

    def counting(shard: pa.Table, progress: Progress) -> pa.Table:
        first = shard["id"][0].as_py()
        if BEGUN in os.environ:
            with Path(os.environ[BEGUN]).open("a", encoding="utf-8") as log:
                log.write(f"{first}\n")
        if os.environ.get(POISON) == first:
            raise RuntimeError("this partition fails")
        return work(shard, progress)

    return counting


class Looks:
    """`looked` as Ray Data wants it: made once in each actor."""

    def __init__(self, config: Mapping[str, Any], index: Any, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        self.work = looked(config, index)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self.work(batch, SILENT)


def settings(work: Path) -> tuple[dict[str, Any], Any]:
    """What the worker is made with, by the default recipe."""
    from codeact.curate.single_record import benchmarks_of
    from codeact.evaluation.benchmarks import benchmark_items

    config = load_recipe(extra={"run_dir": str(work), "data.source": "unused"}).curate
    return config.model_dump(), curate._index(config, benchmarks_of(config, benchmark_items(config)))


def by_codeact(work: Path, out: Path, backend: Backend) -> None:
    """Into sealed shards, as the stage does."""
    store, parts = Store(out), file_parts(work / "records.parquet")
    make_shards(store, "curate", Tapered(parts), partial(looked, *settings(work)), backend=backend, label="verify")


def by_ray_data(work: Path, out: Path) -> None:
    """Into a folder of Parquet files."""
    import ray

    # its tasks that list and write files get no processor where the actors have all of them, and the job waits for ever
    ray.init(num_cpus=2 * WORKERS, log_to_driver=False, logging_level="warning", include_dashboard=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.use_datasource_v2 = False, False  # the newer reader makes one block of small files, for one actor
    environment = {name: os.environ[name] for name in (BEGUN, POISON) if name in os.environ}
    folder = work / "parts"
    records = ray.data.read_parquet(str(folder), override_num_blocks=len(list(folder.iterdir())))
    found = records.map_batches(
        Looks, batch_size=None, batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=WORKERS),
        fn_constructor_args=(*settings(work), environment),
    )  # fmt: skip
    found.write_parquet(str(out), mode="overwrite")


def do(way: str, work: Path) -> None:
    """One way, in this process."""
    out = folder_of(way, work)
    if way == "Ray Data":
        by_ray_data(work, out)
        return
    backend: Backend = ProcessBackend(WORKERS)
    if way == "backend=ray":
        from codeact.rundir.ray_cluster import RayBackend

        backend = RayBackend(WORKERS, model=False)
    try:
        by_codeact(work, out, backend)
    except CodeactError as error:
        raise SystemExit(str(error)) from error


def folder_of(way: str, work: Path) -> Path:
    return work / way.replace("=", "-").replace(" ", "-").lower()


def ids_made(way: str, work: Path) -> list[str]:
    """The records of which the way has left a result, in the order in which it gives them back."""
    import pyarrow.parquet as pq

    out = folder_of(way, work)
    if way == "Ray Data":
        return [i for path in sorted(out.glob("*.parquet")) for i in pq.read_table(path, columns=["id"])["id"].to_pylist()]
    shards = Tapered(file_parts(work / "records.parquet"))
    there = {int(path.name.split("-")[0]) for path in out.glob("shards/curate/*.parquet")}
    return [i for part in read_shards(Store(out), "curate", shards.only(n for n in shards if n in there)) for i in part["id"].to_pylist()]


def prepared(work: Path, count: int) -> list[str]:
    """The table of records, and the same in partitions; its ids."""
    import pyarrow.parquet as pq

    from codeact.pipeline.run import run_pipeline

    data = work / "data.jsonl"
    if not (work / "parts").exists():
        write_data(data, count, (EVOL_INSTRUCT, CODE_ALPACA))
        run_pipeline(load_recipe(extra={"run_dir": str(work / "run"), "data.source": str(data)}), ("records",))
        shutil.copy(work / "run" / "records.parquet", work / "records.parquet")
        (work / "fresh").mkdir()
        for number, part in file_parts(work / "records.parquet").items():
            pq.write_table(part, work / "fresh" / f"{number:06d}.parquet")
        (work / "fresh").rename(work / "parts")
    ids: list[str] = pq.read_table(work / "records.parquet", columns=["id"])["id"].to_pylist()
    return ids


def command(way: str, work: Path) -> list[str]:
    return ["-m", "benchmarks.ray_data", "--work", str(work), "--way", way]


def begun(work: Path) -> list[str]:
    path = work / "begun.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def fresh(way: str, work: Path) -> dict[str, str]:
    """Nothing made yet; the environment of a trial."""
    shutil.rmtree(folder_of(way, work), ignore_errors=True)
    (work / "begun.txt").unlink(missing_ok=True)
    return {**os.environ, BEGUN: str(work / "begun.txt")}


def killed(way: str, work: Path) -> dict[str, Any]:
    """The driver killed over half of the partitions, and started again."""
    environment, parts = fresh(way, work), len(list((work / "parts").iterdir()))
    driver = subprocess.Popen([sys.executable, *command(way, work)], env=environment, start_new_session=True)
    while len(begun(work)) < parts // 2 and driver.poll() is None:
        time.sleep(0.02)
    if driver.poll() is not None:
        raise SystemExit(f"{way} ended before it could be killed; take more records")
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(3)  # Ray's own processes see it and end
    before = len(begun(work))
    subprocess.run([sys.executable, *command(way, work)], env=environment, check=True)
    lines = begun(work)
    return {"partitions": len(set(lines)), "begun_before": before, "begun_again": len(lines) - len(set(lines))}


def poisoned(way: str, work: Path, ids: list[str]) -> dict[str, Any]:
    """One partition, a quarter of the way, always fails."""
    environment = fresh(way, work) | {POISON: ids[len(ids) // 4 // 4096 * 4096]}
    made = subprocess.run([sys.executable, *command(way, work)], env=environment, capture_output=True, text=True, check=False)
    left = len(ids_made(way, work))
    return {"exit_status": made.returncode, "records_with_a_result": left, "of": len(ids), "lines_on_stderr": len(made.stderr.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work.absolute()
    if options.way:
        do(options.way, work)
        return
    work.mkdir(parents=True, exist_ok=True)
    ids = prepared(work, options.records)
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            fresh(way, work)
            took = measured(command(way, work))
            del took["processor_seconds"]  # Ray ends its workers where nobody counts their time
            found = ids_made(way, work)
            runs[way].append({**took, "same_records": sorted(found) == sorted(ids), "same_order": found == ids})
            print(way, json.dumps(runs[way][-1]), flush=True)
    faults = {way: {"driver_killed": killed(way, work), "a_partition_fails": poisoned(way, work, ids)} for way in WAYS[:2]}
    print(json.dumps(faults))
    document = {**provenance(), "ray": installed("ray"), "records": len(ids), "workers": WORKERS, "runs": runs, "faults": faults}
    result_files.write(RESULT, document)


if __name__ == "__main__":
    from benchmarks import ray_data  # under its own name: other processes import what they are given

    ray_data.main()

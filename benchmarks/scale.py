"""What everything but the model passes costs on one machine: seconds of each stage, records a second and core, peak memory.

    python -m benchmarks.scale --label after --records 20000
    python -m benchmarks.scale --label after --records 100000

The data set has the lengths of real records: they are drawn with replacement, and in each the commonest name of its code
gets a number, so that no text stands twice (one record in twenty is an exact copy). Two runs are measured, each in a
process of its own: `select --strategy random`, and then CDAS in the same run directory, with random unit vectors of 384
dimensions and log-normal IFD in place of what models say. Seconds of a stage are the run's own; processor seconds are
those of all processes; memory is their proportional set size together, looked at five times a second.

A run of a label that the result file has is not done again (`--again` does it). The exponent is that of processor seconds
against records, between the smallest and the largest run of a label.

Result: benchmarks/results/scale.json.xz
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.data_folder import CODE_ALPACA, EVOL_INSTRUCT
from benchmarks.machine import provenance

RESULTS = Path(__file__).parent / "results" / "scale.json.xz"
COPIES = 0.05
DIMENSIONS = 384
LOOK_SECONDS = 0.2
_READ = "import sys; from codeact.storage import read_rows; sum(1 for _ in read_rows(sys.argv[1]).rows)"
_NAME = re.compile(r"\b[a-z][A-Za-z_]{3,}\b")


def write_data(path: Path, count: int, real: Sequence[str], seed: int = 0) -> None:
    """JSON lines of `count` records as the module's docstring says."""
    import keyword

    import numpy as np

    from codeact.records import read_data

    records = [r for name in real for r in read_data(name).records if len(r.messages) == 2]
    rng = np.random.default_rng(seed)
    places, copied = rng.integers(0, len(records), count), rng.random(count) < COPIES
    names = []
    for record in records:
        found = [n for n in _NAME.findall(record.response) if not keyword.iskeyword(n)]
        name = max(set(found), key=lambda n: (found.count(n), n)) if found else ""
        names.append((name, re.compile(rf"\b{name}\b")))
    fresh = path.with_suffix(".tmp")
    with fresh.open("w", encoding="utf-8") as handle:
        line = ""
        for number, place in enumerate(places.tolist()):
            if not (copied[number] and line):
                asked, answer = records[place].instruction, records[place].response
                name, pattern = names[place]
                answer = pattern.sub(f"{name}{number}", answer) if name else f"{number}: {answer}"
                line = json.dumps({"instruction": f"{asked} ({number})", "output": answer}, ensure_ascii=False)
            handle.write(line + "\n")
    fresh.rename(path)


def as_parquet(path: Path) -> Path:
    """The same rows as one Parquet file beside it."""
    import pyarrow.json
    import pyarrow.parquet as pq

    found = path.with_suffix(".parquet")
    if not found.exists():
        pq.write_table(pyarrow.json.read_json(path), found, compression="zstd")
    return found


# Adopts every process below that loses its parent (PR_SET_CHILD_SUBREAPER, 36) and waits for all: so their processor time is counted, too.
_ADOPT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
first = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
code = 1
try:
    while True:
        pid, status = os.wait()
        code = abs(os.waitstatus_to_exitcode(status)) if pid == first else code
except ChildProcessError:
    os._exit(code)
"""


def measured(command: Sequence[str], python: str = sys.executable) -> dict[str, float]:
    """Run a command of an interpreter: wall and processor seconds of it and all processes below it, and the peak of their memory together.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-IS", "-c", _ADOPT, python, *command], os.environ)
    peak, most, done = [0.0], [0], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_SECONDS):
            sizes = [_proportional(one) for one in _below(pid)]
            peak[0], most[0] = max(peak[0], sum(sizes)), max(most[0], len(sizes))

    watcher = threading.Thread(target=look)
    watcher.start()
    _, status, usage = os.wait4(pid, 0)
    done.set()
    watcher.join()
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "wall_seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_MiB": round((peak[0] or usage.ru_maxrss) / 1024),
        "processes": most[0],
    }


def _below(pid: int) -> list[int]:
    """The processes below one."""
    try:
        own = [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [n for child in own for n in (child, *_below(child))]


def _proportional(pid: int) -> float:
    """KiB of a process, what it shares divided by those that share it; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def stage_seconds(run_dir: Path, names: Sequence[str]) -> dict[str, float]:
    """Of each of these stages that the run directory has, the seconds that its marker says."""
    markers = {name: run_dir / "markers" / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text())["seconds"] for name, path in markers.items() if path.exists()}


def run_cdas(data: str, run_dir: str, *settings: str) -> None:
    """The stages of `select` by CDAS, with made-up vectors and scores."""
    from dataclasses import replace

    import numpy as np
    import pyarrow as pa

    from codeact import config
    from codeact.pipeline import plan, ready
    from codeact.pipeline.run import run_pipeline
    from codeact.rundir.inputs import Inputs
    from codeact.rundir.parts import PART_ROWS
    from codeact.rundir.stage import Stage
    from codeact.rundir.store import Store
    from codeact.stages.pool import read_pool

    class WithoutModels(Inputs):
        def check(self, stages: set[str]) -> None:
            return None

        def model(self) -> Mapping[str, Any]:
            return {"device": "cpu"}

    rng = np.random.default_rng(0)

    def embed(store: Store) -> Mapping[str, Any]:
        ids = read_pool(store, columns=["id"])["id"].combine_chunks()

        def part(start: int) -> pa.Table:
            own = ids.slice(start, PART_ROWS)
            points = rng.standard_normal((len(own), DIMENSIONS), np.float32)
            points /= np.linalg.norm(points, axis=1, keepdims=True)
            return pa.table({"id": own, "embedding": pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), DIMENSIONS)})

        store.write_parts("embed", (part(start) for start in range(0, len(ids), PART_ROWS)))
        return {"vectors": len(ids)}

    def score(store: Store) -> Mapping[str, Any]:
        ids = read_pool(store, columns=["id"])["id"]
        tokens = np.maximum(1, np.exp(rng.normal(np.log(150), 0.9, len(ids)))).astype(np.int64)
        ifd = np.exp(rng.normal(np.log(0.7), 0.2285, len(ids)))
        store.write_table(
            "score",
            pa.table({
                "id": ids, "ifd": ifd, "nll_cond": np.log(ifd) + 2.0, "nll_uncond": np.full(len(ids), 2.0),
                "response_tokens": tokens, "prompt_tokens": tokens, "status": ["ok"] * len(ids), "detail": [""] * len(ids),
            }),
        )  # fmt: skip
        return {"scored": len(ids)}

    def made_up(module: Any, work: Any) -> Any:
        real = module.stage

        def stage(*arguments: Any) -> Stage:
            found: Stage = replace(real(*arguments), work=work, config=dict)
            return found

        return stage

    ready.check = lambda *_: None  # type: ignore[assignment]
    plan.embed.stage = made_up(plan.embed, embed)  # type: ignore[assignment]
    plan.score.stage = made_up(plan.score, score)  # type: ignore[assignment]
    chosen = {"sample.strategy": "cdas", "sample.unit": "records"}
    recipe = config.load_recipe(
        None, settings, extra={"data.source": data, "run_dir": run_dir, "model.name": "none", "evaluate.enabled": False, **chosen}
    )
    run_pipeline(recipe, ("sample",), WithoutModels(recipe))


def one_size(
    count: int, work: Path, real: Sequence[str], workers: int | None, with_cdas: bool, settings: Sequence[str] = (),
    parquet: bool = False,
) -> dict[str, Any]:
    """Both runs over `count` records, or the first alone."""
    data, run_dir = work / f"records-{count}.jsonl", work / f"run-{count}"
    if not data.exists():
        write_data(data, count, real)
    data = as_parquet(data) if parquet else data
    shutil.rmtree(run_dir, ignore_errors=True)
    output = work / f"chosen-{count}.jsonl"
    output.unlink(missing_ok=True)
    select = ["-m", "codeact", "select", str(data), "--strategy", "random", "--unit", "records", "-o", str(output), "--run-dir", str(run_dir)]
    if workers is not None:
        select += ["--set", f"workers={workers}"]
    for setting in settings:
        select += ["--set", setting]
    found = measured([*select, "--force"])
    stages = stage_seconds(run_dir, ("records", "curate", "sample"))
    cdas = {}
    if with_cdas:
        cdas = {"cdas": cdas_of(data, run_dir, settings)}
    return {
        "records": count,
        "settings": list(settings),
        "every_row_read": measured(["-c", _READ, str(data)]),
        "data_MiB": round(data.stat().st_size / 2**20, 1),
        "select_random": {
            **found,
            "records_per_processor_second": round(count / found["processor_seconds"]),
            "stages_wall_seconds": stages,
        },
        **cdas,
    }


def cdas_of(data: Path, run_dir: Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """CDAS in the run directory of `select --strategy random`."""
    run = measured(["-m", "benchmarks.scale", "--cdas", str(data), str(run_dir), *settings])
    return {**run, "stages_wall_seconds": stage_seconds(run_dir, ("embed", "cluster", "score", "sample"))}


def exponents(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Growth of processor seconds and of memory with the records, from the smallest run to the largest."""
    first, last = (pick(runs.values(), key=lambda run: run["records"]) for pick in (min, max))
    if first is last:
        return {}
    grown = math.log(last["records"] / first["records"])
    return {
        f"{name}: {key}": round(math.log(last[name][key] / first[name][key]) / grown, 3)
        for name in ("select_random", "cdas")
        if name in first and name in last
        for key in ("processor_seconds", "peak_memory_MiB")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--label", default="now", help="name of the state that is measured")
    parser.add_argument("--data", nargs="+", default=[str(EVOL_INSTRUCT), str(CODE_ALPACA)])
    parser.add_argument("--workers", type=int, default=None, help="recipe key `workers`")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "codeact-scale")
    parser.add_argument("--no-cdas", action="store_true", help="leave CDAS out, whose K-means takes minutes on random vectors")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="recipe keys of the runs")
    parser.add_argument("--parquet", action="store_true", help="the data is a Parquet file")
    parser.add_argument("--cdas-after", action="store_true", help="CDAS alone, in the run directory that another run left")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--cdas", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cdas:
        run_cdas(*args.cdas)
        return
    args.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = result_files.read(args.out) if args.out.exists() else {**provenance(), "states": {}}
    state = result["states"].setdefault(args.label, {"runs": {}})
    if args.cdas_after:
        told, run_dir = provenance(), args.work / f"run-{args.records}"
        for stage in ("embed", "cluster", "score", "sample"):
            (run_dir / "markers" / f"{stage}.json").unlink(missing_ok=True)
        found = cdas_of(args.work / f"records-{args.records}.jsonl", run_dir, args.settings)
        facts = {"date": told["date"], "command": told["command"], "load_average_at_start": told["machine"]["load_average_at_start"]}
        state["runs"].setdefault(str(args.records), {"records": args.records, **facts})["cdas"] = found
        state["growth_exponents"] = exponents(state["runs"])
        result_files.write(args.out, result)
    elif str(args.records) not in state["runs"] or args.again:
        told = provenance()
        run = one_size(args.records, args.work, args.data, args.workers, not args.no_cdas, args.settings, args.parquet)
        load = told["machine"]["load_average_at_start"]
        state["runs"][str(args.records)] = {
            **run, "date": told["date"], "command": told["command"], "load_average_at_start": load,
            "note": "busy machine: other work ran beside it" if load[0] > 1 else "",
        }  # fmt: skip
        state["growth_exponents"] = exponents(state["runs"])
        result_files.write(args.out, result)
    print(json.dumps(state, indent=1))


if __name__ == "__main__":
    main()

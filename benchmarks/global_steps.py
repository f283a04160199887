"""Two steps over all records by pyarrow, DuckDB and Polars: seconds, and the memory of the process.

    python -m benchmarks.global_steps --python ENVIRONMENT/bin/python [--records 1000000]

`ledger`: three tables joined by id, in the order of the rows, written. `copies`: of each key of 16 bytes the lowest row, and for every
other record which that is. The tables are made up, with the columns that a run has. The environment holds duckdb, polars, pyarrow and numpy:
the first two are no dependencies of codeact. Each step runs in a process of its own, on one thread and on two.

Result: benchmarks/results/global_steps.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance

RESULT = Path(__file__).parent / "results" / "global_steps.json"
ENGINES, STEPS, THREADS = ("pyarrow", "duckdb", "polars"), ("ledger", "copies"), (1, 2)

MAKE = '''
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
folder, count = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
ids = np.array([f"{n:016x}" for n in rng.permutation(count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)])
write = lambda name, table: pq.write_table(pa.table(table), f"{folder}/{name}.parquet", compression="zstd", row_group_size=4096 * 16)
write("records", {"id": ids, "row": np.arange(count)})
kept = rng.random(count) < 0.95
write("curate", {"id": ids, "kept": kept, "reason": np.where(kept, "", "duplicate"), "detail": np.where(kept, "", "same as another")})
pool = ids[kept]
write("sample", {"id": pool, "selected": rng.random(len(pool)) < 0.4, "rank": np.arange(len(pool)), "ifd": rng.random(len(pool))})
key = rng.integers(0, int(count * 0.95), count)
write("keys", {"row": np.arange(count), "key": [int(k).to_bytes(16, "little") for k in key]})
'''
RUN = '''
import os, sys, time, resource
folder, engine, step, threads = sys.argv[1:5]
os.environ["POLARS_MAX_THREADS"] = threads
path = lambda name: f"{folder}/{name}.parquet"
started, out = time.perf_counter(), f"{folder}/{engine}-{step}.parquet"
if engine == "duckdb":
    import duckdb
    db = duckdb.connect(); db.execute(f"SET threads={threads}")
    if step == "ledger":
        query = f"""SELECT r.id, r.row, CASE WHEN NOT c.kept OR NOT s.selected THEN 'dropped' ELSE 'kept' END AS status,
            CASE WHEN c.kept THEN '' ELSE c.reason END AS reason, s.rank, s.ifd
            FROM '{path("records")}' r JOIN '{path("curate")}' c USING (id) LEFT JOIN '{path("sample")}' s USING (id) ORDER BY r.row"""
    else:
        query = f"""SELECT k.row, f.first FROM '{path("keys")}' k JOIN (SELECT key, min(row) AS first FROM '{path("keys")}' GROUP BY key) f
            USING (key) WHERE k.row <> f.first ORDER BY k.row"""
    db.execute(f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
elif engine == "polars":
    import polars as pl
    if step == "ledger":
        r, c, s = (pl.scan_parquet(path(n)) for n in ("records", "curate", "sample"))
        both = r.join(c, on="id").join(s, on="id", how="left")
        gone = ~pl.col("kept") | ~pl.col("selected").fill_null(False)
        found = both.select("id", "row", pl.when(gone).then(pl.lit("dropped")).otherwise(pl.lit("kept")).alias("status"),
            pl.when("kept").then(pl.lit("")).otherwise("reason").alias("reason"), "rank", "ifd").sort("row")
    else:
        k = pl.scan_parquet(path("keys"))
        found = k.join(k.group_by("key").agg(pl.col("row").min().alias("first")), on="key").filter(pl.col("row") != pl.col("first"))
        found = found.select("row", "first").sort("row")
    found.sink_parquet(out, compression="zstd")
else:
    import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
    pa.set_cpu_count(int(threads))
    if step == "ledger":
        r = pq.read_table(path("records")); ids = r["id"].combine_chunks()
        def of(name):
            t = pq.read_table(path(name))
            return t.take(pc.index_in(ids, value_set=t["id"].combine_chunks()))
        c, s = of("curate"), of("sample")
        gone = pc.or_(pc.invert(c["kept"]), pc.invert(pc.fill_null(s["selected"], False)))
        table = pa.table({"id": r["id"], "row": r["row"], "status": pc.if_else(gone, "dropped", "kept"),
            "reason": pc.if_else(c["kept"], "", c["reason"]), "rank": s["rank"], "ifd": s["ifd"]})
        table = table.take(pc.sort_indices(table["row"]))
    else:
        t = pq.read_table(path("keys"))
        raw = np.frombuffer(t["key"].cast(pa.binary(16)).combine_chunks().buffers()[1], "<u8").reshape(-1, 2)
        row = t["row"].to_numpy()
        order = np.lexsort((row, raw[:, 1], raw[:, 0]))
        begins = np.r_[True, (np.diff(raw[order], axis=0) != 0).any(axis=1)]
        first = np.empty(len(row), np.int64); first[order] = row[order][np.flatnonzero(begins)[np.cumsum(begins) - 1]]
        copies = first != row
        table = pa.table({"row": row[copies], "first": first[copies]})
    pq.write_table(table, out, compression="zstd")
wall, use = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
import pyarrow.parquet as pq
print(wall, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024, pq.read_metadata(out).num_rows)
'''


def run(python: Path, folder: Path, engine: str, step: str, threads: int) -> dict[str, Any]:
    """One step by one engine."""
    done = subprocess.run([python, "-c", RUN, folder, engine, step, str(threads)], capture_output=True, text=True, check=True)
    wall, processor, peak, rows = done.stdout.split()
    return {
        "engine": engine, "step": step, "threads": threads, "wall_seconds": round(float(wall), 2), "processor_seconds": round(float(processor), 2),
        "peak_memory_MiB": round(float(peak)), "rows": int(rows),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of an environment with duckdb, polars, pyarrow and numpy")
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    listed = "import duckdb, polars, pyarrow, numpy, json; print(json.dumps({m.__name__: m.__version__ for m in (duckdb, polars, pyarrow, numpy)}))"
    versions = json.loads(subprocess.run([options.python, "-c", listed], capture_output=True, text=True, check=True).stdout)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([options.python, "-c", MAKE, folder, str(options.records)], check=True)
        runs = [run(options.python, folder, *which) for which in ((e, s, t) for s in STEPS for e in ENGINES for t in THREADS)]
    told = provenance()
    busy = "busy machine: other work ran beside it" if told["machine"]["load_average_at_start"][0] > 1 else ""
    result_files.write(RESULT, {**told, "engines": versions, "note": busy, "records": options.records, "runs": runs})
    print(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()

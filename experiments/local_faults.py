"""A run on one machine is killed (-9) at random in every stage that runs a model over partitions: what is lost, and what is done twice.

    python -m experiments.local_faults --folder FOLDER [--kills 3] [--works stages adaptive learn]

One run of 96 records with tiny random models (12 partitions a stage) is killed so often in each of: embed, score, lengths, proxy, judge (a local
model), hidden and tags (a server on this machine that answers from a table). It is started again with the same command. At the end every table
must be that of a run that nothing disturbed, bit for bit; what the workers wrote down says how many partitions were begun more than once, at
most one for each kill. A request that was under way is sent again.

Adaptive scoring and the stage learn are runs of their own. What adaptive scoring was at between two levels (8 records at most) is asked for again
from the first level on; learn is killed in its second pass, and must not train again.

Result: experiments/results/local_faults.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.rundir.shards import Worker
from codeact.stages import adaptive_parts, embed, hidden, judge, learn, lengths, score
from tests.helpers import processes

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.progress import Progress

RESULT = Path(__file__).parent / "results" / "local_faults.json"
RECORDS, SHARD, PAUSE_S, AT_ONCE = 96, 8, 0.1, 4
APART = {
    "adaptive": ("score", {"score.adaptive": True}),
    "learn": ("learn", {"sample.strategy": "learnable", "train.learning_rate": 0.01, "train.method": "lora"}),
}
"""Runs of their own: the table, and further settings."""
MODEL_STAGES = ("embed", "score", "lengths", "proxy", "judge", "hidden")  # in the order of the plan
BEGUN = "CODEACT_TRIAL_BEGUN"
PLAIN: dict[str, Callable[..., Worker]] = {
    "embed": embed._embed_worker, "score": score._worker, "hidden": hidden._worker, "lengths": lengths._worker, "judge": judge._worker,
    "learn": learn._worker,
}  # fmt: skip


def counted(stage: str, *settings: Any) -> Worker:
    """The stage's own worker, which writes down each partition that it begins, and takes a moment longer for it."""
    work = PLAIN[stage](*settings)
    name = "proxy" if stage == "score" and settings[0].name.endswith("proxy") else stage

    def counting(shard: pa.Table, progress: Progress) -> pa.Table:
        with Path(os.environ[BEGUN]).open("a", encoding="utf-8") as log:
            log.write(json.dumps([name, shard["id"][0].as_py()]) + "\n")
        time.sleep(PAUSE_S)
        return work(shard, progress)

    return counting


def _count_apart() -> None:
    """Parts of adaptive scoring, and trainings, are written down as partitions are."""
    from codeact.score.adaptive import resume
    from codeact.training import sft

    measured, fine_tune = adaptive_parts.MeasuredInParts._measured, sft.fine_tune

    def note(name: str, what: str) -> None:
        with Path(os.environ[BEGUN]).open("a", encoding="utf-8") as log:
            log.write(json.dumps([name, what]) + "\n")
        time.sleep(PAUSE_S)

    def counting(self: adaptive_parts.MeasuredInParts, shard: pa.Table, progress: Progress) -> pa.Table:
        note("adaptive", f"{self.calls} {shard['id'][0]}")
        return measured(self, shard, progress)

    def trained(*given: Any, **settings: Any) -> Any:
        note("training", "")
        return fine_tune(*given, **settings)

    adaptive_parts.MeasuredInParts._measured, sft.fine_tune = counting, trained  # type: ignore[method-assign]
    adaptive_parts.PART = score.PART = SHARD  # type: ignore[attr-defined]
    resume.WINDOW = (SHARD, SHARD)


def drive(folder: Path, endpoint: str, apart: str = "") -> None:
    """The run in `folder`; started again it goes on. With an endpoint: tags; or one of `APART`."""
    from codeact.config import load_recipe
    from codeact.pipeline.run import run_pipeline

    for module, name in ((embed, "_embed_worker"), (score, "_worker"), (hidden, "_worker"), (lengths, "_worker"), (judge, "_worker"), (learn, "_worker")):
        setattr(module, name, partial(counted, module.__name__.rpartition(".")[2]))
        if hasattr(module, "SHARD_RECORDS"):
            module.SHARD_RECORDS = SHARD  # type: ignore[attr-defined]
    _count_apart()
    table, more = APART.get(apart, ("", {}))
    made = folder.parent / "made"
    asked = {"judge.endpoint": endpoint, "judge.model": "m", "judge.concurrency": AT_ONCE} if endpoint else {"judge.model": str(made / "model")}
    recipe = load_recipe(extra={
        "run_dir": str(folder / "run"), "data.source": str(made / "pool.jsonl"), "model.name": str(made / "model"), "model.dtype": "float32",
        "model.max_length": 512, "model.template": "question", "embed.model": str(made / "embedder" / "model"), "score.proxy": str(made / "proxy"),
        "score.shard_size": SHARD, "score.cache": False, "judge.min_mass": 0.0, "curate.decontaminate": (), "evaluate.enabled": False,
        "sample.strategy": "cdas", "sample.unit": "records", **asked, **more,
    })  # fmt: skip
    run_pipeline(recipe, (table,) if table else ("tags",) if endpoint else MODEL_STAGES)


def make(folder: Path) -> None:
    """The data and the models."""
    from tests.helpers.pool import pool_rows
    from tests.helpers.tiny_models import byte_level, ended, save_embedder, save_llama

    folder.mkdir(parents=True, exist_ok=True)
    rows = pool_rows(RECORDS)
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = ended(byte_level([row["output"] for row in rows[:64]], 600, ["<end>"]))
    for seed, name in enumerate(("model", "proxy")):
        save_llama(folder / name, tokenizer, seed, len(tokenizer), 2048)
    (folder / "embedder").mkdir(exist_ok=True)
    save_embedder(folder / "embedder")


def start(folder: Path, endpoint: str = "", apart: str = "") -> processes.Started:
    """The run as a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ("-m", "experiments.local_faults", "--drive", "--endpoint", endpoint, "--apart", apart, "--folder", str(folder))
    return processes.Started(*words, env={BEGUN: str(folder / "begun.txt"), "CODEACT_CACHE": str(folder / "cache")})


def begun(folder: Path, stage: str) -> list[str]:
    """First record of each partition of the stage that was begun."""
    path = folder / "begun.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [first for name, first in map(json.loads, lines) if name == stage]


def killed(
    folder: Path, endpoint: str, moments: dict[str, list[int]], count: Callable[[str], int], apart: str = ""
) -> tuple[int, list[dict[str, Any]]]:
    """Run to the end, killed in each stage after so many pieces of it: the exit status, and the kills."""
    drawn, kills = random.Random(7), []
    run = start(folder, endpoint, apart)
    for stage, after in moments.items():
        for number in after:
            while count(stage) < number and run.poll() is None:
                time.sleep(0.005)
            time.sleep(drawn.random() * PAUSE_S)
            if run.poll() is not None:
                break
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            kills.append({"stage": stage, "after": count(stage)})
            run = start(folder, endpoint, apart)
    return run.wait(), kills


def equal(one: Path, other: Path, tables: tuple[str, ...]) -> list[str]:
    """The tables of two runs that are not the same, bit for bit."""
    import pyarrow.parquet as pq

    return [name for name in tables if pq.read_table(one / f"run/{name}.parquet") != pq.read_table(other / f"run/{name}.parquet")]


def study_apart(folder: Path, kills: int, name: str) -> dict[str, Any]:
    """A run of `APART` with its kills, and what became of it."""
    make(folder / "made")
    table = APART[name][0]
    run = start(folder / f"fresh-{name}", "", name)
    if run.wait():
        raise SystemExit(run.communicate()[1])
    whole, there = begun(folder / f"fresh-{name}", name), folder / f"killed-{name}"
    moments = {name: sorted(random.Random(1).sample(range(2, len(whole) - 1), kills))}
    status, done = killed(there, "", moments, lambda _: len(set(begun(there, name))), name)
    found = begun(there, name)
    return {
        "kills": done, "exit_status": status, "other_tables": equal(there, folder / f"fresh-{name}", (table,)), "parts": len(set(whole)),
        "begun_again": len(found) - len(set(found)), "trainings": len(begun(there, "training")),
    }  # fmt: skip


def study(folder: Path, kills: int) -> dict[str, Any]:
    """Both runs with their kills, and what became of them."""
    from tests.helpers.judge_server import judge_server

    make(folder / "made")
    drawn = random.Random(1)
    with judge_server(lambda prompt: json.dumps(["sorting", f"topic {len(prompt) % 5}"])) as server:
        for name, endpoint in (("fresh", ""), ("fresh-tags", server.url)):
            run = start(folder / name, endpoint)
            if run.wait():
                raise SystemExit(run.communicate()[1])
        moments = {stage: sorted(drawn.sample(range(2, RECORDS // SHARD - 1), kills)) for stage in MODEL_STAGES}
        status, done = killed(folder / "killed", "", moments, lambda stage: len(set(begun(folder / "killed", stage))))
        server.pause, first = 0.05, len(server.payloads)
        moments = {"tags": sorted(drawn.sample(range(8, RECORDS - 16), kills))}
        tagged, more = killed(folder / "killed-tags", server.url, moments, lambda _: len({json.dumps(p) for p in server.payloads[first:]}))
        asked = Counter(json.dumps(payload) for payload in server.payloads[first:])
    found = {stage: begun(folder / "killed", stage) for stage in MODEL_STAGES}
    return {
        "records": RECORDS, "partition": SHARD, "kills": [*done, *more], "exit_statuses": [status, tagged],
        "other_tables": equal(folder / "killed", folder / "fresh", MODEL_STAGES) + equal(folder / "killed-tags", folder / "fresh-tags", ("tags",)),
        "partitions": {stage: len(set(names)) for stage, names in found.items()},
        "begun_again": {stage: len(names) - len(set(names)) for stage, names in found.items()},
        "requests": len(asked), "asked_again": sum(asked.values()) - len(asked), "at_most_asked_again": AT_ONCE * len(more),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=3, help="in each stage")
    parser.add_argument("--drive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", default="", help=argparse.SUPPRESS)
    parser.add_argument("--apart", default="", help=argparse.SUPPRESS)
    parser.add_argument("--works", nargs="+", default=["stages", *APART], choices=["stages", *APART], help="what is killed; the others' figures stay")
    options = parser.parse_args()
    if options.drive:
        drive(options.folder, options.endpoint, options.apart)
        return
    processes.begin()
    try:
        folder = options.folder.resolve()
        result = {**provenance(), **study(folder, options.kills)} if "stages" in options.works else result_files.read(RESULT)
        for name in APART:
            if name in options.works:
                told = provenance()
                result[name] = {"date": told["date"], "command": told["command"], **study_apart(folder, options.kills, name)}
        result_files.write(RESULT, result)
    finally:
        processes.end()


if __name__ == "__main__":
    main()

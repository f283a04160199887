"""From a file to a file: `codeact curate` beside data-juicer's and datatrove's own way, on the same records in the same run.

    python -m benchmarks.scale_peers --records 20000

Three works: filter (each tool's own filters: not equal work), exact copies, and near copies by MinHash (128 hashes, runs of 5 words, 0.8;
datatrove's 16 buckets of 8 compare no further). Every tool reads the records of `benchmarks.scale` as JSON lines, two processes are
allowed, and what it keeps is written as JSON lines. Seconds and memory are those of the whole command, imports included. codeact's
own work holds in each case its reading of any format, the table of records and the ledger of decisions.

The tools' environments are those of `benchmarks.peers`.

Result: benchmarks/results/scale_peers.json.xz
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers, result_files
from benchmarks.data_folder import CODE_ALPACA, EVOL_INSTRUCT
from benchmarks.machine import provenance
from benchmarks.scale import measured, write_data

RESULT = Path(__file__).parent / "results" / "scale_peers.json.xz"
PROCESSES = 2
WORKS = ("filter", "exact", "minhash")
OURS = {
    "filter": ("curate.dedup=false",),
    "exact": ("curate.verify=false",),
    "minhash": ("curate.verify=false", "curate.dedup=false", "curate.near=0.8"),
}
JUICER = {
    "filter": """
  - alphanumeric_filter:
  - average_line_length_filter:
  - character_repetition_filter:
  - maximum_line_length_filter:
  - special_characters_filter:
  - text_length_filter:
  - word_repetition_filter:""",
    "exact": "\n  - document_deduplicator:",
    "minhash": """
  - document_minhash_deduplicator:
      tokenization: space
      window_size: 5
      num_permutations: 128
      jaccard_threshold: 0.8""",
}


def ours(work: str, data: Path, folder: Path) -> tuple[list[str], Path]:
    """The command, and the file that it writes."""
    out = folder / "kept.jsonl"
    chosen = [part for one in (*OURS[work], "curate.decontaminate=[]", f"workers={PROCESSES}") for part in ("--set", one)]
    return ["-m", "codeact", "curate", str(data), "-o", str(out), "--run-dir", str(folder / "run"), "--quiet", *chosen], out


def juicer(work: str, texts: Path, folder: Path) -> tuple[list[str], Path]:
    """The same of data-juicer: its own command with a recipe."""
    out = folder / "kept.jsonl"
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"project_name: scale\ndataset_path: {texts}\nexport_path: {out}\nnp: {PROCESSES}\ntext_keys: text\nopen_monitor: false\n"
        f"open_tracer: false\nuse_cache: false\nds_cache_dir: {folder / 'cache'}\nwork_dir: {folder}\nprocess:{JUICER[work]}\n",
        encoding="utf-8",
    )
    return [str(peers.python_of("data-juicer").parent / "dj-process"), "--config", str(recipe)], out


def datatrove(work: str, texts: Path, folder: Path) -> tuple[list[str], Path]:
    """The same of datatrove: its pipelines."""
    settings = {"work": work, "given": str(texts.parent / "parts"), "folder": str(folder), "processes": PROCESSES}
    return [str(peers.SCRIPTS / "whole_way.py"), json.dumps(settings)], folder / "kept"


def one(work: str, tool: str, data: Path, texts: Path, folder: Path) -> dict[str, Any]:
    """Seconds, memory, and how many records are kept."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if tool == "codeact":
        command, out = ours(work, data, folder)
        found = measured(command)
    else:
        command, out = (juicer if tool == "data-juicer" else datatrove)(work, texts, folder)
        found = measured(command, str(peers.python_of(tool).absolute()))
    files = sorted(out.glob("*.jsonl")) if out.is_dir() else [out]
    return {**found, "kept": sum(1 for file in files for _ in file.open(encoding="utf-8"))}


def _texts(data: Path, folder: Path) -> Path:
    """The same records as one text each: in one file, and in as many parts as processes."""
    folder.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in data.open(encoding="utf-8")]
    lines = [json.dumps({"text": f"{row['instruction']}\n{row['output']}"}, ensure_ascii=False) + "\n" for row in rows]
    (folder / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "parts").mkdir(exist_ok=True)
    for number in range(PROCESSES):
        (folder / "parts" / f"{number}.jsonl").write_text("".join(lines[number::PROCESSES]), encoding="utf-8")
    return folder / "texts.jsonl"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--data", nargs="+", default=[str(EVOL_INSTRUCT), str(CODE_ALPACA)])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "codeact-scale-peers")
    parser.add_argument("--works", nargs="+", default=list(WORKS), choices=WORKS)
    args = parser.parse_args(arguments)
    told = provenance()
    args.work.mkdir(parents=True, exist_ok=True)
    data = args.work / f"records-{args.records}.jsonl"
    if not data.exists():
        write_data(data, args.records, args.data)
    texts = _texts(data, args.work / f"texts-{args.records}")
    result = result_files.read(RESULT) if RESULT.exists() else {"runs": {}}
    run: dict[str, Any] = result["runs"].get(str(args.records), {"works": {}})
    for work in args.works:
        found: dict[str, Any] = {}
        for tool in ("codeact", "data-juicer", "datatrove"):
            try:
                found[tool] = one(work, tool, data, texts, args.work / "now")
            except (SystemExit, peers.PeerError) as error:
                found[tool] = {"failed": str(error)[:200]}
            print(work, tool, found[tool], flush=True)
        mine = found["codeact"]
        for tool in ("data-juicer", "datatrove"):
            if "failed" not in found[tool]:
                found[tool] |= {
                    f"{key} / codeact's": round(found[tool][key] / mine[key], 2) for key in ("processor_seconds", "wall_seconds", "peak_memory_MiB")
                }
        run["works"][work] = found
    load = told["machine"]["load_average_at_start"]
    run |= {"date": told["date"], "command": told["command"], "load_average_at_start": load}
    run["note"] = "busy machine: other work ran beside it" if load[0] > 1 else ""
    versions = {**told["versions"], **peers.versions("data-juicer"), **peers.versions("datatrove")}
    result_files.write(RESULT, {**told, "versions": versions, "runs": {**result["runs"], str(args.records): run}})


if __name__ == "__main__":
    main()

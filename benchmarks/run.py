"""Every comparison of speed in turns on this machine, row by row, and docs/performance.md written from it.

    make bench                                     all rows, on the whole machine
    python -m benchmarks.run --only planning       rows whose name holds the word; --again measures them anew
    python -m benchmarks.run --page                the page alone, from the result file
    python -m benchmarks.run --small --no-peers    tiny, without other tools: a test runs it

Each row runs in a process of its own and is kept at once; the same command goes on with what is left, --again also runs those that
failed. Other tools are installed into environments of their own (`benchmarks.peers`); those that do not install are named
in the row. A row says how much of the machine other programs took while it ran: above a tenth it is marked busy.

Data: CODEACT_DATA. Threads: what OMP_NUM_THREADS says, else all cores.

Result: benchmarks/results/performance.json.xz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import performance_page, result_files
from benchmarks.slices import Slice, run, run_apart
from benchmarks.turns import Load
from codeact import progress

ROOT = Path(__file__).parents[1]
RESULT, PAGE = Path(__file__).parent / "results" / "performance.json.xz", ROOT / "docs" / "performance.md"
ROW_SECONDS = 3600.0


def rows(small: bool = False, peers: bool = True) -> list[Slice]:
    """Every row with its settings, in the order of the page."""
    half = {"dtype": "float32" if small else "bfloat16"}
    tools = {"peers": peers}
    return [
        Slice("scoring", "scoring", {"records": 2 if small else 24, "group": 1 if small else 4, "max_length": 192 if small else 1024,
                                     "dtypes": ["float32"] if small else ["bfloat16", "float32"], **tools}, 10.0),
        Slice("adaptive", "adaptive", {"records": 8 if small else 500, "ratio": 0.4, "agreement": 0.9, "max_length": 96 if small else 1024, **half}, 20.0),
        Slice("planning", "planning", {"samples": 500 if small else 200_000, "capacity": 2048, "rounds": 3, **tools}, 3.0),
        Slice("training", "training", {"records": 3 if small else 16, "batch_size": 3 if small else 4, "max_length": 48 if small else 512,
                                       "rounds": 1, "dtype": "float32", **tools}, 20.0),
        Slice("generation", "generation", {"tasks": 2 if small else 16, "batch_size": 2 if small else 16, "new_tokens": 3 if small else 128,
                                           "rounds": 1 if small else 2, "continuous": not small}, 8.0),
        Slice("grading", "grading", {"tasks": 2 if small else 40, "rounds": 1 if small else 2, **tools}, 5.0),
        Slice("curation", "curation", {"records": 20 if small else 3000, "rounds": 1 if small else 2, **tools}, 5.0),
        Slice("near copies", "near_copies", {"records": 40 if small else 1000, "rounds": 1 if small else 2, **tools}, 5.0),
        Slice("same meaning", "same_meaning", {"records": 100 if small else 20_000, "rounds": 1 if small else 3, **tools}, 3.0),
        Slice("command line", "commandline", {"rounds": 1 if small else 5, **tools}, 3.0),
        Slice("select", "selection", {"records": 20 if small else 2000, "rounds": 1 if small else 2, "scored": 0 if small else 200, **half}, 15.0),
    ]  # fmt: skip


def measure_here(one: Slice, **more: Any) -> dict[str, Any]:
    """The row, in this process, with what other programs took meanwhile."""
    with Load() as load:
        found = import_module(f"benchmarks.rows.{one.work}").measure(**one.settings, **more)
    return {**found, "others": round(load.others or 0.0, 3)}


def rounded(value: Any) -> Any:
    """Four significant figures are what a measurement is worth."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="words: rows whose name holds one of them")
    parser.add_argument("--again", action="store_true", help="rows that failed once more; with --only: all of these")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--page", action="store_true", help="write the page from the result file and stop")
    parser.add_argument("--small", action="store_true", help="tiny settings: a dry run; name another --output")
    parser.add_argument("--no-peers", action="store_true", help="without other tools")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="of this call; it goes on where it ended")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--write", type=Path, default=None, help="the page; by default docs/performance.md beside the default result")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    every = rows(options.small, not options.no_peers)
    if options.row:
        progress.show(False)
        one = next(one for one in every if one.name == options.row)
        options.result.write_text(json.dumps(rounded(measure_here(one))), encoding="utf-8")
        return
    chosen = [one for one in every if not options.only or any(word in one.name for word in options.only)]
    if options.list or not chosen:
        print("\n".join(one.name for one in every))
        return
    flags = [*(["--small"] if options.small else []), *(["--no-peers"] if options.no_peers else [])]
    left: list[str] = []
    if not options.page:
        if options.only and options.again and options.output.exists():
            kept = result_files.read(options.output)
            kept["slices"] = {name: entry for name, entry in kept["slices"].items() if name not in {one.name for one in chosen}}
            result_files.write(options.output, kept)
        left = run(
            chosen, options.output, 60 * options.minutes, options.again,
            lambda one, limit: run_apart("benchmarks.run", ["--row", one.name, *flags], min(limit, ROW_SECONDS)),
        )  # fmt: skip
    found = result_files.read(options.output)
    page = options.write or (PAGE if options.output == RESULT else None)
    text = performance_page.markdown(found, [one.name for one in every])
    if page:
        page.write_text(text, encoding="utf-8")
    print(text)
    print(f"left: {', '.join(left)}; the same command goes on" if left else "nothing is left")


if __name__ == "__main__":
    main()

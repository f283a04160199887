"""What a reader of the source goes through: files that one `codeact select` enters, and how often it goes from file to file.

    python -m benchmarks.reading_walk --label after --checkout COMMIT
    PYTHONPATH=OLD/src:. python -m benchmarks.reading_walk --label before --checkout COMMIT    (of the package in OLD)

`select` runs in this process, by CDAS, on the first --rows rows, under `sys.setprofile`. Counted are calls of functions of the package:
files entered, and changes (a call in another file than the call before it), of all calls and of each function's first call
alone, as a reader meets it. What importing runs (bodies of classes, tables made by a comprehension) is no call. From the source:
files, lines, annotations of parameters and results that are a bare `Any`, imports that rename what the package itself defines, functions of
more than 60 lines (the docstring left out) and of more than 8 parameters, and files that name the strategy --strategy, each of which another
strategy had to be put into. The other labels of the result stay.

Result: benchmarks/results/reading_walk.json.xz
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import codeact
from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.cli import main as command_line

PACKAGE = Path(codeact.__file__).parent
CDAS = ("--strategy", "cdas", "--unit", "records")
RESULT = Path(__file__).parent / "results" / "reading_walk.json.xz"


class Walk:
    """A profile function that keeps the way from file to file."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes = 0
        self.last = ""
        self.names: dict[str, str] = {}
        self.met: dict[CodeType, str] = {}  # each function's file, in the order of first calls
        self.imports: Counter[int] = Counter()  # modules that are being imported, by thread

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if frame.f_code.co_name == "<module>" and event in ("call", "return"):
            self.imports[threading.get_ident()] += 1 if event == "call" else -1
        if event != "call" or self.imports[threading.get_ident()]:
            return
        file = frame.f_code.co_filename
        if file not in self.names:
            path = Path(file)
            self.names[file] = path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else ""
        if name := self.names[file]:
            self.calls[name] += 1
            self.changes += name != self.last
            self.last = name
            self.met.setdefault(frame.f_code, name)


def walked(arguments: list[str]) -> Walk:
    """What the command line enters with these arguments; SystemExit where it fails."""
    walk = Walk()
    sys.argv = ["codeact", *arguments]
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        command_line()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return walk


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    """Of all parameters and results."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known = node.args
            given = [*known.posonlyargs, *known.args, *known.kwonlyargs, known.vararg, known.kwarg]
            yield from (one.annotation for one in given if one is not None and one.annotation is not None)
            if node.returns is not None:
                yield node.returns


def aliases(tree: ast.AST) -> Iterator[str]:
    """Names of the package that an import gives another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "codeact":
            yield from (f"{node.module}.{one.name}" for one in node.names if one.asname not in (None, one.name))
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.asname and one.name.split(".")[0] == "codeact")


def functions(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Name, lines without the docstring, and number of parameters of each function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            lines = node.end_lineno - node.lineno + 1 - (told.end_lineno - told.lineno + 1 if told else 0)
            given = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            yield node.name, lines, len(given) - (given[:1] == ["self"])


def source_figures(strategy: str) -> dict[str, Any]:
    texts = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    spelt = re.compile(rf"\b{strategy.replace('-', '[-_]')}\b")
    return {
        "files": len(texts),
        "lines": sum(text.count("\n") for text in texts.values()),
        "bare_any": sum(
            isinstance(found, ast.Name) and found.id == "Any" for tree in trees.values() for found in annotations(tree)
        ),
        "aliases": sorted(name for tree in trees.values() for name in aliases(tree)),
        "long_functions": {f"{name}: {one}": lines for name, tree in trees.items() for one, lines, _ in functions(tree) if lines > 60},
        "wide_functions": {f"{name}: {one}": given for name, tree in trees.items() for one, _, given in functions(tree) if given > 8},
        "files_naming_the_strategy": sorted(name for name, text in texts.items() if spelt.search(text)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=EVOL_INSTRUCT, help="a JSON list of records")
    parser.add_argument("--label", required=True, help="of this package in the result: before, after")
    parser.add_argument("--checkout", required=True, help="its commit, for the result")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--embedder", help="default: the one that belongs to the model")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--strategy", default="facility-location")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    told = machine.provenance()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CODEACT_SCORES"] = str(Path(folder) / "scores")  # nothing is scored yet
        pool = Path(folder) / "pool.json"
        rows = json.loads(options.data.read_text(encoding="utf-8"))[: options.rows]
        pool.write_text(json.dumps(rows), encoding="utf-8")
        out = Path(folder) / "chosen.jsonl"
        more = ["--embedder", options.embedder] if options.embedder else []
        walk = walked(["select", str(pool), "--model", options.model, *more, *CDAS, "--ratio", "0.4", "-o", str(out)])
        chosen = len(out.read_text(encoding="utf-8").splitlines())
    found = {
        **told, "checkout": options.checkout, "rows": len(rows), "chosen": chosen, "model": Path(options.model).name, "files_entered": len(walk.calls),
        "changes_of_file": walk.changes, "functions": len(walk.met),
        "changes_at_first_calls": sum(a != b for a, b in pairwise(walk.met.values())), "calls": walk.calls.total(), "strategy": options.strategy,
        **source_figures(options.strategy), "calls_by_file": dict(walk.calls.most_common()),
    }  # fmt: skip
    kept = result_files.read(options.output) if options.output.exists() else {}
    result_files.write(options.output, {**kept, options.label: found})
    shown = {name: len(value) if isinstance(value, list | dict) else value for name, value in found.items()}
    print({name: value for name, value in shown.items() if isinstance(value, int)})


if __name__ == "__main__":
    main()

"""Imports point down only: the layers of the architecture, read from the source by its syntax."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "codeact"

LAYERS = {
    0: (
        "errors", "progress", "records", "shipped", "outputs", "redact", "config", "confidential", "addresses",
        "placeholders", "example_code", "code_places", "credentials", "parsing", "grammars", "recipe_keys", "files", "storage", "row_output", "parquet", "sources",
        "amounts", "locks", "mirror", "address_copy", "logs", "draws", "downloads", "statistics", "statuses", "terminal", "types", "sandbox", "packing", "lm",
        "sample", "spoken",
    ),
    1: ("harvesting", "curate", "embed", "cluster", "score", "judge"),
    2: ("training", "evaluation"),
    3: ("rundir",),
    4: ("stages",),
    5: ("pipeline",),
    6: ("comparison", "exporting", "reporting", "api", "cli", "__init__", "__main__"),
}  # fmt: skip
LAYER = {part: level for level, parts in LAYERS.items() for part in parts}
NO_TORCH = (
    "packing/plan.py",
    "packing/stream.py",
    "packing/balance.py",
    "sample/__init__.py",
    "sample/orders.py",
    "sample/quotas.py",
    "sample/pool.py",
    "sample/steps.py",
    "sample/strategies.py",
    "sample/coverage.py",
    "cluster.py",
)


def part_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def nodes(file: Path) -> list[ast.AST]:
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(file)) if isinstance(node, kinds)]


def imported(file: Path) -> Iterator[str]:
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted(ROOT.rglob("*.py"))


def test_imports_point_down() -> None:
    for file in FILES:
        part = part_of(file)
        assert part in LAYER, f"{part} has no layer"
        for name in imported(file):
            if not name.startswith("codeact."):
                continue
            other = name.split(".")[1]
            if other not in LAYER or other == part:
                continue
            if LAYER[part] == 1:
                assert LAYER[other] == 0, f"{file}: {part} (layer 1) imports its sibling {other}"
            assert LAYER[other] <= LAYER[part], f"{file}: {part} (layer {LAYER[part]}) imports {other} (layer {LAYER[other]})"


def test_the_lowest_layer_has_no_cycles() -> None:
    edges = {part: set() for part in LAYERS[0]}
    for file in FILES:
        if (part := part_of(file)) in edges:
            edges[part] |= {n.split(".")[1] for n in imported(file) if n.startswith("codeact.")} & (set(edges) - {part})
    while edges:
        free = [part for part, needs in edges.items() if not needs & set(edges)]
        assert free, f"import cycle among {sorted(edges)}"
        for part in free:
            del edges[part]


def test_no_modules_need_each_other() -> None:
    """Imports for types alone and those inside functions count too; only the package itself, which lists all public names, is left out."""
    names = {".".join(("codeact", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): file for file in FILES}
    needs = {
        module: {name if name in names else name.rpartition(".")[0] for name in imported(file)} & set(names) - {module, "codeact"}
        for module, file in names.items()
    }
    needs["codeact"] = set()
    list(TopologicalSorter(needs).static_order())  # CycleError names the circle


@pytest.mark.parametrize("name", NO_TORCH)
def test_pure_modules_never_import_torch(name: str) -> None:
    assert not [n for n in imported(ROOT / name) if n.split(".")[0] in ("torch", "transformers")]


def test_packing_never_runs_a_model() -> None:
    users = [n for f in FILES if part_of(f) == "packing" for n in imported(f) if n.startswith(("codeact.lm", "transformers"))]
    assert not users


def test_only_one_module_imports_ray() -> None:
    text = [
        f for f in FILES if '"ray"' in f.read_text(encoding="utf-8") and "require(" in f.read_text(encoding="utf-8")
    ]
    users = [f for f in FILES if any(n.split(".")[0] == "ray" for n in imported(f))] + text
    assert {f.name for f in users} <= {"ray_cluster.py"}


def test_heavy_libraries_are_imported_late() -> None:
    heavy = "torch transformers sklearn scipy sentence_transformers pyarrow pandas datasets ray peft accelerate bitsandbytes"
    code = f"import codeact, codeact.cli, codeact.api, codeact.packing, sys\nprint([m for m in {heavy!r}.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_of_ours_is_imported_under_another_name() -> None:
    """Two things that need an alias beside each other have the wrong names."""
    for file in FILES:
        for node in nodes(file):
            if isinstance(node, ast.ImportFrom | ast.Import):
                module = getattr(node, "module", None)
                ours = [a for a in node.names if (module or a.name).split(".")[0] == "codeact"]
                assert not [f"{file}: {a.name} as {a.asname}" for a in ours if a.asname not in (None, a.name)]


def test_array_types_have_one_home() -> None:
    alias = re.compile(r"^\w+ = NDArray\[np\.(float64|int64|bool_|float32)\]", re.MULTILINE)
    assert [f.name for f in FILES if alias.search(f.read_text(encoding="utf-8"))] == ["types.py"]


# Bare `Any` in signatures, and why: what a program under test hands over or asks with is looked into by its exact type (sandbox: 12);
# a JSON document (1); arguments that transformers hands to a mask function and to a forward pass, whose names differ by model (2).
MOST_ANY = 15


def test_signatures_say_what_they_hold() -> None:
    """The number may only go down: a table is `pa.Table`, a model and a tokenizer are those of `codeact.types`, the rest `object`."""
    bare: list[str] = []
    for file in FILES:
        for node in nodes(file):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args
                taken = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                notes = [*(one.annotation for one in taken if one is not None), node.returns]
                bare += [f"{file.name}:{node.lineno}" for note in notes if isinstance(note, ast.Name) and note.id == "Any"]
    assert len(bare) <= MOST_ANY, bare


def test_public_functions_and_classes_say_what_they_do() -> None:
    """Sections of the recipe aside: each of their keys does."""
    bare = [
        f"{file.name}:{node.lineno}"
        for file in FILES
        if part_of(file) != "config"
        for node in tree(file).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []

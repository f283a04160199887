"""docs/api.md is the code's public surface, and no Python example in the docs reaches behind it or calls what is not there."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import codeact
from tests.helpers.signatures import one_line

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = set(re.findall(r"^\| `(codeact[\w.]*)` \|", API, flags=re.M))
PUBLIC = {*codeact.__all__} - {"__version__"}


def examples() -> Iterator[tuple[str, str]]:
    """Page and source of every Python block; of one with prompts, what is typed."""
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M):
            if ">>> " in block:
                block = "".join(example.source for example in doctest.DocTestParser().get_examples(block))
            yield str(page.relative_to(ROOT)), block


EXAMPLES = list(examples())
by_page = pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=[page for page, _ in EXAMPLES])


def test_the_page_lists_every_public_name_with_its_signature() -> None:
    entries = dict(re.findall(r"^### (\w+)\n\n`([^`]*)`$", API, flags=re.M))
    assert entries == {name: one_line(name, getattr(codeact, name)) for name in PUBLIC}


def test_every_name_has_an_example_that_uses_it() -> None:
    for name, entry in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", API, flags=re.M | re.S):
        (block,) = re.findall(r"```python\n(.*?)```", entry, flags=re.S)
        assert f"codeact.{name}" in block or name == "Selection", name
        text = re.sub(r"`[^`]*`|```.*?```", "", entry, flags=re.S)
        assert len(text.split()) >= 3 or "`" in entry, name


def test_the_modules_of_the_page_are_there() -> None:
    assert MODULES
    for name in MODULES:
        assert importlib.import_module(name).__doc__


@by_page
def test_an_example_imports_public_names_only(page: str, code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        assert {n for n in names if n.split(".")[0] == "codeact"} <= {"codeact", *MODULES}
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "codeact":
            assert str(node.module) in MODULES or node.module == "codeact", f"{page} imports from {node.module}"
            home = importlib.import_module(str(node.module))
            offered = getattr(home, "__all__", None) or [n for n in dir(home) if not n.startswith("_")]
            for alias in node.names:
                assert alias.name in offered or f"{node.module}.{alias.name}" in MODULES, alias.name


def called(code: str) -> Iterator[tuple[ast.Call, Any]]:
    """Calls of codeact's own functions in an example, with the function."""
    tree = ast.parse(code)
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "codeact":
            names |= {
                a.asname or a.name: getattr(importlib.import_module(str(node.module)), a.name) for a in node.names
            }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in names:
            yield node, names[function.id]
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id == "codeact"
        ):
            assert function.attr in PUBLIC, f"codeact.{function.attr}"
            yield node, getattr(codeact, function.attr)


@by_page
def test_an_example_calls_what_is_there(page: str, code: str) -> None:
    for node, function in called(code):
        if any(keyword.arg is None for keyword in node.keywords) or not callable(function):
            continue
        if isinstance(function, type) and issubclass(function, Exception):
            continue
        inspect.signature(function).bind(*node.args, **{str(k.arg): k.value for k in node.keywords})


def test_names_that_a_page_mentions_are_public() -> None:
    """`codeact.name` in running text leads a reader to that name: it is one of the page, or in one of its modules."""
    for page in PAGES:
        if page.name == "architecture.md":  # for contributors: it names the modules
            continue
        for path in re.findall(r"`(codeact(?:\.[A-Za-z_]\w*)+)", page.read_text(encoding="utf-8")):
            module, _, name = path.rpartition(".")
            assert path in MODULES or module in MODULES or (module == "codeact" and name in PUBLIC), (
                f"{page.name}: {path}"
            )

"""Every package that the source imports is declared, in the core or in the extra that the message about it names."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILT_BY_USERS = {"flash_attn"}  # is compiled against the machine's torch; used where it is there
FILES = sorted((ROOT / "src").rglob("*.py"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!;~ ]", one)[0]) for one in requirements}


CORE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(some) for name, some in PROJECT["optional-dependencies"].items()}
HOMES = packages_distributions()


def distributions(module: str) -> set[str]:
    """Of an imported name; where it is not installed, a package of the same name."""
    top = module.partition(".")[0]
    return {normal(name) for name in HOMES.get(top, [top])}


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"codeact"}


def test_every_import_is_declared() -> None:
    anywhere = CORE.union(*EXTRAS.values())
    for file in FILES:
        for name in imports(ast.parse(file.read_text(encoding="utf-8"))) - BUILT_BY_USERS:
            assert distributions(name) & anywhere, f"{file}: {name} is declared nowhere in pyproject.toml"


def test_what_needs_no_extra_is_in_the_core() -> None:
    """Imports at the head of a file run whenever it is read, so nothing but the core may be there."""
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        head = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        for name in imports(head):
            where = file.relative_to(ROOT / "src" / "codeact").as_posix()
            assert distributions(name) & CORE, f"{where}: {name}"


def test_a_missing_package_is_in_the_extra_that_is_named() -> None:
    seen = 0
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require"):
                continue
            module, extra = (arg.value if isinstance(arg, ast.Constant) else None for arg in node.args[:2])
            if module is None:
                continue
            assert distributions(module) & EXTRAS[extra], f"{file}: {module} is not in the extra {extra}"
            seen += 1
    assert seen > 15

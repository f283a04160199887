"""The public names of codeact: what `import codeact` offers is what docs/api.md lists, and no module takes a function's name away."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import codeact
from tests.helpers.processes import Started
from tests.unit.test_layers import FILES, ROOT

MODULES = {file.relative_to(ROOT).parts[0].removesuffix(".py") for file in FILES} - {"__init__", "__main__"}
PACKAGES = sorted(".".join(("codeact", *file.parent.relative_to(ROOT).parts)) for file in ROOT.rglob("__init__.py"))


def test_all_and_the_lazy_table_agree() -> None:
    assert [*codeact.__all__] == list(dict.fromkeys(codeact.__all__))
    assert {*codeact.__all__} == {*codeact._HOME, "__version__"}
    assert {*codeact.__all__} <= {*dir(codeact)}


def test_no_public_name_is_a_module_of_codeact() -> None:
    assert not {*codeact.__all__} & MODULES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_exports_a_name_of_a_module_beside_it(package: str) -> None:
    """`codeact.api.select` stays the function, since there is no `codeact/api/select.py` whose import would put a module there."""
    home = importlib.import_module(package)
    folder = Path(str(home.__file__)).parent
    beside = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    assert not {*getattr(home, "__all__", ())} & beside


def test_every_name_is_its_function_after_every_module_was_imported() -> None:
    """In forks that have forgotten codeact: an import of a module puts its name on the package, over a function of that name."""
    code = """
import importlib, os, pkgutil, sys, types
for name in [name for name in sys.modules if name.partition(".")[0] == "codeact"]:
    del sys.modules[name]
import codeact
assert not [name for name in sys.modules if name.startswith("codeact.api")]
child = os.fork()
first = child == 0
before = {name: getattr(codeact, name) for name in codeact.__all__} if first else {}
for module in pkgutil.walk_packages(codeact.__path__, "codeact."):
    if not module.name.endswith(("__main__", "sandbox.child", "sandbox.attacks")):
        importlib.import_module(module.name)
for name in codeact.__all__:
    value = getattr(codeact, name)
    assert not isinstance(value, types.ModuleType), name
    assert not first or value is before[name], name
    assert name == "__version__" or value.__name__ == name, (name, value)
if child:
    assert os.waitpid(child, 0)[1] == 0, "where the names come first"
"""
    process = Started("-c", code)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'selct'"):
        codeact.selct  # noqa: B018
    assert Path(codeact.__file__).parent == ROOT

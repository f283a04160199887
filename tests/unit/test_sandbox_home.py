"""An interpreter under a home directory (pyenv, uv, conda put it there): both backends run it and still hide the home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.sandboxes import SANDBOXES, held_sandbox

SCRIPT = """
import json, sys
from codeact.sandbox import call_function, probe_backend
from codeact.sandbox.process import Limits
probe = probe_backend(sys.argv[1])
told = {"holds": probe.backend is not None, "problem": probe.problem}
if probe.backend is not None:
    source = "def f(path):\\n import sys\\n try: return [sys.executable, open(path).read()]\\n except OSError: return [sys.executable, None]"
    (outcome,) = call_function(source, "f", [[sys.argv[2]]], limits=Limits(), backend=probe.backend)
    told |= {"interpreter": probe.backend.interpreter, "value": outcome.value, "detail": outcome.detail}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with a copy of this interpreter and its standard library, as a version manager lays it out."""
    folder = tmp_path_factory.mktemp("home")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    place = folder / ".pyenv" / "versions" / "mine"
    stdlib = Path(sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})["stdlib"])
    unneeded = shutil.ignore_patterns(
        "site-packages", "dist-packages", "__pycache__", "test", "idlelib", "ensurepip", "config-*"
    )
    shutil.copytree(stdlib, place / "lib" / version, ignore=unneeded)
    (place / "bin").mkdir()
    shutil.copy2(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), place / "bin" / version)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy2(library, place / "lib")
    (folder / "secret").write_text("hunter2")
    return folder


@pytest.mark.parametrize("name", SANDBOXES)
def test_an_interpreter_under_home_works_and_home_stays_hidden(name: str, home: Path) -> None:
    held_sandbox(name)
    (interpreter,) = (home / ".pyenv" / "versions" / "mine" / "bin").iterdir()
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [interpreter, "-c", SCRIPT, name, str(home / "secret")],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(source), "LD_LIBRARY_PATH": str(interpreter.parents[1] / "lib")},
        capture_output=True,
        text=True,
        timeout=900,
    )  # fmt: skip
    if done.returncode != 0 and "codeact" not in done.stderr:
        pytest.skip(f"this interpreter cannot be copied: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["holds"], told["problem"]
    assert Path(told["interpreter"]) == interpreter.resolve()
    assert told["value"] == [str(interpreter), None], told["detail"]


LINKED = """
import json, sys
sys.path[:0] = sys.argv[2:]
import site; [site.addsitedir(folder) for folder in sys.argv[2:]]
from codeact.sandbox import call_function, probe_backend
probe = probe_backend(sys.argv[1])
assert probe.backend is not None, probe.problem
source = "import numpy\\ndef f(path):\\n try: open(path)\\n except OSError: return float(numpy.linalg.norm([3, 4]))"
for path in (sys.executable + "-none", __import__("pytest").__file__):
    (outcome,) = call_function(source, "f", [[path]], backend=probe.backend)
    print(json.dumps([outcome.value, outcome.detail]))
"""


def link_files(source: Path, target: Path) -> None:
    """As `uv pip install --link-mode symlink` does: folders are real, each file is a link."""
    shutil.copytree(source, target, copy_function=lambda file, new: Path(new).symlink_to(file), ignore=shutil.ignore_patterns("__pycache__", "tests"))


@pytest.mark.parametrize(
    ("linked", "name"),
    [*((linked, SANDBOXES[0]) for linked in ("environment", "site-packages", "package", "files", "pth")), *(("files", name) for name in SANDBOXES[1:])],
)
def test_numpy_is_found_behind_links(name: str, linked: str, tmp_path: Path) -> None:
    held_sandbox(name)
    packages = Path(np.__file__).parents[1]
    interpreter, more = sys.executable, []
    if linked == "environment":
        (tmp_path / "venv").symlink_to(sys.prefix)
        interpreter = str(tmp_path / "venv" / Path(sys.executable).relative_to(sys.prefix))
    if linked == "site-packages":
        (tmp_path / "linked").symlink_to(packages)
        more = [str(tmp_path / "linked")]
    if linked in ("package", "files"):
        more = [str(tmp_path)]
        for folder in packages.glob("numpy*"):
            link_files(folder, tmp_path / folder.name) if linked == "files" else (tmp_path / folder.name).symlink_to(folder)
    if linked == "pth":
        (tmp_path / "linked").symlink_to(packages)
        (tmp_path / "sites").mkdir()
        (tmp_path / "sites" / "editable.pth").write_text(f"{tmp_path / 'linked'}\n")
        more = [str(tmp_path / "sites")]
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [interpreter, "-c", LINKED, name, *more], env=os.environ | {"PYTHONPATH": source}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[5.0, ""]] * 2

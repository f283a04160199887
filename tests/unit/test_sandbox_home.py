"""An interpreter under a home directory (pyenv, uv, conda put it there): both backends run it and still hide the home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

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

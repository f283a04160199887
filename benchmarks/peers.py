"""Other tools, each in an environment of its own, and their work as a process that waits for its turns.

    python -m benchmarks.peers             installs all of them; what does not install is named
    python -m benchmarks.peers trl rensa   these

An environment is `PEERS/NAME`, a folder of CODEACT_PEERS or `.peers` (git ignores it); an environment that exists is used as
it is. A script of `peer_scripts/` runs in it: it imports the tool and the standard library alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SCRIPTS = Path(__file__).parent / "peer_scripts"
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Environment:
    """What `pip install` is told: packages with what they need, then packages alone; and the module that has to import."""

    packages: tuple[str, ...]
    module: str
    alone: tuple[str, ...] = ()


# LLaMA-Factory and axolotl pin far more than their packers need; what is listed is what these import
ENVIRONMENTS = {
    "trl": Environment(("trl==1.16.0", TORCH, "transformers==5.23.0", "accelerate", "datasets"), "trl"),
    "llama-factory": Environment(
        (TORCH, "transformers<=5.6.0", "datasets<=4.0.0", "accelerate<=1.11.0", "peft==0.18.1", "trl<=0.24.0", "omegaconf", "tyro<0.9.0",
         "fire", "sentencepiece", "tiktoken", "einops", "scipy", "pandas", "av", "fastapi", "sse-starlette", "uvicorn", "matplotlib"),
        "llamafactory", ("llamafactory==0.9.5",),
    ),
    "axolotl": Environment(
        (TORCH, "transformers==5.16.1", "datasets==4.8.4", "trl==1.9.0", "peft==0.20.0", "accelerate==1.13.0", "pydantic==2.12.5", "addict",
         "fire", "colorama", "einops", "numba", "scipy", "python-dotenv", "axolotl-contribs-mit", "axolotl-contribs-lgpl", "posthog"),
        "axolotl", ("axolotl==0.19.0",),
    ),
    "seqpacker": Environment(("seqpacker", "numpy"), "seqpacker"),
    "rensa": Environment(("rensa==0.5.0",), "rensa"),
    "semhash": Environment(("semhash==0.5.0",), "semhash"),
    "text-dedup": Environment(("text-dedup",), "text_dedup"),
    "datatrove": Environment(("datatrove[io,processing]", "spacy"), "datatrove"),
    "data-juicer": Environment(("py-data-juicer", "aiohttp", "ray", "torch==2.13.0", "transformers"), "data_juicer"),
    "evalplus": Environment(("evalplus==0.3.1",), "evalplus"),
}  # fmt: skip


class PeerError(Exception):
    """A tool that does not install, import or run: its reason in one line."""


def folder() -> Path:
    """Where the environments are."""
    return Path(os.environ.get("CODEACT_PEERS", ".peers"))


def python_of(name: str, install: bool = True) -> Path:
    """The interpreter of a tool's environment, which is made if it is not there.

    Raises:
        PeerError: it does not install, or does not import; the reason is kept, and given again the next time.
    """
    home = folder() / name
    python, reason = home / "bin" / "python", folder() / f"{name}.failed"
    if reason.exists():
        raise PeerError(reason.read_text(encoding="utf-8").strip())
    if not (home / "ready").exists():
        if not python.exists() and not install:
            raise PeerError("not installed")
        try:
            _make(name, home, python)
        except PeerError as error:
            reason.write_text(f"{error}\n", encoding="utf-8")
            raise
        (home / "ready").touch()
    return python


def _make(name: str, home: Path, python: Path) -> None:
    wanted = ENVIRONMENTS[name]
    home.parent.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        _call([sys.executable, "-m", "venv", str(home)], "no environment")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            _call([*pip, *wanted.packages], "does not install")
            if wanted.alone:
                _call([*pip, "--no-deps", *wanted.alone], "does not install")
        except PeerError:
            shutil.rmtree(home)
            raise
    _call([str(python), "-c", f"import {wanted.module}"], "does not import")


def _call(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        # pip says first that something failed, and why in the middle
        telling = [line for word in ("Could not", "No matching", "No module", "rror") for line in lines if word in line] or lines
        raise PeerError(f"{what}: {telling[0][:200]}" if telling else what)


def versions(name: str) -> dict[str, str]:
    """Versions of the tool's own package in its environment."""
    wanted = ENVIRONMENTS[name]
    packages = [word.partition("=")[0].partition("[")[0] for word in (wanted.alone or wanted.packages[:1])]
    code = "import sys, importlib.metadata as m; print(*[m.version(name) for name in sys.argv[1:]])"
    done = subprocess.run([str(python_of(name)), "-c", code, *packages], capture_output=True, text=True, check=False)
    return dict(zip(packages, done.stdout.split(), strict=False))


class Waiting:
    """A script that has loaded and does its work once a call."""

    def __init__(self, name: str, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self.name, self.process, self.errors = name, process, errors

    def __call__(self, number: int = 0) -> dict[str, Any]:
        """One turn: what the script says of it.

        Raises:
            PeerError: the script ended.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line that is an answer; other output of the tool is passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                return dict(json.loads(line.removeprefix("ANSWER ")))
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        raise PeerError(f"{self.name}: {lines[-1][:200] if lines else 'ended without a word'}")


@contextmanager
def waiting(name: str, script: str, settings: dict[str, Any], python: Path | None = None) -> Iterator[Waiting]:
    """`peer_scripts/SCRIPT.py` in the environment of `name` (or by `python`), with its settings, loaded and ready for turns.

    Raises:
        PeerError: it does not install or load.
    """
    interpreter = python or python_of(name)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [str(interpreter.absolute()), str(SCRIPTS / f"{script}.py"), json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip
        try:
            found = Waiting(name, process, errors)
            found.answer()
            yield found
        finally:
            process.kill()
            process.communicate()


def main() -> None:
    for name in sys.argv[1:] or ENVIRONMENTS:
        try:
            python_of(name)
            print(f"{name:<16} {versions(name)}", flush=True)
        except PeerError as error:
            print(f"{name:<16} {error}", flush=True)


if __name__ == "__main__":
    main()

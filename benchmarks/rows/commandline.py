"""Start-up of command lines: how long until the help is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import peers as tools
from benchmarks.rows import row
from benchmarks.turns import Turn, in_turns, timed

OURS = "codeact --help"
OTHERS = {
    "trl --help": ("trl", "trl", ["--help"]),
    "llamafactory-cli version": ("llama-factory", "llamafactory-cli", ["version"]),
    "axolotl --help": ("axolotl", "axolotl", ["--help"]),
    "dj-process --help": ("data-juicer", "dj-process", ["--help"]),
}


def measure(rounds: int, peers: bool = True) -> dict[str, Any]:
    own = [sys.executable, "-m", "codeact"]
    commands = {OURS: [*own, "--help"], "codeact select --help": [*own, "select", "--help"], "codeact train --help": [*own, "train", "--help"],
                "python -c pass": [sys.executable, "-c", "pass"]}  # fmt: skip
    missing, versions = {}, {}
    for name, (environment, script, words) in OTHERS.items() if peers else ():
        try:
            program = Path(tools.python_of(environment)).parent / script
            if not program.exists():
                raise tools.PeerError(f"no command {script} in its environment")
            commands[name] = [str(program.absolute()), *words]
            call(commands[name])
            versions |= tools.versions(environment)
        except tools.PeerError as error:
            missing[name] = str(error)
            commands.pop(name, None)
    for command in commands.values():
        call(command)  # files are in the cache of the disk afterwards

    def turn_of(name: str) -> Turn:
        return timed(lambda: call(commands[name]))[1]

    turns = in_turns({name: lambda _, name=name: turn_of(name) for name in commands}, rounds)
    return row("Start-up of the command line", "", turns, OURS, missing, versions=versions, note="The second start and those after it.")


def call(command: list[str]) -> None:
    """Run it; PeerError where it fails."""
    told = {**os.environ, "DISABLE_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1"}
    if "codeact" not in command:
        told.pop("PYTHONPATH", None)
    done = subprocess.run(command, capture_output=True, text=True, env=told, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise tools.PeerError(lines[-1][:200] if lines else f"exit status {done.returncode}")

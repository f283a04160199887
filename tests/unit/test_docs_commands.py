"""Every `codeact` command that a page shows in a block has options, strategies and recipe keys that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from codeact.cli.app import app
from codeact.config import known_keys
from codeact.sample.strategies import STRATEGIES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
COMPARISON = {"recipe", "rates", "seeds", "units", "strategies", "held_out", "run_dir", "against"}


def shown(text: str) -> Iterator[list[str]]:
    """The words of each command in a block of shell, lines that go on joined, remarks left out."""
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.S | re.M):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part, comments=True)
                if "codeact" in words[:1] and words[1:2] and not words[1].startswith("-"):
                    yield words[1:]


def key_of(word: str) -> str | None:
    found = re.match(r"([a-z_]+(?:\.[a-z_]+)*)=", word)
    return found[1] if found else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_are_commands_that_exist(page: Path) -> None:
    for name, *words in shown(page.read_text(encoding="utf-8")):
        assert name in COMMANDS, name
        options = {o: p for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)} | {"--help": None, "-h": None}
        before = ""
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in options, f"codeact {name} {word}"
            elif before == "--strategy":
                assert word in STRATEGIES, word
            elif (before == "--set" or name in ("run", "demo", "compare")) and (key := key_of(word)):
                known = key in known_keys() or (name == "compare" and key.split(".")[0] in COMPARISON)
                assert known, f"codeact {name} {word}"
            before = word

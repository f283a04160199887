"""Every `codeact` command that a page shows, in a block or in a line, has options, strategies and recipe keys that exist; so do settings in YAML."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from codeact import shipped
from codeact.cli.app import app
from codeact.comparison.grid import Comparison
from codeact.config import known_keys, load_recipe
from codeact.sample.strategies import STRATEGIES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SECTIONS = {key.split(".")[0] for key in known_keys() if "." in key} | {"data.harvest"}
COMPARISON = {*Comparison.model_fields}


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def spans(text: str) -> list[str]:
    """What stands between single backticks, each on one line."""
    return [" ".join(found.split()) for found in re.findall(r"(?<!`)`([^`]+)`(?!`)", without_blocks(text))]


def commands(line: str) -> Iterator[list[str]]:
    for part in re.split(r"&&|\|", line):
        words = shlex.split(part, comments=True)
        if "codeact" in words[:1] and words[1:2] and re.match(r"[a-z]", words[1]):
            yield words[1:]


def shown(text: str) -> Iterator[list[str]]:
    """The words of each command in a block of shell (lines that go on joined, remarks left out) and between backticks."""
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.S | re.M):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield from commands(line)
    for span in spans(text):
        if span.startswith("codeact "):
            yield from commands(span)


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
                assert word in STRATEGIES or word.isupper(), word
            elif (before == "--set" or name in ("run", "demo", "compare")) and (key := key_of(word)):
                known = key in known_keys() or (name == "compare" and key.split(".")[0] in COMPARISON)
                assert known, f"codeact {name} {word}"
            before = word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_blocks_are_taken_as_they_stand(page: Path) -> None:
    """Nothing that is required is missing, every value is of its option's kind, every recipe is shipped or a reader's own file."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.S | re.M):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for name, *words in commands(line.partition(" > ")[0]):
                taken = COMMANDS[name].make_context(name, list(words)).params
                settings = taken["settings"] if "settings" in taken else taken["overrides"] if name in ("run", "demo") else []
                load_recipe(None, settings)
                if name in ("run", "compare"):
                    recipe = str(taken["recipe"])
                    assert recipe.endswith(".yaml") or shipped.find(Path(recipe)).is_file(), recipe


def keys_of_yaml(tree: Any, before: str = "") -> Iterator[str]:
    """Dotted names of a recipe's settings, down to the first that is no section."""
    for name, value in tree.items():
        key = f"{before}{name}"
        yield key
        if key in SECTIONS and isinstance(value, dict):
            yield from keys_of_yaml(value, f"{key}.")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_keys_in_yaml_and_between_backticks_are_keys_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```yaml\n(.*?)^```", text, flags=re.S | re.M):
        tree = yaml.safe_load(block.replace("{...}", "{}")) or {}
        if "strategies" in tree:
            assert {*tree} <= COMPARISON
            tree = tree["recipe"]
        assert [key for key in keys_of_yaml(tree) if key not in known_keys()] == []
    if page.name != "CHANGELOG.md":  # it names what is gone
        set_to = [found[1] for span in spans(text) if (found := re.match(r"([a-z_]+(?:\.[a-z_]+)+)(?:=|: )", span))]
        assert [key for key in set_to if key.split(".")[0] in SECTIONS and key not in known_keys()] == []

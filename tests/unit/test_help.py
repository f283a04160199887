"""`--help`: commands stand under the panels of the files that hold them, and each command's help ends with an example that parses."""

from __future__ import annotations

import inspect
import shlex
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from codeact.cli import stages, tools, whole_runs
from codeact.cli.app import PANELS, app
from tests.helpers.command import codeact_command

GROUP: Any = typer.main.get_command(app)
HOME = {"Whole runs": whole_runs, "Stages": stages, "Tools": tools}


def test_every_command_stands_under_the_panel_of_its_file() -> None:
    for panel, home in HOME.items():
        public = {
            f
            for name, f in vars(home).items()
            if inspect.isfunction(f) and f.__module__ == home.__name__ and name[0] != "_"
        }
        assert set(PANELS[panel]) == public, panel
    assert {command.rich_help_panel for command in app.registered_commands} == set(HOME)


def test_the_help_shows_the_panels_and_how_to_complete() -> None:
    shown = codeact_command("--help").stdout
    at = [shown.index(f"─ {panel} ─") for panel in HOME]
    assert at == sorted(at)
    assert "--install-completion" in shown


@pytest.mark.parametrize("name", sorted(GROUP.commands))
def test_the_help_ends_with_an_example_that_the_command_takes(name: str) -> None:
    last = " ".join(codeact_command(name, "--help").stdout.split("╯")[-1].split())
    assert last.startswith(f"Example: codeact {name}")
    words = shlex.split(last.removeprefix("Example: codeact ").partition(" > ")[0])
    command = GROUP.commands[name]
    context = command.make_context(name, words[1:], resilient_parsing=False)
    assert context.params


def test_the_options_that_stages_share_are_told_as_each_takes_them() -> None:
    """`curate -o` writes rows, not a table; a command without --model has no default that hangs on it."""
    for name, command in GROUP.commands.items():
        options = {option.name: option for option in command.params}
        if "embedder" in options:
            assert ("demo with --model demo" in str(options["embedder"].show_default)) is ("model" in options), name
        if name in ("select", "curate"):
            assert options["output"].help == "where the rows are written; - for JSON lines on stdout"


def test_the_shell_is_told_the_commands() -> None:
    told = CliRunner().invoke(
        app, [], prog_name="codeact",
        env={"_CODEACT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "codeact st"},
    )  # fmt: skip
    assert "stability" in told.output

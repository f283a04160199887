"""The `codeact` command. Exit status: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted."""

from __future__ import annotations

import sys
from typing import Any

import typer

from codeact.cli import choose, export, keys, prove, reading, scoring, tools  # noqa: F401  (each registers its commands)
from codeact.cli.options import app, verbose_errors
from codeact.errors import CodeactError

PANELS = {
    "Whole runs": ("run", "demo", "select", "compare"),
    "Stages": ("curate", "embed", "cluster", "judge", "tags", "score", "sample", "pack", "train", "evaluate", "report"),
    "Tools": ("records", "harvest", "export", "merge", "explain", "stability", "recipes", "keys", "doctor"),
}


def _name(command: Any) -> str:
    return str(command.name or command.callback.__name__)


def _arrange() -> None:
    """Put the commands of the help in the order of the data's way, under headings."""
    order = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = order[_name(command)]
    app.registered_commands.sort(key=lambda command: list(order).index(_name(command)))


_arrange()


def main() -> None:
    """Entry point: errors become one line and an exit status."""
    # Some releases of typer carry their own copy of click: take the base class from what typer exports.
    usage_error: Any = typer.BadParameter.__base__
    try:
        status = app(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except usage_error as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted; finished work is kept: run the same command again to go on", err=True)
        sys.exit(130)
    except CodeactError as error:
        if verbose_errors[0]:
            raise
        typer.echo(f"codeact: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if verbose_errors[0]:
            raise
        typer.echo(f"codeact: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(2)

"""The `codeact` command. Exit status: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted."""

from __future__ import annotations

import io
import signal
import sys
import threading
import traceback
from typing import Any

import typer

from codeact.cli import choose, export, keys, prove, reading, scoring, tools  # noqa: F401  (each registers its commands)
from codeact.cli.options import app, running, verbose_errors
from codeact.errors import CodeactError
from codeact.redact import redact

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


RESUMED = ("run", "demo", "select", "compare", "curate", "embed", "cluster", "judge", "tags", "score", "sample", "train", "evaluate")


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends as Ctrl-C does, so that files are closed and what is finished is kept."""


def _terminate(*_: object) -> None:
    stopped.append(signal.SIGTERM)
    raise _Terminated


stopped: list[int] = []


def _interrupted() -> None:
    """Say what is kept and how to go on, and end with the status of the signal."""
    number = stopped[-1] if stopped else signal.SIGINT
    kept = (
        "finished work is kept: run the same command again to go on"
        if running[0] in RESUMED
        else "nothing is left half-written: run the same command again"
    )
    typer.echo(f"codeact: interrupted; {kept}", err=True)
    sys.exit(128 + number)


def _fail(error: Exception, text: str, status: int) -> None:
    """One line and an exit status; with -v the traceback. Neither shows a secret."""
    if verbose_errors[0]:
        text = "".join(traceback.format_exception(error)).rstrip()
    typer.echo(redact(text), err=True)
    sys.exit(status)


def main() -> None:
    """Entry point: errors become one line and an exit status."""
    stopped.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # half a surrogate pair, in an id or a tag, is shown as its escape
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is not threading.main_thread():
        _main()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        _main()
    finally:
        signal.signal(signal.SIGTERM, before)


def _main() -> None:
    # Some releases of typer carry their own copy of click: take the base class from what typer exports.
    usage_error: Any = typer.BadParameter.__base__
    try:
        status = app(standalone_mode=False)
        if status == 128 + signal.SIGINT:  # what typer makes of KeyboardInterrupt
            _interrupted()
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        if stop.exit_code == 128 + signal.SIGINT:
            _interrupted()
        sys.exit(stop.exit_code)
    except usage_error as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        _interrupted()
    except CodeactError as error:
        _fail(error, f"codeact: {error}", error.exit_code)
    except OSError as error:
        _fail(error, f"codeact: {error.filename or 'system'}: {error.strerror or error}", 2)

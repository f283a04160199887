"""The `codeact` command. Exit status: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted."""

from __future__ import annotations

import inspect
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from codeact import __version__
from codeact.cli import logs, stages, tools, whole_runs
from codeact.config import known_keys
from codeact.errors import CodeactError
from codeact.redact import redact
from codeact.terminal import visible_lines

PANELS = {
    "Whole runs": (whole_runs.run, whole_runs.demo, whole_runs.select, whole_runs.compare),
    "Stages": (
        stages.curate, stages.embed, stages.cluster, stages.judge, stages.tags, stages.score, stages.sample, stages.pack, stages.train,
        stages.evaluate, stages.report,
    ),
    "Tools": (
        tools.records, tools.harvest, tools.export, tools.merge, tools.explain, tools.diff, tools.stability, tools.recipes, tools.docs, tools.keys,
        tools.tasks, tools.doctor,
    ),
}  # fmt: skip
RESUMED = {c.__name__ for c in (*PANELS["Whole runs"], *PANELS["Stages"])} - {"pack", "report"}  # those two go in one piece

app = typer.Typer(
    name="codeact",
    help="Choose a clean, smaller part of an instruction data set, train a code LLM on it without padding, prove the gain.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in PANELS.items():
    for command in commands:  # its help ends with the example that ends its docstring
        about, _, example = inspect.cleandoc(str(command.__doc__)).partition("\n\nExample: ")
        app.command(help=about, epilog=f"Example: {example}", rich_help_panel=panel)(logs.with_log_options(command))

PRINTERS = ("click", "_click", "typer", "rich")  # folders of the libraries that write to the terminal
log = logging.getLogger(__name__)
running = [""]  # the command, for what is said when it is interrupted


def _version(value: bool) -> None:
    if value:
        typer.echo(f"codeact {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    quiet: logs.Quiet = False,
    verbose: logs.Verbose = False,
    log_file: logs.File = None,
) -> None:
    logs.choose(quiet, verbose, log_file)
    running[0] = context.invoked_subcommand or ""


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
    log.error("codeact: interrupted; %s", kept)
    sys.exit(128 + number)


def _fail(error: Exception, text: str, status: int) -> None:
    """One line and an exit status; with -v the traceback. Neither shows a secret."""
    log.error("%s", text, exc_info=error)
    sys.exit(status)


def _where(error: OSError) -> str:
    """The file that an error of the system is about; one met while printing names none, and is of stdout."""
    if error.filename:
        return str(error.filename)
    last = traceback.extract_tb(error.__traceback__)[-1]
    if last.name != "to_stdout" and Path(last.filename).parent.name not in PRINTERS:
        return "system"
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is not written yet would fail once more at the end of the process
    return "stdout"


class _Misuse(Protocol):
    """What is read of click's `UsageError`, of whichever copy of click typer uses."""

    @property
    def ctx(self) -> typer.Context | None: ...
    def format_message(self) -> str: ...
    def show(self) -> None: ...


def _misused(error: _Misuse) -> None:
    """One line for a wrong option or argument; the help where a command has none at all."""
    said = _key_as_option(error) or error.format_message()
    if "\n" in said:
        error.show()
    else:
        command = error.ctx.command_path if error.ctx else "codeact"
        log.error("codeact: %s; see: %s --help", said.rstrip("."), command)
    sys.exit(2)


def _key_as_option(error: _Misuse) -> str:
    """What is said of `--set` and of a recipe key as an option, where a recipe's settings stand behind its name; else empty."""
    option = str(getattr(error, "option_name", "")) if hasattr(error, "possibilities") else ""
    name = option.lstrip("-").replace("-", "_")
    keys = [key for key in known_keys() if key.rpartition(".")[2] == name]
    if error.ctx is None or "overrides" not in {one.name for one in error.ctx.command.params} or not (name == "set" or keys):
        return ""
    key = keys[0] if len(keys) == 1 and error.ctx.info_name != "compare" else "KEY"
    return f"No such option: {option}; write {key}=VALUE without {'--set' if name == 'set' else 'dashes'}"


def _open_streams() -> None:
    """A stream that the caller has closed leads nowhere; else the next file that is opened takes its number, and what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest free number, which is this one
    if sys.stdout is None:  # as Python has it then, whatever its types say
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main() -> None:
    """Entry point: errors become one line and an exit status."""
    stopped.clear()
    _open_streams()
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
    with logs.console():
        try:
            _run_command()
        except Exception as error:  # a fault of the program: all of the traceback, without secrets
            typer.echo(visible_lines(redact("".join(traceback.format_exception(error)).rstrip())), err=True)
            raise SystemExit(1) from error


@cache
def _command() -> Callable[..., object]:
    """The commands with their options, which are read off the functions once a process."""
    return typer.main.get_command(app)


def _run_command() -> None:
    # Some releases of typer carry their own copy of click: take the base class from what typer exports.
    usage_error: Any = typer.BadParameter.__base__
    try:
        status = _command()(prog_name="codeact", standalone_mode=False)
        if status == 128 + signal.SIGINT:  # what typer makes of KeyboardInterrupt
            _interrupted()
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as stop:
        if stop.exit_code == 128 + signal.SIGINT:
            _interrupted()
        sys.exit(stop.exit_code)
    except usage_error as error:
        _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        _interrupted()
    except CodeactError as error:
        _fail(error, f"codeact: {error}", error.exit_code)
    except MemoryError as error:
        _fail(error, "codeact: the memory that this process may have is used up; finished work is kept: give it more, and run the same command again", 1)
    except OSError as error:
        _fail(error, f"codeact: {_where(error)}: {error.strerror or error}", 2)

"""What a command shows of the log: lines on stderr, the file of `--log-file`, and how much of both."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from codeact import progress
from codeact.errors import InputError
from codeact.logs import LOG, LogFile, may_hold_log
from codeact.redact import redact
from codeact.terminal import visible_lines

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="only warnings, errors and the result; no progress")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="also details, tracebacks and library warnings")]
File = Annotated[
    Path | None, typer.Option("--log-file", help="also append everything, with times, to this file", show_default=False)
]
LIBRARIES = ("transformers", "huggingface_hub", "sentence_transformers", "httpx", "bitsandbytes", "google.auth")


class Console(logging.Handler):
    """Lines of the log on stderr, as a user reads them: warnings are called so, tracebacks only with `verbose`; no secrets."""

    quiet = verbose = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and self.verbose:
            text = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        called = {logging.WARNING: "warning: ", logging.DEBUG: "debug: "}.get(record.levelno, "")
        typer.echo(visible_lines(redact(called + text)), err=True)


_console = Console()
_files: list[LogFile] = []


@contextmanager
def console() -> Iterator[None]:
    """Show the log and progress while one command runs; afterwards all is as it was."""
    level, shown = LOG.level, progress.show()
    _console.quiet = _console.verbose = False
    LOG.addHandler(_console)
    choose()
    try:
        yield
    except Exception as error:
        for file in _files:
            file.write(LOG, logging.ERROR, f"ended by {type(error).__name__}", error)
        raise
    finally:
        progress.show(shown)
        LOG.setLevel(level)
        LOG.removeHandler(_console)
        while _files:
            file = _files.pop()
            LOG.removeHandler(file)
            file.close()


def choose(quiet: bool = False, verbose: bool = False, log_file: Path | None = None) -> None:
    """Take the options before or after the command's name.

    Raises:
        InputError: both of --quiet and --verbose, or a file that cannot be written or is no log.
    """
    quiet, verbose = quiet or _console.quiet, verbose or _console.verbose
    if quiet and verbose:
        _console.verbose = False  # a line, no traceback
        raise InputError("--quiet and --verbose are given both; choose one")
    _console.quiet, _console.verbose = quiet, verbose
    if log_file is not None:
        if not may_hold_log(log_file):
            raise InputError(f"--log-file {log_file} exists and is no log of codeact; name another file")
        _files.append(LogFile(log_file))
        LOG.addHandler(_files[-1])
    _console.setLevel(logging.WARNING if _console.quiet else logging.DEBUG if _console.verbose else logging.INFO)
    LOG.setLevel(logging.DEBUG if _files else _console.level)
    progress.show(not _console.quiet)


def with_log_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options --quiet, --verbose and --log-file."""
    signature = inspect.signature(command, eval_str=True)
    options = {"quiet": (Quiet, False), "verbose": (Verbose, False), "log_file": (File, None)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]

    @functools.wraps(command)
    def logged(*args: object, quiet: bool, verbose: bool, log_file: Path | None, **kwargs: object) -> None:
        choose(quiet, verbose, log_file)
        if not _console.verbose:
            _hush_libraries()
        command(*args, **kwargs)

    parameters = [*signature.parameters.values(), *added]
    vars(logged).update(
        __signature__=signature.replace(parameters=parameters),
        __annotations__={parameter.name: parameter.annotation for parameter in parameters},
    )
    return logged


def _hush_libraries() -> None:
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs each exception that it raises, with a traceback

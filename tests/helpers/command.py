"""The `codeact` command, run in this process: what a console would see, without the two seconds that a new Python takes."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock


@dataclass
class Finished:
    """What a command printed and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def codeact_command(*arguments: str) -> Finished:
    """Run the `codeact` command in this process, through the entry point that the console script calls."""
    from codeact.cli import main

    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["codeact", *arguments]),
    ):
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Finished(status, out.getvalue(), err.getvalue())

"""Errors that a user can act on: one line that says what, where, the limit and the mend."""

from __future__ import annotations

import importlib
from types import ModuleType


class CodeactError(Exception):
    """A failure whose message is one clear line. The command line prints it and exits with 1."""

    exit_code = 1


class InputError(CodeactError):
    """Bad usage or bad input (a file, a row, a key, a value). The command line exits with 2."""

    exit_code = 2


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra installs it.

    Raises:
        MissingExtraError: `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module!r}, which is not installed; install it with: pip install 'codeact[{extra}]'"
        ) from error

"""Errors that a user can act on: one line that says what, where, the limit and the mend."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class CodeactError(Exception):
    """A failure whose message is one clear line. The command line prints it and exits with 1."""

    exit_code = 1


class InputError(CodeactError):
    """Bad usage or bad input (a file, a row, a key, a value). The command line exits with 2."""

    exit_code = 2


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class PromptError(CodeactError):
    """An engine failed over one prompt of several, for good.

    Attributes:
        number: of the prompt.
    """

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'question'?` for a misspelt name; empty where no valid one is near."""
    options = {option.lower(): option for option in valid}
    options |= {option.rpartition("/")[2]: known for option, known in options.items() if option.rpartition("/")[2] not in options}
    found = difflib.get_close_matches(name.lower(), list(options), n=1, cutoff=0.6)
    return f"; did you mean {options[found[0]]!r}?" if found else ""


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

"""A run directory that is read as one state: what another process changes meanwhile is told, and not mixed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from codeact.address_copy import changed_meanwhile
from codeact.errors import CodeactError
from codeact.files import is_remote
from codeact.mirror import reading_copy

MADE_OF = ("recipe.yaml", "markers/*.json")


@contextmanager
def reading(run_dir: str | Path) -> Iterator[Path]:
    """The folder of a run to read from: of one at an address a copy, which no other process fetches anew until the block ends.

    No lock is taken in the folder, which may be one that cannot be written. What was finished when the block began must be finished
    alike when it ends: stages that a run at work there finishes meanwhile do not matter.

    Raises:
        InputError: another process has begun something there anew meanwhile; or the address cannot be read, or is no run directory.
    """
    with reading_copy(run_dir) as root:
        if is_remote(run_dir):
            yield root
            return
        before = _state(root)
        try:
            yield root
        except (CodeactError, OSError, LookupError, ValueError) as error:
            if not _stands(before, root):  # what was missing, or did not fit
                raise changed_meanwhile(run_dir) from error
            raise
        if not _stands(before, root):
            raise changed_meanwhile(run_dir)


def _stands(before: Mapping[Path, bytes], root: Path) -> bool:
    return before.items() <= _state(root).items()


def _state(root: Path) -> dict[Path, bytes]:
    """The settings, and the marker of each stage: it holds the digests of what the stage wrote, and when."""
    found = {}
    for path in (path for pattern in MADE_OF for path in root.glob(pattern)):
        try:
            found[path] = path.read_bytes()
        except OSError:  # it has gone meanwhile, or is no file: whoever needs it says so
            continue
    return found

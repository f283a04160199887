"""The task sets: a table, one file each. A new one is a file here, with its `FAMILY`, and its line in the table."""

from __future__ import annotations

from pathlib import Path

from codeact.errors import InputError, did_you_mean
from codeact.evaluation.sets import (
    bigcodebench,
    cruxeval,
    ds1000,
    humaneval,
    humanevalpack,
    livecodebench,
    mbpp,
    multipl_e,
    own,
)
from codeact.evaluation.sets.files import Family, Release
from codeact.evaluation.tasks import TaskSet

FAMILIES: tuple[Family, ...] = (
    humaneval.FAMILY, mbpp.FAMILY, cruxeval.FAMILY, humanevalpack.FAMILY,
    multipl_e.FAMILY, bigcodebench.FAMILY, livecodebench.FAMILY, ds1000.FAMILY,
)  # fmt: skip


def task_set_names() -> list[str]:
    """Every name that `load_tasks` takes, without versions."""
    return [name for family in FAMILIES for name in family.names]


def releases() -> list[Release]:
    """Every published data file."""
    return [release for family in FAMILIES for release in family.releases]


def unpinned_files(name: str) -> list[Path]:
    """The files of a set of which no hash is pinned, so that they may change under their names; none of other sets, nor where they are not there."""
    bare = name.partition("@")[0]
    family = next((one for one in FAMILIES if bare in one.names), None)
    if family is None or family.files is None:
        return []
    try:
        return family.files(bare, None)
    except InputError:
        return []


def check_folder(data_dir: Path | None) -> None:
    """Refuse a folder of benchmark files that is named and not there.

    Raises:
        InputError: it is no folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"folder of benchmark files {data_dir} does not exist; give another with --data or CODEACT_DATA")


def load_tasks(name: str, data_dir: Path | None = None) -> TaskSet:
    """Load a task set by name, for example "humaneval+", with "@version" for an older release, or a file of one's own.

    Data files are looked for in `data_dir`, then in the folder that `CODEACT_DATA` names, then in the user's cache, and
    else downloaded into that cache; their hashes are pinned.

    Raises:
        InputError: unknown name or version; a file whose hash differs; the package that holds a set is not installed.
        CodeactError: the download failed.
    """
    if own.is_file(name):
        return own.load(name, task_set_names())
    bare, _, version = name.partition("@")
    family = next((one for one in FAMILIES if bare in one.names), None)
    if family is None:
        known = task_set_names()
        raise InputError(
            f"unknown task set {bare!r}{did_you_mean(bare, known)}; the task sets are {', '.join(known)}; a file of your own ends in .jsonl"
        )
    return family.load(bare, version, data_dir)

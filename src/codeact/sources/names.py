"""What the user names as data: files, folders of shards, globs, stdin."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from codeact.errors import InputError
from codeact.files import by_path, is_remote
from codeact.sources.text import COMPRESSED

STDIN = "-"
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
TEXT_KINDS = KINDS[:5]
DELIMITED = (".csv", ".tsv")
SPLITS = ("train", "test", "validation", "valid", "dev", "val", "eval")
ASIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "package.json")


def kind_of(path: Path) -> str:
    """The form of a file by its name: one of `KINDS`, a packed one without its .gz, else its last suffix; lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in COMPRESSED and suffixes[-2] in TEXT_KINDS:
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def as_list(source: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str]:
    """One name or several as a list of names; a path in place of an address of this machine (`file:///data/x.jsonl`)."""
    return [by_path(name) for name in ([source] if isinstance(source, str | PathLike) else source)]


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by `datasets.save_to_disk`."""
    return (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists()


def files_of(name: str, split: str) -> list[Path] | None:
    """The files that a name stands for; None for stdin, a data set of the hub, or one that `save_to_disk` wrote.

    Args:
        name: a file, a folder of files, or a pattern with `*`, `?` or `[...]`; here, or behind an address (`s3://...`).
        split: of a folder whose files are named after splits (`train-00000-of-00002.parquet`), those of this one.

    Raises:
        InputError: nothing fits a pattern, a folder holds no data, or the name is a pipe's.
    """
    if is_remote(name):
        from codeact.sources import remote

        folder, files = remote.fetched(name, lambda file: kind_of(file) in KINDS)
        return files if folder is None else _shards(folder, split)
    path = Path(name)
    if name == STDIN or is_saved_dataset(path):
        return None
    if path.is_dir():
        return _shards(path, split)
    if path.exists():
        if not path.is_file():  # data are read several times, a pipe gives them once and then waits for ever
            raise InputError(f"{name} is a pipe or a device, which can be read only once; name - and send it to standard input")
        return [path]
    if glob.has_magic(name):
        found = sorted(Path(one) for one in glob.glob(name, recursive=True) if Path(one).is_file())  # noqa: PTH207 (absolute patterns)
        if not found:
            raise InputError(f"{name}: no file has such a name")
        return found
    return None


def other_splits(name: str, split: str) -> list[str] | None:
    """Of a folder whose files are named after splits: those that are left out; None of every other source."""
    folder: Path | None = Path(name)
    if is_remote(name):
        from codeact.sources import remote

        folder, _ = remote.fetched(name, lambda file: kind_of(file) in KINDS)
    if folder is None or not folder.is_dir() or is_saved_dataset(folder):
        return None
    files = _data_files(folder)
    taken = _shards(folder, split)
    if not any(_split(file, folder) for file in taken):
        return None
    return [str(file.relative_to(folder)) for file in files if file not in taken]


def _data_files(folder: Path) -> list[Path]:
    def hidden(file: Path) -> bool:
        return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)

    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and kind_of(file) in KINDS and file.name not in ASIDE and not hidden(file)
    )


def _shards(folder: Path, split: str) -> list[Path]:
    files = _data_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no data files; the known ones are {', '.join(KINDS)}, and .gz or .zst of the first five"
        )
    splits = {file: _split(file, folder) for file in files}
    if not any(splits.values()):
        return files
    chosen = [file for file, name in splits.items() if name == split]
    if not chosen:
        named = sorted({name for name in splits.values() if name})
        raise InputError(
            f"{folder} has no split {split!r}; its splits are {', '.join(named)}: name one with data.split="
        )
    return chosen


def _split(file: Path, folder: Path) -> str:
    """The split that a file's name or its folders' names begin or end with (`train-00000-of-00002`, `de_test`); "" for none."""
    for part in reversed(file.relative_to(folder).parts):
        words = re.split(r"[-_.]", re.sub(r"([-_]?\d+|[-_]of)+$", "", part.lower().partition(".")[0]))
        found = next((word for word in (words[0], words[-1]) if word in SPLITS), "")
        if found:
            return found
    return ""

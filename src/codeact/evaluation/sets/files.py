"""Published data files of task sets: found in a folder or the cache, else downloaded; their hashes are pinned."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.errors import CodeactError, InputError
from codeact.evaluation.tasks import TaskSet
from codeact.files import cache_dir, write_bytes

DOWNLOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """One data file: JSONL, one task a line.

    Attributes:
        family: name of the base set.
        version: of the data.
        file: its name, without version and ending.
        sha256: of the unpacked file, so that a recompressed copy is as good.
        site: where it is downloaded from.
        path: of the file there, with {file}, {lower} (its name in lower case) and {version}.
        packed_there: whether it is a gzip file there.
        local: what it may be called in a folder, without ending; () for `file`-`version`.
    """

    family: str
    version: str
    file: str
    sha256: str
    site: str = "https://github.com/evalplus"
    path: str = "{lower}_release/releases/download/{version}/{file}.jsonl.gz"
    packed_there: bool = True
    local: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"{self.site}/{self.path}".format(file=self.file, lower=self.file.lower(), version=self.version)


@dataclass(frozen=True, slots=True)
class Family:
    """One or more task sets from one source: an entry of the table of sets.

    Attributes:
        names: of its sets; the first is the base set.
        versions: of the data, the newest first, which is the default.
        licence: of the data.
        source: where the data come from.
        load: (name, version or "", folder of data files or None) -> the set.
        releases: its data files.
        languages: of the programs.
        files: (name, folder of data files or None) -> its files, of data that no hash pins: they may change under their names.
    """

    names: tuple[str, ...]
    versions: tuple[str, ...]
    licence: str
    source: str
    load: Callable[[str, str, Path | None], TaskSet]
    releases: tuple[Release, ...] = ()
    languages: tuple[str, ...] = ("python",)
    files: Callable[[str, Path | None], list[Path]] | None = None


def pick(releases: tuple[Release, ...], name: str, version: str) -> Release:
    """The release of that version, the newest where none is named.

    Raises:
        InputError: there is no such version.
    """
    found = next((release for release in releases if version in ("", release.version)), None)
    if found is None:
        raise InputError(f"{name} has no version {version!r}; the versions are {', '.join(r.version for r in releases)}")
    return found


def read_rows(release: Release, data_dir: Path | None) -> list[Mapping[str, Any]]:
    """The rows of a release. Raises as `read_release`."""
    return jsonl(read_release(release, data_dir))


def jsonl(text: bytes) -> list[Mapping[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in text.decode("utf-8").split("\n") if line.strip()]


def read_release(release: Release, data_dir: Path | None = None) -> bytes:
    """The unpacked data file of a release, found or downloaded as `load_tasks` says, its hash checked.

    Raises:
        InputError: the hash differs, or the file cannot be read.
        CodeactError: the download failed.
    """
    stems = release.local or (f"{release.file}-{release.version}",)
    names = [f"{stem}.jsonl{ending}" for stem in stems for ending in (".gz", "")]
    folders = [Path(folder) for folder in (data_dir, os.environ.get("CODEACT_DATA", "")) if folder]
    for folder in [*folders, cache_dir()]:
        for name in names:
            if (folder / name).is_file():
                text = unpack(folder / name)
                _check_hash(text, release, str(folder / name))
                return text
    return _download(release, cache_dir() / names[0])


def _download(release: Release, target: Path) -> bytes:
    try:
        with urllib.request.urlopen(release.url, timeout=DOWNLOAD_TIMEOUT_S) as response:
            raw = response.read()
        text = gzip.decompress(raw) if release.packed_there else raw
    except (urllib.error.URLError, OSError, EOFError, zlib.error) as error:
        raise CodeactError(
            f"{release.file} {release.version} could not be downloaded from {release.url} ({error}); "
            f"download it by hand, name it {target.name} and point --data or CODEACT_DATA to its folder"
        ) from error
    _check_hash(text, release, release.url)
    write_bytes(target, gzip.compress(text, mtime=0) if not release.packed_there else raw)
    return text


def unpack(file: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz; InputError where they cannot be read."""
    try:
        raw = file.read_bytes()
        return gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} cannot be read: {error}; fetch it anew") from error


def _check_hash(text: bytes, release: Release, where: str) -> None:
    found = hashlib.sha256(text).hexdigest()
    if found != release.sha256:
        raise InputError(
            f"{where} (unpacked) has SHA-256 {found}, not {release.sha256} of {release.file} {release.version}; "
            f"fetch it anew from {release.url}"
        )

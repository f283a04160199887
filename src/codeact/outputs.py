"""What a command may write over: nothing that it reads, and without --force nothing that the same run did not write.

A run is a command and what it reads, whatever its settings: `select` of one file, `train` on one file from one model. For files the run
directory remembers what was written (`outputs.json`, by digest, so that a file that was edited since counts as another's); folders carry
a note of their own (`.codeact.json`). A note says where it was written (`at`), so that it holds where its project was moved or renamed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from codeact import storage
from codeact.errors import InputError
from codeact.files import (
    Whole,
    address_of,
    at_home,
    by_path,
    is_remote,
    local,
    make_folder,
    name_of,
    names_in,
    remove,
    remove_empty,
    remove_left,
    sha256,
)
from codeact.sources.names import STDIN
from codeact.sources.text import COMPRESSED

NOTE = ".codeact.json"
OUTPUTS = "outputs.json"


@dataclass(frozen=True)
class Run:
    """Who writes.

    Attributes:
        command: such as `select`.
        of: the file, folder or name that it reads first.
        reads: every path that it reads; names of the hub among them are harmless.
        force: replace what another run wrote.
    """

    command: str
    of: str
    reads: tuple[str, ...] = ()
    force: bool = False

    @property
    def key(self) -> dict[str, str]:
        """What makes two calls the same run."""
        of = by_path(self.of)
        return {"command": self.command, "of": str(Path(of).resolve()) if Path(of).exists() else of}

    def __str__(self) -> str:
        return f"{self.command} of {self.of}" if self.of else self.command


def run_dir_beside(output: Path) -> Path:
    """Where the run directory of an output file lies unless it is told: `clean.codeact` for clean.jsonl and clean.jsonl.gz.

    For a packed file one that is there as `clean.jsonl.codeact`, its name in early versions, is used on.
    """
    packed = output.suffix.lower() in COMPRESSED and output.with_suffix("").suffix
    early = output.with_name(f"{output.stem}.codeact")
    folder = output.with_suffix("").with_suffix(".codeact") if packed else early
    return early if early.is_dir() and not folder.exists() else folder


def check_file(target: Path, run: Run, run_dir: Path | None = None) -> bool:
    """Say before the work that a file must not be written; else whether there is one, which may be replaced.

    Args:
        target: the output.
        run: who writes it.
        run_dir: where `note_file` noted what this run wrote before; None: the command keeps no notes.

    Raises:
        InputError: it is a file that the run reads, through links too; or it is there, and another's.
    """
    if str(target) == STDIN:  # as an output: stdout
        return False
    if is_remote(target):
        _refuse_address(address_of(target), run.reads)
    else:
        _refuse_read(target, run.reads)
    name, content = _told_apart(target)
    if content is None or run.force:
        return content is not None
    noted = _noted(run_dir).get(name, {}) if run_dir is not None else {}
    if noted.get("run") != run.key or not (content in (noted.get("sha256"), noted.get("before")) or _was_sent(name, noted.get("sent"))):
        mine = f", and this run ({run}) did not write it as it is" if run_dir is not None else ""  # without notes nobody can say
        raise InputError(f"output {name_of(target)} exists{mine}; name another, or replace it with --force")
    return True


def _told_apart(target: Path) -> tuple[str, str | None]:
    """The name of a file and what its content is told by; None where there is no file."""
    if is_remote(target):
        from codeact.sources.remote import state

        address = address_of(target)
        return address, state(address)
    if not os.path.lexists(target):
        return str(target.resolve()), None
    return str(target.resolve()), sha256(target) if target.is_file() else ""


def _was_sent(address: str, sent: object) -> bool:
    """Whether a run that was killed before it could note an object's state has put it there: its bytes are those that it was sending."""
    if sent is None:
        return False
    from codeact.sources.remote import sha256_of_object

    return sha256_of_object(address) == sent


def note_file(target: Path, run: Run, run_dir: Path) -> None:
    """Remember that this run wrote the file, as it is now; what killed runs left beside it goes."""
    if str(target) == STDIN:
        return
    if not is_remote(target):
        remove_left(target.parent, target.name)
    noted = {name: entry for name, entry in _noted(run_dir).items() if is_remote(name) or Path(name).exists()}
    name, content = _told_apart(target)
    noted[name] = {"run": run.key, "sha256": content, "at": str(run_dir.resolve())}
    storage.write_json(run_dir / OUTPUTS, noted)


def note_ahead(target: Path, run: Run, run_dir: Path) -> Whole:
    """What to give `row_output.write_rows` as `whole`: it notes a file before it takes its place.

    A run that is killed between the two, or whose disk is full then, finds its own file and goes on. `note_file` follows.
    """

    def note(complete: Path) -> None:
        name, before = _told_apart(target)
        noted = _noted(run_dir)
        key = "sent" if is_remote(target) else "sha256"  # an object is told by its state, which nobody knows beforehand
        noted[name] = {"run": run.key, key: sha256(complete), "before": before, "at": str(run_dir.resolve())}
        storage.write_json(run_dir / OUTPUTS, noted)

    return note


def claim_folder(folder: Path, names: Collection[str], run: Run, mine: bool = False) -> Path:
    """Create an output folder, and note whose it is before anything is written into it; other files in it are left alone.

    Args:
        folder: the output.
        names: files and folders directly in it that the run writes; empty: the folder is replaced whole.
        run: who writes it.
        mine: known to be this run's by other signs.

    Raises:
        InputError: it is read by the run, or something that the run reads lies under a name that it writes; it holds such a name and
            another's note or none; or it cannot be written.
    """
    local(folder)
    _refuse_read(folder, run.reads)
    for path in map(Path, map(by_path, run.reads)):
        inside = _inside(path, folder)
        if inside is not None and (not names or inside in names):
            raise InputError(f"output {folder}: the run would write over {path}, which it reads; name another folder")
    note = folder / NOTE
    noted = _note(note)
    by_this = _is_of(noted, run, folder.resolve())
    own = mine or by_this
    if folder.is_dir() and not own and not run.force:
        there = sorted(p.name for p in folder.iterdir() if p.name != NOTE and (not names or p.name in names))
        if there:
            damaged = f" ({note} is damaged, which says who did)" if noted is None and note.is_file() else ""
            raise InputError(
                f"output {folder} holds other files, which this run ({run}) did not write: {', '.join(there[:3])}"
                f"{', ...' if there[3:] else ''}{damaged}; name another folder, or replace them with --force"
            )
    make_folder(folder, *([] if run.of else ["choose another run directory (--run-dir, or run_dir= of a recipe)"]))
    new = {**run.key, "at": str(folder.resolve())} if Path(run.of).exists() else run.key
    if not own or noted is None or (by_this and noted != new):
        storage.write_json(note, new)
    return folder


def _refuse_address(target: str, reads: Iterable[str]) -> None:
    from codeact.sources.remote import one_name

    wanted = one_name(target)
    for name in filter(is_remote, reads):
        address = address_of(name).rstrip("/")
        place = one_name(address)
        if wanted == place or wanted.startswith(f"{place}/") or fnmatch(wanted, place):
            raise InputError(f"output {target} is, or lies in, the input {address}; an input is never written over: name another output")


@contextmanager
def claimed(folder: Path, names: Collection[str], run: Run) -> Iterator[Path]:
    """`claim_folder`, taken back where the work is refused before it wrote anything."""
    there = standing(folder)
    path = claim_folder(folder, names, run)
    with taken_back(there, lambda: bool(names_in(path) - there.names - {NOTE})):
        yield path


@dataclass(frozen=True)
class Standing:
    """What there was before a command claimed a folder.

    Attributes:
        folder: the output.
        names: what it held.
        missing: it and its parents, the innermost first, where they were not there.
    """

    folder: Path
    names: frozenset[str]
    missing: tuple[Path, ...]


def standing(folder: Path) -> Standing:
    """What there is of a folder, before it is claimed."""
    return Standing(folder, names_in(folder), tuple(path for path in (folder, *folder.parents) if not path.exists()))


@contextmanager
def taken_back(there: Standing, finished: Callable[[], bool], names: Collection[str] = ()) -> Iterator[None]:
    """Where the block is refused (`InputError`) before anything is finished, what it made goes again: no folder with a mere note stays.

    Args:
        there: what there was before the folder was claimed, by a caller that has kept others out since.
        finished: whether something is done that is worth keeping; asked after a refusal.
        names: what the block may have written directly in the folder, beside its note. What was there before stays, and so does a
            folder that holds anything else.
    """
    try:
        yield
    except InputError:
        if there.folder.is_dir() and not finished():
            for name in {*names, NOTE} - there.names:
                remove(there.folder / name)
            remove_empty(there.missing)
        raise


def _refuse_read(target: Path, reads: Iterable[str]) -> None:
    for name in reads:
        path = at_home(by_path(name))
        try:
            same = path.exists() and target.exists() and path.samefile(target)
        except OSError:  # a name that is too long to be a path
            same = False
        if same:
            raise InputError(f"output {target} is the input {name}; an input is never written over: name another output")


def _inside(path: Path, folder: Path) -> str | None:
    """The name directly in `folder` under which `path` lies, links resolved; None where it lies elsewhere."""
    try:
        if not path.exists() or not folder.exists():
            return None
        return path.resolve().relative_to(folder.resolve()).parts[0]
    except (ValueError, IndexError, OSError):
        return None


def _note(path: Path) -> object:
    """The note of a folder; None where there is none, or it is damaged: the folder is then another's, which --force replaces."""
    try:
        found: object = storage.read_json(path) if path.is_file() else None
    except InputError:
        return None
    return found


def _noted(run_dir: Path) -> dict[str, dict[str, object]]:
    """What was noted, by the paths of now; nothing where the notes are damaged: files are then another's, which --force replaces."""
    try:
        found: object = storage.read_json(run_dir / OUTPUTS)
    except InputError:
        return {}
    if not isinstance(found, dict):
        return {}
    here = run_dir.resolve()
    return {
        name if is_remote(name) else _now(name, entry.get("at"), here): {**entry, "run": _run_now(entry.get("run"), here, entry.get("at")), "at": str(here)}
        for name, entry in found.items()
        if isinstance(entry, dict)
    }


def _is_of(noted: object, run: Run, here: Path) -> bool:
    """Whether a folder's note is of this run: what it read lies where it did, or is gone from there and was moved along with the folder."""
    if not isinstance(noted, dict) or not isinstance(noted.get("of"), str):
        return False
    of = noted["of"] if os.path.lexists(noted["of"]) else _now(noted["of"], noted.get("at"), here)
    return {"command": noted.get("command"), "of": of} == run.key


def _run_now(noted: object, here: Path, at: object) -> object:
    """A run's key as it was noted in the folder `at`, which is `here` now, by the path of now."""
    if not isinstance(noted, dict) or not isinstance(noted.get("of"), str):
        return noted
    return {"command": noted.get("command"), "of": _now(noted["of"], at, here)}


def _now(path: str, at: object, here: Path) -> str:
    """Where a path lies that was noted in the folder `at`, which is `here` now: it went along, or is where it was."""
    if not isinstance(at, str) or at == str(here) or not Path(path).is_absolute():
        return path
    along = os.path.normpath(here / os.path.relpath(path, at))
    return along if os.path.lexists(along) else path

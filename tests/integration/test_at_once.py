"""Commands that meet in one run directory: what each writes and tells is of one state. The second is called at a named point of the first."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import pytest

import codeact
from codeact import api, files, storage
from codeact.comparison import run as comparing
from codeact.errors import InputError
from codeact.files import atomic, remove_left
from codeact.locks import shared_lock
from codeact.rundir import processes
from codeact.rundir.reading import reading
from codeact.rundir.store import Store
from codeact.sources.remote import one_state
from tests.helpers.command import Finished
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

WORKING = "another codeact process is working in it (log.txt there says how far it is); wait for it"
CHANGED = "another codeact process changed it while it was read; wait for it, and start the same command again"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("pool.jsonl"), pool_rows(12))
    write_lines(Path("other.jsonl"), pool_rows(20)[12:])


def select(output: str, ratio: float, data: str = "pool.jsonl") -> Finished:
    keys = ("--set", "curate.decontaminate=[]")
    return cli("select", data, "--strategy", "random", "--unit", "records", "--ratio", str(ratio), "--run-dir", "run", "-o", output, *keys)


def meeting(monkeypatch: pytest.MonkeyPatch, place: str, second: Callable[[], Finished]) -> list[Finished]:
    """Call `second` when the function at `place` has returned; what it ended with."""
    module, _, name = place.rpartition(".")
    real = getattr(import_module(module), name)
    ended: list[Finished] = []

    def then(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        with monkeypatch.context() as patch:
            patch.setattr(place, real)
            ended.append(second())
        return found

    monkeypatch.setattr(place, then)
    return ended


def refused(done: Finished, why: str) -> None:
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert why in done.stderr


@pytest.mark.parametrize("place", ["codeact.api.selection._selection", "codeact.row_output.write_rows"])
def test_select_writes_its_own_rows(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    ended = meeting(monkeypatch, place, lambda: select("second.jsonl", 0.75))
    first = select("first.jsonl", 0.5)
    assert first.returncode == 0, first.stderr
    refused(ended[0], WORKING)
    assert not Path("second.jsonl").exists()
    assert len(Path("first.jsonl").read_text().splitlines()) == 6


def test_a_stage_writes_and_tells_its_own_table() -> None:
    from codeact.config import load_recipe

    recipe = load_recipe(extra={"data.source": "pool.jsonl", "run_dir": "run", "curate.decontaminate": ()})
    again = partial(cli, "curate", "other.jsonl", "--run-dir", "run", "-o", "second.jsonl", "--set", "curate.decontaminate=[]")
    ended = []

    def also(folder: Path) -> dict[str, Any]:
        ended.append(again())
        return {"records": Store(folder).table("records").num_rows}

    assert api.run_stages(recipe, ["curate"], Path("out.jsonl"), also=also)["records"] == 12
    refused(ended[0], WORKING)
    assert again().returncode == 0


def test_a_report_and_a_run_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select("out.jsonl", 0.25).returncode == 0
    with Store(Path("run")).lock():
        refused(cli("report", "run"), WORKING)
    ended = meeting(monkeypatch, "codeact.reporting.html.gather", lambda: select("out.jsonl", 0.5))
    told = cli("report", "run", "--json")
    refused(ended[0], WORKING)
    assert json.loads(told.stdout) == json.loads(Path("run/report.json").read_text())


@pytest.mark.parametrize(("data", "ratio"), [("other.jsonl", 0.25), ("pool.jsonl", 0.5)])
def test_an_export_is_of_one_run(monkeypatch: pytest.MonkeyPatch, data: str, ratio: float) -> None:
    assert select("out.jsonl", 0.25).returncode == 0
    ended = meeting(monkeypatch, "codeact.exporting.run.selected_records", lambda: select("second.jsonl", ratio, data))
    with pytest.raises(InputError, match=f"run directory run: {CHANGED}"):
        codeact.export("run", "datasets", "exported")
    assert ended[0].returncode == 0
    assert not Path("exported").exists()


def test_readers_are_told_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select("out.jsonl", 0.25).returncode == 0
    Path("run/.lock").unlink()
    there = sorted(Path("run").rglob("*"))
    record = codeact.explain("run", row=1)["id"]
    with reading("run"):
        storage.write_json("run/markers/train.json", {"fingerprint": "", "outputs": {}})  # a stage that ends meanwhile changes nothing
    Path("run/markers/train.json").unlink()
    assert sorted(Path("run").rglob("*")) == there
    calls: dict[str, Callable[[], object]] = {
        "codeact.pipeline.explanation.read_outcomes": lambda: codeact.explain("run", record),
        "codeact.pipeline.difference.read_outcomes": lambda: codeact.diff("run", "run"),
        "codeact.pipeline.stability.check_selection": lambda: codeact.stability("run"),
    }
    for number, (place, call) in enumerate(calls.items()):
        with monkeypatch.context() as patch:
            meeting(patch, place, partial(select, "out.jsonl", 0.5 + 0.25 * (number % 2)))
            with pytest.raises(InputError, match=CHANGED):
                call()

    def gone() -> str:
        with reading("run") as root:
            select("out.jsonl", 0.25)
            return (root / "gone").read_text()

    with pytest.raises(InputError, match=CHANGED):  # what is missing meanwhile is told so too
        gone()


def test_a_comparison_is_not_divided_anew_while_another_measures(monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Path, tiny_embedder_dir: Path) -> None:
    write_lines(Path("pool.jsonl"), pool_rows(24))
    Path("compare.yaml").write_text(
        f"""
run_dir: cmp
seeds: [0]
rates: [0.5]
units: [records]
held_out: 4
strategies: [random, full]
recipe:
  model: {{name: {tiny_model_dir}, max_length: 256, template: question, dtype: float32}}
  data: {{source: pool.jsonl}}
  embed: {{model: {tiny_embedder_dir}}}
  curate: {{decontaminate: []}}
  train: {{epochs: 1, batch_size: 4}}
  evaluate: {{tasks: [humaneval], generate_limit: 0, bits_limit: 1}}
""",
        encoding="utf-8",
    )
    met: list[Any] = []

    def stopped(_: object) -> None:  # where the base and the pools are made
        if not met:
            met.extend([cli("compare", "compare.yaml", "held_out=6"), Path("cmp/held_out.jsonl").read_text()])
        raise InputError("stopped")

    monkeypatch.setattr(comparing, "_make_ready", stopped)
    with pytest.raises(InputError, match="stopped"):
        codeact.compare("compare.yaml")
    refused(met[0], "run directory cmp: another codeact process measures there")
    assert len(met[1].splitlines()) == 4
    with shared_lock(Path("cmp/.split")):
        refused(cli("compare", "compare.yaml"), "stopped")  # of the same settings: they share it
    assert cli("compare", "compare.yaml", "held_out=6").stderr.endswith("codeact: stopped\n")  # nobody measures now
    assert len(Path("cmp/held_out.jsonl").read_text().splitlines()) == 6


def test_an_address_is_of_the_command_that_reads_it() -> None:
    system, address = fsspec.filesystem("memory"), "memory://at-once/pool.jsonl"
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with one_state():
            begun.set()
            over.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(10)
    lengths = []
    for data in ("pool.jsonl", "other.jsonl"):
        system.pipe_file("/at-once/pool.jsonl", Path(data).read_bytes())
        lengths.append(len(storage.read_rows(address).rows))
    over.set()
    thread.join()
    assert lengths == [12, 8]


def test_two_writers_of_one_file_have_a_temporary_file_each() -> None:
    with atomic("x.txt", "w") as first, atomic("x.txt", "w") as second:
        first.write("first")
        second.write("2nd")
    assert Path("x.txt").read_text() == "first"
    assert not [*Path().glob(".x.txt*")]


def test_only_files_of_processes_that_can_be_asked_after_go_at_once() -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    with atomic("x.txt", "w"):
        mine = next(Path().glob(".x.txt.*.tmp")).name
        left, foreign = mine.replace(f".{os.getpid()}-", f".{dead.pid}-"), f".x.txt.{dead.pid}-00000000-00000000.tmp"
        old = f".x.txt.{os.getpid()}-00000000-00000001.tmp"
        for name in (left, foreign, old):
            Path(name).touch()
        os.utime(old, (0, 0))
        remove_left(Path(), "x.txt")
        assert {path.name for path in Path().glob(".x.txt.*")} == {mine, foreign}


def test_a_second_interrupt_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def interrupted(child: Any, grace: float = 0.0) -> str:
        raise KeyboardInterrupt

    def interrupted_twice() -> None:
        with processes.kept_processes():
            processes.start_ahead(2, [])
            started.extend(processes._kept.get() or [])
            raise KeyboardInterrupt

    monkeypatch.setattr(processes._Child, "end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert [child.process.wait(10) for child in started] == [-9, -9]


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "CODEACT_CACHE", "CODEACT_SCORES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    refused(cli("select", "pool.jsonl", "--model", "~/model", "-o", "-"), "set HOME, or CODEACT_CACHE to a folder")
    assert str(files.at_home("~/model")) == "~/model"

"""What the command shows, what --quiet, --verbose and --log-file change of it, and what a run directory's log.txt keeps: never a secret."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact import progress
from codeact.locks import try_lock
from tests.helpers.command import codeact_command as cli
from tests.helpers.judge_server import judge_server
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00) (DEBUG|INFO|WARNING|ERROR) (codeact[\w.]*): (.*)")
PLAIN = ["--set", "sample.strategy=random", "--set", "sample.unit=records"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(8))
    return file


def select(data: Path, *more: str, before: tuple[str, ...] = ()) -> Any:
    return cli(*before, "select", str(data), "-o", str(data.with_name("out.jsonl")), *PLAIN, *more)


def read(file: Path) -> list[tuple[str, str, str, str]]:
    """Time, level, logger and text of every line; further lines of a text are indented."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("    "):
            matched = LINE.fullmatch(line)
            assert matched, line
            found.append((matched[1], matched[2], matched[3], matched[4]))
    return found


def test_by_default_stderr_has_one_line_a_stage_and_the_run_keeps_them_with_times(data: Path) -> None:
    done = select(data)
    assert done.returncode == 0, done.stderr
    stages = [line for line in done.stderr.splitlines() if "records/s" not in line]
    assert [line.partition(":")[0] for line in stages] == ["records", "curate", "sample"]
    kept = read(data.with_name("out.codeact") / "log.txt")
    assert [text for _, level, _, text in kept if level == "INFO"] == [f"begins, codeact {codeact.__version__}", *stages, "done"]
    assert sorted(time for time, *_ in kept) == [time for time, *_ in kept]


def test_a_second_run_is_appended(data: Path) -> None:
    log = data.with_name("out.codeact") / "log.txt"
    select(data)
    first = log.read_text(encoding="utf-8")
    assert select(data).returncode == 0
    assert log.read_text(encoding="utf-8").startswith(first)
    assert sum(text.endswith("done before, kept") for *_, text in read(log)) == 3


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_the_result_and_warnings(data: Path, place: str) -> None:
    done = select(data, "--json", before=("--quiet",)) if place == "before" else select(data, "--json", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["selected"] > 0
    assert "records: " in (data.with_name("out.codeact") / "log.txt").read_text(encoding="utf-8")  # the run's own log is whole
    failed = cli("-q", "select", str(data.with_name("none.jsonl")), "-o", "x.jsonl", *PLAIN)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert failed.stderr.startswith("codeact: ")


@pytest.mark.parametrize("option", [[], ["-q"]])
def test_a_warning_is_shown_with_quiet_too(data: Path, tiny_model_dir: Path, tmp_path: Path, option: list[str]) -> None:
    call = ["train", str(data), "--model", str(tiny_model_dir), "-o", str(tmp_path / "tuned"), "--epochs", "1"]
    done = cli(*call, "--set", "train.lora_r=4", "--set", "train.method=full", *option)
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stderr.splitlines() if option or "/s" not in line]
    assert len(shown) == 1
    assert shown[0].startswith("warning: train.lora")


def test_verbose_shows_details_and_tracebacks(data: Path) -> None:
    done = select(data, before=("-v",))
    assert done.returncode == 0
    assert "debug: curate: begins" in done.stderr
    plain, loud = (cli("select", "none.jsonl", "-o", "x.jsonl", *PLAIN, *more) for more in ([], ["-v"]))
    assert "Traceback" not in plain.stderr
    assert loud.stderr.startswith("Traceback")
    both = select(data, "-v", before=("-q",))
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_log_file_has_everything_whatever_is_shown(data: Path, tmp_path: Path, place: str) -> None:
    log = tmp_path / "logs" / "all.txt"
    options = ("--log-file", str(log))
    done = select(data, "-q", before=options) if place == "before" else select(data, "-q", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"DEBUG", "INFO"} <= {level for _, level, *_ in read(log)}
    size = log.stat().st_size
    failed = cli("select", str(tmp_path / "none.jsonl"), "-o", "x.jsonl", *PLAIN, *options)
    assert log.stat().st_size > size
    last = [line for line in read(log) if line[1] == "ERROR"]
    assert [text for *_, text in last] == failed.stderr.splitlines()
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_a_log_file_never_touches_a_file_that_is_no_log(data: Path) -> None:
    content = data.read_bytes()
    done = select(data, "--log-file", str(data))
    assert (done.returncode, data.read_bytes()) == (2, content)
    assert "is no log of codeact" in done.stderr
    folder = select(data, "--log-file", str(data.parent))
    assert (folder.returncode, folder.stderr.count("\n")) == (2, 1)


def test_a_process_without_the_lock_writes_nothing(data: Path) -> None:
    select(data)
    run = data.with_name("out.codeact")
    before = (run / "log.txt").read_bytes()
    with try_lock(run / ".lock") as mine:
        assert mine
        done = cli("select", str(data), "--run-dir", str(run), "-o", str(data.with_name("other.jsonl")), *PLAIN)
    assert done.returncode == 2
    assert (run / "log.txt").read_bytes() == before


def test_no_secret_reaches_a_log(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, password = "not-a-real-key-7f3a9c", "hunter2-hunter2"
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", key)
    log = tmp_path / "all.txt"
    with judge_server(lambda prompt: f"Score: 4 (by {key})") as server:
        server.script.extend([(401, {}, f"Authorization: Bearer {key}; see http://me:{password}@host/?api_key={key}".encode())] * 50)
        url = server.url.replace("://", f"://me:{password}@")
        for more in (["-v"], ["-q"], []):
            call = ["judge", str(data), "-o", str(tmp_path / "judged.jsonl"), "--set", f"judge.endpoint={url}"]
            done = cli(*call, "--set", "judge.model=m", "--set", "judge.attempts=1", "--log-file", str(log), *more)
            assert done.returncode == 2
            assert [s for s in (key, password) if s in done.stdout + done.stderr] == []
    named = f"https://me:{password}@host.invalid/data.jsonl?access_token={key}"
    for more in ([], ["-v"]):
        done = cli("select", named, "-o", str(tmp_path / "x.jsonl"), *PLAIN, "--log-file", str(log), *more)
        assert (done.returncode, "***@host.invalid" in done.stderr) == (2, True)
        assert [s for s in (key, password) if s in done.stderr] == []
    for file in (log, tmp_path / "judged.codeact" / "log.txt"):
        text = file.read_text(encoding="utf-8")
        assert "answers 401" in text
        assert [s for s in (key, password) if s in text] == [], file


def test_a_library_user_sees_nothing_unless_asked_for(data: Path, tmp_path: Path) -> None:
    code = (
        "import logging, sys, codeact; codeact.select(sys.argv[1], strategy='random', unit='records', run_dir=sys.argv[2]);"
        "logging.getLogger('codeact.training.sft').warning('x');"
        "assert not logging.getLogger().handlers and logging.getLogger('codeact').level == 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data), str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert [text.partition(":")[0] for *_, text in read(tmp_path / "run" / "log.txt")] == [
        f"begins, codeact {codeact.__version__}", "records", "curate", "sample", "done",
    ]  # fmt: skip


def test_a_library_user_who_asks_gets_the_lines_and_the_progress(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = progress.show()
    try:
        with logged() as lines:
            codeact.select(str(data), strategy="random", unit="records", run_dir=tmp_path / "run")
    finally:
        progress.show(before)
    assert [line.partition(":")[0] for line in lines] == ["records", "curate", "sample"]
    assert "verify: 8/8 records" in capsys.readouterr().err


def test_a_command_leaves_the_log_and_the_progress_as_they_were(data: Path) -> None:
    log = logging.getLogger("codeact")
    before = (log.level, list(log.handlers))
    assert select(data, "-v", "--log-file", str(data.with_name("all.txt"))).returncode == 0
    assert (log.level, list(log.handlers)) == before
    assert progress.show(False) is False


def test_runs_in_two_threads_keep_their_lines_apart(data: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(codeact.select, str(data), strategy="random", unit="records", run_dir=tmp_path / name) for name in "ab"]
        assert all(len(run.result()) for run in runs)
    for name in "ab":
        lines = [text.partition(":")[0].partition(",")[0] for *_, text in read(tmp_path / name / "log.txt")]
        assert lines == ["begins", "records", "curate", "sample", "done"]


def test_a_command_whose_streams_are_closed_does_its_work(tmp_path: Path) -> None:
    """As some schedulers start it: what is opened next must not take the number of a stream, and what is printed."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "Add a and b.", "output": "def add(a, b): return a + b"}\n' * 3, encoding="utf-8")
    out = tmp_path / "kept.jsonl"
    program = f"import os; os.closerange(0, 3); os.execv({sys.executable!r}, {[sys.executable, '-m', 'codeact', 'curate', str(rows), '-o', str(out)]!r})"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_text(encoding="utf-8") == rows.read_text(encoding="utf-8").splitlines(keepends=True)[0]


def test_a_log_on_a_full_disk_ends_no_run(data: Path) -> None:
    log = data.with_name("out.codeact") / "log.txt"
    assert select(data).returncode == 0
    log.unlink()
    log.symlink_to("/dev/full")
    done = select(data, "--ratio", "0.5")
    assert done.returncode == 0, done.stderr
    assert data.with_name("out.jsonl").read_text(encoding="utf-8")

"""Two commands into one output: the second refuses in one line. With real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codeact import locks
from codeact.errors import InputError
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started

HOLD = "import sys; from pathlib import Path; from codeact.locks import only_writer\nwith only_writer(Path(sys.argv[1])): print(flush=True); input()"
REFUSED = "another codeact process is writing it; wait for it or choose another output"


@contextmanager
def held(output: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to this output."""
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdin=-1, stdout=-1, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    try:
        yield other
    finally:
        other.kill()
        other.wait()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(8))
    return file


COMMANDS = {
    "train": ["train", "POOL", "--model", "MODEL", "-o", "OUT"],
    "merge": ["merge", "MODEL", "-o", "OUT"],
    "evaluate": ["evaluate", "MODEL", "-o", "OUT"],
    "export": ["export", "RUN", "--to", "trl", "-o", "OUT"],
    "harvest": ["harvest", "stdlib", "-o", "OUT.jsonl"],
    "select": ["select", "POOL", "--strategy", "random", "--unit", "records", "-o", "OUT.jsonl"],
    "curate": ["curate", "POOL", "-o", "OUT.jsonl"],
    "embed": ["embed", "POOL", "-o", "OUT.parquet"],
    "cluster": ["cluster", "POOL", "-o", "OUT.parquet"],
    "score": ["score", "POOL", "--model", "MODEL", "-o", "OUT.parquet"],
    "sample": ["sample", "POOL", "--model", "MODEL", "-o", "OUT.parquet"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_another_process_writes(pool: Path, tiny_model_dir: Path, tmp_path: Path, command: str) -> None:
    places = {"POOL": str(pool), "MODEL": str(tiny_model_dir), "RUN": str(tmp_path / "run")}
    places |= {f"OUT{kind}": str(tmp_path / f"out{kind}") for kind in ("", ".jsonl", ".parquet")}
    words = [places.get(word, word) for word in COMMANDS[command]]
    with held(Path(words[-1])):
        done = codeact(*words)
    assert done.returncode == 2, done.stderr
    assert REFUSED in done.stderr
    assert len(done.stderr.splitlines()) == 1
    left = {path.name for path in tmp_path.iterdir()} - {"pool.jsonl"}
    assert left <= {f".{Path(words[-1]).name}.lock", "out", "out.codeact"}, left


@pytest.mark.slow
def test_two_trainings_into_one_folder(pool: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    options = ["--max-length", "256", "--template", "question", "--dtype", "float32", "--epochs", "300", "--batch-size", "2"]
    command = ["train", str(pool), "--model", str(tiny_model_dir), "-o", str(tmp_path / "out"), *options]
    with Started("-m", "codeact", *command) as first:
        try:
            while not (tmp_path / "out" / "metrics.jsonl").exists():
                assert first.poll() is None
                time.sleep(0.02)
            second = codeact(*command)
            assert second.returncode == 2
            assert REFUSED in second.stderr
            assert first.poll() is None
        finally:
            first.kill()
    short = [*command, "--force"]
    short[short.index("300")] = "0.5"
    assert codeact(*short).returncode == 0  # the lock of a killed process holds nobody up


def test_the_lock_goes_with_its_process_and_its_file(tmp_path: Path) -> None:
    output, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(output)
    with held(output) as other:
        for name in (output, link, tmp_path / "x" / ".." / "out"):
            with pytest.raises(InputError, match="another codeact process"), locks.only_writer(name):
                pass
        other.kill()
        other.wait()
        with locks.only_writer(link):
            assert (tmp_path / ".out.lock").exists()
    assert not (tmp_path / ".out.lock").exists()
    with locks.only_writer(None), locks.only_writer(output), locks.only_writer(tmp_path / "other"):
        pass


def test_the_processes_of_one_distributed_run_are_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(tmp_path / "out"):
        monkeypatch.setenv("RANK", "1")
        with locks.only_writer(tmp_path / "out"):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(InputError), locks.only_writer(tmp_path / "out"):
            pass

"""What Linux alone has is not needed to select: without it the same rows are chosen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

LINUX_ALONE = ("sched_getaffinity", "sched_setaffinity", "memfd_create", "pidfd_open", "eventfd", "splice", "posix_fallocate",
               "posix_fadvise", "O_PATH", "setresuid")  # fmt: skip


def test_the_same_selection_without_what_macos_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("pool.jsonl"), pool_rows(24))
    command = ("select", "pool.jsonl", "--strategy", "random", "--unit", "records", "--set", "curate.decontaminate=[]")
    here = codeact(*command, "-o", "here.jsonl")
    assert here.returncode == 0, here.stderr
    for name in LINUX_ALONE:
        monkeypatch.delattr(os, name, raising=False)
    there = codeact(*command, "-o", "there.jsonl")
    assert there.returncode == 0, there.stderr
    assert Path("there.jsonl").read_bytes() == Path("here.jsonl").read_bytes()

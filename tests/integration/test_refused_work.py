"""What is refused while the data are read leaves nothing behind; what was there before, and what is finished, stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from codeact.rundir.store import Store
from tests.helpers.command import codeact_command

BROKEN = '{"instruction": 1}\n['
WAYS = {
    "select": ("select", "a.jsonl", "--strategy", "random", "--unit", "records", "-o", "o.jsonl"),
    "select, folders made": ("select", "a.jsonl", "--strategy", "random", "--unit", "records", "-o", "new/deep/o.jsonl"),
    "curate": ("curate", "a.jsonl", "-o", "o.jsonl", "--run-dir", "x/y/run"),
    "compare": ("compare", "compare", "data.source=a.jsonl", "run_dir=runs/c", "model.name=demo"),
    "harvest": ("harvest", "empty", "-o", "n/h.jsonl"),
}


def all_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("way", WAYS)
def test_refused_work_leaves_nothing(place: Path, way: str) -> None:
    before = all_in(place)
    told = codeact_command(*WAYS[way])
    assert told.returncode == 2, told.stderr
    assert all_in(place) == before


def kept_folder(place: Path) -> None:
    (place / "o.codeact").mkdir()


def kept_file(place: Path) -> None:
    kept_folder(place)
    (place / "o.codeact" / "mine.txt").write_text("x", encoding="utf-8")


def finished(place: Path) -> None:
    rows = (f'{{"instruction": "Add {n} to x.", "output": "x += {n}"}}\n' for n in range(9))
    (place / "a.jsonl").write_text("".join(rows), encoding="utf-8")
    assert codeact_command(*WAYS["select"]).returncode == 0
    (place / "a.jsonl").write_text(BROKEN, encoding="utf-8")


@pytest.mark.parametrize("made", [kept_folder, kept_file, finished])
def test_what_was_there_stays(place: Path, made: Callable[[Path], None]) -> None:
    made(place)
    before = {name: (place / name).read_bytes() for name in all_in(place) if (place / name).is_file()}
    assert codeact_command(*WAYS["select"]).returncode == 2
    assert (place / "o.codeact").is_dir()
    begun = (".lock", "log.txt", "recipe.yaml", "records.parquet", "rejected.parquet")  # by the refused run
    begun += ("ledger.parquet", "dropped.jsonl")  # which went before it: they told of other records
    for name, content in before.items():
        assert name.endswith(begun) or "markers" in name or (place / name).read_bytes() == content
    assert made is finished or set(all_in(place)) == {"a.jsonl", "empty", "o.codeact", *before}


def test_the_folder_of_another_process_stays(place: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def works() -> None:
        with Store(place / "o.codeact").lock():
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=works)
    other.start()
    inside.wait(60)
    told = codeact_command(*WAYS["select"])
    leave.set()
    other.join()
    assert "another codeact process is working in it" in told.stderr
    assert (place / "o.codeact" / ".lock").exists()

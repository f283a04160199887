"""Whose a folder is that a run writes into, and what is said where a run directory gets other data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codeact import api
from codeact.errors import InputError
from codeact.outputs import NOTE
from tests.helpers.command import Finished
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows


def select(data: Path, folder: Path, out: str = "out.jsonl", *more: str) -> Finished:
    return cli(
        "select", str(data), "--strategy", "random", "--unit", "records", "--set", "curate.decontaminate=[]", "--run-dir", str(folder),
        "-o", str(data.parent / out), *more,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_lines(tmp_path / "d.jsonl", pool_rows(8))
    return tmp_path / "d.jsonl"


@pytest.mark.parametrize("marker", ["", "cities.json"])
def test_a_folder_named_markers_makes_no_run_directory(marker: str, data: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "markers").mkdir(parents=True)
    (project / "train").mkdir()
    mine = [project / "train" / "data.txt", project / "report.html", *([project / "markers" / marker] if marker else [])]
    for file in mine:
        file.write_text('{"of": "the user"}', encoding="utf-8")
    done = select(data, project)
    assert (done.returncode, "--force" in done.stderr) == (2, True), done.stderr
    with pytest.raises(InputError, match="is not a run directory"):
        api.report(project)
    assert [file.read_text(encoding="utf-8") for file in mine] == ['{"of": "the user"}'] * len(mine)


def test_a_run_directory_is_known_by_what_a_run_left(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert select(data, folder).returncode == 0
    for left in ("*.json", "*.started"):  # as finished, and as killed at its first stage
        (folder / NOTE).unlink()
        assert select(data, folder).returncode == 0
        for marker in (folder / "markers").glob(left):
            marker.rename(marker.with_suffix(".started"))
    (folder / NOTE).write_text('{"command": "ru', encoding="utf-8")
    assert select(data, folder).returncode == 0  # a cut note is written anew where the markers tell
    shutil.rmtree(folder / "markers")
    (folder / NOTE).write_text('{"command": "ru', encoding="utf-8")
    refused = select(data, folder)
    assert refused.returncode == 2
    assert f"{NOTE} is damaged, which says who did" in refused.stderr
    assert "name another folder, or replace them with --force" in refused.stderr
    assert select(data, folder, "out.jsonl", "--force").returncode == 0


def test_other_data_in_a_run_directory_are_told(data: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "d2.jsonl"
    write_lines(other, pool_rows(9))
    assert "its records came from" not in select(data, folder).stderr
    write_lines(data, pool_rows(10))
    assert "its records came from" not in select(data, folder).stderr  # edited where it lies
    told = select(other, folder, "o2.jsonl")
    assert told.returncode == 0, told.stderr
    assert told.stderr.count(f"its records came from {data}, and come from {other} now") == 1
    copy = tmp_path / "moved.jsonl"
    shutil.copy(other, copy)
    (folder / "rejected.parquet").unlink()
    assert "its records came from" not in select(copy, folder, "o3.jsonl").stderr


def test_a_file_named_as_the_split_makes_no_comparison(
    tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    data = write_lines(tmp_path / "d.jsonl", pool_rows(8))
    project = tmp_path / "project"
    (project / "cells").mkdir(parents=True)
    for name in ("split.json", "pool.jsonl"):
        (project / name).write_text('{"train": 0.8}', encoding="utf-8")
    comparison = tmp_path / "compare.yaml"
    comparison.write_text(
        f"{{run_dir: {project}, seeds: [0], rates: [0.5], held_out: 2, strategies: [random], recipe: {{model: {{name: {tiny_model_dir}, max_length: 64,"
        f" template: question}}, data: {{source: {data}}}, embed: {{model: {tiny_embedder_dir}}}, evaluate: {{tasks: [], held_out: {data}}}}}}}\n",
        encoding="utf-8",
    )
    done = cli("compare", str(comparison))
    assert (done.returncode, "pool.jsonl, split.json; name another folder" in done.stderr) == (2, True), done.stderr
    assert (project / "pool.jsonl").read_text(encoding="utf-8") == '{"train": 0.8}'

"""What every stage makes of a fixed tiny model and fixed records is what it made when its VERSION was last raised."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codeact.config import Recipe, load_recipe
from codeact.pipeline.plan import plan
from codeact.rundir.inputs import Inputs
from tests.golden import stages
from tests.helpers import run_page

VERSION, READS = stages.planned()


def test_results_are_those_of_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    old = json.loads(stages.FILE.read_text(encoding="utf-8"))
    assert old["set"] == stages.SET, "SET was raised: write the file anew with `python tests/golden/write.py`"
    found = stages.rounded(stages.run_all(tmp_path))
    assert run_page.faults(tmp_path / "run") == []  # of every strategy's tables
    assert {file.stem for file in (tmp_path / "run").glob("*.parquet")} == set(run_page.tables())
    assert found.keys() == VERSION.keys(), "every stage of the plan has its golden results"
    wrong = stages.faults(old, found, VERSION, READS)
    others = {name: (old["libraries"][name], now) for name, now in stages.libraries().items() if old["libraries"][name] != now}
    told = f"\nother libraries than the file was written with: {others}; where they alone are the cause, raise SET" if others else ""
    assert not wrong, "\n".join(wrong) + told


OLD: dict[str, Any] = {
    "versions": {"embed": 1, "cluster": 1, "score": 1, "sample": 1},
    "stages": {"embed": [0.5, 0.25], "cluster": {"label": [0, 1]}, "score": [1.5, None], "sample": {"choices": {"random": [3, 1]}}},
}
MADE_READS: dict[str, set[str]] = {"embed": set(), "cluster": {"embed"}, "score": set(), "sample": set()}


@pytest.mark.parametrize(
    ("changes", "versions", "told"),
    [
        ({}, {}, ()),
        ({"embed": [0.5 + 2e-5, 0.25]}, {}, ()),  # what CPUs differ by
        ({"embed": [0.501, 0.25]}, {}, ("results of stage embed changed (embed[0]: 0.5 became 0.501): raise VERSION in stages/embed.py",)),
        ({"embed": [0.6, 0.25], "cluster": {"label": [1, 1]}}, {}, ("results of stage embed changed",)),
        ({"cluster": {"label": [1, 1]}, "score": [1.5, 2.0]}, {}, ("results of stage cluster", "results of stage score")),
        ({"cluster": {"label": [0, 1], "more": []}}, {}, ("results of stage cluster",)),
        ({"sample": {"choices": {"random": [3, 1], "new": [1]}}}, {}, ("write the file anew with `python tests/golden/write.py`: it has no choices of new",)),
        ({"sample": {"choices": {"random": [1, 3], "new": [1]}}}, {}, ("write the file anew", "results of stage sample changed (sample/choices/random[0]")),
        ({"sample": {"choices": {"new": [1]}}}, {}, ("write the file anew", "results of stage sample changed")),
        ({"score": [1.5]}, {}, ("results of stage score",)),
        ({"score": [True, None]}, {}, ("results of stage score",)),
        ({}, {"score": 2}, ("write the file anew with `python tests/golden/write.py`: stage score has VERSION 2, the file holds 1",)),
        ({"embed": [0.6, 0.25], "cluster": {"label": [1, 1]}}, {"embed": 2}, ("write the file anew",)),
    ],
)
def test_what_is_told(changes: dict[str, Any], versions: dict[str, int], told: tuple[str, ...]) -> None:
    found = stages.faults(OLD, {**OLD["stages"], **changes}, {**OLD["versions"], **versions}, MADE_READS)
    assert len(found) == len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True)), found


def test_whole_steps_of_a_token_or_two_are_rounded_otherwise_on_another_cpu() -> None:
    assert stages.difference({"token_log_ifd": [4.817]}, {"token_log_ifd": [4.817 + 2 / 1024]}) is None
    assert stages.difference({"token_log_ifd": [4.817]}, {"token_log_ifd": [4.817 + 5 / 1024]}) == "/token_log_ifd[0]: 4.817 became 4.8218828125"
    assert stages.difference({"ifd": [4.817]}, {"ifd": [4.817 + 2 / 1024]}) is not None


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """Of every stage, by what decides it; the model's own facts are left out, for it is not read."""
    done: dict[str, str] = {}
    for stage in plan(recipe, Inputs(recipe)):
        done[stage.name] = stage.fingerprint({}, done)
    return done


@pytest.mark.parametrize("name", VERSION)
def test_a_raised_version_voids_its_stage_and_those_that_read_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(extra={"curate.semantic": 0.9, "control": "random"})
    before = fingerprints(recipe)
    monkeypatch.setattr(f"codeact.stages.{name}.VERSION", VERSION[name] + 1)
    after = fingerprints(recipe)
    changed = {stages.FILES.get(stage, stage) for stage in before if after[stage] != before[stage]}
    direct = {stage.name: stage.needs for stage in plan(recipe, Inputs(recipe))}
    expected = {stage for stage in direct if stages.FILES.get(stage, stage) == name}
    for stage, needs in direct.items():
        expected |= {stage} if expected & {*needs} else set()
    assert changed == {stages.FILES.get(stage, stage) for stage in expected}


def test_a_comment_in_every_file_changes_no_fingerprint(tmp_path: Path) -> None:
    import codeact

    shutil.copytree(Path(codeact.__file__).parent, tmp_path / "codeact", ignore=shutil.ignore_patterns("__pycache__"))
    for file in (tmp_path / "codeact").rglob("*.py"):
        with file.open("a", encoding="utf-8") as handle:
            handle.write("\n# a remark\n")
    program = (
        "import codeact, json; from tests.golden.test_golden import fingerprints; from codeact.config import load_recipe;"
        "print(json.dumps([codeact.__file__, fingerprints(load_recipe())]))"
    )
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}
    )
    where, found = json.loads(done.stdout)
    assert Path(where).is_relative_to(tmp_path)
    assert found == fingerprints(load_recipe())

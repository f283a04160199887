"""The report task by task, and the picture of batches, against the files that they are made from."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.evaluation.compare import changed_tasks
from codeact.packing.plan import compare_layouts
from codeact.reporting import gather, main_figures, write_report
from codeact.reporting.batches import batching, drawn_rate, pictures
from codeact.reporting.html import render, tasks_of
from codeact.reporting.tasks import PROGRAMS
from codeact.training.metrics import pack_report
from scripts.look_at_page import look
from tests.helpers.report_run import HOSTILE, plain_run, write_evaluation

TASKS = [f"HumanEval/{n}" for n in range(100)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tuned model gained 70 tasks and lost 2, with a control that passes every second task."""
    folder = plain_run(tmp_path_factory.mktemp("tasks") / "run", 40)
    (folder / "recipe.yaml").write_text((folder / "recipe.yaml").read_text() + "control: random\n")
    number = np.arange(100)
    passed = {"base": number < 10, "tuned": (number >= 2) & (number < 80), "control": number % 2 == 0}
    for side, one in passed.items():
        write_evaluation(folder / "evaluate" / side, TASKS, np.full(100, 0.9), one)
    prints = {stage: json.loads((folder / "markers" / f"{stage}.json").read_text()) for stage in ("sample", "train", "evaluate_tuned")}
    drawn = {"records": 9, "selection_records": 8, "response_tokens": 900, "selection_response_tokens": 899, "also_selected": 3, "seed": 1}
    inputs = {"control": {"sample": prints["sample"]["fingerprint"]}, "train_control": {"control": "c"}, "evaluate_control": {"train_control": "t"}}
    for stage, mark in (("control", "c"), ("train_control", "t"), ("evaluate_control", "e")):
        marker = {**prints["train"], "stage": stage, "fingerprint": mark, "inputs": inputs[stage], "summary": drawn}
        (folder / "markers" / f"{stage}.json").write_text(json.dumps(marker))
    shutil.copytree(folder / "train", folder / "train_control")
    shutil.copy(folder / "sample.parquet", folder / "control.parquet")
    return folder


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_every_task_is_in_the_matrix_with_what_each_model_made_of_it(run: Path) -> None:
    (found,) = tasks_of(run, gather(run))
    assert [row["task"] for row in found["rows"]] == TASKS
    assert found["counts"] == {"base": {"gained": 70, "lost": 2, "flaky": 0}, "control": {"gained": 39, "lost": 11, "flaky": 0}}
    assert [row["task"] for row in found["rows"] if row["change"] == "lost"] == TASKS[:2]
    assert found["rows"][5]["cells"]["control"] == {"said": "failed", "share": 0.0, "bits": 0.9}
    # losses first, the rest is named by its number
    assert [one["task"] for one in found["programs"][:3]] == [TASKS[0], TASKS[1], TASKS[10]]
    moved = sum(bool(row["change"] or row["control"]) for row in found["rows"])
    assert (len(found["programs"]), found["left_out"]) == (PROGRAMS, moved - PROGRAMS)
    assert [side["side"] for side in found["programs"][0]["sides"]] == ["base", "tuned", "control"]


def test_the_page_folds_the_tasks_and_their_programs_stay_text(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    read = Text(page)
    assert read.text.count("HumanEval: 100 tasks, 70 gained and 2 lost after tuning; 39 passed that the control failed, 11 the other way round") == 1
    assert "<details open" not in page
    plain = " ".join(HOSTILE.split())
    assert f"Base, passed def f(): # {plain} return True" in read.text
    assert f"Tuned, failed: assertion 1: {plain}" in read.text
    assert "img" not in read.tags
    assert len(page.encode()) < 1_000_000


def test_a_stricter_set_counts_and_several_samples_are_shares(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 30, tasks=3)
    for side, plus, third in (("base", ["failed", "passed"], "failed"), ("tuned", ["passed", "passed"], "passed")):
        folder = run / "evaluate" / side
        results = json.loads((folder / "results.json").read_text())
        results["humaneval+"] = {**results["humaneval"], "pass@1": 0.5}
        (folder / "results.json").write_text(json.dumps(results))
        lines = [{"task_id": "HumanEval/0", "status": "passed", "plus_status": state, "completion": "    return 1"} for state in plus]
        lines.append({"task_id": "HumanEval/1", "status": "passed", "plus_status": "timeout", "detail": "test 3 took too long"})
        lines += [{"task_id": "HumanEval/2", "status": "passed", "plus_status": state, "completion": "    return 1"} for state in ("failed", third)]
        (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (found,) = tasks_of(run, gather(run))
    assert found["title"] == "HumanEval+"
    cells = found["rows"][0]["cells"]
    assert (cells["base"]["said"], cells["base"]["share"], cells["tuned"]["said"]) == ("1 of 2", 0.5, "2 of 2")
    # as `evaluate --against` has them: gained from no sample that passes alone
    changed = changed_tasks(run / "evaluate" / "base", run / "evaluate" / "tuned", "humaneval+")
    assert changed == {"gained": ["HumanEval/2"], "lost": [], "flaky": ["HumanEval/0", "HumanEval/2"]}
    assert [row["change"] for row in found["rows"]] == ["more", "", "gained"]
    assert found["counts"] == {"base": {"gained": 1, "lost": 0, "flaky": 2}}
    assert "1 gained and 0 lost after tuning; 2 flaky" in Text(write_report(run).read_text(encoding="utf-8")).text
    assert found["rows"][1]["cells"]["base"]["said"] == "passed, timeout on +"
    (program,) = found["programs"]
    assert program["sides"][0]["program"] == "    return 1"


def test_more_samples_and_further_temperatures_are_told_with_their_intervals(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 30, tasks=3)
    at = {"0.8": {"pass@1": 0.25, "interval": [0.1, 0.4], "pass@10": 0.75, "pass@10_interval": [0.5, 0.9], "tasks": 3, "passed": 2}}
    for side in ("base", "tuned"):
        file = run / "evaluate" / side / "results.json"
        results = json.loads(file.read_text()) | {"temperature": 0.2, "samples_per_task": 10}
        results["humaneval"] |= {"pass@10": 0.5, "pass@10_interval": [0.2, 0.7]} | ({"temperatures": at} if side == "tuned" else {})
        file.write_text(json.dumps(results))
    page = Text(write_report(run).read_text(encoding="utf-8")).text
    told = json.loads((run / "report.json").read_text())["evaluation"]
    assert {one["title"]: (one["base"], one["tuned"], one["control"]) for one in told["further"]} == {
        "HumanEval pass@10 at temperature 0.2": (*[{"value": 0.5, "interval": [0.2, 0.7], "tasks": 3}] * 2, None),
        "HumanEval pass@1 at temperature 0.8": (None, {"value": 0.25, "interval": [0.1, 0.4], "tasks": 3}, None),
        "HumanEval pass@10 at temperature 0.8": (None, {"value": 0.75, "interval": [0.5, 0.9], "tasks": 3}, None),
    }
    assert (told["models"]["tuned"]["temperature"], told["models"]["tuned"]["samples_per_task"]) == (0.2, 10)
    assert re.search(r"pass@10 at temperature 0\.8.{1,9}75\.0.{1,9}50\.0, 90\.0", page), page[page.find("pass@10 at temperature 0.8"):][:120]


@pytest.mark.parametrize("gone", ["models", "metric"])
def test_what_the_control_alone_has_is_told_of_it_alone(run: Path, gone: str, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    for side, stage in (("base", "evaluate_base"), ("tuned", "evaluate_tuned")):
        file = folder / "evaluate" / side / "results.json"
        if gone == "models":
            shutil.rmtree(file.parent)
            (folder / "markers" / f"{stage}.json").unlink()
        else:
            results = json.loads(file.read_text())
            del results["humaneval"]["pass@1"]
            file.write_text(json.dumps(results))
    write_report(folder)
    told = Text((folder / "report.html").read_text(encoding="utf-8")).text
    assert "control model only, 95 % interval" in told
    assert "50.0 % [42.0, 60.0] % (control model only)" in dict(main_figures(gather(folder)))["HumanEval pass@1"]


def layouts(lengths: list[int], capacity: int, size: int) -> dict[str, Any]:
    report = pack_report(lengths, capacity, size, seed=5)
    return batching(report["batches"], capacity)


def test_the_picture_is_what_compare_layouts_counts() -> None:
    lengths = np.random.default_rng(2).integers(10, 400, 32).tolist()
    told = compare_layouts(lengths, 512, 8, seed=5)
    found = layouts(lengths, 512, 8)
    assert set(found) < set(told)
    for name, batches in found.items():
        assert len(batches) == 4
        assert sorted(size for batch in batches for row in batch.rows for _, size in row) == sorted(lengths)
        assert drawn_rate(batches) == pytest.approx(told[name]["padding_rate"])
        assert sum(len(batch.rows) for batch in batches) == told[name]["rows"]
        assert all(sum(size for _, size in row) <= batch.width <= 512 for batch in batches for row in batch.rows)


@pytest.mark.parametrize(("records", "size", "drawn"), [(9, 16, [9]), (500, 16, [16, 16]), (500, 100, [32]), (500, 1, [1] * 32), (3, 1, [1] * 3)])
def test_the_picture_is_bounded(records: int, size: int, drawn: list[int]) -> None:
    lengths = np.random.default_rng(0).integers(1, 2000, records).tolist()
    report = pack_report(lengths, 2048, size)
    assert [len(batch) for batch in report["batches"]] == drawn
    shown = pictures(report)
    assert [one["name"] for one in shown] == ["pad to max", "dynamic padding", "Dynamic Pack"]
    assert sum(len(one["picture"]) for one in shown) < 40_000


def test_the_page_states_the_padding_of_each_and_an_older_run_has_no_picture(run: Path, tmp_path: Path) -> None:
    figures = gather(run)
    page = render(figures)
    assert page.count('<svg class="rows"') == 3
    for one in pictures(figures["packing"]):
        assert re.search(rf"{one['name'][1:]}: {one['rows']} rows?, \S+ % padding here, \S+ % over all records", Text(page).text.replace("\xa0", " "))
    del figures["packing"]["batches"]
    assert '<svg class="rows"' not in render(figures)


def test_tasks_and_picture_in_a_browser(run: Path) -> None:
    """Hostile programs and messages run nowhere; nothing is asked of the network, nothing is wider than a telephone."""
    pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    found = look(write_report(run))
    assert [found[key] for key in ("errors", "requests", "wide", "serious", "disordered")] == [[]] * 5
    assert found["controls"]["opened"] > PROGRAMS
    assert not found["controls"]["wide_when_opened"]

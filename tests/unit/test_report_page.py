"""The page of the report: whole and partial runs, hostile text, and no request to any network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact.reporting import gather, html, main_figures, write_report
from codeact.reporting.browser import browser
from codeact.reporting.html import render
from codeact.reporting.page import safe_json
from codeact.reporting.plot import linear
from codeact.reporting.wording import duration
from scripts.look_at_page import look
from tests.helpers import drawn
from tests.helpers.report_run import DAY, HOSTILE, STAGES, make_run, metrics, plain_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_run(tmp_path_factory.mktemp("report") / "whole run")


@pytest.fixture(scope="module")
def figures(run: Path) -> dict[str, Any]:
    return gather(run)


class Page(HTMLParser):
    """Elements and the text of scripts, as a browser's tokenizer sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.scripts[-1][1] == "":
            self.scripts[-1] = (self.scripts[-1][0], data)
        elif not self.elements or self.elements[-1][0] not in ("script", "style"):
            self.text += data


def test_no_claim_from_models_measured_differently(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 30, gain=0.3)
    assert metrics(run)["bits_per_byte"]["verdict"] == "better"
    tuned = run / "evaluate" / "tuned" / "results.json"
    tuned.write_text(json.dumps(json.loads(tuned.read_text()) | {"prompting": "base"}))
    assert metrics(run)["bits_per_byte"]["verdict"] == "no clear difference"
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "prompting: instruct for the base model, base for the tuned model" in page.text
    assert "Better after tuning" not in page.text


def test_whole_page(run: Path, figures: dict[str, Any]) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "whole run" in page.text
    assert DAY in page.text
    assert figures["headline"]["selection"] in page.text.replace("\xa0", " ")
    assert "Better after tuning" in page.text  # bits per byte
    assert "No clear difference" in page.text  # pass@1
    assert "was not run" not in page.text
    assert "seeded random sample" not in page.text
    for setting in ("sample.ratio", "model.name", "python", "3.12.1", "print-sample", "<b>cpu</b>"):
        assert setting in page.text
    charts = [attrs["aria-label"] or "" for _, attrs in page.elements if attrs.get("class") == "chart"]
    assert [label.split()[0] for label in charts] == ["Stacked", "Map", "IFD", "Training"]
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert tables == sum(tag == "caption" for tag, _ in page.elements) > 8
    assert all(attrs["aria-label"] for _, attrs in page.elements if attrs.get("role") == "img")
    assert sorted(file.name for file in run.iterdir() if file.name.startswith((".", "report"))) == [
        "report.html",
        "report.json",
    ]


def test_report_is_the_same_when_made_again(run: Path) -> None:
    first = write_report(run).read_bytes(), (run / "report.json").read_bytes()
    assert (write_report(run).read_bytes(), (run / "report.json").read_bytes()) == first


def test_json_holds_the_figures_and_no_nan(run: Path, figures: dict[str, Any]) -> None:
    write_report(run)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads((run / "report.json").read_text(encoding="utf-8"), parse_constant=refuse) == figures


def test_page_asks_the_network_for_nothing(run: Path) -> None:
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    for tag, attrs in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "img")
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attrs.get(name) or "#").startswith(("#", "data:")), (tag, attrs)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(
        attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    code = [body for attrs, body in page.scripts if attrs.get("type") != "application/json"]
    assert allowed == [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in code]
    assert len(code) == 1


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "<b>run</b>", [f"{HOSTILE} {i}" for i in range(40)], [HOSTILE] * 40, k=2)
    plain = make_run(tmp_path / "plain", [f"Sort {i}" for i in range(40)], ["x" * len(HOSTILE)] * 40, k=2)
    honest = Page(write_report(plain).read_text(encoding="utf-8"))
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in honest.elements)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert f"{HOSTILE} 0"[:60] in page.text
    assert "<b>run</b>" in page.text
    data = {attrs["id"]: body for attrs, body in page.scripts if attrs.get("type") == "application/json"}
    assert set(data) == {"data-clusters", "data-records"}
    assert not any(character in body for body in data.values() for character in "<>&\u2028\u2029")
    assert [text[:40] for text in json.loads(data["data-clusters"])["instruction"]] == [HOSTILE[:40]] * 39
    assert HOSTILE in json.loads(data["data-records"])["rows"][1][-2]


def test_safe_json_is_still_the_same_json() -> None:
    value = {"text": HOSTILE, "list": [1.5, None, True, "\u2028"]}
    assert json.loads(safe_json(value)) == value


@pytest.mark.parametrize("until", ["records", "cluster", "sample", "evaluate_base"])
def test_partial_run(tmp_path: Path, until: str) -> None:
    run = plain_run(tmp_path / "run", 60, until=until)
    page = Page(write_report(run).read_text(encoding="utf-8"))
    figures = json.loads((run / "report.json").read_text(encoding="utf-8"))
    done = STAGES[: STAGES.index(until) + 1]
    assert [stage["stage"] for stage in figures["stages"] if stage["status"] == "done"] == list(done)
    sections = {
        "clusters": "cluster",
        "ifd": "score",
        "length": "sample",
        "packing": "pack",
        "training": "train",
        "evaluation": "evaluate_base",
    }
    for section, stage in sections.items():
        assert (figures[section] is not None) is (stage in done)
        assert (f"the stage {stage} was not run" in " ".join(page.text.split())) is (stage not in done)
    assert ("the stage evaluate_tuned was not run" in page.text) is (until == "evaluate_base")
    assert (figures["headline"]["selection"] is not None) is ("sample" in done)
    assert not any("better" in value for _, value in main_figures(figures))


def test_a_stage_without_its_marker_or_with_older_inputs_is_left_out(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 60)
    marker = run / "markers" / "sample.json"
    marker.write_text(marker.read_text().replace('"fingerprint": "print-sample"', '"fingerprint": "another"'))
    status = {stage["stage"]: stage["status"] for stage in gather(run)["stages"]}
    assert {name for name, state in status.items() if state == "outdated"} == {"pack", "train", "evaluate_tuned"}
    assert gather(run)["evaluation"]["metrics"][0]["verdict"] is None  # nothing to compare with
    (run / "markers" / "train.json").unlink()
    figures = gather(run)
    assert {stage["stage"]: stage["status"] for stage in figures["stages"]}["train"] == "unfinished"
    assert figures["training"] is None
    assert "was started but has not finished" in write_report(run).read_text(encoding="utf-8")


def test_selection_without_scores_or_clusters(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 60, until="sample")
    for name in ("embed", "cluster", "score"):
        (run / f"{name}.parquet").unlink()
        (run / "markers" / f"{name}.json").unlink()
    marker = run / "markers" / "sample.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"inputs": {"curate": "print-curate"}}))
    table = pq.read_table(run / "sample.parquet")
    empty = pa.nulls(table.num_rows, pa.float64())
    for name in ("ifd", "cutoff"):
        table = table.set_column(table.schema.get_field_index(name), name, empty)
    pq.write_table(table, run / "sample.parquet")
    figures = gather(run)
    assert figures["ifd"] is figures["clusters"] is figures["length"] is None
    assert [step["name"] for step in figures["funnel"]] == ["records", "curated", "selected"]
    assert "was not run" in write_report(run).read_text(encoding="utf-8")


def test_scatter_is_a_seeded_sample_of_a_large_pool(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 5300, until="sample")
    figures = gather(run)
    points = figures["clusters"]["points"]
    assert (points["shown"], points["total"]) == (2000, 5299)
    assert {len(points[name]) for name in ("x", "y", "cluster", "ifd", "selected", "instruction")} == {2000}
    assert gather(run) == figures
    assert "sample of 2,000 of 5,299 records" in " ".join(write_report(run).read_text(encoding="utf-8").split())


def test_a_large_run_gives_a_sample_of_its_records_and_says_so(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run", 5300, until="sample")
    page = Page(write_report(run).read_text(encoding="utf-8"))
    records = browser(run)
    assert records is not None
    assert (records["shown"], records["total"]) == (2000, 5301)
    assert "2,000 of 5,301 rows: those around each cut" in " ".join(page.text.split())
    rows = [dict(zip(records["columns"], row, strict=True)) for row in records["rows"]]
    places = pq.read_table(run / "sample.parquet").to_pylist()
    for cluster in range(5):
        ranked = [row for row in places if row["cluster"] == cluster and row["rank"] is not None]
        quota = sum(row["selected"] for row in ranked)
        near = {row["id"] for row in ranked if quota - 10 < row["rank"] <= quota + 10}
        assert len(near) == 20
        assert near <= {row["id"] for row in rows}
    (copy,) = [row for row in rows if row["reason"] == "duplicate"]
    assert copy["other"] == pq.read_table(run / "records.parquet")["messages"][0].as_py()[0]["content"][:300]


def test_the_page_says_what_the_selection_has_seen_of_the_pool(tmp_path: Path) -> None:
    run = plain_run(tmp_path / "run")
    whole = {"mean": 0.25, "p95": 0.5}
    part = {"mean": 0.3, "p95": 0.6, "mean_interval": [0.2951, 0.3049], "unselected_sampled": 20_000, "upper_bound": False}
    seen = {"selection": {"distance": part, "warnings": ["language rust"]}, "random": {"distance": whole}}
    (run / "coverage.json").write_text(json.dumps(seen), encoding="utf-8")
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    told = [value for name, value in main_figures(gather(run)) if name.startswith(("distance", "short"))]
    assert len(told) == 3
    assert all(value in text for value in told), told


def test_settings_that_differ_come_first_and_the_rest_is_folded(run: Path, figures: dict[str, Any]) -> None:
    changed = figures["settings"]["changed"]
    assert changed["model.name"] == "demo"
    assert changed["cluster.k"] == 5
    assert "sample.ratio" not in changed  # 0.4 is the default
    text = write_report(run).read_text(encoding="utf-8")
    assert text.index("Settings that differ from the defaults") < text.index("<summary>The whole recipe</summary>")
    assert "model SmolLM2-135M-Instruct (demo)" in Page(text).text


def test_the_caption_of_the_loss_is_its_curve(run: Path, figures: dict[str, Any]) -> None:
    curve = figures["training"]["curve"]
    said = f"Training loss, {curve['loss'][0]:.3f} at step {curve['step'][0]}, {curve['loss'][-1]:.3f} at step {curve['step'][-1]}"
    assert said in " ".join(Page(write_report(run).read_text(encoding="utf-8")).text.split())


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (0.42, "0.4 s"), (59.97, "1 min 0 s"), (75, "1 min 15 s"), (7380, "2 h 3 min")])
def test_times_have_units(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_the_page_is_light(run: Path, figures: dict[str, Any]) -> None:
    assert len(render(figures).encode()) < 300_000
    assert write_report(run).stat().st_size < 1_000_000


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_marks_stand_out_from_the_page_in_both_schemes() -> None:
    style = (Path(html.__file__).parent / "page.css").read_text(encoding="utf-8")
    schemes = [one for one in re.findall(r":root \{(.*?)\}", style, flags=re.S) if "--page" in one]
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        page = luminance(colours["page"])
        for name in ("selected", "rest", "rest-point", "alarm", "good", "bad", "ink", "muted", *(f"c{n}" for n in range(10))):
            low, high = sorted((page, luminance(colours[name])))
            assert (high + 0.05) / (low + 0.05) >= (4.5 if name in ("ink", "muted", "good", "bad") else 3.0), name


def test_in_a_browser(tmp_path: Path) -> None:
    """No error, no request, no sideways scrolling, and every control works; hostile text runs nowhere."""
    pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("no chromium")
    run = make_run(tmp_path / "<b>run</b>", [f"{HOSTILE} {i} {'word' * 60}" for i in range(40)], [HOSTILE] * 40, k=2)
    found = look(write_report(run))
    assert [found[key] for key in ("errors", "requests", "wide", "serious", "disordered")] == [[]] * 5
    assert "lesser" in found  # axe-core was there
    used = found["controls"]
    assert (used["all"], used["found"]) == ("41 records", "0 records")
    assert used["kept_only"]
    assert used["columns"] == 2
    assert used["record_read"].startswith("Cluster 0, ")
    assert used["cluster_listed"] == "0"
    assert used["printed"] > 10_000
    assert used["paper"] == "rgb(252, 252, 250)"  # in the dark too: paper is white, and backgrounds are often left out


@pytest.mark.parametrize("high", [1, 2, 3, 7, 40, 2000])
def test_steps_and_records_are_counted_in_whole_ones(high: int) -> None:
    ticks = linear(1, high, "optimizer step", whole=True).ticks
    assert ticks
    assert [shown for _, shown in ticks] == [f"{value:,.0f}" for value, _ in ticks]
    assert all(value == int(value) for value, _ in ticks)


def test_the_charts_are_the_tables(run: Path, figures: dict[str, Any]) -> None:
    """What is read off the pictures, by the labels of their axes, is what the run's files hold."""
    found = drawn.charts(write_report(run).read_text(encoding="utf-8"))
    by = {name: next(chart for label, chart in found.items() if label.startswith(name)) for name in ("Stacked", "Map", "IFD against", "Training")}
    score, sample, cluster = (
        {row["id"]: row for row in pq.read_table(run / f"{name}.parquet").to_pylist()} for name in ("score", "sample", "cluster")
    )  # fmt: skip

    shown = sorted((kind == "s-selected", tokens, ifd) for kind, tokens, ifd in drawn.dots(by["IFD against"], log=True) if kind.startswith("s-"))
    table = sorted((sample[i]["selected"], row["response_tokens"], row["ifd"]) for i, row in score.items() if row["status"] == "ok")
    assert [row[0] for row in shown] == [row[0] for row in table]
    np.testing.assert_allclose(sorted(row[1] for row in shown), sorted(row[1] for row in table), rtol=0.02)
    np.testing.assert_allclose(sorted(row[2] for row in shown), sorted(row[2] for row in table), atol=0.01)

    shown_places = sorted((round(x, 1), round(y, 1)) for _, x, y in drawn.dots(by["Map"]))
    span = max(abs(row["x"]) for row in cluster.values())
    np.testing.assert_allclose(sorted(x for x, _ in shown_places), sorted(row["x"] for row in cluster.values()), atol=0.01 * span + 0.06)

    x, y = drawn.scale(by["Stacked"], "xt", "left"), drawn.scale(by["Stacked"], "yt", "bottom")
    bars = re.findall(r'<rect class="b-(\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)">', by["Stacked"])
    assert {kind for kind, *_ in bars} == {"selected", "rest"}
    edges = np.array(figures["ifd"]["edges"])  # whether they hold every record once is tested elsewhere
    for kind, left, width, height in bars:
        low, high = (int(np.abs(edges - x(float(at))).argmin()) for at in (left, float(left) + float(width)))
        above = np.inf if high == len(edges) - 1 else edges[high]
        mine = [row for i, row in score.items() if row["status"] == "ok" and sample[i]["selected"] is (kind == "selected")]
        assert y(float(height)) - y(0) == pytest.approx(sum(edges[low] <= row["ifd"] < above for row in mine), abs=0.05)

    curve = figures["training"]["curve"]
    steps = [(x, y) for _, x, y in drawn.dots(by["Training"])]
    np.testing.assert_allclose(steps, list(zip(curve["step"], curve["loss"], strict=True)), rtol=0.01, atol=0.01)

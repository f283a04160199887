"""`codeact explain` and `codeact diff` on a whole selection: what they say is true of the tables, and what they propose does what it says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import codeact
from codeact import api
from codeact.errors import InputError
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

RATIO = 0.3
KEYS = {"model.max_length": 512, "model.template": "question", "model.dtype": "float32", "cluster.k": 3, "sample.unit": "records"}


def select(folder: Path, model: Path, embedder: Path, **settings: Any) -> api.Selection:
    keys = {**KEYS, "sample.strategy": "cdas", **settings}
    return codeact.select(
        str(folder / "pool.jsonl"), model=str(model), embedder=str(embedder), ratio=RATIO,
        run_dir=folder / str(settings.get("sample.strategy", "cdas")), settings=keys,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explain")
    rows = [{**row, "id": f"rec-{n:03d}"} for n, row in enumerate(pool_rows(60))]
    rows.append({"id": "broken", "instruction": "Break it", "output": "```python\ndef f(:\n    return 1\n```"})
    rows.append({**rows[0], "id": "twin"})
    rows.append({"id": "empty", "instruction": "say nothing", "output": ""})
    rows.append({"id": "zh", "instruction": "写一个排序列表的函数", "output": "def 排序(列表):\n    return sorted(列表)"})
    write_lines(made / "pool.jsonl", rows)
    return made


@pytest.fixture(scope="module")
def chosen(folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> api.Selection:
    return select(folder, tiny_model_dir, tiny_embedder_dir)


def test_the_sentence_says_what_the_tables_say(chosen: api.Selection) -> None:
    rows = chosen.table.to_pylist()
    for row in rows[::7]:
        mates = [r for r in rows if r["cluster"] == row["cluster"]]
        said = chosen.explain(row["id"])["sentence"]
        assert said.startswith("kept: " if row["selected"] else "dropped: ")
        if row["rank"] is None:
            assert re.search(r"IFD 1\.\d+ >= 1|no score", said)
            continue
        place = re.search(r"rank (\d+) of (\d+) in cluster (\d+)(?: '.+')?, quota (\d+); IFD ([\d.]+) (\S+) cut ([\d.]+)", said)
        assert place, said
        assert [int(n) for n in place.group(1, 2, 3, 4)] == [
            row["rank"], sum(r["rank"] is not None for r in mates), row["cluster"], sum(r["selected"] for r in mates)
        ]  # fmt: skip
        assert place[6] == (">=" if row["selected"] else "<")
        assert float(place[5]) == pytest.approx(row["ifd"], abs=5e-4)
        assert float(place[7]) == pytest.approx(row["cutoff"], abs=5e-4)


def test_the_ratio_that_it_names_changes_the_fate_and_the_next_one_does_not(
    chosen: api.Selection, folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    dropped = next(r for r in chosen.table.to_pylist() if not r["selected"] and r["rank"] is not None)
    found = chosen.explain(dropped["id"])
    (ratio,) = [float(c["set"].partition("=")[2]) for c in found["changes"] if c["set"].startswith("sample.ratio")]
    assert found["sentence"].endswith(f"kept at ratio {ratio:g}")
    for at, kept in ((ratio, True), (round(ratio - 0.01, 2), False)):
        again = codeact.select(
            str(folder / "pool.jsonl"), model=str(tiny_model_dir), embedder=str(tiny_embedder_dir), ratio=at, run_dir=folder / "again",
            strategy="cdas", settings=KEYS,
        )  # fmt: skip
        assert (dropped["id"] in {row["id"] for row in again}) is kept


def test_a_strategy_that_it_names_would_keep_the_record(
    chosen: api.Selection, folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    for row in chosen.table.to_pylist():
        sets = [c["set"] for c in chosen.explain(row["id"])["changes"]]
        if not row["selected"] and "sample.strategy=longest" in sets:
            break
    else:
        pytest.fail("no record of this pool is longest and not taken")
    other = select(folder, tiny_model_dir, tiny_embedder_dir, **{"sample.strategy": "longest"})
    assert row["id"] in {one["id"] for one in other}
    found = codeact.diff(chosen.run_dir, other.run_dir)
    ours, theirs = {r["id"] for r in chosen}, {r["id"] for r in other}
    assert found["settings"] == {"sample.strategy": ["cdas", "longest"]}
    assert {r["id"] for r in found["only_first"]["records"]} == ours - theirs
    assert {r["id"] for r in found["only_second"]["records"]} == theirs - ours
    assert found["overlap"] == pytest.approx(len(ours & theirs) / len(ours | theirs))
    assert sum(found["only_first"]["reasons"].values()) == found["only_first"]["count"]
    told = cli("diff", str(chosen.run_dir), str(other.run_dir), "--show", "1")
    assert "sample.strategy: cdas | longest" in told.stdout
    assert codeact.diff(chosen.run_dir, chosen.run_dir)["only_first"]["count"] == 0


def test_fates_before_the_selection(chosen: api.Selection) -> None:
    told = {name: chosen.explain(name)["sentence"] for name in ("broken", "twin", "empty")}
    assert told["broken"].startswith("dropped: by curate, syntax error")
    assert told["twin"].startswith("dropped: by curate, duplicate of rec-000")
    assert told["empty"].startswith("dropped: not read, empty")
    assert {"set": "curate.dedup=false", "then": "not dropped there", "tried": False} in chosen.explain("twin")["changes"]


def test_ways_to_name_a_record(chosen: api.Selection) -> None:
    assert chosen.explain(row=5)["id"] == "rec-004"
    assert chosen.explain("zh")["id"] == chosen.explain(find="排序列表")["id"] == "zh"
    assert chosen.explain("rec-01" + "3")["id"] == "rec-013"
    assert chosen.explain("brok")["id"] == "broken"
    for wrong, says in (
        ({"record_id": "rec-01"}, "10 records have an id that begins"),
        ({"row": 999}, "no row 999; the data has rows 1 to 64"),
        ({"find": "no such words"}, "no record has"),
        ({"record_id": "zh", "row": 1}, "one of the three"),
        ({}, "one of the three"),
    ):
        with pytest.raises(InputError, match=says):
            codeact.explain(chosen.run_dir, **wrong)  # type: ignore[arg-type]


def test_neighbours_are_the_nearest_embeddings(chosen: api.Selection) -> None:
    table = pq.read_table(chosen.run_dir / "embed.parquet").to_pylist()
    points = {row["id"]: np.array(row["embedding"]) for row in table}
    near = chosen.explain("rec-013")["neighbours"]
    cosines = {i: float(p @ points["rec-013"]) for i, p in points.items() if i != "rec-013"}
    assert [n["cosine"] for n in near] == pytest.approx(sorted(cosines.values(), reverse=True)[:5], abs=1e-3)
    assert all(cosines[n["id"]] == pytest.approx(n["cosine"], abs=1e-3) for n in near)


def test_the_tokens_spell_the_answer_and_their_nats_make_the_ifd(chosen: api.Selection) -> None:
    for name in ("rec-013", "zh"):
        found = chosen.explain(name, tokens=True)
        assert found["record"]["messages"][-1]["content"] in "".join(one["text"] for one in found["tokens"])
        gain = np.mean([one["with"] - one["without"] for one in found["tokens"]])
        assert np.exp(gain) == pytest.approx(found["score"]["ifd"], rel=1e-4)


def test_the_tokens_are_those_that_were_scored_by_the_model_that_scored(folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model_dir, tmp_path / "short")
    settings = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 48}))
    run = select(folder, model, tiny_embedder_dir, **{"sample.strategy": "cherry"})
    cut = next(row["id"] for row in pq.read_table(run.run_dir / "score.parquet").to_pylist() if row["status"] == "truncated")
    found = run.explain(cut, tokens=True)
    assert len(found["tokens"]) == found["score"]["response_tokens"]
    gain = np.mean([one["with"] - one["without"] for one in found["tokens"]])
    assert gain == pytest.approx(found["score"]["nll_cond"] - found["score"]["nll_uncond"], abs=1e-4)
    (model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 96}))
    with pytest.raises(InputError, match="are not those that scored"):
        run.explain(cut, tokens=True)


def test_the_terminal_says_the_sentence_first_and_names_clusters(chosen: api.Selection, folder: Path) -> None:
    told = cli("explain", str(chosen.run_dir), "--row", "5")
    assert told.stdout.splitlines()[0] == chosen.explain("rec-004")["sentence"]
    assert "row 5 of the data, id rec-004" in told.stdout


def test_the_terminal_tells_what_became_of_the_record_apart_from_how_it_was_scored(chosen: api.Selection) -> None:
    row = next(row for row in chosen.table.to_pylist() if row["reason"] == "below cut")
    lines = [" ".join(line.split()) for line in cli("explain", str(chosen.run_dir), row["id"]).stdout.splitlines()]
    assert {"status dropped", "reason below cut", "score status ok"} <= set(lines)
    assert "status ok" not in lines


def test_the_terminal_groups_settings_and_keeps_to_its_width(chosen: api.Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = next(row for row in chosen.table.to_pylist() if row["reason"] == "below cut")
    told = cli("explain", str(chosen.run_dir), row["id"]).stdout
    head, figures = told.split("\nnearest records", 1)
    assert all(len(line) <= 80 for line in head.splitlines()[2:] + figures.partition("\n\n")[0].splitlines())
    assert "would be kept with" in head
    settings = [change["set"] for change in chosen.explain(row["id"])["changes"]]
    assert settings
    assert all(setting.partition("=")[2] in head for setting in settings)
    assert f"{'nll_cond':<15} " in figures
    assert "loss of the answer given the instruction, nats a token" in figures

"""`codeact compare` end to end on a random 2-layer model: 3 strategies x 1 rate x 2 seeds, killed in between and resumed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.comparison.grid import load_comparison
from codeact.comparison.run import plan_comparison
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started

CELLS = 6
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    write_lines(folder / "pool.jsonl", pool_rows(48))
    file = folder / "compare.yaml"
    file.write_text(
        f"""
run_dir: {folder / "runs"}
seeds: [0, 1]
rates: [0.4]
units: [tokens]
held_out: 8
strategies: [random, longest, cdas]
recipe:
  model: {{name: {tiny_model_dir}, max_length: 512, template: question, dtype: float32}}
  data: {{source: {folder / "pool.jsonl"}}}
  embed: {{model: {tiny_embedder_dir}}}
  cluster: {{k: 3}}
  train: {{epochs: 1, batch_size: 4, learning_rate: 1.0e-3, warmup_steps: 0}}
  evaluate: {{tasks: [humaneval], generate_limit: 0, bits_limit: 10}}
""",
        encoding="utf-8",
    )
    return file


def results(grid: Path) -> dict[str, dict[str, Any]]:
    return {p.parent.name: json.loads(p.read_text()) for p in (grid.parent / "runs" / "cells").glob("*/result.json")}


def test_killed_and_resumed(grid: Path) -> None:
    running = Started("-m", "codeact", "compare", str(grid))
    deadline = time.monotonic() + 600
    while len(results(grid)) < 2 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = results(grid)
    assert 2 <= len(before) < CELLS

    done = codeact("compare", str(grid), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    after = results(grid)
    assert summary["cells"] == {"planned": CELLS, "done": CELLS}
    assert len(after) == CELLS
    assert {name: after[name] for name in before} == before  # nothing was trained twice
    rows = {row["entrant"]: row for row in summary["rows"]}
    assert set(rows) == {"random", "longest", "cdas"}
    assert set(rows["cdas"]["metrics"]) == {"humaneval bits_per_byte", "held-out loss"}
    figures = rows["cdas"]["metrics"]["humaneval bits_per_byte"]
    assert figures["interval"][0] <= figures["value"] <= figures["interval"][1]
    figures = rows["cdas"]["metrics"]["held-out loss"]
    assert figures["interval"] is None  # of eight records
    assert figures["minus_against"]["seeds"] == 2
    assert figures["minus_base"]["difference"] < 0  # it learnt something
    thirds = summary["by_length"]
    assert {metric: [band["items"] for band in bands] for metric, bands in thirds.items()} == {"humaneval bits_per_byte": [4, 3, 3], "held-out loss": [3, 3, 2]}
    lengths = [end for band in thirds["humaneval bits_per_byte"] for end in band["characters"]]
    assert lengths == sorted(lengths)
    page = (grid.parent / "runs" / "compare.html").read_text(encoding="utf-8")
    assert "held-out loss" in page
    assert "humaneval bits_per_byte by length" in page

    spent = [row["response_tokens"] for row in rows.values()]
    assert max(spent) - min(spent) < 0.2 * max(spent)
    assert rows["longest"]["records"] < rows["random"]["records"]


def test_the_parts_are_shared_and_apart(grid: Path) -> None:
    """After the run above: one scoring, one counting, no held-out instruction in any pool, no model left behind."""
    root = grid.parent / "runs"
    assert (root / "compare.json").exists(), "the comparison above did not finish"
    markers = {p.parents[1].name: json.loads(p.read_text()) for stage in ("score", "lengths") for p in root.glob(f"cells/*/markers/{stage}.json")}
    assert len(markers) == CELLS
    assert {name for name, m in markers.items() if m["stage"] == "score"} == {name for name in markers if name.startswith("cdas")}  # no other reads a score
    assert {m["shared_from"] for m in markers.values()} == {"shared"} or all("shared_from" in m for m in markers.values())
    pool, kept_out = ((root / name).read_text().splitlines() for name in ("pool.jsonl", "held_out.jsonl"))
    assert (len(pool), len(kept_out)) == (40, 8)
    assert not set(pool) & set(kept_out)
    assert not list(root.glob("cells/*/train/model"))


def test_two_processes_share_the_trainings(grid: Path) -> None:
    root, fewer = grid.parent / "both", "strategies=[random,cdas]"
    first, second = (Started("-m", "codeact", "compare", str(grid), f"run_dir={root}", fewer) for _ in range(2))
    told = [process.communicate() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    begun = [[line.rpartition(": ")[2] for line in err.splitlines() if line.startswith("cell ")] for _, err in told]
    assert all(begun)
    assert sorted(begun[0] + begun[1]) == sorted(p.parent.name for p in root.glob("cells/*/result.json"))  # once each
    assert len(begun[0] + begun[1]) == 4
    assert sum("score: " in err and "score: done before" not in err for _, err in told) == 1  # the other waited for it
    assert json.loads((root / "compare.json").read_text())["cells"]["done"] == 4


def test_two_processes_share_the_pools(grid: Path) -> None:
    root = grid.parent / "both-pools"
    changes = (
        f"run_dir={root}",
        "pool_per_seed=true",
        "strategies=[random]",
        "units=[records]",
        "recipe.data.limit=12",
    )
    running = [Started("-m", "codeact", "compare", str(grid), *changes) for _ in range(2)]
    told = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    made = [line for err in told for line in err.splitlines() if line.startswith("lengths: status")]
    assert len(made) == 2  # each pool once, by either; no record is scored
    assert sum("base: " in err for err in told) == 1
    assert len(list(root.glob("cells/*/result.json"))) == 2


def test_a_second_run_trains_nothing_and_another_grid_keeps_what_it_can(grid: Path) -> None:
    before = {
        name: (grid.parent / "runs" / "cells" / name / "result.json").stat().st_mtime_ns for name in results(grid)
    }
    assert len(before) == CELLS
    again = codeact("compare", str(grid), "--minutes", "0", "rates=[0.4,0.5]")
    assert again.returncode == 0, again.stderr
    assert "6 cells left" in again.stderr
    assert {n: (grid.parent / "runs" / "cells" / n / "result.json").stat().st_mtime_ns for n in results(grid)} == before


def test_the_plan_says_what_is_left_and_writes_nothing(grid: Path) -> None:
    root = grid.parent / "planned"
    before = codeact("compare", str(grid), f"run_dir={root}", "--plan", "--json")
    assert before.returncode == 0, before.stderr
    assert not root.exists()
    found = json.loads(before.stdout)
    assert (found["planned"], found["done"], found["pools"], found["seconds_left"]) == (CELLS, 0, 1, None)
    # three strategies and two seeds at 40 % of what the whole pool takes
    whole = json.loads(codeact("compare", str(grid), f"run_dir={root}", "strategies=[random,full]", "seeds=[0]",
                               "rates=[0.5]", "--plan", "--json").stdout)  # fmt: skip
    assert found["train_tokens"] == pytest.approx(CELLS * 0.4 / 1.5 * whole["train_tokens"], rel=0.01)
    assert found["longest_flops"] == pytest.approx(0.4 * whole["longest_flops"], rel=0.01)

    after = codeact("compare", str(grid), "rates=[0.4,0.5]", "--plan")
    assert after.returncode == 0, after.stderr
    assert f"trainings       {2 * CELLS}, {CELLS} of them done" in after.stdout
    assert "this machine" in after.stdout

    told = [codeact("compare", str(grid), f"recipe.train.{key}", "--plan").stdout for key in ("save_steps=7", "epochs=2")]
    assert [f"trainings       {CELLS}, {done} of them done" in out for out, done in zip(told, (CELLS, 0), strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("stages", "kept"),
    [
        (("records", "curate", "score", "sample", "train", "evaluate"), 0),
        (("embed", "cluster"), 4),  # random and longest read neither
        (("refine", "judge", "tags", "target", "pack"), CELLS),
    ],
)
def test_cells_of_another_version_of_a_stage_are_done_again(
    grid: Path, monkeypatch: pytest.MonkeyPatch, stages: tuple[str, ...], kept: int
) -> None:
    comparison = load_comparison(grid)
    assert plan_comparison(comparison).done == CELLS
    for stage in stages:
        with monkeypatch.context() as changed:
            changed.setattr(f"codeact.stages.{stage}.VERSION", 99)
            assert plan_comparison(comparison).done == kept, stage
    assert plan_comparison(comparison).done == CELLS


@pytest.mark.parametrize(
    "wrong", ["recipe.evaluate.tasks=[humanevil]", "recipe.data.source=none.jsonl", "strategies=[random,alpagasus]"]
)
def test_what_a_late_stage_would_miss_is_said_before_anything_is_made(grid: Path, wrong: str) -> None:
    root = grid.parent / "refused"
    refused = codeact("compare", str(grid), f"run_dir={root}", wrong)
    assert refused.returncode == 2, refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not root.exists()


def test_committed_values_stand_for_the_trainings(grid: Path) -> None:
    """What experiments/compare_cells.py kept of a comparison is all that another one needs to go on where it ended."""
    file, root = grid.parent / "cells.json", grid.parent / "restored"
    for words in (("save", grid.parent / "runs", file), ("restore", file, root)):
        script = Started("-m", "experiments.compare_cells", *map(str, words))
        told = script.communicate()
        assert script.returncode == 0, told
    done = codeact("compare", str(grid), f"run_dir={root}", "--minutes", "0", "--json")
    assert done.returncode == 0, done.stderr
    before, after = json.loads((grid.parent / "runs" / "compare.json").read_text()), json.loads(done.stdout)
    assert after["cells"] == {"planned": CELLS, "done": CELLS}
    assert not list(root.glob("cells/*/train"))
    for old, new in zip(before["rows"], after["rows"], strict=True):
        for metric, figures in old["metrics"].items():
            assert new["metrics"][metric]["value"] == pytest.approx(figures["value"], abs=1e-6)


def test_a_stricter_pool_is_not_scored_again(grid: Path) -> None:
    """An entrant with other curation: its pool is a part of the shared one, and so are its scores."""
    strict = "strategies=[random,longest,cdas,{name: strict, strategy: cdas, set: {curate.dedup: false}}]"
    done = codeact("compare", str(grid), strict, "seeds=[0]", "--json")
    assert done.returncode == 0, done.stderr
    root = grid.parent / "runs" / "cells"
    marker = json.loads((root / "strict-0.4-tokens-seed0" / "markers" / "score.json").read_text())
    assert marker["summary"]["cached"] == 40
    other = json.loads((root / "cdas-0.4-tokens-seed0" / "result.json").read_text())
    strict_result = json.loads((root / "strict-0.4-tokens-seed0" / "result.json").read_text())
    assert strict_result["values"] == other["values"]  # without duplicates the two are the same training


def test_a_pool_for_each_seed(grid: Path) -> None:
    """Every seed draws its own records; what all seeds are measured on stays the same, and a later comparison keeps off all pools."""
    root = grid.parent / "pools"
    small = ("strategies=[random,longest]", "recipe.data.limit=12", "--json")
    done = codeact("compare", str(grid), f"run_dir={root}", "pool_per_seed=true", *small)
    assert done.returncode == 0, done.stderr

    def ids(table: Path) -> set[str]:
        return set(storage.read_parquet(table)["id"].to_pylist())

    pools = [ids(root / f"shared-seed{seed}" / "records.parquet") for seed in (0, 1)]
    assert [len(pool) for pool in pools] == [12, 12]
    assert pools[0] != pools[1]
    measured = []
    for name in ("random", "longest"):
        for seed in (0, 1):
            cell = root / "cells" / f"{name}-0.4-tokens-seed{seed}"
            assert ids(cell / "sample.parquet") == pools[seed]
            found = json.loads((cell / "result.json").read_text())
            assert found["response_tokens"] > 0
            measured.append([set(items) for items in found["values"].values()])
    assert all(one == measured[0] for one in measured)
    rows = {row["entrant"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["longest"]["metrics"]["held-out loss"]["minus_against"]["seeds"] == 2
    common = "two pools share 30% of their records (12 of 40 rows each)"
    assert common in done.stderr
    assert common in json.loads(done.stdout)["cautions"][0]
    assert common in (root / "compare.html").read_text(encoding="utf-8")
    same = codeact("compare", str(grid), f"run_dir={grid.parent / 'same'}", "pool_per_seed=true", "recipe.data.limit=40", "strategies=[random]")
    assert same.returncode == 2
    assert "all pools would be the same" in same.stderr
    assert not (grid.parent / "same").exists()

    later = ("strategies=[random]", "seeds=[0]", "held_out=4")
    apart = codeact("compare", str(grid), f"run_dir={grid.parent / 'off'}", f"apart_from={root}", *later)
    assert apart.returncode == 0, apart.stderr
    assert not ids(grid.parent / "off" / "shared" / "records.parquet") & (pools[0] | pools[1])


def test_a_comparison_apart_from_an_earlier_one_shares_nothing_with_it(grid: Path) -> None:
    """It draws records and tasks from what the earlier one left, and measures what it says."""
    earlier, root = grid.parent / "earlier", grid.parent / "later"
    small = ("strategies=[random]", "seeds=[0]", "--json")
    first = codeact("compare", str(grid), f"run_dir={earlier}", "recipe.data.limit=12", *small)
    assert first.returncode == 0, first.stderr
    refused = codeact("compare", str(grid), f"run_dir={root}", f"apart_from={root}/nothing", *small)
    assert refused.returncode == 2
    assert "run that comparison first" in refused.stderr
    assert not root.exists()
    second = codeact("compare", str(grid), f"run_dir={root}", f"apart_from={earlier}", *small)
    assert second.returncode == 0, second.stderr

    def instructions(folder: Path) -> set[str]:
        table = storage.read_parquet(folder / "shared" / "records.parquet")
        held_out = [json.loads(line)["instruction"] for line in (folder / "held_out.jsonl").read_text().splitlines()]
        return {row[0]["content"] for row in table["messages"].to_pylist()} | set(held_out)

    used, unused = instructions(earlier), instructions(root)
    assert (len(used), len(unused)) == (12 + 8, 48 - 12 - 8)
    assert not used & unused
    values = [json.loads((f / "base" / "result.json").read_text())["values"] for f in (earlier, root)]
    tasks = [set(v["humaneval bits_per_byte"]) for v in values]
    assert [len(t) for t in tasks] == [10, 10]
    assert not tasks[0] & tasks[1]
    cell = json.loads(next(root.glob("cells/*/result.json")).read_text())
    assert set(cell["values"]["humaneval bits_per_byte"]) == tasks[1]

    too_many = codeact("compare", str(grid), f"run_dir={grid.parent / 'x'}", f"apart_from={earlier}", "held_out=28")
    assert too_many.returncode == 2
    assert "28 distinct instructions that" in too_many.stderr


def test_no_embedder_is_asked_for_where_no_entrant_reads_clusters(grid: Path) -> None:
    """The pool was embedded and clustered for nothing, and without the embedder's files nothing was compared."""
    root = grid.parent / "plain"
    words = (f"run_dir={root}", "seeds=[0]", "recipe.embed.model=no-such/embedder")
    done = codeact("compare", str(grid), *words, "strategies=[random,longest]")
    assert done.returncode == 0, done.stderr
    assert not list(root.glob("*/embed.parquet"))
    assert not list(root.glob("*/cluster.parquet"))
    refused = codeact("compare", str(grid), *words, "strategies=[random,cdas]")
    assert refused.returncode == 2
    assert "no-such/embedder" in refused.stderr

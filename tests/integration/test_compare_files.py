"""`codeact compare` of one's own files: what a change of one voids, and what an entrant chooses of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.comparison.grid import load_comparison
from codeact.comparison.run import plan_comparison
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

WORDS = (
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def of_files(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    """A finished comparison of one's own files: one entrant for each of those that a recipe can name."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("model", "proxy", "judge"):
        shutil.copytree(tiny_model_dir, folder / name)
    shutil.copytree(tiny_embedder_dir, folder / "embedder")
    rows = [{"id": f"r{n}", **row} for n, row in enumerate(pool_rows(24))]
    write_lines(folder / "pool.jsonl", rows)
    write_lines(folder / "target.jsonl", rows[:4])
    write_lines(folder / "benchmark.jsonl", [{"prompt": "Say what the seventh prime number is, and why."}])
    write_lines(folder / "tasks.jsonl", [own_task(n, "a + b") for n in range(3)])
    (folder / "list.txt").write_text("\n".join(row["id"] for row in rows), encoding="utf-8")
    (folder / "words.jinja").write_text(WORDS, encoding="utf-8")
    file = folder / "compare.yaml"
    file.write_text(
        f"""
run_dir: {folder / "runs"}
seeds: [0]
rates: [0.5]
units: [records]
held_out: 4
strategies:
  - random
  - diversity
  - {{name: theirs, strategy: list, set: {{sample.listed: {folder / "list.txt"}}}}}
  - {{name: alike, strategy: targeted, set: {{sample.target: {folder / "target.jsonl"}}}}}
  - {{name: small, strategy: superfiltering, set: {{score.proxy: {folder / "proxy"}}}}}
  - {{name: rated, strategy: deita, set: {{judge.model: {folder / "judge"}, judge.min_mass: 0}}}}
recipe:
  model: {{name: {folder / "model"}, max_length: 512, template: {folder / "words.jinja"}, dtype: float32}}
  data: {{source: {folder / "pool.jsonl"}}}
  curate: {{benchmark_files: [{folder / "benchmark.jsonl"}]}}
  embed: {{model: {folder / "embedder"}}}
  cluster: {{k: 2}}
  train: {{epochs: 1, batch_size: 4, learning_rate: 1.0e-3, warmup_steps: 0}}
  evaluate: {{tasks: [{folder / "tasks.jsonl"}], generate_limit: 0}}
""",
        encoding="utf-8",
    )
    done = codeact("compare", str(file), "--json")
    assert done.returncode == 0, done.stderr
    return file


def own_task(n: int, solution: str) -> dict[str, Any]:
    name = f"add_{n}"
    return {
        "task_id": name, "prompt": f"def {name}(a, b):\n", "entry_point": name, "tests": [f"assert {name}(1, 2) == 3"],
        "canonical_solution": f"    return {solution}\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "void"),
    [
        ("model/model.safetensors", {"random", "diversity", "theirs", "alike", "small", "rated"}),
        ("words.jinja", {"random", "diversity", "theirs", "alike", "small", "rated"}),
        ("benchmark.jsonl", {"random", "diversity", "theirs", "alike", "small", "rated"}),
        ("tasks.jsonl", {"random", "diversity", "theirs", "alike", "small", "rated"}),
        ("embedder/model.safetensors", {"diversity", "alike", "rated"}),
        ("list.txt", {"theirs"}),
        ("target.jsonl", {"alike"}),
        ("proxy/model.safetensors", {"small"}),
        ("judge/model.safetensors", {"rated"}),
    ],
)
def test_results_of_files_that_changed_under_their_name_are_void(of_files: Path, file: str, void: set[str]) -> None:
    """A comparison kept them, and took the mean of cells of two models."""
    comparison, path = load_comparison(of_files), of_files.parent / file
    before, entrants = path.read_bytes(), {one.name for one in comparison.strategies}
    assert plan_comparison(comparison).done == len(entrants)
    path.write_bytes(b"\n".join(reversed(before.splitlines())) if file == "list.txt" else before + b"\n")
    left = [one for one in comparison.strategies if plan_comparison(comparison.model_copy(update={"strategies": (one,)})).done == 0]
    path.write_bytes(before)
    assert {one.name for one in left} == void
    assert plan_comparison(comparison).done == len(entrants)


def test_a_changed_file_redoes_the_base_and_the_cells(of_files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(of_files.parent, folder, ignore=shutil.ignore_patterns("runs"))
    file = folder / "compare.yaml"
    file.write_text(file.read_text().replace(str(of_files.parent), str(folder)))
    few = (str(file), "strategies=[random]", "--json")
    first = json.loads(codeact("compare", *few).stdout)
    write_lines(folder / "tasks.jsonl", [own_task(n, "b * 3 - a") for n in range(3)])
    again = codeact("compare", *few, "seeds=[0,1]")
    assert again.returncode == 0, again.stderr
    assert "1 results of cells are of other settings, data, files or versions of the code" in again.stderr
    second, (row,) = json.loads(again.stdout), json.loads(again.stdout)["rows"]
    metric = "tasks bits_per_byte"
    assert row["seeds"] == [0, 1]
    assert second["base"][metric] != first["base"][metric]
    assert not second["cautions"]
    fresh = json.loads(codeact("compare", *few, "seeds=[0,1]", f"run_dir={tmp_path / 'fresh'}").stdout)
    for key in ("base", "smallest_seen"):
        assert second[key] == fresh[key]
    assert row["metrics"] == fresh["rows"][0]["metrics"]


def chosen_ids(cell: Path) -> set[str]:
    table = storage.read_parquet(cell / "sample.parquet").to_pylist()
    return {row["id"] for row in table if row["selected"]}


def test_a_list_of_the_whole_data_passes_over_what_is_held_out(of_files: Path, tmp_path: Path) -> None:
    """The comparison ended at the first entry that was held out, after other cells had trained."""
    held_out = {json.loads(line)["id"] for line in (of_files.parent / "runs" / "held_out.jsonl").read_text().splitlines()}
    cell = of_files.parent / "runs" / "cells" / "theirs-0.5-records-seed0"
    told = json.loads((cell / "markers" / "listed.json").read_text())["summary"]
    assert told == {"listed": 24, "in the pool": 20, "kept out of this comparison": 4}
    assert chosen_ids(cell) == {*[f"r{n}" for n in range(24) if f"r{n}" not in held_out][:10]}

    (tmp_path / "rows.txt").write_text("\n".join(str(n) for n in reversed(range(24))), encoding="utf-8")  # of the whole data, not of the pool
    (tmp_path / "wrong.txt").write_text("r1\nr24", encoding="utf-8")
    for name in ("rows", "wrong"):
        entrant = f"strategies=[random,{{name: {name}, strategy: list, set: {{sample.listed: {tmp_path / name}.txt}}}}]"
        done = codeact("compare", str(of_files), f"run_dir={tmp_path / 'runs'}", entrant)
        if name == "rows":
            assert done.returncode == 0, done.stderr
            last = [f"r{n}" for n in reversed(range(24)) if f"r{n}" not in held_out][:10]
            assert chosen_ids(tmp_path / "runs" / "cells" / "rows-0.5-records-seed0") == {*last}
        else:
            assert done.returncode == 2
            assert "entry 2 is no id of the data: 'r24'" in done.stderr
            assert "cell 1" not in done.stderr


def test_response_tokens_are_those_of_the_entrants_own_pool(of_files: Path, tmp_path: Path) -> None:
    """Records that the shared curation drops counted as none."""
    root, rows = tmp_path / "runs", pool_rows(16)
    twice = write_lines(tmp_path / "twice.jsonl", [row for row in rows for _ in (1, 2)])
    entrants = "strategies=[random,{name: lax, strategy: random, set: {curate.dedup: false}}]"
    done = codeact("compare", str(of_files), f"run_dir={root}", entrants, f"recipe.data.source={twice}", "units=[tokens]", "--json")
    assert done.returncode == 0, done.stderr

    def texts(folder: Path) -> dict[str, str]:
        return {row["id"]: row["messages"][-1]["content"] for row in storage.read_parquet(folder / "records.parquet").to_pylist()}

    counted = storage.read_parquet(root / "shared" / "lengths.parquet").to_pylist()
    tokens = {texts(root / "shared")[row["id"]]: row["response_tokens"] for row in counted}
    cell = root / "cells" / "lax-0.5-tokens-seed0"
    own = sum(tokens[texts(cell)[identity]] for identity in chosen_ids(cell))
    assert json.loads((cell / "result.json").read_text())["response_tokens"] == own
    assert len({texts(cell)[identity] for identity in chosen_ids(cell)}) < len(chosen_ids(cell))  # copies are among them


def test_the_base_is_measured_on_the_revision_that_is_trained(
    of_files: Path, tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its held-out loss was that of the default revision, and "minus base" the difference of two models."""
    import torch
    from huggingface_hub import constants

    from codeact import load_model

    repository = tmp_path / "hub" / "models--team--tiny"
    (repository / "refs").mkdir(parents=True)
    for name, commit in (("main", "a" * 40), ("v1", "b" * 40)):
        shutil.copytree(tiny_model_dir, repository / "snapshots" / commit)
        (repository / "refs" / name).write_text(commit)
    other = load_model(str(tiny_model_dir))
    with torch.no_grad():
        other.get_input_embeddings().weight.mul_(1.5)
    other.save_pretrained(repository / "snapshots" / ("b" * 40))
    words = (f"run_dir={tmp_path / 'runs'}", "strategies=[random]", "recipe.model.name=team/tiny", "recipe.model.revision=v1",
             "recipe.train.learning_rate=1.0e-12", "--json")  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = codeact("compare", str(of_files), *words)
    assert done.returncode == 0, done.stderr
    change = json.loads(done.stdout)["rows"][0]["metrics"]["held-out loss"]["minus_base"]
    assert change["difference"] == pytest.approx(0, abs=1e-5)

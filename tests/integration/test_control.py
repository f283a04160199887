"""The control arm: a random draw of as many response tokens, trained and evaluated as the selection is, and told beside it; and records
that are held out, which the three models are measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import codeact
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.pipeline.forecast import forecast
from codeact.pipeline.run import run_pipeline
from codeact.reporting import gather, main_figures
from tests.helpers import run_page
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

CONTROL = ("control", "train_control", "evaluate_control")
SEEN = pool_rows(6)[5]
LEAK = {"instruction": "Another question.", "output": SEEN["output"].replace("    return", "\n    return")}


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Path:
    folder = tmp_path_factory.mktemp("control")
    rows = pool_rows(52)
    for name, some in (("pool.jsonl", rows[:40]), ("own.jsonl", [*rows[40:], LEAK])):
        write_lines(folder / name, some)
    file = folder / "mine.yaml"
    file.write_text(
        f"""
run_dir: {json.dumps(str(folder / "run"))}
control: random
model: {{name: {json.dumps(str(tiny_model_dir))}, template: question, dtype: float32}}
data: {{source: {json.dumps(str(folder / "pool.jsonl"))}}}
embed: {{model: {json.dumps(str(tiny_embedder_dir))}}}
cluster: {{k: 3}}
curate: {{decontaminate: []}}
score: {{cache: false}}
sample: {{strategy: cdas, unit: records}}
train: {{epochs: 1, batch_size: 4, learning_rate: 1.0e-3, warmup_steps: 1}}
evaluate: {{tasks: [humaneval], generate_limit: 0, bits_limit: 30, held_out: {json.dumps(str(folder / "own.jsonl"))}}}
""",
        encoding="utf-8",
    )
    return file


@pytest.fixture(scope="module")
def finished(recipe_file: Path) -> Path:
    """A run whose control was stopped after its draw, then gone on with."""
    run_pipeline(load_recipe(recipe_file), ("evaluate_tuned", "control"))
    before = (recipe_file.parent / "run" / "train" / "summary.json").stat().st_mtime_ns
    found = codeact_command("run", str(recipe_file), "--json")
    assert found.returncode == 0, found.stderr
    assert "train: done before, kept" in found.stderr
    assert (recipe_file.parent / "run" / "train" / "summary.json").stat().st_mtime_ns == before
    (recipe_file.parent / "printed.json").write_text(found.stdout, encoding="utf-8")
    return recipe_file.parent / "run"


def test_the_draw_has_the_tokens_of_the_selection_and_is_another(finished: Path) -> None:
    tokens = {row["id"]: row["response_tokens"] for row in pq.read_table(finished / "score.parquet").to_pylist()}
    sides = []
    for name in ("sample", "control"):
        sides.append({row["id"] for row in pq.read_table(finished / f"{name}.parquet").to_pylist() if row["selected"]})
    selected, drawn = sides
    held = [sum(tokens[i] for i in side) for side in sides]
    assert abs(held[0] - held[1]) <= max(tokens.values()) / 2  # as nearly as whole records allow
    assert selected != drawn
    told = json.loads((finished / "markers" / "control.json").read_text())["summary"]
    assert (told["selection_response_tokens"], told["response_tokens"]) == tuple(held)
    assert (told["records"], told["also_selected"]) == (len(drawn), len(selected & drawn))
    assert json.loads((finished / "train_control/summary.json").read_text())["records"] == len(drawn)


def test_page_summary_and_json_say_how_the_selection_compares(finished: Path) -> None:
    bits = {}
    for side in ("control", "tuned"):
        lines = (finished / "evaluate" / side / "bits.jsonl").read_text().splitlines()
        bits[side] = {row["task_id"]: row["bits_per_byte"] for row in map(json.loads, lines) if row["task_set"] == "humaneval"}
    change = float(np.mean([bits["tuned"][task] - bits["control"][task] for task in bits["control"]]))
    figures = json.loads((finished.parent / "printed.json").read_text(encoding="utf-8"))
    assert figures == json.loads((finished / "report.json").read_text(encoding="utf-8"))
    metric, _ = figures["evaluation"]["metrics"]
    assert metric["control_difference"]["value"] == pytest.approx(change)
    low, high = metric["control_difference"]["interval"]
    assert (metric["control_verdict"] == "no clear difference") is (low <= 0 <= high)
    said, own = figures["headline"]["control"]
    assert own.startswith("Held-out records bits per byte")
    assert "random" in said
    assert ("HumanEval bits per byte, control", said.partition(": ")[2]) in main_figures(gather(finished))
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "Better than a random choice?" in page
    verdict, _, figure = said.partition(": ")[2].partition(": " if "no clear" in said else " by ")
    assert verdict[1:] in page
    assert figure.replace(" %", "\N{NO-BREAK SPACE}%") in page
    assert run_page.faults(finished) == []


def test_held_out_records_are_not_trained_on_and_measured_as_they_are_trained(finished: Path) -> None:
    rejected = pq.read_table(finished / "rejected.parquet").to_pylist()
    assert [(row["row"], row["reason"], row["detail"]) for row in rejected] == [(5, "held out", "it is in own.jsonl too")]
    assert not pq.read_table(finished / "records.parquet").num_rows - 39
    metric = json.loads((finished / "report.json").read_text())["evaluation"]["metrics"][1]
    held = [*pool_rows(52)[40:], LEAK]
    for side, model in (("tuned", finished / "train" / "model"), ("control", finished / "train_control" / "model")):
        tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        values = []
        for row in held:
            prompt = f"Question:\n{row['instruction']}\n\nAnswer:\n"
            ids = tokenizer(prompt + row["output"], return_tensors="pt")["input_ids"]
            start = len(tokenizer(prompt)["input_ids"])
            with torch.no_grad():
                losses = torch.nn.functional.cross_entropy(network(ids).logits[0, start - 1 : -1], ids[0, start:], reduction="sum")
            values.append(float(losses) / np.log(2) / len(row["output"].encode()))
        assert metric[side]["value"] == pytest.approx(np.mean(values), rel=1e-3)
        assert metric[side]["tasks"] == len(held)
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "Held-out records" in page


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("nowhere.jsonl", r"evaluate\.held_out: .*nowhere\.jsonl is no file; `codeact harvest --held-out 0.1` writes one"),
        ("pool.jsonl", r"evaluate\.held_out: none of 40 records is left; the first: held out, it is in pool\.jsonl too"),
    ],
)
def test_a_held_out_file_that_is_not_there_or_is_the_data(recipe_file: Path, tmp_path: Path, own: str, told: str) -> None:
    recipe = load_recipe(recipe_file, [f"run_dir={tmp_path / 'run'}", f"evaluate.held_out={recipe_file.parent / own}"])
    with pytest.raises(InputError, match=told):
        codeact.run(recipe)
    if "nowhere" in own:
        with pytest.raises(InputError, match=told):
            codeact.plan(recipe)


def test_turns_of_conversations_are_held_out_but_for_short_ones(recipe_file: Path, tmp_path: Path) -> None:
    def talk(*turns: str, context: bool = False) -> dict[str, Any]:
        said = [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(turns)]
        return {"messages": [{**one, "weight": 0} if context and n == 1 else one for n, one in enumerate(said)]}

    long = "def add(a, b):\n    " + "\n    ".join(f"x{n} = a + b * {n}" for n in range(9))
    held = [
        talk("Add", "def add(a,b): return a+b", "Sub", long, "Thanks", "You are welcome!"),
        {"instruction": "Print hi", "output": "print('hi')"},
        talk("Not learnt", "here as context", "And?", "as is learnt", context=True),
    ]
    barred = [
        talk("Add", "def add(a,b):  return a+b"),  # a measured turn, but for blanks
        talk("Print hi", "print('hi')", "More", "print('hi there')"),
        talk("Subtract", long.replace("\n", "\n\n")),
        talk("One", "1", "Other", long),
        {"instruction": "Print hi", "output": "print('other')"},
        talk("Sub", "def sub(a,b): return a-b", "Add", "def add(a,b): return a+b"),
    ]
    free = [
        talk("Mul", "def mul(a,b): return a*b", "Thanks", "Any time"),
        talk("Neg", "def neg(a): return -a", "Sure?", "You are welcome!"),
        talk("Add", "def add(*xs): return sum(xs)"),
        talk("Not learnt", "here as context"),
        talk("Other", "1", "Print hi", "print('hello')"),
        {"instruction": "More", "output": "print('yet more')"},
    ]
    write_lines(tmp_path / "held.jsonl", held)
    write_lines(tmp_path / "data.jsonl", [*barred, *free])
    run_pipeline(
        load_recipe(recipe_file, [f"run_dir={tmp_path / 'run'}", f"data.source={tmp_path / 'data.jsonl'}", f"evaluate.held_out={tmp_path / 'held.jsonl'}"]),
        ("records",),
    )
    rejected = pq.read_table(tmp_path / "run" / "rejected.parquet").to_pylist()
    assert [(row["row"], row["reason"]) for row in rejected] == [(n, "held out") for n in range(len(barred))]
    assert pq.read_table(tmp_path / "run" / "records.parquet").num_rows == len(free)


def test_no_task_set_is_needed_beside_it(recipe_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(tiny_model_dir), "--held-out", str(recipe_file.parent / "own.jsonl"), "--template", "question", "-o", str(tmp_path / "out")]
    done = codeact_command(*words, "--set", "evaluate.tasks=[]", "--max-length", "64")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["sandbox"], results["held-out"]["tasks_in_set"]) == ("not used", 13)
    short = 13 - results["held-out"]["bits_per_byte_tasks"]
    assert 0 < short < 13
    assert f"held-out: longer than model.max_length, or not to be measured: {short} of 13 records" in done.stdout
    before = (tmp_path / "out" / "bits.jsonl").read_bytes()
    assert codeact_command(*words, "--set", "evaluate.tasks=[]", "--max-length", "64").returncode == 0
    assert (tmp_path / "out" / "bits.jsonl").read_bytes() == before


def test_a_run_without_a_control_says_nothing_of_one(finished: Path, recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file, ["control=none", f"run_dir={tmp_path / 'run'}"])
    run_pipeline(recipe, ("sample",))
    figures = gather(tmp_path / "run")
    assert figures["control"] is None
    assert not {stage["stage"] for stage in figures["stages"]} & {*CONTROL}
    assert "random choice" not in codeact.report(tmp_path / "run").read_text(encoding="utf-8")
    # and the control changes no fingerprint of what is there without it
    alone = {stage["stage"]: stage["fingerprint"] for stage in figures["stages"] if stage["fingerprint"]}
    both = {stage["stage"]: stage["fingerprint"] for stage in gather(finished)["stages"]}
    assert {name: both[name] for name in alone} == alone


def test_the_plan_counts_a_second_training_and_what_is_redone(finished: Path, recipe_file: Path, tmp_path: Path) -> None:
    elsewhere = [f"run_dir={tmp_path / 'run'}"]
    both, one = (forecast(load_recipe(recipe_file, [*elsewhere, f"control={name}"])) for name in ("random", "none"))
    assert (both.trainings, both.evaluations, one.trainings, one.evaluations) == (2, 3, 1, 2)
    assert (both.train_tokens, both.train_flops) == (2 * one.train_tokens, 2 * one.train_flops)
    assert {name for name, state in forecast(load_recipe(recipe_file)).stages.items() if state == "to do"} == set()
    changed = forecast(load_recipe(recipe_file, ["sample.ratio=0.3"])).stages
    assert {*CONTROL} < {name for name, state in changed.items() if state == "to do"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"sample.strategy": "full"}, "trains on everything"), ({"evaluate.enabled": False}, "compared by the evaluation")],
)
def test_a_control_that_could_say_nothing_is_refused(recipe_file: Path, tmp_path: Path, settings: dict[str, object], told: str) -> None:
    overrides = [f"run_dir={tmp_path / 'run'}", *(f"{key}={json.dumps(value)}" for key, value in settings.items())]
    with pytest.raises(InputError, match=told):
        codeact.run(load_recipe(recipe_file, overrides))
    assert not (tmp_path / "run").exists()


def test_a_comparison_has_its_own_random_entrants(recipe_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "compare.yaml"
    file.write_text(f"run_dir: {tmp_path / 'c'}\nstrategies: [random, cdas]\nrecipe: {{control: random, data: {{source: {recipe_file.parent / 'pool.jsonl'}}}}}\n")
    with pytest.raises(InputError, match="control is given twice"):
        codeact.compare(file)

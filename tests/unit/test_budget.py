"""What a plan says of devices, their number and their price, and that it needs neither the hub, nor the model, nor the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from codeact import api
from codeact.config import TrainConfig
from codeact.errors import InputError
from codeact.lm.hardware import CARDS, find_card, this_machine
from codeact.pipeline.budget import USABLE, Budget, Work, times
from codeact.pipeline.sizes import divided_memory, parse_count, shape_from_count, shape_of, training_memory
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.unit.test_dry_run import llama_7b


def test_a_model_of_which_only_the_number_of_parameters_is_known_is_near_the_real_one() -> None:
    known, guessed = shape_of(llama_7b(), 16), shape_from_count(6.738e9, 16)  # type: ignore[arg-type]
    assert (guessed.layers, guessed.hidden) == (pytest.approx(known.layers, abs=1), pytest.approx(known.hidden, rel=0.03))
    assert guessed.adapter == pytest.approx(known.adapter, rel=0.05)
    weights = [shape.cost.body_parameters + shape.cost.head_parameters for shape in (known, guessed)]
    assert weights[1] == pytest.approx(weights[0], rel=0.03)
    assert not known.notes
    assert "6.74B" in guessed.notes[0]


@pytest.mark.parametrize(("text", "value"), [("6.7B", 6.7e9), ("135M", 1.35e8), ("6.7e9", 6.7e9), ("1.3b", 1.3e9), ("500K", 5e5)])
def test_numbers_of_parameters(text: str, value: float) -> None:
    assert parse_count(text, "--parameters") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "large", "-1B", "0", "1.2.3B", "6,7B"])
def test_what_is_no_number_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--parameters"):
        parse_count(text, "--parameters")


def test_fsdp_divides_all_but_activations() -> None:
    shape = shape_of(llama_7b(), 16)  # type: ignore[arg-type]
    size = {"parameters": shape.parameters, "adapter_parameters": shape.adapter, "hidden": shape.hidden, "layers": shape.layers}
    whole = training_memory(TrainConfig(), **size, tokens=2048)
    parts = divided_memory(whole, 8, shape)
    for name in ("weights", "gradients", "optimizer"):
        assert parts[name] == whole[name] / 8
    assert parts["activations"] == whole["activations"]
    assert parts["gathered"] == 4 * shape.parameters / 32  # two of 32 layers in 16 bits
    assert divided_memory(whole, 1, shape) == whole
    # NF4 with double quantisation: 4.127 bits a frozen weight, where LoRA has 16
    lora, qlora = (training_memory(TrainConfig(method=method), **size, tokens=2048)["weights"] for method in ("lora", "qlora"))  # type: ignore[arg-type]
    assert (lora - qlora) / shape.parameters == pytest.approx(2 - 4.127 / 8)


def test_hours_money_and_what_fits() -> None:
    card = CARDS["h100"]
    second = 0.5 * card.flops  # FLOPs of a second at this utilisation
    work = Work(10 * second, 80 * second, 0.5 * card.bandwidth * 6, {"weights": 100e9}, {"weights": 13e9})
    (one,) = times(work, Budget(gpu="h100", price=3.0, utilisation=0.5)).values()
    assert (one["score_hours"] * 3600, one["train_hours"] * 3600, one["evaluate_hours"] * 3600) == pytest.approx((10, 80, 6))
    assert (one["seconds"], one["cost"]) == pytest.approx((96, 3 * 96 / 3600))
    assert (one["fits"], one["fits_divided"]) == (False, None)
    (eight,) = times(work, Budget(gpu="H100", gpus=8, price=3.0, utilisation=0.5)).values()
    assert eight["seconds"] == pytest.approx(10 + 80 / 8 + 6)  # scoring and evaluation are on one of them
    assert eight["cost"] == pytest.approx(8 * 3 * 26 / 3600)
    assert (eight["fits"], eight["fits_divided"]) == (False, True)
    tight = Work(0, 1, 0, {"weights": card.memory * (USABLE + 0.01)}, {})
    assert not next(iter(times(tight, Budget(gpu="h100")).values()))["fits"]
    assert [*times(work, Budget())] == ["A100 80GB", "H100 80GB"]


def test_this_machine_is_measured_and_others_are_not() -> None:
    found = this_machine(seconds=0.05)
    assert found.measured
    assert found.flops > 1e8
    assert found.bandwidth > 1e8
    assert found.memory > 1e8
    assert not any(card.measured for card in CARDS.values())
    with pytest.raises(InputError, match="did you mean 'h100'"):
        find_card("h10")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("plans")
    write_lines(folder / "pool.jsonl", pool_rows(20))
    (folder / "config").mkdir()
    shutil.copy(tiny_model_dir / "config.json", folder / "config")
    tree = {
        "run_dir": str(folder / "run"), "model": {"name": "nobody/has-this-6b"}, "data": {"source": str(folder / "pool.jsonl")},
        "embed": {"model": "nobody/embeds"}, "sample": {"strategy": "cdas", "unit": "records"},
        "evaluate": {"tasks": ["humaneval"], "generate_limit": 10, "max_new_tokens": 20},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return {"file": folder / "recipe.yaml", "config": folder / "config", "model": tiny_model_dir}


def test_a_plan_needs_no_hub(recipe: dict[str, Any]) -> None:
    common = ("run", str(recipe["file"]), "--plan", "--gpu", "l4", "--gpus", "4", "--price", "0.8")
    done = codeact(*common, "--parameters", "6.7B", "--records", "1000", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["records"], found["selected"], [*found["devices"]]) == (1000, 400, ["L4"])
    device = found["devices"]["L4"]
    assert device["cost"] == pytest.approx(0.8 * 4 * device["hours"])
    assert device["fits"] is False
    assert any("not measured" in note for note in found["notes"])
    told = codeact(*common, "--parameters", "6.7B")
    assert "4 x L4" in told.stdout
    assert "at 0.8 an hour" in told.stdout
    refused = codeact(*common)
    assert refused.returncode == 2
    assert "--parameters 6.7B" in refused.stderr


def test_data_that_are_not_at_hand_need_their_number() -> None:
    asked = ("run", "deepseek-coder-6.7b-evol", "--plan", "--parameters", "6.7B", "--gpu", "h100")
    refused = codeact(*asked)
    assert refused.returncode == 2
    assert "--records N" in refused.stderr
    told = codeact(*asked, "--records", "78264")
    assert told.returncode == 0, told.stderr
    assert "78,264; selected at most 31,306" in told.stdout


def test_a_configuration_is_enough(recipe: dict[str, Any]) -> None:
    whole, bare = (api.plan(recipe["file"], [f"model.name={recipe[name]}", "embed.model=demo"]) for name in ("model", "config"))
    assert bare["memory"]["optimizer"] == whole["memory"]["optimizer"]
    assert bare["score_tokens"] == pytest.approx(whole["score_tokens"], rel=0.6)
    assert any("no tokenizer is at hand" in note for note in bare["notes"])


def test_the_papers_figures_are_planned_without_model_data_or_earlier_runs(tmp_path: Path) -> None:
    here = [f"run_dir={tmp_path / 'none'}"]
    found = api.compare_plan("compare_paper", here, {"gpu": "h100", "gpus": 8, "price": 2.5, "parameters": 6.7e9, "records": 78_264})
    assert (found["records"], found["done"]) == (78_264, 0)
    # 3 seeds, all rates and both units of random and cdas; full once a seed; six more at 40 % in both units
    assert found["planned"] == 3 * (2 * 6 * 2 + 1 + 6 * 2)
    device = found["devices"]["H100 80GB"]
    assert device["fits"]
    assert device["cost"] == pytest.approx(2.5 * 8 * device["hours"])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [(("--gpu", "h100"), "--gpu is for --plan"), (("--plan", "--gpu", "b300"), "unknown"), (("--plan", "--gpus", "0"), "at least 1"),
     (("--plan", "--utilisation", "2"), "at most 1"), (("--plan", "--parameters", "many"), "6.7B")],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(recipe: dict[str, Any], more: tuple[str, ...], told: str) -> None:
    done = codeact("run", str(recipe["file"]), *more)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

"""experiments/measure.py on tables whose answer is known, and what compare keeps for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.config import EvaluateConfig
from codeact.errors import InputError
from codeact.evaluation.compare import per_task
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.task_selection import to_generate
from codeact.statistics import pass_at_k
from experiments import measure
from tests.helpers.lines import write_lines


def made(trainings: int, rng: np.random.Generator, samples: int = 20) -> tuple[list[dict[str, dict[str, float]]], list[str]]:
    """Trainings with a skill that decides pass@1, a loss that follows it, one that is its mirror, and one that knows nothing of it."""
    skill = np.linspace(-1, 1, trainings)
    tasks, items = rng.normal(-0.5, 1, 12), rng.normal(0, 1, 30)
    found = []
    for one in skill:
        rate = 1 / (1 + np.exp(-(tasks + 1.5 * one)))
        found.append(
            {
                "set pass@1": {f"t{n}": rng.binomial(samples, p) / samples for n, p in enumerate(rate)},
                "good bits_per_byte": {f"i{n}": x - one + rng.normal(0, 0.1) for n, x in enumerate(items)},
                "set margin": {f"i{n}": x - one + rng.normal(0, 0.1) for n, x in enumerate(items)},
                "blind bits_per_byte": {f"i{n}": x + rng.normal(0, 1) for n, x in enumerate(items)},
                "held-out loss": {f"r{n}": (n + 1) / 10 - one * (n >= 20) for n in range(30)},
            }
        )
    return found, [f"group {n // 2}" for n in range(trainings)]


def test_a_good_proxy_is_told_from_a_mirrored_and_a_blind_one() -> None:
    trainings, group = made(16, np.random.default_rng(0))
    found = measure.study(trainings, group, 20, {f"r{n}": n for n in range(30)}, resamples=150)
    assert {*found["targets"]} == {"pass@1", "pass@10"}
    told = {name: one["correlation"]["pass@1"] for name, one in found["proxies"].items()}
    assert told["good bits_per_byte"]["pearson"]["value"] > 0.9
    assert told["good bits_per_byte"]["spearman"]["interval"][0] > 0.6
    assert told["set margin"]["spearman"]["value"] < -0.8  # it falls where pass@1 rises
    assert told["set margin"]["spearman"]["interval"][1] < 0
    low, high = told["blind bits_per_byte"]["spearman"]["interval"]
    assert low < 0 < high
    assert told["good bits_per_byte"]["trainings"] == 16
    bands = [told[f"held-out loss, band {n} of 3"]["pearson"]["value"] for n in (1, 2, 3)]
    assert bands[0] is None  # constant over the trainings: no correlation, and no number
    assert bands[2] == pytest.approx(told["good bits_per_byte"]["pearson"]["value"], abs=0.1)
    rows = measure.lines(found)
    assert any(row.startswith("| held-out loss, band 1 of 3 | none |") for row in rows)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Proxies that know nothing: the 95 % interval leaves 0 out in few of 40 studies."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        target, proxy = (rng.normal(0, 1, (14, 10)) + rng.normal(0, 1, (14, 1)) for _ in range(2))
        low, high = measure.correlation(proxy, target, resamples=100)["pearson"]["interval"]
        wrong += not low <= 0 <= high
    assert wrong <= 5


@pytest.mark.parametrize(("within", "between", "share"), [(1.0, 3.0, 0.25), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_share_of_the_seeds_is_that_of_the_components(within: float, between: float, share: float) -> None:
    rng = np.random.default_rng(1)
    groups = 400
    values = np.repeat(rng.normal(0, np.sqrt(between), groups), 2) + rng.normal(0, 1, 2 * groups) * np.sqrt(within)
    table = values[:, None] + np.zeros((1, 3))
    found = measure.seeds_share(table, [f"g{n // 2}" for n in range(2 * groups)], resamples=20)
    assert found["value"] == pytest.approx(share, abs=0.08)
    assert found["interval"][0] - 1e-9 <= found["value"] <= found["interval"][1] + 1e-9
    assert measure.seeds_share(table[:4], ["a", "b", "c", "d"], resamples=10)["value"] is None


def test_pass_at_k_of_shares() -> None:
    shares = np.array([[0.0, 0.05, 0.5, 1.0]])
    assert measure.pass_table(shares, 20, 10)[0].tolist() == [pass_at_k(20, c, 10) for c in (0, 1, 10, 20)]


def test_tasks_are_those_that_are_solved_sometimes(tmp_path: Path) -> None:
    rows = [{"task_id": t, "status": "passed" if n < c else "failed"} for t, c in (("never", 0), ("some", 2), ("all", 5)) for n in range(5)]
    write_lines(tmp_path / "samples.jsonl", rows)
    assert measure.solved_sometimes(tmp_path) == {"some": 0.4}


def test_margins_of_each_task_are_read_from_its_pair(tmp_path: Path) -> None:
    def row(name: str, task: str, bits: float | None, tokens: int) -> dict[str, Any]:
        return {"task_set": name, "task_id": task, "bits": bits, "tokens": tokens, "bits_per_byte": None}

    rows = [row("p", "a", 10.0, 5), row("p#buggy", "a#buggy", 14.0, 5), row("p", "b", None, 5), row("p#buggy", "b#buggy", 3.0, 5), row("q", "c", 1.0, 1)]
    write_lines(tmp_path / "bits.jsonl", rows)
    assert per_task(tmp_path, "p", "margin") == {"a": pytest.approx(4 * np.log(2))}
    assert per_task(tmp_path, "p", "margin_per_token") == {"a": pytest.approx(0.8 * np.log(2))}


def test_generation_for_named_tasks_alone() -> None:
    sets = [load_tasks("humaneval")]
    named = EvaluateConfig(generate_tasks=("HumanEval/53", "HumanEval/23"))
    assert [task.id for task in to_generate(sets, named)["humaneval"]] == ["HumanEval/23", "HumanEval/53"]
    assert len(to_generate(sets, EvaluateConfig(generate_limit=4))["humaneval"]) == 4
    assert to_generate(sets, named.model_copy(update={"generate_limit": 0}))["humaneval"] == []
    with pytest.raises(InputError, match=r"evaluate\.generate_tasks: 'HumanEval/999' is no task of humaneval"):
        to_generate(sets, EvaluateConfig(generate_tasks=("HumanEval/999",)))

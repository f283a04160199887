"""experiments/measure.py on tables whose answer is known, and what compare keeps for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import f, f_oneway, spearmanr

from codeact.config import EvaluateConfig
from codeact.errors import InputError
from codeact.evaluation.compare import per_task
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.task_selection import to_generate
from codeact.statistics import pass_at_k
from experiments import measure
from tests.helpers.lines import write_lines


def made(selections: int, seeds: int, rng: np.random.Generator, samples: int = 20) -> tuple[list[dict[str, dict[str, float]]], list[str], list[int]]:
    """Trainings with a skill that decides pass@1, a loss that follows it, one that is its mirror, and one that knows nothing of it.

    `copied bits_per_byte` knows of pass@1 only by the two tasks that it shares with it, of which one has HumanEvalPack's name.
    """
    tasks, items = rng.normal(-0.5, 1, 12), rng.normal(0, 1, 30)
    found, group, seed = [], [], []
    for n, one in enumerate(np.linspace(-1, 1, selections * seeds)):
        rate = 1 / (1 + np.exp(-(tasks + 1.5 * one)))
        found.append(
            {
                "set pass@1": {f"HumanEval/{n}": rng.binomial(samples, p) / samples for n, p in enumerate(rate)},
                "good bits_per_byte": {f"i{n}": x - one + rng.normal(0, 0.1) for n, x in enumerate(items)},
                "set margin": {f"i{n}": x - one + rng.normal(0, 0.1) for n, x in enumerate(items)},
                "blind bits_per_byte": {f"i{n}": x + rng.normal(0, 1) for n, x in enumerate(items)},
                "copied bits_per_byte": {"HumanEval/3": -20 * one, "Python/5": -20 * one, "Python/55": rng.normal(), "HumanEval/20": rng.normal()},
                "held-out loss": {f"r{n}": (n + 1) / 10 - one * (n >= 20) for n in range(30)},
            }
        )
        group.append(f"group {n // seeds}")
        seed.append(n % seeds)
    return found, group, seed


def test_a_good_proxy_is_told_from_a_mirrored_and_a_blind_one() -> None:
    trainings, group, seed = made(6, 3, np.random.default_rng(0))
    found = measure.study(trainings, group, seed, 20, {f"r{n}": n for n in range(30)}, resamples=60)
    assert {*found["targets"]} == {"pass@1", "pass@10"}
    told = {name: one["correlation"]["pass@1"] for name, one in found["proxies"].items()}
    assert told["good bits_per_byte"]["value"] > 0.9
    assert told["good bits_per_byte"]["interval"][0] > 0.4
    assert told["set margin"]["value"] < -0.8  # it falls where pass@1 rises
    assert told["set margin"]["interval"][1] < 0
    low, high = told["blind bits_per_byte"]["interval"]
    assert low < 0 < high
    bands = [told[f"held-out loss, band {n} of 3"]["value"] for n in (1, 2, 3)]
    assert bands[0] is None  # constant over the trainings: no correlation, and no number
    assert bands[2] == pytest.approx(told["good bits_per_byte"]["value"], abs=0.1)
    nearest = {one["nearest"]["measure"] for one in told.values()}
    assert nearest <= {"good bits_per_byte", "held-out loss, band 3 of 3", "held-out loss"}
    assert told["set margin"]["nearest"]["same_items"][0] > 0  # it is told from the nearest
    rows = measure.lines(found)
    assert any(row.startswith("| held-out loss, band 1 of 3 | none |") for row in rows)


def test_tasks_of_passk_are_no_items_of_a_proxy() -> None:
    """HumanEval's bits per byte followed pass@1 at 0.56 with three tasks that both measured, at 0.41 without."""
    trainings, group, seed = made(6, 3, np.random.default_rng(0))
    told = measure.study(trainings, group, seed, 20, {}, resamples=20)["proxies"]["copied bits_per_byte"]["correlation"]["pass@1"]
    assert told["items"] == [2, 12]
    assert told["with_shared"] > 0.9
    assert abs(told["value"]) < 0.5
    assert measure.study(trainings, group, seed, 20, {}, resamples=2)["proxies"]["good bits_per_byte"]["correlation"]["pass@1"]["with_shared"] is None


def test_ties_of_equal_counts_are_ties() -> None:
    """Means of equal counts differ in their last bits, which broke 38 ties of 63."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 21, (63, 10))
    proxy = rng.normal(size=(63, 1)) + counts.sum(axis=1, keepdims=True) / 20
    group, seed = [f"g{n // 9}" for n in range(63)], [n % 9 for n in range(63)]
    found = measure.correlations({"one": proxy}, measure.pass_table(counts / 20, 20, 1), group, seed, resamples=2)["one"]
    assert found["value"] == pytest.approx(spearmanr(counts.sum(axis=1), proxy[:, 0]).statistic, rel=1e-12)


def test_selections_and_seeds_are_drawn_and_not_single_trainings() -> None:
    """Nine trainings that are one selection's luck: drawn one by one they looked like nine pieces of evidence."""
    group, seed = [f"g{n // 9}" for n in range(27)], [n % 9 for n in range(27)]
    rows = measure.trainings_drawn(group, seed, np.random.default_rng(0))
    drawn = rows.reshape(3, 9)
    assert (drawn // 9 == drawn[:, :1] // 9).all()
    assert (drawn % 9 == drawn[:1] % 9).all()
    assert len(measure.trainings_drawn([*group, "g3"], [*seed, 4], np.random.default_rng(3))) < 36  # only what there is


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Proxies that know nothing, selections that differ: the 95 % interval leaves 0 out in few of 25 studies."""
    wrong = 0
    group, seed = [f"g{n // 3}" for n in range(18)], [n % 3 for n in range(18)]
    for study in range(25):
        rng = np.random.default_rng(study)
        target, proxy = (np.repeat(rng.normal(0, 1, (6, 1)), 3, axis=0) + rng.normal(0, 0.5, (18, 1)) + rng.normal(0, 1, (18, 8)) for _ in range(2))
        drawn = measure.resampled(proxy, target, group, seed, resamples=40)
        low, high = measure.interval(drawn["same_items"])
        wrong += not low <= 0 <= high
    assert wrong <= 3


@pytest.mark.parametrize(("within", "between", "share"), [(1.0, 3.0, 0.25), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_share_of_the_seeds_is_that_of_the_components(within: float, between: float, share: float) -> None:
    rng = np.random.default_rng(1)
    groups = 400
    values = np.repeat(rng.normal(0, np.sqrt(between), groups), 2) + rng.normal(0, 1, 2 * groups) * np.sqrt(within)
    table = values[:, None] + np.zeros((1, 3))
    found = measure.seeds_share(table, [f"g{n // 2}" for n in range(2 * groups)])
    assert found["value"] == pytest.approx(share, abs=0.08)
    if within:
        assert found["interval"][0] - 1e-9 <= found["value"] <= found["interval"][1] + 1e-9
    else:
        assert found["interval"] is None  # no two seeds differ: how much others would is not known
    assert measure.seeds_share(table[:4], ["a", "b", "c", "d"])["value"] is None


def test_of_equal_groups_the_interval_is_the_textbooks() -> None:
    """(F / quantile - 1) / n, of one-way analysis of variance as scipy makes it."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2, (7, 1)) + rng.normal(0, 1, (7, 9))
    ratio = f_oneway(*values).statistic
    ends = [1 / (1 + max(0.0, (ratio / f.ppf(at, 6, 56) - 1) / 9)) for at in (0.025, 0.975)]
    found = measure.seeds_share(values.reshape(-1, 1), [f"g{n // 9}" for n in range(63)])
    assert found["interval"] == pytest.approx(ends, rel=1e-9)
    assert found["value"] == pytest.approx(1 / (1 + (ratio - 1) / 9))


@pytest.mark.parametrize("sizes", [(9,) * 7, (2, 2, 3, 4, 9, 12)])
@pytest.mark.parametrize("share", [0.12, 0.8])
def test_the_interval_of_the_seeds_share_covers_it_in_95_of_100(sizes: tuple[int, ...], share: float) -> None:
    """A bootstrap over seven groups held it in 73 to 78 %."""
    group = [f"g{n}" for n, size in enumerate(sizes) for _ in range(size)]
    rng, studies, covered = np.random.default_rng(0), 300, 0
    for _ in range(studies):
        values = np.repeat(rng.normal(size=len(sizes)), sizes) * np.sqrt(1 - share) + rng.normal(size=len(group)) * np.sqrt(share)
        low, high = measure.seeds_share(values[:, None], group)["interval"]
        covered += low <= share <= high
    assert abs(covered / studies - 0.95) < 0.038  # three standard errors


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

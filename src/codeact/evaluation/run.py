"""An evaluation from start to end: bits per byte, generation, execution, results.json. Killed, it goes on where it was."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.amounts import amount
from codeact.config import EvaluateConfig, ModelConfig, default_of
from codeact.errors import InputError
from codeact.evaluation import held_out, journal
from codeact.evaluation.answering import Row, Setup, facts_of, generate_rows, thoughts
from codeact.evaluation.grade import NOT_RUN
from codeact.evaluation.samples import begun, ended, filtered, not_run, partial, read_samples, repeated, unsolved
from codeact.evaluation.set_checks import proven
from codeact.evaluation.settings import check_evaluation, check_languages
from codeact.evaluation.task_selection import sets_of, subset, to_generate
from codeact.evaluation.tasks import TaskSet
from codeact.files import make_folder
from codeact.progress import track
from codeact.records import Record
from codeact.redact import split_userinfo
from codeact.statistics import mean_estimate, pass_at_k, rate_estimate

if TYPE_CHECKING:
    from codeact.evaluation.endpoint_engine import Endpoint
    from codeact.evaluation.grade import Verdict
    from codeact.sandbox import Backend

SAMPLES, BITS = "samples.jsonl", "bits.jsonl"
PASSED = "passed"
NOT_USED = "not used"
GENERATION = ("prompting", "max_new_tokens", "thinking_tokens", "temperature", "temperatures", "samples_per_task", "backend", "endpoint", "extra", "held_out")
KS = (1, 10, 100)
NO_MODEL: dict[str, Any] = {"dtype": NOT_USED, "template": None, "model_identity": None, "trained_template": None, "template_begins": ""}


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
    the same model made of the same prompt under the same settings, and no others. A finished evaluation in `out_dir` stays as it is
    until the one that takes its place is finished.

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
    ready = samples is not None
    _check_asked(model_name, samples, sanitized)
    check_evaluation(config, generates=not ready and config.generate_limit != 0)
    started = time.perf_counter()
    sets = sets_of(config, data_dir)
    held, digest = held_out.load(config.held_out) if config.held_out and not ready else ([], "")
    sets, backend = _runnable(sets, config, ready=ready)
    make_folder(out_dir)
    whose = str(model_name if model_name is not None else samples)
    setup, why = _settled(Setup(whose, model, config, seed), sets, local=not ready and not config.endpoint)
    config = setup.config
    remote = ready or bool(config.endpoint)
    facts = dict(NO_MODEL) if remote else facts_of(setup)
    asks = not remote and (config.bits_per_byte or held)
    bits = _measure_bits(setup, sets if config.bits_per_byte else [], held, facts, out_dir / BITS) if asks else {}
    scored = time.perf_counter()
    endpoint = _endpoint(setup, sets, out_dir) if config.endpoint and not ready else None
    if samples is not None:
        rows, warnings = read_samples(samples, sets, sanitized, _chosen(sets, config))
        warnings += _unused(config)
    else:
        rows, warnings = _answers(setup, sets, facts, out_dir / SAMPLES, endpoint), []
    generated = time.perf_counter()
    verdicts = _grade(rows, sets, backend) if backend is not None else {}
    drawn = {SAMPLES: (rows, verdicts)}
    swept: dict[str, dict[str, Any]] = {}
    if not ready and backend is not None:
        for name, at in _swept(setup).items():
            some = _answers(at, sets, facts, out_dir / name, endpoint)
            drawn[name] = some, _grade(some, sets, backend)
            _add_swept(swept, f"{at.config.temperature:g}", sets, *drawn[name], seed)
    results: dict[str, Any] = {
        "model": whose,
        "model_identity": facts["model_identity"],
        "sandbox": backend.name if backend is not None else NOT_USED,
        "python": platform.python_version(),
        "template": facts["template"],
        "dtype": facts["dtype"],
        **_told_settings(config, seed, ready=ready, sanitized=sanitized),
        **({"prompting_why": why} if why else {}),
        **({"template_begins": facts["template_begins"]} if facts["template_begins"] else {}),
        **({"thinking": thoughts(rows, config.thinking_tokens)} if config.thinking_tokens and not remote else {}),
        **(endpoint.facts() if endpoint else {}),
        "seconds": time.perf_counter() - started,
        "seconds_bits": scored - started,
        "seconds_generation": generated - scored,
        "seconds_execution": time.perf_counter() - generated,
    }
    for task_set in sets:
        results |= _figures(task_set, rows[task_set.name], verdicts.get(task_set.name), bits, seed)
    for name, figures in swept.items():
        results[name]["temperatures"] = figures
    if held:
        results[held_out.NAME] = held_out.figures(held, bits, f"sha256 {digest}, template {facts['trained_template'].name}", seed)
        warnings += _unmeasured(len(held), results[held_out.NAME]["bits_per_byte_tasks"])
    if any(rows.values()) and facts["template_begins"]:
        warnings.append(begun(facts["template"], facts["template_begins"]))
    results["warnings"] = [*warnings, *(endpoint.warnings() if endpoint else ()), *_warnings(sets, rows, graded=backend is not None)]
    if not ready and (config.endpoint or config.prompting == "instruct"):
        limit = f"evaluate.max_new_tokens = {config.max_new_tokens}{f' + thinking_tokens = {config.thinking_tokens}' if config.thinking_tokens and remote else ''}"
        results["warnings"] += filter(None, (ended(one, rows[one.name], limit) for one in sets))
    files = {name: _graded(sets, *both) for name, both in drawn.items()}
    journal.finish(out_dir, {**files, BITS: bits.values() if bits else None}, results)
    return results


def _check_asked(model_name: str | Path | None, samples: Path | None, sanitized: bool) -> None:
    if samples is None and sanitized:
        raise InputError("--sanitize is for --samples FILE; generated answers are always sanitized")
    if samples is None and model_name is None:
        raise InputError("no MODEL is given, and no --samples FILE to grade; give one of them")


def _runnable(sets: list[TaskSet], config: EvaluateConfig, *, ready: bool) -> tuple[list[TaskSet], Backend | None]:
    """The sets, proven in the sandbox that is to run their programs, and that sandbox; None where nothing is to run."""
    if not ready and (config.generate_limit == 0 or not sets):
        return sets, None
    from codeact.sandbox import detect_backend

    check_languages(sets)
    backend = detect_backend(unsafe=config.unsafe_no_sandbox)
    check_languages(sets, backend)
    return [proven(one, backend) for one in sets], backend


def _told_settings(config: EvaluateConfig, seed: int, *, ready: bool, sanitized: bool) -> dict[str, Any]:
    """What results.json says of how the answers came about."""
    told: dict[str, Any] = {
        "prompting": ("sanitized samples" if sanitized else "samples") if ready else config.prompting,
        # of ready generations nobody knows these
        "max_new_tokens": None if ready else config.max_new_tokens,
        "temperature": None if ready else config.temperature,
        "samples_per_task": None if ready else config.samples_per_task,
        "backend": NOT_USED if ready else "endpoint" if config.endpoint else config.backend,
        "seed": seed,
    }
    if config.thinking_tokens and not ready:
        told["thinking_tokens"] = config.thinking_tokens
    if config.endpoint and not ready:
        told["endpoint"] = split_userinfo(config.endpoint)[0]
        told |= {"request_extra": config.extra} if config.extra else {}
    if config.solve_rate is not None:
        told["solve_rate"] = {"band": list(config.solve_rate), "of": config.solve_rate_of}
    return told


def _chosen(sets: Sequence[TaskSet], config: EvaluateConfig) -> set[str] | None:
    """Ids of the tasks that the settings choose; None where they choose none.

    Raises:
        InputError: none can be graded, or as `to_generate`.
    """
    if config.generate_limit == 0:
        raise InputError("evaluate.generate_limit = 0 generates nothing, and --samples FILE is to be graded; leave one of them out")
    if config.generate_limit is None and not config.skip_tasks and not config.generate_tasks and config.solve_rate is None:
        return None
    chosen = to_generate(sets, config.model_copy(update={"prompting": "base"}))
    return {task.id for tasks in chosen.values() for task in tasks}


def _unused(config: EvaluateConfig) -> list[str]:
    """A line where settings of generation or likelihoods were changed, which ready generations have no use for."""
    changed = [f"evaluate.{key}" for key in GENERATION if getattr(config, key) != default_of(f"evaluate.{key}")]
    return [f"no effect on ready generations: {', '.join(changed)}"] if changed else []


def _unmeasured(held: int, measured: int) -> list[str]:
    if held == measured:
        return []
    return [f"{held_out.NAME}: longer than model.max_length, or not to be measured: {held - measured} of {amount(held, 'record')}"]


def _warnings(sets: Sequence[TaskSet], rows: Mapping[str, Sequence[Row]], *, graded: bool) -> list[str]:
    """Tasks that were not run, that have no solution, and of which only some have an answer."""
    told = [not_run(one) for one in sets]
    told += [unsolved(one) for one in sets if graded]
    told += [partial(one, {row["task_id"] for row in rows[one.name]}) for one in sets]
    told += [filtered(one, rows[one.name]) for one in sets]
    told += [repeated(one, rows[one.name]) for one in sets]
    return [line for line in told if line]


def _settled(setup: Setup, sets: Sequence[TaskSet], *, local: bool) -> tuple[Setup, str]:
    """The setup with the prompting that `auto` stands for, and why; settings that the sets cannot serve are refused."""
    from codeact.evaluation.prompting import check_prompting, resolved

    check_prompting(setup.config, sets)
    if setup.config.prompting != "auto":
        return setup, ""
    config, why = resolved(setup.config, setup.model.template, setup.tokenizer() if local else None)
    check_prompting(config, sets)
    return replace(setup, config=config), why


def _swept(setup: Setup) -> dict[str, Setup]:
    """The setup at each further temperature, by the name of the file of its answers."""
    found = {f"samples-t{value:g}.jsonl": setup.config.model_copy(update={"temperature": value}) for value in setup.config.temperatures}
    return {name: replace(setup, config=config) for name, config in found.items()}


def _endpoint(setup: Setup, sets: Sequence[TaskSet], out_dir: Path) -> Endpoint:
    from codeact.evaluation.endpoint_engine import Endpoint

    found = Endpoint(setup, out_dir)
    found.check_costs({SAMPLES: setup, **_swept(setup)}, sets)
    return found


def _answers(setup: Setup, sets: Sequence[TaskSet], facts: Mapping[str, Any], path: Path, endpoint: Endpoint | None) -> dict[str, list[Row]]:
    return endpoint.generate_rows(setup, sets, path) if endpoint else generate_rows(setup, sets, facts, path)


def _add_swept(
    swept: dict[str, dict[str, Any]], temperature: str, sets: Sequence[TaskSet], rows: Mapping[str, Sequence[Row]],
    verdicts: Mapping[str, Sequence[Verdict]], seed: int,
) -> None:  # fmt: skip
    """Add the figures at a further temperature: task set -> temperature -> its pass@k."""
    for task_set in sets:
        for name, figures in _figures(task_set, rows[task_set.name], verdicts[task_set.name], {}, seed).items():
            kept = {key: value for key, value in figures.items() if key.startswith("pass") or (key.endswith("interval") and not key.startswith("bits"))}
            swept.setdefault(name, {})[temperature] = kept | {"tasks": figures["tasks"]}


def _measure_bits(
    setup: Setup, sets: Sequence[TaskSet], held: Sequence[Record], facts: Mapping[str, Any], path: Path
) -> dict[str, Row]:
    """Bits of the chosen tasks' reference solutions and of the held-out answers, by task id, in the order of the tasks."""
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
    return {one: {"task_set": name, **done[one]} for name, some in ids.items() for one in some}


def _grade(
    rows: Mapping[str, Sequence[Row]], sets: Sequence[TaskSet], backend: Backend
) -> dict[str, list[Verdict]]:
    from codeact.evaluation.grade import grade

    verdicts = {}
    for task_set in sets:
        samples = [(row["task_id"], row["solution"]) for row in rows[task_set.name]]
        with track(f"run {task_set.name}", len(samples), "programs") as progress:
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
        "bits_per_byte_interval": likelihood.ends() if likelihood else None,
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
        "margin_interval": whole.ends(),
        "margin_per_token": per_token.value,
        "margin_per_token_interval": per_token.ends(),
        "prefers_right": prefers.value,
        "prefers_right_interval": prefers.ends(),
        "margin_tasks": len(found),
    }


def _pass_figures(outcomes: Mapping[str, Sequence[bool]], seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"tasks": len(outcomes), "task_ids": list(outcomes), "pass@1": None, "interval": None}
    figures["passed"] = sum(any(passed) for passed in outcomes.values())
    fewest = min((len(passed) for passed in outcomes.values()), default=0)
    for k in (k for k in KS if k <= fewest):
        estimate = rate_estimate([pass_at_k(len(p), sum(p), k) for p in outcomes.values()], seed)
        figures[f"pass@{k}"] = estimate.value
        figures["interval" if k == 1 else f"pass@{k}_interval"] = estimate.ends()
    return figures


def _graded(sets: Sequence[TaskSet], rows: Mapping[str, Sequence[Row]], verdicts: Mapping[str, Sequence[Verdict]]) -> Iterator[Row]:
    """The answers with their verdicts, as samples.jsonl has them."""
    for task_set in sets:
        for row, verdict in zip(rows[task_set.name], verdicts.get(task_set.name, []), strict=True):
            plus = {} if verdict.plus_status is None else {"plus_status": verdict.plus_status}
            yield {"task_set": task_set.base_name, **row, "status": verdict.base_status, **plus, "detail": verdict.detail}

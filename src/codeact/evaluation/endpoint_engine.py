"""Answers of an OpenAI-compatible endpoint, with the judge's client: retried, cached on disk, within a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from codeact.amounts import amount
from codeact.errors import CodeactError, InputError
from codeact.evaluation import journal
from codeact.evaluation.answering import Row, Setup, with_programs
from codeact.evaluation.generate import sample_seed
from codeact.evaluation.heard import Heard, cache_file
from codeact.evaluation.prompting import FEW_SHOT_STOPS, THOUGHT_ENDS
from codeact.evaluation.samples import FILTERED
from codeact.evaluation.task_selection import to_generate
from codeact.evaluation.tasks import Task, TaskSet
from codeact.judge.costs import LOWERED, estimate_cost
from codeact.judge.endpoint import ask
from codeact.judge.kept import Cache
from codeact.judge.settings import Request, Settings, api_key
from codeact.progress import track

SEEDS = 2**31 - 1  # what servers take
CHUNK = 4  # requests that are asked for together, for each that may run at the same time
MOST_STOPS = 4  # of OpenAI; all are cut again here


def client(setup: Setup) -> Settings:
    """How the endpoint is asked: chat turns for `instruct`, else continuations."""
    config = setup.config
    return Settings(
        config.endpoint, setup.name, api_key(config.api_key_env), concurrency=config.concurrency, timeout=config.timeout,
        max_tokens=config.max_new_tokens + config.thinking_tokens, budget=config.budget, price_in=config.price_in, price_out=config.price_out,
        completion=config.prompting != "instruct", section="evaluate", extra={"temperature": config.temperature, **config.extra},
    )  # fmt: skip


def generate_rows(setup: Setup, sets: Sequence[TaskSet], path: Path, heard: Heard) -> dict[str, list[Row]]:
    """As `answering.generate_rows`, by requests; `heard` is told of the answers.

    Raises:
        InputError: the key, the path or the model is refused, or the budget is too small (nothing is sent then).
        CodeactError: the budget is spent, or requests failed for good; what was answered is kept.
        MissingExtraError: httpx2 is not installed.
    """
    config = setup.config
    settings = client(setup)
    chosen = to_generate(sets, config)
    wanted = [(task, number) for tasks in chosen.values() for task in tasks for number in range(config.samples_per_task)]
    texts = {task.id: _text(task, setup) for tasks in chosen.values() for task in tasks}
    who = ("endpoint", settings.address, settings.model, settings.completion, settings.max_tokens, config.temperature, *([config.extra] if config.extra else []))
    # One for all tasks of a sample's number: answers are kept under it.
    seeds = [sample_seed(setup.seed, "", number) % SEEDS if config.temperature > 0 else 0 for _, number in wanted]
    keys = [journal.row_key("sample", *who, task.id, *texts[task.id], seed) for (task, _), seed in zip(wanted, seeds, strict=True)]
    done: dict[str, Row] = journal.resume(path, keys)
    left = [i for i, key in enumerate(keys) if key not in done]
    heard.answers, heard.there = heard.answers + len(keys), heard.there + len(keys) - len(left)
    requests = {i: _request(*texts[wanted[i][0].id], seeds[i], setup) for i in left}
    _check_budget([*requests.values()], settings, 0.0)
    spent = 0.0
    failed: Counter[str] = Counter()
    said: dict[str, str] = {}  # what the server, or the network, said of the first failure of a status
    refused = False
    with track("generate", len(keys), "samples", done=len(done)) as progress:
        for at in range(0, len(left), CHUNK * settings.concurrency):
            chunk = left[at : at + CHUNK * settings.concurrency]
            some = [requests[i] for i in chunk]
            _check_budget(some, settings, spent)
            rest = replace(settings, budget=None if config.budget is None else config.budget - spent)
            fresh: list[Row] = []
            for index, answer in zip(chunk, ask(some, rest, cache_file()), strict=True):
                spent += answer.usd
                heard.cached += answer.cached
                if answer.text is None:
                    failed[answer.status] += 1
                    said.setdefault(answer.status, answer.finish)
                    refused |= answer.is_refused
                    continue
                task, number = wanted[index]
                prompt, stops = texts[task.id]
                text = answer.text.removeprefix(prompt) if settings.completion else answer.text  # some servers say the prompt again
                text, finish = _cut(text, answer.finish, stops)
                fresh.append({"task_id": task.id, "sample": number, "completion": text, "tokens": None, "finish": finish, "key": keys[index]})
            journal.append(path, fresh)
            done |= {row["key"]: row for row in fresh}
            progress.advance(len(fresh), f"${spent:.2f}" if spent else "")
    if failed:
        what = "; ".join(f"{status}: {count}{f', said: {said[status]}' if said[status] else ''}" for status, count in sorted(failed.items()))
        raise CodeactError(
            f"evaluate.endpoint {settings.address}: {failed.total()} of {amount(len(keys), 'request')} failed ({what});"
            f" no figure is made of some tasks: answers are kept, start the same command again{', mended' if refused else ''}"
        )
    return with_programs(chosen, [(task, key) for (task, _), key in zip(wanted, keys, strict=True)], done, config)


def _check_budget(requests: Sequence[Request], settings: Settings, spent: float) -> None:
    if settings.budget is None:
        return
    with closing(Cache(cache_file())) as cache:
        cost = estimate_cost(requests, settings, cache)
    if spent + cost.usd > settings.budget:
        before = f"${spent:.2f} is spent, and " if spent else ""
        raise InputError(f"evaluate.budget = {settings.budget}: {before}{cost.line()}; answers are kept: raise it, or lower {LOWERED['evaluate']}")


def _text(task: Task, setup: Setup) -> tuple[str, tuple[str, ...]]:
    """What is sent, and the texts that end its answer: none of a chat turn, which its server ends."""
    prompting = setup.config.prompting
    if prompting == "instruct":
        return task.rules.question(task), ()
    return (task.few_shot, FEW_SHOT_STOPS) if prompting == "few-shot" else (task.prompt.rstrip(), task.rules.stops(task))


def _request(text: str, stops: tuple[str, ...], seed: int, setup: Setup) -> Request:
    drawn = {"seed": seed} if setup.config.temperature > 0 else {}
    return Request(text, {**drawn, "stop": list(stops[:MOST_STOPS])} if stops else drawn)


def _cut(text: str, finish: str, stops: tuple[str, ...]) -> tuple[str, str]:
    """The answer up to its first stop, and why it ends: "stop", "length", "content_filter", or "eos" where the server says neither.

    Thoughts before the answer are no part of it, and may hold any text.
    """
    begin = max(text.rfind(end) + len(end) if end in text else 0 for end in THOUGHT_ENDS)
    offsets = [at for at in (text.find(stop, begin) for stop in stops) if at >= 0]
    if offsets:
        return text[: min(offsets)], "stop"
    return text, finish if finish in ("length", FILTERED) else "eos"

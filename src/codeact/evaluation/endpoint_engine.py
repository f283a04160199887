"""Answers of an OpenAI-compatible endpoint, with the judge's client: retried, cached on disk, within a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codeact.amounts import amount
from codeact.errors import CodeactError
from codeact.evaluation import journal
from codeact.evaluation.answering import Row, Setup, with_programs
from codeact.evaluation.generate import sample_seed
from codeact.evaluation.prompting import FEW_SHOT_STOPS, THOUGHT_ENDS
from codeact.evaluation.samples import FILTERED
from codeact.evaluation.task_selection import to_generate
from codeact.evaluation.tasks import Task, TaskSet
from codeact.files import cache_dir
from codeact.judge.costs import LEDGER, Ledger, check_budget, estimate_cost, together
from codeact.judge.endpoint import Answer, ask, identified
from codeact.judge.kept import Cache
from codeact.judge.provenance import Origins
from codeact.judge.settings import Request, Settings, api_key
from codeact.progress import track

SEEDS = 2**31 - 1  # what servers take
CHUNK = 4  # requests that are asked for together, for each that may run at the same time
MOST_STOPS = 4  # of OpenAI; all are cut again here


@dataclass(frozen=True, slots=True)
class _Work:
    """The samples of one temperature, and those of them that the output folder has."""

    settings: Settings
    chosen: Mapping[str, Sequence[Task]]
    wanted: Sequence[tuple[Task, int]]
    texts: Mapping[str, tuple[str, tuple[str, ...]]]  # task id -> what is sent, and the texts that end its answer
    keys: Sequence[str]
    requests: Mapping[int, Request]  # place among the wanted -> what is asked, where the folder has no answer
    done: dict[str, Row]


class Endpoint:
    """The endpoint of one evaluation, at all its temperatures: what it has cost in all starts, and whose its answers are.

    Args:
        setup: the model's name there, and the settings.
        folder: of the results; its `spent.jsonl` holds what was spent, and one budget is for all of it.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / LEDGER, setup.name)
        self.origins = Origins(_client(setup), folder=0)
        self._served: str | None = None

    def check_costs(self, setups: Mapping[str, Setup], sets: Sequence[TaskSet]) -> None:
        """Refuse all temperatures together, before the first of them costs anything.

        Args:
            setups: name of the file of answers -> the settings.
            sets: the tasks.

        Raises:
            InputError: what they may cost exceeds the rest of the budget; or as `generate_rows`.
        """
        settings = self.origins.settings
        if settings.budget is None:
            return
        costs = []
        with closing(Cache(cache_file())) as cache:
            for name, setup in setups.items():
                work = self._work(setup, sets, self.folder / name)
                costs.append(estimate_cost([*work.requests.values()], work.settings, cache))
        check_budget(together(costs), settings, self.ledger)

    def generate_rows(self, setup: Setup, sets: Sequence[TaskSet], path: Path) -> dict[str, list[Row]]:
        """As `answering.generate_rows`, by requests. Each row also has `asked`, the moment (UTC), and `answered_by`, where the server says that
        another model gave it.

        Raises:
            InputError: the key, the path or the model is refused, or the rest of the budget is too small.
            CodeactError: the budget is spent, or requests failed for good; what was answered is kept.
            MissingExtraError: httpx2 is not installed.
        """
        work = self._work(setup, sets, path)
        settings, done = work.settings, dict(work.done)
        for row in done.values():
            self.origins.add_kept(row.get("answered_by", ""), row.get("asked", ""))
        failed: Counter[str] = Counter()
        said: dict[str, str] = {}  # what the server, or the network, said of the first failure of a status
        refused = False
        left = [*work.requests]
        with track("generate", len(work.keys), "samples", done=len(done)) as progress:
            for at in range(0, len(left), CHUNK * settings.concurrency):
                chunk = left[at : at + CHUNK * settings.concurrency]
                fresh: list[Row] = []
                for index, answer in zip(chunk, ask([work.requests[i] for i in chunk], settings, cache_file(), ledger=self.ledger), strict=True):
                    self.origins.add(answer)
                    if answer.text is None:
                        failed[answer.status] += 1
                        said.setdefault(answer.status, answer.finish)
                        refused |= answer.is_refused
                        continue
                    task, number = work.wanted[index]
                    told = _completion(answer.text, answer.finish, *work.texts[task.id], settings)
                    fresh.append({"task_id": task.id, "sample": number, **told, **_origin(answer, settings), "key": work.keys[index]})
                journal.append(path, fresh)
                done |= {row["key"]: row for row in fresh}
                progress.advance(len(fresh), f"${self.ledger.total:.2f}" if self.ledger.total else "")
        if failed:
            what = "; ".join(f"{status}: {count}{f', said: {said[status]}' if said[status] else ''}" for status, count in sorted(failed.items()))
            raise CodeactError(
                f"evaluate.endpoint {settings.address}: {failed.total()} of {amount(len(work.keys), 'request')} failed ({what});"
                f" no figure is made of some tasks: answers are kept, start the same command again{', mended' if refused else ''}"
            )
        return with_programs(work.chosen, [(task, key) for (task, _), key in zip(work.wanted, work.keys, strict=True)], done, setup.config)

    def facts(self) -> dict[str, Any]:
        """As results.json has them: `Origins.facts`, and `usd` where tokens have a price."""
        priced = self.origins.settings.price_in or self.origins.settings.price_out
        return {**self.origins.facts(), **({"usd": round(self.ledger.own, 6)} if priced else {})}

    def warnings(self) -> list[str]:
        """What a reader of the figures has to know of whose the answers are."""
        lines = [*filter(None, [self.origins.kept()]), *self.origins.others()]
        return [f"evaluate.endpoint {self.origins.settings.address}: {line}" for line in lines]

    def _settings(self, setup: Setup) -> Settings:
        """How it is asked at a temperature; what it has loaded is asked for once."""
        if self._served is None:
            self._served = identified(self.origins.settings).served
        return replace(_client(setup), served=self._served)

    def _work(self, setup: Setup, sets: Sequence[TaskSet], path: Path) -> _Work:
        config = setup.config
        chosen = to_generate(sets, config)
        wanted = [(task, number) for tasks in chosen.values() for task in tasks for number in range(config.samples_per_task)]
        texts = {task.id: _text(task, setup) for tasks in chosen.values() for task in tasks}
        settings = self._settings(setup) if wanted else _client(setup)
        who = ("endpoint", settings.address, settings.model, settings.completion, settings.max_tokens, config.temperature,
               *filter(None, (config.extra, settings.served, settings.since)))  # fmt: skip
        # One for all tasks of a sample's number: answers are kept under it.
        seeds = [sample_seed(setup.seed, "", number) % SEEDS if config.temperature > 0 else 0 for _, number in wanted]
        keys = [journal.row_key("sample", *who, task.id, *texts[task.id], seed) for (task, _), seed in zip(wanted, seeds, strict=True)]
        done: dict[str, Row] = journal.resume(path, keys)
        requests = {i: _request(*texts[wanted[i][0].id], seeds[i], setup) for i, key in enumerate(keys) if key not in done}
        return _Work(settings, chosen, wanted, texts, keys, requests, done)


def cache_file() -> Path:
    """Where answers are kept, for all evaluations of this user."""
    return cache_dir() / "endpoint" / "answers.sqlite"


def _client(setup: Setup) -> Settings:
    """Chat turns for `instruct`, else continuations."""
    config = setup.config
    return Settings(
        config.endpoint, setup.name, api_key(config.api_key_env), concurrency=config.concurrency, timeout=config.timeout,
        max_tokens=config.max_new_tokens + config.thinking_tokens, budget=config.budget, price_in=config.price_in, price_out=config.price_out,
        completion=config.prompting != "instruct", section="evaluate", extra={"temperature": config.temperature, **config.extra},
        since=config.asked_since,
    )  # fmt: skip


def _completion(text: str, finish: str, prompt: str, stops: tuple[str, ...], settings: Settings) -> Row:
    text, finish = _cut(text.removeprefix(prompt) if settings.completion else text, finish, stops)  # some servers say the prompt again
    return {"completion": text, "tokens": None, "finish": finish}


def _origin(answer: Answer, settings: Settings) -> Row:
    other = {"answered_by": answer.model} if answer.model and answer.model != settings.model else {}
    return {"asked": answer.asked, **other}


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

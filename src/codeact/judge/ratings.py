"""Ratings by a language model: what is asked (rubrics), and what a local model's probabilities answer. `codeact.judge.answers` reads texts.

AlpaGasus (arXiv 2307.08701) asks a judge for the accuracy of each response from 0 to 5 and keeps those of at least 4.5.
DEITA (arXiv 2312.15685) ranks by complexity times quality, each from 1 to 6; its own scorers are trained models, here both are
asked of the judge. The prompts are this project's wording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.judge.answers import Rating
from codeact.records import Record
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    from codeact.lm.prompts import Template


@dataclass(frozen=True, slots=True)
class Rubric:
    """One question about a record: the name of its column, its template, and the ends of its scale."""

    name: str
    template: str
    low: int
    high: int


RUBRICS: Mapping[str, Rubric] = {
    "accuracy": Rubric("rating", "judge_accuracy", 0, 5),
    "complexity": Rubric("complexity", "judge_complexity", 1, 6),
    "quality": Rubric("quality", "judge_quality", 1, 6),
}


def rubric(name: str) -> Rubric:
    """The rubric of this name.

    Raises:
        InputError: there is none.
    """
    if name not in RUBRICS:
        raise InputError(f"judge.rubrics: {name!r} is unknown; the rubrics are {', '.join(RUBRICS)}")
    return RUBRICS[name]


def render(template: str, records: Sequence[Record]) -> list[str]:
    """The prompt of each record from one of the package's templates."""
    return list(map(prompt_writer(template), records))


def prompt_writer(template: str) -> Callable[[Record], str]:
    """What makes a record's prompt from one of the package's templates."""
    import jinja2

    source = (resources.files("codeact") / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=False, keep_trailing_newline=False).from_string(source)
    return lambda record: page.render(instruction=record.instruction, response=record.response)


def local_ratings(
    prompts: Sequence[str],
    model: Model,
    tokenizer: Tokenizer,
    template: Template,
    *,
    low: int,
    high: int,
    min_mass: float = DEFAULTS.judge.min_mass,
    batch_tokens: int = 0,
    advance: Callable[[int], None] | None = None,
) -> list[Rating]:
    """Expected rating of a local model: its next-token probabilities of the whole numbers from `low` to `high`, renormalised.

    sum of d * p(d) / sum of p(d), as G-Eval weights scores by token probability (arXiv 2303.16634). The answer is opened with
    "Rating:", and prompts share rows (`codeact.lm.rows`).

    Args:
        prompts: one per record.
        model, tokenizer: of `codeact.lm.models`.
        template: how a prompt becomes the model's input (`codeact.lm.prompts.load_template`).
        low, high: single digits.
        min_mass: least probability of all these digits together; below it the status is unsure.
        batch_tokens: tokens of a forward pass; 0: chosen from the device.
        advance: called with the number of records after each row.

    Raises:
        InputError: the tokenizer does not write the digits as distinct tokens.
        CodeactError: the model's logits are not those of its output head, or it is no causal LM.
    """
    import numpy as np
    import torch

    from codeact.lm.forward import head_logits, hidden_states
    from codeact.lm.models import context_length
    from codeact.lm.rows import make_batch, plan_rows
    from codeact.lm.streams import check_model, choose_batch_tokens

    layout = check_model(model)
    limit = context_length(model.config.get_text_config()) or 2**31
    digits = torch.arange(low, high + 1, dtype=torch.float64)
    asked = [_open_answer(prompt, template, tokenizer, low, high) for prompt in prompts]
    ratings: list[Rating] = [Rating(None, "too_long", f"{len(ids)} tokens") for ids, _ in asked]
    usable = [n for n, (ids, _) in enumerate(asked) if len(ids) <= limit]
    if not usable:
        return ratings
    samples = [{"input_ids": np.asarray(asked[n][0], np.int64)} for n in usable]
    lengths = np.array([len(s["input_ids"]) for s in samples], np.int64)
    with torch.inference_mode():
        for row in plan_rows(lengths, batch_tokens or choose_batch_tokens(model), layout, model.config):
            batch, starts = make_batch(samples, row, layout, model.device)
            last = torch.from_numpy(starts + lengths[row] - 1).to(model.device)
            states = hidden_states(model, batch).flatten(0, 1).index_select(0, last)
            shares = head_logits(model, states).double().softmax(-1).cpu()
            for index, number in enumerate(row):
                choice = shares[index, asked[usable[number]][1]]
                mass = float(choice.sum())
                fine = mass >= min_mass and mass > 0
                expected = float((choice * digits).sum()) / mass if fine else None
                ratings[usable[number]] = Rating(
                    expected, "ok" if fine else "unsure", "" if fine else f"digits have probability {mass:.3g}"
                )
            if advance is not None:
                advance(len(row))
    return ratings


def _open_answer(
    prompt: str, template: Template, tokenizer: Tokenizer, low: int, high: int
) -> tuple[list[int], list[int]]:
    """Token ids up to where the digit is due, and the token of each digit there."""
    from codeact.lm.prompts import encode_text, prompt_text
    from codeact.records import Message

    text = prompt_text([Message("user", prompt)], template, tokenizer) + "Rating:"
    coded = [encode_text(f"{text} {digit}", template, tokenizer) for digit in range(low, high + 1)]
    shortest = min(map(len, coded))
    at = next((i for i in range(shortest) if len({ids[i] for ids in coded}) > 1), shortest)
    tokens = [ids[at] for ids in coded if at < len(ids)]
    if len(set(tokens)) != high - low + 1:
        raise InputError(
            "this tokenizer does not write single digits as distinct tokens; use a judge behind an endpoint"
        )
    return coded[0][:at], tokens


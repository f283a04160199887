"""Ratings by a language model: what is asked (rubrics), and how its answer is read. A text that is not clearly one rating is a status.

AlpaGasus (arXiv 2307.08701) asks a judge for the accuracy of each response from 0 to 5 and keeps those of at least 4.5.
DEITA (arXiv 2312.15685) ranks by complexity times quality, each from 1 to 6; its own scorers are trained models, here both are
asked of the judge. The prompts are this project's wording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

from codeact.config import DEFAULTS
from codeact.errors import InputError
from codeact.records import Record
from codeact.spoken import spoken
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    from codeact.lm.prompts import Template

Status = Literal["ok", "unparsed", "ambiguous", "out_of_range", "no_answer", "too_long", "unsure"]


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


@dataclass(frozen=True, slots=True)
class Rating:
    """What a judge said of one record.

    Attributes:
        value: on the rubric's scale; None unless the status is ok.
        status: ok; unparsed (no rating found), ambiguous (several that differ), out_of_range; no_answer (the endpoint failed),
            too_long (beyond the judge's context), unsure (a local judge that does not answer with a digit).
        detail: the answer's beginning, or the endpoint's error, where the status is not ok.
    """

    value: float | None
    status: Status
    detail: str = ""


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


_NUMBER = r"(?<![\w.,-])(-?\d+(?:[.,]\d+)?)(?![\w%]|[.,]\d|\s*(?:-|–|—|to|or)\s*\d)"
_LABEL = r"(?:overall\s+)?(?:score|rating|accuracy|quality|complexity)"
_SCALE = r"(?:\s*(?:/|out\s+of)\s*(\d+(?:[.,]\d+)?)(?!\w|[.,]\d))?"
_MARK = r"[\s*_`\"'(\[]*"
_ALONE = re.compile(
    rf"^{_MARK}(?:{_LABEL}{_MARK}(?::|=|is|of)?{_MARK})?{_NUMBER}{_SCALE}[\s*_`\"')\].]*$", re.IGNORECASE
)
_LABELLED = re.compile(rf"\b{_LABEL}{_MARK}(?::|=|is|of|would be|at|as){_MARK}{_NUMBER}{_SCALE}", re.IGNORECASE)
_SCALED = re.compile(rf"{_NUMBER}\s*(?:/|out\s+of)\s*(\d+(?:[.,]\d+)?)(?!\w|[.,]\d)", re.IGNORECASE)


def parse_rating(text: str, low: int, high: int) -> Rating:
    """Read a rating strictly.

    Thinking before the answer is left out. A first line that holds nothing but a number counts ("4.5", "Score: 4.5", "**4.5/5**"). Otherwise every "score: N",
    "rating is N", "N/5" or "N out of 5" in the text counts, and all of them must agree; bare numbers in prose and ranges
    ("4-5") do not count. A stated scale must end at `high`.

    Args:
        text: the judge's answer.
        low, high: the ends of the scale.
    """
    answer = spoken(text).strip()
    lines = answer.splitlines()
    first = _ALONE.match(lines[0]) if lines else None
    found = [first] if first else [*_LABELLED.finditer(answer), *_SCALED.finditer(answer)]
    said = {(_float(match[1]), _float(match[2]) if match[2] else float(high)) for match in found}
    beginning = " ".join((answer or text).split())[:80]
    if not said:
        return Rating(None, "unparsed", beginning)
    if len(said) > 1:
        return Rating(None, "ambiguous", beginning)
    value, scale = said.pop()
    if scale != high or not low <= value <= high:
        return Rating(None, "out_of_range", beginning)
    return Rating(value, "ok")


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


def _float(text: str) -> float:
    return float(text.replace(",", "."))

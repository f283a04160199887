"""What functions without documentation are for, in the words of a judge endpoint: their instructions, or why there is none."""

from __future__ import annotations

import re

from codeact.amounts import amount
from codeact.config import JudgeConfig, Recipe
from codeact.curate.completeness import check_complete
from codeact.errors import CodeactError, InputError
from codeact.harvesting import DESCRIBED_BY, Harvest, with_descriptions
from codeact.harvesting.documentation import MIN_DOC_WORDS, count_words
from codeact.judge.asking import ask_endpoint
from codeact.judge.ratings import render

TEMPLATE = "describe"
QUOTED = 16  # characters of a statement, without its blanks, that no description needs to repeat
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_OPENING = re.compile(r"(?:sure|certainly|of course|okay|here(?:'s| is| are)|description)\b[^\n]{0,120}:\s*\n+", re.IGNORECASE)
_FRAME = re.compile(r"(?:```(?:text|markdown|md)?[^\S\n]*\n(?P<fenced>(?:(?!```).)*)\n?```|\"\"\"(?P<quoted>(?:(?!\"\"\").)*)\"\"\")", re.DOTALL)
# A function says nothing of itself in the first person; a model that declines does.
_DECLINES = re.compile(
    r"i(?:[’']m|[’']ve|\s)|sorry\b|as an? (?:ai|language)\b|unfortunately\b|please (?:provide|share|give)\b"
    r"|(?:很?抱歉|对不起|作为(?:一个)?(?:ai|人工智能))",
    re.IGNORECASE,
)


def check_endpoint(judge: JudgeConfig) -> None:
    """Refuse to describe without somebody to ask, before anything is read.

    Raises:
        InputError: no address, or no model.
    """
    for key, value in (("endpoint", judge.endpoint), ("model", judge.model)):
        if not value:
            raise InputError(
                f"harvest: judge.{key} is empty, and descriptions are written by an endpoint; for example"
                " --set judge.endpoint=http://localhost:8000/v1 --set judge.model=NAME"
            )


def described(found: Harvest, recipe: Recipe) -> tuple[Harvest, float]:
    """A harvest with its undocumented functions described by the endpoint or left out, and what that cost in dollars.

    Raises:
        InputError: the endpoint refuses the key or the model, or the estimate is above the budget.
        CodeactError: the budget is spent, the endpoint failed too often (the answers so far are kept), or no answer was a description.
    """
    asked = [record for record in found.records if record.meta.get(DESCRIBED_BY) == ""]
    if not asked:
        return found, 0.0
    answers, told = ask_endpoint(render(TEMPLATE, asked), [record.id for record in asked], recipe.judge, "describe", recipe.judge.description_tokens, whole=True)
    read = [read_description(a.text, record.response) if a.text is not None else ("", a.status) for a, record in zip(answers, asked, strict=True)]
    descriptions = {record.id: text for record, (text, _) in zip(asked, read, strict=True) if text}
    faults = {record.id: fault for record, (_, fault) in zip(asked, read, strict=True) if fault}
    if not descriptions:
        raise CodeactError(f"harvest: none of {amount(len(asked), 'answer')} of {recipe.judge.model} is a description; the first: {read[0][1]}")
    return with_descriptions(found, descriptions, faults, recipe.judge.model, recipe.data.harvest.secrets), told["usd"]


def read_description(answer: str, code: str) -> tuple[str, str]:
    """(the description, "") or ("", why the answer is none); a frame around it is taken off, nothing else is changed.

    A description that repeats the code would give the answer away.
    """
    text = _OPENING.sub("", _THOUGHT.sub("", answer).strip(), count=1).strip()
    if framed := _FRAME.fullmatch(text):
        text = (framed["fenced"] or framed["quoted"] or "").strip()
    if text.startswith("<think>"):
        return "", "cut off"
    if count_words(text) < MIN_DOC_WORDS:
        return "", "says too little"
    if _DECLINES.match(text):
        return "", "refused"
    if "```" in text or _quotes(text, code):
        return "", "holds the code"
    verdict = check_complete(text)
    return ("", verdict.reason) if verdict.status in ("failed", "doubtful") else (text, "")


def _quotes(text: str, code: str) -> bool:
    """Whether a whole line of the body stands in the text, but for its `return`; the signature is in the instruction anyway."""
    said = "".join(text.split())
    body = ["".join(re.sub(r"^\s*(?:return|yield|await)\b", "", line).split()) for line in code.split("\n")[1:]]
    return any(len(line) >= QUOTED and line in said for line in body)

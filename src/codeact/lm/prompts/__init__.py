"""Records to text to tokens: prompt templates, which tokens are the answer, what generation is given and where it ends."""

from codeact.lm.prompts.answers import Answer, Rendered, locate, render
from codeact.lm.prompts.templates import (
    BUILT_IN,
    NO_WORDS,
    Template,
    check_vocabulary,
    encode_text,
    has_words,
    limit_vocabulary,
    load_template,
    piece,
    prompt_text,
    special_ids,
)
from codeact.lm.prompts.tokens import Asked, Encoded, Turn, ask, ask_to_think, encode
from codeact.lm.prompts.turns import RefusedError

__all__ = [
    "BUILT_IN",
    "NO_WORDS",
    "Answer",
    "Asked",
    "Encoded",
    "RefusedError",
    "Rendered",
    "Template",
    "Turn",
    "ask",
    "ask_to_think",
    "check_vocabulary",
    "encode",
    "encode_text",
    "has_words",
    "limit_vocabulary",
    "load_template",
    "locate",
    "piece",
    "prompt_text",
    "render",
    "special_ids",
]

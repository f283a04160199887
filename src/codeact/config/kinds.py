"""The kinds of values that recipe keys take, beside plain numbers and texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Tracker = Literal["tensorboard", "wandb", "trackio"]
Unit = Literal["records", "tokens"]

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy, scikit-learn and PyTorch all take

Benchmark = Literal["humaneval", "mbpp", "mbpp-all", "humanevalpack", "cruxeval"]
SecretKind = Literal["keys", "passwords", "emails"]
HarvestLanguage = Literal["python", "c", "cpp", "go", "java", "javascript", "rust", "typescript"]
SECRET_KINDS: tuple[SecretKind, ...] = get_args(SecretKind)
Check = Literal["syntax", "grammars", "complete", "language", "names", "examples"]


def strategies() -> list[str]:
    """The names in the table of strategies, which is read when it is asked for: it loads numpy, and `codeact --help` need not."""
    from codeact.sample.strategies import names

    return names()


def _known_strategy(name: str) -> str:
    from codeact.sample.strategies import unknown

    if hint := unknown(name):
        raise ValueError(hint)
    return name


@dataclass(frozen=True)
class OneOf:
    """Marks a key that takes one of some names, for the list of keys and the JSON schema."""

    names: Callable[[], list[str]]

    def __get_pydantic_json_schema__(self, core: object, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(core), "enum": self.names()}


Strategy = Annotated[str, AfterValidator(_known_strategy), OneOf(strategies)]

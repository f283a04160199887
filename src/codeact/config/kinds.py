"""The kinds of values that recipe keys take, beside plain numbers and texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from codeact.redact import split_userinfo

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


def _base_address(value: str) -> str:
    if not value:
        return value
    try:
        bare, _ = split_userinfo(value)
        parts = urlsplit(bare)
        known = "@" not in bare and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # what it says may quote the password
        raise ValueError("is no address: its host or its port cannot be read; give http(s)://HOST:PORT/v1") from None
    if not known:
        raise ValueError("give http(s)://HOST/v1; what is special in a user:password@ before HOST is percent-encoded")
    if "?" in bare or "#" in bare:
        raise ValueError("give the base address without ? and #; a key belongs into the environment variable that api_key_env names")
    if re.search(r"[\s\x00-\x1f\x7f]", bare):
        raise ValueError("holds a blank; give http(s)://HOST/v1")
    return value


def _variable(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("give the name of an environment variable, not the key itself")
    return value


def _moment(value: object) -> object:
    """YAML makes dates of what looks like one."""
    if value == "" or not isinstance(value, str | date):
        return value
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else value.isoformat())
    except ValueError:
        raise ValueError("give a date, or a date with a time in UTC: 2025-01-31 or 2025-01-31T18:00") from None
    found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    if found > datetime.now(UTC):
        raise ValueError("is in the future; give a moment in UTC that has passed, or every start would ask anew")
    return found.isoformat(timespec="seconds")


# Of an endpoint; what is written of it is without user and password.
Address = Annotated[str, AfterValidator(_base_address), PlainSerializer(lambda value: split_userinfo(value)[0], return_type=str)]
KeyVariable = Annotated[str, AfterValidator(_variable)]
Moment = Annotated[str, BeforeValidator(_moment)]  # in UTC to the second, so that two compare as texts; empty: none

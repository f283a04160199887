"""What a server's response says: the answer in it, why it ends, what it used; or why there is none."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codeact.judge.kept import BROKEN

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED = {
    401: "the key is refused", 402: "no credit is left", 403: "access is refused", 404: "no such path or model", 405: "no such path"
}  # fmt: skip
USED_UP = b"insufficient_quota"  # a 429 of OpenAI that no waiting mends
# Why an answer without a text ends: it is one, and empty. All tokens went into thoughts, or a filter took it away.
EMPTY = ("stop", "length", "content_filter")
CUT = ("length", "content_filter")
"""Why a text ends that would have gone on."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the body of a response says.

    Attributes:
        text: the answer; None: there is none.
        status: "ok"; "error" where the server says that it broke the answer off, or could not make one; "malformed".
        finish: why it ends, as the server says it; empty: it does not say.
        model: the name of the model that answered, as the server says it.
        used: tokens of the prompt and of the answer; None where the server does not say.
        began: whether there is an answer, of whatever kind, that may have been paid for.
        fault: what is said in place of an answer.
    """

    text: str | None
    status: str
    finish: str = ""
    model: str = ""
    used: tuple[int | None, int | None] = (None, None)
    began: bool = False
    fault: str = ""


def read(body: bytes, completion: bool = False) -> Said:
    """Read the body of a response to one request.

    Args:
        body: JSON as OpenAI's API has it; whatever else.
        completion: it answers a request for the continuation of a text, not a chat turn.
    """
    whole = body[: 2**16].decode("utf-8", "replace")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Said(None, "malformed", fault=whole)
    if not isinstance(value, Mapping):
        return Said(None, "malformed", fault=whole)
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    message = choice.get("message")
    text = choice.get("text") if completion else message.get("content") if isinstance(message, Mapping) else None
    finish, model, used = _text(choice.get("finish_reason")), _text(value.get("model")), usage(value)
    error = value.get("error") or choice.get("error")
    if error or finish in BROKEN:
        said = _text(error.get("message")) if isinstance(error, Mapping) else _text(error)
        return Said(None, "error", finish, model, used, bool(choice), said or whole)
    if isinstance(text, list):
        text = _joined(text)
    if text is None and finish in EMPTY and choice:
        text = ""
    if not isinstance(text, str):
        return Said(None, "malformed", finish, model, used, bool(choice), whole)
    return Said(_text(text), "ok", finish, model, used, True)


def usage(value: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of the prompt and of the answer that a response says were used."""
    told = value.get("usage")
    counts = [told.get(name) if isinstance(told, Mapping) else None for name in ("prompt_tokens", "completion_tokens")]
    known = [count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None for count in counts]
    return known[0], known[1]


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for: a number or an HTTP date (RFC 9110, section 10.2.3); 0 where it says nothing."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, date.timestamp() - time.time())


def _joined(parts: list[Any]) -> str | None:
    """The texts of a content in parts, as some servers have it; None where no part is a text."""
    found = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | Mapping)]
    texts = [text for text in found if isinstance(text, str)]
    return "".join(texts) if texts else None


def _text(value: object) -> str:
    """A text without halves of surrogate pairs, which nothing can keep; anything else is empty."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""

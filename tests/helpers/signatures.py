"""Signatures on one line, as docs/api.md shows them."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

PLAIN = str | int | float | bool | tuple | None


def one_line(name: str, value: Any) -> str:
    """`select(data, *, ratio=0.4)`; of an exception or a section of the recipe the name alone."""
    if isinstance(value, type) and issubclass(value, Exception | BaseModel):
        return name
    parts = []
    kinds = inspect.Parameter
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is kinds.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        stars = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = parameter.default
        shown = "" if default is kinds.empty else f"={default!r}" if isinstance(default, PLAIN) else "=..."
        parts.append(f"{stars}{parameter.name}{shown}")
    return f"{name}({', '.join(parts)})"

"""What is told apart beside values where a check program and the function that it calls act as if they were one process.

A NaN equals itself alone, so `f([n]) == [n]` asks whether it is the same one: each has a name on both sides. Counters,
ordered dicts, defaultdicts of built-in types, frozen sets, byte arrays, ranges, NotImplemented and ..., and numpy's plain arrays and numbers arrive as what they are.
"""

from __future__ import annotations

import math
import sys

from codeact.sandbox.opaque import DTYPE, OpaqueArray
from codeact.sandbox.values import FACTORIES, MAX_ITEMS, PLAIN_INT, encode, tell_apart

MAX_NANS = 10_000
_named: dict[str, float] = {}
_names: dict[int, str] = {}


def converse(side: str) -> None:
    """From now on, this process takes part in a conversation; `side` is one letter, another on each side."""
    _keep("nanm", math.nan)

    def told(value: object, kind: type) -> str | None:
        if isinstance(value, float) and kind is float:
            return f'{{"f":"{_name(value, side)}"}}' if math.isnan(value) else None
        return _told(value, kind)

    tell_apart(told, _nan, OpaqueArray.made)


def _keep(name: str, value: float) -> float:
    _named[name] = value
    _names[id(value)] = name  # which stays its own, since the table keeps it
    return value


def _name(value: float, side: str) -> str:
    numpy = sys.modules.get("numpy")
    if numpy is not None and "nann" not in _named:
        _keep("nann", numpy.nan)
    known = _names.get(id(value))
    if known is None and len(_named) < MAX_NANS:
        known = f"nan{side}{len(_named)}"
        _keep(known, value)
    return known or "nan"


def _nan(name: str) -> float:
    if name == "nan" or (name not in _named and len(_named) >= MAX_NANS):
        return float("nan")
    if name in _named:
        return _named[name]
    numpy = sys.modules.get("numpy")
    return _keep(name, numpy.nan if name == "nann" and numpy is not None else float("nan"))


def _told(value: object, kind: type) -> str | None:
    if isinstance(value, frozenset) and kind is frozenset:
        return f'{{"z":[{",".join(sorted([encode(item) for item in value]))}]}}'
    if isinstance(value, bytearray) and kind is bytearray:
        return f'{{"a":"{value.hex()}"}}'
    if isinstance(value, range) and len(value) <= MAX_ITEMS and max(abs(value.start), abs(value.stop), abs(value.step)) < PLAIN_INT:
        return f'{{"r":[{value.start},{value.stop},{value.step}]}}'
    if value is NotImplemented or value is ...:
        return f'{{"w":"{value!r}"}}'
    if kind.__module__ == "collections" and isinstance(value, dict) and kind.__name__ in ("Counter", "OrderedDict"):
        tag = "k" if kind.__name__ == "Counter" else "e"
        return f'{{"{tag}":[{",".join([f"[{encode(key)},{encode(item)}]" for key, item in value.items()])}]}}'
    if kind.__module__ == "collections" and isinstance(value, dict) and kind.__name__ == "defaultdict":
        made = getattr(value, "default_factory", None)
        if name := next((name for name, one in FACTORIES.items() if one is made), ""):
            return f'{{"l":["{name}",[{",".join([f"[{encode(key)},{encode(item)}]" for key, item in value.items()])}]]}}'
    return _told_array(value, kind) if kind.__module__ == "numpy" else None


def _told_array(value: object, kind: type) -> str | None:
    import numpy

    if not (isinstance(value, numpy.generic) or (isinstance(value, numpy.ndarray) and kind is numpy.ndarray)) or not DTYPE.fullmatch(value.dtype.str):
        return None
    shape = f"[{','.join(map(str, value.shape))}]" if kind is numpy.ndarray else "null"
    return f'{{"h":["{value.dtype.str}",{shape},"{value.tobytes().hex()}"]}}'

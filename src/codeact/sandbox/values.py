"""Values that cross the sandbox border, as tagged JSON text. Standard library only: the same source runs on both sides.

None, booleans, strings, lists, finite floats and small integers are plain JSON. Everything else is an object with one
key, the tag: {"i": "-1f"} integer in hexadecimal, {"f": "nan"}, {"c": [re, im]}, {"t": [...]} tuple, {"s": [...]} set,
{"d": [[key, value], ...]} dict, {"b": "00ff"} bytes, {"o": "re.Match"} a value of another type, which cannot cross.
"""

from __future__ import annotations

import marshal
import math
from collections.abc import Callable
from typing import Any

try:
    from _json import encode_basestring_ascii as _quote  # saves the child the import of json
except ImportError:
    from json.encoder import py_encode_basestring_ascii as _quote

PLAIN_INT = 1 << 53
CHUNK = 1 << 16
# Members of one set or dict that may share a hash: -1 and -2 do; many more is an attack on the decoder.
MAX_HASH_SHARE = 8


class Opaque:
    """Stands for a value whose type cannot cross the border. It equals nothing but itself."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return f"<{self.type_name} object>"


def encode(value: Any) -> str:
    """Tagged JSON text of `value`. Instances of subclasses travel as the built-in type they extend.

    Raises:
        RecursionError: `value` is nested too deeply or contains itself.
    """
    kind = type(value)
    if kind is int:
        if -PLAIN_INT < value < PLAIN_INT:
            return str(value)
        return f'{{"i":"{value:x}"}}'
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return repr(value) if math.isfinite(value) else f'{{"f":"{value!r}"}}'
    if kind is str:
        return str(_quote(value))
    if kind is list:
        return f"[{','.join([encode(item) for item in value])}]"
    if kind is tuple:
        return f'{{"t":[{",".join([encode(item) for item in value])}]}}'
    if kind is dict:
        return f'{{"d":[{",".join([f"[{encode(key)},{encode(item)}]" for key, item in value.items()])}]}}'
    if kind is set or kind is frozenset:
        return f'{{"s":[{",".join(sorted([encode(item) for item in value]))}]}}'
    if kind is complex:
        return f'{{"c":[{encode(value.real)},{encode(value.imag)}]}}'
    if kind is bytes or kind is bytearray:
        return f'{{"b":"{value.hex()}"}}'
    return _encode_other(value, kind)


# Type and what makes a plain built-in value of an instance of it or of a subclass.
PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (list, list),
    (tuple, tuple),
    (dict, dict),
    (set, set),
    (frozenset, set),
    (complex, complex),
    (bytes, bytes),
    (type({}.keys()), set),
)


def _encode_other(value: Any, kind: type) -> str:
    for base, plain in PLAIN:
        if isinstance(value, base):
            return encode(plain(value))
    if kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return encode(value.item())
    return f'{{"o":{_quote(f"{kind.__module__}.{kind.__qualname__}")}}}'


def decode(text: str | bytes) -> Any:
    """The value behind `text`, made of built-in types only.

    Raises:
        ValueError: `text` is no tagged JSON, or was built to make the decoder slow.
        RecursionError: it is nested too deeply.
    """
    import json

    return _untag(json.loads(text, parse_constant=_no_constant), hashable=False)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not tagged")


def _untag(node: Any, hashable: bool) -> Any:
    kind = type(node)
    if kind is list:
        if hashable:
            raise ValueError("a list cannot be a key or a member of a set")
        return [item if type(item) not in (list, dict) else _untag(item, False) for item in node]
    if kind is not dict:
        return node
    if len(node) != 1:
        raise ValueError("a tagged value has exactly one key")
    ((tag, body),) = node.items()
    if tag in ("t", "s", "d", "c") and type(body) is not list:
        raise ValueError(f"the body of {tag!r} is not a list")
    if tag in ("i", "f", "b", "o") and type(body) is not str:
        raise ValueError(f"the body of {tag!r} is not a string")
    if tag == "t":
        return tuple([_untag(item, hashable) for item in body])
    if tag == "s":
        members = _check_hashes([_untag(item, True) for item in body])
        return frozenset(members) if hashable else set(members)
    if tag == "d" and not hashable:
        if any(type(pair) is not list or len(pair) != 2 for pair in body):
            raise ValueError("an entry of a dict is not a pair")
        keys = _check_hashes([_untag(pair[0], True) for pair in body])
        return dict(zip(keys, [_untag(pair[1], False) for pair in body], strict=True))
    if tag == "i":
        return int(body, 16)
    if tag == "f" and body in ("nan", "inf", "-inf"):
        return float(body)
    if tag == "c" and len(body) == 2:
        real, imag = (_untag(part, True) for part in body)
        if isinstance(real, float) and isinstance(imag, float):
            return complex(real, imag)
    if tag == "b":
        return bytes.fromhex(body)
    if tag == "o":
        return Opaque(body)
    raise ValueError(f"unknown tag {tag!r}")


def _check_hashes(members: list[Any]) -> list[Any]:
    if len(members) > MAX_HASH_SHARE:
        from collections import Counter

        if max(Counter(map(hash, members)).values()) > MAX_HASH_SHARE:
            raise ValueError("too many members share a hash")
    return members


def fingerprint(value: Any, smallest: int) -> tuple[str, int]:
    """Digest and size in bytes of a value of exact built-in types; the digest is "" below `smallest` bytes.

    Equal digests mean equal types, values and order. Different digests decide nothing: 1 equals 1.0, sets have no order.
    ("", 0) stands for a value of any other type.
    """
    try:
        if type(value) is list and len(value) > CHUNK:
            pieces = [marshal.dumps(len(value), 2)]
            size = 0
            for start in range(0, len(value), CHUNK):
                packed = marshal.dumps(value[start : start + CHUNK], 2)
                size += len(packed)
                pieces.append(_sha256(packed))
            return _sha256(b"".join(pieces)).hex(), size
        packed = marshal.dumps(value, 2)
        return (_sha256(packed).hex() if len(packed) >= smallest else ""), len(packed)
    except ValueError:
        return "", 0


def _sha256(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).digest()

"""Values that cross the sandbox border, as tagged JSON text. Standard library only: the same source runs on both sides.

None, booleans, strings, lists, finite floats and small integers are plain JSON. Everything else is an object with one
key, the tag: {"i": "-1f"} integer in hexadecimal, {"f": "nan"}, {"c": [re, im]}, {"t": [...]} tuple, {"s": [...]} set,
{"d": [[key, value], ...]} dict, {"b": "00ff"} bytes, {"q": ["1", "-3"]} fraction, {"m": "0.10"} decimal,
{"o": "re.Match"} a value of another type, which cannot cross, {"y": ["collections.deque", [...]]} the same with its items
where it has a length and {"g": ["builtins.map", [...]]} where it has none.

In a conversation (`codeact.sandbox.conversation`) further kinds are told apart: {"f": "nanc3"} one NaN, {"z": [...]} frozen set,
{"a": "00ff"} byte array, {"k": [...]} Counter, {"e": [...]} OrderedDict, {"l": ["int", [...]]} defaultdict, {"r": [0, 9, 1]} range, {"w": "Ellipsis"},
{"x": [...]} as "g" where it gives its items once, {"h": ["<f8", [2], "00ff..."]} array of numpy, or its number where the shape is null.
"""

from __future__ import annotations

import marshal
import math
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from codeact.sandbox.opaque import Opaque, OpaqueArray, OpaqueIterator, OpaqueSized

if TYPE_CHECKING:
    from decimal import Decimal
    from fractions import Fraction

try:
    from _json import encode_basestring_ascii as _quote  # saves the child the import of json
except ImportError:
    from json.encoder import py_encode_basestring_ascii as _quote

PLAIN_INT = 1 << 53
CHUNK = 1 << 16
# Members of one set or dict that may share a hash: -1 and -2 do; many more is an attack on the decoder.
MAX_HASH_SHARE = 8
# What may make a missing value of a defaultdict, on both sides.
FACTORIES: dict[str, type] = {kind.__name__: kind for kind in (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)}
# An error message or a process's last words, which end up in results.
MESSAGE_CHARACTERS = 300
# Values in one answer, and those that hold others. The largest of the published task sets: a million (HumanEval+) and 59,050 (MBPP+).
MAX_NODES, MAX_CONTAINERS = 4_000_000, 500_000
# Items that go along with a value of another type; digits of each part of a fraction or a decimal; characters of a type's name.
MAX_ITEMS, MAX_DIGITS, MAX_NAME, MAX_NAN_NAME = 100_000, 4_000, 200, 12
# How a value whose type cannot cross begins in `encode`'s text.
OPAQUE = ('{"o":"', '{"y":["', '{"g":["', '{"x":["')


def _nothing_further(value: object, kind: type) -> str | None:
    return None


def _any_nan(name: str) -> float:
    return float("nan")


_further: Callable[[object, type], str | None] = _nothing_further
_nan: Callable[[str], float] = _any_nan
_array: Callable[[OpaqueArray], object] = lambda found: found  # noqa: E731 a default


def tell_apart(further: Callable[[object, type], str | None], nan: Callable[[str], float], array: Callable[[OpaqueArray], object]) -> None:
    """For the rest of this process: `further` encodes what it knows (a NaN among it), `nan` and `array` decode what it wrote."""
    global _further, _nan, _array
    _further, _nan, _array = further, nan, array


class TooLarge(ValueError):
    """An answer holds more values than the parent is willing to build."""


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
        return repr(value) if math.isfinite(value) else _further(value, kind) or f'{{"f":"{value!r}"}}'
    if kind is str:
        return str(_quote(value))
    if kind is list:
        return f"[{','.join([encode(item) for item in value])}]"
    if kind is tuple:
        return f'{{"t":[{",".join([encode(item) for item in value])}]}}'
    if kind is dict:
        return f'{{"d":[{",".join([f"[{encode(key)},{encode(item)}]" for key, item in value.items()])}]}}'
    if (text := _further(value, kind)) is not None:
        return text
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
    (bytearray, bytes),
)
# The same for classes of modules that are not imported for it: a value of theirs exists only where they are. These are the ones whose
# own `==` takes them for the built-in type.
ALIKE: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("collections", "UserList", lambda value: list(value.data)),
    ("collections", "UserString", lambda value: str(value.data)),
    ("_collections_abc", "Mapping", lambda value: dict(value.items())),
    ("_collections_abc", "Set", set),
)


def _encode_other(value: Any, kind: type) -> str:
    for base, plain in PLAIN:
        if isinstance(value, base):
            return encode(plain(value))
    if isinstance(value, memoryview) and value.format == "B" and value.ndim == 1:
        return encode(value.tobytes())
    if _is(value, "fractions", "Fraction") and -PLAIN_PART < value.numerator < PLAIN_PART > value.denominator:
        return f'{{"q":["{value.numerator:x}","{value.denominator:x}"]}}'
    if _is(value, "decimal", "Decimal") and len(value.as_tuple().digits) <= MAX_DIGITS:
        return f'{{"m":"{value.__str__()}"}}'
    if kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return encode(value.item())
    for module, name, plain in ALIKE:
        if _is(value, module, name):
            return encode(plain(value))
    return _encode_opaque(value, kind)


PLAIN_PART = 16**MAX_DIGITS


def _is(value: object, module: str, name: str) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and isinstance(value, base)


def _encode_opaque(value: Any, kind: type) -> str:
    """What cannot cross, with its items: to compare two answers as sets, it does not matter that one is a deque."""
    name = str(_quote(f"{kind.__module__}.{kind.__qualname__}"[:MAX_NAME]))
    if not hasattr(kind, "__iter__"):
        return f'{{"o":{name}}}'
    # numpy's arrays and the standard library's have it: plain numbers in place of their own
    items = list(islice(value.tolist() if hasattr(kind, "tolist") else iter(value), MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        return f'{{"o":{name}}}'
    tag = "y" if hasattr(kind, "__len__") else "x" if _further is not _nothing_further and hasattr(kind, "__next__") else "g"
    return f'{{"{tag}":[{name},{encode(items)}]}}'


def opaque_kind(text: str | bytes) -> str:
    """The type of the first value in `encode`'s text that cannot cross; "" for none."""
    told = text if isinstance(text, str) else text.decode("ascii")
    found = [(told.find(tag), tag) for tag in OPAQUE if tag in told]  # a text has a backslash before its quotes
    if not found:
        return ""
    at, tag = min(found)
    return told[at + len(tag) :].partition('"')[0][:MAX_NAME]


def decode(text: str | bytes) -> Any:
    """The value behind `text`, made of built-in types only.

    Raises:
        ValueError: `text` is no tagged JSON, or was built to make the decoder slow; `TooLarge` where it holds too many values.
        RecursionError: it is nested too deeply.
    """
    import json

    _check_size(text.encode("ascii") if isinstance(text, str) else text)
    return _untag(json.loads(text, parse_constant=_no_constant), hashable=False)


def _check_size(text: bytes) -> None:
    # Strings may hold commas and brackets too; only where there are many of them is it worth to leave the strings out.
    if _size_fault(*_count(text)):
        fault = _size_fault(*map(sum, zip(*map(_count, _outside_strings(text)), strict=True)))
        if fault:
            raise TooLarge(fault)


def _count(text: bytes) -> tuple[int, int]:
    return text.count(b"[") + text.count(b"{"), text.count(b",")


def _size_fault(containers: int, commas: int) -> str:
    if containers + commas > MAX_NODES:
        return f"one answer holds more than {MAX_NODES:,} values"
    return f"one answer holds more than {MAX_CONTAINERS:,} lists or other collections" if containers > MAX_CONTAINERS else ""


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """What of a JSON text is not in a string, in pieces."""
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside = 0
    for start in range(0, len(text), CHUNK):
        parts = text[start : start + CHUNK].split(b'"')
        yield b"".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2


def _no_constant(name: str) -> NoReturn:
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
    if tag in ("t", "s", "d", "c", "q", "y", "g", "z", "k", "e", "r", "h", "x", "l") and type(body) is not list:
        raise ValueError(f"the body of {tag!r} is not a list")
    if tag in ("i", "f", "b", "o", "m", "a", "w") and type(body) is not str:
        raise ValueError(f"the body of {tag!r} is not a string")
    if tag == "t":
        return tuple([_untag(item, hashable) for item in body])
    if tag == "s":
        members = check_hashes([_untag(item, True) for item in body])
        return frozenset(members) if hashable else set(members)
    if tag == "d" and not hashable:
        if any(type(pair) is not list or len(pair) != 2 for pair in body):
            raise ValueError("an entry of a dict is not a pair")
        keys = check_hashes([_untag(pair[0], True) for pair in body])
        return dict(zip(keys, [_untag(pair[1], False) for pair in body], strict=True))
    if tag in ("z", "k", "e", "r", "a", "w", "h", "l"):
        return _untag_further(tag, body if type(body) is list else [], body if type(body) is str else "", hashable)
    if tag == "i":
        return int(body, 16)
    if tag == "f" and body in ("inf", "-inf"):
        return float(body)
    if tag == "f" and body[:3] == "nan" and len(body) <= MAX_NAN_NAME:
        return _nan(body)
    if tag == "c" and len(body) == 2:
        real, imag = (_untag(part, True) for part in body)
        if isinstance(real, float) and isinstance(imag, float):
            return complex(real, imag)
    if tag == "b":
        return bytes.fromhex(body)
    if tag == "o":
        return Opaque(body[:MAX_NAME])
    if tag in ("y", "g", "x") and len(body) == 2 and type(body[0]) is str and type(body[1]) is list:
        kept = {"y": OpaqueSized, "g": Opaque, "x": OpaqueIterator}[tag]
        return kept(body[0][:MAX_NAME], _untag(body[1], False))
    if tag == "m" and len(body) <= 2 * MAX_DIGITS:
        return _decimal(body)
    if tag == "q" and len(body) == 2 and all(type(part) is str and len(part) <= MAX_DIGITS + 1 for part in body):
        return _fraction(int(body[0], 16), int(body[1], 16))
    raise ValueError(f"unknown tag {tag!r}")


def _untag_further(tag: str, items: list[Any], text: str, hashable: bool) -> object:
    if tag == "z":
        return frozenset(check_hashes([_untag(item, True) for item in items]))
    if tag == "r" and len(items) == 3 and all(type(part) is int for part in items) and items[2] and len(range(*items)) <= MAX_ITEMS:
        return range(*items)
    if tag == "w" and text in ("NotImplemented", "Ellipsis"):
        return NotImplemented if text == "NotImplemented" else ...
    if tag in ("k", "e") and not hashable:
        import collections

        pairs = _untag({"d": items}, False)
        return collections.Counter(pairs) if tag == "k" else collections.OrderedDict(pairs)
    if tag == "l" and not hashable and len(items) == 2 and type(items[0]) is str and items[0] in FACTORIES and type(items[1]) is list:
        import collections

        return collections.defaultdict(FACTORIES[items[0]], _untag({"d": items[1]}, False))
    if tag == "a" and not hashable:
        return bytearray.fromhex(text)
    if tag == "h" and len(items) == 3 and type(items[0]) is str and type(items[2]) is str:
        dtype, shape, data = items
        if shape is None or (not hashable and type(shape) is list and all(type(part) is int and part >= 0 for part in shape)):
            return _array(OpaqueArray(dtype, shape, data))
    raise ValueError(f"a malformed {tag!r}")


def _decimal(text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no decimal") from None


def _fraction(numerator: int, denominator: int) -> Fraction:
    from fractions import Fraction

    if denominator <= 0:
        raise ValueError("a fraction has a positive denominator")
    return Fraction(numerator, denominator)


def check_hashes(members: list[Any]) -> list[Any]:
    """`members`, unless a set or dict of them would be slow to build: ValueError."""
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

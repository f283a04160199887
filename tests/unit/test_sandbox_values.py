"""Tagged JSON: what crosses the sandbox border, and what a hostile sender cannot do with it."""

from __future__ import annotations

import collections
import enum
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.sandbox.opaque import Opaque
from codeact.sandbox.values import decode, encode, fingerprint

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary(max_size=20)
)
keys = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(keys, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def shape(value: object) -> object:
    """The value with the type of every part, so that 1, 1.0 and True differ."""
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(shape, value)))
    return type(value), repr(value)


@given(values)
@settings(max_examples=100)
def test_values_come_back_with_their_types(value: object) -> None:
    text = encode(value)
    text.encode("ascii")
    assert "\n" not in text
    assert shape(decode(text)) == shape(value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -0.0, complex(math.nan, -math.inf), [math.nan, (math.inf,)]]
)
def test_special_floats_come_back(value: object) -> None:
    assert repr(decode(encode(value))) == repr(value)


def test_integer_beyond_the_digit_limit_of_int_comes_back() -> None:
    assert decode(encode(-(7**20000))) == -(7**20000)


class Colour(enum.IntEnum):
    RED = 1


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, 1),
        (Pair(1, "x"), (1, "x")),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (np.float64(2.5), 2.5),
        (np.int32(7), 7),
        (np.bool_(True), True),
        (bytearray(b"ab"), b"ab"),
        ({1: 2}.keys(), {1}),
    ],
)
def test_subclasses_travel_as_what_they_extend(value: object, plain: object) -> None:
    assert shape(decode(encode(value))) == shape(plain)


@pytest.mark.parametrize("value", [object(), range(3), iter([]), np.arange(3), len, Colour])
def test_other_types_become_opaque_which_equals_nothing(value: object) -> None:
    found = decode(encode([value]))[0]
    assert isinstance(found, Opaque)
    assert found not in (None, 0, "", [], [0, 1, 2])


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class EqualInteger(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def test_own_equality_does_not_cross() -> None:
    assert decode(encode(AlwaysEqual())) != 3
    found = decode(encode(EqualInteger(5)))
    assert type(found) is int
    assert found != 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "NaN",
        "Infinity",
        "{}",
        '{"t":[],"s":[]}',
        '{"t":5}',
        '{"t":{"t":[]}}',
        '{"i":5}',
        '{"i":"x"}',
        '{"f":"1.5"}',
        '{"c":[1.0]}',
        '{"c":["a","b"]}',
        '{"b":"zz"}',
        '{"d":[[1]]}',
        '{"d":[1]}',
        '{"s":[[1]]}',
        '{"s":[{"d":[]}]}',
        '{"d":[[[1],2]]}',
        '{"q":1}',
        "1" * 5000,
        "[" * 100_000,
        '{"t":[' * 100_000,
    ],
)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        decode(text)


@pytest.mark.parametrize("form", ['{{"s":[{}]}}', '{{"d":[{}]}}'])
def test_colliding_members_are_refused_at_once(form: str) -> None:
    # Multiples of 2**61 - 1 all have the hash 0: a set of them takes quadratic time to build.
    members = [f'{{"i":"{index * (2**61 - 1):x}"}}' for index in range(1, 60_000)]
    pairs = members if '"s"' in form else [f"[{member},1]" for member in members]
    started = time.process_time()
    with pytest.raises(ValueError, match="share a hash"):
        decode(form.format(",".join(pairs)))
    assert time.process_time() - started < 5


@given(values, values)
@settings(max_examples=60)
def test_equal_fingerprints_mean_equal_values(first: object, second: object) -> None:
    digest, _ = fingerprint(first, 0)
    assert digest == fingerprint(decode(encode(first)), 0)[0] or "frozenset" in repr(first) or "{" in repr(first)
    if digest == fingerprint(second, 0)[0]:
        assert shape(first) == shape(second)


def test_fingerprint_of_a_long_list_depends_on_every_part() -> None:
    value = list(range(200_000))
    digest, size = fingerprint(value, 1 << 14)
    assert size > 1 << 14
    assert digest == fingerprint(list(range(200_000)), 1 << 14)[0]
    for index in (0, 65_536, 199_999):
        changed = list(value)
        changed[index] = float(changed[index])  # type: ignore[call-overload]
        assert fingerprint(changed, 1 << 14)[0] != digest
    assert fingerprint(value[:-1], 1 << 14)[0] != digest


def test_fingerprint_of_other_types_is_empty() -> None:
    assert fingerprint([object()], 0) == ("", 0)
    assert fingerprint("short", 1 << 14)[0] == ""

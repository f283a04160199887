"""What groups records before their exact comparison: equal wherever the comparison finds them equal."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.curate.dedup import find_duplicates, normalise, sketch
from codeact.records import Message, Record

PIECES = ["Write a program that sorts.", " ", "\t", "  ", "\n", "\r\n", "\ufeff", "ｗｏｒｄｓ ", "é", "e\u0301", "½", "10²", "①", "　", "\xa0", "´", "x = 1",
          "```\n", "（", "`a`", "用 Python 写一个。", "ﬁ", "\u0301", "\\", "Ａ", "Ω", "\u2126", "가", "\u1100\u1161", "\u2003", "\x0b"]  # fmt: skip


def record(identity: str, text: str) -> Record:
    return Record(identity, (Message("user", text), Message("assistant", "yes")), {"row": int(identity)})


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.randoms())
def test_texts_that_are_normalised_alike_have_one_sketch(text: str, chance: random.Random) -> None:
    other = "".join(chance.choice([letter, letter + " ", letter]) for letter in text)
    for one in (text, text + "  ", "\n" + text, text.replace("\n", "\r\n"), text.replace(" ", "  "), other, normalise(text)):
        if normalise(one) == normalise(text):
            assert sketch(record("1", one)) == sketch(record("2", text))


@pytest.mark.parametrize(("one", "other"), [("a b", "a c"), ("a", "A"), ("x = 1", "x = 2")])
def test_other_texts_have_other_sketches(one: str, other: str) -> None:
    assert sketch(record("1", one)) != sketch(record("2", other))


def test_copies_are_still_compared_exactly() -> None:
    pool = [record("1", "x  = 1"), record("2", "x = 1"), record("3", "x = 1 ")]
    assert len({sketch(one) for one in pool}) == 1
    assert find_duplicates(pool) == {"3": "2"}

"""A pattern's needles: every match holds one, whatever the pattern."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.curate.languages import SIGNS, guess_language
from codeact.curate.needles import needles, quick, screen


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (r"\bself\.", ("self.",)),
        (r"^[ \t]*def \w+", ("def ",)),
        (r"=>|->", ("->", "=>")),
        (r"(?:ab|c?)x", ("x",)),
        (r"(?:ab|c?)", ()),
        (r"(?:abc)?", ()),
        (r"(?:abc){2,3}d", ("abc",)),
        (r"a(?i:BC)d", ("a",)),
        (r"[abc]\d+", ()),
        (r"(?!abc)d", ("d",)),
    ],
)
def test_needles_of_a_pattern(pattern: str, wanted: tuple[str, ...]) -> None:
    assert needles(re.compile(pattern)) == wanted


def test_no_needles_where_case_does_not_count() -> None:
    assert needles(re.compile("abc", re.IGNORECASE)) == ()


_PIECES = ["def f(x):\n", "self.", " = ", "let mut ", "const x = 1;", "SELECT ", "FROM t\n", "#include <stdio.h>\n", "printf(", "end\n", "<?php\n",
           "$a = ", "echo ", "public ", "static void ", "String s", "=> {", "func f() {", ":=", "\n", "  ", "fn main() {", "-> Option", "<p>",
           "</p>", "import java.util", "import os\n", "print(", ")", "val x =", "std::", "vector<", "struct A {", "interface I {", ": number",
           "import x"]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join), st.sampled_from([1, 2]))
def test_guess_equals_the_plain_count_of_all_signs(code: str, least: int) -> None:
    counts = {name: sum(re.search(s, code, re.MULTILINE) is not None for s in signs) for name, signs in SIGNS.items()}
    (best, language), (second, other) = sorted(((n, name) for name, n in counts.items()), reverse=True)[:2]
    tied = best == second and not {language, other} <= {"c", "cpp"}
    assert guess_language(code, least) == ("" if len(code) < 2 or best < least or tied else language)


_SCREEN = screen([re.compile(sign, re.MULTILINE) for signs in SIGNS.values() for sign in signs])


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_a_pattern_that_is_left_out_does_not_match(code: str) -> None:
    may = _SCREEN.candidates(code)
    assert {at for at, pattern in enumerate(_SCREEN.patterns) if pattern.search(code)} <= may


@given(st.lists(st.sampled_from([*_PIECES, "x", "_", "\r", "\x1c", "é", "\u2003"]), max_size=12).map("".join))
def test_a_pattern_matches_as_python_says(code: str) -> None:
    assert [_SCREEN.matches(at, code) for at in range(len(_SCREEN.patterns))] == [p.search(code) is not None for p in _SCREEN.patterns]


_AWKWARD = (r"^a|^\s", r"^a|b", "^", "^^a", r"^$", r"^\s*b", r"\ba|b", r"\bab?", r"\bab+b", r"\b", r"\b\s", r"\ba", r"\ba*b", r"\b(?:ab|b)?c", r"\b(?:ab|b)+",
            r"\b(?:ab|c)|b", r"(?:\ba|b)", r"\b(?:a|b) ?", r"\b(?:a\w|b)", r"\ba b{2}", "a", "")  # fmt: skip


@pytest.mark.parametrize("flags", [0, re.MULTILINE, re.IGNORECASE | re.MULTILINE, re.VERBOSE | re.MULTILINE, re.ASCII])
@pytest.mark.parametrize("pattern", _AWKWARD)
def test_a_quick_pattern_matches_where_the_pattern_does(pattern: str, flags: int) -> None:
    slow = re.compile(pattern, flags)
    found, below = quick(slow)
    for length in range(5):
        for letters in product("abcA é\n", repeat=length):
            text = "".join(letters)
            assert (found.search("\n" + text if below else text) is None) == (slow.search(text) is None), text


def test_a_boundary_is_asked_behind_the_word_it_precedes() -> None:
    assert [quick(re.compile(p, re.MULTILINE))[0].pattern for p in (r"\bstd::", r"^[ \t]*end", r"\b(?:const|let) x", r"\bab+")] == [
        r"std(?<!\wstd)::", r"\n[ \t]*end", r"(?:c(?<!\wc)onst|l(?<!\wl)et) x", r"a(?<!\wa)b+",
    ]  # fmt: skip


def test_letters_beyond_latin_hide_no_needle() -> None:
    found = screen([re.compile("é→"), re.compile("<"), re.compile("abcdefghijkl")])
    assert [found.candidates(text) for text in ("xé→y", "é?", "a<", "abcdefghijk", "用abcdefghijkl", "")] == [{0}, set(), {1}, set(), {2}, set()]

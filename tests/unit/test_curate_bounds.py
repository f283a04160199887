"""Whatever a record holds, curation reads it in linear time and bounded memory: a megabyte of anything ends in seconds."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate
from codeact.curate.complete import check_complete
from codeact.curate.names import check_names
from codeact.records import Message, Record

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")

CHECKS = CurateConfig(checks=("syntax", "grammars", "complete", "language", "names"), mismatch=0.02)
SECONDS = 120.0  # a quadratic reader takes hours at this size


def repeat(unit: str, size: int, start: str = "", end: str = "") -> str:
    return start + unit * (size // len(unit)) + end


@pytest.mark.parametrize(
    ("unit", "start", "end"),
    [
        ("A", "img = '", "'"),
        ('"\\', "", ""),
        ("\\'", "x = '", ""),
        (".a", "from a", " import b"),
        ("f(", "", ""),
        ("function f() {", "", ""),
        ("<!--", "", ""),
        ("/*", "```c\n", "\n```"),
        ("the ", "", ""),
        ("x = 1 AND ", "SELECT a FROM b WHERE ", ""),
        ("let x = { a: [1, 2; }\n", "```js\n", "```"),
        ("这是一个函数", "", ""),
    ],
)
def test_a_megabyte_of_anything_ends(unit: str, start: str, end: str) -> None:
    text = repeat(unit, 1_000_000, start, end)
    record = Record("a", (Message("user", "Write it in Java."), Message("assistant", text)))
    began = time.process_time()
    assert len(curate([record], CHECKS, quiet=True)) == 1
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("unit", ["x = 1 AND ", "A", "def f(x):\n    return y\n", "    a = 1\n", "```js\nf({\n```\n"])
def test_the_longest_answers_that_are_checked_end(unit: str) -> None:
    record = Record(
        "a", (Message("user", "Write it in Java."), Message("assistant", repeat(unit, 100_000, "def f(x):\n")))
    )
    began = time.process_time()
    curate([record], CHECKS, quiet=True)
    assert time.process_time() - began < SECONDS


def test_a_long_text_in_quotes_takes_no_quadratic_time() -> None:
    began = time.process_time()
    for size in (10_000, 80_000):
        assert check_complete("img = '" + "A" * size + "'").status == "passed"
    assert time.process_time() - began < 5


def test_empty_fences_do_not_double_the_memory() -> None:
    answer = "```python\nprint(f(1))\n```\n" + "\n```\n```\n" * 24
    tracemalloc.start()
    check_names(answer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000

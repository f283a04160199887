"""Whatever a record holds, it is read in linear time and bounded memory: a megabyte of anything ends in seconds."""

from __future__ import annotations

import ast
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codeact.config import CurateConfig
from codeact.curate import BenchmarkItem, curate_records
from codeact.curate.completeness import check_complete
from codeact.curate.examples import check_examples
from codeact.curate.undefined_names import check_names
from codeact.curate.verify import verify_response
from codeact.harvesting import harvest_functions
from codeact.records import Message, Record
from codeact.records.turns import read_turns
from codeact.records.types import Unreadable
from codeact.sandbox import detect_backend
from codeact.score.surprise import find_spots

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")

CHECKS = CurateConfig(
    checks=("syntax", "grammars", "complete", "language", "names"),
    mismatch=0.02, renamed=True, near=0.8, secrets=("keys", "passwords", "emails"),
)  # fmt: skip
ITEM = BenchmarkItem(
    "own", "1", "Give back the sum of all even numbers of a list of whole numbers, and zero where there is none.",
    "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result",
)  # fmt: skip
POOL = [
    Record(
        f"pool {n}",
        (Message("user", f"Add {n} to a number."), Message("assistant", f"def add(x):\n    return x + {n}")),
    )
    for n in range(50)  # fewer are no pool for `mismatch`
]
# Of processor time, on a slow machine: what is linear takes a tenth of it, what is quadratic minutes or hours.
SECONDS = {25_000: 4.0, 120_000: 5.0, 1_000_000: 30.0}
MEGABYTES = 400
STATUSES = ("passed", "failed", "doubtful", "unknown")


def repeat(unit: str, size: int, start: str = "", end: str = "") -> str:
    return start + unit * (size // len(unit)) + end


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Processor time of this process, and by how much its peak memory may grow."""
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < seconds
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / (2**20 if sys.platform == "darwin" else 2**10)
    assert grown < MEGABYTES


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load libraries and grammars before anything is measured."""
    curate_records(POOL, CHECKS, {"own": [ITEM]})


def curate_both(text: str) -> None:
    """All checks on a record that answers with the text, and on one that asks with it."""
    pool = [
        Record("answered", (Message("user", "Write it in Java."), Message("assistant", text))),
        Record(
            "asked", (Message("user", f"Write it in Java. {text}"), Message("assistant", "```java\nint a = 1;\n```"))
        ),
        *POOL,
    ]
    assert len(curate_records(pool, CHECKS, {"own": [ITEM]})) == len(pool)


STEPS = "".join("  " * depth + "if a:\n" for depth in range(380))
GENERATORS = {
    "bare fences": ("```\n", "", ""),
    "fences of Python": ("```python\nprint(f(1))\n```\n", "", ""),
    "fences of unknown code": ("~~~\na <- 1\n~~~\n", "", ""),
    "backticks": ("`", "", ""),
    "triple quotes": ('"""', "", ""),
    "an open text": ("A", "img = '", "'"),
    "escaped quotes": ('"\\', "", ""),
    "escaped apostrophes": ("\\'", "x = '", ""),
    "backslashes in Python": ("\\\n", "```python\n", "x\n```"),
    "calls": ("f(", "", ""),
    "open brackets": ("([{", "", ""),
    "functions": ("function f() {", "", ""),
    "blanks": (" ", "a", "b"),
    "line ends": ("\n", "a", "b"),
    "line ends of a script": ("\n", "```bash\nif [ a ]; then\n", "echo 'a\n```"),
    "line ends of code": ("\n", "```js\nf({\n", "(b\n```"),
    "line ends below an address": ("\n", "Write to joe.smith@acme-corp.io\n", "a"),
    "carriage returns": ("\r", "a", "b"),
    "tabs": ("\t", "a", "b"),
    "Chinese": ("这是一个函数", "", ""),
    "one Chinese character": ("数", "", ""),
    "raised figures": ("¹", "", ""),
    "combining marks": ("a\u0301", "", ""),
    "digits": ("1", "", ""),
    "numbers": ("1. ", "", ""),
    "an attribute": (".a", "from a", " import b"),
    "an attribute in Python": ("a.", "```python\ndef f():\n    ", "a\n```"),
    "steps": (STEPS, "", ""),
    "remarks": ("# a\n", "", ""),
    "open remarks": ("/*", "```c\n", "\n```"),
    "open remarks of HTML": ("<!--", "", ""),
    "slashes": ("/", "", ""),
    "tags": ("<a b", "", ""),
    "SQL": ("x = 1 AND ", "SELECT a FROM b WHERE ", ""),
    "a table": ("| a | b |\n", "", ""),
    "items": ("- a\n", "", ""),
    "f-strings": ("f'{a} {b}' ", "```python\nx = (", ")\n```"),
    "fields of an f-string": ("{a}", "```python\nx = f'", "'\n```"),
    "JSON": ('{"a": ', "", ""),
    "JavaScript": ("let x = { a: [1, 2; }\n", "```js\n", "```"),
    "addresses": ("a.b@c.", "", ""),
    "keys": ("sk-", "", ""),
    "passwords": ("secret'", "", ""),
    "thoughts": ("<think>", "", ""),
    "emoji": ("👨\u200d👩", "", ""),
    "blanks without width": ("\u200b", "", ""),
    "words": ("the quick ", "", ""),
    "one word": ("a", "", ""),
    "statements": ("a;", "```python\n", "\n```"),
}  # fmt: skip


DOZEN = (
    "bare fences", "fences of Python", "slashes", "backticks", "an open text", "calls", "open brackets", "functions", "blanks",
    "one Chinese character", "raised figures", "digits",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in DOZEN])
def test_all_checks_end_on_anything(name: str) -> None:
    unit, start, end = GENERATORS[name]
    with bounded(SECONDS[25_000]):
        curate_both(repeat(unit, 25_000, start, end))


@pytest.mark.slow
@pytest.mark.parametrize("name", DOZEN)
def test_a_megabyte_ends(name: str) -> None:
    """One of them whole; of the others an eighth, which is above every limit on lengths, in less of the time."""
    size = 1_000_000 if name == "an open text" else 120_000
    unit, start, end = GENERATORS[name]
    with bounded(SECONDS[size]):
        curate_both(repeat(unit, size, start, end))


RUN = "```python\ndef f(x):\n    return x\n"
EXAMPLES = {
    "asserts": ("assert f(1) == 1\n", RUN, "```"),
    "stated outputs": ("print(f(1))  # 1\n", RUN, "```"),
    "a stated list": ("[", RUN + "print(f(1))  # ", "]\n```"),
    "a stated number": ("1.", RUN + "print(f(1))  # output ", "\n```"),
    "what is printed": ("2 ", "```python\nprint('2 ' * 500_000)\n```\nOutput:\n```\n", "\n```"),
    "doctests": (">>> f(1)\n1\n", RUN.replace("    return", "    \'\'\'\n"), "\'\'\'\n```"),
    "words of errors": ("broken a raise ", "```python\nassert 1 == 2, '", "'\n```"),
    "outputs of blocks": ("```python\nprint(1)\n```\nOutput:\n```\n1\n```\n", "", ""),
    "prose below": ("broken a ", "```python\nassert 1 == 2\n```\n", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [90_000, 1_000_000])
@pytest.mark.parametrize("name", [*EXAMPLES, *DOZEN])
def test_examples_of_a_megabyte_end(name: str, size: int) -> None:
    """Of this process and of what it runs, whose own bound is five seconds."""
    unit, start, end = (EXAMPLES | GENERATORS)[name]
    with bounded(10):
        assert check_examples(repeat(unit, size, start, end), detect_backend()).status in STATUSES


@pytest.mark.parametrize("unit", ["x = 1 AND ", "def f(x):\n    return y\n", "    a = 1\n", "```js\nf({\n```\n"])
def test_the_longest_answers_that_are_checked_end(unit: str) -> None:
    with bounded(SECONDS[25_000]):
        curate_both(repeat(unit, 25_000, "def f(x):\n"))


@pytest.mark.parametrize("unit", ["a;", "a\n", "f(1)\n"])
def test_code_that_would_take_a_gigabyte_to_parse_is_kept_and_says_so(unit: str) -> None:
    with bounded(5):
        found = verify_response(repeat(unit, 1_000_000, "```python\ndef f():\n  pass\n", "\n```"))
    assert (found.status, found.reason) == ("unknown", "code of more than 100,000 characters")


def test_a_long_text_in_quotes_takes_no_quadratic_time() -> None:
    with bounded(5):
        for size in (10_000, 80_000):
            assert check_complete("img = '" + "A" * size + "'").status == "passed"


def test_empty_fences_do_not_double_the_memory() -> None:
    answer = "```python\nprint(f(1))\n```\n" + "\n```\n```\n" * 24
    tracemalloc.start()
    check_names(answer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_places_of_an_answer_are_found_in_linear_time() -> None:
    text = "a = 1\n" * 160_000
    with bounded(15):
        spots = find_spots(text, range(0, len(text), 2), len(text))
    assert [(spot.line, spot.what) for spot in spots[-2:]] == [(159_999, "1"), (160_000, "1")]


@pytest.mark.parametrize(
    ("unit", "end"), [("a.", "a]"), ("f'{a}', ", "]"), ("{a}", "']"), ("'", "]"), ("[", ""), ("{'a': ", ""), ("\\", "")]
)
def test_turns_in_pythons_notation_are_refused_in_linear_time(unit: str, end: str) -> None:
    start = "[f'" if unit == "{a}" else "['" if unit == "\\" else "["
    with bounded(10), pytest.raises(Unreadable, match=r"no JSON list|expected|is str"):
        read_turns(repeat(unit, 900_000, start, end), "messages", Counter())


def test_turns_in_pythons_notation_are_read_whatever_their_texts_hold() -> None:
    said = "x = f'{a}' # a.b\n" * 20_000 + ".".join("abc" * 200) + ' it\'s "so"'
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": "It is 1.5."}]
    assert [m.content for m in read_turns(repr(turns), "messages", Counter())] == [said, "It is 1.5."]


def test_a_source_file_is_harvested_in_linear_time(tmp_path: Path) -> None:
    good = (
        'def add(a, b):\n    """Give back the sum of two numbers.%s\n    It is exact."""\n    c = a + b\n    return c\n'
    )
    assert ast.parse(good)
    (tmp_path / "lines.py").write_text(good % ("\n" * 200_000))
    (tmp_path / "names.py").write_text("import " + "a." * 200_000 + "a\n")
    (tmp_path / "many.py").write_text("a;" * 1_000_000)
    with bounded(15):
        found = harvest_functions([tmp_path], min_tokens=1)
    assert [record.meta["file"] for record in found.records] == ["lines.py"]
    assert found.skipped == {"file does not parse": 1, "unreadable file": 1}

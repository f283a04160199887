"""Python 3.12 lets a field of an f-string hold any code (PEP 701): such answers are no errors, whatever Python looks at them."""

from __future__ import annotations

import ast
import sys

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.curate.f_strings import with_plain_fields
from codeact.records import Message, Record

SOUND = [
    'print(f"{user["name"]}, bye")',
    "print(f'{user['name']}, bye')",
    'print(f"total: {sum(prices["a"])}")',
    'print(f"{", ".join(str(x) for x in [1, 2])}")',
    'print(f"{name!r:>{width["a"]}} {x=} {x = !s} {{}} {a["b"]:%H:%M}")',
    'print(f"{"\\n".join(lines)}")',
    'print(f"{f"{f"{1 + 1}"}"}")',
    'print(f"""{user["name"]}\n{user["a"]}""")',
    'print(f"a {x["b"]}" "c" f"{x["d"]}")',
    'print(f"{x[\n    "a"  # a remark\n]}")',
    'print(rf"\\d{x["a"]}", fR"{x["b"]}")',
    'print(f"{x["a"] != 1} {x["a"] == 1} {x["a"] <= 1}")',
    'print(f"\\N{BULLET} {x["a"]}")',
    'print(f"{(lambda y: y["a"])(x)} {*x["a"], 1} {(z := x["b"])}")',
    'print(f"{ {"a": 1}["a"] }")',
]
BROKEN = [
    'print(f"{user["name"}, bye")',
    'print(f"{user["name"]}, bye)',
    'print(f"{user["name"]]}, bye")',
    'print(f"{user["name"] +}, bye")',
    'print(f"{user["name"]}, bye"',
    'print(f"{", ".join(list(tag)) for tag in tags]}")',
    'print(f"{user["name"]!}, bye")',
    'print(f"{}, {user["name"]}")',
]


def judged(code: str, fence: str = "python") -> str:
    answer = f"```{fence}\nuser = x = prices = {{}}\nfor name in user:\n    pass\n{code}\n```"
    record = Record("a", (Message("user", "Print it in Python."), Message("assistant", answer)), {"row": 0})
    (decision,) = curate_records([record], CurateConfig(checks=("syntax", "complete", "names", "examples")))
    return decision.reason


@pytest.mark.parametrize("code", SOUND)
def test_an_f_string_of_a_newer_python_is_no_error(code: str) -> None:
    assert judged(code) == ""
    assert judged(code, "") == ""
    plain = with_plain_fields(code)
    assert plain is not None
    ast.parse(plain)
    if sys.version_info >= (3, 12):
        ast.parse(code)


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_f_string_is_not_excused(code: str) -> None:
    plain = with_plain_fields(code)
    with pytest.raises(SyntaxError):
        ast.parse(code if plain is None else plain)


@pytest.mark.parametrize("code", ['print(f"{user["name"]}, bye")\nprint(user["name"]\nprint(1)', 'print(f"{user["name"]]}, bye")'])
def test_an_error_beside_an_f_string_of_a_newer_python_is_seen(code: str) -> None:
    assert judged(code) == "syntax error"


def test_two_exceptions_without_brackets_are_newer_python_and_a_variable_is_old() -> None:
    tried = "try:\n    int(x)\nexcept {}:\n    pass"
    assert judged(tried.format("ValueError, TypeError")) == ""
    assert judged(tried.format("ValueError, error")) in ("", "Python 2 syntax")


def test_the_stated_output_of_a_newer_f_string_is_not_held_against_it() -> None:
    assert judged('d = {"a": 1}\nprint(f"{d["a"]}")  # 1') == ""

"""What newer Pythons took up is no error, whatever Python looks at it.

Fields of f-strings that hold any code (3.12, PEP 701), template strings (3.14, PEP 750), exceptions without brackets (3.14, PEP 758),
unpacking in comprehensions (3.15, PEP 798), lazy imports (3.15, PEP 810).
"""

from __future__ import annotations

import ast
import sys

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.curate.f_strings import with_plain_fields
from codeact.curate.verify import verify_response
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


TEMPLATES = [
    'print(t"Hello {name}!")',
    "query = t'SELECT * FROM t WHERE name = {name}'",
    'print(rt"\\d{name}", tR"{name}", T"{name!r:>10}", t"{name=}")',
    'page = t"""\n<p>{name}</p>\n"""',
    'print(t"{user["name"]}", f"{user["name"]}")',
    'print(t"{t"{name}"}")',
]


@pytest.mark.parametrize("code", TEMPLATES)
def test_a_template_string_is_no_error(code: str) -> None:
    assert judged(code) == ""
    assert judged(code, "") == ""
    if sys.version_info >= (3, 14):
        ast.parse(code)


@pytest.mark.parametrize(
    "code",
    ['print(t"Hello {name}!"', 'print(t"{name")', 'print(t"{name +}")', 'print(t"a")\nprint(user["name"]\nprint(1)', 'print(bt"{name}")'],
)
def test_an_error_in_or_beside_a_template_string_is_seen(code: str) -> None:
    assert judged(code) in ("syntax error", "cut off")


@pytest.mark.parametrize(
    "code",
    [
        "print([*xs for xs in user])", "print({*xs for xs in user})", "print({**d for d in user})", "print(list(*xs for xs in user))",
        "lazy import json\nlazy from os import path\nprint(json, path)",
    ],
)  # fmt: skip
def test_what_python_3_15_took_up_is_no_error(code: str) -> None:
    assert judged(code) == ""
    if sys.version_info >= (3, 15):
        ast.parse(code)


def test_builtins_of_python_3_15_are_defined() -> None:
    assert judged("def kind(x):\n    return isinstance(x, frozendict)\n\nprint(kind(user))") == ""


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
    for names in ("ValueError, TypeError", "socket.timeout, ConnectionError", "KeyError, json.JSONDecodeError", "A, B, c.D"):
        assert judged(tried.format(names)) == ""
    old = "" if sys.version_info >= (3, 14) else "Python 2 syntax"
    for names in ("socket.error, e", "IOError, error", "socket.timeout, why"):
        assert verify_response(f"```python\n{tried.format(names)}\n```").reason == old
    assert judged(tried.format("ValueError, error")) in ("", "Python 2 syntax")


def test_the_stated_output_of_a_newer_f_string_is_not_held_against_it() -> None:
    assert judged('d = {"a": 1}\nprint(f"{d["a"]}")  # 1') == ""

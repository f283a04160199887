"""Verification: broken Python fails with its evidence, complete Python passes, and what cannot be told is unknown."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

import pytest

from codeact.curate.blocks import Block, code_blocks, python_evidence
from codeact.curate.verify import verify_record, verify_response
from codeact.harvesting import harvest_functions
from codeact.records import Message, Record, read_records
from tests.helpers.shared_data import DATA

EVOL, ALPACA = DATA / "evol_instruct_code_1966.json", DATA / "code_alpaca_2017.json"

GOOD = "def add(a, b):\n    return a + b"
BAD = "def add(a, b)\n    return a + b"


def fence(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt's done."


@pytest.mark.parametrize(
    "response",
    [
        GOOD,
        f"{GOOD}\n```\nThis adds two numbers.",
        f"{GOOD}\n```",
        f"```python\n{GOOD}\n```\n```",
        fence(GOOD),
        fence(GOOD, "py"),
        fence(GOOD, "Python3"),
        fence(GOOD, "python title=add.py"),
        fence(GOOD, "{.python}"),
        fence(GOOD, ""),
        fence("    x = 1\n    y = x"),
        fence("return await x"),
        fence("def f(x, ...):\n    return [1, ..., x]".replace(", ...)", ")")),
        fence("x = '\\d'"),
        fence(">>> add(1, 2)\n3\n>>> for x in y:\n...     print(x)\n...\n1"),
        fence(">>> add(1, 2)\n3", "pycon"),
        fence("!pip install numpy\n%matplotlib inline\nimport numpy"),
        fence('def f():\n    """\n    ```\n    f()\n    ```\n    """\n    return 1'),
        "1. First:\n\n   ```python\n   def f():\n       return 1\n   ```\n",
        f"~~~python\n{GOOD}\n~~~",
        fence("int x = ;", "c") + fence(GOOD),
        f"```python\n{GOOD}\n    ```",
    ],
)
def test_complete_python_passes(response: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = verify_response(response)
    assert (verdict.status, verdict.reason, verdict.detail) == ("passed", "", "")


@pytest.mark.parametrize(
    ("response", "reason", "detail"),
    [
        (BAD, "syntax error", "line 1: expected ':': 'def add(a, b)'"),
        (fence(BAD), "syntax error", "line 4: expected ':': 'def add(a, b)'"),
        (fence(BAD, ""), "syntax error", "line 4: expected ':': 'def add(a, b)'"),
        (fence(GOOD) + fence(BAD), "syntax error", "line 11: expected ':': 'def add(a, b)'"),
        (
            fence(f'{GOOD}\n\n\ndef f():\n    """\n    >>> f()\n    1\n    """\n    retrun 1'),
            "syntax error",
            "line 13: invalid syntax: 'retrun 1'",
        ),
        (fence("x = 1\0"), "syntax error", None),
        (fence("if x:\nprint(x)"), "syntax error", None),
        (f"{BAD}\n```\nThis adds two numbers.", "syntax error", "line 1: expected ':': 'def add(a, b)'"),
    ],
)
def test_broken_python_fails_with_its_evidence(response: str, reason: str, detail: str | None) -> None:
    verdict = verify_response(response)
    assert (verdict.status, verdict.reason) == ("failed", reason)
    assert verdict.detail
    assert "\n" not in verdict.detail
    if detail is not None:
        assert verdict.detail == detail


@pytest.mark.parametrize(
    "response",
    [
        "",
        "The answer is 4.",
        "SELECT name\nFROM employees\nWHERE salary > 50000;",
        "function add(a, b) {\n  return a + b;\n}",
        "def add(a, b)\n  a + b\nend\n\nputs add(1, 2)",
        "public class A {\n  int f(int x) { return x; }\n}",
        "import Data.Char\n\nmain :: IO ()\nmain = print 1",
        fence("def add(a, b)\n  a + b\nend", "ruby"),
        fence("$ pip install numpy\n$ python main.py"),
        fence("pip install numpy"),
        fence("while condition:\n    # code to be executed"),
        fence("if a:\n    # first\nelse:\n    # second"),
        fence("while condition:\n    # code to be executed") + fence(GOOD),
        fence("def f(x):\n    y = [1, 2, ...\n    return y"),
        fence(">>> 1 +\n  File '<stdin>'\nSyntaxError: invalid syntax"),
        f"Here's the corrected code:\n\n{GOOD}\n\nIt doesn't fail any more.",
        f"1. Define the function:\n{GOOD}\n2. Call it:\nadd(1, 2)",
        f"{GOOD}\n\nprint(add(1, 2))\n\nOutput:\n3",
        f"{GOOD}\n\nprint(add(1, 2))\n1 3 5\nHello World!",
        f"{GOOD}\n\nprint('1 + 2 =', add(1, 2))\n## Output:\n1 + 2 = 3\n",
        "const f = x => {\n  return x;\n};\n```\n\nHere we return the value that was given.",
    ],
)
def test_what_cannot_be_told_is_unknown_never_failed(response: str) -> None:
    assert verify_response(response).status == "unknown"


@pytest.mark.parametrize(
    ("response", "reason", "detail"),
    [
        (fence(">>> add(1, 2\n3\n>>> add(1, 2)\n3"), "syntax error", "line 4: '(' was never closed: 'add(1, 2'"),
        (fence('print "hello"'), "Python 2 syntax", None),
        ("import sys\n\ndef main():\n    print 'hello', sys.argv\n", "Python 2 syntax", None),
        (fence("try:\n    f()\nexcept ValueError, e:\n    raise"), "Python 2 syntax", None),
        (f"```python\n{GOOD}", "truncated fence", "line 1: the fence is never closed; it ends with 'return a + b'"),
        ("```java\nint x = 1;", "truncated fence", None),
        (f"```python\n{GOOD}\n```\nOutput:\n```\n3", "truncated fence", None),
        (GOOD + "\n\nprint(add(1, 2)) // prints 3", "syntax error", None),
    ],
)
def test_weaker_evidence_is_doubtful(response: str, reason: str, detail: str | None) -> None:
    verdict = verify_response(response)
    assert (verdict.status, verdict.reason) == ("doubtful", reason)
    assert detail is None or verdict.detail == detail


COURSE = "def add(a, b):\n    return a + b\n\nprint(add(1, 2))"


@pytest.mark.parametrize(
    "response",
    [
        # prose of any script around code without a fence
        f"这是一个函数：\n\n{COURSE}\n\n它把两个数相加。",
        f"Natürlich, hier ist der Code:\n{COURSE}\nDas Programm gibt 3 aus.",
        f"Конечно, вот код:\n{COURSE}\nПрограмма выводит 3.",
        f"はい、コードは次のとおりです。\n{COURSE}\n3が表示されます。",
        f"네, 코드는 다음과 같습니다:\n{COURSE}\n3이 출력됩니다.",
        # what people put into Python fences
        fence(f"{COURSE}\n# output\nI am enjoying this challenge.\n4 + 3 = 7"),
        fence("asabeneh@Asabeneh:~$ python\nPython 3.9.6\n>>> 2 + 3"),
        fence("(venv) user@host:~/x$ pip install flask"),
        fence("if condition:\n    code goes here\nelse:\n    code goes here"),
        fence("if x > 0:\n    esta parte do código é executada"),
        fence("如果条件为真，则运行此部分代码"),
        fence("function add(a: number, b: number): number {\n  return a + b;\n}"),
        fence("local x = 1\nif x == 1 then\n  print(x)\nend"),
        fence("elif x > 3:\n    print(x)"),
        fence("except ValueError:\n    print(1)"),
        fence("'a': 1,\n'b': [1, 2],"),
        fence("name = 'a',\nage = 3,"),
        fence("def gcd(x, y):"),
        fence("@app.route('/')"),
        fence("x = 1\n    y = f(x)\n    return y"),
        fence("for i in range(start, end):\nfor i in range(start, end, step):"),
        fence("<expr> if condition else <expr>"),
        fence("f(param1, param2, param3,..)"),
        fence("x = 'a\nprint(x)  # SyntaxError: unterminated string"),
        fence("y = f(1)\n2x = y  # Fehler: kein Name"),
        fence("print 'Hallo Welt'  # SyntaxError: Missing parentheses\nprint('Hallo Welt')"),
    ],
)
def test_sound_records_of_public_data_never_fail(response: str) -> None:
    assert verify_response(response).status not in ("failed", "doubtful")


def test_a_line_that_the_instruction_quotes_is_no_fault_of_the_answer() -> None:
    broken = "def add(a, b)\n    return a + b"
    answer = f"{fence(broken)}\n\nThis lacks a colon:\n\n{fence(GOOD)}"
    assert verify_response(answer, instruction=f"What is wrong?\n{broken}").status == "unknown"
    assert verify_response(answer).status == "failed"


@pytest.mark.parametrize(
    "code",
    [
        "def two\\_sum(a, b):\n    return a + b",
        "def f(a, b):\n    if a &lt; b:\n        return a",
        "def f(x):\nreturn x + 1\n\nprint(f(1))",
        "for i in range(3):\nif i > 1:\nprint(i)",
        "def f(x):\n    y = [x, 1\n    return y",
        "name = input('x)\nprint(name)",
        "class A\n    def f(self):\n        return 1",
        "def f(self):\n    a = 1\n   return a",
        "def show(numbers):\n    print(numbers)\n\nnumbers = [1, 2]\nshownumbers)",
    ],
)
def test_one_fault_in_a_program_fails(code: str) -> None:
    assert verify_response(fence(code)).status == "failed"


@pytest.mark.parametrize(
    "asked", ["Print hello in Python 2.", "用Python2写一个程序", "Python 2.7で書いてください", "Напиши на python2"]
)
def test_python_2_is_unknown_where_it_was_asked_for(asked: str) -> None:
    code = fence('print "hello"')
    assert verify_response(code, instruction=asked).status == "unknown"
    assert verify_response(code, instruction="Print hello in Python.").status == "doubtful"


def test_weak_evidence_counts_where_python_was_asked_for() -> None:
    code = 'name = "a\nprint(name)'
    assert verify_response(code).status == "unknown"
    assert verify_response(code, instruction="Print a name with Python.").status == "failed"


def test_the_language_of_the_data_makes_weak_code_python() -> None:
    assert verify_response("total = sum(x)").status == "unknown"
    assert verify_response("total = sum(x)", language="python").status == "passed"
    record = Record("a", (Message("user", "Sum x."), Message("assistant", "total = sum(x)")), {"language": "Python"})
    assert verify_record(record).status == "passed"


def test_every_assistant_turn_is_checked() -> None:
    turns = (
        Message("user", "a"),
        Message("assistant", fence(GOOD)),
        Message("user", fence(BAD)),
        Message("assistant", "Sure."),
    )
    assert verify_record(Record("a", turns)).status == "passed"
    assert (
        verify_record(
            Record("a", (*turns, Message("user", "b"), Message("assistant", fence(BAD.replace("add", "sub")))))
        ).status
        == "failed"
    )
    context = Message("assistant", fence(BAD.replace("add", "sub")), learn=False)  # never learnt, so never checked
    assert verify_record(Record("a", (Message("user", "a"), context, *turns))).status == "passed"


def test_a_fence_left_open_where_the_conversation_goes_on_is_only_doubtful() -> None:
    cut = Message("assistant", "```python\ndef add(a, b):\n    return (a")
    turns = (Message("user", "Add two numbers."), cut, Message("user", "Go on."), Message("assistant", fence(GOOD)))
    assert verify_record(Record("a", turns)).status == "doubtful"
    assert verify_record(Record("a", turns[:2])).status == "failed"


def test_blocks_of_a_text() -> None:
    text = "a\n```py\nx\n```\n- b\n  ````\n  ```\n  y\n   z\n  ````\n~~~ C++ \nw\n```"
    assert code_blocks(text) == [
        Block("py", "x", 3, True),
        Block("", "```\ny\n z", 7, True),
        Block("c++", "w\n```", 12, False),
    ]
    assert code_blocks("inline ```code``` only") == []


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        (GOOD, 2),
        (BAD, 2),
        ("import os\nprint(os)", 1),
        ("x = 1\nf(x)", 0),
        ("for (;;) {\n}\nimport x", 0),
        ("What if: you try this?", 0),
    ],
)
def test_python_evidence(text: str, evidence: int) -> None:
    assert python_evidence(text) == evidence


@pytest.mark.parametrize(
    "line",
    ["x = 1;", "if (x) { // y", "}", "} else", "end", "  end.", "end if", "var x", "let x", "const x", "val x", "function x", "fn x", "func x", "public x",
     "private x", "static x", "void x", "int x", "double x", "String x", "use x", "using x", "package x", "namespace x", "local x", "my $x", "dim x",
     "sub x", "#include <x>", "# define X", "// x", "<p>", "</p>", "<!-- x", "$x", "echo", "puts x", "SELECT x", "INSERT x", "UPDATE x", "DELETE x",
     "CREATE x", "FROM x", "WHERE x", "GROUP x", "ORDER x", "JOIN x", "import x;", "for (a in b) {"],
)  # fmt: skip
def test_a_line_of_another_language_speaks_against_python(line: str) -> None:
    assert [python_evidence(f"import os\n{more}{line}") for more in ("", "def f():\nimport re\n")] == [0, 2]


LONG = 200_000


@pytest.mark.parametrize(
    "unit",
    ["a", "(", "[" * 90 + "]" * 90 + "\n", "{", "\n", " ", "`", "```\n", "```python\n", "```x\n    ```\n", '\\"""\n', "-", "not ", "1+", "lambda:",
     "def f(x):\n    return x\n", "elif x:\n  pass\n", "{a}", ">>> x = 1\n", "from a.", "a.\\\n", "x;", "the ", "!pip x\n", ". "],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "def f(x):\n    x = ", "```python\nfrom a.", "```python\nf'"])
def test_200000_characters_do_not_hang(unit: str, start: str) -> None:
    """The parser's own quadratic statements, and any pattern of ours that is not linear, would take minutes to hours."""
    verdict = verify_response(start + unit * (LONG // len(unit)))
    assert verdict.status in {"passed", "failed", "doubtful", "unknown"}


@pytest.mark.parametrize(
    "code", ["x = " + "-" * 5000 + "1", "x = " + "(" * 150 + ")" * 150, "if x:\n  pass\n" + "elif x:\n  pass\n" * 5000]
)
def test_code_too_deep_for_the_parser_is_unknown(code: str) -> None:
    assert verify_response(fence(code)).status in {"passed", "unknown"}


def corruptions(code: str, rng: random.Random) -> list[str]:
    lines = code.split("\n")
    headers = [n for n, line in enumerate(lines) if line.rstrip().endswith(":")]
    brackets = [n for n, character in enumerate(code) if character in "()[]{}"]
    made = []
    if headers:
        number = rng.choice(headers)
        made.append("\n".join([*lines[:number], lines[number].rstrip()[:-1], *lines[number + 1 :]]))
    if brackets:
        at = rng.choice(brackets)
        made.append(code[:at] + code[at + 1 :])
    return made


def is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def test_real_functions_pass_and_fail_when_broken() -> None:
    folder = Path(sysconfig.get_path("stdlib"))
    records = harvest_functions([folder / "json", folder / "email", folder / "tarfile.py"]).records
    rng = random.Random(0)
    broken = 0
    for record in records:
        assert verify_record(record).status == "passed"
        assert verify_response(fence(record.response)).status == "passed"
        for code in corruptions(record.response, rng):
            if not is_python(code):
                broken += 1
                assert verify_response(fence(code)).status != "passed"
    assert broken > len(records)


@pytest.mark.skipif(not (EVOL.exists() and ALPACA.exists()), reason=f"no instruction data in {DATA}; set CODEACT_DATA")
@pytest.mark.parametrize(
    ("path", "most", "least_passed"), [(EVOL, 0.005, 0.40), (ALPACA, 0.02, 0.30)], ids=["evol", "alpaca"]
)
def test_few_real_records_fail(path: Path, most: float, least_passed: float) -> None:
    records = read_records(json.loads(path.read_text(encoding="utf-8"))).records
    seen = Counter(verify_record(record).status for record in records)
    assert seen["failed"] <= most * len(records)
    assert seen["passed"] >= least_passed * len(records)


CODE = "def add(a, b):\n    return a + b\n\n"


@pytest.mark.parametrize(
    "response",
    [
        CODE + "Call print(add(1, 2)) twice",
        CODE + "Chame print(add(2, 3)) agora",
        CODE + "ใช้ print(add(1, 2)) จะได้ 3",
        CODE + "با add(1, 2) عدد 3 برمی‌گردد",
        CODE + "Η κλήση add(1, 2) δίνει 3",
        fence("local function f(x)\n  return x + 1\nend\nprint(f(2))"),
        fence("if x > 1\n  y = 2\nend"),
        fence("if [ -f x ]\nthen\n  y=1\nfi"),
        fence("function f(x)\n  y = x + 1\nend"),
        fence("procedure swap(a, b)\n    temp = a\n    a = b\n    b = temp"),
        fence("    timeout=3,\n)"),
        fence("} else if (x) {\n  y = 1"),
    ],
)
def test_prose_and_other_languages_among_python_are_no_fault(response: str) -> None:
    assert verify_response(response).status in ("passed", "unknown")


@pytest.mark.parametrize("line", ["retrun total", "whlie total:", "print(total", "return total))"])
def test_a_typing_error_beside_known_names_is_a_fault(line: str) -> None:
    below = "\n        pass" if line.endswith(":") else ""
    assert verify_response(fence(f"def f(total):\n    {line}{below}")).status == "failed"


@pytest.mark.parametrize("asked", ["请使用Ｐｙｔｈｏｎ２写一个打印", "Python2で書いてください", "파이썬(Python 2.7)으로"])
def test_python_2_is_asked_for_in_any_script(asked: str) -> None:
    assert verify_response(fence("print 'hi'"), instruction=asked).status == "unknown"

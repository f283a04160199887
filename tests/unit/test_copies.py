"""Copies of records and of benchmarks' solutions: renamed, near, of the same meaning."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import time
import unittest.case
from types import ModuleType

import numpy as np
import pytest

from codeact.curate import BenchmarkItem
from codeact.curate.canonical import (
    canonical_code,
    canonical_tokens,
    fingerprint,
    function_shape,
    function_signs,
    function_tokens,
    python_functions,
)
from codeact.curate.decontaminate import build_index, find_overlap, find_renamed_solution
from codeact.curate.dedup import find_duplicates
from codeact.curate.near_copies import find_near, find_same_meaning, neighbours
from codeact.curate.renamed_copies import find_renamed
from tests.helpers.answers import fence, record

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")


LONG = "def total(values):\n    result = 0\n    for value in values:\n        if value > 3:\n            result += value\n    return result\n\nprint(total([1, 5, 9]))"
RENAMED = LONG.replace("values", "items").replace("value", "x").replace("result", "acc").replace("total", "add_up")


def test_renamed_code_is_a_copy_and_other_code_is_not() -> None:
    pool = [
        record("a", "Sum the numbers above three in a list.", fence(LONG), 0),
        record("b", "Please sum the numbers above three in the list.", fence(RENAMED), 1),
        record("c", "Sum the numbers above three in a list.", fence(LONG.replace("> 3", "< 3")), 2),
        record("d", "Draw a red circle.", fence(RENAMED), 3),
    ]
    found = find_renamed(pool)
    assert {identity: copy.original for identity, copy in found.items()} == {"b": "a"}
    assert find_renamed(pool[::-1]) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(xs):\n    total = 0\n    for x in xs:\n        total += x\n    return total\nprint(f([1, 2]))",
         "def f(xs):\n    total = 0\n    for x in xs:\n        total += x\n        return total\nprint(f([1, 2]))"),
        ("def f(text):\n    words = text.split()\n    return [w.upper() for w in words if len(w) > 3]\nprint(f('ab cde'))",
         "def f(text):\n    words = text.split()\n    return [w.lower() for w in words if len(w) > 3]\nprint(f('ab cde'))"),
        ("def f(a, b):\n    c = a // b\n    return [c, a, b, max(a, b)]\n\nprint(f(7, 2), f(9, 4))",
         "def f(a, b):\n    c = a // a\n    return [c, a, b, max(a, b)]\n\nprint(f(7, 2), f(9, 4))"),
        ("def f(a):\n    for x in a:\n        print('it is', x, sep=', ')\n    return len(a) + 1\nf([1])",
         "def f(a):\n    for x in a:\n        print('it was', x, sep=', ')\n    return len(a) + 1\nf([1])"),
    ],
    ids=["indentation of a return", "another method", "behind a floor division", "another text"],
)  # fmt: skip
def test_code_that_does_something_else_is_no_copy(one: str, other: str) -> None:
    asked = "Write the function f for a list and print an example."
    assert find_renamed([record("a", asked, fence(one), 0), record("b", asked, fence(other), 1)]) == {}


def test_colours_and_links_are_no_remarks() -> None:
    css = ".a { color: #fff; background: #000; margin: 0 auto; padding: 4px; }\n.b { color: #123; }"
    asked = "Style the page with CSS."
    pool = [record("a", asked, fence(css, "css"), 0), record("b", asked, fence(css.replace("#fff", "#eee"), "css"), 1)]
    assert find_renamed(pool) == {}
    page = "<?php\n$page = curl_init(http://a.example);\ncurl_setopt($page, 1, 2);\necho curl_exec($page); // done\n"
    pool = [
        record("a", "Fetch it.", fence(page, "php"), 0),
        record("b", "Fetch it.", fence(page.replace("a.", "b."), "php"), 1),
    ]
    assert find_renamed(pool) == {}
    assert canonical_code(fence(page, "php")) == canonical_code(fence(page.replace("// done", "/* it is */"), "php"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("首先打开文件（例如 a.txt）；然后读取内容；最后关闭文件；注意处理异常；完成之后返回结果；不要忘记记录日志；祝你成功；再见；",
         "首先安装软件（例如 a.txt）；然后启动服务；最后停止服务；注意备份数据；完成之后检查状态；不要忘记更新版本；祝你好运；谢谢；"),
        ("Сначала откройте файл = раз; потом прочтите строки = два; затем закройте файл = три; и проверьте итог = четыре;",
         "Сначала купите хлеб = раз; потом нарежьте сыр = два; затем сварите кофе = три; и накройте стол = четыре;"),
        ("Erst öffnen; dann lesen; dann schließen; dann prüfen; dann melden; dann warten; dann enden; dann ruhen; gut;",
         "Erst kaufen; dann kochen; dann essen; dann spülen; dann wischen; dann lüften; dann gehen; dann ruhen; gut;"),
    ],
    ids=["Chinese", "Russian", "German"],
)  # fmt: skip
def test_prose_in_any_language_is_no_renamed_code(one: str, other: str) -> None:
    assert find_renamed([record("a", "怎么做", one, 0), record("b", "如何", other, 1)]) == {}
    assert find_near([record("a", "怎么做", one, 0), record("b", "如何", other, 1)], 0.8) == {}


def test_renamed_code_under_instructions_in_chinese() -> None:
    pool = [
        record("a", "请用Python编写一个函数，求列表中大于三的数字之和。", fence(LONG), 0),
        record("b", "用Python编写函数，计算列表中大于三的数字之和。", fence(RENAMED), 1),
        record("c", "请画一个红色的圆。", fence(RENAMED), 2),
    ]
    assert {identity: copy.original for identity, copy in find_renamed(pool).items()} == {"b": "a"}


def test_a_translation_is_no_renamed_code() -> None:
    told = "`total` sums all numbers of the list that are greater than three, and leaves out the smaller ones."
    translated = "`total` addiert nur jene Zahlen der Liste, die größer als drei sind; kleinere werden dabei übergangen."
    said = "The function sums each number of the list which is greater than three; all smaller ones are left out."
    asked = f"Python: total([1, 5, 9])? Options: 14, 15, 16.\n{fence(LONG)}\n"
    pool = [
        record("a", f"{asked}What does it print for these numbers?", f"{fence(LONG)}\n{told}", 0),
        record("b", f"{asked}Welche Zahl wird hier ausgegeben?", f"{fence(LONG)}\n{translated}", 1),
        record("c", f"{asked}What is printed for these numbers?", f"{fence(RENAMED)}\n{said}", 2),
    ]
    assert {identity: copy.original for identity, copy in find_renamed(pool).items()} == {"c": "a"}


@pytest.mark.parametrize(
    ("asked", "one", "other", "remark"),
    [
        ("Complexity of {}: show it with code, please.", "Hash Table", "Array Partition", "# {} example\n"),
        ("{} karmaşıklığı nedir? Kod ile gösterin.", "Küme Üyeliği", "İkili Arama", "# {} örneği\n"),
        ("请用Python代码说明{}的复杂度。", "快速排序", "哈希查找", "# {}示例\n"),
        ("Sum the numbers of a list that are above {}.", "574", "575", ""),
        ("-- Sum the numbers of a list that are above {} ?", "574", "575", ""),
    ],
)
def test_one_program_under_two_titles_or_numbers_is_no_copy(asked: str, one: str, other: str, remark: str) -> None:
    pool = [
        record("a", asked.format(one), fence(remark.format(one) + LONG), 0),
        record("b", asked.format(other), fence(remark.format(other) + RENAMED), 1),
        record("c", asked.format(one), fence(remark.format(one) + RENAMED), 2),
    ]
    assert {identity: copy.original for identity, copy in find_renamed(pool).items()} == {"c": "a"}


def test_one_mended_program_for_two_broken_ones_is_no_copy() -> None:
    asked = "Find the syntax error in this Python code and mend it:\n"
    broken = LONG.replace("values:", "values"), LONG.replace("[1, 5, 9]", "[1, 5, 9")
    pool = [
        record(name, asked + code, fence(LONG), row) for row, (name, code) in enumerate(zip("ab", broken, strict=True))
    ]
    assert find_renamed(pool) == {}
    assert find_near(pool, 0.8) == {}


def test_short_code_with_other_functions_is_no_copy() -> None:
    pool = [
        record(
            "a",
            "Give back the largest of the values of a list.",
            "def f(values):\n    return max(values)\nprint(f([1, 2, 3]))",
            0,
        ),
        record(
            "b",
            "Give back the smallest of the values of a list.",
            "def f(values):\n    return min(values)\nprint(f([1, 2, 3]))",
            1,
        ),
    ]
    assert find_renamed(pool) == {}


@pytest.mark.parametrize(
    ("code", "copy"),
    [
        (
            "<?php\n$host = 'a';\n$conn = open($host, 1, 2);\necho 'to $host: ' . $conn . $host;\nclose($conn);",
            "host conn server link",
        ),
        (
            "def span(start, end, step):\n    end = end - start\n    print(f'{start:.2f} {end}')\n    return list(range(start, end, step))",
            "start end low high",
        ),
        (
            "class Box:\n    def delete(self, item):\n        self.kept = item\n        return f'{self.kept} {item}'\n\nBox().delete(3)",
            "delete item kept drop thing left",
        ),
    ],
)
def test_renamed_copies_with_soft_keywords_and_holes_in_strings(code: str, copy: str) -> None:
    names = copy.split()
    half = len(names) // 2
    other = code
    for old, new in zip(names[:half], names[half:], strict=True):
        other = re.sub(rf"\b{old}\b", new, other)
    assert canonical_tokens(other) == canonical_tokens(code)
    assert canonical_tokens(
        code.replace("start, end, step", "end, start, step").replace("1, 2", "2, 1").replace("(3)", "(4)")
    ) != (canonical_tokens(code))


def test_near_copies_name_one_that_stays_whatever_the_order() -> None:
    text = " ".join(f"word{'abcdefghijklmnopqrst'[i // 10]}{'abcdefghij'[i % 10]}" for i in range(200))
    pool = [
        record("a", "Say it.", text + " end", 0),
        record("b", "say it", text, 1),
        record("c", "Say it.", text[::-1], 2),
    ]
    found = find_near(pool, 0.8)
    assert {identity: copy.original for identity, copy in found.items()} == {"b": "a"}
    assert find_near(pool[::-1], 0.8) == found


SCHEMA = "\n".join(f"CREATE TABLE t{n} (id INT, name TEXT, city TEXT, age INT, salary REAL);" for n in range(12))
QUESTIONS = [
    ("How many singers are older than 40?", "SELECT count(*) FROM t1 WHERE age > 40"),
    ("How many singers are older than 50?", "SELECT count(*) FROM t1 WHERE age > 50"),
    ("How many singers are younger than 40?", "SELECT count(*) FROM t1 WHERE age < 40"),
    ("List the names of all singers by age.", "SELECT name FROM t1 ORDER BY age"),
    ("List the cities of all singers by age.", "SELECT city FROM t1 ORDER BY age"),
    ("列出所有歌手的姓名。", "SELECT name FROM t1"),
    ("列出所有歌手的城市。", "SELECT city FROM t1"),
]


def test_questions_about_one_schema_are_no_near_copies() -> None:
    pool = [record(f"q{n}", f"{SCHEMA}\n{asked}", sql, n) for n, (asked, sql) in enumerate(QUESTIONS)]
    assert find_near(pool, 0.8) == {}
    again = record("again", f"{SCHEMA}\nhow many singers are older than 40 ?", QUESTIONS[0][1], 9)
    assert {k: v.original for k, v in find_near([*pool, again], 0.8).items()} == {"again": "q0"}


def test_one_passage_and_a_short_answer_are_no_near_copies() -> None:
    passage = " ".join(
        f"The {w} of the old town was rebuilt after the great fire of that year."
        for w in "gate wall mill inn bridge".split()
    )
    pool = [
        record("a", f"{passage} Was the gate made of stone in those days, as the others were?", "Yes", 0),
        record("b", f"{passage} Was the mill made of stone in those days, as the others were?", "Yes", 1),
        record("c", f"{passage} Is it raining?", "Yes", 2),
    ]
    assert find_near(pool, 0.8) == {}


@pytest.mark.parametrize("module", [ast, json.decoder, textwrap, unittest.case])
def test_functions_of_the_same_tokens_have_the_same_shape_and_signs(module: ModuleType) -> None:
    source = inspect.getsource(module)
    renamed = source.replace("self", "this").replace("node", "knot").replace("text", "words")
    shapes: dict[bytes, set[tuple[tuple[str, ...], ...]]] = {}
    for text in (source, renamed):
        for node in python_functions(f"```python\n{text}\n```"):
            shapes.setdefault(fingerprint(function_tokens(node)), set()).add((function_shape(node), function_signs(node)))
    assert shapes
    assert all(len(some) == 1 for some in shapes.values())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("    x = a\n    -b\n", "    x = a - b\n"), ("    a\n    (b, c)\n", "    a(b, c)\n"), ("    x = a\n    [b]\n", "    x = a[b]\n"),
        ("    if a:\n        b = 1\n    c = a < 2\n", "    if a:\n        b = 1\n        c = a < 2\n"),
        ("    return a % 2 and [b for b in a]\n", "    return (a % 2) and [b for b in a]\n"), ("    if not a:\n        b = 1\n", "    if (not a):\n        b = 1\n"),
    ],
)  # fmt: skip
def test_lines_alone_change_no_sign(one: str, other: str) -> None:
    """Tokens say nothing of lines: where those of two functions are equal, so are their signs, or the second would be looked at in vain."""
    nodes = [next(iter(python_functions(f"```python\ndef f(a):\n{body}```"))) for body in (one, other)]
    assert function_tokens(nodes[0]) == function_tokens(nodes[1])
    assert function_signs(nodes[0]) == function_signs(nodes[1])


@pytest.mark.parametrize(
    "text",
    [
        "如果一个变量被标记为仅适用于此角色，则每个克隆体都有自己的变量值，与原始角色的值分开保存，互不影响。",
        "この変数が現在のスプライトだけに適用される場合、それぞれのクローンは自分の値を持ち、元のスプライトの値とは別に保存されます。",
    ],
    ids=["Chinese", "Japanese"],
)
def test_near_copies_where_words_have_no_blanks(text: str) -> None:
    pool = [
        record("a", "会发生什么？", text, 0),
        record("b", "会发生什么?", text.replace("，", ", ").replace("、", " "), 1),
        record("c", "会发生什么？", text[::-1], 2),
    ]
    assert set(find_near(pool, 0.8)) in ({"a"}, {"b"})


def test_same_meaning_agrees_with_all_pairs() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 8)).astype(np.float32)
    points[40:] = points[:20] + 0.02 * rng.normal(size=(20, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = find_same_meaning([f"r{i}" for i in range(60)], points, list(range(60)), 0.98)
    stays: list[int] = []
    for i in range(60):
        if not stays or (points[stays] @ points[i]).max() < 0.98:
            stays.append(i)
    assert set(found) == {f"r{i}" for i in range(60)} - {f"r{i}" for i in stays}
    assert all(copy.original in {f"r{i}" for i in stays} for copy in found.values())
    near = neighbours(points, points[:20], 0.99)
    assert all(near[i] == (i, pytest.approx(1.0, abs=1e-5)) for i in range(20))


def test_a_renamed_solution_of_a_benchmark() -> None:
    item = BenchmarkItem(
        "toy",
        "toy/1",
        "def total(values):\n    '''Sum the values above three.'''\n",
        "\n".join(LONG.split("\n")[1:6]) + "\n",
    )
    index = build_index([item])
    assert find_renamed_solution(record("a", "Sum the values above three.", fence(RENAMED)), index) is not None
    assert (
        find_renamed_solution(record("b", "Sum the values above three.", fence(RENAMED.replace("+=", "-="))), index)
        is None
    )


UNITS = ("(", "'\\\n", "\\'", '"""', "/*", "<!--", "--", "`", "```\n", "{", "a b c. ", "=；")


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_the_length(unit: str) -> None:
    """What grows with the square of the length would need many minutes."""
    long = unit * (300_000 // len(unit))
    pool = [record("a", "Do it in Python.", long, 0), record("b", "Do it in Java.", f"```php\n{long}\n```", 1)]
    index = build_index(
        [BenchmarkItem("b", "1", "Sum the odd numbers of a list and print them one by one to the user.", "return 1")]
    )
    started = time.process_time()
    find_duplicates(pool)
    find_renamed(pool)
    find_near(pool, 0.8)
    assert find_overlap(pool[0], index) is None
    assert find_renamed_solution(pool[1], index) is None
    assert time.process_time() - started < 20


def test_one_program_that_many_requests_get_is_a_templates() -> None:
    asked = "Analyse the complexity of {} and show it with code"
    titles = [f"{first} {second}" for first in ("hash", "tree", "list", "heap") for second in ("insertion", "search", "removal")]
    pool = [record(title, asked.format(title), fence(LONG if n % 2 else RENAMED), n) for n, title in enumerate(titles)]
    assert not find_renamed(pool)
    assert len(find_renamed(pool[:6])) == 5  # few requests for one program are copies

"""Sound records of public data that checks of curate once dropped, and their broken siblings that they must go on dropping."""

from __future__ import annotations

import pytest

from codeact.config import CurateConfig
from codeact.curate import curate_records
from codeact.records import Message, Record
from tests.helpers.answers import fence

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")
pytest.importorskip("datasketch", reason="needs the extra `curate`")

CONFIG = CurateConfig(
    checks=("syntax", "grammars", "complete", "language", "names", "examples"), renamed=True, near=0.8, decontaminate=()
)


def pair(asked: str, answer: str, name: str = "a") -> Record:
    return Record(name, (Message("user", asked), Message("assistant", answer)))


def reasons(*records: Record) -> list[str]:
    return [decision.reason for decision in curate_records(list(records), CONFIG)]


DIAMOND = "class A:\n    pass\n\nclass B(A):\n    pass\n\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fence(DIAMOND + ">>> B.__mro__\n(B, A, object)"), ""),
        (fence(DIAMOND + "    >>> B.__mro__\n    (B, A, object)"), ""),
        (fence(DIAMOND.replace("B(A):", "B(A)") + ">>> B.__mro__\n(B, A, object)"), "syntax error"),
    ],
)
def test_a_session_may_follow_the_code_that_it_looks_at(answer: str, reason: str) -> None:
    assert reasons(pair("클래스를 상속했을 때 메서드 실행 방식", answer)) == [reason]


RUNS = fence('browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")\nfor page in pages:\n    print(page.title)')
WANTED = fence("def scroll(pages):\n    for page in pages:\n        print(page.title)")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("执行JavaScript代码", RUNS),
        ("Show me how to run JavaScript code on a page that is loading.", RUNS),
        ("ページの JavaScript コードを実行する方法は？", RUNS),
        ("Wie kann ich JavaScript Code auf der Seite ausführen?", RUNS),
        ("Sayfada JavaScript kodu çalıştırmak istiyorum.", RUNS),
        ("Write PHP code that prints the titles.", "foreach ($pages as $page) {\n    echo $page;\n}\n\n" + RUNS),
        ("Schreibe einen JavaScript Code, der die Titel ausgibt.", WANTED),
        ("用JavaScript代码实现", WANTED),
        ("Write JavaScript code that prints the titles.", WANTED),
    ],
)
def test_another_language_than_is_named_drops_nothing(asked: str, answer: str) -> None:
    [decision] = curate_records([pair(asked, answer)], CONFIG)
    assert (decision.kept, decision.penalised) == (True, True)


def test_a_language_that_is_handed_to_a_call_is_not_named() -> None:
    asked = 'Turn a text into a list.\n> to_list("java programming")\n> to_list("in Java")'
    [decision] = curate_records([pair(asked, WANTED)], CONFIG)
    assert (decision.kept, decision.penalised) == (True, False)


def test_brackets_tell_two_expressions_apart() -> None:
    asked = "Work out what this expression is worth, step by step, and say True or False: False or ( False {} not False {} is"
    answer = "First the inner part is worked out, then the outer one, so that the whole of it is False."
    other = pair(asked.format(") and", ""), answer, "b")
    assert reasons(pair(asked.format("and", ")"), answer), other) == ["", ""]
    same = pair(asked.format("and", ")").replace("step by step, ", "step by step "), answer, "b")
    assert sorted(reasons(pair(asked.format("and", ")"), answer), same)) == ["", "duplicate"]


@pytest.mark.parametrize(
    ("answer", "other", "copies"),
    [
        ("a GiAnT SpIdEr blocks", "A Giant Spider Blocks", False),
        ("A giant spider blocks", "A Giant Spider Blocks", False),
        ("паук ВЕЛИК", "паук велик", False),
        ("\U0001f431\U0001f3b6", "\U0001f46f", False),
        ("Well done \U0001f600", "Well done \U0001f622", False),
        ("The limit grows: n + k", "The limit grows: n * k", False),
        ("offensive", "Offensive.", True),
        ("Smart Home", "Smart Home.", True),
        ("First, a spider.\nThen a cat.", "first, a spider. then a cat", True),
    ],
)
def test_capitals_and_symbols_tell_answers_of_the_same_words_apart(answer: str, other: str, copies: bool) -> None:
    asked = "Write the sentence as the guide says, or say in one word what it is."
    assert sorted(reasons(pair(asked, answer), pair(asked, other, "b"))) == ["", "duplicate" if copies else ""]


@pytest.mark.parametrize(
    ("says", "line", "reason"),
    [
        ("As Cython, in fast.pyx:", "def add_one(int x):", ""),
        ("As Cython:", "cdef int add_one(int x):", ""),
        ("In Mojo:", "fn add_one(x):", ""),
        ("As Cython:", "def add_one(x", "syntax error"),
        ("In Python:", "def add_one(int x):", "syntax error"),
    ],
)
def test_a_superset_of_python_may_stand_in_its_fence(says: str, line: str, reason: str) -> None:
    code = f"def twice(x):\n    return 2 * x\n\n\n{line}\n    return twice(x) + 1\n\n\nprint(add_one(2))"
    assert reasons(pair("How is it compiled?", f"{says}\n\n{fence(code)}")) == [reason]


SKETCH = "def load(path):\n    return path\n\n\ndef forecast(data):\n    {}\n\n# Forecast the next one\nprint(forecast(load('a')))"


@pytest.mark.parametrize(
    ("body", "reason"),
    [("# Implement the model here\n    # ...", ""), ("# Implement the model here", ""), ("return data", ""), ("", "syntax error"), ("return data)", "syntax error")],
)
def test_a_body_of_remarks_is_left_out(body: str, reason: str) -> None:
    assert reasons(pair("Sketch a forecast.", fence(SKETCH.format(body)))) == [reason]


UNION = "def union(a, b):\n    return list(set(a + b))\n\n\nprint(union([2.5], [1.5]))  # {}"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (UNION.format("[2.5, 1.5]"), ""),
        (UNION.format("[1.5, 2.5]"), ""),
        (UNION.format("[2.5, 3.5]"), "wrong output"),
        (UNION.replace("list(set(a + b))", "sorted(a + b)").format("[2.5, 1.5]"), "wrong output"),
        ('data = [2, 5]\nfor i in data:\n    assert i % 2 == 0, "{} is odd".format(i)', ""),
        ("def even(i):\n    return i % 2 == 1\n\n\nassert even(2)", "examples raise"),
        ("n = 0\nwhile n < 10 ** 12:\n    n += 1\nprint(n)  # 1000000000000", ""),
    ],
)
def test_what_hangs_on_order_time_or_purpose_is_no_sure_fault(code: str, reason: str) -> None:
    assert reasons(pair("Show an example.", fence(code))) == [reason]


def test_a_comma_below_code_may_be_typed_for_a_stop() -> None:
    says = "The date is shown in the same way. If you work with other languages, give a locale. See the list, or make your own with it,"
    assert reasons(pair("How are dates read?", f"{fence('read(dates)')}\n\n{says}")) == [""]
    assert reasons(pair("How are dates read?", says)) == ["cut off"]


JS = '/**\n * Tell whether any two of the numbers (of a list) are close.\n */\nconst close = (numbers, limit) => {{\n{}'
JS_BODY = "  for (let i = 1; i < numbers.length; i++) {\n    if (numbers[i] - numbers[i - 1] < limit) {\n      return true;\n    }\n  }\n  return false;\n}"
JS_SIGNS = (
    '  const found = limit.match(/\\d+/g);\n\n'
    '  if (limit.match(/ *\\( */g)) {\n    return found;\n  }\n\n  return found.filter(n => !(n === 0 || n === 2));\n}'
)
GO = "package main\n\n// Close tells whether two numbers are close.\nfunc Close(numbers []int, limit int) bool {\n"
GO_BODY = "\tfor i := 1; i < len(numbers); i++ {\n\t\tif numbers[i]-numbers[i-1] < limit {\n\t\t\treturn true\n\t\t}\n\t}\n\treturn false\n}"
CS = "public class Close {\n    public static bool Any(int[] numbers, int limit) {\n"
CS_BODY = "        for (int i = 1; i < numbers.Length; i++) {\n            if (numbers[i] < limit) { return true; }\n        }\n        return false;\n    }"
PY = 'def close(numbers, limit):\n    """Tell whether two numbers are close."""\n'
PY_BODY = "for a in numbers:\n        if a < limit:\n            return True\n    return False"


@pytest.mark.parametrize(
    ("asked", "answer", "reason"),
    [
        (JS.format(""), JS_BODY, ""),
        (f"Complete the function.\n{fence(JS.format(''), 'js')}", JS_BODY, ""),
        (f"Complete the function.\n{fence(JS.format(''), 'js')}", fence(JS_BODY, "js"), ""),
        (f"Go on:\n\n{GO}", GO_BODY, ""),
        (CS, CS_BODY, ""),  # the class stays open
        (JS.format(""), JS_SIGNS, ""),
        ("/* Sort them.\n*/\n", "\n    let mut all = given.clone();\n    all.sort();\n    all\n}\n\npub fn one(n: i32) -> i32 {\n    n\n}\n", ""),
        (f"Close numbers\n\n{PY}    ", PY_BODY, ""),
        (f"Close numbers\n\n{PY}", f"    {PY_BODY}", ""),
        (JS.format(""), f"{JS_BODY}\n}}", "doubtful"),
        (f"Write it in JavaScript.\n{fence('const limit = 3;', 'js')}", JS_BODY, ""),  # of what, nobody knows
        (f"Write it in JavaScript.\n{fence('const limit = 3;', 'js')}", f"const f = (numbers) => {{\n{JS_BODY}\n}}", "syntax error"),
        (f"Close numbers\n\n{PY}", fence(PY_BODY.replace("limit:", "limit")), "syntax error"),
    ],
)
def test_an_answer_that_goes_on_with_the_request_is_judged_with_it(asked: str, answer: str, reason: str) -> None:
    [decision] = curate_records([pair(asked, answer)], CONFIG)
    assert (decision.reason or ("doubtful" if decision.penalised else "")) == reason, decision


METHOD = (
    'def _equal(a, b):\n    return "yes" if a == b else "no"\n\n\n'
    'class Box:\n    """A box.\n\n{}    """\n\n    def __init__(self):\n        self.items = []\n\n'
    '    def put(self, item):\n        self.items.append(item)\n        return len(self.items) / 2\n'
)


@pytest.mark.parametrize(
    ("doctest", "reason"),
    [
        (">>> box.put(1)\n0.5", ""),  # a name that the answer has not
        (">>> Box().put(1)\nself.items = [1]", ""),
        (">>> Box().put(1\n0.5", ""),
        (">>> Box().put(1)\n0.50", ""),
        (">>> str(Box().put(1))\n\"0.5\"", ""),
        (">>> [Box().put(1)]\n(0.5,)", ""),
        (">>> _equal(Box().put(1), 0.5)\n'yes'", ""),  # a name of the answer's own
        (">>> Box().put(1)\n0.75", "examples raise"),
        (">>> str(Box().put(1))\n'0.6'", "examples raise"),
    ],
)
def test_a_doctest_tells_something_where_it_states_a_value(doctest: str, reason: str) -> None:
    told = "".join(f"    {line}\n" for line in doctest.split("\n"))
    assert reasons(pair("Write a class for a box.", fence(METHOD.format(told)))) == [reason]


def test_a_doctest_of_which_nothing_comes_is_doubtful() -> None:
    told = "    >>> box = Box()\n    >>> box.items.append(1)\n    [1]\n"
    [decision] = curate_records([pair("Write a class for a box.", fence(METHOD.format(told)))], CONFIG)
    assert (decision.kept, decision.penalised) == (True, True)


@pytest.mark.parametrize("line", [1, 2, 9, 10, 11, 19, 100, 101, 1000])
def test_an_output_is_compared_on_whichever_line_it_is_stated(line: int) -> None:
    def twice(stated: int) -> Record:
        return pair("Double a number.", fence("\n" * (line - 1) + f"print(2 * 21)  # {stated}\n\n\ndef double(n):\n    return 2 * n"))

    decisions = [curate_records([twice(stated)], CONFIG)[0] for stated in (42, 41)]
    assert [(one.reason, one.penalised) for one in decisions] == [("", False), ("wrong output", False)]


def test_methods_whose_first_line_lost_its_blanks_are_a_part_of_a_program() -> None:
    methods = "def put(self, item):\n        self.items.append(item)\n\n    def size(self):\n        return len(self.items)"
    assert reasons(pair("Complete the class.", fence(methods))) == [""]
    assert reasons(pair("Complete the class.", fence(methods.replace("size(self):", "size(self:")))) == ["syntax error"]


def test_what_a_machine_says_of_itself_is_not_compared() -> None:
    code = "import platform\n\n\nprint(platform.python_version())  # '2.7.1'"
    assert reasons(pair("Which version runs?", fence(code))) == [""]


def test_the_same_words_in_other_roles_are_another_request() -> None:
    code = fence("def draw():\n    while True:\n        value = 5 * one() + other() - 6\n        if value <= 21:\n            return value % 7 + 1\n\nprint(draw())")
    asked = "Given a function one that draws evenly, write the function other by means of one and nothing else"
    swapped = "Given a function other that draws evenly, write the function one by means of other and nothing else".replace("other and", "one and")
    assert reasons(pair(asked, code), pair(swapped, code.replace("draw", "pick"), "b")) == ["", ""]
    assert reasons(pair(asked, code), pair(asked, code.replace("draw", "pick"), "b")) == ["", "duplicate"]


@pytest.mark.parametrize(
    ("asked", "other", "copies"),
    [
        ("return integer 1.", "return integer -1.", False),
        ("return integer 1.", "return integer - 1.", False),
        ("return integer 1.", "return the integer 1.", False),
        ("return integer 1.", "Return integer 1", True),
        ("subtract b: a - b", "subtract b: a / b", False),
        ("write a / b as code", "write a b as code", False),
        ("raise 5 to code", "raise 5! to code", False),
        ("move 1/2 of it", "move 1.2 of it", False),
        ("set the flag -v", "set the flag v", False),
        ("test for !done", "test for done", False),
        ("skip this loop iteration - now", "skip this loop iteration, now", True),
        ("skip this loop iteration,", "skip this loop iteration.", True),
        ("push ecx onto the stack!", "push ecx onto the stack", True),
    ],
)
def test_signs_and_joined_numbers_tell_requests_of_the_same_words_apart(asked: str, other: str, copies: bool) -> None:
    """Found in translations of pseudo-code; what a point or a dash differs in stays a copy."""
    assert (reasons(pair(asked, "as it is", "a"), pair(other, "as it is", "b")) == ["", "duplicate"]) is copies


CARD = (
    "class Bear(MinionCard):\n    def __init__(self):\n        super().__init__('Bear', 4, rarity=FREE)\n\n"
    "    def create_minion(self, player):\n        return Minion(3, 3)"
)
FORM = "Bear NAME_END {} ATK_END {} DEF_END Minion TYPE_END <b>Taunt</b> gets +2/+2 {}"


@pytest.mark.parametrize(
    ("asked", "other", "copies"),
    [
        (FORM.format(3, 3, ""), FORM.format(3, 4, ""), False),
        (FORM.format(3, 3, ""), FORM.format(1, 1, ""), False),
        (FORM.format(3, 3, ""), FORM.format(3, 3, "please"), True),
        ("Write the card of the bear.\nExample: bear(card=[3, 4])", "Write the card of the bear.\nExample: bear(card=[5, 6])", True),
    ],
)
def test_one_program_for_two_filled_in_forms_is_no_copy(asked: str, other: str, copies: bool) -> None:
    """Numbers of a form's fields count, those of an example do not."""
    named = CARD.replace("player", "owner")
    assert (reasons(pair(asked, fence(CARD), "a"), pair(other, fence(named), "b")) == ["", "duplicate"]) is copies


LARGEST = "def top(values, n):\n    order = sorted(range(len(values)), key=lambda at: values[at], reverse=True)\n    return [at for at in order if at != '{}'][:{}]"


@pytest.mark.parametrize(
    ("asked", "other", "code", "copies"),
    [
        ("Get the indexes of the n largest values of a list.", "Get the indexes of the 2 largest values of a list.", LARGEST.format("", 2), False),
        ("Get the indexes of the two largest values of a list.", "Get the indexes of the 2 largest values of a list.", LARGEST.format("", 2), True),
        ("Get the indexes of the largest values of a list, but for a key.", "Get the indexes of the largest values of a list, but for the key 'k1'.",
         LARGEST.format("k1", 9), False),
        ("Get the indexes of the largest values, but for k1.", "Get the indexes of the largest values, but for 'k1'.", LARGEST.format("k1", 9), True),
        ("Get the indexes of the largest values of a list.", "Get the indexes of the largest values of a list `values`.", LARGEST.format("", 9), True),
    ],
)  # fmt: skip
def test_one_program_for_a_value_that_only_one_request_names_is_no_copy(asked: str, other: str, code: str, copies: bool) -> None:
    named = code.replace("values", "numbers")
    assert (reasons(pair(asked, fence(code), "a"), pair(other, fence(named), "b")) == ["", "duplicate"]) is copies


SUM = "def total(values):\n    found = 0\n    for value in values:\n        found += value * 2 - 1\n    return found"


@pytest.mark.parametrize(
    ("asked", "other", "copies"),
    [
        ("Écris en Python le programme « Vendanges ».", "Écris en Python le programme « Le grand évènement ».", False),
        ("Écris en Python le programme « Tour II ».", "Écris en Python le programme « Tour III ».", False),
        ("Écris en Python le programme « Etape la plus longue ».", "Écris en Python le programme « Étape la plus longue ! ».", True),
        ("プログラム「合計」をPythonで書いてください。", "プログラム「総計算」をPythonで書いてください。", False),
        ("Sum the list `values` of numbers.", "Sum the list `numbers` of numbers.", True),
        ("Sum the numbers of a list 'values'.", "Sum the numbers of a list.", True),
        ("# [Silver II] The sum (small) - 22857\n\nSum the list.", "# [Gold V] The sum (large) - 22862\n\nSum the list.", False),
        ("# [Silver II] The sum - 22857\n\nSum the list.", "# [Gold V] The sum - 22857\n\nSum the list.", True),
    ],
)
def test_one_program_under_two_titles_is_no_copy(asked: str, other: str, copies: bool) -> None:
    """Titles that requests quote, and the numbers of a heading; a quoted name that the program holds is no title."""
    named = SUM.replace("values", "numbers").replace("found", "result")
    assert (reasons(pair(asked, fence(SUM), "a"), pair(other, fence(named), "b")) == ["", "duplicate"]) is copies

"""Decontamination: leaks are found and named, common phrases are not leaks; and the policy of `curate`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from codeact.config import CurateConfig
from codeact.curate import BenchmarkItem, curate_records
from codeact.curate.decontaminate import build_index, find_overlap, find_overlaps, find_renamed_solution
from codeact.curate.kept_index import kept_index
from codeact.curate.tokens import spelled
from codeact.curate.word_runs import Runs
from codeact.errors import InputError
from codeact.records import Message, Record, read_records
from tests.helpers.shared_data import DATA

HUMANEVAL, MBPP = DATA / "HumanEvalPlus-v0.1.10.jsonl.gz", DATA / "mbpp_974.jsonl.gz"
needs_data = pytest.mark.skipif(
    not (HUMANEVAL.exists() and MBPP.exists()),
    reason=f"no benchmark data in {DATA}; set CODEACT_DATA to a folder that has them",
)

PRICES = BenchmarkItem(
    "shop", "7",
    "Given the prices of a warehouse as a dictionary, return the names of all articles that cost more than their median price.",
    "def costly(prices):\n    ordered = sorted(prices.values())\n    middle = ordered[len(ordered) // 2]\n"
    "    dear = [name for name, price in prices.items() if price > middle]\n    dear.sort(key=prices.get, reverse=True)\n"
    "    if not dear:\n        raise LookupError('nothing is dear')\n    return dear\n",
)  # fmt: skip
SHORT = BenchmarkItem("shop", "8", "Count the vowels of each word, sorted by word.", "return 1")
ITEMS = [PRICES, SHORT]


def pair(instruction: str, response: str, identity: str = "r", row: int = 0) -> Record:
    return Record(identity, (Message("user", instruction), Message("assistant", response)), {"row": row})


def overlap(
    instruction: str, response: str, items: list[BenchmarkItem] = ITEMS, ngram: int = 13
) -> tuple[str, str] | None:
    found = find_overlap(pair(instruction, response), build_index(items, ngram))
    return None if found is None else (found.item.id, found.method)


@pytest.mark.parametrize(
    ("instruction", "response", "expected"),
    [
        (f"Please solve this.\n{PRICES.text_prompt.upper()}", "ok", ("7", "exact prompt")),
        ("Which articles are dear?", f"```python\n{PRICES.solution}```", ("7", "exact solution")),
        ("Which?", PRICES.solution.replace("\n", "  # step\n"), ("7", "exact solution")),
        ("return the names of all articles that cost more than their median price, please", "ok", ("7", "13-gram")),
        ("Return the names of all\n  articles -- that COST more than their Median price", "ok", ("7", "13-gram")),
        ("return the names of all articles that cost more than their average price", "ok", None),
        ("Task: count the vowels of each word, sorted by word! In Rust.", "ok", ("8", "exact prompt")),
        ("Count the vowels of each word, sorted by length.", "return 1", None),
        ("What is the median?", "\n".join(PRICES.solution.split("\n")[1:5]), None),
    ],
    ids=[
        "prompt",
        "solution",
        "comments",
        "ngram",
        "punctuation",
        "12 words",
        "short prompt",
        "short prompt differs",
        "half of the solution",
    ],
)
def test_hits_and_misses(instruction: str, response: str, expected: tuple[str, str] | None) -> None:
    assert overlap(instruction, response) == expected


def test_thoughts_and_calls_are_looked_at() -> None:
    leak = f"{PRICES.text_prompt}\n\n{PRICES.solution}"
    call = json.dumps([{"type": "function", "function": {"name": "write_file", "arguments": {"files": [{"content": leak}]}}}])
    renamed = PRICES.solution.replace("prices", "table").replace("ordered", "row").replace("middle", "m")
    asked = Message("user", "Go on.")
    index = build_index(ITEMS, 13)
    for answer in (Message("assistant", "ok", reasoning=leak), Message("assistant", "", tool_calls=call)):
        found = find_overlap(Record("r", (asked, answer)), index)
        assert found is not None
        assert (found.item.id, found.method) == ("7", "exact prompt")
    for text in (f"```python\n{renamed}```", renamed):
        call = json.dumps([{"type": "function", "function": {"name": "write_file", "arguments": {"content": text}}}])
        for answer in (Message("assistant", "ok", reasoning=text), Message("assistant", "", tool_calls=call)):
            found = find_renamed_solution(Record("r", (asked, answer)), index)
            assert found is not None
            assert (found.item.id, found.method) == ("7", "renamed code")


def test_the_hit_shows_the_overlapping_passage() -> None:
    found = find_overlap(
        pair("So: return the NAMES of all articles that\ncost more than their median price. Go!", "ok"),
        build_index(ITEMS),
    )
    assert found is not None
    assert found.text == "return the NAMES of all articles that cost more than their median price"


def test_the_ngram_length_is_a_setting() -> None:
    text = "names of all articles that cost more than their median"
    assert overlap(text, "ok", ngram=10) == ("7", "10-gram")
    assert overlap(text, "ok", ngram=13) is None


def test_a_licence_header_that_items_share_is_no_hit() -> None:
    header = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and its documentation"
    tasks = ["Sum the odd cells of a grid.", "Rotate a queue of jobs by its weight.", "Name the month of a given date."]
    items = [BenchmarkItem("b", str(n), f"# {header}\n{task}", "return None") for n, task in enumerate(tasks)]
    assert overlap(f"Explain: {header}", "ok", items) is None
    assert overlap(f"Explain: {header}", "ok", items[:1]) == ("0", "13-gram")
    assert overlap(f"# {header}\n{tasks[1]}", "ok", items) == ("1", "exact prompt")


@pytest.mark.parametrize(
    "idiom",
    [
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]",
        "for i in range(n):\n    for j in range(0, n - i - 1):\n        if arr[j] > arr[j + 1]:",
        "{'zero': 0, 'one': 1, 'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6, 'seven': 7, 'eight': 8, 'nine': 9}",
        "Write a function that takes a vector of numbers as input and returns the number of",
        "['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] + [1, 2, 3, 4, 5, 6, 7]",
    ],
    ids=["numbers", "loops", "numbers in words", "any function", "days"],
)
def test_idioms_are_no_hit(idiom: str) -> None:
    assert (
        overlap("Explain this.", idiom, [BenchmarkItem("b", "1", "Sort it.", f"{idiom}\n            swap(arr)")])
        is None
    )


def test_the_longest_overlap_names_the_item() -> None:
    head = "return the names of all articles that cost more than their median price"
    items = [
        BenchmarkItem("b", "1", head + " in any order"),
        BenchmarkItem("b", "2", head + " sorted by name and colour"),
    ]
    assert overlap(f"Now {head} sorted by name", "ok", items) == ("2", "13-gram")


def test_a_200000_character_response_takes_linear_time() -> None:
    assert overlap("x", "the names of all articles " * 8000) is None


POOL = [
    pair("Compute the dose.", "def dose(x):\n    retrun x +", "broken", 0),
    pair("Add them in Python.", "def add(a, b):\n    return a + b", "short", 1),
    pair("Add them in Python.", "def add(a, b):  \n    return a + b\n", "long", 2),
    pair("Which are dear?", PRICES.solution, "leak", 3),
    pair("Which are dear?", PRICES.solution.replace("\n", "  # dear\n"), "leak twice", 4),
    pair("Say hello.", "Hello!", "plain", 5),
]


def test_policy_first_reason_wins_and_every_record_has_a_decision() -> None:
    config = CurateConfig(decontaminate=("humaneval",))
    items = {"humaneval": [PRICES], "mbpp": [BenchmarkItem("mbpp", "1", "Say hello. Hello! " * 5)]}
    decisions = curate_records(POOL, config, items)
    assert [(d.id, d.kept, d.reason, d.duplicate_of, d.benchmark_item) for d in decisions] == [
        ("broken", False, "syntax error", None, None),
        ("short", True, "", None, None),
        ("long", False, "duplicate", "short", None),
        ("leak", False, "benchmark overlap", None, "shop:7"),
        ("leak twice", False, "benchmark overlap", None, "shop:7"),
        ("plain", True, "", None, None),
    ]
    assert all((d.detail == "") == d.kept for d in decisions)
    assert decisions[4].detail.startswith("exact solution: def costly(prices): ordered")
    assert decisions[0].detail == "line 2: invalid syntax: 'retrun x +'"


def test_each_stage_can_be_switched_off() -> None:
    off = CurateConfig(verify=False, dedup=False)
    decisions = curate_records(POOL, off)
    assert [(d.id, d.kept, d.reason, d.verdict) for d in decisions] == [(record.id, True, "", "") for record in POOL]
    assert {d.reason for d in curate_records(POOL, CurateConfig(verify=False))} == {"", "duplicate"}
    assert {d.reason for d in curate_records(POOL, CurateConfig(dedup=False))} == {"", "syntax error"}


def test_the_decisions_do_not_depend_on_the_order_of_the_pool() -> None:
    config = CurateConfig(decontaminate=("humaneval",))
    forward = curate_records(POOL, config, {"humaneval": [PRICES]})
    assert curate_records(POOL[::-1], config, {"humaneval": [PRICES]}) == forward[::-1]


def test_broken_code_never_represents_a_group() -> None:
    pool = [
        pair("q", "def f(x:\n    return x", "short", 0),
        pair("q", "def f(x:\n    return x  # " + "long " * 9, "long", 1),
    ]
    assert {d.reason for d in curate_records(pool, CurateConfig())} == {"syntax error"}


def test_an_empty_pool_has_no_decisions() -> None:
    assert curate_records([], CurateConfig()) == []


@pytest.mark.parametrize("items", [None, {}, {"mbpp": [PRICES]}, {"humaneval": []}])
def test_a_benchmark_without_tasks_is_refused(items: dict[str, list[BenchmarkItem]] | None) -> None:
    with pytest.raises(InputError, match="'humaneval'"):
        curate_records(POOL, CurateConfig(decontaminate=("humaneval",)), items)


def test_ids_must_be_unique() -> None:
    with pytest.raises(InputError, match="share an id"):
        curate_records([POOL[0], POOL[0]], CurateConfig())


def load(path: Path, prompt: str, solution: str) -> list[BenchmarkItem]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [
            BenchmarkItem(path.name, str(row["task_id"]), row[prompt], row[solution]) for row in map(json.loads, stream)
        ]


@needs_data
@pytest.mark.parametrize(
    ("path", "prompt", "solution"), [(HUMANEVAL, "prompt", "canonical_solution"), (MBPP, "text", "code")]
)
def test_every_item_of_a_real_benchmark_is_found_when_it_leaks(path: Path, prompt: str, solution: str) -> None:
    items = load(path, prompt, solution)
    index = build_index(items)
    found = [find_overlap(pair(item.text_prompt, item.solution), index) for item in items]
    assert all(found)
    right = sum(overlap.item.id == item.id for overlap, item in zip(found, items, strict=True) if overlap is not None)
    assert right >= 0.99 * len(items)


CHINESE = BenchmarkItem(
    "shop-zh",
    "9",
    "给定一个仓库中所有商品的价格表，请返回价格高于价格中位数的所有商品的名称，并按价格从高到低排列。",
    "return 1",
)


def test_a_benchmark_in_a_language_without_blanks_is_found() -> None:
    assert overlap(f"请用Python完成：{CHINESE.text_prompt}", "ok", [CHINESE]) == ("9", "exact prompt")
    full_width = "请返回价格高于价格中位数的所有商品的名称，并按价格从高到低排列"
    assert overlap(f"任务：{full_width}！", "ok", [CHINESE]) == ("9", "13-gram")
    assert overlap("请返回价格高于价格平均数的所有商品的编号，并按名称排列。", "ok", [CHINESE]) is None
    assert overlap("编写一个函数，接受一个整数列表作为参数，并返回结果。", "ok", [CHINESE]) is None


@needs_data
def test_real_instruction_data_has_few_hits() -> None:
    index = build_index(load(HUMANEVAL, "prompt", "canonical_solution") + load(MBPP, "text", "code"))
    rows = json.loads((DATA / "evol_instruct_code_1966.json").read_text(encoding="utf-8"))
    assert [o for record in read_records(rows).records if (o := find_overlap(record, index))] == []


def test_where_a_run_of_words_stands_is_found_in_many_texts_at_once() -> None:
    random = np.random.default_rng(0)
    vocabulary = [*(f"w{n}" for n in range(6)), "用", "größe", "x" * 20_000, "\ud800"]
    known = {3: {tuple(vocabulary[n] for n in random.integers(0, 8, 3)) for _ in range(50)} | {("用", "größe", "x" * 20_000)}}
    known[5] = {(*run, "用", "w1") for run in sorted(known[3])[:40]}
    said = [[vocabulary[n] for n in random.integers(0, len(vocabulary), length)] for length in (0, 1, 2, 3, 0, 0, 50, 300, 0)]
    said += [["w1", "用"], ["größe", "x" * 20_000, "w2"], ["用", "größe", "x" * 20_000], [*sorted(known[5])[0], "w2"], ["w2", *sorted(known[5])[1]]]
    there = [[(at, n) for n in known for at in range(len(text) - n + 1) if tuple(text[at : at + n]) in known[n]] for text in said]
    runs = Runs(known)
    assert runs([" ".join(text).encode("utf-8", "surrogatepass") for text in said]) == there
    assert sum(map(len, there)) > 10
    plain = [[word for word in text if word != "\ud800"] for text in said]
    assert runs([spelled(" ".join(text)) for text in plain]) == runs([" ".join(text).encode() for text in plain])
    assert [runs([]), runs([b"", b"   "]), Runs({})([b"w1 w2 w3"])] == [[], [[], []], [[]]]


def test_records_together_have_the_overlaps_that_each_has_alone() -> None:
    asked, solved = PRICES.text_prompt, PRICES.solution.replace("\n", "  # step\n")
    records = [pair(*turn) for turn in (("", ""), (asked, "ok"), ("sum", "# nothing here"), ("", solved), (f"用{asked}", solved), ("", "\n"))]
    index = build_index(ITEMS)
    assert find_overlaps(records, index) == [find_overlap(record, index) for record in records]
    assert [found is not None for found in find_overlaps(records, index)] == [False, True, False, True, True, False]


def test_a_kept_index_is_the_one_that_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    items = [
        BenchmarkItem("own", str(n), f"Write a function that multiplies all {n} the odd numbers of a list of integers together.", code)
        for n, code in enumerate(["def product(xs):\n    total = 1\n    for x in xs:\n        total *= x % 2 or 1\n    return total\n", ""])
    ]
    made = build_index(items)
    for _ in range(2):
        assert kept_index(items, 13) == made
    (file,) = tmp_path.glob("indexes/*.bin")
    file.write_bytes(file.read_bytes()[:-3])
    assert kept_index(items, 13) == made
    assert kept_index(items[:1], 13) == build_index(items[:1])
    assert kept_index(items, 12) == build_index(items, 12)
    assert len([*tmp_path.glob("indexes/*.bin")]) == 3
    monkeypatch.setenv("CODEACT_CACHE", str(file))  # a file where the folder should be
    assert kept_index(items, 13) == made

"""Reading ratings and tags strictly; the local judge against the model's own logits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.errors import InputError
from codeact.judge.answers import parse_rating
from codeact.judge.ratings import RUBRICS, local_ratings, render, rubric
from codeact.judge.tags import frequent, merge_associated, merge_like, normalise, parse_tags
from codeact.records import Message, Record


@pytest.mark.parametrize(
    ("text", "value", "status"),
    [
        ("4.5", 4.5, "ok"), ("4.5/5", 4.5, "ok"), ("Score: 4.5", 4.5, "ok"), ("**Rating: 4.5/5**\nIt works.", 4.5, "ok"),
        ("  \n5\nIt has 3 bugs and 2 tests.", 5, "ok"), ("4,5", 4.5, "ok"), ("5.", 5, "ok"), ("0", 0, "ok"), ("`3`", 3, "ok"),
        ("The code is right but slow. Score: 4", 4, "ok"), ("I would give it 3 out of 5.", 3, "ok"),
        ("The score is 4 out of 5 because it works.", 4, "ok"), ("Final verdict: Score: 4", 4, "ok"),
        ("Score: 4/10 because it works", None, "out_of_range"), ("The rating is 3.5.", 3.5, "ok"),
        ("Score: **4**/5", 4, "ok"), ("Accuracy: 5/5\nOverall score: 5", 5, "ok"),
        ("", None, "unparsed"), ("It has 3 bugs.", None, "unparsed"), ("4-5", None, "unparsed"), ("Score: 4-5", None, "unparsed"),
        ("between 4 and 5", None, "unparsed"), ("4 to 5", None, "unparsed"), ("Score: 80%", None, "unparsed"), ("1.2.3", None, "unparsed"),
        ("five", None, "unparsed"), ("I cannot rate this.", None, "unparsed"), ("5 stars", None, "unparsed"),
        ("Score: 4. Corrected score: 3", None, "ambiguous"), ("Accuracy: 4\nStyle... Quality: 2 of course", 4, "ok"),
        ("Good. Accuracy: 4. Quality: 2", None, "ambiguous"), ("Score: 4 (3)", None, "unparsed"),
        ("accuracy is 3 %", None, "unparsed"), ("Accuracy: 5 percent", None, "unparsed"), ("Score: 1,000", None, "unparsed"),
        ("Score: 4~5", None, "unparsed"), ("Score: 4 and 5", None, "unparsed"), ("Score: 4..5", None, "unparsed"), ("Score: 4, 5", None, "unparsed"),
        ("Score: 4 and a half", None, "unparsed"), ("Score: 4 — 5 would be perfect", None, "unparsed"), ("Score: 4 (out of ten)", None, "unparsed"),
        ("A score of 5 would need tests. This one deserves a 2.", None, "unparsed"), ("Not a score of 5, rather 2", None, "unparsed"),
        ("The time complexity of 2 nested loops is fine. I give it four.", None, "unparsed"), ("Complexity: 2 nested loops", None, "unparsed"),
        ("3 out of 5 tests pass. It is bad: I give 1", None, "unparsed"), ("Tests passed: 3/5", None, "unparsed"),
        ("The rating is 5 if it gets tests.", None, "unparsed"), ("The rating would be 5 with tests.", None, "unparsed"),
        ("Score: 5? No.", None, "unparsed"), ("To get 5/5, it needs tests.", None, "unparsed"), ("I would not give it 5/5.", None, "unparsed"),
        ("Rating: 5 = right, 0 = wrong.\nRating: 2", 2, "ok"), ("Score: 4, because 3/5 tests fail", 4, "ok"), ("4/5 - good", 4, "ok"),
        ("- **Score:** 4\n- fine", 4, "ok"), ('{"reason": "x", "rating": 4}', 4, "ok"), ("Score: 4 (two small faults)", 4, "ok"),
        ("It deserves a 4/5.", 4, "ok"), ("Score: 4 on a scale of 0 to 5.", 4, "ok"), ("Score: 4 (0-5)", 4, "ok"), ("Good.\nScore: 4 of 5", 4, "ok"),
        ("评分：4", 4, "ok"), ("综合评分：4.5/5。代码正确。", 4.5, "ok"), ("代码正确。得分为 3 分，因为很慢。", 3, "ok"), ("**评分**：4\n代码正确", 4, "ok"),
        ("评分：4-5", None, "unparsed"), ("评分：4分或5分", None, "unparsed"), ("评分标准：5 分代表正确", None, "unparsed"), ("评分：4，如果修复", None, "unparsed"),
        ("我认为评分：5分代表完全正确\n评分：2", 2, "ok"), ("评分：4（满分10分）", None, "out_of_range"), ("评分：4。总分数：3", None, "ambiguous"),
        ("Score: 4*5", None, "unparsed"), ("I give it a **4**/5!", 4, "ok"), ("3 of 5, the others fail", None, "unparsed"), ("It runs. Score 4, more", None, "unparsed"),
        ("It deserves a four (0-5) (good)", None, "unparsed"), ("It runs. I would give it a 4 on a scale of 0 to 5.", 4, "ok"),
        ("7", None, "out_of_range"), ("-1", None, "out_of_range"), ("9/10", None, "out_of_range"), ("Score: 4/10", None, "out_of_range"),
    ],
)  # fmt: skip
def test_ratings(text: str, value: float | None, status: str) -> None:
    found = parse_rating(text, 0, 5)
    assert (found.value, found.status) == (value, status)
    assert (found.detail == "") == (status == "ok" or text == "")


@pytest.mark.parametrize(
    ("text", "value", "status"),
    [
        ("<think>\n… Maybe Score: 5? But it has a bug, so lower.\n</think>\n2", 2, "ok"),
        ("<think>It works.</think>\n\nThe code fails. Score: 1", 1, "ok"), ("Maybe 5/5.\n</think>\n0", 0, "ok"),
        ("[THINK]Score: 5[/THINK]3", 3, "ok"), ("<think>Score: 5", None, "unparsed"), ("<think>Score: 5</think>", None, "unparsed"),
        ("<|channel|>analysis<|message|>Score: 5<|end|><|start|>assistant<|channel|>final<|message|>3<|return|>", 3, "ok"),
    ],
)  # fmt: skip
def test_thoughts_are_no_rating(text: str, value: float | None, status: str) -> None:
    found = parse_rating(text, 0, 5)
    assert (found.value, found.status) == (value, status)
    assert (found.detail == "") == (status == "ok")


@pytest.mark.parametrize(
    "scale",
    ["(out of 10)", "on a scale of 1 to 10", "on a scale from 0-10", "on a 10-point scale", "out of a possible 10", "points out of 10", "of 10", "(max 10)",
     "(0-10)", "/ **10**", "（满分10分）", "满分10分", "(10分制)"],
)  # fmt: skip
def test_another_scale(scale: str) -> None:
    for text in (f"Score: 4 {scale}", f"It runs.\nRating: **4** {scale}. It is slow.", f"4 {scale}"):
        assert parse_rating(text, 0, 5).status == "out_of_range"
        assert parse_rating(text, 0, 10).value == 4


@pytest.mark.parametrize("piece", ["score ", "! ", "i give ", "\n", "the ", ", ", "1", " ", "*", "(4 ", "Score: 4 of "])
def test_long_answers_are_read_in_linear_time(piece: str) -> None:
    start = time.monotonic()
    for before in ("", "score", "!", "I give", "Score: 4"):
        assert parse_rating(before + piece * (50_000 // len(piece)) + "x", 0, 5).status in ("unparsed", "ok")
    assert time.monotonic() - start < 60


def test_a_scale_that_starts_at_one() -> None:
    assert parse_rating("0", 1, 6).status == "out_of_range"
    assert parse_rating("6/6", 1, 6).value == 6


def test_prompts_hold_the_record_as_it_is() -> None:
    record = Record("r", (Message("user", "Sort <a> & {{ b }}"), Message("assistant", "def f(): return '<&>'")))
    for name in RUBRICS:
        (text,) = render(rubric(name).template, [record])
        assert "Sort <a> & {{ b }}" in text
        assert ("'<&>'" in text) == (name != "complexity")
    assert '"binary search"' in render("judge_tags", [record])[0]
    with pytest.raises(InputError, match="rubrics are accuracy"):
        rubric("beauty")


@pytest.mark.parametrize(
    ("text", "tags", "status"),
    [
        ('[{"tag": "Binary-Search Trees", "explanation": "x"}, {"tag": "C++"}]', ("binary search tree", "c++"), "ok"),
        ('```json\n["Sorting", "sorting ", "API  design"]\n```', ("sorting", "api design"), "ok"),
        ("[]", (), "empty"),
        ("sorting, searching", (), "unparsed"),
        ('{"tag": "x"}', (), "unparsed"),
        ('["ok", 3]', (), "unparsed"),
        ('["..."]', (), "unparsed"),
        ('["one two three four five six seven"]', (), "unparsed"),
        ('Here they are: ["sorting"]', (), "unparsed"),
        ("[" * 100_000, (), "unparsed"),
        ('<think>a ["list"]</think>[{"tag": "sql"}]', ("sql",), "ok"),
        ('<think>\n["list"]\n</think>\n\n```json\n["sql"]\n```', ("sql",), "ok"),
        ('<think>["sql"]', (), "unparsed"),
    ],
)
def test_tags(text: str, tags: tuple[str, ...], status: str) -> None:
    found = parse_tags(text)
    assert (found.tags, found.status) == (tags, status)


@pytest.mark.parametrize(
    ("given", "plain"),
    [("Queries", "query"), ("class", "class"), ("Data Analysis", "data analysis"), ("hashes", "hash"), ("C#", "c#"), ("_", ""),
     ("ﬁle I/O", "file i o"), ("boss", "boss"), ("bus", "bus")],
)  # fmt: skip
def test_one_spelling(given: str, plain: str) -> None:
    assert normalise(given) == plain


def test_rare_tags_go_and_like_ones_merge() -> None:
    assert frequent([("a", "b"), ("a",), ("b", "c")], 2) == [("a", "b"), ("a",), ("b",)]
    near = np.array([[1, 0], [0.9999, 0.01], [0, 1]], np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    assert merge_like({"sort": 2, "sorting": 5, "web": 1}, near) == {
        "sort": "sorting",
        "sorting": "sorting",
        "web": "web",
    }
    assert merge_like({}, np.zeros((0, 2), np.float32)) == {}


def test_tags_that_come_together_become_one() -> None:
    both, alone = [("join", "sql")] * 4, [("sql",)] * 3
    assert merge_associated([*both, *alone], 4) == [("sql",)] * 7  # the rarer gives way
    assert merge_associated([*both, *alone], 5) == [*both, *alone]  # too few records have both
    assert merge_associated([*both, *alone, ("join",)], 4) == [*both, *alone, ("join",)]  # 4 of 5 is not 99 %
    assert merge_associated([("b", "a")] * 2, 1) == [("a",)] * 2  # of equals the first by name
    chain = [("left join", "join", "sql")] * 4 + [("join", "sql")] * 2 + [("sql",)]
    assert merge_associated(chain, 2) == [("sql",)] * 7
    assert merge_associated([(), ("a",)], 1) == [(), ("a",)]


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=4, unique=True), max_size=12), st.integers(1, 4))
def test_no_rule_is_left_and_no_record_loses_all_its_tags(tags: list[list[str]], support: int) -> None:
    """Against a brute force over all pairs."""
    merged = merge_associated(tags, support)
    assert [bool(some) for some in merged] == [bool(some) for some in tags]
    for first in "abcd":
        for second in "abcd":
            has = [some for some in merged if first in some]
            both = [some for some in has if second in some]
            assert first == second or len(both) < support or len(both) < 0.99 * len(has)


def test_the_local_judge_is_the_expectation_over_the_models_own_digits(tiny_model_dir: Path) -> None:
    import torch

    from codeact.lm import models, prompts

    tokenizer = models.load_tokenizer(str(tiny_model_dir))
    model = models.load_model(str(tiny_model_dir), dtype="float32")
    template = prompts.load_template("question", tokenizer)
    asked = ["Rate this: add numbers.", "Rate that, which is rather longer than the first one: sort words.", "x" * 6000]
    seen: list[int] = []
    found = local_ratings(
        asked, model, tokenizer, template, low=0, high=5, min_mass=0.0, batch_tokens=64, advance=seen.append
    )
    assert sum(seen) == 2
    assert found[2].status == "too_long"
    for prompt, rating in zip(asked[:2], found, strict=False):
        text = prompts.prompt_text([Message("user", prompt)], template, tokenizer) + "Rating:"
        variants = [tokenizer(f"{text} {d}")["input_ids"] for d in range(6)]
        assert len({tuple(v[:-1]) for v in variants}) == 1  # this tokenizer writes the digit as the last token
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([variants[0][:-1]]), use_cache=False).logits[0, -1].double()
        p = logits.softmax(-1)[[v[-1] for v in variants]]
        assert rating.value == pytest.approx(float((p * torch.arange(6)).sum() / p.sum()), abs=1e-5)
    strict = local_ratings(asked[:1], model, tokenizer, template, low=0, high=5)
    assert (strict[0].value, strict[0].status) == (None, "unsure")

"""Columns in which a judge, a test or a person says that the answer of a row is wrong."""

from __future__ import annotations

import re
from functools import lru_cache

from codeact.records.tools import parsed
from codeact.sources.objects import plain_name

# first or last words of names of columns that are false where the answer is bad: `all_tests_passed`, `is_solved`, `correct_answer`
VERDICTS = frozenset((
    "correct", "correctness", "desirable", "pass", "passed", "passes", "accepted", "good", "success", "successful", "resolved", "solved", "valid",
    "approved", "verified", "reward", "safe", "compile", "compiles", "compiled", "compilable", "executable", "executes", "runnable",
))  # fmt: skip
# last words of names of columns that are true where it is bad: `is_incorrect`
FAULTS = frozenset(("incorrect", "wrong", "failed", "buggy", "unsafe", "harmful", "toxic", "truncated"))
# last words of names of columns that say it in a word: `status`, `test_result`
SPOKEN = frozenset(("verdict", "status", "judgement", "judgment", "outcome", "result", "grade", "evaluation"))
MEASURES = frozenset(("score", "rate", "ratio", "fraction"))  # last words; of tests where a word of the name says so: `test_pass_rate`
TESTED = frozenset(("test", "tests", "pass", "passed", "correct"))
NO = ("false", "0", "0.0", "no", "n", "-1", "-1.0")
YES = ("true", "1", "1.0", "yes", "y")
WRONG = ("incorrect", "wrong", "fail", "failed", "failure", "rejected", "reject", "bad")
# what the judges of programming contests say, without blanks and marks: `WRONG_ANSWER`, `TLE`, `Runtime error on test 3`
_JUDGED = re.compile(
    "(?:wronganswer|incorrectanswer|wa|[tmo]le|rte?|re|ce|pe|[a-z]*limitexceeded|time(?:d)?out|(?:runtime|compiler?|compilation|presentation)error"
    "|wapresentationerror|securityviolated|crashed|challenged|partial|error)(?:on(?:pre)?tests?[0-9]+)?"
)
_MARKS = re.compile(r"[\W_]+")
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])")


@lru_cache(maxsize=4096)  # of a file, all rows have the same few names
def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case: of `isCorrect` and of `is_correct` the same two."""
    return tuple(word.lower() for word in _WORD.findall(name))


def says_wrong(name: str, value: object) -> bool:
    """Whether a column says that the answer is wrong; a list of verdicts, or JSON text of one, where each of them does.

    Args:
        name: the column.
        value: what the row holds there.
    """
    if not _may_judge(name):
        return False
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _listed(value)
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_wrong(name, one) for one in value)
    return _is_wrong(name, value)


@lru_cache(maxsize=4096)
def _may_judge(name: str) -> bool:
    words = words_of(name)
    return bool(words) and (
        plain_name(name) == "ktolabel" or words[0] in VERDICTS or words[-1] in VERDICTS | FAULTS | SPOKEN | MEASURES | {"target", "label", "error"}
    )


def _is_wrong(name: str, value: object) -> bool:
    if not isinstance(value, str | bool | int | float):
        return False
    words, said = words_of(name), str(value).strip().lower()
    last = words[-1]
    verdict = plain_name(name) == "ktolabel" or words[0] in VERDICTS or last in VERDICTS
    if verdict or (last in MEASURES and not TESTED.isdisjoint(words)):
        denied = said in NO
    else:
        denied = (last == "target" and value is False) or (said in YES and (last in FAULTS or (last == "error" and words[0] in ("has", "is"))))
    if denied or not (verdict or last in SPOKEN or last == "label"):
        return denied
    return said in WRONG or (last != "label" and _JUDGED.fullmatch(_MARKS.sub("", said)) is not None)


def _listed(text: str) -> object:
    try:
        return parsed(text)
    except ValueError:
        return text

"""What a row holds that was not read: columns that may mean something, and marks of a template in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from codeact.records.columns import INSTANCES, INSTRUCTION, MESSAGES, OPTIONAL, REJECTED, RESPONSE, plain_name
from codeact.records.content import is_blank
from codeact.records.media import is_media_file, is_media_name
from codeact.records.types import Message

# columns whose text describes a row and says nothing to the model
DESCRIBING = (
    "id", "_id", "source", "src", "category", "dataset", "dataset_name", "url", "urls", "link", "lang", "language", "languages", "license", "split",
    "model", "created", "created_at", "timestamp", "date", "hash", "tags", "topic", "domain", "type", "task", "task_type", "name", "title",
    "idx", "index", "prompt_id", "conversation_id", "meta", "metadata", "author", "subset", "version", "difficulty", "quality",
)  # fmt: skip
# columns that say where a row is from, on one line
PLACES = ("file", "filename", "file_name", "filepath", "file_path", "path", "repo", "repository", "repo_name", "commit", "sha", "described_by")
LONG = 24  # characters of a value that is text and no label
# of a text that was put through a template before: learnt as text, and the template comes on top
MARKS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "[/INST]", "<|start_header_id|>", "<|eot_id|>", "<start_of_turn>", "<|assistant|>",
    "<|user|>", "<extra_id_1>", "### Response:", "<｜Assistant｜>",
)  # fmt: skip
ENDS = ("assistant:", "assistant：", "\n\n###", "\n\n->")  # of a question: a transcript's, and the marks of OpenAI's first tuning files
_STARTS = tuple(dict.fromkeys(mark[:2] for mark in MARKS))  # few texts hold one
_LONGEST_END = max(map(len, ENDS))
# columns that are named whatever they hold: they carry meaning by their name, however short it is
ALWAYS = frozenset(map(plain_name, (
    *MESSAGES, *INSTRUCTION, *RESPONSE, INSTANCES, *(name for names in OPTIONAL.values() for name in names), "reasoning",
    # further text of the question
    "contexts", "passage", "passages", "document", "documents", "paragraph", "evidence", "background", "knowledge", "reference", "schema",
    "chat_history", "choices", "options", "hint", "hints", "persona", "constraint", "constraints", "starter_code", "code", "code_context",
    "target_language", "target_lang", "prefix", "suffix", "table", "note",
    # whether, and how much, a row is to be learnt
    "weight", "weights", "sample_weight", "loss_weight", "loss_mask", "loss_scale", "train", "trainable", "mask", "masks",
    "train_on_inputs", "train_on_input",
))) - {"id"}  # fmt: skip
# last words of columns' names whose texts are named unless they are one short word: `source_code`, `user_input`, `task_description`
CARRYING = frozenset((
    "code", "snippet", "diff", "patch", "text", "content", "contents", "article", "sentence", "input", "inputs", "description", "definition", "body",
    "example", "examples", "signature", "instruction", "instructions", "prompt", "prompts", "cot", "rationale", "think", "thinking", "thought",
    "thoughts", "explanation", "critique", "corrected", "correction", "revision", "context", "scratchpad", "thoughtchain",
    "题目", "背景", "上下文", "代码", "思考", "解释",
))  # fmt: skip
LABEL = re.compile(r"[\w.+-]{1,20}")
# of columns that describe a row, those that people put the request or a part of it into: named where they hold a sentence
HEADINGS = frozenset(("title", "task", "topic", "type"))
SENTENCE = re.compile(r"\S+(?:\s+\S+){3}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af][^\s]{7}")
# objects about a row, and what in them is said to the model
ABOUT = frozenset(("meta", "metadata", "info", "extra", "extrainfo"))
SAID = frozenset(plain_name(name) for key in ("system", "context", "history", "tools") for name in OPTIONAL[key])
# rows that were put aside for tests
SPLIT, ASIDE = ("split", "partition"), ("test", "validation", "valid", "val", "dev", "eval", "heldout", "held_out", "held-out")
# verdicts about the answer, named where they are false; alone or as a first or last word: `all_tests_passed`, `is_solved`, `correct_answer`
VERDICTS = frozenset((
    "correct", "correctness", "desirable", "pass", "passed", "passes", "accepted", "good", "success", "successful", "resolved", "solved", "valid",
    "approved", "verified", "reward",
))  # fmt: skip
SPOKEN = frozenset(("verdict", "status", "judgement", "judgment", "outcome", "result", "grade", "evaluation"))
NO = ("false", "0", "0.0", "no", "n", "-1", "-1.0")
WRONG = ("incorrect", "wrong", "fail", "failed", "failure", "rejected", "bad")
# a value that stands for an absent one, as exports write it; an answer may well be `None`
ABSENT = ("<noinput>", "noinput", "no input", "<nooutput>", "nan", "<na>", "n/a", "null", "[deleted]", "[removed]", "-")
BROKEN = "U+FFFD (a broken character)"


# the answers of a question of which one is right: A to H, option_a, opa, choice1
_CHOICE = re.compile(r"[a-h]|(?:op|option|choice|answer|ans)[a-h1-8]")
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])")


@lru_cache(maxsize=4096)  # of a file, all rows have the same few names
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def _refuted(key: str, value: object) -> bool:
    """Whether a column says that the answer is wrong."""
    words = _words(key)
    said = str(value).strip().lower()
    if not words or isinstance(value, list | tuple | Mapping):
        return False
    verdict = plain_name(key) == "ktolabel" or words[0] in VERDICTS or words[-1] in VERDICTS
    if (verdict and said in NO) or (words[-1] == "target" and value is False):
        return True
    return (verdict or words[-1] in SPOKEN) and said in WRONG


def _aside(key: str, value: object) -> bool:
    """Whether a column that describes the row holds what matters all the same: a sentence of the request, or that the row is for tests."""
    if isinstance(value, str):
        return (key in SPLIT and value.strip().lower() in ASIDE) or (key in HEADINGS and SENTENCE.search(value) is not None)
    return key in ABOUT and isinstance(value, Mapping) and any(plain_name(one) in SAID and not is_blank(held) for one, held in value.items())


def absent(row: Mapping[str, Any], taken: Mapping[str, str]) -> list[str]:
    """The texts of a row's read columns that stand for an absent value, each with its column.

    Args:
        row: as it came from the file.
        taken: field -> column.
    """
    found = []
    for column in dict.fromkeys(taken.values()):
        held = row.get(column)
        if isinstance(held, str) and len(held) < 16 and held.strip().lower() in ABSENT:
            found.append(f"{held.strip()!r} as column {column!r}")
    return found


def untold(row: Mapping[str, Any], taken: Set[str], messages: Sequence[Message], tools: str) -> list[str]:
    """Columns of a row that hold text, or lists and objects, of which nothing is in what was read."""
    if row.keys() <= taken:
        return []
    found = []
    said = ""
    choices = {key for key in row if _CHOICE.fullmatch(plain_name(str(key)))}
    for key, value in row.items():
        name = str(key).strip().lower()
        if key in taken or name in REJECTED or (is_media_name(name) and not isinstance(value, str)):
            continue
        if (name in DESCRIBING or plain_name(name) in ABOUT) and not _aside(plain_name(name), value):
            continue
        if name in PLACES and isinstance(value, str) and "\n" not in value and not is_media_file(value):
            continue
        refuted = _refuted(str(key), value)
        by_name = plain_name(name).rstrip("0123456789") in ALWAYS or "system" in name or (key in choices and len(choices) > 1)
        if not refuted and not _tells(value, by_name or _carries(str(key), value)) and name not in DESCRIBING:
            continue
        if isinstance(value, str) and not refuted:
            said = said or "\n".join(t for m in messages for t in (m.content, m.reasoning, m.tool_calls)) + tools
            if value.strip() in said or all(m.content.strip() in value for m in messages):
                continue  # said already, or the whole conversation as a template shows it
        found.append(str(key))
    return found


def _carries(key: str, value: object) -> bool:
    """Whether a text of any length is named for the last word of its column's name."""
    return isinstance(value, str) and _words(key)[-1:] != () and _words(key)[-1] in CARRYING and LABEL.fullmatch(value.strip()) is None


def _tells(value: object, by_name: bool) -> bool:
    """Whether a value may mean something to the model: text longer than a label, a list or an object of such."""
    if is_blank(value):
        return False
    if isinstance(value, str):
        address = value.startswith(("http://", "https://")) and " " not in value
        return by_name or is_media_file(value) or (len(value) >= LONG and not address)
    if isinstance(value, list | tuple):
        return by_name or any(isinstance(one, str | Mapping | list) for one in value)
    return isinstance(value, Mapping) or (by_name and isinstance(value, bool | int | float))


def is_template(mark: str) -> bool:
    """Whether a mark is a chat template's, and no sign of damage or of an absent value."""
    return mark != BROKEN and " as column " not in mark


def marks(messages: Sequence[Message]) -> list[str]:
    """The marks of a chat template that stand in what was read."""
    said = "\0".join([m.content for m in messages])
    found = [mark for mark in MARKS if mark in said] if any(start[0] in said and start in said for start in _STARTS) else []
    found += [BROKEN] if "\ufffd" in said else []
    asked = [m.content.rstrip()[-_LONGEST_END:].lower() for m in messages if m.role == "user"]
    ends = [end for text in asked if text.endswith(ENDS) for end in ENDS if text.endswith(end)]
    return [*found, *((end.strip() if end[0] == "\n" else "Assistant:") for end in ends[:1])]

"""What a row holds that was not read: columns that may mean something, and marks of a template in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from itertools import zip_longest
from typing import Any

from codeact.records.columns import INSTANCES, INSTRUCTION, MESSAGES, OPTIONAL, REJECTED, RESPONSE, Format
from codeact.records.content import is_blank
from codeact.records.judged import says_wrong, words_of
from codeact.records.media import is_media_file, is_media_name
from codeact.records.tools import parsed
from codeact.records.types import Message
from codeact.sources.objects import plain_name

# columns whose text describes a row and says nothing to the model
DESCRIBING = frozenset((
    "id", "_id", "source", "src", "category", "dataset", "dataset_name", "url", "urls", "link", "lang", "language", "languages", "license", "split",
    "model", "created", "created_at", "timestamp", "date", "hash", "tags", "topic", "domain", "type", "task", "task_type", "name", "title",
    "idx", "index", "prompt_id", "conversation_id", "meta", "metadata", "author", "subset", "version", "difficulty", "quality",
    "来源", "出处", "类别", "分类", "类型", "标签", "编号", "序号", "难度", "主题", "领域", "语言", "许可证", "日期", "时间", "作者", "链接", "数据集", "标题", "任务",
))  # fmt: skip
# columns that say where a row is from, on one line
PLACES = ("file", "filename", "file_name", "filepath", "file_path", "path", "repo", "repository", "repo_name", "commit", "sha", "described_by")
LONG = 24  # characters of a value that is text and no label; a character of Chinese, Japanese or Korean says as much as two others
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
    "选项", "選項", "提示", "材料", "参考", "參考", "参考资料", "文章", "段落", "知识", "约束", "思维链", "思維鏈", "解析", "分析", "推理",
    # whether, and how much, a row is to be learnt
    "weight", "weights", "sample_weight", "loss_weight", "loss_mask", "loss_scale", "train", "trainable", "mask", "masks",
    "train_on_inputs", "train_on_input",
))) - {"id"}  # fmt: skip
# last words of columns' names whose texts are named unless they are one short word: `source_code`, `user_input`, `task_description`
CARRYING = frozenset((
    "code", "snippet", "diff", "patch", "text", "content", "contents", "article", "sentence", "input", "inputs", "description", "definition", "body",
    "example", "examples", "signature", "instruction", "instructions", "prompt", "prompts", "cot", "rationale", "think", "thinking", "thought",
    "thoughts", "explanation", "critique", "corrected", "correction", "revision", "context", "scratchpad", "thoughtchain",
    "题目", "題目", "背景", "上下文", "代码", "代碼", "思考", "解释", "要求", "描述", "内容",
))  # fmt: skip
LABEL = re.compile(r"[\w.+-]{1,20}")
# of columns that describe a row, those that people put the request or a part of it into: named where they hold a sentence
TASK = ("task", "任务")
HEADINGS = frozenset((*TASK, "title", "topic", "type", "标题", "主题", "类型"))
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
SENTENCE = re.compile(rf"\S+(?:\s+\S+){{3}}|{_WIDE.pattern}[^\s]{{7}}")
# Where nothing but `input` is asked, the request may stand in a column of any name (`goal`, `intent`): each text of two words is named, but for
# columns whose last word says what describes a row, and for dates, licences and numbers with a unit.
REQUEST = re.compile(rf"\S\s+\S|[:：?？]$|{_WIDE.pattern}{{4}}")
ABOUT_WORDS = frozenset((
    "licence", "generator", "annotator", "creator", "owner", "time", "at", "by", "limit", "level", "rating", "framework", "library", "platform",
    "publisher", "journal", "country", "location", "algorithm", "training", "number", "ids", "uuid",
))  # fmt: skip
FACT = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b.*|[\d.,:]+\s*[^\W\d]+|.*\b(?:licen[cs]e|cc[ -]by)\b.*", re.I | re.S)
# objects about a row, and what in them is said to the model
ABOUT = frozenset(("meta", "metadata", "info", "extra", "extrainfo"))
SAID = frozenset(plain_name(name) for key in ("system", "context", "history", "tools") for name in OPTIONAL[key])
# rows that were put aside for tests
SPLIT, ASIDE = ("split", "partition"), ("test", "validation", "valid", "val", "dev", "eval", "heldout", "held_out", "held-out")
# a value that stands for an absent one, as exports write it; an answer may well be `None`
ABSENT = ("<noinput>", "noinput", "no input", "<nooutput>", "nan", "<na>", "n/a", "null", "[deleted]", "[removed]", "-")
BROKEN = "U+FFFD (a broken character)"


# the answers of a question of which one is right: A to H, option_a, opa, choice1
_CHOICE = re.compile(r"[a-h]|(?:op|option|choice|answer|ans)[a-h1-8]")


def _aside(key: str, value: object, by_input: bool) -> bool:
    """Whether a column that describes the row holds what matters all the same: a part of the request, or that the row is for tests."""
    if key in ABOUT:
        held = _written(value)
        return isinstance(held, Mapping) and any(plain_name(one) in SAID and not is_blank(part) for one, part in held.items())
    if not isinstance(value, str):
        return False
    if by_input and key in TASK and REQUEST.search(value.strip()):
        return True
    return (key in SPLIT and value.strip().lower() in ASIDE) or (key in HEADINGS and SENTENCE.search(value) is not None)


def _written(value: object) -> object:
    """The object that a text is JSON or Python's notation of; else the value."""
    if not isinstance(value, str) or value.lstrip()[:1] != "{":
        return value
    try:
        return parsed(value)
    except ValueError:
        return value


def absent(row: Mapping[str, Any], taken: Mapping[str, str], messages: Sequence[Message]) -> list[str]:
    """The texts of a row's read columns and turns that stand for an absent value, each with its place, and blank questions of learnt answers.

    Args:
        row: as it came from the file.
        taken: field -> column.
        messages: what was read.
    """
    texts = {column: held.strip() for column in taken.values() if isinstance(held := row.get(column), str) and _is_absent(held)}
    found = [f"{held!r} as column {column!r}" for column, held in texts.items()]
    for turn, after in zip_longest(messages, messages[1:]):
        said = turn.content.strip()
        if turn.role != "tool" and _is_absent(said) and said not in texts.values():
            found.append(f"{said!r} as a turn of the {turn.role}")
        if turn.role == "user" and after is not None and after.role == "assistant" and after.learn and is_blank(said):
            found.append("'' as a turn of the user")
    return list(dict.fromkeys(found))


def _is_absent(text: str) -> bool:
    return len(text) < 16 and text.strip().lower() in ABSENT


def untold(row: Mapping[str, Any], form: Format, taken: Set[str], messages: Sequence[Message], tools: str) -> list[str]:
    """Columns of a row that hold text, or lists and objects, of which nothing is in what was read.

    Args:
        row: as it came from the file.
        form: by which it was read.
        taken: the form's columns.
        messages, tools: what was read.
    """
    if row.keys() <= taken:
        return []
    found = []
    said = ""
    choices = {key for key in row if _CHOICE.fullmatch(plain_name(str(key)))}
    by_input = form.kind == "pair" and plain_name(form.column("instruction")) == "input" and isinstance(row.get(form.column("instruction")), str)
    for key, value in row.items():
        name = str(key).strip().lower()
        if key in taken or name in REJECTED or (is_media_name(name) and not isinstance(value, str)):
            continue
        if (name in DESCRIBING or plain_name(name) in ABOUT) and not _aside(plain_name(name), value, by_input):
            continue
        if name in PLACES and isinstance(value, str) and "\n" not in value and not is_media_file(value):
            continue
        wrong = says_wrong(str(key), value)
        by_name = plain_name(name).rstrip("0123456789") in ALWAYS or "system" in name or (key in choices and len(choices) > 1)
        by_name = by_name or _carries(str(key), value) or (by_input and _requests(str(key), value))
        if not wrong and not _tells(value, by_name) and name not in DESCRIBING:
            continue
        if isinstance(value, str) and not wrong:
            said = said or "\n".join(t for m in messages for t in (m.content, m.reasoning, m.tool_calls)) + tools
            if value.strip() in said or _is_template_of(value, row, form, messages):
                continue
        found.append(str(key))
    return found


def _is_template_of(value: str, row: Mapping[str, Any], form: Format, messages: Sequence[Message]) -> bool:
    """Whether a text is the whole conversation as a template shows it; the columns of one turn may stand apart there."""
    columns = (row.get(form.column(field)) for field in ("system", "instruction", "input", "context"))
    texts = [text.strip() for text in columns if isinstance(text, str) and text.strip()]
    for message in messages:
        rest = message.content.strip()
        if rest in value:
            continue
        for text in texts:
            rest = rest.replace(text, "", 1) if text in value else rest
        if rest.strip():
            return False
    return True


def _carries(key: str, value: object) -> bool:
    """Whether a text of any length is named for the last word of its column's name."""
    if not isinstance(value, str) or not (words := words_of(key)) or words[-1] not in CARRYING:
        return False
    return LABEL.fullmatch(value.strip()) is None or SENTENCE.search(value) is not None


def _requests(key: str, value: object) -> bool:
    """Whether a text may be the request of a row that asks by `input` alone."""
    if not isinstance(value, str) or not REQUEST.search(value.strip()) or FACT.fullmatch(value.strip()):
        return False
    last = words_of(key)[-1:]
    return not last or last[0] in HEADINGS or (last[0] not in DESCRIBING and last[0] not in ABOUT_WORDS)


def _tells(value: object, by_name: bool) -> bool:
    """Whether a value may mean something to the model: text longer than a label, a list or an object of such."""
    if is_blank(value):
        return False
    if isinstance(value, str):
        address = value.startswith(("http://", "https://")) and " " not in value
        return by_name or is_media_file(value) or (_is_long(value) and not address)
    if isinstance(value, list | tuple):
        return by_name or any(isinstance(one, str | Mapping | list) for one in value)
    return isinstance(value, Mapping) or (by_name and isinstance(value, bool | int | float))


def _is_long(text: str) -> bool:
    return len(text) >= LONG or (2 * len(text) >= LONG and not text.isascii() and len(text) + len(_WIDE.findall(text)) >= LONG)


def is_template(mark: str) -> bool:
    """Whether a mark is a chat template's, and no sign of damage or of an absent value."""
    return mark != BROKEN and "' as " not in mark


def marks(messages: Sequence[Message]) -> list[str]:
    """The marks of a chat template that stand in what was read."""
    said = "\0".join([m.content for m in messages])
    found = [mark for mark in MARKS if mark in said] if any(start[0] in said and start in said for start in _STARTS) else []
    found += [BROKEN] if "\ufffd" in said else []
    asked = [m.content.rstrip()[-_LONGEST_END:].lower() for m in messages if m.role == "user"]
    ends = [end for text in asked if text.endswith(ENDS) for end in ENDS if text.endswith(end)]
    return [*found, *((end.strip() if end[0] == "\n" else "Assistant:") for end in ends[:1])]

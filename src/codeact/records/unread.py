"""What a row holds that was not read: columns that may mean something, and marks of a template in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
# verdicts about the answer, named where they are false
VERDICTS = frozenset(map(plain_name, (
    "correct", "is_correct", "correctness", "desirable", "is_desirable", "passed", "is_passed", "accepted", "is_accepted", "good", "is_good",
    "success", "resolved", "valid", "is_valid", "approved", "verified", "kto_label",
)))  # fmt: skip


# the answers of a question of which one is right: A to H, option_a, opa, choice1
_CHOICE = re.compile(r"[a-h]|(?:op|option|choice|answer|ans)[a-h1-8]")


def untold(row: Mapping[str, Any], taken: set[str], messages: Sequence[Message], tools: str) -> list[str]:
    """Columns of a row that hold text, or lists and objects, of which nothing is in what was read."""
    found = []
    said = ""
    choices = {key for key in row if _CHOICE.fullmatch(plain_name(str(key)))}
    for key, value in row.items():
        name = str(key).strip().lower()
        if key in taken or name in DESCRIBING or name in REJECTED or (is_media_name(name) and not isinstance(value, str)):
            continue
        if name in PLACES and isinstance(value, str) and "\n" not in value and not is_media_file(value):
            continue
        refuted = plain_name(name) in VERDICTS and str(value).strip().lower() in ("false", "0", "0.0")
        by_name = plain_name(name) in ALWAYS or "system" in name or (key in choices and len(choices) > 1)
        if not refuted and not _tells(value, by_name):
            continue
        if isinstance(value, str) and not refuted:
            said = said or "\n".join(t for m in messages for t in (m.content, m.reasoning, m.tool_calls)) + tools
            if value.strip() in said or all(m.content.strip() in value for m in messages):
                continue  # said already, or the whole conversation as a template shows it
        found.append(str(key))
    return found


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


def marks(messages: Sequence[Message]) -> list[str]:
    """The marks of a chat template that stand in what was read."""
    said = "\0".join([m.content for m in messages])
    found = [mark for mark in MARKS if mark in said]
    asked = (m.content.rstrip().lower() for m in messages if m.role == "user")
    return [*found, "Assistant:"] if any(text.endswith(("assistant:", "assistant：")) for text in asked) else found

"""Commands of jq that make rows of what is not read: transcripts in one text, a score for each answer, lists of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from shlex import quote
from typing import Any

# who speaks in a transcript: (system, user, assistant), each also in lower and in upper case
SPEAKERS = (
    ("System", "Human", "Assistant"), ("System", "User", "Assistant"), ("System", "User", "Model"), ("System", "Human", "AI"),
    ("System", "User", "AI"), ("System", "Human", "Bot"), ("System", "User", "Bot"), ("System", "Human", "GPT"), ("System", "User", "ChatGPT"),
    ("System", "Instruction", "Response"), ("System", "Question", "Answer"), ("System", "Q", "A"), ("System", "Customer", "Agent"),
    ("系统", "用户", "助手"), ("系统", "问", "答"), ("システム", "ユーザー", "アシスタント"), ("시스템", "사용자", "어시스턴트"), ("시스템", "사람", "챗봇"),
    ("Система", "Пользователь", "Ассистент"), ("Sistema", "Usuario", "Asistente"), ("Sistema", "Usuário", "Assistente"),
    ("Système", "Utilisateur", "Assistant"), ("System", "Benutzer", "Assistent"),
)  # fmt: skip
# what stands before and behind a speaker's name, and whether that is plain only at the beginning of a line
MARKS = (
    ("<|im_start|>", "\n", False), ("<|start_header_id|>", "<|end_header_id|>", False), ("<start_of_turn>", "\n", False), ("<|", "|>", False),
    ("<", ">:", False), ("<", ">", False), ("### ", ":", True), ("### ", "\n", True), ("[", "]:", True), ("[", "]", True), ("**", ":**", True), ("**", "**:", True),
    ("", ":", True), ("", "：", True),
)  # fmt: skip
LOOKED_AT = 20_000
ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>", "<|end|>", "<|begin_of_text|>", "<bos>", "</s>", "<s>")


def command(program: str, file: str) -> str:
    """A line for the shell that runs a program of jq on a file, of CSV and TSV too, and writes `rows.jsonl`."""
    table = re.search(r"\.(csv|tsv)$", file, re.IGNORECASE)
    if table is None:
        return f"jq -c {quote(program)} {quote(file)} > rows.jsonl"
    mark = ', delimiter="\\t"' if table[1].lower() == "tsv" else ""
    rows = f'import csv, json, sys; [print(json.dumps(r)) for r in csv.DictReader(open(sys.argv[1], encoding="utf-8-sig", newline=""){mark})]'
    return f"python3 -c {quote(rows)} {quote(file)} | jq -c {quote(program)} > rows.jsonl"


def value_of(name: str) -> str:
    """A column's value in jq."""
    return f".{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f".{_text(name)}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def transcript(text: str, column: str, file: str) -> str:
    """The command that makes turns of a transcript in a column, what stands before it a system turn; "" where nobody asks and answers in it.

    Only the text's beginning is looked at.
    """
    beginning = text[:LOOKED_AT]
    held = _marks_of(beginning)
    if held is None:
        return ""
    return _of_transcript(*held, tuple(end for end in ENDS if end in beginning), column, file)


def _marks_of(text: str) -> tuple[tuple[str, ...], str, str, bool] | None:
    """The speakers of a transcript (system, user, assistant), and what stands before and behind a name; None where there is none."""
    for speakers in SPEAKERS:
        for case in (str, str.lower, str.upper):
            names = tuple(map(case, speakers))
            if names[1] not in text or names[2] not in text:
                continue
            for before, after, line in MARKS:
                if before not in text:
                    continue
                said = re.findall(_start(names, before, after, line, "("), text)
                if names[2] in said and names[1] in said[: said.index(names[2])]:
                    return names, before, after, line
    return None


def _start(names: tuple[str, ...], before: str, after: str, line: bool, group: str = "(?:") -> str:
    """The pattern of a turn's beginning, for Python and for jq."""
    lead = (r"(?:\A|\n)[ \t]*" if line else "") + re.escape(before)
    return f"{lead}{group}{'|'.join(map(re.escape, names))})" + (r"[ \t]*\n" if after == "\n" else re.escape(after))


@lru_cache(maxsize=16)  # all rows of a file are refused in the same words
def _of_transcript(names: tuple[str, ...], before: str, after: str, line: bool, ends: tuple[str, ...], column: str, file: str) -> str:
    start, named = _start(names, before, after, line), _start(names, before, after, line, "(")
    opening, turn = rf"\A([\s\S]*?)(?={start})", rf"{named}([\s\S]*?)(?={start}|\z)"
    clean = (f'gsub({_text("|".join(map(re.escape, ends)))}; "") | ' if ends else "") + 'gsub("\\\\A\\\\s+|\\\\s+\\\\z"; "")'
    roles = dict(zip(names, ("system", "user", "assistant"), strict=True))
    first = f'(match({_text(opening)}).captures[0].string // "" | {clean} | select(. != "") | {{role: "system", content: .}})'
    turns = f'(match({_text(turn)}; "g").captures | {{role: ({_text(roles)}[.[0].string]), content: (.[1].string // "" | {clean})}})'
    value = value_of(column)
    return command(f'.. | objects | select({value} | type == "string") | {{messages: [{value} | {first}, {turns}]}} + del({value})', file)


def best_answer(row: Mapping[str, Any], asked: str, file: str) -> str:
    """The command that takes the answer with the highest score, of a column that scores each; "" where there is none.

    Args:
        row: as it came from the file.
        asked: the column of its question.
        file: its file.
    """
    for column, value in row.items():
        if not isinstance(value, Mapping) or len(value) < 2:
            continue
        lists = [held for held in value.values() if isinstance(held, list | tuple)]
        texts = next((name for name, held in value.items() if held in lists and held and all(isinstance(one, str) for one in held)), "")
        scores = next((name for name, held in value.items() if held in lists and held and all(_is_score(one) for one in held)), "")
        if all(map(_is_score, value.values())):
            best = "to_entries | max_by(.value).key"
        elif texts and scores and len(value[texts]) == len(value[scores]):
            best = f"[{value_of(texts)}, {value_of(scores)}] | transpose | max_by(.[1])[0]"
        else:
            continue
        taken = f".. | objects | select(has({_text(column)})) | {{instruction: {value_of(asked)}, output: ({value_of(column)} | {best})}}"
        return f"{column!r} scores each answer: take the best: {command(taken, file)}"
    return ""


def _is_score(value: object) -> bool:
    return isinstance(value, bool | int | float)

"""Commands of jq that make rows of what is not read: transcripts in one text, a score for each answer, lists of objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from codeact.sources.jq import command, literal, value_of

# who speaks in a transcript: (system, user, assistant), each also in lower and in upper case
SPEAKERS = (
    ("System", "Human", "Assistant"), ("System", "User", "Assistant"), ("System", "User", "Model"), ("System", "Human", "AI"),
    ("System", "User", "AI"), ("System", "Human", "Bot"), ("System", "User", "Bot"), ("System", "Human", "GPT"), ("System", "User", "ChatGPT"),
    ("System", "Instruction", "Response"), ("System", "Question", "Answer"), ("System", "Q", "A"), ("System", "Customer", "Agent"),
    ("系统", "用户", "助手"), ("系统", "问", "答"), ("システム", "ユーザー", "アシスタント"), ("시스템", "사용자", "어시스턴트"), ("시스템", "사람", "챗봇"),
    ("Система", "Пользователь", "Ассистент"), ("Sistema", "Usuario", "Asistente"), ("Sistema", "Usuário", "Assistente"),
    ("Système", "Utilisateur", "Assistant"), ("System", "Benutzer", "Assistent"),
)  # fmt: skip
# who gives the results of calls, which are never learnt; the second begin lines of answers too, so among plain marks an answer has to follow
TOOLS = "(?i:(?:function|tool)[ _](?:response|results?|output)|ipython)|工具返回|函数返回"
MAYBE_TOOLS = ("Tool", "Function", "Observation", "Environment", "工具", "函数", "观察")
OBSERVED = re.compile(r"^[^\w\n]*observation[^\w\n]*:", re.MULTILINE | re.IGNORECASE)
GOES_ON = re.compile(r"^[^\w\n]*(?:thought|action|final answer)[^\w\n]*:", re.MULTILINE | re.IGNORECASE)
# what stands before and behind a speaker's name, and whether that is plain only at the beginning of a line
MARKS = (
    ("<|im_start|>", "\n", False), ("<|start_header_id|>", "<|end_header_id|>", False), ("<start_of_turn>", "\n", False), ("<|", "|>", False),
    ("<", ">:", False), ("<", ">", False), ("### ", ":", True), ("### ", "\n", True), ("[", "]:", True), ("[", "]", True), ("**", ":**", True), ("**", "**:", True),
    ("", ":", True), ("", "：", True),
)  # fmt: skip
LOOKED_AT = 20_000
SCORES = re.compile(r"score|label|target|reward|rating|vote|correct|prefer|prob", re.IGNORECASE)  # other numbers, such as limits of time, rank nothing
ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>", "<|end|>", "<|begin_of_text|>", "<bos>", "</s>", "<s>")


def transcript(text: str, column: str, file: str) -> str:
    """The command that makes turns of a transcript in a column, what stands before it a system turn; "" where nobody asks and answers in it.

    None either where a model's own words go on behind an observation without its name (ReAct). Only the text's beginning is looked at.
    """
    beginning = text[:LOOKED_AT]
    observed = OBSERVED.search(beginning)
    if observed is not None and GOES_ON.search(beginning, observed.end()):
        return ""
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
                said = re.findall(_start(names, before, after, line), text)
                if names[2] in said and names[1] in said[: said.index(names[2])]:
                    return names, before, after, line
    return None


def _start(names: tuple[str, ...], before: str, after: str, line: bool, others: str = "") -> str:
    """The pattern of a turn's beginning, for Python and for jq; the speaker's name is its group.

    Args:
        names, before, after, line: of `_marks_of`.
        others: the pattern of further names.
    """
    lead, end = _around(before, after, line)
    return f"{lead}({'|'.join(map(re.escape, names))}{others}){end}"


def _around(before: str, after: str, line: bool) -> tuple[str, str]:
    """The patterns of what stands before and behind a name."""
    return (r"(?:\A|\n)[ \t]*" if line else "") + re.escape(before), r"[ \t]*\n" if after == "\n" else re.escape(after)


def _tools(names: tuple[str, ...], before: str, after: str, line: bool) -> str:
    """The pattern of the names under which results of tools stand among these speakers."""
    own = str.upper if names[1].isupper() else str.lower if names[1].islower() else str
    maybe = "|".join(map(own, MAYBE_TOOLS))
    if before.startswith(("<|", "<start")):
        return f"|{TOOLS}|{maybe}"
    lead, end = _around(before, after, line)
    asked, answered = (rf"{lead}(?:{'|'.join(map(re.escape, some))}){end}" for some in (names[:2], names[2:]))
    return rf"|{TOOLS}|(?:{maybe})(?={end}(?:(?!{asked})[\s\S])*?{answered})"


@lru_cache(maxsize=16)  # all rows of a file are refused in the same words
def _of_transcript(names: tuple[str, ...], before: str, after: str, line: bool, ends: tuple[str, ...], column: str, file: str) -> str:
    start = literal(_start(names, before, after, line, _tools(names, before, after, line)))
    clean = (f'gsub({literal("|".join(map(re.escape, ends)))}; "") | ' if ends else "") + 'gsub("\\\\A\\\\s+|\\\\s+\\\\z"; "")'
    roles = literal(dict(zip(names, ("system", "user", "assistant"), strict=True)))
    opening, turn = r'"\\A([\\s\\S]*?)(?=" + $start + ")"', r'$start + "([\\s\\S]*?)(?=" + $start + "|\\z)"'
    first = f'(match({opening}).captures[0].string // "" | {clean} | select(. != "") | {{role: "system", content: .}})'
    turns = f'(match({turn}; "g").captures | {{role: ({roles}[.[0].string] // "tool"), content: (.[1].string // "" | {clean})}})'
    value = value_of(column)
    return command(f'{start} as $start | .. | objects | select({value} | type == "string") | {{messages: [{value} | {first}, {turns}]}} + del({value})', file)


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
        scores = next((name for name, held in value.items() if SCORES.search(str(name)) and held in lists and held and all(map(_is_score, held))), "")
        if SCORES.search(str(column)) and all(map(_is_score, value.values())):
            best = "to_entries | max_by(.value).key"
        elif texts and scores and len(value[texts]) == len(value[scores]):
            best = f"[{value_of(texts)}, {value_of(scores)}] | transpose | max_by(.[1])[0]"
        else:
            continue
        taken = f".. | objects | select(has({literal(column)})) | {{instruction: {value_of(asked)}, output: ({value_of(column)} | {best})}}"
        return f"{column!r} scores each answer: take the best: {command(taken, file)}"
    return ""


def _is_score(value: object) -> bool:
    return isinstance(value, bool | int | float)

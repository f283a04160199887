"""One row to messages and tools, by the format of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from codeact.records.columns import REJECTED, RESPONSE, Format
from codeact.records.content import is_blank, joined, read_content
from codeact.records.joining import behind, holds, same_turn
from codeact.records.media import find_media
from codeact.records.tools import as_json, calls_from, declared_arguments, parsed, tools_text
from codeact.records.turns import TOOL_KEYS, Unread, listed_turns, read_turns, switch
from codeact.records.types import Message, Role, Unreadable
from codeact.records.written import is_conversation, refuse_printed, unwritten, written_list
from codeact.sources.jq import PLACE, ROW, command, value_of
from codeact.sources.objects import plain_name

Row = Mapping[str, Any]
GOOD, BAD = ("true", "1", "1.0"), ("false", "0", "0.0", "-1")  # of KTO
EVERYBODY: tuple[Role, ...] = ("system", "user", "assistant", "tool")
CHOICES = ("choices", "options", "endings", "candidates", "alternatives")
SEVERAL = ("answers", "responses")  # columns that hold several answers, in CSV as the text of a list


def is_graded(rows: Iterable[Row], form: Format) -> bool:
    """Whether numbers in the column of labels say good or bad: nothing but 1 and 0 (or -1), and of KTO's form or named by the user.

    A `label` of 0 and 1 beside other columns is as often a class.
    """
    column = form.column("label")
    if not column or (column == "label" and (form.column("instruction"), form.column("response")) != ("prompt", "completion")):
        return False
    values = {str(row.get(column)).strip().lower() for row in rows if not is_blank(row.get(column))}
    return values <= {*GOOD, *BAD}


def read_row(
    row: Row, form: Format, unread: Unread, weight_key: str = "", graded: bool = False
) -> tuple[tuple[Message, ...], str]:
    """The messages and the tools of a row.

    Args:
        row: as it came from the file.
        form: where its parts are.
        unread: receives the names of turns' keys that hold something and are not read.
        weight_key: a further key of turns that says whether they are learnt.
        graded: of `is_graded`.

    Raises:
        Unreadable: the row cannot be used, and why.
    """
    _check_label(row, form, unread, graded)
    messages = _turns(row, form, unread, weight_key) if form.kind == "turns" else _pair(row, form, unread, weight_key)
    messages = _with_answer(messages, row, form, unread, weight_key)
    history = _history(row, form, unread)
    if history:
        opening = next((n for n, m in enumerate(messages) if m.role != "system"), 0)
        messages = [*messages[:opening], *behind(history, messages[opening:])]
    messages = _with_system(messages, row, form)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    messages = _with_reasoning(messages, row, form)
    tools = _tools(row, form, unread)
    messages = [replace(m, learn=False) if _is_silent(m) else m for m in _weighted(messages, row, form)]
    messages = [replace(m, tool_calls=declared_arguments(m.tool_calls, tools)) if m.tool_calls else m for m in messages]
    _check(messages, row, form)
    return tuple(messages), tools


def _column(form: Format, field: str) -> str:
    return f"column {form.column(field)!r} (--map {field}=- leaves it out)"


def _turns(row: Row, form: Format, unread: Unread, weight_key: str) -> list[Message]:
    return read_turns(row.get(form.column("messages")), form.column("messages"), unread, weight_key)


def _pair(row: Row, form: Format, unread: Unread, weight_key: str) -> list[Message]:
    """The question's turns, and the answer's where the form has one (`chosen` is read apart)."""
    column = form.column("instruction")
    value, answer = unwritten(row.get(column), column, EVERYBODY), row.get(form.column("response")) if form.column("response") else None
    given = row.get(form.column("input")) if form.column("input") else None
    if form.kind == "instances":
        given, answer = _instance(answer)
    if is_conversation(value):
        turns = read_turns(value, column, unread, weight_key)
    else:
        asked = _text(_one_text(value, column), f"column {column!r}")
        extra = "" if is_blank(given) else _text(given, f"column {form.column('input') or 'input'!r}")
        turns = [Message("user", joined([text for text in (asked, extra) if text.strip()]))]
    context = _context(row, form)
    if context and not any(holds(m.content, context) for m in turns):
        last = max((n for n, m in enumerate(turns) if m.role == "user"), default=-1)
        if last >= 0:
            turns[last] = replace(turns[last], content=f"{turns[last].content}\n\n{context}")
    if not form.column("response") or (form.column("chosen") and not is_blank(row.get(form.column("chosen")))):
        return turns
    _refuse_number(answer, row, form.column("response"))
    called = _called(answer, row, form)
    return behind(turns, called or _answer(answer, form.column("response"), unread, weight_key))


def _one_text(value: object, column: str) -> object:
    """A question; of several none is taken, and no two are joined: texts, or objects that say more than a text.

    Raises:
        Unreadable: it is a list of several.
    """
    some = value if isinstance(value, (list, tuple)) else []
    if len(some) < 2:
        return value
    texts = all(isinstance(one, str) for one in some)
    if texts or all(isinstance(one, Mapping) and "type" not in one and "text" in one and len(one) > 1 for one in some):
        raise Unreadable("invalid", f"column {column!r} holds {len(some)} texts, and nothing says how they go together; make a row of each, or write turns as messages")
    return value


def _refuse_number(answer: object, row: Row, column: str) -> None:
    """Refuse the number of a choice (MMLU): as text it would be learnt.

    Raises:
        Unreadable: the answer is a number, and the row has a list of choices, of texts, that is long enough.
    """
    if not isinstance(answer, int) or isinstance(answer, bool):
        return
    for name, value in row.items():
        if name.lower() in CHOICES and isinstance(value, list | tuple) and 0 <= answer < len(value) and all(isinstance(one, str) for one in value):
            told = f"column {column!r} is the number of one of {name!r}: where it counts from 0, take its text"
            raise Unreadable("invalid", f"{told}: {command(f'{ROW} | {value_of(column)} = {value_of(name)}[{value_of(column)}]', PLACE)}")


def _called(answer: object, row: Row, form: Format) -> list[Message]:
    """An answer that is a list of calls of the row's own tools, or JSON text of one (xLAM, APIGen); none where it is anything else.

    Raises:
        Unreadable: it is JSON text of an empty list beside tools: no call is made, and nothing is said.
    """
    if not form.column("tools") or is_blank(answer) or (isinstance(answer, str) and answer.lstrip()[:1] not in ("[", "{")):
        return []
    try:
        calls = calls_from(answer, "the answer")
        tools = cast("list[dict[str, Any]]", parsed(tools_text(row.get(form.column("tools")), _column(form, "tools")) or "[]"))
    except Unreadable:
        return []
    names = {tool["function"].get("name") for tool in tools}
    if names and not calls:
        raise Unreadable("empty", f"the response is a list of no calls (column {form.column('response')!r}); write what is said instead, or leave the row out")
    known = bool(calls) and all(call["function"]["name"] in names for call in calls)
    return [Message("assistant", "", tool_calls=as_json(calls))] if known else []


def _instance(value: object) -> tuple[object, object]:
    """Input and output of self-instruct's `instances`."""
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise Unreadable("invalid", "column 'instances' holds no list of {input, output}")
    if len(value) > 1:
        raise Unreadable("answers", f"column 'instances' holds {len(value)} examples; make a row of each")
    return (value[0].get("input"), value[0].get("output")) if value else (None, None)


def _text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if is_blank(value):
        return ""
    if isinstance(value, Mapping) and not {"text", "type", "parts"} & set(value):
        raise _object(value, where)
    said = read_content(value, where)
    if said.calls or said.results:
        raise Unreadable("invalid", f"{where} holds tool calls, not text")
    return joined([*said.reasoning, *said.text])


def _object(value: Mapping[str, Any], where: str) -> Unreadable:
    """An object in a text's place, with the command that takes one of its values."""
    keys = list(map(str, value))[:8]
    text = next((key for key in keys if isinstance(value[key], str)), "") if "column '" in where else ""
    taking = f"; take one: {command(f'{ROW} | {value_of(where.split(chr(39))[1])} |= {value_of(text)}', PLACE)}" if text else ""
    return Unreadable("invalid", f"{where} holds an object, not text (its keys: {', '.join(keys)}){taking}")


def _context(row: Row, form: Format) -> str:
    column = form.column("context")
    value = row.get(column) if column else None
    if is_blank(value):
        return ""
    if isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)):
        if isinstance(value, str):
            refuse_printed(value, column)
        return value if isinstance(value, str) else "\n\n".join(value)
    raise Unreadable("invalid", f"{_column(form, 'context')} holds {type(value).__name__}, not text")


def _answer(value: object, column: str, unread: Unread, weight_key: str, speakers: Iterable[Role] = ("assistant", "tool")) -> list[Message]:
    """The assistant's turns of an answer: text, one text in a list, parts, a turn, or a list of turns (in text, of these speakers)."""
    if isinstance(value, str) and column.lower() in SEVERAL:
        value = written_list(value, column)
    if not isinstance(value, str):
        if isinstance(value, Mapping) and isinstance(value.get("text"), list) and "type" not in value:
            value = value["text"]  # SQuAD: {"text": [...], "answer_start": [...]}
        value = _of_api(value, column)
    value = unwritten(value, column, speakers)
    if isinstance(value, str) and not is_blank(value):
        return [Message("assistant", value)]
    if is_conversation(value):
        return read_turns(value, column, unread, weight_key)
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
        different = list(dict.fromkeys(value))
        if len(different) > 1:
            raise _several(column, len(different))
        value = different[0]
    if isinstance(value, list | tuple) and len(value) > 1 and any(isinstance(o, Mapping) and "type" not in o for o in value):
        raise _several(column, len(value))  # objects that are no parts of one text: each an answer with its score
    if is_blank(value):
        raise Unreadable("empty", f"the response is empty (column {column!r})")
    if isinstance(value, str):
        return [Message("assistant", value)]
    if isinstance(value, Mapping) and not {"text", "type", "parts"} & set(value):
        raise _object(value, f"column {column!r}")
    return read_turns([{"role": "assistant", "content": value}], column, unread)


def _of_api(value: object, column: str) -> object:
    """The message within what a chat API answers, `{"choices": [{"message": ...}]}`; else the value."""
    choices = value.get("choices") if isinstance(value, Mapping) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(c, Mapping) and isinstance(c.get("message"), Mapping) for c in choices):
        return value
    if len(choices) > 1:
        raise _several(column, len(choices))
    return choices[0]["message"]


def _several(column: str, count: int) -> Unreadable:
    return Unreadable(
        "answers",
        f"column {column!r} holds {count} different answers; keep one, make a row of each, or write turns as messages",
    )


def _with_answer(messages: list[Message], row: Row, form: Format, unread: Unread, weight_key: str) -> list[Message]:
    """Preference data: the chosen answer after the turns that lead to it; the rejected one is never learnt."""
    column = form.column("chosen")
    if not column:
        return messages
    value = row.get(column)
    if is_blank(value):
        refused = next((key for key in row if str(key).lower() in REJECTED and not is_blank(row[key])), None)
        if refused is None and messages and messages[-1].role == "assistant":
            return messages
        raise Unreadable("empty", f"column {column!r} is empty: there is no chosen answer to learn")
    chosen = _answer(value, column, unread, weight_key, EVERYBODY)
    while messages and messages[-1].role == "assistant":
        messages.pop()
    apart = all(m.role == "system" for m in messages) and not any(m.role == "system" for m in chosen)
    if any(m.role == "user" for m in chosen) and not apart and not any(messages and same_turn(m, messages[-1]) for m in chosen):
        return chosen  # the whole conversation; its prompt is written otherwise
    return behind(messages, chosen)


def _history(row: Row, form: Format, unread: Unread) -> list[Message]:
    column = form.column("history")
    value = row.get(column) if column else None
    if isinstance(value, str) and value.strip():
        try:
            value = parsed(value)
        except ValueError as error:
            raise Unreadable("invalid", f"{_column(form, 'history')} is no list of turns") from error
    return [] if is_blank(value) else read_turns(value, column, unread)


def _with_system(messages: list[Message], row: Row, form: Format) -> list[Message]:
    """The system column first; joined with the conversation's own system turn where that says something else."""
    column = form.column("system")
    text = "" if not column else _text(row.get(column), _column(form, "system"))
    if not text.strip():
        return messages
    own = messages[0].content if messages and messages[0].role == "system" else None
    if own is None:
        return [Message("system", text), *messages]
    return messages if text.strip() in own else [Message("system", f"{text}\n\n{own}".rstrip()), *messages[1:]]


def _with_reasoning(messages: list[Message], row: Row, form: Format) -> list[Message]:
    column = form.column("reasoning")
    value = row.get(column) if column else None
    if is_blank(value) or not messages:
        return messages
    text, last = _text(value, _column(form, "reasoning")), messages[-1]
    if last.role != "assistant" or last.reasoning or text in last.content:
        return messages
    return [*messages[:-1], replace(last, reasoning=text)]


def _weighted(messages: list[Message], row: Row, form: Format) -> list[Message]:
    """A mapped weight column: one value for the row, or one per assistant turn."""
    column = form.column("weight")
    value = row.get(column) if column else None
    if is_blank(value):
        return messages
    values = value if isinstance(value, list | tuple) else [value] * len(messages)
    answers = [n for n, m in enumerate(messages) if m.role == "assistant"]
    if isinstance(value, list | tuple) and len(values) != len(answers):
        raise Unreadable("weight", f"column {column!r} holds {len(values)} weights for {len(answers)} assistant turns")
    for index, weight in zip(answers, values, strict=False):
        messages[index] = replace(messages[index], learn=messages[index].learn and switch(weight, f"column {column!r}"))
    return messages


def _is_silent(message: Message) -> bool:
    """An assistant turn of nothing: to learn it would teach the model to say nothing."""
    return message.role == "assistant" and not (message.content.strip() or message.tool_calls or message.reasoning)


def _check_label(row: Row, form: Format, unread: Unread, graded: bool) -> None:
    column = form.column("label")
    value = row.get(column) if column else None
    said = "" if is_blank(value) else str(value).strip().lower()
    if said == "false" or (graded and said in BAD):
        raise Unreadable("label", f"column {column!r} is {value!r}: a bad answer (--map label=- reads it all the same)")
    if said and said not in ("true", *(GOOD if graded else ())):
        unread[f"column {column!r}"] += 1


def _system_turns(value: object, column: str) -> list[Mapping[str, Any]]:
    if isinstance(value, str) and not any(key in value for key in TOOL_KEYS):
        return []  # JSON text is not parsed once more for nothing
    turns = (turn for turn in listed_turns(value, column) if isinstance(turn, Mapping))
    return [t for t in turns if any(str(t.get(key)).strip().lower() in ("system", "developer") for key in ("role", "from"))]


def _tools(row: Row, form: Format, unread: Unread) -> str:
    """The tools of the column; else those beside the messages inside one column (OpenAI's preference files) or in a system turn."""
    column = form.column("messages") or form.column("instruction")
    value = row.get(column)
    inner = tools_text(value.get("tools"), "the prompt's tools") if isinstance(value, Mapping) else ""
    if form.kind == "turns":
        for turn in _system_turns(value, column):
            inner = inner or next((tools_text(turn[k], f"the system turn's {k}") for k in TOOL_KEYS if not is_blank(turn.get(k))), "")
    given = row.get(form.column("tools")) if form.column("tools") else None
    own = "" if is_blank(given) else tools_text(given, _column(form, "tools"))
    if own and inner not in ("", own):
        unread["the system turn's tools"] += 1
    return own or inner


def _apart(row: Row, form: Format) -> str:
    """The mend where the turns end with a question and another column holds the answer."""
    answer = next((key for key in row if plain_name(key) in map(plain_name, RESPONSE) and not is_blank(row[key])), None)
    turns = form.column("messages")
    if answer is None and isinstance(row.get("choices"), list):
        return f"; put the answer behind the turns: {command(f'{ROW} | {value_of(turns)} += [.choices[0].message]', PLACE)}"
    return f"; name the column of the answer: --map instruction={turns} --map response={answer}" if turns and answer is not None else ""


def _check(messages: list[Message], row: Row, form: Format) -> None:
    for message in messages:
        if _has_lone_surrogate(message.content) or _has_lone_surrogate(message.reasoning) or _has_lone_surrogate(message.tool_calls):
            raise Unreadable(
                "invalid", f"the {message.role} text holds an unpaired surrogate, which is not valid Unicode"
            )
    if not messages:
        raise Unreadable("empty", f"there is no assistant turn{_apart(row, form)}")
    if all(map(is_blank, [m.content for m in messages if m.role == "user"])):
        raise Unreadable("empty", "the instruction is empty")
    answers = [m for m in messages if m.role == "assistant"]
    if not [m for m in answers if m.tool_calls or not is_blank(m.content)]:
        raise Unreadable("empty", "the response is empty")
    if not [m for m in answers if m.learn and (m.content.strip() or m.tool_calls)]:
        raise Unreadable("weight", "every answer has weight 0: nothing is to be learnt")
    held = find_media(row, "\n".join([m.content for m in messages]))
    if held:
        raise Unreadable("media", f"{held}; only text is learnt here")


def _has_lone_surrogate(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False

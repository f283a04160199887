"""Conversations in every form that is in use, brought to messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard, cast

from codeact.records.content import Said, holds_results, is_blank, is_void, joined, read_content, result_text
from codeact.records.mends import transcript
from codeact.records.tools import as_json, calls_from, parsed
from codeact.records.types import Message, Role, Unreadable
from codeact.records.ui_messages import steps_of
from codeact.sources.objects import TwiceError

ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "用户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "chatbot", "bot", "model", "ai", "bing", "bard", "助手"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call", "function-call", "tool-call", "tool_calls"), "assistant"),
    **dict.fromkeys(("thinking", "reasoning", "thought"), "assistant"),
    **dict.fromkeys(
        ("tool", "function", "observation", "ipython", "tool_response", "function_response", "tool-response", "function-response", "tool_result",
         "function_result", "tool_output", "environment"),
        "tool",
    ),
}  # fmt: skip
CALL_ROLES = ("function_call", "tool_call", "function-call", "tool-call", "tool_calls")
THINKING_ROLES = ("thinking", "reasoning", "thought")
CHANNELS = ("analysis", "commentary", "final")  # of gpt-oss: the first is thought
ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "parts", "message", "refusal")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
TOOL_KEYS = ("tools", "functions")  # of a system turn: the tools of the record (ChatGLM)
CALL_KEYS = ("tool_calls", "function_call", "function_calls")
WEIGHT_KEYS = ("weight", "train", "loss_weight", "loss", "loss_scale", "trainable", "training", "train_on_turn", "learn", "output_with_loss")
# what a further key of that kind is called: it is named, for nothing says whether 1 is yes or no (`mask`)
LIKE_WEIGHT = re.compile(r"train|loss|mask|weight|learn", re.I)
NAME_KEYS, CALL_ID_KEYS = ("name", "tool_name"), ("tool_call_id", "call_id", "tool_use_id")
# of a turn that holds a question and its answer; xtuner, Firefly and others
ASKED = ("human", "user", "prompt", "question", "query", "instruction", "input")
ANSWERED = ("assistant", "gpt", "bot", "model", "response", "answer", "output")
# of a turn's keys, those that say nothing about what is said
QUIET_KEYS = ("id", "turn", "index", "timestamp", "created", "lang", "language", "type", "end_turn", "hash")

# steps of OpenAI's Responses API: the role, the keys that hold what is said, and those that say nothing
ITEMS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "reasoning": ("reasoning", ("content", "summary"), ("type", "status", "encrypted_content")),
    "function_call": ("function_call", ("name", "arguments"), ("type", "status", "call_id")),
    "custom_tool_call": ("function_call", ("name", "input"), ("type", "status", "call_id")),
    "function_call_output": ("tool", ("output",), ("type", "status")),
    "custom_tool_call_output": ("tool", ("output",), ("type", "status")),
}
LANGCHAIN = {
    **dict.fromkeys(("human", "HumanMessage"), "user"), **dict.fromkeys(("ai", "AIMessage"), "assistant"),
    **dict.fromkeys(("system", "SystemMessage"), "system"), **dict.fromkeys(("tool", "ToolMessage"), "tool"),
}  # fmt: skip

Unread = Counter[str]


def read_turns(value: object, column: str, unread: Unread, weight_key: str = "") -> list[Message]:
    """Bring a conversation to messages.

    Args:
        value: a list of turns (`role`/`content`, `from`/`value`, `human`/`assistant`, pairs of texts), one turn, an object of
            lists (`{"role": [...], "content": [...]}`), or JSON text of these.
        column: its name, for messages.
        unread: receives the names of keys of turns that hold something and are not read.
        weight_key: a further key of a turn that says whether it is learnt.

    Raises:
        Unreadable: it is none of these, or a turn cannot be understood.
    """
    turns = _with_roles(listed_turns(value, column))
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        where = f"turn {number} of {column!r}"
        for step in steps_of(as_turn(turn), where):
            messages += _step(step, where, unread, weight_key)
    return _merged(messages)


def _step(turn: object, where: str, unread: Unread, weight_key: str) -> list[Message]:
    """A turn that says who speaks, or a pair of texts."""
    if isinstance(turn, Mapping):
        return _turn(turn, where, unread, weight_key)
    if isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn):
        return [Message("user", turn[0]), Message("assistant", turn[1])] if turn[0].strip() or turn[1].strip() else []
    raise Unreadable("invalid", f"{where} is {type(turn).__name__}, not an object that says who speaks")


def _with_roles(turns: Iterable[Any]) -> Iterable[Any]:
    """Turns that are pairs of a role and a text, `["user", "..."]`, as objects; pairs of question and answer as they are."""
    turns = [dict(turn) if _is_map(turn) else turn for turn in turns]
    pairs = [turn for turn in turns if isinstance(turn, list | tuple) and len(turn) == 2 and isinstance(turn[0], str)]
    roles = [ROLES.get(pair[0].strip().lower()) for pair in pairs]
    if len(pairs) != len(turns) or None in roles or not {"user", "assistant"} <= set(roles):
        return turns
    return [{"role": role, "content": text} for role, text in pairs]


def is_item(turn: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether an object without a role is a step of OpenAI's Responses API: reasoning, a call, its result."""
    return isinstance(turn, Mapping) and not any(isinstance(turn.get(key), str) for key in ROLE_KEYS) and str(turn.get("type")) in ITEMS


def as_turn(turn: object) -> object:
    """A step of the Responses API, or a message of LangChain (plain, as a dictionary, serialised), as a turn with a role; else the turn."""
    if is_item(turn):
        role, keys, dropped = ITEMS[turn["type"]]
        rest = {key: held for key, held in turn.items() if key not in (*keys, *dropped)}
        if role == "function_call":
            return {**rest, "role": role, "content": {"id": turn.get("call_id"), "name": turn.get("name"), "arguments": turn.get("arguments", turn.get("input"))}}
        return {**rest, "role": role, "content": next((turn[key] for key in keys if not is_blank(turn.get(key))), "")}
    if not isinstance(turn, Mapping) or any(isinstance(turn.get(key), str) for key in ROLE_KEYS):
        return turn
    held = next((turn[key] for key in ("data", "kwargs") if isinstance(turn.get(key), Mapping)), turn)
    path = turn.get("id")
    kind = path[-1] if turn.get("type") == "constructor" and isinstance(path, list) and path else turn.get("type")
    speaker = LANGCHAIN.get(str(kind).removesuffix("Chunk"))
    return {**{key: value for key, value in held.items() if key != "type"}, "role": speaker} if speaker and "content" in held else turn


def _unpacked(text: str) -> str:
    """Text that is JSON of a text: the text."""
    if not text.lstrip().startswith('"'):
        return text
    try:
        inner = parsed(text)
    except ValueError:
        return text
    return inner if isinstance(inner, str) else text


def _of_lines(text: str) -> list[Any]:
    """The turns of text that holds one object a line; none where it does not.

    Raises:
        TwiceError: a key stands twice in a line.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
        return []
    try:
        return [parsed(line) for line in lines]
    except TwiceError:
        raise
    except ValueError:
        return []


def _is_map(turn: object) -> bool:
    """Whether a turn is an Arrow map: its pairs of key and value."""
    if not isinstance(turn, list):
        return False
    paired = all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in turn)
    return paired and {"role", "from"} & {pair[0] for pair in turn} != set()


def listed_turns(value: object, column: str) -> Iterable[Any]:
    """The turns of a conversation as they stand in any of the forms of `read_turns`.

    Raises:
        Unreadable: it is none of them.
    """
    if isinstance(value, str) and value.strip():
        value = _unpacked(value)
    if isinstance(value, str) and value.strip():
        if value.lstrip()[:1] not in ("[", "{"):
            raise Unreadable(
                "invalid",
                f"column {column!r} holds text where a list of turns is expected; split a transcript into turns{_command(value, column)}, or name"
                " the question's column with --map instruction=COLUMN",
            )
        try:
            value = _of_lines(value) or parsed(value)
        except TwiceError as error:
            raise Unreadable("invalid", f"column {column!r}: {error}") from error
        except ValueError as error:
            told = f"column {column!r} holds text that is no JSON list of turns; split it into turns with role and content{_command(str(value), column)}"
            raise Unreadable("invalid", told) from error
    if isinstance(value, Mapping) and value:
        inner = next(
            (
                value[key]
                for key in ("messages", "conversations", "conversation", "turns")
                if isinstance(value.get(key), list)
            ),
            None,
        )
        if inner is not None:
            return list(inner)
        columns = [key for key in (*ROLE_KEYS, *CONTENT_KEYS) if isinstance(value.get(key), list)]
        if len(columns) < 2:
            return [value]
        longest = max(len(value[key]) for key in columns)  # a Hugging Face `Sequence` of objects is an object of lists
        return [
            {key: part[n] for key, part in value.items() if isinstance(part, list) and n < len(part)}
            for n in range(longest)
        ]
    if is_blank(value):
        raise Unreadable("empty", f"column {column!r} holds no turns")
    if not isinstance(value, list | tuple):
        raise Unreadable("invalid", f"column {column!r} holds {type(value).__name__} where a list of turns is expected")
    return value


def _command(text: str, column: str) -> str:
    mend = transcript(text, column, "FILE")
    return f" ({mend})" if mend else ""


def _turn(turn: Mapping[str, Any], where: str, unread: Unread, weight_key: str) -> list[Message]:
    role_key = next((key for key in ROLE_KEYS if isinstance(turn.get(key), str)), None)
    if role_key is None:
        return _asked_and_answered(turn, where, unread, weight_key)
    name = str(turn[role_key]).strip().lower()
    if name not in ROLES:
        raise Unreadable(
            "invalid", f"{where} has the unknown role {turn[role_key]!r}; rename it to system, user, assistant or tool"
        )
    role, content_key = ROLES[name], _content_key(turn)
    content = turn.get(content_key) if content_key else None
    if role == "tool" and content_key is None and "observation" in turn:
        return _called_and_answered(turn, where)
    if name in CALL_ROLES:
        said = Said(calls=calls_from(content, where)) if not is_blank(content) else Said()
    elif role == "tool":
        said = read_content(content, where) if holds_results(content) else Said(text=[result_text(content, where)])
    else:
        said = read_content(content, where)
    channel = str(turn.get("channel", "")).strip().lower() if role == "assistant" else ""
    if name in THINKING_ROLES or channel == CHANNELS[0]:
        said = Said(reasoning=[*said.reasoning, *said.text])
    reasoning_key = next((key for key in REASONING_KEYS if not is_blank(turn.get(key))), None)
    if reasoning_key:
        said.reasoning += read_content(turn[reasoning_key], where).text
    for key in CALL_KEYS:
        if not is_void(turn.get(key)):
            said.calls += calls_from(turn[key], where)
    if content_key is None and not (said.reasoning or said.calls):
        raise Unreadable("invalid", f"{where} has no text (its keys: {', '.join(map(str, turn))})")
    if (said.calls or said.reasoning) and role != "assistant":
        raise Unreadable("invalid", f"{where} is said by {turn[role_key]!r} and holds a tool call or reasoning")
    read = {role_key, content_key, reasoning_key, *CALL_KEYS, *_weight_keys(turn, weight_key), *QUIET_KEYS}
    read |= {"channel"} if channel in CHANNELS else set()
    answers = _first(turn, CALL_ID_KEYS) if role == "tool" else ""
    tool = _first(turn, NAME_KEYS) if role == "tool" else ""
    read |= {*NAME_KEYS, *CALL_ID_KEYS} if role == "tool" else {*TOOL_KEYS} if role == "system" else set()
    unread.update(f"turns' key {key!r}" for key, held in turn.items() if key not in read and _means(key, held))
    learn = _learns(turn, where, weight_key) and _parts_learn(content, where) if role == "assistant" else True
    own = Message(
        role, joined(said.text), joined(said.reasoning), as_json(said.calls) if said.calls else "", tool, answers, learn
    )
    return [*said.results, own] if said.text or not said.results else list(said.results)


def _content_key(turn: Mapping[str, Any]) -> str | None:
    present = [key for key in CONTENT_KEYS if key in turn and turn[key] is not None]
    return next((key for key in present if not is_blank(turn[key])), present[0] if present else None)


def _called_and_answered(turn: Mapping[str, Any], where: str) -> list[Message]:
    """ChatGLM's turn of a tool, which holds the call and its result: `{"name", "parameters", "observation"}`."""
    call = calls_from({"name": turn.get("name"), "arguments": turn.get("parameters")}, where)
    result = Message("tool", result_text(turn["observation"], where), name=_first(turn, NAME_KEYS))
    return [Message("assistant", "", tool_calls=as_json(call)), result]


def _means(key: object, value: object) -> bool:
    if is_blank(value):
        return False
    return not isinstance(value, bool | int | float) or LIKE_WEIGHT.search(str(key)) is not None


def _first(turn: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(turn[key]) for key in keys if not is_blank(turn.get(key))), "")


def _asked_and_answered(turn: Mapping[str, Any], where: str, unread: Unread, weight_key: str) -> list[Message]:
    """A turn without a role whose keys are the roles: `{"human": ..., "assistant": ...}`, `{"system", "input", "output"}`."""
    lower = {str(key).strip().lower(): key for key in turn}
    found: list[Message] = []
    read: set[Any] = {*_weight_keys(turn, weight_key), *QUIET_KEYS}
    for role, names in (("system", ("system",)), ("user", ASKED), ("assistant", ANSWERED)):
        for name in names:
            if name in lower and not is_blank(turn[lower[name]]):
                said = read_content(turn[lower[name]], where)
                learn = _learns(turn, where, weight_key) if role == "assistant" else True
                found.append(Message(role, joined(said.text), joined(said.reasoning), learn=learn))  # type: ignore[arg-type]
                read.add(lower[name])
                break
    if not found:
        raise Unreadable(
            "invalid",
            f"{where} does not say who speaks (its keys: {', '.join(map(str, turn))}); rename them to role and content",
        )
    unread.update(f"turns' key {key!r}" for key, held in turn.items() if key not in read and _means(key, held))
    return found


def _learns(turn: Mapping[str, Any], where: str, weight_key: str) -> bool:
    """Whether a turn is learnt: what the mapped key says, else whether none of the known ones says no."""
    if weight_key and not is_blank(turn.get(weight_key)):
        return switch(turn[weight_key], f"{where}: {weight_key}")
    said = [switch(turn[key], f"{where}: {key}") for key in _weight_keys(turn, "") if not is_blank(turn[key])]
    return all(said)


def _parts_learn(content: object, where: str) -> bool:
    """Whether the parts of a turn are learnt, where they say so, as axolotl's do: all or none."""
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list | tuple) else []
    said = {_learns(part, where, "") for part in parts if part.get("text") or part.get("content")}
    if len(said) > 1:
        raise Unreadable("weight", f"{where} has parts that are learnt and parts that are not; only whole turns are: make a turn of each, or take `train` out")
    return said != {False}


def _weight_keys(turn: Mapping[str, Any], weight_key: str) -> list[Any]:
    return [key for key in turn if key == weight_key or str(key).lower() in WEIGHT_KEYS]


def switch(value: object, where: str) -> bool:
    """A weight as a yes or a no.

    Raises:
        Unreadable: it is neither 0 nor 1: a turn is learnt or not, there is nothing in between.
    """
    text = str(value).strip().lower()
    if text in ("0", "0.0", "false", "no"):
        return False
    if text in ("1", "1.0", "true", "yes"):
        return True
    raise Unreadable("weight", f"{where} is {value!r}; only 0 and 1 (false and true) can be honoured")


def _merged(messages: list[Message]) -> list[Message]:
    """Join what one assistant turn says in pieces: its thinking, its text, its calls (ShareGPT writes them as turns of their own).

    Thoughts of an answer that is not learnt are not learnt.
    """
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.role == message.role == "assistant"
            and (last.learn == message.learn or (last.learn and _is_thought(last)))
            and _goes_on(last, message)
        ):
            merged[-1] = replace(
                message, content=last.content or message.content, reasoning=joined([last.reasoning, message.reasoning]),
                tool_calls=_both(last.tool_calls, message.tool_calls),
            )  # fmt: skip
        else:
            merged.append(message)
    return merged


def _goes_on(last: Message, message: Message) -> bool:
    called = bool(message.tool_calls) and not message.content and not message.reasoning
    return _is_thought(last) or called


def _is_thought(message: Message) -> bool:
    return bool(message.reasoning) and not message.content and not message.tool_calls


def _calls(text: str) -> list[Any]:
    """What `as_json` made of calls."""
    return cast("list[Any]", parsed(text))


def _both(first: str, second: str) -> str:
    return as_json([*_calls(first), *_calls(second)]) if first and second else first or second

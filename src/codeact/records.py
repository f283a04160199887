"""One canonical form for every instruction data format: `Record(id, messages, meta)`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from codeact.errors import InputError

Role = Literal["system", "user", "assistant", "tool"]

ROLE_NAMES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks; `developer` is read as system, `function_call` as assistant, results of tools as tool.
        content: the text that is said.
        reasoning: the text of a thinking turn, shown before the content where the template has a place for it.
        tool_calls: calls of an assistant turn as JSON text, `[{"type": "function", "function": {"name": ..., "arguments": {...}}}]`;
            "" where there are none.
        name: the tool that a tool turn answers for; "" where it is not said.
        tool_call_id: the call that a tool turn answers; "" where it is not said.
        learn: False for an assistant turn that is context only (`weight: 0`, `train: false`): neither learnt nor scored.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    name: str = ""
    tool_call_id: str = ""
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Record:
    """One training example: a conversation whose assistant turns are to be learnt.

    Attributes:
        id: unique in its data set; the row's own `id` where it has one, else a hash of the content.
        messages: at least one user turn and one assistant turn, in order.
        meta: the row's other fields, and `row`, its 0-based position in the source.
        tools: the tools that the model may call, a JSON array of schemas as text; "" where there are none.
    """

    id: str
    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tools: str = ""

    @property
    def instruction(self) -> str:
        """The user's text, turns joined by a blank line: what gets embedded and clustered."""
        return "\n\n".join(m.content for m in self.messages if m.role == "user")

    @property
    def response(self) -> str:
        """The assistant's text, turns joined by a blank line."""
        return "\n\n".join(m.content for m in self.messages if m.role == "assistant")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot become a record, and why: it ends in the ledger, never in silence."""

    id: str
    row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Format:
    """Where a data set keeps its conversation.

    `kind` is "pair" (one instruction column, one response column, perhaps an `input` and a `system` column)
    or "turns" (one column holding a list of messages).
    """

    name: str
    kind: Literal["pair", "turns"]
    instruction: str = ""
    response: str = ""
    input: str = ""
    system: str = ""
    turns: str = ""


FORMATS: tuple[Format, ...] = (
    Format("messages", "turns", turns="messages"),
    Format("sharegpt", "turns", turns="conversations"),
    Format("sharegpt", "turns", turns="conversation"),
    Format("alpaca", "pair", instruction="instruction", input="input", response="output"),
    Format("instruction/output", "pair", instruction="instruction", response="output"),
    Format("instruction/response", "pair", instruction="instruction", input="input", response="response"),
    Format("instruction/response", "pair", instruction="instruction", response="response"),
    Format("problem/solution", "pair", instruction="problem", response="solution"),
    Format("prompt/completion", "pair", instruction="prompt", response="completion"),
    Format("prompt/response", "pair", instruction="prompt", response="response"),
    Format("query/answer", "pair", instruction="query", response="answer"),
    Format("question/answer", "pair", instruction="question", response="answer"),
)

MAP_KEYS = ("instruction", "input", "response", "system", "messages", "id")


def detect_format(columns: Iterable[str], mapping: Mapping[str, str] | None = None, where: str = "the data") -> Format:
    """Recognise the format from the column names; `mapping` (`{"instruction": "my_column"}`) overrides.

    Raises:
        InputError: no known format fits, or the mapping names a column or key that does not exist.
    """
    names = list(dict.fromkeys(columns))
    mapping = dict(mapping or {})
    for key, column in mapping.items():
        if key not in MAP_KEYS:
            raise InputError(f"--map {key}={column}: unknown field {key!r}; the fields are {', '.join(MAP_KEYS)}")
        if column not in names:
            raise InputError(f"--map {key}={column}: {where} has no column {column!r}; its columns are {_list(names)}")
    if "messages" in mapping:
        return Format("mapped", "turns", turns=mapping["messages"])
    base = next((f for f in FORMATS if all(c in names for c in _columns(f))), None)
    if mapping.keys() & {"instruction", "response", "input", "system"}:
        pair = base if base is not None and base.kind == "pair" else Format("mapped", "pair")
        chosen = Format(
            "mapped",
            "pair",
            instruction=mapping.get("instruction", pair.instruction),
            response=mapping.get("response", pair.response),
            input=mapping.get("input", pair.input),
            system=mapping.get("system", ""),
        )
        if chosen.instruction and chosen.response:
            return chosen
        missing = "response" if chosen.instruction else "instruction"
        raise InputError(
            f"{where}: --map names no column for {missing!r}; add --map {missing}=COLUMN (columns: {_list(names)})"
        )
    if base is None:
        raise InputError(
            f"{where}: unknown columns {_list(names)}; known forms are Alpaca, instruction/output, instruction/response, "
            "problem/solution, prompt/completion, ShareGPT conversations and messages; "
            "name the columns with --map instruction=COLUMN --map response=COLUMN"
        )
    return base


def to_records(
    rows: Sequence[Mapping[str, Any]], mapping: Mapping[str, str] | None = None, where: str = "the data"
) -> tuple[list[Record], list[Rejected]]:
    """Bring rows of any known format to records; a row that cannot be read becomes a `Rejected`, in row order.

    Args:
        rows: dictionaries as read from the file; they are not changed.
        mapping: field -> column, overriding what is detected.
        where: the file's name for error messages.

    Raises:
        InputError: no rows, unknown columns, or two rows share an explicit id.
    """
    if not rows:
        raise InputError(f"{where} holds no rows; give at least one instruction/response pair")
    columns = dict.fromkeys(key for row in rows[:1000] for key in row)
    form = detect_format(columns, mapping, where)
    id_column = (mapping or {}).get("id", "id" if "id" in columns else "")
    records: list[Record] = []
    rejected: list[Rejected] = []
    first_row: dict[str, int] = {}
    copies: dict[str, int] = {}
    for index, row in enumerate(rows):
        explicit = row.get(id_column) if id_column else None
        problem, messages = _messages(row, form)
        if explicit is not None and str(explicit) != "":
            identity = str(explicit)
            if identity in first_row:
                raise InputError(
                    f"{where}: rows {first_row[identity] + 1} and {index + 1} share the id {identity!r}; "
                    "make ids unique, or rename the column to have ids made from the content"
                )
        else:
            digest = content_hash(messages) if problem is None else _digest(repr(sorted(row.items(), key=str)))
            copies[digest] = copies.get(digest, 0) + 1
            identity = digest if copies[digest] == 1 else f"{digest}-{copies[digest]}"
        first_row[identity] = index
        if problem is not None:
            rejected.append(Rejected(identity, index, *problem))
            continue
        used = {form.instruction, form.response, form.input, form.system, form.turns, id_column}
        meta = {key: value for key, value in row.items() if key not in used}
        meta["row"] = index
        records.append(Record(identity, messages, MappingProxyType(meta)))
    return records, rejected


def content_hash(messages: Sequence[Message], tools: str = "") -> str:
    """16 hex digits of SHA-256 over all that is said: the same conversation has the same hash everywhere."""
    said = [[m.role, m.content, *_further(m)] for m in messages]
    return _digest(json.dumps([*said, tools] if tools else said, ensure_ascii=True))


def _further(message: Message) -> list[dict[str, Any]]:
    """The fields that differ from their defaults; plain turns keep the hash of their role and content alone."""
    names = ("reasoning", "tool_calls", "name", "tool_call_id")
    found: dict[str, Any] = {n: getattr(message, n) for n in names if getattr(message, n)}
    if not message.learn:
        found["learn"] = False
    return [found] if found else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _columns(form: Format) -> list[str]:
    return [c for c in (form.turns, form.instruction, form.input, form.response) if c]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:12])
    return f"{shown}, ..." if len(names) > 12 else shown or "none"


Problem = tuple[str, str]


def _messages(row: Mapping[str, Any], form: Format) -> tuple[Problem | None, tuple[Message, ...]]:
    problem, messages = _turns(row.get(form.turns), form.turns) if form.kind == "turns" else _pair(row, form)
    if problem is not None:
        return problem, ()
    for message in messages:
        if any("\ud800" <= c <= "\udfff" for c in message.content):
            return ("invalid", f"the {message.role} text holds an unpaired surrogate, which is not valid Unicode"), ()
    if not any(m.role == "user" and m.content.strip() for m in messages):
        return ("empty", "the instruction is empty"), ()
    if not any(m.role == "assistant" and m.content.strip() for m in messages):
        return ("empty", "the response is empty"), ()
    return None, messages


def _pair(row: Mapping[str, Any], form: Format) -> tuple[Problem | None, tuple[Message, ...]]:
    texts: dict[str, str] = {}
    for part, column in (
        ("instruction", form.instruction),
        ("response", form.response),
        ("input", form.input),
        ("system", form.system),
    ):
        value = row.get(column) if column else None
        if value is not None and not isinstance(value, str):
            return ("invalid", f"column {column!r} holds {type(value).__name__}, not text"), ()
        texts[part] = value or ""
    user = f"{texts['instruction']}\n{texts['input']}" if texts["input"].strip() else texts["instruction"]
    system = (Message("system", texts["system"]),) if texts["system"].strip() else ()
    return None, (*system, Message("user", user), Message("assistant", texts["response"]))


def _turns(value: Any, column: str) -> tuple[Problem | None, tuple[Message, ...]]:
    if not isinstance(value, list | tuple) or not value:
        return ("empty" if not value else "invalid", f"column {column!r} holds no list of turns"), ()
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, Mapping):
            return ("invalid", f"turn {number} of {column!r} is {type(turn).__name__}, not an object"), ()
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if not isinstance(role, str) or role.lower() not in ROLE_NAMES:
            return ("invalid", f"turn {number} of {column!r} has the unknown role {role!r}"), ()
        if content is None:
            content = ""
        if not isinstance(content, str):
            return ("invalid", f"turn {number} of {column!r} holds {type(content).__name__}, not text"), ()
        messages.append(Message(ROLE_NAMES[role.lower()], content))
    while messages and messages[-1].role != "assistant":
        messages.pop()
    return (None, tuple(messages)) if messages else (("empty", "there is no assistant turn"), ())

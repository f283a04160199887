"""Tools and their calls in every form that is in use, brought to the OpenAI form as JSON text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from codeact.records.types import Unreadable
from codeact.sources.objects import TwiceError, keyed, parse

MOST_LITERAL = 1_000_000  # characters of Python's notation: its parser takes some 300 bytes for each
# A string that is not closed ends with the text, so that no character is read twice.
_TEXT = re.compile(
    r"""((?<!\w)[a-zA-Z]{0,2})(?:'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?)""",
    re.DOTALL,
)
# of text without its strings (`_bare`): strings side by side; behind a key, `pprint` breaks long ones so
_GLUED = re.compile(r'"[^\[\](){},:"]*"')
_AFTER_KEY = re.compile(r':\s*"(?:\s*")*')
# of such text: what NumPy prints, and the signs that it is no list of Python; each part is matched once, so that no character is read twice
_PRINTED = re.compile(
    r'(?:[\s\[\]{}(),:="]|\.\.\.|\b(?:array|np\.\w+)(?=\()|\bdtype=[\w<>|]*+|\b(?:None|True|False|nan|inf)\b|[-+]?\d[\d.]*+(?:e[-+]?\d++)?)*+'
)
_ARRAY, _APART = re.compile(r"\b(?:array|np\.\w+)\("), re.compile(r'["\]}\w]\s* ["\[{\w]')  # behind a break of line NumPy indents, JSON lines do not

TOOL_NAMES = ("name", "title", "tool", "tool_name", "function_name", "func_name", "api_name", "name_for_model")
CALL_NAMES = ("name", "tool", "tool_name", "function_name", "api_name", "toolName")
VALUES = ("default", "const", "enum", "examples")  # of a JSON schema: what they hold is no schema
CALL_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "kwargs")


def as_json(value: object) -> str:
    """JSON text as chat templates show it: one line, nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, default=str)


def parsed(text: str) -> object:
    """What a text of JSON holds, or of Python's own notation (`str()` of a list, as CSV exports have it).

    Raises:
        TwiceError: a key stands twice in one object.
        ValueError: it is neither, or strings of a list stand side by side, which Python would glue (NumPy prints lists without commas).
    """
    try:
        return parse(text)
    except TwiceError:
        raise
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        if len(text) > MOST_LITERAL or not _may_be_literal(text):
            raise ValueError("neither JSON nor a Python literal of bounded size") from None
        try:
            tree = ast.parse(text.strip(), mode="eval")
            value = ast.literal_eval(tree)
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError("neither JSON nor a Python literal") from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keyed([(ast.literal_eval(key), ast.literal_eval(held)) for key, held in zip(node.keys, node.values, strict=True) if key is not None])
        return value


def _may_be_literal(text: str) -> bool:
    """Whether text has neither f-strings nor dotted names, which are no literals and take CPython's parser quadratic time, nor glued strings."""
    bare = _bare(text)
    return re.search(r"(?:^|[^\d\s])\.", bare) is None and _GLUED.search(_AFTER_KEY.sub(":", bare)) is None


def _bare(text: str) -> str:
    """Text with each of its strings as one `"`, and each f-string as a dot."""
    return _TEXT.sub(lambda found: "." if "f" in found[1].lower() else '"', text)


def is_numpy_print(text: str) -> bool:
    """Whether a text is what NumPy prints of a list, or of an object that holds one: parts without commas, `array(...)`, `np.str_(...)`."""
    begin = text.lstrip()[:1]
    if begin not in ("[", "{") or not ("'" in text or '"' in text):
        return False
    bare = _AFTER_KEY.sub(":", _bare(text))
    return _PRINTED.fullmatch(bare) is not None and (_ARRAY.search(bare) is not None or (begin == "[" and _APART.search(bare) is not None))


def tools_text(value: object, where: str) -> str:
    """A list of tool schemas as JSON text, each wrapped as `{"type": "function", "function": {...}}`; "" where there are none.

    Args:
        value: a list of schemas or one schema, or JSON text of these; bare (`{"name": ..., "parameters": ...}`) or wrapped.
        where: the column, for messages.

    Raises:
        Unreadable: it is none of these.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return ""
        try:
            value = parsed(value)
        except ValueError as error:
            raise Unreadable(
                "invalid", f"{where} is not JSON ({text[:40]!r}): give a list of tool schemas"
            ) from error
    if value is None or (isinstance(value, list | tuple | Mapping) and not value):
        return ""
    found = [_tool(one, where) for part in (value if isinstance(value, list | tuple) else [value]) for one in _declared(part)]
    return as_json(found)


def _declared(value: object) -> Sequence[object]:
    """One tool as a list of it; Gemini's `{"functionDeclarations": [...]}` and Bedrock's `{"tools": [{"toolSpec": ...}]}` as their tools."""
    spec = value.get("toolSpec") if isinstance(value, Mapping) else None
    if isinstance(spec, Mapping):
        schema = spec.get("inputSchema")
        rest = {key: part for key, part in spec.items() if key != "inputSchema"}
        return [{**rest, "parameters": schema.get("json", schema)} if isinstance(schema, Mapping) else rest]
    if isinstance(value, Mapping) and isinstance(value.get("tools"), list) and value.keys() <= {"tools", "toolChoice"}:
        return [one for part in value["tools"] for one in _declared(part)]
    for key in ("functionDeclarations", "function_declarations"):
        if isinstance(value, Mapping) and isinstance(value.get(key), list):
            return list(value[key])
    return [value]


def _tool(value: object, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        text = value
        try:
            value = parsed(text)
        except ValueError as error:
            raise Unreadable("invalid", f"{where} holds {text[:40]!r} where a tool's schema is expected") from error
    if not isinstance(value, Mapping):
        raise Unreadable("invalid", f"{where} holds {type(value).__name__} where a tool's schema is expected")
    schema: dict[str, Any] = {key: _filled(part) for key, part in value.items() if part is not None}
    if "parameters" not in schema and "input_schema" in schema:
        schema = {"parameters" if key == "input_schema" else key: part for key, part in schema.items()}  # Anthropic
    inner = schema.get("function")
    body = inner if isinstance(inner, Mapping) else schema
    if not any(isinstance(body.get(key), str) and body[key].strip() for key in TOOL_NAMES):
        raise Unreadable("invalid", f"{where} holds a tool without a name (its keys: {', '.join(map(str, list(body)[:8]))})")
    return {"type": "function", **schema} if body is inner else {"type": "function", "function": schema}


def _filled(schema: object) -> object:
    """A part of a schema without keys that hold null: Parquet and Arrow fill absent keys with it. Values, such as a `default`, may be null."""
    if isinstance(schema, Mapping):
        return {key: part if key in VALUES else _filled(part) for key, part in schema.items() if part is not None or key in VALUES}
    return [_filled(part) for part in schema] if isinstance(schema, list | tuple) else schema


def declared_arguments(calls: str, tools: str) -> str:
    """Calls without arguments that are null and that the called tool does not declare: Parquet and Arrow give all tools' names to each call.

    Args:
        calls: what `as_json` made of `calls_from`.
        tools: of `tools_text`.
    """
    if "null" not in calls or not tools:
        return calls
    known: dict[str, Mapping[str, Any]] = {}
    for tool in (one["function"] for one in json.loads(tools)):
        name, schema = tool.get("name"), tool.get("parameters")
        if isinstance(name, str) and isinstance(schema, Mapping) and isinstance(schema.get("properties"), Mapping):
            known[name] = schema["properties"]
    kept = json.loads(calls)
    for function in (call["function"] for call in kept):
        declared, given = known.get(function["name"]), function["arguments"]
        if declared is not None and isinstance(given, Mapping):
            function["arguments"] = {name: value for name, value in given.items() if value is not None or name in declared}
    return as_json(kept)


def called_texts(calls: str) -> list[str]:
    """The texts that calls hold, such as the content of a file to write, with their quotes and line ends as they are.

    Args:
        calls: JSON text, as a message has it; "" where it has none. Of text that is no JSON: itself.
    """
    try:
        waiting = [json.loads(calls)] if calls else []
    except ValueError:
        return [calls]
    texts: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping | list):
            waiting += reversed([*value.values()] if isinstance(value, Mapping) else value)
    return texts


def calls_from(value: object, where: str) -> list[dict[str, Any]]:
    """Tool calls as `{"type": "function", "function": {"name", "arguments"}}`, with `id` where there is one.

    Args:
        value: one call or a list of calls, or JSON text of these; OpenAI's form, `{"name", "arguments"}` or Anthropic's `tool_use`.
        where: the turn, for messages.

    Raises:
        Unreadable: it is none of these, or a call has no name.
    """
    if isinstance(value, str):
        text = value
        try:
            value = parsed(text)
        except ValueError as error:
            raise Unreadable("invalid", f"{where}: the tool call {text.strip()[:60]!r} is not JSON") from error
    return [_call(one, where) for one in (value if isinstance(value, list | tuple) else [value])]


def _call(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable("invalid", f"{where}: a tool call is {type(value).__name__}, not an object")
    inner = value.get("function")
    body = inner if isinstance(inner, Mapping) else value
    name = (
        inner if isinstance(inner, str) else next((body[k] for k in CALL_NAMES if isinstance(body.get(k), str)), None)
    )
    if not name:
        raise Unreadable("invalid", f"{where}: a tool call has no name (its keys: {', '.join(map(str, body))})")
    given: Any = next((body[k] for k in CALL_ARGUMENTS if body.get(k) is not None), {})
    if isinstance(given, str):
        try:
            given = parsed(given) if given.strip() else {}
        except ValueError as error:
            raise Unreadable(
                "invalid", f"{where}: the arguments of {name} are not JSON ({given.strip()[:40]!r})"
            ) from error
    call: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": given}}
    identity = value.get("id", value.get("toolCallId"))
    return {"id": identity, **call} if isinstance(identity, str) and identity else call

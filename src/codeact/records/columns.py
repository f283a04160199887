"""Which column of a data set holds what: known names, and those that the user gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Literal

from codeact.errors import InputError
from codeact.records.mends import best_answer, transcript
from codeact.sources.jq import command, literal, value_of
from codeact.sources.objects import plain_name

MESSAGES = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat", "contents")
INSTRUCTION = ("instruction", "problem", "prompt", "question", "query", "input", "指令", "问题", "提问")
RESPONSE = (
    "output",
    "response",
    "completion",
    "solution",
    "answer",
    "answers",
    "responses",
    "输出",
    "回答",
    "答案",
    "回复",
)
CHOSEN = ("chosen", "chosen_messages", "chosen_response", "chosen_conversations", "preferred_output")
REJECTED = ("rejected", "rejected_messages", "rejected_response", "rejected_conversations", "non_preferred_output")
INSTANCES = "instances"
STATEMENT = ("description", "statement", "definition", "requirement", "task")  # of a problem, beside its tests and examples
SENTENCE = 20  # characters: what is shorter may be a label (`task`)
TESTS = re.compile(r"(?<![a-zA-Z])(?i:test|case)|Test|Case|(?i:example)")
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "input": ("input", "输入"),
    "context": ("context",),
    "system": (
        "system", "system_prompt", "system_message", "system_instruction", "system_instructions", "sys_prompt", "系统", "系统提示",
        "系统提示词",
    ),
    "history": ("history",),
    "tools": ("tools", "functions", "available_tools", "tool_schemas", "tool_definitions", "tool_config"),
    "reasoning": ("reasoning_content", "thinking", "complex_cot"),  # `reasoning` is as often a judge's
    "label": ("label", "kto_tag"),
    "id": ("id",),
}  # fmt: skip
MAP_KEYS = ("messages", "instruction", "response", "chosen", "weight", *OPTIONAL)
NONE = "-"


@dataclass(frozen=True, slots=True)
class Format:
    """Where a data set keeps its conversation.

    Attributes:
        name: of the form, for people.
        kind: "turns" (a column of messages), "pair" (a question and its answer) or "instances" (self-instruct's seed tasks).
        columns: field -> column; the fields are `MAP_KEYS`.
    """

    name: str
    kind: Literal["pair", "turns", "instances"]
    columns: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> str:
        """The column of a field; "" where there is none."""
        return self.columns.get(name, "")


def detect_format(
    columns: Iterable[str], mapping: Mapping[str, str] | None = None, where: str = "the data", example: Mapping[str, Any] | None = None
) -> Format:
    """Recognise the format from the column names, upper and lower case alike.

    Args:
        columns: names of the data's columns.
        mapping: field -> column, overriding what is detected; `-` for "none".
        where: the file's name for error messages.
        example: a row, in whose objects a known format is looked for where its columns have none, for the message.

    Raises:
        InputError: no known format fits, or the mapping names a column or field that does not exist.
    """
    names = list(dict.fromkeys(columns))
    check_mapping(mapping or {}, names, where)
    found = find_format(names, mapping)
    if found is None:
        raise unknown(names, mapping, where, example or {})
    lost = next(
        (key for key in ("input", "context") if found.kind == "turns" and (mapping or {}).get(key, NONE) != NONE), None
    )
    if lost is not None:
        raise InputError(
            f"--map {lost}={(mapping or {})[lost]}: the rows of {where} are lists of turns (column {found.column('messages')!r}), which have no"
            f" place for it; leave it out, or name the columns of a pair with --map instruction=COLUMN --map response=COLUMN"
        )
    return found


def as_mapping(given: Mapping[str, str] | None) -> dict[str, str]:
    """The mapping that a caller gave, or an empty one.

    Raises:
        InputError: it is no mapping of texts.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise InputError(f"the mapping is {given!r}; give a dictionary of field and column, as {{'instruction': 'question'}}")
    return dict(given)


def check_mapping(mapping: Mapping[str, str], columns: Sequence[str], where: str) -> None:
    """Refuse a mapping that names what does not exist.

    Raises:
        InputError: an unknown field, an unknown column, or fields that exclude each other.
    """
    for key, column in mapping.items():
        if key not in MAP_KEYS:
            raise InputError(f"--map {key}={column}: unknown field {key!r}; the fields are {', '.join(MAP_KEYS)}")
        if column not in columns and column != NONE and key != "weight":
            raise InputError(
                f"--map {key}={column}: {where} has no column {column!r}; its columns are {listed(columns)}"
            )
    pair = [key for key in ("instruction", "input", "context", "response") if mapping.get(key, NONE) != NONE]
    if mapping.get("messages", NONE) != NONE and pair:
        raise InputError(
            f"--map messages and --map {pair[0]} exclude each other: a row is a list of turns or a pair of texts"
        )


def find_format(columns: Iterable[str], mapping: Mapping[str, str] | None = None) -> Format | None:
    """As `detect_format`; None where nothing fits."""
    names = list(dict.fromkeys(columns))
    lower = {plain_name(name): name for name in reversed(names)}
    mapping = mapping or {}

    def pick(field_: str, aliases: Sequence[str]) -> str:
        given = mapping.get(field_)
        if given is not None:
            return given if given in names else ""
        return next((lower[plain_name(alias)] for alias in aliases if plain_name(alias) in lower), "")

    base = _base(lower, mapping, pick)
    if base is None:
        return None
    name, kind, fields = base
    for key, aliases in OPTIONAL.items():
        column = pick(key, aliases)
        if (
            column
            and column not in fields.values()
            and not (kind == "turns" and key in ("input", "context") and key not in mapping)
        ):
            fields[key] = column
    weight = mapping.get("weight", "")
    if weight in names:
        fields["weight"] = weight
    return Format("mapped" if mapping.keys() & fields.keys() - {"id"} else name, kind, fields)


def _base(
    lower: Mapping[str, str], mapping: Mapping[str, str], pick: Callable[[str, Sequence[str]], str]
) -> tuple[str, Any, dict[str, str]] | None:
    """Name, kind and the columns of question and answer."""
    pair_given = any(mapping.get(key, NONE) != NONE for key in ("instruction", "response"))
    chosen = pick("chosen", CHOSEN)
    with_chosen = {"chosen": chosen} if chosen else {}
    messages = "" if pair_given else pick("messages", MESSAGES)
    if messages:
        name = "messages" if messages == "messages" else "sharegpt"
        return ("preference" if chosen else name), "turns", {"messages": messages, **with_chosen}
    instruction, response = pick("instruction", ()), pick("response", ())
    pairs = (
        (instruction or lower[asked], response or lower[answered])
        for asked in (["instruction"] if instruction else INSTRUCTION)
        for answered in (["response"] if response else RESPONSE)
        if (instruction or asked in lower) and (response or answered in lower) and asked != answered
    ) if "instruction" not in mapping or instruction else iter(())  # fmt: skip
    if chosen and not pair_given:
        asked = next((lower[name] for name in INSTRUCTION if name in lower), "")
        if asked:
            return "preference", "pair", {"instruction": asked, "chosen": chosen}
        return "preference", "turns", {"messages": chosen}
    found = next(((asked, answered) for asked, answered in pairs if asked != answered), None)
    if found is not None:
        asked, answered = found
        alpaca = (asked.lower(), answered.lower()) == ("instruction", "output") and "input" in lower
        return (
            ("alpaca" if alpaca else f"{asked}/{answered}".lower()),
            "pair",
            {"instruction": asked, "response": answered, **with_chosen},
        )
    if "instruction" in lower and INSTANCES in lower and not pair_given:
        return "self-instruct", "instances", {"instruction": lower["instruction"], "response": lower[INSTANCES]}
    return None


def _inside(row: Mapping[str, Any], depth: int = 3) -> tuple[list[str], Mapping[str, Any]] | None:
    """(path, object) of the first object within a row whose keys are those of a known format, as logs and annotators wrap rows."""
    objects = [(str(key), value) for key, value in row.items() if isinstance(value, Mapping) and value and not _is_test(str(key))]
    for key, value in objects:
        if find_format(list(map(str, value))) is not None:
            return [key], value
    for key, value in objects if depth > 1 else ():
        found = _inside(value, depth - 1)
        if found is not None:
            return [key, *found[0]], found[1]
    return None


def _is_test(name: str) -> bool:
    """Whether a column is called after tests or examples: their inputs and outputs are of programs."""
    return TESTS.search(name) is not None


def _asked(example: Mapping[str, Any]) -> bool:
    """Whether a row itself asks, in a text: what pairs lie beside it are its tests and examples, and no answers."""
    texts = [(str(name), value) for name, value in example.items() if isinstance(value, str) and value.strip() and not str(name).lower().startswith("sys")]
    return any(_named(name, INSTRUCTION) or (_named(name, STATEMENT) and len(value) >= SENTENCE) for name, value in texts)


def _nested(example: Mapping[str, Any], file: str) -> str:
    """What a row holds several records in, with the command that makes rows of them: SQuAD's passages, a list of questions beside their answers."""
    passages = example.get("paragraphs")
    if isinstance(passages, list) and passages and isinstance(passages[0], Mapping) and passages[0].keys() >= {"context", "qas"}:
        passage = ".. | objects | select(.paragraphs | arrays) | .paragraphs[] | .context as $c"
        program = f"{passage} | .qas[] | select(.answers != []) | {{question, context: $c, answer: .answers[0].text}}"
        return f"SQuAD's passages: make a row of each question: {command(program, file)}"
    if _asked(example):
        return ""
    lists = {str(name): value for name, value in example.items() if isinstance(value, list) and value and not _is_test(str(name))}
    asked = next((name for name, held in lists.items() if _named(name, INSTRUCTION) and all(isinstance(one, str) for one in held)), "")
    answered = next((name for name, held in lists.items() if _named(name, RESPONSE) and len(held) == len(lists.get(asked, ()))), "")
    if asked and answered:
        text = "" if all(isinstance(one, str) for one in lists[answered]) else " | if type == \"string\" then . else tojson end"
        both = f".. | objects | select(has({literal(answered)})) | [{value_of(asked)}, {value_of(answered)}] | transpose"
        of_one = f'{{messages: ({both} | map({{role: "user", content: .[0]}}, {{role: "assistant", content: (.[1]{text})}}))}}'
        return (
            f"lists under {asked!r} and {answered!r}: as turns of one conversation: {command(of_one, file)}; as rows of their own:"
            f" {command(f'{both} | .[] | {{instruction: .[0], output: (.[1]{text})}}', file)}"
        )
    inner = next((name for name, held in lists.items() if isinstance(held[0], Mapping) and find_format(list(map(str, held[0]))) is not None), "")
    if inner:
        return (
            f"a list of rows under {inner!r} ({listed(list(lists[inner][0]))}): make a row of each, with what else matters:"
            f" {command(f'.. | objects | select(has({literal(inner)})) | {value_of(inner)}[]', file)}"
        )
    return ""


def _named(column: str, names: Sequence[str]) -> bool:
    """Whether a column is called by one of these names, or its last word is (`Golden_Answers`)."""
    plain = column.lower().removesuffix("s")
    return any(plain == name.removesuffix("s") or plain.endswith(f"_{name.removesuffix('s')}") for name in names)


def _untaken(example: Mapping[str, Any], where: str) -> str:
    """What a row holds that no form has, with the command that makes rows of it: a transcript, scores, what is nested."""
    for column, value in example.items():
        mend = transcript(value, str(column), where) if isinstance(value, str) else ""
        if mend:
            return f"a transcript in the column {str(column)!r}: make turns of it: {mend}"
    asked = next((str(column) for column, value in example.items() if isinstance(value, str) and _named(str(column), INSTRUCTION)), "")
    return (best_answer(example, asked, where) if asked else "") or _nested(example, where)


def unknown(columns: Sequence[str], mapping: Mapping[str, str] | None, where: str, example: Mapping[str, Any]) -> InputError:
    """The error of columns that fit nothing, with the mend."""
    mapping = mapping or {}
    if "instruction" in mapping or "response" in mapping:
        missing = "response" if "instruction" in mapping else "instruction"
        return InputError(
            f"{where}: --map names no column for {missing!r}; add --map {missing}=COLUMN (columns: {listed(columns)})"
        )
    if any(len(str(name)) > 60 for name in columns):
        return InputError(
            f"{where}: its first line looks like data; add a line with the columns' names, for example: instruction,output"
        )
    untaken = "" if mapping else _untaken(example, where)
    if untaken:
        return InputError(f"{where}: columns {listed(columns)}; {untaken}")
    alone = [str(name) for name in columns]
    if alone == ["text"] or (len(alone) <= 3 and "text" in alone):
        asking = next((name for name in alone if _named(name, INSTRUCTION)), "")
        pair = f"instruction={quote(asking)} --map response=text" if asking else "instruction=text --map response=COLUMN"
        named = f", or name them with --map {pair}" if len(alone) > 1 else ""
        return InputError(
            f"{where}: one column 'text' (columns: {listed(columns)}); nothing says which part is asked and which is answered:"
            f" split it into instruction and output{named}"
        )
    if "input_ids" in alone:
        return InputError(f"{where}: columns {listed(columns)} hold tokens, made for one model; give the rows from before tokenizing")
    pieces = example.get("segments")
    if isinstance(pieces, list) and pieces and isinstance(pieces[0], Mapping) and pieces[0].keys() >= {"label", "text"}:
        role = 'if .label then "assistant" else "user" end'
        program = f".. | objects | select(.segments | arrays) | {{messages: [.segments[] | {{role: ({role}), content: .text}}]}}"
        return InputError(
            f"{where}: 'segments' are pieces of one text, a label at each says whether it is learnt: make turns of them, and take the template's marks out: "
            + command(program, where)
        )
    if {"custom_id", "response"} <= set(alone):
        return InputError(
            f"{where}: the answers of a batch, without what was asked: join them with the file of requests: jq -cs 'group_by(.custom_id)[] |"
            f" {{messages: (map(.body.messages // empty)[0] + [map(.response.body.choices // empty)[0][0].message])}}' REQUESTS {quote(where)} > rows.jsonl"
        )
    inner = None if mapping or _asked(example) else _inside(example)
    if inner is not None:
        return _wrapped(columns, where, example, *inner)
    rejected = next((name for name in columns if str(name).lower() in REJECTED), None)
    hint = f" ({rejected!r} alone is no answer to learn)" if rejected else ""
    return InputError(
        f"{where}: unknown columns {listed(columns)}{hint}; known forms are Alpaca, instruction/output, instruction/response, "
        "problem/solution, question/answer, prompt/completion, prompt/chosen, ShareGPT conversations and messages; "
        "name the columns with --map instruction=COLUMN --map response=COLUMN, or --map messages=COLUMN"
    )


def _wrapped(columns: Sequence[str], where: str, example: Mapping[str, Any], path: Sequence[str], held: Mapping[str, Any]) -> InputError:
    """The error of rows that stand in an object of each, with the command that takes it out."""
    told, value = ".".join(path), "".join(map(value_of, path))
    taken = f".. | objects | select(has({literal(path[0])})) | {value} | objects"
    turns = next((value for value in held.values() if isinstance(value, list) and value and isinstance(value[-1], Mapping)), None)
    if turns is None or not {"user", "human"} & {str(value).lower() for value in turns[-1].values()}:
        return InputError(
            f"{where}: columns {listed(columns)}; what is asked and answered stands in the object {told!r} ({listed(list(held))}):"
            f" make its content the row, with what else matters: {command(taken, where)}"
        )
    key = next((key for key, value in held.items() if value is turns), "messages")
    objects = ((str(name), value.get("choices")) for name, value in example.items() if isinstance(value, Mapping))
    logged = next((name for name, choices in objects if isinstance(choices, list) and choices), None)
    if logged is not None:
        both = f".. | objects | select(has({literal(path[0])})) | {{messages: ({value}{value_of(key)} + [{value_of(logged)}.choices[0].message])}}"
        return InputError(
            f"{where}: columns {listed(columns)}; what is asked stands in {told!r} and what is answered in {logged!r}: make turns of both: {command(both, where)}"
        )
    return InputError(
        f"{where}: columns {listed(columns)}; the turns in the object {told!r} end with a question: make them the row"
        f" and put the answer behind them, as a turn of the assistant; the command that makes them the row: {command(taken, where)}"
    )


def listed(names: Sequence[Any]) -> str:
    """Some names for a message."""
    shown = ", ".join(repr(str(name)[:40]) for name in names[:12])
    return f"{shown}, ..." if len(names) > 12 else shown or "none"

"""What stands beside the one list of rows of a JSON document: it would be lost, for only the rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codeact.errors import InputError
from codeact.sources.jq import command, value_of
from codeact.sources.objects import plain_name

SYSTEM = ("system", "systemprompt", "systemmessage", "systeminstruction")
# what a row holds under the same name, and is no text
LISTS = ("tools", "functions", "history")
# what is asked of the model, in all rows
REQUESTS = (
    "instruction", "instructions", "prompt", "question", "query", "problem", "definition", "taskdefinition", "taskprefix", "taskdescription",
    "taskinstruction", "taskinstructions", "preamble", "guidelines",
)  # fmt: skip
# what the rows ask about
TEXTS = ("passage", "document", "article", "story", "paragraph", "text")
# what is asked as often as it describes the data
UNSURE = ("description", "task")
# what describes the data, however long it is
ABOUT = (
    "name", "title", "version", "license", "citation", "homepage", "url", "source", "canary", "copyright", "disclaimer", "author", "authors", "contact",
    "reference", "references", "changelog", "readme",
)  # fmt: skip
WORDS = 4  # of a text that is a sentence and no label


def beside(value: Mapping[str, Any], taken: str, name: str) -> list[str]:
    """The names of the texts beside a list of rows that may say what is asked in them; the others describe the data.

    Args:
        value: the document.
        taken: the name of the list that is read.
        name: of the file, for messages.

    Raises:
        InputError: what stands there is said to the model.
    """
    rest = {key: held for key, held in value.items() if key != taken and held}
    said = [key for key, held in rest.items() if plain_name(key) in (*SYSTEM, *LISTS, "context") or (plain_name(key) in (*REQUESTS, *TEXTS) and _is_text(held))]
    if said:
        stands, it = ("stands", "it") if len(said) == 1 else ("stand", "them")
        raise InputError(
            f"{name}: {', '.join(map(repr, said))} {stands} beside the list {taken!r} and not in its rows, which would lose {it}; write {it} into each:"
            f" {command(_into_rows(said, value, taken), name)}"
        )
    unsure = {key: held for key, held in rest.items() if _is_text(held) and plain_name(key) not in ABOUT}
    return [key for key, held in unsure.items() if plain_name(key) in UNSURE or _is_sentence(held)]


def _into_rows(said: Sequence[str], value: Mapping[str, Any], taken: str) -> str:
    """The program of jq that writes these into each row: what is asked as the instruction of an input, else as the system text."""
    keys = {plain_name(key) for row in value[taken][:9] if isinstance(row, dict) for key in row}
    asked = "instruction" if "input" in keys and "instruction" not in keys else "system"
    about = "system" if keys & {"messages", "conversations", "conversation"} else "context"
    parts: dict[str, list[str]] = {}
    for key in said:
        plain = plain_name(key)
        into = "system" if plain in SYSTEM else about if plain in ("context", *TEXTS) else key if plain in LISTS else asked
        parts.setdefault(into, []).append(f"$x{value_of(key)}")
    written = [f"{value_of(into)} //= {held[0]}" if plain_name(into) in LISTS else _joined(into, held, into in keys) for into, held in parts.items()]
    return f". as $x | {value_of(taken)}[] | {' | '.join(written)}"


def _joined(into: str, values: Sequence[str], has: bool) -> str:
    """The texts, and what a row has itself, as one text."""
    own = [f"({value_of(into)} // empty)"] if has else []
    return f'{value_of(into)} = ([{", ".join([*values, *own])}] | flatten | join("\\n"))'


def _is_text(held: object) -> bool:
    """A text, or a list of texts."""
    return isinstance(held, str) or (isinstance(held, list) and all(isinstance(one, str) for one in held))


def _is_sentence(held: str | list[str]) -> bool:
    """Whether a text, or one of a list, has words enough, or as many characters of a script without blanks."""
    texts = [held] if isinstance(held, str) else held
    return any(len(text.split()) >= WORDS or (not text.isascii() and len(text) >= 3 * WORDS) for text in texts)

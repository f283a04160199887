"""Text or tables to rows: JSON lines, JSON and Arrow; CSV and TSV are in `sources.delimited`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InputError
from codeact.parquet import refuse_twice
from codeact.sources.beside import beside
from codeact.sources.jq import command, value_of
from codeact.sources.names import kind_of
from codeact.sources.objects import TwiceError, parse, row_with_two

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
# one conversation as a whole document, and no list of rows
TURNS = ("messages", "conversations", "conversation")

def json_lines(text: str, name: str) -> list[Row]:
    """One object per line; blank lines are skipped.

    Raises:
        InputError: broken JSON or a line that is no object, with the line.
    """
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse(line.removeprefix("\ufeff"))  # of a file that others were put behind
        except TwiceError as error:
            raise InputError(f"{name}, line {number}: {error}") from error
        except (ValueError, RecursionError) as error:
            if number == 1 and line.lstrip()[:1] in ("[", "{") and _is_document(text):
                raise InputError(f"{name} holds one JSON document and not one object per line: {_to_lines(name, text)}") from error
            if number == 1 and line.strip() in ("{", "[", "[{"):
                raise InputError(f"{name}, line 1: an object over several lines; write one object per line (jq -c . FILE)") from error
            if number == 1 and line.lstrip()[:1] not in '{["' and not any(other.lstrip()[:1] in ("{", "[") for other in text.split("\n", 100)[1:100]):
                raise InputError(f"{name}: text, and no JSON: write an object a line, with what is asked and what is answered") from error
            raise InputError(
                f"{name}, line {number}: broken JSON: {_fault(error, line)}; mend or remove the line"
            ) from error
        if (
            isinstance(row, list)
            and number == 1
            and (not row or isinstance(row[0], dict))
            and not text.partition("\n")[2].strip()
        ):
            raise InputError(f"{name}, line 1: a list, and not one JSON object per line: {_to_lines(name, text)}")
        if not isinstance(row, dict):
            turns = (
                isinstance(row, list)
                and bool(row)
                and all(isinstance(one, dict) and {"role", "from"} & one.keys() for one in row)
            )
            hint = 'wrap each list of turns: {"messages": [...]}' if turns else "one JSON object per line"
            raise InputError(f"{name}, line {number}: a {type(row).__name__} where an object is expected; {hint}")
        rows.append(row)
    return rows


def _to_lines(name: str, text: str) -> str:
    """The mend of a document where lines are read: another name, or where it has that and lines alone are read, lines."""
    if kind_of(Path(name)) != ".json":
        return "name it .json"
    return f"only such lines are read here: {command('.[]' if text.lstrip().startswith('[') else '.', name)}"


def _is_document(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False


def _fault(error: Exception, text: str) -> str:
    if isinstance(error, json.JSONDecodeError):
        before = text[: error.pos].rstrip()
        closing = text[error.pos : error.pos + 1] in ("]", "}")
        if (before.endswith(",") and closing) or "trailing comma" in error.msg:
            return "a comma before the closing bracket"
        if text[error.pos : error.pos + 1] == "'":
            return "single quotes, which are Python's and not JSON's"
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def json_document(text: str, name: str, split: str = "train") -> tuple[list[Row], list[str], list[str]]:
    """The rows of a JSON document, the names of its lists of rows that were left out, and those of texts beside them that may matter.

    A document is a list of objects, an object that holds one, or one conversation.

    Args:
        text: the document.
        name: of the file, for messages.
        split: taken where an object holds several lists (`{"train": [...], "test": [...]}`).

    Raises:
        InputError: broken JSON (with its line), no list of objects, or what is said to the model stands beside it (`beside.beside`).
    """
    try:
        value = parse(text)
    except TwiceError as error:
        raise InputError(f"{name}{row_with_two(text)}: {error}") from error
    except (ValueError, RecursionError) as error:
        if not isinstance(error, json.JSONDecodeError):
            raise InputError(f"{name}: broken JSON: {_fault(error, text)}") from error
        hint = _lines_hint(text) if error.msg == "Extra data" else "; mend the file"
        raise InputError(f"{name}, line {error.lineno}: broken JSON: {_fault(error, text)}{hint}") from error
    rows, others, texts = _list_of(value, name, split)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{name}, row {number}: a {type(row).__name__} where an object is expected; give its values the columns' names")
    return rows, others, texts


def _lines_hint(text: str) -> str:
    try:
        json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return "; the file holds several documents: put them into one list"
    return "; the file looks like one object per line: name it .jsonl"


def _list_of(value: object, name: str, split: str) -> tuple[list[Any], list[str], list[str]]:
    if isinstance(value, list):
        return value, [], []
    if not isinstance(value, dict):
        raise InputError(f"{name}: a {type(value).__name__} at the top; a list of objects is expected")
    if any(isinstance(value.get(key), list) for key in TURNS):
        return [value], [], []
    lists = {
        key: part
        for key, part in value.items()
        if isinstance(part, list) and all(isinstance(row, dict) for row in part)
    }
    taken = next(iter(lists)) if len(lists) == 1 else split
    if taken in lists:
        return lists[taken], [key for key, part in lists.items() if part and key != taken], beside(value, taken, name)
    if lists:
        raise InputError(f"{name}: several lists ({', '.join(lists)}) and none is {split!r}: name one with data.split=")
    pairs = next((key for key, part in value.items() if isinstance(part, list) and part and all(isinstance(row, list) for row in part[:9])), "")
    if pairs:
        program = f"{value_of(pairs)}[] | {{instruction: .[0], output: .[1]}}"
        raise InputError(f"{name}: rows without names under {pairs!r}; name their values: {command(program, name)}")
    if len(value) > 1 and all(isinstance(part, list) for part in value.values()):
        raise InputError(
            f"{name}: columns and not rows; write it with one object per row (pandas: to_json(orient='records'))"
        )
    if len(value) > 1 and all(isinstance(part, dict) for part in value.values()):
        raise InputError(f"{name}: an object of objects and not a list of rows; put its values into a list")
    raise InputError(f"{name}: a dict at the top; a list of objects is expected: put it into [ ]")


def read_arrow(path: Path) -> pa.Table:
    """An Arrow IPC file, or the stream form in which the Hugging Face cache keeps data sets.

    Raises:
        InputError: it is neither.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(os.fsencode(path)) as source:
            reader = pa.ipc.open_stream(source)
            refuse_twice(reader.schema.names, str(path))
            return reader.read_all()
    except (pa.ArrowInvalid, OSError):
        pass
    try:
        with pa.memory_map(os.fsencode(path)) as source:
            reader = pa.ipc.open_file(source)
            refuse_twice(reader.schema.names, str(path))
            return reader.read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a readable Arrow file: {' '.join(str(error).split())[:200]}") from error

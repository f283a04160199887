"""One canonical form for every instruction data format: rows of a file in, `Record(id, messages, meta, tools)` out."""

from __future__ import annotations

from codeact.records.columns import MAP_KEYS, Format, detect_format
from codeact.records.read import (
    Reading,
    RowReader,
    counted,
    possible_line,
    read_data,
    read_records,
    read_source,
    reading_lines,
    row_reader,
)
from codeact.records.tools import called_texts
from codeact.records.types import Message, Record, Rejected, Role, content_hash

__all__ = [
    "MAP_KEYS",
    "Format",
    "Message",
    "Reading",
    "Record",
    "Rejected",
    "Role",
    "RowReader",
    "called_texts",
    "content_hash",
    "counted",
    "detect_format",
    "possible_line",
    "read_data",
    "read_records",
    "read_source",
    "reading_lines",
    "row_reader",
]  # fmt: skip

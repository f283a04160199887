"""Exact copies after normalisation: one record of each group stays, the others name it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from codeact.curate.blocks import without_comments
from codeact.records import Record

_AROUND_PUNCTUATION = re.compile(r" ?([^\w\s]) ?")


def find_duplicates(records: Iterable[Record]) -> dict[str, str]:
    """Map the id of every copy to the id of the record that represents its group.

    Two records are copies when all their turns are equal without case, blanks and Python comments (`normalise`). The
    longest response represents the group, then the lowest row, then the lowest id: the order of the input has no say.
    """
    best: dict[bytes, Record] = {}
    keys: dict[str, bytes] = {}
    for record in records:
        key = keys[record.id] = _key(record)
        if key not in best or preference(record) < preference(best[key]):
            best[key] = record
    return {identity: best[key].id for identity, key in keys.items() if best[key].id != identity}


def normalise(text: str, code: bool = False) -> str:
    """Lower case, canonical Unicode, blanks only between words; with `code`, Python comments taken out first."""
    if code:
        text = without_comments(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _AROUND_PUNCTUATION.sub(r"\1", " ".join(text.casefold().split()))


def _key(record: Record) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for message in record.messages:
        text = normalise(message.content, code=message.role == "assistant")
        digest.update(f"{message.role}\0{text}\0".encode("utf-8", "surrogatepass"))
    return digest.digest()


def preference(record: Record) -> tuple[int, float, str]:
    row = record.meta.get("row")
    return -len(record.response), float(row) if isinstance(row, int) else float("inf"), record.id

"""Whether a row holds images, audio or video beside its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from codeact.records.columns import MEDIA_COLUMNS
from codeact.records.content import is_blank

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".wav", ".mp3", ".flac",
    ".ogg", ".m4a",
)  # fmt: skip
MARKS = ("<image>", "<video>", "<audio>", "<img>")
# Qwen-VL's form: the address stands in the text
INLINE = re.compile(
    r"<(img|image|video|audio)>[^<>\n]*\.(png|jpe?g|gif|webp|bmp|tiff?|mp4|avi|mov|mkv|webm|wav|mp3|flac|ogg|m4a)[^<>\n]*</\1>",
    re.I,
)


def find_media(row: Mapping[str, Any], text: str) -> str:
    """Where a row holds media: a column, or an address in its text; "" where it holds none.

    A place marked in the text (`<image>`) is media where a column of any name holds a file for it: alone it may be about HTML or XML.

    Args:
        row: as it came from the file.
        text: what was read of it.
    """
    marked = any(mark in text for mark in MARKS)
    for key, value in row.items():
        named = str(key).strip().lower() in MEDIA_COLUMNS
        if (named or marked) and _is_media(value, named, marked):
            return f"column {str(key)!r} holds images, video or audio"
    return "the text holds the address of an image, a video or audio" if marked and INLINE.search(text) else ""


def _is_media(value: object, named: bool, marked: bool) -> bool:
    if is_blank(value) or isinstance(value, bool | int | float):
        return False
    if isinstance(value, str):
        name = value.lower().partition("?")[0]
        return name.endswith(SUFFIXES) or name.startswith("data:image/") or (named and marked)
    if isinstance(value, list | tuple):
        return any(
            named if not isinstance(one, str) else named or one.lower().endswith(SUFFIXES)
            for one in value
            if not is_blank(one)
        )
    return named or isinstance(value, bytes)

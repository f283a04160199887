"""Whether a row holds images, audio or video beside its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from codeact.records.content import is_blank

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".wav", ".mp3", ".flac",
    ".ogg", ".m4a",
)  # fmt: skip
MARKS = (
    "<image>", "<video>", "<audio>", "<img>", "<|image|>", "<|video|>", "<|audio|>", "<|image_1|>", "<image_1>", "<|image_pad|>",
    "<|video_pad|>", "<|audio_bos|>", "[IMG]",
)  # fmt: skip
# all but the last begin alike, so that the engine leaps from one beginning to the next
_MARKED, _LAST_MARK = re.compile("|".join(map(re.escape, MARKS[:-1]))), MARKS[-1]
# where LLaVA's form puts a picture: before the question or behind it, as a tag that is spoken of never stands
_PLACED = re.compile(r"\A\s*(?:{marks})|(?:{marks})\s*\Z|\n[ \t]*(?:{marks})[ \t]*\n".format(marks="|".join(map(re.escape, MARKS))))
# columns that hold media and nothing else
SURE = re.compile(r"(image|video|audio)s?([_-]?(path|url|file|byte)s?)?")
# names that such columns have too, beside captions and counts: `screenshot`, `img`, `pixel_values`
NAME = re.compile(
    r"(?<![a-z])(images?|img|imgs|pictures?|pics?|photos?|screenshots?|videos?|audios?|speech|wavs?|frames?|pixel)(?![a-z])", re.I
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+$", re.I)
DOCKER = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*:[\w.-]+")  # `swebench/sweb.eval.x86_64:latest`
HELD = ("bytes", "path", "array", "url")  # of an object that stands for a file
# Qwen-VL's form: the address stands in the text
INLINE = re.compile(
    r"<(img|image|video|audio)>[^<>\n]*\.(png|jpe?g|gif|webp|bmp|tiff?|mp4|avi|mov|mkv|webm|wav|mp3|flac|ogg|m4a)[^<>\n]*</\1>",
    re.I,
)


def find_media(row: Mapping[str, Any], text: str) -> str:
    """Where a row holds media: a column, or an address in its text; "" where it holds none.

    A place marked in the text (`<image>`) is media where a column of any name holds a file for it: alone it may be about HTML or XML. Where it
    begins or ends the text, or has a line of its own, the id of an image is enough.

    Args:
        row: as it came from the file.
        text: what was read of it.
    """
    marked = _MARKED.search(text) is not None or _LAST_MARK in text
    if not marked and not _any_media_name(tuple(row)):
        return ""
    placed = marked and _PLACED.search(text) is not None
    for key, value in row.items():
        name = str(key).strip().lower()
        if (is_media_name(name) or marked) and (_is_media(value, name, marked) or (placed and _is_id(value, name))):
            return f"column {str(key)!r} holds images, video or audio"
    return "the text holds the address of an image, a video or audio" if marked and INLINE.search(text) else ""


@lru_cache(maxsize=1024)  # of a file, most rows have the same columns
def _any_media_name(keys: tuple[object, ...]) -> bool:
    return any(is_media_name(str(key).strip().lower()) for key in keys)


def is_media_name(name: object) -> bool:
    """Whether a column is called after images, video or audio."""
    return _is_media_name(str(name))


@lru_cache(maxsize=1024)  # of a file, all rows have the same few names
def _is_media_name(name: str) -> bool:
    return NAME.search(name) is not None


def is_media_file(value: object) -> bool:
    """Whether a text is the name or address of an image, a video or audio, or holds an image."""
    if not isinstance(value, str):
        return False
    name = value.lower().partition("?")[0]
    return name.endswith(SUFFIXES) or name.startswith("data:image/")


def _is_media(value: object, name: str, marked: bool) -> bool:
    named, sure = is_media_name(name), SURE.fullmatch(name) is not None
    if is_blank(value) or isinstance(value, bool | int | float):
        return False
    if isinstance(value, str):
        # beside a mark in the text, a question about a file has blanks; an address has none
        if is_media_file(value):
            return named or not re.search(r"\s", value.strip())
        # a mark may be a tag of HTML, and `docker_image` an image of Docker
        return marked and ((sure and DOCKER.fullmatch(value.strip()) is None) or (named and ADDRESS.match(value.strip()) is not None))
    if isinstance(value, list | tuple):
        held = [one for one in value if not is_blank(one)]
        return any(sure or is_media_file(one) or (named and not isinstance(one, str) and _is_object(one)) for one in held)
    return isinstance(value, bytes) or sure or (named and _is_object(value))


def _is_id(value: object, name: str) -> bool:
    """Whether a column called after images holds one word or number, as `image_id` does."""
    return is_media_name(name) and isinstance(value, str | int) and not isinstance(value, bool) and len(str(value).split()) == 1


def _is_object(value: object) -> bool:
    """Numbers, bytes, or an object of a file."""
    return not isinstance(value, Mapping) or any(value.get(key) is not None for key in HELD)

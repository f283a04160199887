"""Reading source of other languages: braces, comments and quoted texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

# Comments and texts, in which a brace closes nothing; in Rust a lone ' begins a lifetime.
QUOTED = r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\])*"|`[^`]*`'
CHARACTER = r"'(?:\\[^']*|[^'\\\n]{1,2})'"
TEXT = r"'(?:\\.|[^'\\\n])*'"


def bare(text: str, language: str) -> str:
    """The text with blanks for comments and quoted texts, character by character."""
    quoted = f"{QUOTED}|{CHARACTER if language in ('rust', 'java', 'cpp', 'go') else TEXT}"
    blank: Callable[[re.Match[str]], str] = lambda found: " " * len(found[0])  # noqa: E731
    return re.compile(quoted, re.S).sub(blank, text)


def depth(text: str, language: str) -> int:
    """How many braces are open at the end."""
    plain = bare(text, language)
    return plain.count("{") - plain.count("}")


def ends(text: str, opened: int, language: str) -> int | None:
    """The place behind the brace that closes the last of `opened`, or all but the outermost where the text ends so; None where none does."""
    level = opened
    for position, letter in enumerate(bare(text, language)):
        level += {"{": 1, "}": -1}.get(letter, 0)
        if level == 0:
            return position + 1
    return len(text) if level == 1 and opened > 1 else None


def closed(text: str, opened: int, language: str) -> str:
    """The text up to the brace that closes the last of `opened`; missing ones are added where all but the outermost are closed."""
    end = ends(text, opened, language)
    kept = text[:end]
    return kept + ("\n}\n" if end is not None and opened + depth(kept, language) == 1 else "\n")


def outermost(text: str, language: str) -> list[tuple[int, str]]:
    """(position, line) of the lines that begin outside of every brace and bracket, comments and quoted texts blanked."""
    found, level, at = [], 0, 0
    for line in bare(text, language).split("\n"):
        if level == 0 and line.strip():
            found.append((at, line))
        level += sum({"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(letter, 0) for letter in line)
        at += len(line) + 1
    return found


def open_brace(text: str, language: str) -> int | None:
    """Where the one brace is that is open at the end; None where none is, or several."""
    open_at: list[int] = []
    for position, letter in enumerate(bare(text, language)):
        if letter == "{":
            open_at.append(position)
        elif letter == "}" and open_at:
            open_at.pop()
    return open_at[0] if len(open_at) == 1 else None


def block_end(plain: str, opening: int) -> int:
    """The place behind the bracket that closes the one there, of a text without comments and quoted texts."""
    level = 0
    for at in range(opening, len(plain)):
        level += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(plain[at], 0)
        if level == 0:
            return at + 1
    return len(plain)


def parameters(text: str) -> list[str]:
    """What the commas part that stand in no bracket; blank parts left out."""
    parts, level = [""], 0
    for at, letter in enumerate(text):
        level += {"<": 1, "(": 1, "[": 1, "{": 1, ">": 0 if text[at - 1 : at] == "-" else -1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if letter == "," and level == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def harness(name: str) -> str:
    """The text of a file that the tests or examples of a language are compiled with."""
    return (Path(__file__).parent / "harness" / name).read_text(encoding="utf-8")

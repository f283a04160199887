"""What an answer says, without what the chat format glued to it, and its code in parts. Its thinking goes in `codeact.spoken`.

Everything here is linear in the length of the text and never raises.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from codeact.parsing import open_string, parse
from codeact.spoken import MARKER, spoken

BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
MARGIN = re.compile(f"^[ \t{BLANKS}{INVISIBLE}]*[{BLANKS}{INVISIBLE}][ \t{BLANKS}{INVISIBLE}]*", re.MULTILINE)
ODD_BLANK, ODD_NOTHING = re.compile(f"[{BLANKS}]"), re.compile(f"[{INVISIBLE}]")
QUOTES = str.maketrans("“”„«»‘’‚", '"""""\'\'\'')

START = re.compile(rf"^[ \t]*(?:(?:{MARKER}|<s>|<bos>|<start_of_turn>)[ \t]*)+", re.MULTILINE)
WRAPPER = re.compile(
    r"^[ \t]*(?:<(?:answer|solution|python|code)>|\[(?:PYTHON|ANSWER|CODE)\])(?=.)"
    r"|(?:</(?:answer|solution|python|code|pre)>|\[/(?:PYTHON|ANSWER|CODE|INST)\])[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)

LABELS = frozenset(
    ("python", "python3", "python2", "py", "py3", "python3.11", "python3.12", "ipython", "pycon", "starlark")
)
# A fence, behind what a list or a quotation writes before it.
OPENING = re.compile(r"((?:[ \t>]|[-*+•][ \t]|\(?[0-9a-z]{1,3}[.):][ \t])*)(`{3,}|~{3,}|'''|\"\"\")[ \t]*([^`]*)")
CLOSING = re.compile(r"[ \t>]*(`{3,}|~{3,}|'''|\"\"\")[ \t.]*")
CODE = re.compile(r"(?:async[ \t]+def|def|class|import|from|@)\b|@|\w+[ \t]*=[ \t]*lambda\b")
INLINE = re.compile(r"(?<!`)(`{1,3}+)(?:(?:python3?|py)[ \t]+)?([^`\n]{1,2000})\1(?!`)")
TAGS = re.compile(r"<(/?)(?:pre|code)\b[^<>\n]{0,200}>", re.IGNORECASE)
LOOK_AHEAD = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer, in its order: a fenced block, or what stands between two.

    Attributes:
        text: without the fence lines; a quotation's `>` and what chat formats add are taken off.
        fenced: whether it is a block of code.
    """

    text: str
    fenced: bool


@dataclass(frozen=True, slots=True)
class Fence:
    """The opening of a block: its mark, the columns before it, whether they quote, text before and code behind it."""

    mark: str
    margin: int
    quoted: bool
    before: str = ""
    code: Sequence[str] = ()


def normalize(text: str) -> str:
    """Line ends as the parser counts them; no NUL, which no source may hold; plain blanks at the left of every line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text if text.isascii() else MARGIN.sub(lambda odd: plain_blanks(odd[0]), text)


def plain_blanks(text: str) -> str:
    """No-break and other wide blanks as plain ones; invisible characters removed."""
    return ODD_NOTHING.sub("", ODD_BLANK.sub(" ", text))


def repaired(source: str) -> str:
    """Source that does not parse, without what text processing did to it.

    Blanks, invisible characters and curly quotes become plain, HTML's entities and Markdown's `\\_` what they stand for.
    """
    if not source.isascii():
        source = plain_blanks(source).translate(QUOTES)
    source = source.replace("\\_", "_")
    return html.unescape(source) if re.search(r"&(?:lt|gt|amp|quot|#39|nbsp);", source) else source


def final_answer(text: str) -> str:
    """The answer as `spoken`, without the tags that chat formats put around a program."""
    return WRAPPER.sub("", START.sub("", spoken(text)))


def markdown_parts(text: str, nested: bool = False) -> list[Part]:
    """The fenced blocks of a Markdown text and the pieces between them, in order.

    A block without a closing fence runs to the end, or to the next opening fence. A fence inside a docstring closes
    nothing where the block parses with it. Fences may be quoted, in a list, or glued to the text before them; a block
    with a longer fence may hold blocks of its own.
    """
    parts: list[Part] = []
    bare: list[str] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        fence = _opened(lines[at])
        if fence is None:
            line = lines[at]
            bare.append(_unquoted(line) if line.startswith(">") else _unglued(line))
            at += 1
            continue
        if fence.before:
            bare.append(fence.before)
        parts.append(Part("\n".join(bare), False))
        bare = []
        content, at = _block(lines, at + 1, fence)
        content = [*fence.code, *(map(_unquoted, content) if fence.quoted else content)]
        block = "\n".join(content) + "\n"
        holds = not nested and len(fence.mark) > 3 and parse(block) is None
        inner = [part for part in markdown_parts(block, nested=True) if part.fenced] if holds else []
        parts.extend(inner or [Part(block, True)])
    parts.append(Part("\n".join(bare), False))
    return [part for part in parts if part.text.strip()]


def _opened(line: str) -> Fence | None:
    """The fence of a line that opens a block."""
    found = OPENING.fullmatch(line)
    if found:
        prefix, mark, info = found[1], found[2], found[3].strip()
        if mark[0] in "'\"" and info.lower() not in LABELS:
            return None
        rest = info.partition(" ")[2].strip()
        code = [part for part in (info, rest) if CODE.match(part)][:1]
        return Fence(mark, len(prefix), ">" in prefix, code=code)
    if line.count("```") == 1:  # glued to the text before: "Here it is:```python"
        before, _, label = line.partition("```")
        if label.strip().lower() in LABELS:
            return Fence("```", 0, False, before=before)
    return None


def _unglued(line: str) -> str:
    """A line of code outside any block, without the fence that ends it."""
    bare = line.rstrip()
    return bare.removesuffix("```") if bare.endswith("```") and bare.count("`") == 3 else line


def _unquoted(line: str) -> str:
    return re.sub(r"^[ \t]*(?:>(?!>>)[ \t]?)+", "", line)


def _block(lines: Sequence[str], start: int, fence: Fence) -> tuple[list[str], int]:
    """The lines of the block that opens before line `start`, and the number of the line after it."""
    string = ""
    hidden = 0  # the first closing fence that stands inside a string
    at = start
    while at < len(lines) and not (hidden and at - hidden > LOOK_AHEAD):
        closed, last = _closes(lines[at], fence.mark)
        if closed and not string:
            if hidden and not parse("\n".join([*lines[start:at], *last])):
                break
            return [*lines[start:at], *last], at if closed == "next" else at + 1
        if (
            closed == "fence" and not hidden and _margin(lines[at]) < fence.margin + 4
        ):  # deeper ones never close (CommonMark)
            hidden = at
        string = open_string(lines[at], string)
        at += 1
    if hidden and not (at == len(lines) and parse("\n".join(lines[start:]))):
        return list(lines[start:hidden]), hidden + 1
    return list(lines[start:at]), at


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip(" \t>"))


def _closes(line: str, mark: str) -> tuple[str, list[str]]:
    """How a line ends the block ("" where it does not), and the code before a fence that is glued to it."""
    fence = CLOSING.fullmatch(line)
    if fence:
        return ("fence" if fence[1].startswith(mark) else ""), []
    bare = line.rstrip(" \t.")
    comment = "#" in bare or bare.lstrip().startswith(("//", "* "))  # one that shows an example of its own
    if mark[0] == "`" and bare.endswith(mark) and bare.count("`") == len(mark) and not comment:
        return "fence", [bare.removesuffix(mark)]
    opened = OPENING.fullmatch(line) if mark[0] == "`" else None
    if opened and opened[2].startswith(mark) and opened[3].strip().lower() in LABELS:
        return "next", []
    return "", []


def html_parts(text: str) -> list[Part]:
    """The code between `<pre>` or `<code>` and its end, entities read; nothing where the text holds no such tags."""
    parts: list[Part] = []
    opened = -1
    for tag in TAGS.finditer(text):
        if not tag[1]:
            opened = tag.end()
        elif opened >= 0:
            parts.append(Part(html.unescape(text[opened : tag.start()]), True))
            opened = -1
    if opened >= 0:
        parts.append(Part(html.unescape(text[opened:]), True))
    return parts


def inline_parts(text: str, name: str) -> list[Part]:
    """Code between backticks on one line that names `name`."""
    return [Part(code[2], True) for code in INLINE.finditer(text) if name in code[2]]

"""What a model says: its answer without its thinking, up to the first end of a turn.

Linear in the length of the text; never raises.
"""

from __future__ import annotations

import re

# Read are at most this many characters of what remains without the thinking: the first half and the last.
MAX_CHARACTERS = 200_000

THINKING = re.compile(
    r"""
        <(?P<a>/?)(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|seed:think)>
      | \[(?P<b>/?)THINK\] | ◁(?P<c>/?)think▷ | <\|(?:begin|(?P<d>end))_of_thought\|> | <unused94>thought | (?P<e><unused95>)""",
    re.VERBOSE | re.IGNORECASE,
)
# gpt-oss: the channel of the answer, with its special tokens and as text without them.
FINAL_CHANNEL = re.compile(r"<\|channel\|>final[^<\n]{0,80}<\|message\|>")
FINAL_TEXT = "assistantfinal"
MARKER = r"<[|｜][^<>|｜\s]{1,40}[|｜]>"
# What ends a turn: `<|im_end|>`, `<|eot_id|>`, `<｜end▁of▁sentence｜>`; what follows is another's. `</s>` does so at the end of a line.
END = re.compile(
    r"(?P<turn><[|｜](?=[^<>|｜\s]{0,40}(?:end|eo[mst]|return))[^<>|｜\s]{1,40}[|｜]>)|</s>|<eos>|<end_of_turn>",
    re.IGNORECASE,
)
REST = re.compile(rf"[ \t]*(?:$|{MARKER})", re.MULTILINE)
LEADING = re.compile(rf"(?:\s|{MARKER}|<s>|<bos>)*+")


def spoken(text: str) -> str:
    """The answer without its thinking, ended at the first end-of-turn marker.

    Text between `<think>` and `</think>` goes, and so does all that stands before a `</think>` without an opening (chat
    templates write that one into the prompt). Thinking that never ends holds no answer.
    """
    channels = list(FINAL_CHANNEL.finditer(text))
    if channels:
        text = text[channels[-1].end() :]
    elif text.startswith("analysis") and FINAL_TEXT in text:
        text = text.rpartition(FINAL_TEXT)[2]
    text = _without_thinking(text)
    begin = LEADING.match(text)
    for end in END.finditer(text, begin.end() if begin else 0):
        if not _in_string(text, end):
            text = text[: end.start()]
            break
    if len(text) > MAX_CHARACTERS:
        text = text[: MAX_CHARACTERS // 2] + "\n" + text[-MAX_CHARACTERS // 2 :]
    return text


def _in_string(text: str, end: re.Match[str]) -> bool:
    """Whether a program may speak of the marker: it ends no line, and a quote is open before it."""
    if REST.match(text, end.end()):
        return False
    before = text[max(0, end.start() - 1000) : end.start()].rpartition("\n")[2]
    return end["turn"] is None or before.count("'") % 2 == 1 or before.count('"') % 2 == 1


def _without_thinking(text: str) -> str:
    kept: list[str] = []
    at, inside = 0, False
    for tag in THINKING.finditer(text):
        if _quoted(text, tag.start(), tag.end()):
            continue
        if any(tag.group(*"abcde")):
            if not inside:
                kept.clear()
            at, inside = tag.end(), False
        elif not inside:
            kept.append(text[at : tag.start()])
            inside = True
    return "".join(kept) if inside else "".join([*kept, text[at:]])


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether a tag is spoken of, as in the source of a program that removes it."""
    before, after = text[max(0, start - 3) : start], text[end : end + 3]
    if before[-1:] in ("'", '"', "\\") or after[:1] in ("'", '"', "\\"):
        return True
    return (before[-1:] == "`" and before != "```") or (after[:1] == "`" and after != "```")

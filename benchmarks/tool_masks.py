"""What is learnt of conversations with tool calls and thoughts, beside transformers' masks of templates with {% generation %} tags.

    python -m benchmarks.tool_masks FOLDER [--output FILE]

FOLDER holds templates as files `*.jinja` with {% generation %} tags (none is shipped here). Each is given conversations with calls, several
calls at once, results that are JSON and hold the answer, a second question, thoughts in a field and in the text. Told per template:

    same        what is learnt is what the mask marks, blanks at its ends aside
    prompt      the mask marks a part of the generation prompt too, or leaves a part of the end-of-turn marker out; else the same
    other       it differs otherwise; `other: NAME` counts the conversation
    refused     the template, or codeact under it, does not take the conversation

Result: benchmarks/results/tool_masks.json.xz
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from benchmarks.template_masks import byte_level, specials_of, total
from codeact.lm.prompts import RefusedError, Template, encode
from codeact.lm.prompts.templates import as_shown
from codeact.records import Message

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS = json.dumps([{"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA}} for name in ("add", "mul")])


def call(*names: str) -> str:
    return json.dumps([{"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": {"a": n + 2}}} for n, name in enumerate(names)])


def asked(text: str) -> Message:
    return Message("user", text)


def said(text: str, *names: str, thought: str = "") -> Message:
    return Message("assistant", text, reasoning=thought, tool_calls=call(*names) if names else "")


def gave(text: str, number: int = 0, name: str = "add") -> Message:
    return Message("tool", text, name=name, tool_call_id=f"call_{number}")


TALKS: dict[str, tuple[Message, ...]] = {
    "no call": (asked("2+2?"), said("4"), asked("3+3?"), said("It is 6.")),
    "a call": (asked("2+2?"), said("", "add"), gave("4"), said("It is 4.")),
    "a call with words": (asked("2+2?"), said("I add.", "add"), gave("4"), said("It is 4.")),
    "two calls": (asked("2+2?"), said("", "add", "mul"), gave("4"), gave("5", 1, "mul"), said("4")),
    "the answer in the result": (asked("2+2?"), said("", "add"), gave('{"sum": "4"}'), said("4")),
    "a second question": (
        asked("2+2?"), said("", "add"), gave('{"s": 4}'), said("4"), asked("And 3+4?"), said("I add.", "add"), gave('{"s": 7}'), said("7"),
    ),
    "a call at the end": (asked("2+2?"), said("I add.", "add")),
    "thoughts": (asked("2+2?"), said("", "add", thought="hm add"), gave("4"), said("It is 4.", thought="so it is")),
    "thoughts in the text": (asked("2+2?"), said("<think>\nhm\n</think>\n\n4"), asked("3+3?"), said("<think>\nhm six\n</think>\n\nIt is 6.")),
}  # fmt: skip


def turns(talk: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation in transformers' form."""
    made = []
    for m in talk:
        turn: dict[str, Any] = {"role": m.role, "content": m.content}
        turn |= {"reasoning_content": m.reasoning, "thinking": m.reasoning} if m.reasoning else {}
        turn |= {"tool_calls": json.loads(m.tool_calls)} if m.tool_calls else {}
        turn |= {"name": m.name, "tool_call_id": m.tool_call_id} if m.role == "tool" else {}
        made.append(turn)
    return made


def runs(chosen: Sequence[int], ids: Sequence[int], tokenizer: Any) -> list[str]:
    """The texts of the chosen tokens that stand next to each other."""
    found: list[list[int]] = []
    for before, i in zip((-2, *chosen), chosen, strict=False):
        if i != before + 1:
            found.append([])
        found[-1].append(ids[i])
    return [str(tokenizer.decode(run)).strip() for run in found]


def check(source: str) -> Counter[str]:
    """Counts over the conversations; see the top of this file."""
    import jinja2

    tokenizer = byte_level(specials_of(source))
    found: Counter[str] = Counter()
    for name, talk in TALKS.items():
        tools = TOOLS if any(m.tool_calls for m in talk) else ""
        try:
            coded = encode(talk, Template("chat", source, adds_special=False), tokenizer, tools=tools)
            made = tokenizer.apply_chat_template(
                as_shown(turns(talk), source, tokenizer), chat_template=source, tools=json.loads(tools or "null"), return_dict=True, return_assistant_tokens_mask=True
            )
        except (RefusedError, jinja2.TemplateError):
            found["refused"] += 1
            continue
        ours = runs([i for turn in coded.turns for i in range(turn.start, turn.stop)], coded.input_ids, tokenizer)
        theirs = runs([i for i, on in enumerate(made["assistant_masks"]) if on], made["input_ids"], tokenizer)
        near = len(ours) == len(theirs) and all(b.endswith(a) or a.startswith(b) for a, b in zip(ours, theirs, strict=True))
        kind = "same" if ours == theirs else "prompt" if near else "other"
        found[kind] += 1
        if kind == "other":
            found[f"other: {name}"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    files = [file for file in sorted(options.folder.glob("*.jinja")) if "generation" in file.read_text(encoding="utf-8")]
    if not files:
        raise SystemExit(f"{options.folder} holds no *.jinja file with generation tags")
    results = {file.stem: dict(check(file.read_text(encoding="utf-8"))) for file in files}
    for name, counts in results.items():
        print(name, counts)
    print(dict(total(results)))
    if options.output:
        result_files.write(options.output, {**provenance(), "total": dict(total(results)), "templates": results})


if __name__ == "__main__":
    main()

"""Whether published chat templates show the conversation that they are given: blank lines, indentation, every turn, each answer once.

    python -m benchmarks.template_shows FOLDER [--output FILE]

FOLDER holds templates as files `*.jinja` (none is shipped here). Each is given eight conversations under a byte-level tokenizer that
knows its special tokens. Told per template and conversation: `shown` (every text stands in the rendered one, blanks at its ends aside),
`differs` (codeact takes it and a text does not stand there exactly once) or the reason of codeact's refusal.

Result: benchmarks/results/template_shows.json.xz; of an older checkout: PYTHONPATH=OLD/src
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from benchmarks.template_masks import byte_level, specials_of
from codeact.errors import InputError
from codeact.lm.prompts import Template, render
from codeact.records import Message

CODE = "def f(a):\n    if a:\n        return a\n\n\n    return  0"
ASKED = "Write é 日本 f:\n\n```python\nx = [1,\n     2]\n```"
QUESTION = Message("user", ASKED)
TALKS = {
    "code": (QUESTION, Message("assistant", CODE)),
    "indented": (QUESTION, Message("assistant", "    return a\n\n\tb = 2")),
    "blanks at the ends": (Message("user", f"  {ASKED}\n\n"), Message("assistant", f"{CODE}\n\n")),
    "system": (Message("system", "Be brief.\n\n- one\n  - two"), QUESTION, Message("assistant", CODE)),
    "turns": (QUESTION, Message("assistant", CODE), Message("user", "And 9?\n  now"), Message("assistant", "Yes,\n  it is")),
    "letters": (Message("user", "日本は7ですか?\u3000\u200b"), Message("assistant", "はい。\u00a0🙂\n\n  次")),
    "thoughts": (QUESTION, Message("assistant", f"<think>\nhm\n</think>\n\n{CODE}")),
    "fenced": (QUESTION, Message("assistant", f"Here:\n\n```python\n{CODE}\n```\n\nDone.")),
}


def look(source: str) -> dict[str, str]:
    """Conversation -> what became of it."""
    template, tokenizer = Template("chat", source, adds_special=False), byte_level(specials_of(source))
    return {name: outcome(talk, template, tokenizer) for name, talk in TALKS.items()}


def outcome(talk: tuple[Message, ...], template: Template, tokenizer: Any) -> str:
    try:
        text, _ = render(talk, template, tokenizer)
    except InputError as error:
        return f"refused: {str(error)[:90]}"
    said = [m.content.rpartition("</think>")[2].strip() for m in talk]
    return "shown" if all(text.count(part) == 1 for part in said) else "differs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results = {file.stem: look(file.read_text(encoding="utf-8")) for file in sorted(options.folder.glob("*.jinja"))}
    counts = {name: dict(Counter(found[name].partition(":")[0] for found in results.values())) for name in TALKS}
    different = {stem: [name for name, what in found.items() if what == "differs"] for stem, found in results.items()}
    different = {stem: names for stem, names in different.items() if names}
    refused = Counter(what for found in results.values() for what in found.values() if what.startswith("refused"))
    print(len(results), counts, different, refused.most_common(12), sep="\n")
    if options.output:
        kept = {"templates": len(results), "conversations": counts, "differ": different, "refused": dict(refused.most_common(40)), "names": sorted(results)}
        result_files.write(options.output, {**provenance(), **kept})


if __name__ == "__main__":
    main()

"""A small pool of instruction records, made by a fixed rule."""

from __future__ import annotations

VERBS = ("add", "sort", "reverse", "count", "merge", "filter", "parse", "join")
NOUNS = ("numbers", "words", "rows", "files", "users", "prices")


def pool_rows(count: int) -> list[dict[str, str]]:
    """Instruction/output rows with code of very different lengths; every response parses."""
    rows = []
    for n in range(count):
        verb, noun = VERBS[n % len(VERBS)], NOUNS[n // len(VERBS) % len(NOUNS)]
        body = "".join(f"    step_{k} = [{verb}_{k}(x) for x in {noun}]\n" for k in range(1 + n * 7 % 11))
        text = f"def {verb}_{noun}_{n}({noun}):\n{body}    return {noun}\n"
        rows.append({"instruction": f"Write a Python function that can {verb} {noun}, version {n}.", "output": text})
    return rows

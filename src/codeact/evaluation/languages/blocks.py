"""Which part of an answer in another language is the program: the block that defines the entry point, with helpers from others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codeact.evaluation.answer_text import plain_blanks
from codeact.evaluation.languages.text import bare, block_end, depth, outermost

# Words before a name that is called, not defined.
CALLING = {"return", "else", "new", "throw", "case", "do", "not", "and", "or", "delete", "co_return", "co_await", "yield", "assert"}
BODY = re.compile(r"\s*(?:const\b|noexcept\b|override\b|throws\s[\w.,\s]+|->[^{;]+|requires\b[^{;]+)*\s*\{")
HEADS = {
    "go": r"\bfunc\s+(?:\([^)]*\)\s*)?{n}\s*[\[(][^\0]*?\{{|\bvar\s+{n}\b[^\n;]*=",
    "rust": r"\bfn\s+{n}\s*[<(][^;\0]*?\{{",
    "javascript": r"\bfunction\s*\*?\s*{n}\s*\(|\b(?:const|let|var)\s+{n}\s*=(?!=)|\bclass\s+{n}\b|(?:^|[;}}\n])\s*{n}\s*=(?!=)|\b(?:exports|globalThis)\.{e}\s*=(?!=)"
    r"|{n}\s*\([^()]*\)\s*\{{|{n}\s*:\s*(?:async\b|function\b|\()|\bmodule\.exports\s*=\s*(?:async\s+)?(?:function\b|\(|\w+\s*=>)",
    "cpp": r"\bauto\s+{n}\s*=\s*\[",
    "java": r"(?!)",
}
# What another part may give: names that it declares outermost.
DECLARED = {
    "go": r"(?:func|type|var|const)\s+(?:\([^)]*\)\s*)?(\w+)",
    "rust": r"(?:pub(?:\([^)]*\))?\s+)?(?:(?:const|unsafe|async)\s+)*(?:fn|struct|enum|union|trait|type|const|static|mod)\s+(\w+)|macro_rules!\s*(\w+)",
    "javascript": r"(?:export\s+)?(?:async\s+)?(?:function\s*\*?|class)\s+([\w$]+)|(?:const|let|var)\s+([\w$]+)\s*=\s*(?:async\b|function\b|\(|[\w$]+\s*=>)",
    "java": r"(?:(?:public|final|abstract|static|sealed)\s+)*(?:class|interface|enum|record)\s+(\w+)",
    "cpp": r"#\s*define\s+(\w+)|(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)|(?:[\w:<>,]+[\s&*]+)+(\w+)\s*\([^;{}]*(?:\{|$)",
}
METHODS = r"|(?:(?:public|private|protected|static|final)\s+)*[\w<>\[\], ]+\s(\w+)\s*\([^;{}]*(?:\{|$)"
# Lines with which a program without a fence may begin, before the definition.
BEGINS = {
    "go": r"package\s+\w+\s*$|import\b|func\b|type\s+\w+\s",
    "rust": r"#!?\[|use\s+[\w:{]+|(?:pub\s+)?(?:fn|struct|enum|impl|trait|const|mod)\b.*[{;(]\s*$",
    "javascript": r"(?:const|let|var)\s+[\w${]+.*=|(?:async\s+)?function\b|class\s+\w+.*\{|import\b.*from|export\b|/\*\*",
    "java": r"import\s+[\w.*]+\s*;|package\s+[\w.]+\s*;|(?:(?:public|final|abstract)\s+)*class\s+\w+.*\{|(?:public|private|static)\b.*[{;(]",
    "cpp": r"#\s*(?:include|define|pragma)\b|using\s+namespace|template\s*<|(?:class|struct)\s+\w+\s*\{",
}


def definition(text: str, entry: str, language: str) -> int | None:
    """Where a text defines the entry point with a body; None where it does not."""
    plain = bare(text, language)
    name = rf"(?<![\w$.]){re.escape(entry)}(?![\w$])"
    if found := re.search(HEADS[language].format(n=name, e=re.escape(entry)), plain):
        return found.start()
    for found in re.finditer(rf"{name}\s*(?=\()", plain) if language in ("cpp", "java") else ():
        before = plain[: found.start()].rstrip()
        word = re.search(r"\w+$", before)
        typed = word[0] not in CALLING if word else before.endswith((">", "&", "*", "]"))
        if typed and BODY.match(plain, block_end(plain, found.end())):
            return found.start()
    return None


def defining(blocks: Sequence[str], entry: str, language: str) -> str | None:
    """The last block that defines the entry point, whole where one is, with the helpers that others define; None where none does."""
    found = [block for block in blocks if definition(block, entry, language) is not None]
    whole = [block for block in found if depth(block, language) == 0] or found
    if not whole:
        return None
    program, left = whole[-1], [block for block in blocks if entry not in block and depth(block, language) == 0]
    while lent := next((block for block in left if _lends(block, program, language)), None):
        left.remove(lent)
        # a constant of JavaScript and a function of C++ have to stand before their use, a head of the others first
        program = f"{lent}\n{program}" if language in ("javascript", "cpp") else f"{program}\n{lent}"
    return program


def _lends(block: str, program: str, language: str) -> bool:
    """Whether a block defines something that a program uses and does not define."""
    used = set(re.findall(r"[\w$]+", bare(program, language)))
    if re.search(r"\bmain\s*\(", bare(block, language)):
        return False
    loose = language == "java" and not re.search(r"\bclass\s+\w", bare(program, language))
    return bool(_declared(block, language, loose) & used - _declared(program, language, loose))


def _declared(text: str, language: str, methods: bool) -> set[str]:
    pattern = re.compile(DECLARED[language] + (METHODS if methods else ""))
    found = (pattern.match(line.strip()) for _, line in outermost(text, language))
    return {name for one in found if one for name in one.groups() if name}


def unfenced(answer: str, entry: str, language: str) -> str | None:
    """A whole program between prose without a fence; None where there is none."""
    at = definition(answer, entry, language)
    if at is None:
        return None
    lines = answer.split("\n")
    last = answer.count("\n", 0, at)
    first = next((n for n, line in enumerate(lines[:last]) if re.match(BEGINS[language], line.strip())), last)
    ends = [n for n, line in enumerate(lines) if n >= last and line.rstrip().endswith(("}", "};", "})", ";"))]
    text = "\n".join(lines[first : ends[-1] + 1]) + "\n" if ends else ""
    return text if text and depth(text, language) == 0 else None


def plain_code(text: str, language: str) -> str:
    """The text with plain blanks for no-break and invisible ones, but in comments and quoted texts."""
    if text.isascii():
        return text
    return "".join(plain_blanks(a) if a == b else a for a, b in zip(text, bare(text, language), strict=True))

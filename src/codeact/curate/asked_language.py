"""Which programming language an instruction asks for, and whether the answer is in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from codeact.curate.answers import MAX_GRAMMAR_CHARS, clip
from codeact.curate.blocks import code_blocks, without_blocks
from codeact.curate.languages import GRAMMAR_LANGUAGES, LABELS, MOST_GUESSED, TELLING, fault, guess_language
from codeact.curate.verify import NOTHING_TO_CHECK, PASSED, Verdict

_LOOK = 20_000  # characters of an instruction

PROGRAMMING = frozenset(
    "python java javascript typescript c cpp csharp go rust php ruby swift kotlin perl r scala".split()
)
"""Languages that "write it in X" can be wrong about; SQL, shell, HTML and CSS come along with others."""

COMPATIBLE: Mapping[str, frozenset[str]] = {
    "javascript": frozenset({"typescript", "html", "css", "json"}),
    "typescript": frozenset({"javascript", "html", "css", "json"}),
    "c": frozenset({"cpp"}),
    "cpp": frozenset({"c"}),
    "php": frozenset({"html", "sql", "javascript", "css"}),
    "html": frozenset({"css", "javascript", "php"}),
    "css": frozenset({"html", "javascript"}),
}
"""Languages that answer a request for another one."""


_ENGLISH_NAMES: Mapping[str, str] = {
    "python": "python", "java": "java", "javascript": "javascript", "typescript": "typescript", "c++": "cpp", "c#": "csharp", "golang": "go", "rust": "rust",
    "php": "php", "ruby": "ruby", "swift": "swift", "kotlin": "kotlin", "go": "go", "c": "c", "perl": "perl", "haskell": "haskell", "r": "r", "scala": "scala",
    "node.js": "javascript", "nodejs": "javascript", "sql": "sql", "mysql": "sql", "bash": "bash", "html": "html", "css": "css", "matlab": "matlab",
    "jquery": "javascript", "react": "javascript", "django": "python", "flask": "python", "shell": "bash", "excel": "vb", "vba": "vb", "visual basic": "vb",
    "objective-c": "objective-c", "dart": "dart", "lua": "lua", "ajax": "javascript", "json": "json", "xml": "xml", "angular": "typescript", "vue": "javascript",
    "laravel": "php", "rails": "ruby", "spring": "java", "pandas": "python", "numpy": "python", "regex": "regex", "assembly": "assembly", "fortran": "fortran",
    "cobol": "cobol", "pascal": "pascal", "powershell": "powershell", "asp.net": "csharp", "unity": "csharp", "android": "java", "arduino": "c",
}  # fmt: skip
# ASCII boundaries: Chinese, Japanese and Korean write no blank beside a name.
_NAMED = re.compile(
    r"(?<![A-Za-z0-9_.+#-])("
    + "|".join(sorted(map(re.escape, _ENGLISH_NAMES), key=len, reverse=True))
    + r")(?![A-Za-z0-9_+#]|-[a-z]|\.[a-z])",
    re.IGNORECASE,
)
# The arguments of a call that the request shows: "stringToList(\"python programming\")".
_ARGUMENT = re.compile(r"(?<=[(\[,=])(\s*)(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}')(?=\s*[),\]])")
_TONGUE = r"(?<![A-Za-z0-9_])(C|R|Go)\s?(?:语言|語言|言語|언어)"
_ONE_LETTER = re.compile(rf"\b(?:in|using) (C|R)\b(?![+#])|\b(C|R) (?:program|function|code|language)\b|{_TONGUE}")
_TWO_WORDS = re.compile(r"\b(java|type)[ -]script\b", re.IGNORECASE)
_ABOUT_TWO = re.compile(
    r"\b(?:another|other|different|any) (?:programming )?languages?\b|\bequivalent\b"
    r"|\b(?:convert|translate|rewrite|port) (?:\w+ ){0,4}(?:code|program|snippet|script|function)\b"
    r"|转换|轉換|翻译成|改写|改寫|移植|変換|변환|[Пп]ерепиш|übersetz|konvertier|convertir|tradui",
    re.IGNORECASE,
)
_FRAMEWORKS = frozenset(
    "node.js nodejs jquery react django flask ajax angular vue laravel rails spring pandas numpy asp.net unity android arduino excel vba".split()
)
_COMPANIONS = frozenset({"html", "css", "json", "xml", "sql", "regex", "bash", "vb"})


def asked_language(instruction: str) -> str:
    """The one programming language that an instruction names, else "" (none, several, or a conversion between two).

    A language beside its companions (JavaScript and HTML, Ruby and SQL) counts alone; a framework stands for its language.
    The labels and the content of fenced code say nothing.
    """
    instruction = _prose(instruction)
    words = {match[1].lower() for match in _NAMED.finditer(instruction)} - {"c", "r", "go"}
    names = {_ENGLISH_NAMES[word] for word in words - _FRAMEWORKS}
    names |= {match[match.lastindex or 0].lower() for match in _ONE_LETTER.finditer(instruction)}
    if re.search(r"\b(?:in|using) Go\b|\bGo (?:program|function|code|routine)\b", instruction):
        names.add("go")
    names = names or {_ENGLISH_NAMES[word] for word in words}
    names = names - _COMPANIONS or names
    return names.pop() if len(names) == 1 and not _ABOUT_TWO.search(instruction) else ""


def _prose(instruction: str) -> str:
    """An instruction without its code and the texts that it hands to a call, full-width letters as the others."""
    text = unicodedata.normalize("NFKC", without_blocks(instruction)[:_LOOK])
    return _ARGUMENT.sub(r"\1", _TWO_WORDS.sub(r"\1script", text))


def check_language(response: str, instruction: str) -> Verdict:
    """The code is in another language than the instruction asks for: it parses in the one and not in the other.

    It is never sure, and only doubtful: words do not tell a language that is asked for from one that the program runs or reads, and an
    answer may hold more than what was asked for.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    asked = asked_language(instruction)
    if asked not in PROGRAMMING & TELLING:
        return NOTHING_TO_CHECK
    blocks = [block for block in code_blocks(response) if block.code.strip()]
    if sum(len(block.code) for block in blocks) > MAX_GRAMMAR_CHARS or (
        not blocks and len(response) > MAX_GRAMMAR_CHARS
    ):
        return NOTHING_TO_CHECK
    pieces = [(LABELS.get(b.language, b.language), b.code) for b in blocks[:MOST_GUESSED]] or [("", response)]
    found: list[tuple[str, str, bool]] = []
    for label, code in pieces:
        language = label if label in PROGRAMMING else "" if label else guess_language(code, 1)
        if label and label not in PROGRAMMING and label in COMPATIBLE.get(asked, ()):
            return PASSED
        if language:
            found.append((language, code, bool(label)))
    languages = {language for language, _, _ in found}
    if not languages & PROGRAMMING or asked in languages or languages & COMPATIBLE.get(asked, frozenset()):
        return PASSED if asked in languages else NOTHING_TO_CHECK
    language, code, labelled = max(found, key=lambda piece: len(piece[1]))
    if language not in PROGRAMMING or not _is_other(asked, language, code, labelled):
        return NOTHING_TO_CHECK
    first = next((line.strip() for line in code.split("\n") if line.strip()), "")
    return Verdict("doubtful", "wrong language", f"asked for {asked}, answered in {language}: {clip(first)!r}")


def _is_other(asked: str, language: str, code: str, labelled: bool) -> bool:
    """Whether the asked language's parser refuses the code, and the other's takes it, or its label or its signs name it."""
    parsed = {"python", *GRAMMAR_LANGUAGES}
    if asked in parsed and fault(asked, code) is None:
        return False
    if language in parsed and fault(language, code) is not None:
        return guess_language(code, 3) == language
    return language in parsed or labelled or guess_language(code) == language

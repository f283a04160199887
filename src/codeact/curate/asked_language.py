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
# What makes a name a request, not a mention: before it, and behind it. "A backend written in X" tells what is there already.
_REQUEST_BEFORE = re.compile(
    r"(?:\b(?:in|using|with|en|em|con|com|mit|avec|на(?: языке)?)\s+|(?:用|使用|基于|在|以)\s*)[`*\"']*$",
    re.IGNORECASE,
)
# A language that is run, read or carried by the program that is asked for.
_HANDLED_BEFORE = re.compile(
    r"\b(?:runn?|execut|call|invok|embed|pars|evaluat|compil|minif|format|inject|load|highlight|interpret)(?:e|es|ed|ing|s|y|ies|ied)?\s+(?:(?:a|an|the|some|any|your|my|this)\s+)?[`*\"']*$"
    r"|(?:执行|執行|运行|運行|调用|調用|嵌入|解析|编译|編譯|加载|載入|注入)(?:一段|一个|一個)?\s*[`*\"']*$",
    re.IGNORECASE,
)
_HANDLED_BEHIND = re.compile(
    r"[`*\"']*\s*(?:の?(?:コード|関数|プログラム)を(?:実行|評価|解析)|(?:코드|함수|프로그램)(?:를|을)\s*(?:실행|평가|분석)"
    r"|-?(?:Programme?|Codes?|Skripte?)\s+(?:(?:\w+ ){0,3})(?:aus(?:zu)?führ|ausgeführt|einbett|einzubett|pars|kompilier)|kod(?:u|unu|ları)\s+(?:çalıştır|yürüt))",
    re.IGNORECASE,
)
# The arguments of a call that the request shows: "stringToList(\"python programming\")".
_ARGUMENT = re.compile(r"(?<=[(\[,=])(\s*)(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}')(?=\s*[),\]])")
_DESCRIBES = re.compile(r"(?<!be )\b(?:written|implemented|built|coded|developed)\b[^.!?\n]{0,30}$", re.IGNORECASE)
_REQUEST_BEHIND = re.compile(
    r"[`*\"']*\s*(?:\d[\d.]*\s*)?(?:(?:\w+ ){0,2}(?:program|function|code|script|class|method|snippet|command|app|application)s?\b(?! calls?\b)"
    r"|-?(?:Programm|Funktion|Code|Skript|Klasse|Methode)|代码|代碼|程序|程式|函数|函數|脚本|编写|写|實現|实现"
    r"|で|の?(?:コード|関数|プログラム)|으?로|\s*(?:코드|함수|프로그램)"
    r"|['’][dt][ae]\b|\s*(?:ile|dilinde|kullanarak|kodu|fonksiyonu|programı|sınıfı)\b)",
    re.IGNORECASE,
)
_TONGUE = r"(?<![A-Za-z0-9_])(C|R|Go)\s?(?:语言|語言|言語|언어)"
_ONE_LETTER = re.compile(rf"\b(?:in|using) (C|R)\b(?![+#])|\b(C|R) (?:program|function|code|language)\b|{_TONGUE}")
_ONE_LETTER_REQUEST = re.compile(
    r"\b(?:in|using) (C|R)\b(?![+#])|\b(?i:an?|some|write|create|give|provide|develop|generate)(?: [a-z]+)? (C|R) (?:program|function|code)\b(?! calls?\b)"
    rf"|(?:用|使用|以)\s*{_TONGUE}|{_TONGUE}(?:编写|編寫|で|로)"
)
_TWO_WORDS = re.compile(r"\b(java|type)[ -]script\b", re.IGNORECASE)
_SCRIPT_LIBRARY = re.compile(r"\w\.js\b", re.IGNORECASE)  # React.js, Three.js
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


def requests_language(instruction: str, language: str) -> bool:
    """Whether an instruction asks for a language by its name ("in Java", "a Java method", "\u7528Java"), or only mentions it."""
    text = _prose(instruction)
    return any(
        _ENGLISH_NAMES[match[1].lower()] == language
        and match[1].lower() not in _FRAMEWORKS | {"c", "r"}
        and (_REQUEST_BEFORE.search(before := text[max(0, match.start() - 60) : match.start()]) or _REQUEST_BEHIND.match(text[match.end() : match.end() + 60]))
        and not _DESCRIBES.search(before)
        and not _HANDLED_BEFORE.search(before)
        and not _HANDLED_BEHIND.match(text[match.end() : match.end() + 60])
        for match in _NAMED.finditer(text)
    ) or any(match[match.lastindex or 0].lower() == language for match in _ONE_LETTER_REQUEST.finditer(text))  # fmt: skip


def mentioned_languages(instruction: str) -> set[str]:
    """All languages that an instruction names, by their own names or those of frameworks."""
    text = _prose(instruction)
    named = {_ENGLISH_NAMES[word] for word in {m[1].lower() for m in _NAMED.finditer(text)} - {"c", "r", "go"}}
    return named | ({"javascript"} if _SCRIPT_LIBRARY.search(text) else set())


def check_language(response: str, instruction: str) -> Verdict:
    """The code is in another language than the instruction asks for: it parses in the one and not in the other.

    It fails where the instruction asks for a language by its name and gives no code of the answer's; where it only mentions one, or
    names a framework, that is doubtful.

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
    given = {LABELS.get(b.language, b.language) or guess_language(b.code) for b in code_blocks(instruction)[:MOST_GUESSED]}
    given.add(guess_language(without_blocks(instruction)))  # code to be used, or to be turned into another language
    given |= mentioned_languages(instruction)
    sure = requests_language(instruction, asked) and len(languages) == 1 and language not in given
    return Verdict(
        "failed" if sure else "doubtful",
        "wrong language",
        f"asked for {asked}, answered in {language}: {clip(first)!r}",
    )


def _is_other(asked: str, language: str, code: str, labelled: bool) -> bool:
    """Whether the asked language's parser refuses the code, and the other's takes it, or its label or its signs name it."""
    parsed = {"python", *GRAMMAR_LANGUAGES}
    if asked in parsed and fault(asked, code) is None:
        return False
    if language in parsed and fault(language, code) is not None:
        return guess_language(code, 3) == language
    return language in parsed or labelled or guess_language(code) == language

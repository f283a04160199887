"""Which programming language a piece of code is in, which one an instruction asks for, and whether the code parses.

Python is read by `ast`, the others by tree-sitter (`codeact.grammars`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from codeact.curate.needles import Screen, screen
from codeact.grammars import GRAMMARS, grammar_parser
from codeact.parsing import parse_or_error

LABELS: Mapping[str, str] = {
    "python": "python", "py": "python", "python3": "python", "py3": "python", "java": "java", "javascript": "javascript", "js": "javascript",
    "jsx": "javascript", "node": "javascript", "nodejs": "javascript", "typescript": "typescript", "ts": "typescript", "tsx": "typescript",
    "c": "c", "cpp": "cpp", "c++": "cpp", "cc": "cpp", "csharp": "csharp", "c#": "csharp", "cs": "csharp", "go": "go", "golang": "go",
    "rust": "rust", "rs": "rust", "php": "php", "ruby": "ruby", "rb": "ruby", "sql": "sql", "mysql": "sql", "postgresql": "sql",
    "sqlite": "sql", "plsql": "sql", "tsql": "sql", "bash": "bash", "sh": "bash", "shell": "bash", "zsh": "bash", "html": "html",
    "css": "css", "json": "json", "xml": "xml", "swift": "swift", "kotlin": "kotlin", "scala": "scala", "r": "r", "perl": "perl",
    "haskell": "haskell", "matlab": "matlab", "vb": "vb", "lua": "lua", "dart": "dart", "objective-c": "objective-c",
}  # fmt: skip
"""Fence label -> language."""

GRAMMAR_LANGUAGES = frozenset(GRAMMARS)

# Fragments are common in answers: what a snippet may be put into before it counts as broken.
_FRAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "java": (("class A {\n", "\n}"), ("class A { void f() {\n", "\n} }")),
    "csharp": (("class A {\n", "\n}"), ("class A { void F() {\n", "\n} }")),
    "c": (("void f() {\n", "\n}"),),
    "cpp": (("void f() {\n", "\n}"), ("class A {\n", "\n};")),
    "go": (("package a\nfunc f() {\n", "\n}"),),
    "rust": (("fn f() {\n", "\n}"),),
    "javascript": (
        ("class A {\n", "\n}"),
        ("function f() {\n", "\n}"),
        ("(", "\n)"),
        ("async function f() {\n", "\n}"),
    ),
    "typescript": (("class A {\n", "\n}"), ("function f() {\n", "\n}"), ("(", "\n)")),
    "php": (("<?php class A {\n", "\n}"),),
}
_RELATED: Mapping[str, tuple[str, ...]] = {
    "javascript": ("typescript",),
    "c": ("cpp",),
    "cpp": ("c",),
    "typescript": ("javascript",),
}

_LOOK, _LOOK_LINE = 20_000, 300
MOST_GUESSED = 1_000
"""Blocks of one answer whose language is guessed where their fences do not say it."""

# Lines that few other languages have; each counts once, so that length does not decide.
SIGNS: Mapping[str, tuple[str, ...]] = {
    "python": (
        r"^[ \t]*def \w+\(.*\)\s*(?:->.*)?:", r"^[ \t]*(?:if|elif|while|for|else|try|except|with)\b[^{;]*:\s*(?:#.*)?$", r"^[ \t]*(?:from [\w.]+ )?import [\w., *]+$",
        r"^[ \t]*class \w+(?:\(.*\))?:", r"\bself\.", r"^[ \t]*print\(.*\)\s*(?:#.*)?$", r"\blen\(", r"\b(?:None|True|False)\b", r"\bfor \w+ in \w",
    ),
    "java": (
        r"\bpublic (?:static |final |abstract )*(?:void|int|String|class|interface|boolean|double|List|long)\b", r"System\.out\.print", r"^import java[x.]",
        r"\bString(?:\[\])? \w+", r"\bnew (?:ArrayList|HashMap|Scanner|StringBuilder)\b",
        r"\b(?:public|private|protected) (?:static |final )*\w+(?:<.*>|\[\])? \w+\s*[(;=]",
        r"^[ \t]*@Override", r"\bfinal \w+ \w+ =",
    ),
    "javascript": (
        r"\bfunction\b\s*\w*\s*\(", r"\b(?:const|let) \w+\s*=", r"\b(?:const|let) [\[{]",
        r"=>\s*[{(\w]", r"console\.log\(", r"\bdocument\.\w+", r"\bvar \w+\s*=", r"===|!==",
        r"\brequire\(['\"]", r"\.(?:addEventListener|forEach|querySelector)\(", r"\$\(['\"#.]",
    ),
    "typescript": (
        r"\b(?:const|let|var) \w+\s*:\s*\w+", r"\binterface \w+ \{", r"\)\s*:\s*(?:number|string|boolean|void|Promise)\b",
        r"\w\s*:\s*(?:number|string|boolean)\b",
    ),
    "cpp": (
        r"#include\s*<(?:iostream|vector|string|algorithm|map|bits/)", r"\bstd::", r"\bcout\s*<<", r"\bcin\s*>>", r"using namespace std",
        r"\b(?:vector|map|unordered_map)<", r"\btemplate\s*<",
    ),
    "c": (
        r"#include\s*<(?:stdio|stdlib|string|math|ctype)\.h>", r"\bprintf\(", r"\bscanf\(", r"\bint main\s*\((?:void|int argc.*)?\)",
        r"\bstruct \w+\s*[{*]", r"\bmalloc\(", r"\bchar\s*\*?\s*\w+\[",
    ),
    "csharp": (
        r"\bConsole\.(?:Write|Read)", r"^using System", r"\bnamespace \w+", r"\bstatic void Main\(", r"\bstring\[?\]? \w+\s*[=,)]",
        r"\{ get; (?:private )?set; \}", r"\bpublic (?:static )?(?:string|bool) \w+",
    ),
    "go": (r"^package \w+", r"\bfunc (?:\(\w+ \*?\w+\) )?\w+\(.*\).*\{", r":=", r"\bfmt\.\w+", r"^import \(?\s*\"?"),
    "rust": (r"\bfn \w+.*\{", r"\blet mut\b", r"\bprintln!\(", r"\bimpl\b", r"->\s*(?:Option|Result|i32|u32|String|bool|usize)", r"\buse std::"),
    "php": (r"<\?php", r"^[ \t]*\$\w+\s*=", r"\becho\b", r"\$this->", r"\bfunction \w+\(\$", r"\$_(?:POST|GET|SESSION|SERVER)"),
    "ruby": (r"^[ \t]*def \w+[?!]?(?:\(.*\))?\s*$", r"^[ \t]*end\s*$", r"\bputs\b", r"\bdo \|", r"\.each\b", r"\battr_(?:accessor|reader)\b", r"\brequire '", r"\bnil\b"),
    "sql": (
        r"\bSELECT\b.*", r"^[ \t]*(?:FROM|WHERE|GROUP BY|ORDER BY|HAVING)\b", r"\bCREATE (?:TABLE|DATABASE|PROCEDURE|TRIGGER|VIEW|INDEX)\b", r"\bINSERT INTO\b",
        r"^[ \t]*UPDATE \w+", r"\b(?:INNER|LEFT|RIGHT) JOIN\b", r"\bVARCHAR\b", r"\bDELETE FROM\b",
    ),
    "bash": (
        r"^#!.*\b(?:ba|z)?sh", r"^[ \t]*(?:fi|done|esac)\s*$", r"\bthen\s*$", r"\becho \"?\$",
        r"^[ \t]*(?:sudo|grep|awk|sed|chmod|mkdir|ls|cd|curl|find|apt|rm|cat)\s",
    ),
    "html": (
        r"<(?:html|div|body|head|p|ul|table|form|script|h[1-6]|button|input|span|a|img)\b[^<>]*>", r"</(?:html|div|body|head|p|ul|table|form|script)>",
        r"<!DOCTYPE",
    ),
    "css": (
        r"^[ \t]*[.#]?[\w-]+(?:[ ,>:.#][\w-]+)*\s*\{\s*$",
        r"^[ \t]*(?:color|margin|padding|font-size|background(?:-color)?|width|height|display|border)\s*:\s*[^;]+;",
    ),
    "swift": (
        r"\bfunc \w+\(.*\)\s*(?:->.*)?\{", r"\bvar \w+\s*:\s*(?:Int|String|\[)", r"\blet \w+\s*(?::\s*\w+)?\s*=", r"\bprint\(\"", r"\bguard let\b",
        r"^import (?:UIKit|Foundation|SwiftUI)",
    ),
    "kotlin": (r"\bfun \w+\(.*\).*[{=]", r"\bval \w+\s*=", r"\bprintln\(", r":\s*(?:Int|String|List<)"),
    "r": (r"<-\s", r"\blibrary\(", r"\bdata\.frame\("),
    "perl": (r"\bmy [$@%]\w+", r"\buse strict", r"\bsub \w+\s*\{"),
    "haskell": (r"^\w+ ::", r"\bwhere\s*$", r"^module \w+"),
    "vb": (r"^[ \t]*(?:Dim|Sub|End Sub|End If|Public Sub|Private Sub|MsgBox)\b",),
}  # fmt: skip
TELLING = frozenset(SIGNS)
"""Languages that `guess_language` can tell."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a parser stopped: 1-based line of the code, and what it says."""

    line: int
    message: str


@lru_cache(maxsize=8)  # several checks ask the same of one answer
def guess_language(code: str, least: int = 2) -> str:
    """The language whose signs a piece of code shows most, at least `least` and more than any other's; else "".

    Only the beginning of a long text is looked at, and of long lines (data, minified code) their beginnings.
    """
    if len(code) < 2:
        return ""
    lines = code[:_LOOK].split("\n")
    code = "\n".join(line[:_LOOK_LINE] for line in lines) if max(map(len, lines)) > _LOOK_LINE else code[:_LOOK]
    may: dict[str, list[int]] = {}
    languages, signs = _signs()
    for at in signs.candidates(code):
        may.setdefault(languages[at], []).append(at)
    first = second = (0, "")
    for language in sorted(may, key=lambda name: -len(may[name])):
        if len(may[language]) < max(least, second[0]):
            break  # none that is left can be among the first two
        shown = _count_shown(signs, may[language], code, max(least, second[0])), language
        if shown > first:
            first, second = shown, first
        elif shown > second:
            second = shown
    if first[0] < least:
        return ""
    if first[0] == second[0]:
        return first[1] if {first[1], second[1]} <= {"c", "cpp"} else ""
    return first[1]


def _count_shown(signs: Screen, may: Sequence[int], code: str, needed: int) -> int:
    """How many of the signs that may be there the code shows; 0 as soon as it cannot be as many as needed."""
    shown, left = 0, len(may)
    for at in may:
        if shown + left < needed:
            return 0
        shown += signs.matches(at, code)
        left -= 1
    return shown


@lru_cache(maxsize=1)
def _signs() -> tuple[tuple[str, ...], Screen]:
    """Of each sign its language, and the signs."""
    each = [(language, re.compile(sign, re.MULTILINE)) for language, signs in SIGNS.items() for sign in signs]
    return tuple(language for language, _ in each), screen([pattern for _, pattern in each])


def fault(language: str, code: str) -> Fault | None:
    """What stops the language's parser, or None. A fragment (a method without its class) is no fault.

    Args:
        language: "python" or one of `GRAMMAR_LANGUAGES`.

    Raises:
        MissingExtraError: the grammar is not installed.
    """
    if language == "python":
        return _python_fault(code)
    # without its opening tag PHP is plain text, which always parses
    opened = code if language != "php" or "<?" in code else f"<?php {code}"
    first = _tree_fault(language, opened)
    if first is None:
        return None
    attempts: list[tuple[str, str]] = [(language, before + code + after) for before, after in _FRAMES.get(language, ())]
    attempts += [(other, code) for other in _RELATED.get(language, ())]
    return None if any(_tree_fault(name, text) is None for name, text in attempts) else first


def _python_fault(code: str) -> Fault | None:
    found = parse_or_error(code)
    if isinstance(found, ast.Module):
        return None
    if isinstance(found, SyntaxError):
        return Fault(found.lineno or 1, found.msg)
    return Fault(1, str(found) or type(found).__name__)


def _tree_fault(language: str, code: str) -> Fault | None:
    tree = grammar_parser(language, f"checking the syntax of {language}").parse(code.encode("utf-8", "replace"))
    node = tree.root_node
    if not node.has_error:
        return None
    while True:
        inner = next((child for child in node.children if child.has_error or child.is_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
        if node.is_error or node.is_missing:
            break
    what = f"missing {node.type!r}" if node.is_missing else "cannot be parsed"
    return Fault(int(node.start_point[0]) + 1, what)

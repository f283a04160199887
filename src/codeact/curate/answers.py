"""Is the answer whole, and is it an answer? Other languages' syntax, answers cut off, refusals, the wrong language."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from codeact.curate.blocks import Block, code_blocks, python_evidence
from codeact.curate.languages import (
    COMPATIBLE,
    GRAMMAR_LANGUAGES,
    LABELS,
    TELLING,
    Brackets,
    asked_language,
    brackets,
    fault,
    guess_language,
)
from codeact.curate.verify import MAX_CODE_CHARS, NOTHING_TO_CHECK, PASSED, Verdict

PROGRAMMING = frozenset(
    {
        "python",
        "java",
        "javascript",
        "typescript",
        "c",
        "cpp",
        "csharp",
        "go",
        "rust",
        "php",
        "ruby",
        "swift",
        "kotlin",
        "perl",
        "r",
        "scala",
    }
)
"""Languages that "write it in X" can be wrong about; SQL, shell, HTML and CSS come along with others."""

_NO_BRACKET_RULE = frozenset(
    {
        "bash",
        "haskell",
        "regex",
        "text",
        "plaintext",
        "markdown",
        "output",
        "diff",
        "xml",
        "tex",
        "latex",
        "lisp",
        "scheme",
        "matlab",
    }
)
_CODE_LINE = re.compile(
    r".*[;{}:)\],]\s*(?:(?://|#|--).*)?|\s*[\w.$\[\]'\"]+\s*[-+*/]?=\s*\S.*|\s*(?:return|import|from"
    r"|SELECT|FROM|WHERE|def|function|class|end|else|print|echo|puts|var|let|const)\b.*"
    r"|\s*<[/!]?\w.*>\s*|\s*(?:#|//|/\*|\*|--).*"
)
_SENTENCE = re.compile(r"[A-Z\"'`*(].*\s\w+.*[.:!?]\s*")
_LEFT_OUT = re.compile(r"\.\.\.|\u2026")
_LAST_OPERATOR = re.compile(
    r"(?:[,=+*/&|<([{\\]|(?<![-\w])-|\b(?:and|or|not|in|is|SELECT|FROM|WHERE|AND|OR|JOIN|ON|BY|SET|VALUES|INTO"
    r"|new|def|function|class|import|return if|elif|const|let|var|public|private))$"
)
_FULL_STOP = re.compile(r".*[.!?:;)\]}>\"'`*_|\u2026\u3002\uff1a~/=-]|.*https?://\S+|.*\d[%)]?")
_WORDS = re.compile(r"[A-Za-z][a-z']*")
_BRACES = frozenset({"java", "javascript", "typescript", "c", "cpp", "csharp", "php", "rust", "go", "swift", "kotlin"})
_LONE_WORDS = re.compile(r"\s*(?!return$|break$|continue$|end$|else$)[A-Za-z_][\w.]*(?: [A-Za-z_]\w*){0,3}")
_HALF_CLAUSE = re.compile(r"\b(?:WHERE|AND|OR|ON|HAVING)\s+[\w.]+$|\bJOIN\s+\w+(?:\s+\w+)?$")
_SELECT_LIST = re.compile(r"\s*SELECT\s+\w+(?:\.\w+)?\s*(?:,|\(.*\)\s+AS\b)", re.IGNORECASE)
_FOR_WITHOUT_COLON = re.compile(r"\s*(?:for \w+ in [\w.(]+|def \w+(?:\([\w, ]*)?|while \w+)")
_LAST_WORD = re.compile(r"\b(?:return|break|continue|end|else)$")
_PAIRED_TAGS = ("html", "head", "body", "div", "ul", "ol", "table", "form", "script", "style", "svg", "select")
_CODE_START = re.compile(
    r"(?:public|private|def|function|const|let|var|class|import|#include|using|package|func|fn|struct|static|int|void|async|<\?php|<!DOCTYPE|<\w+)\b.*[({=;:.<>]"
)
_QUERY_START = re.compile(
    r"\s*(?:SELECT|FROM|WHERE|GROUP|ORDER|INSERT|UPDATE|DELETE|CREATE|JOIN|HAVING|LIMIT|ALTER|DROP)\b"
)
_LIST_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\d+[.)]|[A-Za-z][.)])\s+.*|\s*\|.*|\s*#+ .*|.*\t.*")
_MIDDLE_WORDS = frozenset(
    "a an the of to in for and or with by from at on is are was were be that which this these its as into than then if when where while "
    "but so not can will would should could may must has have using your our their it we you each any all".split()
)
_REFUSAL = re.compile(
    r"\s*(?:I'm sorry,? but|I am sorry,? but|Sorry,? (?:but )?I(?:'m| am)? (?:can(?:not|'t)|unable|not able)|Unfortunately,? I (?:can(?:not|'t)|am)|"
    r"As an AI(?: language)?(?: model)?,? (?:I |it)|I(?:'m| am) (?:unable|not able) to|I can(?:not|'t) (?:provide"
    r"|help|assist|write|create|complete|generate|fulfill|execute|access|see|view|display|show|draw|"
    r"directly|physically|do|answer|give|perform|produce|make|fulfil|render)|"
    r"I apologi[sz]e,? but|I do(?:n't| not) have (?:the (?:ability|capability)|access|enough))",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"(?:<?no ?(?:input|output|code|response|answer)(?: (?:needed|required|provided))?>?|n/?a|none|null|todo|tbd|undefined|\.+|-+|"
    r"(?:#|//)?\s*(?:your|insert|add|write) (?:\w+ )?(?:code|answer|solution)(?: \w+)? here|"
    r"(?:#|//)\s*(?:todo|code goes here).*|pass|answer|output|response|here(?: is|'s) the (?:code|answer|solution)|see (?:above|below)|not applicable)[.:!]?",
    re.IGNORECASE,
)


def check_grammars(response: str) -> Verdict:
    """The syntax of the code that is not Python: by its grammar where there is one, and by its brackets in any language.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    blocks = code_blocks(response)
    if not blocks:
        return _check_bare(response)
    seen = NOTHING_TO_CHECK
    for block in blocks:
        verdict = _check_block(block)
        if verdict.status == "failed":
            return verdict
        if verdict.status == "passed":
            seen = verdict
    return seen


def _check_block(block: Block) -> Verdict:
    label = LABELS.get(block.language, block.language)
    if label == "python" or not block.code.strip() or len(block.code) > MAX_CODE_CHARS:
        return NOTHING_TO_CHECK
    if not label:
        return _check_unlabelled(block.code, block.line)
    if label in GRAMMAR_LANGUAGES:
        found = fault(label, block.code)
        if found is None:
            return PASSED
        line = _line(block.code, found.line)
        # the grammars of SQL and of the shell know neither every dialect nor every expansion
        sure = label not in ("sql", "bash") or (label == "sql" and bool(brackets(block.code, label)))
        if not sure or _LEFT_OUT.search(line):
            return Verdict("unknown", "left-out code" if sure else f"{label} that the grammar does not know", line)
        return Verdict(
            "failed", "syntax error", f"line {block.line + found.line - 1}: {label} {found.message}: {line!r}"
        )
    if label in _NO_BRACKET_RULE:
        return NOTHING_TO_CHECK
    return _bracket_verdict(brackets(block.code, label), block.code, block.line)


def _check_unlabelled(code: str, first: int) -> Verdict:
    if python_evidence(code) == 2 or not _is_code(code):
        return NOTHING_TO_CHECK
    language = guess_language(code)
    if language in _NO_BRACKET_RULE or language == "python":
        return NOTHING_TO_CHECK
    found = brackets(code, language)
    if not language:  # a `#` or a `//` may open a comment or not: both readings must agree
        found = found if brackets(code, "python") else Brackets(0, False, 0, "")
        return _bracket_verdict(found, code, first) if found else NOTHING_TO_CHECK
    return _bracket_verdict(found, code, first)


def _check_bare(text: str) -> Verdict:
    """An answer without a fence, where most of its lines are code and none is a sentence of its own."""
    if len(text) > MAX_CODE_CHARS or python_evidence(text):
        return NOTHING_TO_CHECK
    return _check_unlabelled(text, 1)


def _bracket_verdict(found: Brackets, code: str, first: int) -> Verdict:
    if not found:
        return PASSED
    line = _line(code, found.line)
    if _LEFT_OUT.search(code):
        return Verdict("unknown", "left-out code", line)
    what = "without a partner" if found.stray else "never closed"
    return Verdict("failed", "syntax error", f"line {first + found.line - 1}: {found.symbol!r} {what}: {line!r}")


def _line(code: str, number: int) -> str:
    lines = code.split("\n")
    return lines[min(number, len(lines)) - 1].strip()[:120]


def _is_code(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not re.search(r"[=;{}()<>]", text):
        return False
    code = sum(_CODE_LINE.fullmatch(line) is not None and not _is_sentence(line) for line in lines)
    return code >= 0.6 * len(lines)


def _is_sentence(line: str) -> bool:
    words = _WORDS.findall(line)
    return (
        len(words) >= 5
        and _SENTENCE.fullmatch(line.strip()) is not None
        and sum(w in _MIDDLE_WORDS for w in words) >= 2
    )


def check_complete(response: str) -> Verdict:
    """Refusals, empty and stock answers, and answers that end in the middle of a line of code or of a sentence."""
    text = response.strip()
    if _REFUSAL.match(text) and (not code_blocks(text) or len(text) < 200):
        return Verdict("failed", "refusal", _clip(text))
    if not re.search(r"\w", text) or _BOILERPLATE.fullmatch(text):
        return Verdict("failed", "empty answer", _clip(text))
    blocks = code_blocks(response)
    if blocks and not blocks[-1].closed and blocks[-1].code.strip():
        last = blocks[-1].code.strip().rpartition("\n")[2]
        return Verdict(
            "failed",
            "truncated fence",
            f"line {blocks[-1].line - 1}: the fence is never closed; it ends with {_clip(last)!r}",
        )
    tail = text.split("\n")[-1].rstrip()
    if blocks:
        after = "\n".join(response.split("\n")[blocks[-1].line + blocks[-1].code.count("\n") + 1 :]).strip()
        before = "\n".join(response.split("\n")[: blocks[-1].line - 2])
        return _prose_end(tail, f"{before}\n{after.rpartition(chr(10))[0]}", least=1) if after else PASSED
    if python_evidence(text) == 2 or _is_code(text) or _CODE_START.match(text) or _QUERY_START.match(text):
        return _code_end(text, tail)
    return _prose_end(tail, text.rpartition("\n")[0], least=2)


def _code_end(text: str, tail: str) -> Verdict:
    """Code without a fence that ends with an operator, a keyword that needs more, an open bracket or a lone word."""
    cut = Verdict("failed", "cut off", f"it ends with {_clip(tail)!r}")
    language = "python" if python_evidence(text) == 2 else "bash" if text.startswith("#!") else guess_language(text, 1)
    bare = re.sub(r"\s+(?://|#|--)\s.*", "", tail) or tail
    if language == "bash":
        return cut if _ends_inside_shell(text) else PASSED
    if language in ("html", "xml"):
        return cut if _ends_inside_markup(text) else PASSED
    if language != "css" and _LAST_OPERATOR.search(bare) and not re.search(r"(?:\+\+|--|/>|\*/|=>)$", bare):
        return cut
    if language == "python":
        return cut if _ends_with_lone_name(text) or _ends_with_remark(text, tail) or _does_nothing(text) else PASSED
    open_end = language in _BRACES and bare[-1].isalnum() and not _LAST_WORD.search(bare)
    if open_end and (_LONE_WORDS.fullmatch(tail) or len(re.findall(r";[ \t}]*$", text, re.MULTILINE)) >= 2):
        return cut
    if _FOR_WITHOUT_COLON.fullmatch(tail) and language in ("", "python"):
        return cut
    if language == "sql" and (
        _HALF_CLAUSE.search(text) or (_SELECT_LIST.match(text) and not re.search(r"\bFROM\b", text, re.IGNORECASE))
    ):
        return cut
    if language not in _NO_BRACKET_RULE and not _LEFT_OUT.search(text):
        found, other = brackets(text, language), brackets(text, "python")
        if found.unclosed and not found.stray and (language or other.unclosed):
            return cut
    return PASSED


def _ends_inside_markup(text: str) -> bool:
    if re.search(r"<[^<>]*$", text):
        return True
    return any(len(re.findall(rf"<{tag}\b", text)) > len(re.findall(rf"</{tag}\s*>", text)) for tag in _PAIRED_TAGS)


def _ends_inside_shell(text: str) -> bool:
    words = re.findall(
        r"(?<![\w$-])(?:if|fi|do|done|case|esac)(?![\w-])", re.sub(r"#.*|\"(?:[^\"\\]|\\.)*\"|'[^']*'", "", text)
    )
    pairs = (("if", "fi"), ("do", "done"), ("case", "esac"))
    return (
        any(words.count(a) > words.count(b) for a, b in pairs)
        or text.rpartition("\n")[2].replace('\\"', "").count('"') % 2 == 1
    )


def _ends_with_remark(text: str, tail: str) -> bool:
    """A last line that announces code which does not come: an indented comment that is no result."""
    return (
        tail[:1].isspace()
        and tail.lstrip().startswith("#")
        and not re.search(r"\d|output|return|print|result|=|\.$", tail, re.IGNORECASE)
    )


def _ends_with_lone_name(code: str) -> bool:
    """Whether the last statement of Python code is a name, inside a block or below a definition: `    new_`."""
    try:
        body: Sequence[ast.stmt] = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    depth, statements = 0, len(body)
    while body:
        last = body[-1]
        inner = getattr(last, "orelse", None) or getattr(last, "finalbody", None) or getattr(last, "body", None)
        if not isinstance(inner, list) or not inner:
            value = last.value if isinstance(last, ast.Expr) else None
            lone = isinstance(value, ast.Name) or (isinstance(value, ast.Attribute) and depth > 0)
            return lone and (depth > 0 or (statements > 1 and _is_new(value, code)))
        body, depth = inner, depth + 1
    return False


def _is_new(value: ast.expr | None, code: str) -> bool:
    """A name that stands nowhere else in the code is half a word; one that does may show a value, as in a notebook."""
    return isinstance(value, ast.Name) and len(re.findall(rf"\b{re.escape(value.id)}\b", code)) == 1


_EFFECTS = (
    ast.Return, ast.Yield, ast.YieldFrom, ast.Raise, ast.Assert, ast.Global, ast.Nonlocal, ast.Delete, ast.Attribute, ast.Pass, ast.With, ast.Import,
    ast.ImportFrom, ast.ClassDef, ast.Await, ast.Try,
)  # fmt: skip


def _does_nothing(code: str) -> bool:
    """Whether Python code ends with a function that computes but neither gives, stores nor prints anything."""
    try:
        last = ast.parse(code).body[-1]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return False
    if not isinstance(last, ast.FunctionDef) or not any(
        isinstance(node, ast.Assign | ast.AugAssign) for node in ast.walk(last)
    ):
        return False
    return not any(
        isinstance(node, _EFFECTS) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Name))
        or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store))
        for node in ast.walk(last)
    )  # fmt: skip


def _prose_end(tail: str, above: str, least: int) -> Verdict:
    """A last line that ends within a sentence: no stop where the lines above end with one, or a joining word at its end.

    `least` lines above of five words or more must show that this text ends its lines with stops.
    """
    words = tail.split()
    cut = Verdict("failed", "cut off", f"it ends with {_clip(tail[-100:])!r}")
    if not words or _QUERY_START.match(tail):
        return PASSED
    if tail.replace("```", "").count("`") % 2 == 1 and len(words) >= 4:
        return cut
    if _FULL_STOP.fullmatch(tail) or _LIST_ITEM.fullmatch(tail):
        item = len(words) >= 5 and not _FULL_STOP.fullmatch(tail) and words[0][0].isdigit() and _items_stop(above)
        return cut if item or (len(words) >= 4 and words[-1].lower() in _MIDDLE_WORDS) else PASSED
    stops = [line for line in above.split("\n") if len(line.split()) >= 5]
    if len(stops) >= least and all(_FULL_STOP.fullmatch(line.rstrip()) for line in stops) and words[0][:1].isupper():
        return cut
    joins = sum(word.lower().strip(",") in _MIDDLE_WORDS for word in words)
    return cut if len(words) >= 5 and joins else PASSED


def _items_stop(above: str) -> bool:
    """Whether the numbered items above, at least two, all end with a stop."""
    items = [line for line in above.split("\n") if re.match(r"\s*\d+[.)] ", line)]
    return len(items) >= 2 and all(_FULL_STOP.fullmatch(line.rstrip()) for line in items)


def check_language(response: str, instruction: str) -> Verdict:
    """The code is in another language than the instruction asks for: it parses in the one and not in the other.

    Raises:
        MissingExtraError: a grammar is not installed.
    """
    asked = asked_language(instruction)
    if asked not in PROGRAMMING & TELLING:
        return NOTHING_TO_CHECK
    blocks = [block for block in code_blocks(response) if block.code.strip()]
    pieces = [(LABELS.get(b.language, b.language), b.code) for b in blocks] or [("", response)]
    found: list[tuple[str, str]] = []
    for label, code in pieces:
        language = label if label in PROGRAMMING else "" if label else guess_language(code, 1)
        if label and label not in PROGRAMMING and label in COMPATIBLE.get(asked, ()):
            return PASSED
        if language:
            found.append((language, code))
    languages = {language for language, _ in found}
    if not languages & PROGRAMMING or asked in languages or languages & COMPATIBLE.get(asked, frozenset()):
        return PASSED if asked in languages else NOTHING_TO_CHECK
    language, code = max(found, key=lambda piece: len(piece[1]))
    if language not in PROGRAMMING or not _is_other(asked, language, code):
        return NOTHING_TO_CHECK
    first = next((line.strip() for line in code.split("\n") if line.strip()), "")
    return Verdict("failed", "wrong language", f"asked for {asked}, answered in {language}: {_clip(first)!r}")


def _is_other(asked: str, language: str, code: str) -> bool:
    """Whether the asked language's parser refuses the code (or its signs are absent), and the other's takes it."""
    parsed = {"python", *GRAMMAR_LANGUAGES}
    if asked in parsed and fault(asked, code) is None:
        return False
    if language in parsed and fault(language, code) is not None:
        return guess_language(code, 3) == language
    return language in parsed or guess_language(code) == language


def _clip(text: str, limit: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"

"""Is the answer whole, and is it an answer?"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from codeact.curate.answers import LEFT_OUT, MIDDLE_WORDS, NO_BRACKET_RULE, clip, is_code, is_sentence
from codeact.curate.blocks import code_blocks, python_evidence
from codeact.curate.endings import announces, unfinished, unfinished_code
from codeact.curate.languages import brackets, guess_language
from codeact.curate.verify import PASSED, Verdict

_LAST_OPERATOR = re.compile(
    r"(?:[,=+*/&|<([{\\]|(?<![-\w])-|\b(?:and|or|not|in|is|SELECT|FROM|WHERE|AND|OR|JOIN|ON|BY|SET|VALUES|INTO"
    r"|new|def|function|class|import|return if|elif|const|let|var|public|private))$"
)
_FULL_STOP = re.compile(r".*[.!?:;)\]}>\"'`*_|\u2026\u3002\uff1a~/=-]|.*https?://\S+|.*\d[%)]?")
_BRACES = frozenset({"java", "javascript", "typescript", "c", "cpp", "csharp", "php", "rust", "go", "swift", "kotlin"})
_LONE_WORDS = re.compile(r"\s*(?!return$|break$|continue$|end$|else$|End )[A-Za-z_][\w.]*(?: [A-Za-z_]\w*){0,3}")
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
_REFUSAL = re.compile(
    r"\s*(?:I'm sorry,? but|I am sorry,? but|Sorry,? (?:but )?I(?:'m| am)? (?:can(?:not|'t)|unable|not able)|Unfortunately,? I (?:can(?:not|'t)|am)|"
    r"As an AI(?: language)?(?: model)?,? (?:I |it)|I(?:'m| am) (?:unable|not able) to|I can(?:not|'t) (?:provide"
    r"|help|assist|write|create|complete|generate|fulfill|execute|access|see|view|display|show|draw|"
    r"directly|physically|do|answer|give|perform|produce|make|fulfil|render)|"
    r"It is (?:not possible|impossible) to (?:provide|determine|answer|give|tell|execute|say|predict)\b[^.]*\bwithout|"
    r"Please provide (?:me with )?(?:the|more|your|a)\b[^.]*\b(?:code|details|information|context|list|input|snippet)\b|"
    r"I apologi[sz]e,? but|I do(?:n't| not) have (?:the (?:ability|capability)|access|enough))",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"(?:<?no ?(?:input|output|code|response|answer)(?: (?:needed|required|provided))?>?|n/?a|none|null|todo|tbd|undefined|\.+|-+|"
    r"(?:#|//)?\s*(?:your|insert|add|write) (?:\w+ )?(?:code|answer|solution)(?: \w+)? here|"
    r"(?:#|//)\s*(?:todo|code goes here).*|pass|answer|output|response|here(?: is|'s) the (?:code|answer|solution)|see (?:above|below)|not applicable)[.:!]?",
    re.IGNORECASE,
)


def check_complete(response: str, instruction: str = "") -> Verdict:
    """Refusals, empty and stock answers, and answers that end in the middle of a line of code or of a sentence."""
    text = response.strip()
    if _REFUSAL.match(text) and (not code_blocks(text) or len(text) < 200):
        return Verdict("failed", "refusal", clip(text))
    if not re.search(r"\w", text) or _BOILERPLATE.fullmatch(text):
        return Verdict("failed", "empty answer", clip(text))
    blocks = code_blocks(response)
    if blocks and not blocks[-1].closed and blocks[-1].code.strip():
        last = blocks[-1].code.strip().rpartition("\n")[2]
        return Verdict(
            "failed",
            "truncated fence",
            f"line {blocks[-1].line - 1}: the fence is never closed; it ends with {clip(last)!r}",
        )
    if blocks:
        lines = response.split("\n")
        before = "\n".join(lines[: blocks[-1].line - 2])
        after = "\n".join(lines[blocks[-1].line + blocks[-1].code.count("\n") + 1 :]).strip()
        if re.fullmatch(r"[A-Za-z]+", after):
            return _cut(after, "one word after the code")
        return _prose_end(after, f"{before}\n", instruction, least=1) if after else PASSED
    if (
        text.startswith("#!")
        or python_evidence(text) == 2
        or is_code(text)
        or _CODE_START.match(text)
        or _QUERY_START.match(text)
    ):
        return _code_end(text, instruction)
    code = _code_below(text)
    verdict = _code_end(code, instruction) if code else PASSED
    return _prose_end(text, "", instruction, least=2) if verdict is PASSED else verdict


def _cut(tail: str, why: str = "") -> Verdict:
    return Verdict("failed", "cut off", f"it ends with {clip(tail[-100:])!r}{why and ': ' + why}")


def _code_below(text: str) -> str:
    """The Python below the last sentence of an answer without a fence, "" where there is none."""
    lines = text.split("\n")
    last = next((n for n in reversed(range(len(lines))) if is_sentence(lines[n]) and not lines[n][:1].isspace()), -1)
    code = "\n".join(lines[last + 1 :]).strip("\n")
    return code if python_evidence(code) == 2 else ""


def _code_end(text: str, instruction: str) -> Verdict:
    """Code without a fence that ends with an operator, a keyword that needs more, an open bracket or a lone word."""
    tail = text.split("\n")[-1].rstrip()
    cut = _cut(tail)
    language = "python" if python_evidence(text) == 2 else "bash" if text.startswith("#!") else guess_language(text, 1)
    bare = re.sub(r"\s+(?://|#|--)\s.*", "", tail) or tail
    if language == "bash":
        return (
            cut if _ends_inside_shell(text) or announces(tail, text[: -len(tail)].rstrip(" \t")[:-1], "#") else PASSED
        )
    if why := unfinished_code(text, language, instruction):
        return _cut(tail, why)
    if language in ("html", "xml"):
        return cut if _ends_inside_markup(text) else PASSED
    if text.startswith("<") and not text.startswith("<?") and _ends_inside_markup(text):
        return cut
    if language in _BRACES and re.match(
        r"\s*(?://|/?\*|#)", tail
    ):  # a comment: what it prints, or code that does not come
        return PASSED
    if language != "css" and _LAST_OPERATOR.search(bare) and not re.search(r"(?:\+\+|--|/>|\*/|=>)$", bare):
        return cut
    if language == "python":
        return cut if _ends_with_lone_name(text) or _does_nothing(text) else PASSED
    open_end = language in _BRACES and bare[-1].isalnum() and not _LAST_WORD.search(bare)
    if open_end and (_LONE_WORDS.fullmatch(tail) or len(re.findall(r";[ \t}]*$", text, re.MULTILINE)) >= 2):
        return cut
    if _FOR_WITHOUT_COLON.fullmatch(tail) and language in ("", "python"):
        return cut
    if language == "sql" and (
        _HALF_CLAUSE.search(text) or (_SELECT_LIST.match(text) and not re.search(r"\bFROM\b", text, re.IGNORECASE))
    ):
        return cut
    if language not in NO_BRACKET_RULE and not LEFT_OUT.search(text):
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


def _ends_with_lone_name(code: str) -> bool:
    """Whether the last statement of Python code is a mere name in a block or below a definition (`    new_`), or a `return` without a value."""
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
            if isinstance(last, ast.Return) and last.value is None:
                return code.rstrip().endswith("return")
            lone = isinstance(value, ast.Name) or (isinstance(value, ast.Attribute | ast.Subscript) and depth > 0)
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


def _prose_end(text: str, before: str, instruction: str, least: int) -> Verdict:
    """A last line that ends within a sentence: no stop where the lines above end with one, or a joining word at its end.

    `least` lines above, in `before` and in the text, of five words or more must show that this text ends its lines with stops.
    """
    head, _, tail = text.rpartition("\n")
    above, tail = before + head, tail.rstrip()
    words = tail.split()
    cut = _cut(tail)
    if not words or _QUERY_START.match(tail):
        return PASSED
    if why := unfinished(tail, above, instruction):
        return _cut(tail, why)
    if _FULL_STOP.fullmatch(tail) or _LIST_ITEM.fullmatch(tail):
        return cut if len(words) >= 4 and words[-1].lower() in MIDDLE_WORDS else PASSED
    stops = [line for line in above.split("\n") if len(line.split()) >= 5]
    if len(stops) >= least and all(_FULL_STOP.fullmatch(line.rstrip()) for line in stops) and words[0][:1].isupper():
        return cut
    joins = sum(word.lower().strip(",") in MIDDLE_WORDS for word in words)
    return cut if len(words) >= 5 and joins else PASSED

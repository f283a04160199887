"""Is the answer whole, and is it an answer?"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from codeact.curate.answers import LEFT_OUT, NO_BRACKET_RULE, clip, is_code, is_sentence
from codeact.curate.blocks import code_blocks, python_evidence, without_blocks
from codeact.curate.brackets import brackets
from codeact.curate.endings import Ending, code_ending, prose_ending
from codeact.curate.languages import guess_language
from codeact.curate.verify import PASSED, Verdict, open_fence
from codeact.parsing import parse

_BRACES = frozenset({"java", "javascript", "typescript", "c", "cpp", "csharp", "php", "rust", "go", "swift", "kotlin"})
_LAST_OPERATOR = re.compile(
    r"(?:[,=+*/&|<([{\\]|(?<![-\w])-|\b(?:new|def|function|class|import|return if|elif|const|let|var|public|private))$"
)
_SHEBANG = re.compile(r"#!\s*/")  # Rust's attributes begin with `#![`
_HALF_QUERY = re.compile(
    r"(?:[,=<>(+*/]|\b(?:SELECT|FROM|WHERE|AND|OR|JOIN|ON|BY|SET|VALUES|INTO|LIKE|BETWEEN|HAVING|NOT|IN|UNION|MATCH|RETURN))$",
    re.IGNORECASE,
)
_PAIRED_TAGS = ("html", "head", "body", "div", "ul", "ol", "table", "form", "script", "style", "svg", "select")
_CODE_START = re.compile(
    r"(?:public|private|def|function|const|let|var|class|import|#include|using|package|func|fn|struct|static|int|void|async|<\?php|<!DOCTYPE|<\w+)\b.*[({=;:.<>]"
)
_QUERY_START = re.compile(
    r"\s*(?:SELECT|FROM|WHERE|GROUP|ORDER|INSERT|UPDATE|DELETE|CREATE|JOIN|HAVING|LIMIT|ALTER|DROP|WITH|MATCH|OPTIONAL MATCH|MERGE|CALL|UNWIND|RETURN)\b"
)
_SERVE = (
    "assist|help|provide|fulfil|fulfill|comply|answer|complete|generate|create|write|share|discuss|support|give|offer|access|see|view|"
    "process|engage|do (?:that|this)"
)
_UNABLE = rf"(?:can(?:not|'t(?= (?:\w+ )?(?:{_SERVE})\b))|am (?:unable|not able)|'m (?:unable|not able)|do(?:n't| not) have (?:the (?:ability|capability)|access|enough))"
_REFUSAL = re.compile(
    rf"\s*(?:(?:I'm|I am) sorry,? but (?:as an AI\b|I {_UNABLE})|Sorry,? (?:but )?I {_UNABLE}|Unfortunately,? I {_UNABLE}"
    rf"|As an AI(?: language)?(?: model)?,? I {_UNABLE}|I apologi[sz]e,? but I {_UNABLE}|I {_UNABLE} (?:to )?(?:provide|help|assist|complete|fulfil|access|see|view)"
    r"|It is (?:not possible|impossible) to (?:provide|determine|answer|give|tell)\b[^.]*\bwithout"
    r"|Please provide (?:me with )?(?:the|more|your|a)\b[^.]*\b(?:code|details|information|context|list|input|snippet)\b)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\b(?:however|here is|here's|here are|instead|but I can(?![\w'])|I can (?:help|offer|give|suggest|tell))\b", re.IGNORECASE)  # fmt: skip
_ASKS_FOR_WORDS = re.compile(
    r"\b(?:letter|message|e-?mails?|reply|response|excuse|apolog\w*|decline|refus\w*|dialog\w*|conversation|role|customer|sentence|translat\w*|rewrite|paraphrase)\b",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"<?no ?(?:input|output|code|response|answer)(?: (?:needed|required|provided))?>|no ?(?:input|output)|todo|tbd|[.\u2026]{1,6}|"
    r"(?:#|//)?\s*(?:your|insert|add|write) (?:\w+ )?(?:code|answer|solution)(?: \w+)? here[.:!]?|(?:#|//)\s*(?:todo|code goes here).*",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•]|\(?\w{1,2}[.):])\s+")
_KEYWORDS = re.compile(
    r"(?:(?:SELECT|FROM|WHERE|AND|OR|(?:LEFT|RIGHT|INNER|OUTER|FULL|CROSS) JOIN|JOIN|ON|ORDER BY|GROUP BY|PARTITION BY|SET|VALUES|INSERT INTO|INTO|"
    r"LIKE|BETWEEN|HAVING|NOT|NOT IN|IN|UNION|DELETE FROM|UPDATE|MATCH|RETURN)\W*){1,2}",
    re.IGNORECASE,
)
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


def check_complete(response: str, instruction: str = "") -> Verdict:
    """Empty and stock answers, refusals, and answers that end in the middle of a line of code or of a sentence.

    An answer fails where it is empty, or ends on a sign or word that nothing can end on: a comma, an article, an operator, an
    open tag, half a name. Weaker signs (an open bracket, no stop where all other sentences have one, a refusal) are doubtful.
    """
    text = response.strip().strip(_INVISIBLE).strip()
    if not text or (_BOILERPLATE.fullmatch(text[:200]) and not _is_choice(text, instruction)):
        return Verdict("failed", "empty answer", clip(text))
    blocks = code_blocks(text)
    if _is_refusal(text, instruction, fenced=bool(blocks)):
        return Verdict("doubtful", "refusal", clip(text))
    if blocks and not blocks[-1].closed and blocks[-1].code.strip():
        return open_fence(text, instruction)
    if blocks:
        lines = text.split("\n")
        after = "\n".join(
            lines[blocks[-1].line + (blocks[-1].code.count("\n") + 1 if blocks[-1].code else 0) :]
        ).strip()
        return (
            _verdict(after, prose_ending(after, without_blocks(text)[: -len(after)], instruction, after_code=True))
            if after
            else PASSED
        )
    if (
        _SHEBANG.match(text)
        or python_evidence(text) == 2
        or is_code(text)
        or _CODE_START.match(text)
        or _QUERY_START.match(text)
    ):
        return _code_end(text, instruction)
    code = _code_below(text)
    verdict = _code_end(code, instruction) if code else PASSED
    head, _, tail = text.rpartition("\n")
    ending = (code_ending(text, "", instruction) if head and len(tail.split()) == 1 else None) or prose_ending(
        tail, head, instruction
    )
    return _verdict(text, ending) if verdict is PASSED else verdict


def _is_choice(text: str, instruction: str) -> bool:
    """Whether the request lists an answer, as a line or between quotes: `.` may be the operator that is asked for."""
    return any(_ITEM.sub("", line).strip(" \t`\"'") == text for line in instruction.split("\n")) or any(
        f"{quote}{text}{quote}" in instruction for quote in "`'\""
    )


def _is_refusal(text: str, instruction: str, fenced: bool) -> bool:
    """Whether an answer says that it gives none. Others' words (an excuse asked for, a translation) are no refusal."""
    text = text.replace("\u2019", "'")
    if fenced or len(text) > 600 or not _REFUSAL.match(text):
        return False
    return not _GOES_ON.search(text) and not _ASKS_FOR_WORDS.search(instruction)


def _verdict(text: str, ending: Ending | None) -> Verdict:
    if ending is None:
        return PASSED
    tail = text.rstrip().rpartition("\n")[2]
    return Verdict(
        "failed" if ending.sure else "doubtful", "cut off", f"it ends with {clip(tail[-100:])!r}: {ending.why}"
    )


def _code_below(text: str) -> str:
    """The Python below the last sentence of an answer without a fence, "" where there is none."""
    lines = text.split("\n")
    last = next((n for n in reversed(range(len(lines))) if is_sentence(lines[n]) and not lines[n][:1].isspace()), -1)
    code = "\n".join(lines[last + 1 :]).strip("\n")
    return code if python_evidence(code) == 2 else ""


def _code_end(text: str, instruction: str) -> Verdict:
    """Code without a fence that ends with an operator, a keyword that needs more, an open bracket or a lone word."""
    tail = text.split("\n")[-1].rstrip()
    language = "python" if python_evidence(text) == 2 else "bash" if _SHEBANG.match(text) else guess_language(text, 1)
    if language == "bash":
        return _verdict(text, Ending("a part of the script is not closed", False) if _ends_inside_shell(text) else None)
    if language == "python":
        return _verdict(text, code_ending(text, language, instruction) or _python_end(text))
    if (text.startswith("<") and not text.startswith("<?")) or language in ("html", "xml"):
        return _verdict(text, _markup_end(text))
    if _KEYWORDS.fullmatch(text):  # the name of a clause is the answer
        return PASSED
    if language == "sql" or _QUERY_START.match(text):
        return _verdict(text, _query_end(tail))
    bare = re.sub(r"\s+(?://|#|--)\s.*", "", tail) or tail
    if re.match(r"\s*(?://|/?\*|#)", tail):  # a comment: what it prints, or code that does not come
        return PASSED
    if language in _BRACES and _LAST_OPERATOR.search(bare) and not re.search(r"(?:\+\+|--|/>|\*/|=>)$", bare):
        return _verdict(text, Ending("an operator", True))
    if language in _BRACES and not LEFT_OUT.search(text) and language not in NO_BRACKET_RULE:
        found = brackets(text, language)
        if found.unclosed and not found.stray:
            return _verdict(text, Ending("an open bracket", bare[-1:].isalnum()))
    if not language and brackets(text, "").unclosed and brackets(text, "python").unclosed and not LEFT_OUT.search(text):
        return _verdict(text, Ending("an open bracket", False))
    return _verdict(text, code_ending(text, language, instruction))


def _query_end(tail: str) -> Ending | None:
    line = tail[-500:]
    if _HALF_QUERY.search(line) and not line.endswith("*"):
        return Ending("half a clause", True)
    odd = line.count("'") % 2 == 1 and len(tail) <= 500 and not re.search("[\u2018\u2019]|\\w'\\w", line)
    return Ending("an open quote", False) if odd else None


def _markup_end(text: str) -> Ending | None:
    if re.search(r"</?[A-Za-z][^<>]*$", text[-500:]):
        return Ending("an open tag", True)
    if any(len(re.findall(rf"<{tag}\b", text)) > len(re.findall(rf"</{tag}\s*>", text)) for tag in _PAIRED_TAGS):
        return Ending("an element that is not closed", False)
    return None


def _ends_inside_shell(text: str) -> bool:
    words = re.findall(
        r"(?<![\w$-])(?:if|fi|do|done|case|esac)(?![\w-])",
        re.sub(r"#.*|\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'[^']*(?:'|\Z)", "", text),
    )
    pairs = (("if", "fi"), ("do", "done"), ("case", "esac"))
    return any(words.count(a) > words.count(b) for a, b in pairs)


def _python_end(code: str) -> Ending | None:
    """Python that parses and ends with half a name in a block, or with a function that does nothing."""
    tree = parse(code)
    body: Sequence[ast.stmt] = tree.body if tree is not None else ()
    if body and _does_nothing(body[-1]):
        return Ending("a function that gives nothing back", False)
    depth, statements = 0, len(body)
    while body:
        last = body[-1]
        inner = getattr(last, "orelse", None) or getattr(last, "finalbody", None) or getattr(last, "body", None)
        if not isinstance(inner, list) or not inner:
            value = last.value if isinstance(last, ast.Expr) else None
            if isinstance(value, ast.Name) and len(re.findall(rf"\b{re.escape(value.id)}\b", code)) == 1:
                return Ending("half a name", depth > 0) if depth > 0 or statements > 1 else None
            return None
        body, depth = inner, depth + 1
    return None


_EFFECTS = (
    ast.Return, ast.Yield, ast.YieldFrom, ast.Raise, ast.Assert, ast.Global, ast.Nonlocal, ast.Delete, ast.Attribute, ast.Pass, ast.With, ast.Import,
    ast.ImportFrom, ast.ClassDef, ast.Await, ast.Try,
)  # fmt: skip


def _does_nothing(last: ast.stmt) -> bool:
    """Whether a statement is a function that computes but neither gives, stores nor prints anything."""
    if not isinstance(last, ast.FunctionDef) or not any(
        isinstance(node, ast.Assign | ast.AugAssign) for node in ast.walk(last)
    ):
        return False
    return not any(
        isinstance(node, _EFFECTS) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Name))
        or (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store))
        for node in ast.walk(last)
    )  # fmt: skip

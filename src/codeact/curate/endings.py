"""Signs that a text stops before its end, each looked for in its last line: what was opened, announced or begun there."""

from __future__ import annotations

import ast
import re
import warnings

from codeact.curate.verify import MAX_CODE_CHARS, MAX_LINE_CHARS

_LONG = 500  # characters of the last line that are looked at: some of the patterns below take quadratic time
_STOP = re.compile(r".*(?:[.!?:;][\"'`)\]*_\u201d\u2019]*|[\u2026\u3002\uff01\uff1f\uff1a])\s*")
_ITEM = re.compile(
    r"\s*(?:(?P<bullet>[-*+\u2022])|(?P<number>\d+)[.)]|(?P<letter>[A-Za-z])[.)])(?:\s+(?P<text>\S.*)|\s*)"
)
_NEXT_SENTENCE = re.compile(r"[a-z\d`)\]]{2}[.!?] (?=[A-Z`])")
_HALF_SUM = re.compile(r"(?:^|[\w)\]] )[-+*/=<>&|^\u00d7\u00f7]$")
_TOKEN = re.compile(r"[A-Za-z_]\w*")
_LAST_TOKEN = re.compile(r"(?<![\w\\])[A-Za-z_]\w*$")
_HALF_CLAUSE = re.compile(
    r"\b(?:LIKE|IN|BETWEEN|NOT|AS|(?:WHERE|AND|OR)\s+\S+\s*[<>=]+|IS|HAVING|GROUP|ORDER|BY|LEFT|RIGHT|INNER)$",
    re.IGNORECASE,
)
_HALF_WORD = re.compile(r"[<>=]\s*(?!NULL|TRUE|FALSE|CURRENT|NOW|SYSDATE)[A-Z]{2,}$|\bWHERE\b[^;]*\s[A-Z]$")
_HALF_NAME = re.compile(r"\s*[A-Za-z]\w*_")
_STATEMENT_START = re.compile(r"\s*(?:for|while|if|elif|def|class|with|import|from|return)\s")
_RESULT = re.compile(r"(?<![A-Za-z_])\d|output|return|print|result|=|:\s*\S|[.)\]}:'\"]$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\b(?:do something|your code|code (?:to|that|here|goes)|rest of)\b", re.IGNORECASE)
_INFLECTION = re.compile(r"(?:e?s|e?d|ing|e?rs?|ly|y|'s|n|al|ment|ation|able|ful|ness|\w?ing|\w?ed|\w?er)$")


def unfinished(tail: str, above: str, asked: str = "") -> str:
    """Why the last line of a prose answer is no end, or "".

    Args:
        tail: the last line.
        above: the lines before it.
        asked: the instruction.
    """
    line = tail.rstrip()[-_LONG:]
    words = line.split()
    if not words:
        return ""
    if line.endswith((",", "\uff0c")):
        return "a comma"
    if re.fullmatch(r"\s*(?:\d+[.)]|[-+\u2022])", line):
        return "an empty item"
    if line.endswith(":") and not line.endswith("::"):
        return "a colon"
    if len(line) <= 2 and line.isalpha() and line.islower() and above.rstrip().endswith(":"):
        return "one letter below a colon"
    if _HALF_NAME.fullmatch(line):
        return "half a name"
    if len(words) >= 2 and _opens(line):
        return "an open bracket or quote"
    if _HALF_SUM.search(line) and not re.fullmatch(r"[\W_]+", line):
        return "an operator"
    if _STOP.fullmatch(line):
        return ""
    if len(words) >= 3 and _items_stop(line, above):
        return "an item without the stop of the others"
    shown = above.rstrip().endswith(":")  # a program's output ends as it likes
    if _NEXT_SENTENCE.search(line) and not shown and not re.search(r"https?://\S+$|[]>)}`*_|]$", line):
        return "a second sentence without a stop"
    if begun := begun_word(line, f"{asked}\n{above}\n{line}"):
        return f"the beginning of {begun!r}"
    return ""


def _opens(line: str) -> bool:
    text = re.sub(r"`[^`]*`|[:;]-?\(", "", line)
    depth = 0
    for symbol in text:
        depth = max(0, depth + (symbol in "([{") - (symbol in ")]}"))
    quotes = text.count('"') % 2 == 1 or text.replace("```", "").count("`") % 2 == 1
    return depth > 0 or quotes or text.endswith(" '")


def _items_stop(line: str, above: str) -> bool:
    """Whether a line is an item of a list whose items above, all of them, end with a stop."""
    match = _ITEM.fullmatch(line)
    if match is None:
        return False
    kind = next(name for name in ("bullet", "number", "letter") if match[name])
    others = [
        found["text"]
        for other in above.split("\n")
        if (found := _ITEM.fullmatch(other.rstrip()))
        and found[kind]
        and found["text"]
        and len(found["text"].split()) >= 4
    ]
    return bool(others) and all(_STOP.fullmatch(text) for text in others)


def begun_word(line: str, text: str) -> str:
    """The longer word of a text that its last word, seen nowhere else, is the beginning of; "" where there is none.

    Another form of the same word does not count, nor does a name that goes on with a digit, a capital or an underscore.
    """
    match = _LAST_TOKEN.search(line)
    if match is None:
        return ""
    last = str(match[0])
    tokens: list[str] = _TOKEN.findall(text)
    if tokens.count(last) > 1 or last.lower() in {"a", "i"}:
        return ""
    for token in dict.fromkeys(tokens):
        rest = token[len(last) :]
        if token.startswith(last) and rest and rest[0].islower() and not _INFLECTION.fullmatch(rest):
            return token
    return ""


def unfinished_code(text: str, language: str, asked: str = "") -> str:
    """Why the last line of code without a fence is no end, or "".

    Args:
        text: the code.
        language: of the code, "" where it is not known.
        asked: the instruction.
    """
    above, _, whole = text.rstrip().rpartition("\n")
    line = whole[-_LONG:]
    if announces(line, above, "#" if language in ("", "python", "ruby", "bash") else "//"):
        return "a comment that announces code"
    if language in ("", "python") and _has_statements(above):
        if _half_statement(text, line):
            return "half a statement below code that parses"
        if _new_name(text):
            return "a name that nothing else mentions"
    if language == "sql" and (
        _HALF_CLAUSE.search(line)
        or _HALF_WORD.search(text.rstrip()[-_LONG:])
        or (line.count("'") % 2 == 1 and not re.search("[\u2018\u2019]", line))
    ):
        return "an open quote or clause"
    if text.lstrip().startswith("<") and language in ("html", "css", "xml", "") and re.search(r"<[^<>]*$", text):
        return "an open tag"
    if _HALF_NAME.fullmatch(line) or (language == "ruby" and re.search(r"\nend\n+[a-z]\w*\Z", text)):
        return "half a name"
    if begun := begun_word(line, f"{asked}\n{text}"):
        return f"the beginning of {begun!r}"
    return ""


def _tree(code: str) -> ast.Module | None:
    if len(code) > MAX_CODE_CHARS or max(map(len, code.split("\n"))) > MAX_LINE_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _has_statements(code: str) -> bool:
    """Whether a text is Python and more than words: an assignment, a definition, an import, a loop or a call."""
    tree = _tree(code)
    return tree is not None and any(
        not isinstance(node, ast.Expr | ast.AnnAssign) or isinstance(node.value, ast.Call) for node in tree.body
    )


def _half_statement(text: str, line: str) -> bool:
    """Whether only the last line keeps a text from being Python, and does so at its own end or begins like a statement."""
    if "//" in line or "=>" in line or len(line) >= _LONG:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        at_end = (error.lineno or 0) >= text.count("\n") + 1 and (error.offset or 0) > len(line)
        return at_end or bool(_STATEMENT_START.match(line)) or "never closed" in error.msg
    except (ValueError, RecursionError, MemoryError):
        return False
    return False


def announces(line: str, above: str, sign: str) -> bool:
    """A last line that announces code which does not come: a comment that is no result, indented or below a blank line."""
    remark = line.lstrip()
    if not remark.startswith(sign) or remark.startswith("#!") or _RESULT.search(remark) or _PLACEHOLDER.search(remark):
        return False
    return line[:1].isspace() or (above.endswith("\n") and bool(above.strip()))


def _new_name(code: str) -> bool:
    """Whether Python ends with a name at its top level that stands nowhere else in it: half a word. Others may show a value."""
    tree = _tree(code)
    last = tree.body[-1] if tree is not None and len(tree.body) > 1 else None
    value = last.value if isinstance(last, ast.Expr) else None
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return bool(name) and len(re.findall(rf"\b{re.escape(name)}\b", code)) == 1

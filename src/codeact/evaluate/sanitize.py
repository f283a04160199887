"""From a model's answer to a program: find the code, keep what the entry point needs, drop the rest.

Everything here is linear in the length of the answer and never raises: an answer without usable code comes back as the
best guess, which then fails its tests.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^`\n]*)$")
# Strings of one line, or a comment: what may hide a triple quote. The closing quote is optional so that every character
# is passed once.
QUOTES = re.compile(r'"""|\'\'\'|#.*|"(?:\\.|[^"\\])*+"?|\'(?:\\.|[^\'\\])*+\'?')
CONTINUES = re.compile(r"(?:else|elif|except|finally)\b|[)\]}]")
COMPOUND = re.compile(r"@|(?:def|class|async|if|try|for|while|with)\b")
BINDS = re.compile(r"@|(?:def|class|async|if|try|for|while|with|import|from)\b")
CUTS = 8
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NEVER_PARSED = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


@dataclass(frozen=True, slots=True)
class Statement:
    """One top-level statement (or several that share a line).

    Attributes:
        source: its text, decorators included.
        defines: names that it binds or changes.
        uses: names that it reads.
        always: it is kept whatever is needed (`from __future__ import`, `from module import *`).
        stub: it defines a function without a body: a docstring, `pass` or `...` alone.
    """

    source: str
    defines: frozenset[str]
    uses: frozenset[str]
    always: bool = False
    stub: bool = False


def sanitize(text: str, entry_point: str, prompt: str = "") -> str:
    """The program in an answer: the entry point and the top-level statements that it needs, in their order.

    Looked at in turn, until one holds the entry point: each fenced block; the text between and outside the fences, prose
    dropped; `prompt` continued by the text. Names that the chosen part uses but does not define are taken from the other
    fenced blocks, then from the prompt (its imports and helpers). Bare expressions (calls, prints, asserts) and the
    `__main__` guard are dropped.

    Args:
        text: a chat answer or a raw completion.
        entry_point: name of the function (or class, or variable) that must be defined.
        prompt: the source that a raw completion continues; "" for none.

    Returns:
        Source text. Without any usable definition: the longest fenced block, else `prompt` and `text` as they are.
    """
    text, prompt = normalize(text), normalize(prompt)
    blocks, bare = split_fences(text)
    parsed = [statements(block) for block in blocks]
    longest = max(blocks, key=len, default="")
    unfenced = (bare, prompt + longest, prompt + bare) if longest else (bare, prompt + bare)
    stub: list[Statement] = []
    for part in chain(parsed, (statements(source) for source in dict.fromkeys(unfenced) if entry_point in source)):
        definitions = [s for s in part if entry_point in s.defines]
        if definitions and not all(s.stub for s in definitions):
            return _program(part, parsed, prompt, entry_point)
        stub = stub or (part if definitions else [])
    # a signature alone is the answer only where there is nothing better
    return _program(stub, parsed, prompt, entry_point) if stub else longest or prompt + text


def normalize(text: str) -> str:
    """Line ends as the parser counts them, and no NUL, which no source may hold."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def split_fences(text: str) -> tuple[list[str], str]:
    """The fenced blocks of a Markdown text, and the text without its fence lines.

    A block without a closing fence runs to the end. A block indented with its fence is moved left.
    """
    blocks: list[str] = []
    bare: list[str] = []
    inside: list[str] | None = None
    indent = mark = ""
    for line in text.split("\n"):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside, indent, mark = [], fence[1], fence[2]
        elif inside is not None and fence and fence[2].startswith(mark) and not fence[3].strip():
            blocks.append("\n".join(inside) + "\n")
            inside = None
        elif inside is not None:
            inside.append(line.removeprefix(indent))
            bare.append(line.removeprefix(indent))
        else:
            bare.append(line)
    if inside is not None:
        blocks.append("\n".join(inside) + "\n")
    return blocks, "\n".join(bare)


def statements(source: str) -> list[Statement]:
    """The top-level statements of a source text; what does not parse is left out, line group by line group."""
    tree = _parse(source)
    if tree is not None:
        return _read(tree, source)
    chunks = (chunk for chunk in _chunks(source.split("\n")) if BINDS.match(chunk[0]) or "=" in chunk[0])
    return [statement for chunk in chunks for statement in _salvage(chunk)]


def _parse(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except NEVER_PARSED:
            return None


def _salvage(lines: list[str]) -> list[Statement]:
    """Parse one top-level chunk; a definition with a broken tail (a cut-off answer, a remark) is kept up to there."""
    for _ in range(CUTS):
        source = "\n".join(lines)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return _read(ast.parse(source), source)
            except SyntaxError as error:
                broken = error.lineno or 1
            except NEVER_PARSED:
                return []
        if not COMPOUND.match(lines[0]):
            return []
        lines = lines[: max(0, min(broken, len(lines)) - 1)]
        if not lines:
            return []
    return []


def _chunks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Groups of lines, each starting at the left margin: one top-level statement, or one line of prose."""
    chunk: list[str] = []
    decorated = False
    for line, inside in zip(lines, _inside_string(lines), strict=True):
        starts = bool(line) and not inside and not line[0].isspace() and not CONTINUES.match(line)
        if starts and not decorated and chunk:
            yield chunk
            chunk = []
        if starts:
            decorated = line.startswith("@")
        chunk.append(line)
    if chunk:
        yield chunk


def _inside_string(lines: Sequence[str]) -> list[bool]:
    """Whether each line begins inside a triple-quoted string. A quote that never closes is taken for prose."""
    inside: list[bool] = []
    delimiter, opened = "", 0
    for number, line in enumerate(lines):
        inside.append(bool(delimiter))
        at = 0
        while True:
            if delimiter:
                end = line.find(delimiter, at)
                if end < 0:
                    break
                at, delimiter = end + 3, ""
            quote = QUOTES.search(line, at)
            if quote is None:
                break
            at = quote.end()
            if quote[0] in ('"""', "'''"):
                delimiter, opened = quote[0], number
    if delimiter:
        inside[opened + 1 :] = [False] * (len(lines) - opened - 1)
    return inside


def _read(tree: ast.Module, source: str) -> list[Statement]:
    lines = source.split("\n")
    found: list[Statement] = []
    for nodes, first, last in _by_lines(tree.body):
        kept = [node for node in nodes if not _dropped(node)]
        if kept:
            text = "\n".join(lines[first - 1 : last])
            defines = frozenset(name for node in kept for name in _defined(node))
            uses = frozenset(name for node in kept for name in _used(node))
            always = any(isinstance(node, ast.ImportFrom) and _unconditional(node) for node in kept)
            found.append(Statement(text, defines, uses, always, all(_is_stub(node) for node in kept)))
    return found


def _by_lines(body: Iterable[ast.stmt]) -> Iterator[tuple[list[ast.stmt], int, int]]:
    """Statements with their first and last line; those that share a line (`import a; b = 1`) come together."""
    group: list[ast.stmt] = []
    first = last = 0
    for node in body:
        begin = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        end = node.end_lineno or node.lineno
        if group and begin > last:
            yield group, first, last
            group = []
        if not group:
            first = begin
        group.append(node)
        last = max(last, end)
    if group:
        yield group, first, last


def _dropped(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):
        return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    return isinstance(node, (ast.Expr, ast.Assert, ast.Pass, ast.Raise))


def _unconditional(node: ast.ImportFrom) -> bool:
    return node.module == "__future__" or any(alias.name == "*" for alias in node.names)


def _is_stub(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body
    )


def _defined(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds, those bound inside its blocks (`try`, `if`, `for`, `with`) too."""
    names: set[str] = set()
    pending: list[ast.AST] = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, SCOPES):
            names.add(part.name)
        elif isinstance(part, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in part.names)
        elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            names.add(part.id)
        elif isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
            names.update(_root(part))
        elif not isinstance(part, (ast.Lambda, *COMPREHENSIONS)):
            pending.extend(ast.iter_child_nodes(part))
    return names


def _root(node: ast.expr) -> set[str]:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _used(node: ast.stmt) -> set[str]:
    try:
        return _free([node], frozenset(), shields=False)
    except RecursionError:
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _free(parts: Iterable[ast.AST], parameters: frozenset[str], shields: bool) -> set[str]:
    """Names that a scope reads from outside. A module's or a class's own names do not shield the scopes inside it."""
    reads: set[str] = set()
    bound = set(parameters)
    outer: set[str] = set()
    pending = list(parts)
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Name):
            (reads if isinstance(part.ctx, ast.Load) else bound).add(part.id)
        elif isinstance(part, (ast.Global, ast.Nonlocal)):
            outer.update(part.names)
        elif isinstance(part, ast.ClassDef):
            bound.add(part.name)
            pending.extend((*part.decorator_list, *part.bases, *part.keywords))
            reads |= _free(part.body, frozenset(), shields=False)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            spec = part.args
            arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))]
            pending.extend((*spec.defaults, *filter(None, spec.kw_defaults)))
            notes = [argument.annotation for argument in arguments]
            body: list[ast.AST] = [part.body] if isinstance(part, ast.Lambda) else [*part.body]
            if not isinstance(part, ast.Lambda):
                bound.add(part.name)
                pending.extend(part.decorator_list)
                notes.append(part.returns)
            for note in filter(None, notes):
                pending.append(note)
                if isinstance(note, ast.Constant):
                    reads.update(re.findall(r"[A-Za-z_]\w*", str(note.value)))
            reads |= _free(body, frozenset(argument.arg for argument in arguments), shields=True)
        else:
            if isinstance(part, ast.AugAssign):
                reads |= _root(part.target)
            elif isinstance(part, (ast.Import, ast.ImportFrom)):
                bound.update((alias.asname or alias.name).partition(".")[0] for alias in part.names)
            elif isinstance(part, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and part.name:
                bound.add(part.name)
            pending.extend(ast.iter_child_nodes(part))
    return (reads - (bound - outer) if shields else reads) | outer


def _program(chosen: list[Statement], parsed: Sequence[list[Statement]], prompt: str, entry: str) -> str:
    """The needed statements of `chosen`; before them what they miss, from the other blocks and from the prompt."""
    rest = [s for part in parsed if part is not chosen for s in part if not s.always]
    context = [s for s in statements(prompt) if entry not in s.defines]
    needed = {entry}
    kept, needed = _closure(chosen, needed)
    bound = {name for s in kept for name in s.defines}
    borrowed: list[Statement] = []
    for pool in (rest, context):
        offered = [s for s in pool if s.always or not s.defines & bound]
        taken, needed = _closure(offered, needed)
        borrowed = [*borrowed, *taken] if pool is rest else [*taken, *borrowed]
        bound |= {name for s in taken for name in s.defines}
    ordered = [*borrowed, *kept]
    ordered.sort(key=lambda s: not s.source.startswith("from __future__"))
    return "\n".join(dict.fromkeys(s.source for s in ordered)) + "\n"


def _closure(pool: Sequence[Statement], needed: set[str]) -> tuple[list[Statement], set[str]]:
    """The statements of `pool` that define a needed name, directly or through each other; in order."""
    definers: dict[str, list[int]] = {}
    for number, statement in enumerate(pool):
        for name in statement.defines:
            definers.setdefault(name, []).append(number)
    keep = {number for number, statement in enumerate(pool) if statement.always}
    reached = needed | {name for number in keep for name in pool[number].uses}
    pending = list(reached)
    while pending:
        for number in definers.pop(pending.pop(), ()):
            if number not in keep:
                keep.add(number)
                fresh = pool[number].uses - reached
                reached |= fresh
                pending.extend(fresh)
    return [pool[number] for number in sorted(keep)], reached

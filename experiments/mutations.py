"""Mutations of a Python program: one small edit each, at a place of its syntax tree, the rest of the text left byte for byte.

The operators are those of mutation testing (MutPy's ROR, AOR, CRP, LCR, COI; mutmut and Cosmic Ray have the same) and the kinds of faults of
HumanEvalPack (a wrong operator, variable, value or function). Each gives one word for another of its kind, so that a twin is about as long as
the program; only `not` comes or goes. (`corruptions` changes records of any language, by patterns and in several places.)
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from codeact.evaluation.sets.mbpp_twins import edited

Piece = str | tuple[int, int]

COMPARISON = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",),
    "in": ("not in",), "not in": ("in",), "is": ("is not",), "is not": ("is",),
}  # fmt: skip
ARITHMETIC = {
    "+": ("-",), "-": ("+",), "*": ("+", "/"), "/": ("*", "//"), "//": ("/", "%"), "%": ("//", "/"), "**": ("*",),
    "&": ("|", "^"), "|": ("&", "^"), "^": ("&", "|"), "<<": (">>",), ">>": ("<<",),
}  # fmt: skip
CONNECTIVE = {"and": ("or",), "or": ("and",)}
PAIRS = (
    "min max", "any all", "floor ceil", "sin cos", "nlargest nsmallest", "upper lower", "isupper islower", "startswith endswith", "find rfind",
    "lstrip rstrip", "isalpha isdigit", "match search", "match fullmatch", "search fullmatch", "values keys", "sum len", "sum max", "union intersection",
    "permutations combinations", "combinations_with_replacement combinations", "set list",
)  # fmt: skip
FUNCTIONS: dict[str, tuple[str, ...]] = {}
for _first, _second in (pair.split() for pair in PAIRS):
    FUNCTIONS[_first] = (*FUNCTIONS.get(_first, ()), _second)
    FUNCTIONS[_second] = (*FUNCTIONS.get(_second, ()), _first)
SUCCESSION = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)  # operators whose sides are not the same
ATOMS = (ast.Name, ast.Constant, ast.Call, ast.Subscript, ast.Attribute)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One edit of a program.

    Attributes:
        operator: "comparison", "arithmetic", "connective", "constant", "index", "boolean", "negation", "name", "order", "function" or "loop".
        start: of the text that goes, in characters.
        end: of it.
        pieces: what comes for it: a text, or the place of a text of the program itself.
    """

    operator: str
    start: int
    end: int
    pieces: tuple[Piece, ...]

    def apply(self, source: str) -> str:
        """The program with this edit."""
        return edited(source, self.start, self.end, self.pieces)


class Places:
    """Where the nodes and the operators of a program stand in its text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        words = [one for one in tokenize.generate_tokens(io.StringIO(source).readline) if one.type in (tokenize.OP, tokenize.NAME)]
        self.words = [(self.starts[one.start[0] - 1] + one.start[1], one.string) for one in words]

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Start and end of a node, in characters."""
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno or 0, node.end_col_offset or 0)

    def at(self, line: int, column: int) -> int:
        """Characters before a line (from 1) and a column in bytes of UTF-8, as the syntax tree counts them."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def between(self, left: int, right: int, known: dict[str, tuple[str, ...]], suffix: str = "") -> tuple[int, int, str] | None:
        """Start, end and name of the operator that stands between two places; `not in` and `is not` are one."""
        found = [(at, word) for at, word in self.words if left <= at < right and word not in "()"]
        name = " ".join(word for _, word in found).removesuffix(suffix)
        if not found or name not in known:
            return None
        last, word = found[-1]
        return found[0][0], last + len(word) - len(suffix), name


def mutations(source: str) -> list[Mutation]:
    """Every mutation of a program that parses and has another syntax tree, in the order of the text.

    Raises:
        SyntaxError: the program itself does not parse.
    """
    tree = ast.parse(source)
    places, whole = Places(source), ast.dump(tree)
    found = dict.fromkeys(
        one
        for find in (_operators, _constants, _negations, _names, _orders, _functions, _loops)
        for one in find(tree, places)
        if _parsed(one.apply(source)) not in (whole, "")
    )
    return sorted(found, key=lambda one: (one.start, one.end, one.operator, repr(one.pieces)))


def _parsed(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _operators(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            yield from _between("comparison", sides, places, COMPARISON)
        elif isinstance(node, ast.BinOp):
            yield from _between("arithmetic", [node.left, node.right], places, ARITHMETIC)
        elif isinstance(node, ast.AugAssign):
            yield from _between("arithmetic", [node.target, node.value], places, ARITHMETIC, "=")
        elif isinstance(node, ast.BoolOp):
            yield from _between("connective", node.values, places, CONNECTIVE)


def _between(operator: str, sides: list[ast.expr], places: Places, known: dict[str, tuple[str, ...]], suffix: str = "") -> Iterator[Mutation]:
    for left, right in pairwise(sides):
        found = places.between(places.of(left)[1], places.of(right)[0], known, suffix)
        if found:
            yield from (Mutation(operator, found[0], found[1], (other,)) for other in known[found[2]])


def _constants(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    """A whole number one off; nobody writes `+ 0` or `* 1`, so no term becomes 0 or 1."""
    inside = {id(one) for node in ast.walk(tree) if isinstance(node, ast.Subscript) for one in ast.walk(node.slice)}
    terms = {id(one) for node in ast.walk(tree) if isinstance(node, ast.BinOp) for one in (node.left, node.right)}
    terms |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.AugAssign)}
    negative = {id(node.operand) for node in ast.walk(tree) if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or type(node.value) not in (bool, int):
            continue
        start, end = places.of(node)
        if isinstance(node.value, bool):
            yield Mutation("boolean", start, end, (str(not node.value),))
            continue
        assert isinstance(node.value, int)
        text = places.source[start:end]
        near = [str(node.value + step) for step in (1, -1)]
        if text.isdigit():
            operator = "index" if id(node) in inside else "constant"
            yield from (
                Mutation(operator, start, end, (one,))
                for one in near
                if len(one) == len(text) and one.isdigit() and not (one in ("0", "1") and id(node) in terms) and not (one == "0" and id(node) in negative)
            )


def _negations(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    for node in ast.walk(tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and isinstance(node.operand, ATOMS):
            start, end = places.of(node)
            yield Mutation("negation", start, end, (places.of(node.operand),))
        tests = node.ifs if isinstance(node, ast.comprehension) else [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
        for test in tests:
            if isinstance(test, ATOMS) and not isinstance(test, ast.Constant):
                yield Mutation("negation", places.of(test)[0], places.of(test)[0], ("not ",))


def _names(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    """A variable for another one of the same function that stands in it before."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        first: dict[str, tuple[int, int]] = {}
        for argument in (one for node in ast.walk(scope) if isinstance(node, FUNCTION) for one in ast.walk(node.args)):
            if isinstance(argument, ast.arg):
                at = places.at(argument.lineno, argument.col_offset)
                first.setdefault(argument.arg, (at, at + len(argument.arg)))
        names = [node for node in ast.walk(scope) if isinstance(node, ast.Name)]
        for node in names:
            if isinstance(node.ctx, ast.Store):
                first.setdefault(node.id, places.of(node))
        for node in names:
            if isinstance(node.ctx, ast.Load) and node.id in first and id(node) not in called:
                start, end = places.of(node)
                others = (place for name, place in first.items() if name != node.id and place[0] < start)
                yield from (Mutation("name", start, end, (place,)) for place in others)


def _orders(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    """Two neighbouring arguments, or the two sides of an operator where their order counts."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Call) and not any(isinstance(one, ast.Starred) for one in node.args):
            pairs = list(pairwise(node.args))
        elif isinstance(node, ast.BinOp) and isinstance(node.left, ATOMS) and isinstance(node.right, ATOMS) and isinstance(node.op, SUCCESSION):
            pairs = [(node.left, node.right)]
        for left, right in pairs:
            (start, middle), (second, end) = places.of(left), places.of(right)
            if not {*"()"} & {*places.source[middle:second]}:
                yield Mutation("order", start, end, ((second, end), (middle, second), (start, middle)))


def _functions(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            end = places.of(node.func)[1]
            yield from (Mutation("function", end - len(name), end, (other,)) for other in FUNCTIONS.get(name, ()))


def _loops(tree: ast.AST, places: Places) -> Iterator[Mutation]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Break | ast.Continue):
            yield Mutation("loop", *places.of(node), ("continue" if isinstance(node, ast.Break) else "break",))

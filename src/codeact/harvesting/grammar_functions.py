"""Documented functions of C, C++, Go, Java, JavaScript, Rust and TypeScript, read by tree-sitter, each as an instruction and a response."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codeact.grammars import grammar_parser
from codeact.harvesting.documentation import Function, Source, about, doc_fault

if TYPE_CHECKING:
    from tree_sitter import Node


@dataclass(frozen=True, slots=True)
class Grammar:
    """How a language documents its functions; the texts are types of tree-sitter's nodes.

    Attributes:
        name: as people write it.
        suffixes: of its files.
        functions: functions and methods with a body.
        owners: classes and the like, whose functions are methods.
        doc: beginning of a comment that documents what follows it.
        plain: a block of ordinary `//` comments documents too.
        apart: a blank line may stand between a `/**` comment and its function.
        entries: suffix -> another grammar of the same module.
    """

    name: str
    suffixes: tuple[str, ...]
    functions: frozenset[str]
    owners: frozenset[str] = frozenset()
    doc: tuple[str, ...] = ("/**",)
    plain: bool = False
    apart: bool = False
    entries: Mapping[str, str] | None = None


# A function that is given to a name: node -> (field of the name, field of the function).
_GIVEN: Mapping[str, tuple[str, str]] = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "pair": ("key", "value"),
    "field_definition": ("property", "value"),
    "public_field_definition": ("name", "value"),
}
_SCRIPT_FUNCTIONS = frozenset({"function_declaration", "generator_function_declaration", "method_definition", *_GIVEN})
_SCRIPT_OWNERS = frozenset({"class_declaration", "class", "abstract_class_declaration"})
_C_DOC = ("/**", "/*!", "///", "//!", "/*")
GRAMMARS: Mapping[str, Grammar] = {
    "javascript": Grammar("JavaScript", (".js", ".jsx", ".mjs", ".cjs"), _SCRIPT_FUNCTIONS, _SCRIPT_OWNERS, apart=True),
    "typescript": Grammar(
        "TypeScript", (".ts", ".tsx", ".mts", ".cts"), _SCRIPT_FUNCTIONS, _SCRIPT_OWNERS, apart=True,
        entries=dict.fromkeys((".ts", ".mts", ".cts"), "language_typescript"),
    ),
    "java": Grammar(
        "Java", (".java",), frozenset({"method_declaration", "constructor_declaration"}),
        frozenset({"class_declaration", "interface_declaration", "enum_declaration", "record_declaration"}),
    ),
    "go": Grammar("Go", (".go",), frozenset({"function_declaration", "method_declaration"}), doc=("/*",), plain=True),
    "rust": Grammar("Rust", (".rs",), frozenset({"function_item"}), frozenset({"impl_item", "trait_item"}), doc=("/**", "///")),
    "c": Grammar("C", (".c",), frozenset({"function_definition"}), doc=_C_DOC, plain=True),
    "cpp": Grammar(
        "C++", (".cc", ".cpp", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h"), frozenset({"function_definition"}),
        frozenset({"class_specifier", "struct_specifier"}), doc=_C_DOC, plain=True,
    ),
}  # fmt: skip

_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_ATTRIBUTES = frozenset({"attribute_item", "decorator"})
_WRAPPERS = frozenset({
    "export_statement", "template_declaration", "lexical_declaration", "variable_declaration", "variable_declarator",
    "assignment_expression", "expression_statement",
})
_ARROWS = frozenset({"arrow_function", "function_expression", "function", "generator_function"})
_BODY = "statement_block", "block", "compound_statement", "constructor_body"
# What is for a tool and not for people: of linters, of the compiler, and lines of nothing but marks.
_DIRECTIVE = re.compile(r"(?:go:|nolint|lint:|eslint|@ts-|tslint|prettier|istanbul|c8 |clang-format|NOLINT|\+build|[-=*/#~_ ]{4,}$)")
_CONSTANT = r"(?:[\w.:]+|'[^']*'|\"[^\"]*\"|-?[\d.]+\w*|&?self(?:\.\w+)?|this(?:(?:\.|->)\w+)?|\{\}|\[\])"
_STUB = re.compile(rf"(?:return\b\s*)?{_CONSTANT}?\s*;?|throw\b[^;{{}}]*;?|(?:panic|todo|unimplemented|unreachable)!?\([^;]*\)\s*;?")
_DELEGATES = re.compile(r"(?:return\b\s*)?(?:await\s+)?(?:new\s+)?[\w.:>?&*-]+(?:<[\w\s,]*>)?\([\w\s,.&*:>-]*\)(?:\.await)?\??\s*;?")


def grammar_functions(
    source: str, language: str, suffix: str, skipped: Counter[str], undocumented: bool = False
) -> Iterator[Function]:
    """The documented functions of a file, in order; what is left out is counted in `skipped`.

    A lexical token is a leaf of tree-sitter's tree that is no comment. A function in a function is a part of that one. What
    the grammar cannot read (code behind macros, a newer syntax) is left out function by function.

    Args:
        language: a key of `GRAMMARS`.
        suffix: of the file: TypeScript with JSX has a grammar of its own.
        undocumented: give those too that no documentation, or one of no use, stands above.

    Raises:
        MissingExtraError: the grammar is not installed.
    """
    grammar = GRAMMARS[language]
    content = source.encode("utf-8")
    for node, owners, readable in _functions(_root(content, language, suffix), grammar, skipped):
        outer = _outer(node)
        doc = _doc_above(outer, grammar)
        fault = doc_fault(doc, _without_code(doc)) if doc else "no docstring"
        reason, body = "" if undocumented else fault, _body(node)
        if not reason and not readable:
            reason = "function does not parse"
        if not reason and body is not None:
            reason = _fault_of(body)
        if reason or body is None:
            skipped[reason or "stub"] += 1
            continue
        name = _name(node)
        owner = ".".join(_owner_name(item) for item in owners)
        text, tokens = _response(outer, content)
        asked = _instruction(grammar, owners, owner, _signature(node, outer, body, name))
        yield Function(
            outer.start_point[0] + 1, f"{owner}.{name}" if owner else name, asked if fault else f"{asked}\n\n{doc}", text, tokens, not fault,
        )  # fmt: skip


def grammar_sources(source: str, language: str, suffix: str) -> Iterator[Source]:
    """Every function of a file, documented or not; those that the grammar cannot read are left out.

    Raises:
        MissingExtraError: the grammar is not installed.
    """
    grammar, content = GRAMMARS[language], source.encode("utf-8")
    for node, owners, readable in _functions(_root(content, language, suffix), grammar, Counter()):
        outer = _outer(node)
        if readable:
            owner = ".".join(_owner_name(item) for item in owners)
            name = _name(node)
            yield Source(outer.start_point[0] + 1, f"{owner}.{name}" if owner else name, *_response(outer, content))


def _root(content: bytes, language: str, suffix: str) -> Node:
    grammar = GRAMMARS[language]
    entry = (grammar.entries or {}).get(suffix, "")
    return grammar_parser(language, f"harvesting {grammar.name}", entry).parse(content).root_node


def _functions(root: Node, grammar: Grammar, skipped: Counter[str]) -> Iterator[tuple[Node, tuple[Node, ...], bool]]:
    """Each function, the classes and the like around it, and whether the grammar could read it and where it belongs."""
    stack: list[tuple[Node, tuple[Node, ...], bool]] = [(root, (), True)]
    while stack:
        node, owners, placed = stack.pop()
        if node.type == "mod_item" and _is_test(node):
            skipped["test module"] += 1
            continue
        if node.type in grammar.functions and _body(node) is not None:
            if not _is_test(node):
                yield node, owners, placed and not _outer(node).has_error
            continue
        if node.type in grammar.owners:
            owners, placed = (*owners, node), placed and not _loses_its_end(node, grammar)
        stack.extend((child, owners, placed) for child in reversed(node.named_children))


def _loses_its_end(owner: Node, grammar: Grammar) -> bool:
    """Whether a class, outside of its functions, holds a brace too many or lacks an end: what follows it may seem to be its own."""
    stack = [owner] if owner.has_error else []
    while stack:
        node = stack.pop()
        if (node.is_missing and node.type in {"}", "#endif"}) or (node.type == "ERROR" and any(child.type in {"{", "}"} for child in node.children)):
            return True
        stack.extend(child for child in node.children if (child.has_error or child.is_missing) and child.type not in grammar.functions)
    return False


def _is_test(node: Node) -> bool:
    """Whether one of Rust's attributes above says `#[test]` or `#[cfg(test)]`."""
    above = node.prev_named_sibling
    while above is not None and (above.type == "attribute_item" or above.type in _COMMENTS):
        if above.type == "attribute_item" and re.search(r"\btest\b", _text(above)):
            return True
        above = above.prev_named_sibling
    return False


def _outer(node: Node) -> Node:
    """The declaration around a function: `export`, `template <...>`, `const f =`."""
    while node.parent is not None and node.parent.type in _WRAPPERS:
        node = node.parent
    return node


def _body(node: Node) -> Node | None:
    if node.type in _GIVEN:
        given = _given(node)
        if given is None:
            return None
        node = given
    body = node.child_by_field_name("body")
    return body if body is not None and (body.type in _BODY or node.type == "arrow_function") else None


def _given(node: Node) -> Node | None:
    """The function that a name is given; None where it is something else, or one of several names of a statement."""
    several = node.parent is not None and sum(c.type == "variable_declarator" for c in node.parent.named_children) > 1
    value = node.child_by_field_name(_GIVEN[node.type][1])
    return value if value is not None and value.type in _ARROWS and not several else None


def _doc_above(node: Node, grammar: Grammar) -> str:
    """The comments that end on the line above a function, its attributes and decorators left out; "" where they are no documentation."""
    comments: list[Node] = []
    first, above = node.start_point[0], node.prev_sibling
    while above is not None:
        last = above.end_point[0] - (above.end_point[1] == 0 and above.end_point[0] > above.start_point[0])
        gap = 2 if grammar.apart and not comments and _text(above).startswith("/**") and not _heads_file(above) else 1
        if above.type in _COMMENTS and last + gap >= first and not (comments and _text(comments[-1]).startswith("/*")):
            comments.append(above)
        elif above.type not in _ATTRIBUTES or comments:
            break
        first, above = above.start_point[0], above.prev_sibling
    if comments and _shares_its_line(comments[-1]):
        comments.pop()  # a remark behind other code
    texts = [_text(comment).strip() for comment in reversed(comments)]
    if not texts or not (texts[0].startswith(grammar.doc) or (grammar.plain and texts[0].startswith("//"))):
        return ""
    doc = _plain_text("\n".join(texts))
    lines = doc.split("\n")
    ends = sum(line.endswith((";", "{", "}")) for line in lines)
    return "" if 2 * ends > len(lines) and not texts[0].startswith("/**") else doc  # code that was put into a comment


def _heads_file(comment: Node) -> bool:
    return comment.prev_sibling is None and comment.parent is not None and comment.parent.parent is None


def _shares_its_line(comment: Node) -> bool:
    before = comment.prev_sibling
    if before is None or before.type in {"{", "access_specifier"} | _COMMENTS:
        return False
    return before.end_point[0] == comment.start_point[0] and before.end_point[1] > 0


def _plain_text(comment: str) -> str:
    """A comment without its marks, with the lines for linters and compilers left out."""
    inner = re.sub(r"^/\*[*!]?|\*+/$", "", comment, flags=re.MULTILINE) if comment.startswith("/*") else comment
    marks = re.compile(r"^\s*\*(?!\*) ?" if comment.startswith("/*") else r"^\s*//[/!]*(?:<)?")
    lines = [marks.sub("", line).rstrip() for line in inner.split("\n")]
    lines = [line for line in lines if not _DIRECTIVE.match(line.strip())]
    while lines and not lines[0].strip():
        lines.pop(0)
    if lines:
        lines[0] = lines[0].strip() if comment.startswith("/*") else lines[0]
    return textwrap.dedent("\n".join(lines)).strip()


def _without_code(doc: str) -> str:
    """The prose of a documentation: no fenced examples, no tags such as `@param x`."""
    prose = re.sub(r"```.*?(?:```|\Z)", "", doc, flags=re.DOTALL)
    return re.sub(r"^[^\S\n]*[@\\](?:param|return|throws|exception|type|template|see|since|author|deprecated)\w*.*$", "", prose, flags=re.MULTILINE)


def _fault_of(body: Node) -> str:
    statements = [child for child in body.named_children if child.type not in _COMMENTS] if body.type in _BODY else [body]
    if not statements:
        return "stub"
    text = " ".join(_text(statements[0]).split())
    if len(statements) > 1:
        return ""
    if _STUB.fullmatch(text):
        return "stub"
    return "only delegates" if _DELEGATES.fullmatch(text) else ""


def _name(node: Node) -> str:
    if node.type in _GIVEN:
        return " ".join(_text(node.child_by_field_name(_GIVEN[node.type][0])).split()).strip("'\"")
    found = node.child_by_field_name("name") or node.child_by_field_name("declarator")
    while found is not None and found.child_by_field_name("declarator") is not None:
        found = found.child_by_field_name("declarator")  # C's pointers and references stand around the name
    while found is not None and found.type in {"pointer_declarator", "reference_declarator", "function_declarator"}:
        found = found.named_children[0] if found.named_children else None
    return " ".join(_text(found).split()) if found is not None else ""


def _owner_name(node: Node) -> str:
    if node.type == "impl_item":
        trait = node.child_by_field_name("trait")
        kind = node.child_by_field_name("type")
        return f"{_text(trait)} for {_text(kind)}" if trait is not None and kind is not None else _text(kind)
    return _text(node.child_by_field_name("name")) or "(unnamed)"


def _signature(node: Node, outer: Node, body: Node, name: str) -> str:
    """The declaration up to the body, on one line; annotations are part of the response, not of what is asked for."""
    value = _given(node) if node.type in _GIVEN else None
    if value is not None:
        head = _between(value, value, body).removesuffix("=>").strip()
        waits = "async " if head.startswith("async") else ""
        head = head.removeprefix("async").lstrip().removeprefix("function").lstrip("* ")
        head = re.sub(r"^[\w$]+ ?(?=[(<])", "", head)  # the function's own name
        return f"{waits}{name}{head}" if head.startswith(("(", "<")) else f"{waits}{name}({head})"
    start = outer if outer.type == "template_declaration" else node
    text = _between(start, node, body)
    for part in [child for child in node.named_children if child.type == "modifiers"]:
        for note in part.named_children:
            text = text.replace(_one_line(_text(note)), "", 1)
    return " ".join(text.split()).removesuffix(":").strip()


def _between(start: Node, node: Node, body: Node) -> str:
    """The source from the beginning of `start` to the body, initialisers of C++ left out."""
    end = body.start_byte
    for child in node.children:
        if child.type == "field_initializer_list":
            end = min(end, child.start_byte)
    whole = start.text or b""
    return _one_line(whole[: end - start.start_byte].decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    """Without the blanks and the last comma that stand there because each parameter has a line of its own."""
    return " ".join(re.sub(r"([(\[<])\s*\n\s*", r"\1", re.sub(r",?\s*\n\s*([)\]>])", r"\1", text)).split())


def _instruction(grammar: Grammar, owners: tuple[Node, ...], owner: str, signature: str) -> str:
    if not owners:
        return f"Write a {grammar.name} function `{signature}`."
    kind = {"impl_item": "type", "trait_item": "trait", "struct_specifier": "struct", "interface_declaration": "interface"}
    what = kind.get(owners[-1].type, "class")
    return f"Write the method `{signature}` of the {grammar.name} {what} `{owner}`.{about(_without_code(_doc_above(_outer(owners[-1]), grammar)))}"


def _response(node: Node, source: bytes) -> tuple[str, tuple[str, ...]]:
    """The source with its attributes and decorators, dedented where a line does not begin inside a string; and its tokens."""
    first, tokens, inside, comments = node, [_text(leaf) for leaf in _code(node)], _rows_inside(node), set[int]()
    while (above := first.prev_named_sibling) is not None and above.end_point[0] + 1 >= first.start_point[0]:
        if above.type in _ATTRIBUTES:
            tokens = [_text(leaf) for leaf in _code(above)] + tokens
        elif above.type in _COMMENTS and _has_attribute_above(above):
            comments.update(range(above.start_point[0], first.start_point[0]))
        else:
            break
        first = above
    lines = source[first.start_byte : node.end_byte].decode("utf-8", "replace").split("\n")
    row, columns = first.start_point
    kept = [
        line if number == row or number in inside else _dedent(line, columns)
        for number, line in enumerate(lines, row)
        if number not in comments
    ]
    return "\n".join(kept).rstrip(), tuple(token for token in tokens if token)


def _has_attribute_above(comment: Node) -> bool:
    above = comment.prev_named_sibling
    while above is not None and above.type in _COMMENTS:
        above = above.prev_named_sibling
    return above is not None and above.type in _ATTRIBUTES and above.end_point[0] + 2 >= comment.start_point[0]


def _rows_inside(node: Node) -> set[int]:
    """The rows that begin inside a string."""
    return {
        row
        for leaf in _code(node)  # the end of a line is a leaf of its own behind C's `#if`
        for row in range(leaf.start_point[0] + 1, leaf.end_point[0] + (leaf.end_point[1] > 0))
    }


def _code(node: Node) -> Iterator[Node]:
    """The leaves that are no comments."""
    stack = [node]
    while stack:
        at = stack.pop()
        if at.type in _COMMENTS:
            continue
        if at.child_count:
            stack.extend(reversed(at.children))
        else:
            yield at


def _dedent(line: str, columns: int) -> str:
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(blank, columns) :].rstrip()


def _text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""

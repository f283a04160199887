"""Parsers of other languages than Python: tree-sitter (https://tree-sitter.github.io) with one grammar wheel per language."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from codeact.errors import require

if TYPE_CHECKING:
    from tree_sitter import Parser

GRAMMARS: Mapping[str, tuple[str, str]] = {
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_tsx"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "ruby": ("tree_sitter_ruby", "language"),
    "sql": ("tree_sitter_sql", "language"),
    "bash": ("tree_sitter_bash", "language"),
}
"""Language -> module and function of its grammar."""
GRAMMAR_MODULES = tuple(sorted({module for module, _ in GRAMMARS.values()}))


@lru_cache(maxsize=32)
def grammar_parser(language: str, purpose: str, entry: str = "") -> Parser:
    """The parser of a language.

    Args:
        language: a key of `GRAMMARS`.
        purpose: what it is for, such as "checking the syntax of go"; a message says it where the extra is missing.
        entry: another grammar of the same module, such as `language_typescript`, which has no JSX.

    Raises:
        MissingExtraError: tree-sitter or the grammar is not installed.
    """
    module, usual = GRAMMARS[language]
    tree_sitter = require("tree_sitter", "curate", purpose)
    grammar = require(module, "curate", purpose)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Parser = tree_sitter.Parser(tree_sitter.Language(getattr(grammar, entry or usual)()))
    return parser

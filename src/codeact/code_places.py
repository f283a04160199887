"""Does a place in a text belong to a program? What settings, data and prose log in with is mostly a sample or a default."""

from __future__ import annotations

import re

_CODE_FILE = re.compile(
    r"\.(?:pyw?|pyx|jsx?|mjs|cjs|tsx?|mts|java|kts?|scala|groovy|go|rs|c|h|cc|cpp|cxx|hh|hpp|hxx|inl|cs|fs|vb|rb|php|phtml|swift|m|mm|pl|pm|lua|r|jl|dart|exs?|erl|hs|"
    r"clj|elm|nim|zig|pas|asm|s|cu|sol)$",
    re.IGNORECASE,
)
_OTHER_FILE = re.compile(
    r"\.(?:ya?ml|json[5cl]?|ndjson|toml|ini|cfg|conf|cnf|config|properties|env\w*|xml|xsd|plist|tf\w*|hcl|csv|tsv|txt|text|log|sql|sh|bash|zsh|fish|bat|cmd|ps1|ipynb|vue|"
    r"svelte|css|s[ac]ss|less|pem|key|crt|cer|asc|gpg|gradle|lock|service|desktop|example|dist|sample|template|tmpl|tpl|j2|in|local|default|htpasswd|http|rest|md|rst|html?)$"
    r"|(?:^|[/\\])(?:\.[\w.-]+|[A-Z]+|(?:docker|make|jenkins|vagrant|proc|caddy|rake|gem|pip)file[\w.-]*)$",
    re.IGNORECASE,
)
# Manifests and lists of people name the authors of the very software.
_PEOPLE_FILE = re.compile(
    r"(?:^|[/\\])(?:package|composer|bower|codemeta|\.all-contributorsrc)(?:\.json)?$|(?:^|[/\\])(?:pom\.xml|cargo\.toml|pyproject\.toml|setup\.cfg|\w+\.(?:gemspec|nuspec|podspec|cabal|spec)|"
    r"description|pkg-info|authors?|thanks|credits|contributors|maintainers|copying|copyright|licen[cs]e|mailmap|\.mailmap)(?:\.(?:txt|in))?$",
    re.IGNORECASE,
)
_OTHER_LABEL = re.compile(
    r"(?:ya?ml|json\w*|toml|ini|cfg|conf\w*|properties|(?:dot)?env|xml|html?|csv|tsv|te?xt|plain\w*|md|markdown|log|output|console|terminal|(?:bash|sh|zsh|shell)\w*|cmd|powershell|"
    r"docker\w*|nginx|apache\w*|http|rest|curl|hcl|terraform|pem|sql|mysql|email|diff)$",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t>]*(?:```+|~~~+)[ \t]*\{?\.?([\w+#.-]*)[^`\n]*$", re.MULTILINE)
# What only a program says: a definition, an import, a call with a text that ends a statement, a value that is given to a name with blanks around.
_PROGRAM = re.compile(
    r"\b(?:async )?def \w+\s*\(|\bclass \w+\s*[:({]|\bclass \w+ (?:extends|implements)\b|\bfunction\*?\s*\w*\s*\(|\bfunc(?:tion)?\s*(?:\([^)\n]{0,80}\)\s*)?\w+\s*\("
    r"|\bf(?:n|un) \w+\s*[(<]|^[^\S\n]*(?:import [\w.{*\"'/ ]+|from [\w.]+ import |#\s*include\s*[<\"]|using [\w.]+;|package [\w.]+;?$|require(?:_once)?\b"
    r"|use [\w:\\{}, ]+;|namespace \w)|\b(?:public|private|protected|static|final) [\w<>\[\], ]{1,80}[({=;]|<\?php|=>\s*\{|\)\s*\{\s*$"
    r"|^#!.*\b(?:python|node|ruby|perl|php)|\b(?:const|let|var|val|auto|String|char|string)\s+\*?\w+(?:\[\])?(?::\s?[&\w<>]+)?\s*=|^[^\S\n]*(?:return\b|\$\w+\s*=|#\s*define\s)"
    r"|(?:^|[=(,]\s{0,3}|\bawait |\bnew |\bself\.)[A-Za-z_][\w.:]*(?:->\w+)?\([^()\n'\"]{0,120}['\"][^()\n]{0,200}\)[;)]*\s*$"
    r"|^[^\S\n]*[A-Za-z_一-鿿가-힣ぁ-ヿа-яёА-ЯЁ][\w.\[\]'\"]*\s+:?=\s+[rbfuRBFU]{0,2}['\"{\[(]|\b(?:if|elif|while)\b[^\n]{0,120}:\s*$|\bif\s*\(|[!=]==?\s*['\"]",
    re.MULTILINE,
)


def is_in_code(text: str, position: int, path: str) -> bool:
    """Whether a program stands there.

    Args:
        text: an answer, a file, ...
        position: in it; in a block between fences, that block alone counts.
        path: where the text lies, "" if that is not known; a known suffix decides.
    """
    if _CODE_FILE.search(path):
        return True
    if _OTHER_FILE.search(path):
        return False
    start, end, label = _around(text, position)
    return not _OTHER_LABEL.match(label) and _PROGRAM.search(text, start, end) is not None


def names_people(path: str) -> bool:
    """Whether a file names the authors of a software: its manifest, a list of people."""
    return _PEOPLE_FILE.search(path) is not None


def is_of_other_file(path: str) -> bool:
    """Whether a path says that no program lies there: settings, data, prose."""
    return _OTHER_FILE.search(path) is not None and _CODE_FILE.search(path) is None


def _around(text: str, position: int) -> tuple[int, int, str]:
    """(start, end, label) of the fenced block around a position, or of what lies between two of them."""
    start, end, label, inside = 0, len(text), "", False
    for fence in _FENCE.finditer(text):
        if fence.start() > position:
            end = fence.start()
            break
        start, inside = fence.end(), not inside
        label = fence[1] if inside else ""
    return start, end, label

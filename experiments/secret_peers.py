"""What two scanners say of the same texts: detect-secrets with its default settings, and the rules of gitleaks' configuration.

gitleaks is no Python: its rules (https://github.com/gitleaks/gitleaks, `config/gitleaks.toml`, MIT) are read from a file and applied
here as its source does, keywords first, then the expression, the entropy of the secret, and the lists of what is allowed.
"""

from __future__ import annotations

import math
import re
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import regex
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

Lines = Callable[[str], list[tuple[int, str]]]


def by_detect_secrets(text: str, suffix: str = ".txt") -> list[tuple[int, str]]:
    """(line, kind) of what its default plugins and filters find in a file of this text, the entropy of strings among them."""
    with tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        with default_settings():
            return sorted((secret.line_number, secret.type) for secret in scan_file(file.name))


def by_gitleaks(configuration: Path) -> Lines:
    """A scanner with the rules of a `gitleaks.toml`."""
    settings = tomllib.loads(configuration.read_text(encoding="utf-8"))
    allowed = _allowances(settings.get("allowlist", {}))
    rules = [_Rule(rule) for rule in settings["rules"] if "regex" in rule]

    def scan(text: str) -> list[tuple[int, str]]:
        lower = text.lower()
        rows = text.split("\n")
        return [
            (text.count("\n", 0, position) + 1, rule.name)
            for rule in rules
            if not rule.keywords or any(word in lower for word in rule.keywords)
            for position in rule.hits(text, rows, allowed)
        ]

    return scan


class _Rule:
    def __init__(self, rule: dict[str, Any]) -> None:
        self.name: str = rule["id"]
        self.keywords: list[str] = [word.lower() for word in rule.get("keywords", ())]
        self.pattern = _compiled(rule["regex"])
        self.entropy: float = rule.get("entropy", 0.0)
        self.group: int = rule.get("secretGroup", 0)
        self.allowed = [_allowances(some) for some in rule.get("allowlists", ())]

    def hits(self, text: str, rows: list[str], allowed: Callable[..., bool]) -> Iterator[int]:
        for match in self.pattern.finditer(text, timeout=20):
            groups = [group for group in match.groups() if group]
            secret = match[self.group] if self.group else groups[0] if groups else match[0]
            line = rows[text.count("\n", 0, match.start())]
            if self.entropy and _entropy(secret) <= self.entropy:
                continue
            if not any(rule(secret, match[0], line) for rule in (allowed, *self.allowed)):
                yield match.start()


def _allowances(settings: dict[str, Any]) -> Callable[[str, str, str], bool]:
    patterns = [_compiled(text) for text in settings.get("regexes", ())]
    words = [word.lower() for word in settings.get("stopwords", ())]
    target = settings.get("regexTarget", "secret")

    def is_allowed(secret: str, match: str, line: str) -> bool:
        if settings.get("condition") == "AND" and "paths" in settings:
            return False
        looked = {"secret": secret, "match": match, "line": line}[target]
        return any(p.search(looked) for p in patterns) or any(word in secret.lower() for word in words)

    return is_allowed


def _compiled(pattern: str) -> regex.Pattern[str]:
    """An expression of Go's in Python: flags within it hold to the end of their group, `\\z` is `\\Z`."""
    return regex.compile(re.sub(r"\\z", r"\\Z", pattern).replace("[[:alnum:]]", "[A-Za-z0-9]"), regex.VERSION1)


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0

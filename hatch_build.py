"""The README as an index shows it, where the repository's own paths lead nowhere; and the pages of docs/ in the wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


class Readme(MetadataHookInterface):
    """Sets `readme`: with `urls.Repository` relative links become addresses there, without it their text alone stays."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        shown = outside(text, str(metadata.get("urls", {}).get("Repository", "")))
        metadata["readme"] = {"content-type": "text/markdown", "text": shown}


def outside(text: str, repository: str) -> str:
    """Markdown whose relative links lead to `repository`; without one pictures go, and of links the text stays."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({repository.rstrip('/')}/{'raw' if picture else 'blob'}/HEAD/{path})"

    return LINK.sub(link, text)


class Pages(BuildHookInterface):  # type: ignore[type-arg]
    """Puts docs/**/*.md beside the package's modules, for `codeact docs`: text alone, no pictures."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        docs = Path(self.root, "docs")
        for page in docs.rglob("*.md") if version == "standard" else ():
            build_data["force_include"][str(page)] = f"codeact/docs/{page.relative_to(docs).as_posix()}"

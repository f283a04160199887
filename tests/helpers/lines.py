"""Files that tests read: JSON lines, and folders of small texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    """Each row as JSON on a line of its own; a text that is given stands as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_files(folder: Path, texts: Mapping[str, str]) -> Path:
    """Texts by their path in the folder."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder

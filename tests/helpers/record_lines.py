"""Rows as `codeact records` reads them, who says what in a record that it shows, and one conversation in two forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codeact import api

Row = dict[str, Any]


def read(tmp_path: Path, *rows: Row, **options: Any) -> dict[str, Any]:
    """What `codeact records --json` prints for a file of these rows."""
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return api.preview(str(path), show=len(rows), **options)


def turns(found: dict[str, Any], place: int = 0) -> list[tuple[str, str]]:
    """Who says what in a shown record; calls and thinking as `name(arguments)` and `<thinking>`."""
    said = []
    for m in found["shown"][place]["messages"]:
        calls = "".join(
            f"{c['function']['name']}({json.dumps(c['function']['arguments'])})" for c in m.get("tool_calls", ())
        )
        thought = f"<{m['reasoning']}>" if m.get("reasoning") else ""
        said.append((m["role"] + ("" if m.get("learn", True) else " off"), thought + m["content"] + calls))
    return said


U, A = ("user", "Wie sortiert man?"), ("assistant", "Mit sorted().")
S = ("system", "你是助手。")
PLAIN = [{"role": "user", "content": U[1]}, {"role": "assistant", "content": A[1]}]
SHARED = [{"from": "human", "value": U[1]}, {"from": "gpt", "value": A[1]}]

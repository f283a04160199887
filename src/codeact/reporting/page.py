"""One self-contained page from a template: it asks the network for nothing, and no text in it can run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def render_page(template: str, tools: Mapping[str, Callable[..., Any]], data: Mapping[str, Any] | None = None, **values: object) -> str:
    """The page that a template of this folder makes, in the frame that all pages share (`frame.html.jinja`).

    A content security policy allows no connection at all and no script but the inlined one, so that text from
    records cannot run or load anything even if an escape were missed.

    Args:
        template: fills the blocks `title` and `body` of the frame.
        tools: functions that the template calls, as filters and by name.
        data: what the page's script reads, by name; a page without has no script.
        values: what else the template reads.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters |= tools
    environment.globals |= tools
    script = (FOLDER / "page.js").read_text(encoding="utf-8").strip() if data else ""
    return environment.get_template(template).render(
        data={name: safe_json(value) for name, value in (data or {}).items()},
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script_sources=f"'sha256-{_sha256(script)}'" if script else "'none'",
        script=script,
        **values,
    )


def safe_json(value: object) -> str:
    """JSON that cannot end or open an element or a comment, nor break a script line, inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()).decode("ascii")

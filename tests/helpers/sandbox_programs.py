"""Ordinary answers that touch what a sandbox may refuse: no two sandboxes may differ on one.

Each section of the three files is the body of an `f()` that says what it met; `met(g)` is the value of g(), or the name of what it raised.
"""

from __future__ import annotations

from textwrap import indent

from tests.helpers import ordinary_files, ordinary_imports, ordinary_processes

_MET = """
def met(g):
    try:
        value = g()
    except BaseException as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}"
    return value if isinstance(value, (int, float, str, bytes, tuple, list, type(None))) else type(value).__name__
"""
BODIES = {
    name: body
    for part in (ordinary_imports, ordinary_files, ordinary_processes)
    for name, body in (section.split("\n", 1) for section in part.SECTIONS.split("\n## ")[1:])
}


def source(name: str) -> str:
    """The program of that name."""
    return f"{_MET}\ndef f():\n{indent(BODIES[name], '    ')}\n"

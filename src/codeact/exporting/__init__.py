"""The selection goes where people train: rows, the tool's own configuration, and a card that says how it was chosen."""

from __future__ import annotations

from codeact.exporting.run import TOOLS, export

__all__ = ["TOOLS", "export"]

"""Records of one question and one answer."""

from __future__ import annotations

from codeact.records import Message, Record


def fence(code: str, language: str = "python") -> str:
    """An answer whose middle is a block of code."""
    return f"Here it is:\n\n```{language}\n{code}\n```\n\nIt is done."


def record(identity: str, instruction: str, response: str, row: int = 0) -> Record:
    return Record(identity, (Message("user", instruction), Message("assistant", response)), {"row": row})

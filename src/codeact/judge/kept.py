"""Answers of endpoints on disk."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codeact.errors import CodeactError
from codeact.files import make_folder

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
BROKEN = ("error", "abort", "aborted", "cancelled", "failed")
"""Why a text ends that is no answer: the server broke it off."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer.

    Attributes:
        text: what was said.
        finish: why it ends, as the server said it.
        model: the name of the model that the server said it came from; empty: it did not say.
        asked: the moment, in UTC to the second; empty: not known, of an early version.
    """

    text: str
    finish: str = ""
    model: str = ""
    asked: str = ""


class Cache:
    """Answers on disk, keyed by the hash of address and request body, and by what the server had loaded under the model's name.

    What was asked once is never paid for again. What was loaded is often not known (""), and such answers count for any.

    Raises:
        CodeactError: the file is damaged, or cannot be read or written; so do all methods.
    """

    def __init__(self, path: Path) -> None:
        # answers quote people's data: they are for this user alone
        if not path.parent.exists():
            make_folder(path.parent.parent)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        self.path = path
        self._lock = threading.Lock()
        with self._told():
            self._data = sqlite3.connect(path, check_same_thread=False, timeout=60.0)
            with self._data:
                self._data.execute("BEGIN IMMEDIATE")
                self._data.execute(
                    "CREATE TABLE IF NOT EXISTS kept (key TEXT, served TEXT, text TEXT NOT NULL, finish TEXT, model TEXT, asked TEXT, PRIMARY KEY (key, served))"
                )
                self._take_over()

    @staticmethod
    def key(url: str, payload: Mapping[str, Any]) -> str:
        """SHA-256 over the canonical JSON of address and body; the API key is no part of it."""
        return hashlib.sha256(json.dumps([url, payload], sort_keys=True).encode()).hexdigest()

    def get(self, key: str, served: str = "", since: str = "") -> Kept | None:
        """The answer, or None.

        Args:
            key: of the request.
            served: what the server has loaded; empty: it does not say.
            since: an answer that is not younger does not count (UTC, ISO 8601); empty: any does.
        """
        with self._told(), self._lock:
            row = self._data.execute(
                "SELECT text, finish, model, asked FROM kept WHERE key = :key AND (served IN (:served, '') OR :served = '') AND (asked > :since OR :since = '')"
                " ORDER BY served = :served DESC, asked DESC LIMIT 1",
                {"key": key, "served": served, "since": since},
            ).fetchone()
        return None if row is None else Kept(*map(str, row))

    def put(self, key: str, answer: Kept, served: str = "") -> None:
        """Keep an answer; it is on disk when this returns."""
        with self._told(), self._lock, self._data:
            self._data.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", (key, served, *astuple(answer)))

    def close(self) -> None:
        """Close the file."""
        self._data.close()

    def _take_over(self) -> None:
        """The answers of an early version, which had a row of its own for why one ends."""
        if not self._data.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
            return
        self._data.execute(
            "INSERT OR IGNORE INTO kept SELECT key, '', text, coalesce((SELECT text FROM answers WHERE key = one.key || '#finish'), ''), '', ''"
            " FROM answers AS one WHERE key NOT LIKE '%#finish'"
        )
        self._data.execute(f"DELETE FROM kept WHERE finish IN ({', '.join('?' * len(BROKEN))})", BROKEN)
        self._data.execute("DROP TABLE answers")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") in DAMAGED:
                raise CodeactError(f"{self.path}, where answers are kept, is damaged ({error}); move it away, and they are asked for anew") from error
            if isinstance(error, sqlite3.OperationalError):
                raise CodeactError(f"{self.path}, where answers are kept, cannot be used ({error}); mend that, or set CODEACT_CACHE to another folder") from error
            raise


def now() -> str:
    """This moment as `Kept.asked` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Answers of endpoints on disk."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.files import make_folder


class Cache:
    """Answers on disk, keyed by the hash of address and request body: what was asked once is never paid for again."""

    def __init__(self, path: Path) -> None:
        # answers quote people's data: they are for this user alone
        if not path.parent.exists():
            make_folder(path.parent.parent)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._lock = threading.Lock()
        self._data = sqlite3.connect(path, check_same_thread=False, timeout=60.0)
        with self._lock, self._data:
            self._data.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL)")

    @staticmethod
    def key(url: str, payload: Mapping[str, Any]) -> str:
        """SHA-256 over the canonical JSON of address and body; the API key is no part of it."""
        return hashlib.sha256(json.dumps([url, payload], sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The answer's text, or None."""
        with self._lock:
            row = self._data.execute("SELECT text FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, text: str) -> None:
        """Keep an answer; it is on disk when this returns."""
        with self._lock, self._data:
            self._data.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file."""
        self._data.close()

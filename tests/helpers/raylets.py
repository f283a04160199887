"""What waits for a raylet that has ended is told so at once: Ray itself would wait for minutes."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


def _living() -> set[str]:
    """The raylets that this process has started and that live, by their process numbers."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            name, _, fields = stat.read_text(errors="replace").rpartition(")")
            state, parent = fields.split()[:2]
            if name.endswith("(raylet") and state != "Z" and int(parent) == os.getpid():
                found.add(stat.parent.name)
    return found


class RayletsWatched:
    """A block that is left once a raylet that was started in it has ended, or comes too late for Ray, which waits 30 s for each.

    Attributes:
        ended: what has ended or came too late; empty where the block was left at its end.
    """

    def __init__(self) -> None:
        self.ended: list[str] = []

    def __enter__(self) -> list[str]:
        self._done, self._before = threading.Event(), _living()
        self._handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self.ended

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._done.set()
        self._watcher.join()
        signal.signal(signal.SIGINT, self._handler)
        if "timed out during startup" in str(error):
            self.ended.append("too late")
            return True
        return kind is KeyboardInterrupt and bool(self.ended)

    def _watch(self) -> None:
        seen: set[str] = set()
        while not self._done.wait(0.5):
            now = _living() - self._before
            if gone := seen - now:
                self.ended.extend(gone)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            seen |= now

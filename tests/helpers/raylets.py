"""What waits for a raylet that has ended is told so at once: Ray itself would wait for minutes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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


@contextmanager
def raylets_watched() -> Iterator[list[str]]:
    """Leave the block once a raylet that was started in it has ended; the list then holds its process number."""
    done, ended, before = threading.Event(), list[str](), _living()

    def watch() -> None:
        seen: set[str] = set()
        while not done.wait(0.5):
            now = _living() - before
            ended.extend(seen - now)
            if ended:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            seen |= now

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield ended
    except KeyboardInterrupt:
        if not ended:
            raise
    finally:
        done.set()
        watcher.join()
        signal.signal(signal.SIGINT, handler)

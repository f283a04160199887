"""Progress for long work: a bar with ETA on a terminal, one plain line now and then in a pipe; nothing until `show()` is called.

The command line calls it; a notebook or a script may: `from codeact import progress; progress.show()`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_INTERVAL_S = 10.0
RATE_SECONDS = 600.0  # of the work before that a terminal's ETA goes by: a unit may take minutes


class Progress(Protocol):
    """What a long loop reports to."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Say that `amount` more units are done; `note` is shown beside the bar."""


class Steady:
    """Advances a progress by whole units, evenly with the work done: units of which the largest come first do not look slow at the start.

    Args:
        progress: what is advanced, by `units` in all.
        units: how many the work makes.
        work: all of it, in any unit, such as tokens.
    """

    def __init__(self, progress: Progress, units: int, work: float) -> None:
        self.progress, self.units, self.work = progress, units, work
        self.done, self.told = 0.0, 0

    def add(self, work: float, note: str = "") -> None:
        """Say that so much more of the work is done; `note` as in `Progress.advance`."""
        self.done += work
        reached = int(self.units * self.done / self.work) if self.done < self.work else self.units
        self.progress.advance(reached - self.told, note)
        self.told = reached


class _Silent:
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        return None


class _Plain:
    def __init__(self, label: str, total: float, unit: str, done: float) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self.first, self.started = done, time.monotonic()
        self.last = self.started
        self.warm: tuple[float, float] | None = None  # when the first units were done, and how many there were then

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if amount and self.warm is None:
            self.warm = now, self.done
        if now - self.last >= PLAIN_INTERVAL_S and self.done < self.total:
            self.last = now
            self.line(note)

    def line(self, note: str = "") -> None:
        now = time.monotonic()
        rate = _rate(self.done - self.first, now - self.started)
        speed = f"{f'{rate:,.1f}' if rate >= 1 else f'{rate:.2g}'} {self.unit}/s"
        if self.first == self.done == self.total:
            speed = "done before"
        # what is loaded before the first unit is not loaded again
        at, before = self.warm or (self.started, self.first)
        pace = _rate(self.done - before, now - at) or rate
        left = f", ETA {format_seconds((self.total - self.done) / pace)}" if pace > 0 and self.done < self.total else ""
        tail = f", {note}" if note else ""
        print(
            f"{self.label}: {self.done:,.0f}/{self.total:,.0f} {self.unit} ({speed}{left}{tail})",
            file=sys.stderr,
            flush=True,
        )


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0


SILENT: Progress = _Silent()
_shown = [False]


def show(on: bool = True) -> bool:
    """Switch progress on stderr on or off for this process; says whether it was on."""
    before, _shown[0] = _shown[0], on
    return before


def format_seconds(seconds: float) -> str:
    """`75` -> `1:15`, `3700` -> `1:01:40`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def track(
    label: str, total: float, unit: str = "records", done: float = 0.0, shown: bool = True
) -> Iterator[Progress]:
    """Show progress of `total` units on stderr while the block runs, where `show` switched it on.

    Args:
        label: what is done.
        total: units in all.
        unit: their name.
        done: units that were finished before (a resumed stage).
        shown: False for the processes of a distributed run that are not the first.
    """
    if not (shown and _shown[0]):
        yield SILENT
        return
    if sys.stderr.isatty():
        with _rich_bar(label, total, unit, done) as bar:
            yield bar
        return
    plain = _Plain(label, total, unit, done)
    yield plain
    plain.line()


@contextmanager
def _rich_bar(label: str, total: float, unit: str, done: float) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), speed_estimate_period=RATE_SECONDS) as shown:
        task = shown.add_task(label, total=total, completed=int(done), note="")

        class _Bar:
            def advance(self, amount: float = 1.0, note: str = "") -> None:
                if note:
                    shown.update(task, note=note)
                shown.update(task, advance=amount)

        yield _Bar()

"""Files of the log: modules say what happens by `logging.getLogger(__name__)`, all below the logger `codeact`.

Importing codeact shows and writes nothing of it. A run directory keeps `log.txt`; the command line adds its own lines and `--log-file`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from codeact import __version__
from codeact.errors import CodeactError, InputError
from codeact.files import local, make_folder
from codeact.redact import redact
from codeact.terminal import visible_lines

LOG = logging.getLogger("codeact")
RUN_LOG = "log.txt"
_run: ContextVar[Path | None] = ContextVar("run", default=None)  # of this thread; workers of a run have none
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class _Line(logging.Formatter):
    """`2026-11-28T00:40:40.123+00:00 INFO codeact.pipeline.run: text`, without secrets; further lines of a text are indented."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return visible_lines(redact(super().format(record))).replace("\n", "\n    ")


def may_hold_log(path: Path) -> bool:
    """Whether there is no such file, an empty one, or a log of codeact."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as there:
        start = there.read(32)
    return not start or _STAMP.match(start) is not None


class LogFile(logging.FileHandler):
    """Appends every line to a file, with its time in UTC.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        make_folder(local(path).parent, "choose another file (--log-file)")
        try:
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise InputError(f"log file {path} cannot be written: {error.strerror or error}") from error
        self.setFormatter(_Line("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk ends the log, not the run, which will say so itself."""

    def close(self) -> None:
        """What is left in the buffer is lost on a full disk; the run says so itself, or did not need it."""
        with suppress(OSError):
            super().close()

    def write(self, logger: logging.Logger, level: int, text: str, error: BaseException | None = None) -> None:
        """One line in this file alone."""
        told = (type(error), error, error.__traceback__) if error is not None else None
        self.handle(logger.makeRecord(logger.name, level, "", 0, "%s", (text,), told))


@contextmanager
def run_log(run_dir: Path, logger: logging.Logger) -> Iterator[Callable[[str], None]]:
    """Keep what is logged while the block runs in the run directory's `log.txt`, after what earlier runs left there.

    The caller holds the run directory's lock. What is yielded logs a line of the run at INFO; the file has it whatever level is asked for.

    Raises:
        InputError: the file cannot be written.
    """
    file = LogFile(run_dir / RUN_LOG)
    file.addFilter(lambda record: _run.get() in (None, run_dir))  # two runs in two threads keep their lines apart
    token = _run.set(run_dir)
    LOG.addHandler(file)

    def note(line: str) -> None:
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", line)
        else:
            file.write(logger, logging.INFO, line)

    try:
        file.write(logger, logging.INFO, f"begins, codeact {__version__}")
        yield note
        file.write(logger, logging.INFO, "done")
    except KeyboardInterrupt:
        file.write(logger, logging.WARNING, "interrupted")
        raise
    except CodeactError as error:
        file.write(logger, logging.ERROR, str(error))
        raise
    except BaseException as error:
        file.write(logger, logging.ERROR, f"ended by {type(error).__name__}", error)
        raise
    finally:
        LOG.removeHandler(file)
        _run.reset(token)
        file.close()

"""The `codeact` command and `python -m codeact`: Ctrl-C is one line before the commands are imported, too."""

from __future__ import annotations

import os
import signal

LINE = b"codeact: interrupted; run the same command again\n"
STATUS = 128 + signal.SIGINT


def main() -> None:
    """Entry point."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else the caller wants it ignored
    if own:
        signal.signal(signal.SIGINT, _stop)
    from codeact import cli

    if own:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli.main()
    except KeyboardInterrupt:  # before the command can say what it keeps, or while it ends for another
        os.write(2, LINE)
        raise SystemExit(STATUS) from None


def _stop(*_: object) -> None:
    """End at once: an exception amid an import, which may be in a callback, would be shown and lost."""
    os.write(2, LINE)
    os._exit(STATUS)


if __name__ == "__main__":
    main()

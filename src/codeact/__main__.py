"""The `codeact` command and `python -m codeact`: Ctrl-C is one line before the commands are imported, too."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Entry point."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else the caller wants it ignored
    if own:
        signal.signal(signal.SIGINT, _stop)
    from codeact.cli import main as command

    if own:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command()
    except KeyboardInterrupt:  # before the command can say what it keeps
        _stop()


def _stop(*_: object) -> None:
    """End at once: an exception amid an import, which may be in a callback, would be shown and lost."""
    os.write(2, b"codeact: interrupted; nothing was begun: run the same command again\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

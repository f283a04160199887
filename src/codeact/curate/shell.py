"""What the shell itself says of a script, without running it."""

from __future__ import annotations

import shutil
import subprocess

SECONDS = 5


def bash_refuses(code: str) -> bool:
    """Whether this machine's bash cannot parse the code (`bash -n` reads commands and runs none of them).

    False where there is no bash, or where it takes more than five seconds: then nothing is known.
    """
    bash = shutil.which("bash")
    if bash is None:
        return False
    try:
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-n"], input=code.encode("utf-8", "replace"), capture_output=True,
            env={}, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode != 0

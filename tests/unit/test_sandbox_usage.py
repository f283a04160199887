"""What is known of the processor time of a program that only waits."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from codeact.sandbox.usage import GroupUsage


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_program_without_a_tick_is_known_to_wait() -> None:
    """Taken for one of which nothing is known, it slept past its limit on a fast machine: `time.sleep(60)` passed."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as waiting:
        usage = GroupUsage(waiting.pid)
        time.sleep(0.1)
        try:
            found = usage.look()
        finally:
            waiting.kill()
        waiting.wait()
        assert found.known
        assert found.used <= 0.05  # it sleeps; mostly there is no tick at all
        assert not usage.look().known

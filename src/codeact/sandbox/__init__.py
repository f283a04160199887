"""Runs untrusted Python; see docs/sandbox.md for what it covers.

The child gets code and arguments only and answers in tagged JSON; whoever calls this decides what an answer is worth.
"""

from __future__ import annotations

from codeact.sandbox.backends import Backend
from codeact.sandbox.calls import Answer, Calls, Outcome, call_function, run_check, run_program
from codeact.sandbox.opaque import Opaque
from codeact.sandbox.probe import Probe, detect_backend, probe_backend
from codeact.sandbox.process import DEFAULT_LIMITS, Limits, Stop

__all__ = [
    "DEFAULT_LIMITS",
    "Answer",
    "Backend",
    "Calls",
    "Limits",
    "Opaque",
    "Outcome",
    "Probe",
    "Stop",
    "call_function",
    "detect_backend",
    "probe_backend",
    "run_check",
    "run_program",
]

"""What every script here does: take settings, load, and do the work once for each line of standard input.

Runs in a tool's own environment: the standard library alone.
"""

import json
import resource
import sys
import time


def settings() -> dict:
    """The JSON of the first argument."""
    return json.loads(sys.argv[1])


def processor_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def serve(work) -> None:
    """Say that all is loaded, then do `work(number)` for each line, and tell the seconds with what it returns."""
    answer({})
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), processor_seconds()
        found = work(int(line)) or {}
        answer({"seconds": time.perf_counter() - wall, "cpu_seconds": processor_seconds() - cpu, **found})


def answer(document: dict) -> None:

    print("ANSWER " + json.dumps(document), flush=True)

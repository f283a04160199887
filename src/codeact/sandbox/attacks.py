"""What a hostile program would try. The source of this module runs inside the sandbox; every attack must fail there.

Each attack returns what it got, or raises. `facts` is what the attacker is told, to make it as easy as can be.
Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from typing import Any

CLONE_NEWUSER = 0x10000000
PTRACE_SEIZE = 0x4206
MEMORY_BYTES = 8 << 30


def attack(name: str, facts: dict[str, Any]) -> object:
    """Carry out the attack `name`; a value that is not None says that it worked."""
    return globals()[f"_{name}"](facts)


def _honest(facts: dict[str, Any]) -> object:
    import collections
    import json
    import math
    import re

    return [json.loads("[1]"), math.sqrt(4), re.sub("a", "b", "a"), collections.Counter("aa"), {1, 2}, facts["pid"]]


def _connect_loopback(facts: dict[str, Any]) -> object:
    with socket.create_connection(("127.0.0.1", facts["port"]), timeout=1):
        return "connected"


def _connect_unix(facts: dict[str, Any]) -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + facts["abstract_socket"])
        return "connected"


def _read_home(facts: dict[str, Any]) -> object:
    with open(facts["secret_file"]) as file:  # noqa: PTH123
        return file.read()


def _read_shadow(facts: dict[str, Any]) -> object:
    with open("/etc/shadow") as file:  # noqa: PTH123
        return file.read(1)


def _read_passwd(facts: dict[str, Any]) -> object:
    with open("/etc/passwd") as file:  # noqa: PTH123
        return file.read(1)


def _write_outside(facts: dict[str, Any]) -> object:
    written = []
    for folder in facts["folders"]:
        path = os.path.join(folder, facts["marker"])  # noqa: PTH118
        try:
            with open(path, "w") as file:  # noqa: PTH123
                file.write("x")
        except OSError:
            continue
        written.append(path)
    return written or None


def _read_environment(facts: dict[str, Any]) -> object:
    seen = "\0".join(f"{key}={value}" for key, value in os.environ.items())
    for process in ("self", "1", str(facts["pid"]), str(os.getppid())):
        try:
            with open(f"/proc/{process}/environ", errors="replace") as file:  # noqa: PTH123
                seen += "\0" + file.read()
        except OSError:
            continue
    return seen.split("\0")


def _fork(facts: dict[str, Any]) -> object:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"


def _spawn(facts: dict[str, Any]) -> object:
    return subprocess.run([sys.executable, "-c", "pass"], check=True).returncode


def _thread(facts: dict[str, Any]) -> object:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return "started"


def _signal_parent(facts: dict[str, Any]) -> object:
    reached = []
    for process in {facts["pid"], os.getppid(), 1, -1}:
        try:
            os.kill(process, 0)
        except OSError:
            continue
        reached.append(process)
    return reached or None


def _trace_parent(facts: dict[str, Any]) -> object:
    traced = []
    for process in {facts["pid"], os.getppid(), 1}:
        if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, process, None, None) == 0:
            traced.append(process)
        try:
            with open(f"/proc/{process}/mem", "rb"):  # noqa: PTH123
                traced.append(process)
        except OSError:
            continue
    return traced or None


def _nest_namespace(facts: dict[str, Any]) -> object:
    return "made a namespace" if ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0 else None


def _raise_limits(facts: dict[str, Any]) -> object:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "raised"


def _allocate(facts: dict[str, Any]) -> object:
    return len(bytearray(MEMORY_BYTES))


def _loop(facts: dict[str, Any]) -> object:
    while True:
        pass


def _flood(facts: dict[str, Any]) -> object:
    line = b"x" * (1 << 16)
    for _ in range(1 << 14):
        for descriptor in range(1, 16):
            try:
                os.write(descriptor, line)
            except OSError:
                continue
    return "written"

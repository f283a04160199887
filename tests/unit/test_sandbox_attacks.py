"""Hostile programs against every backend that this machine has; each attack is shown to work without a sandbox first."""

from __future__ import annotations

import os
import platform
import re
import resource
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codeact.sandbox import Backend, Limits, call_function, detect_backend, run_check
from codeact.sandbox.probe import RETURNING, attack_facts, attack_source
from codeact.sandbox.seccomp import ALLOWED, AUDIT_ARCH, CONDITIONAL, EXECVE, build_filter
from tests.helpers.sandboxes import SANDBOXES, held_sandbox

LIMITS = Limits(output_bytes=1 << 20)


@pytest.fixture(scope="module", params=SANDBOXES)
def backend(request: pytest.FixtureRequest) -> Backend:
    """What the kernel refuses, without what the view of the file system hides before it is asked."""
    return replace(held_sandbox(request.param), view=False)


@pytest.fixture(scope="module")
def unsafe() -> Backend:
    return detect_backend(prefer="none", unsafe=True)


@pytest.fixture(scope="module")
def facts() -> Iterator[dict[str, Any]]:
    with attack_facts() as found:
        yield found


def attack(name: str, facts: dict[str, Any], backend: Backend, limits: Limits = LIMITS) -> Any:
    (outcome,) = call_function(
        attack_source(), "attack", [[name, facts]], limits=limits, backend=backend, call_seconds=5
    )
    assert outcome.status in ("passed", "failed", "memory"), outcome
    return outcome.value


@pytest.mark.parametrize("name", [name for name in RETURNING if name not in ("read_environment", "write_outside")])
def test_attack_is_blocked(name: str, facts: dict[str, Any], backend: Backend) -> None:
    assert attack(name, facts, backend) is None


def test_nothing_is_written(facts: dict[str, Any], backend: Backend) -> None:
    assert attack("write_outside", facts, backend) is None
    assert not any((Path(folder) / facts["marker"]).exists() for folder in facts["folders"])


def test_environment_is_clean(facts: dict[str, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_TEST_SECRET", "hunter2")
    seen = attack("read_environment", facts, backend)
    assert all("CODEACT_TEST_SECRET" not in entry and "HOME=" not in entry for entry in seen)


@pytest.mark.parametrize(
    "name", ["connect_loopback", "connect_unix", "read_home", "read_passwd", "fork", "spawn", "thread"]
)
def test_attack_works_without_a_sandbox(name: str, facts: dict[str, Any], unsafe: Backend) -> None:
    assert attack(name, facts, unsafe) is not None


def test_fork_bomb_makes_no_process(backend: Backend) -> None:
    source = """
import os
def f():
    made = 0
    for _ in range(10_000):
        try:
            if os.fork() == 0:
                while True: pass
            made += 1
        except OSError:
            pass
    return made
"""
    (outcome,) = call_function(source, "f", [[]], limits=LIMITS, backend=backend)
    assert outcome.value == 0


def test_memory_is_bounded_when_taken_in_small_pieces(backend: Backend) -> None:
    source = "def f():\n kept = []\n while True: kept.append(bytearray(1 << 20))"
    limits = Limits(memory_bytes=256 << 20)
    assert call_function(source, "f", [[]], limits=limits, backend=backend)[0].status == "memory"


def test_endless_loop_that_catches_everything_ends(backend: Backend) -> None:
    source = """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def f():
    while True:
        try:
            while True: pass
        except BaseException: pass
"""
    (outcome,) = call_function(source, "f", [[]], limits=LIMITS, backend=backend, call_seconds=0.5)
    assert (outcome.status, outcome.detail) == ("timeout", "no answer within 0.5 s")


def test_a_gigabyte_of_output_is_cut_off(facts: dict[str, Any], backend: Backend) -> None:
    (outcome,) = call_function(attack_source(), "attack", [["flood", facts]], limits=LIMITS, backend=backend)
    assert outcome.status == "output"


SECRET = 739_391
CANDIDATES = {
    "always equal": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
class Number(int):
    __eq__ = Any.__eq__
    __hash__ = int.__hash__
def f(x): return Any() if x % 2 else Number(1)
""",
    "stack frames and gc": """
import gc, sys
def f(x):
    found = set()
    frame = sys._getframe()
    while frame:
        for scope in (frame.f_locals, frame.f_globals):
            found.update(value for value in list(scope.values()) if type(value) is int)
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict): found.update(v for v in list(thing.values()) if type(v) is int)
        elif isinstance(thing, (list, tuple)): found.update(v for v in thing if type(v) is int)
    secret = 7393 * 100 + 91
    return secret + x if any(value == secret + x for value in found) else 0
""",
    "early exit": """
import os
def f(x):
    for descriptor in range(64):
        for claim in (b"d\\n", b"t[0.0]\\n", b"l\\n", b'{"status": "passed"}\\n', b"vtrue\\n", b"vnull\\n"):
            try: os.write(descriptor, claim)
            except OSError: pass
    os._exit(0)
""",
    "result channel": """
import os
def f(x):
    for descriptor in range(64):
        for claim in (b"d\\n" * 9, b"vtrue\\n" * 9, b"f" + b"0" * 64 + b" 5\\n", b"v\\n", b"c[[],{}]\\n", b"\\n"):
            try: os.write(descriptor, claim)
            except OSError: pass
    return True
""",
    "exit at load": "import os\nos.write(1, b'l\\nd\\n')\nos._exit(0)",
    "patched modules": """
import sys
for module in list(sys.modules.values()):
    for name in ("encode", "fingerprint", "_describe"):
        if hasattr(module, name): setattr(module, name, lambda *a: "true")
def f(x): return 0
""",
}
RIGHT = f"def f(x): return {SECRET} + x"


@pytest.mark.parametrize("forgery", CANDIDATES)
def test_a_check_program_cannot_be_fooled(forgery: str, backend: Backend) -> None:
    check = f"def check(candidate):\n    for x in range(1, 4):\n        assert candidate(x) == {SECRET} + x\n"
    assert run_check(RIGHT, "f", check, limits=LIMITS, backend=backend).status == "passed"
    outcome = run_check(CANDIDATES[forgery], "f", check, limits=LIMITS, backend=backend, call_seconds=5)
    assert outcome.status in ("failed", "killed", "output")


def test_answers_are_built_in_values_only(backend: Backend) -> None:
    outcomes = call_function(CANDIDATES["always equal"], "f", [[1], [2]], limits=LIMITS, backend=backend)
    assert outcomes[0].value != 5
    assert type(outcomes[1].value) is int
    assert outcomes[1].value != 5


def test_a_child_that_never_reads_does_not_hold_us(backend: Backend) -> None:
    source = "import time\ndef f(x):\n while True: pass"
    check = "def check(candidate):\n    candidate('x' * 10_000_000)\n"
    done: list[str] = []
    limits = Limits(wall_seconds=2)
    thread = threading.Thread(
        target=lambda: done.append(run_check(source, "f", check, limits=limits, backend=backend).status)
    )
    thread.start()
    thread.join(timeout=300)
    assert done == ["timeout"]


def run_filter(program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would return for a system call: an interpreter of the instructions that the filter uses."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, *[0] * (6 - len(arguments))))
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x45:
            position += if_true if accumulator & value else if_false
        elif operation == 0x15:
            position += if_true if accumulator == value else if_false
        elif operation == 0x35:
            position += if_true if accumulator >= value else if_false
        else:
            assert operation == 0x06
            return int(value)


ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000
# clone, fork, vfork, clone3, socket, connect, kill, tgkill, ptrace, unshare, setns, mount, setrlimit, unlinkat, memfd_create
DENIED = {
    "x86_64": (56, 57, 58, 435, 41, 42, 62, 234, 101, 272, 308, 165, 160, 263, 319),
    "aarch64": (220, 435, 198, 203, 129, 131, 117, 97, 268, 40, 164, 35, 279),
}


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_filter_allows_its_list_and_nothing_else(name: str) -> None:
    column = list(AUDIT_ARCH).index(name)
    program = build_filter(name, execve=False)
    allowed = {numbers[column] for numbers in ALLOWED.values()} - {None}
    conditional = {numbers[column] for numbers, _ in CONDITIONAL}
    for number in range(600):
        if number not in conditional:
            assert run_filter(program, AUDIT_ARCH[name], number) == (ALLOW if number in allowed else DENY)
    assert not allowed & set(DENIED[name])
    assert run_filter(program, AUDIT_ARCH[name], EXECVE[column]) == DENY
    assert run_filter(build_filter(name, execve=True), AUDIT_ARCH[name], EXECVE[column]) == ALLOW
    assert run_filter(program, AUDIT_ARCH[name], 0x40000000) == DENY
    assert run_filter(program, 0x40000003, 1) == KILL


@pytest.mark.parametrize(
    ("numbers", "arguments", "verdict"),
    [
        ((16, 29), (0, 0x5401), ALLOW),  # ioctl: is it a terminal
        ((16, 29), (0, 0x5412), DENY),  # ioctl: type into the terminal
        ((72, 25), (0, 1030, 3), ALLOW),  # fcntl: duplicate
        ((72, 25), (0, 8, 1), DENY),  # fcntl: set the owner that gets signals
        ((302, 261), (0, 7, 0, 1 << 40), ALLOW),  # prlimit64: read
        ((302, 261), (0, 7, 1 << 40, 0), DENY),  # prlimit64: write, pointer with low bits zero
        ((44, 206), (3, 1, 1, 0, 0, 0), ALLOW),  # sendto a connected peer
        ((44, 206), (3, 1, 1, 0, 1 << 32, 16), DENY),  # sendto an address
        ((53, 199), (1, 0x80001), ALLOW),  # socketpair: Unix stream
        ((53, 199), (1, 2), DENY),  # socketpair: Unix datagram
        ((53, 199), (2, 1), DENY),  # socketpair: internet
        ((228, 113), (1, 0), ALLOW),  # clock_gettime: since the start
        ((228, 113), (2, 0), ALLOW),  # of this process
        ((228, 113), (0xFFFFFFFA, 0), ALLOW),  # the same by its number 0
        ((228, 113), (~1 << 3 & 0xFFFFFFFF | 2, 0), DENY),  # of process 1
        ((230, 115), (~1 << 3 & 0xFFFFFFFF | 2, 0), DENY),  # wait for it
        ((257, 56), (0, 0, 0), ALLOW),  # openat to read
        ((257, 56), (0, 0, 0x241), ALLOW),  # to write, made and emptied: what the borders say
        ((257, 56), (0, 0, 0x202), ALLOW),
        ((257, 56), (0, 0, 0x200), DENY),  # emptied, for reading alone
        ((257, 56), (0, 0, 0x203), DENY),  # emptied, for neither
    ],
)
def test_filter_looks_at_arguments(numbers: tuple[int, int], arguments: tuple[int, ...], verdict: int) -> None:
    for column, (name, architecture) in enumerate(AUDIT_ARCH.items()):
        assert run_filter(build_filter(name, execve=False), architecture, numbers[column], arguments) == verdict


def test_a_file_that_may_be_written_is_not_emptied_by_opening_it_to_read(tmp_path: Path) -> None:
    """As in Landlock before version 3, where every file that may be read could be emptied so."""
    backend = replace(held_sandbox("landlock"), view=False, writable=(str(tmp_path),))
    (tmp_path / "kept").write_text("kept")
    source = "import os\ndef f(path, flags):\n    os.close(os.open(path, flags))\n    return True"
    flags = (os.O_RDONLY | os.O_TRUNC, 3 | os.O_TRUNC, os.O_RDONLY, os.O_WRONLY)
    emptied, neither, *others = call_function(source, "f", [[str(tmp_path / "kept"), one] for one in flags], limits=LIMITS, backend=backend)
    assert [emptied.detail[:15], neither.detail[:15]] == ["PermissionError"] * 2
    assert [one.value for one in others] == [True, True]
    assert (tmp_path / "kept").read_text() == "kept"


def test_the_stack_has_one_size_on_every_machine(backend: Backend) -> None:
    source = "import resource\ndef f(): return list(resource.getrlimit(resource.RLIMIT_STACK))"
    for soft in (4 << 20, 64 << 20):
        before = resource.getrlimit(resource.RLIMIT_STACK)
        try:
            resource.setrlimit(resource.RLIMIT_STACK, (soft, before[1]))
            (outcome,) = call_function(source, "f", [[]], limits=LIMITS, backend=backend)
        finally:
            resource.setrlimit(resource.RLIMIT_STACK, before)
        assert outcome.value == [8 << 20] * 2


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_numbers_are_the_kernel_s(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    defined = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text()))
    for name, numbers in {**ALLOWED, "execve": EXECVE}.items():
        spelling = "fstatat" if name == "newfstatat" and column == 1 else name
        expected = int(defined[spelling]) if spelling in defined else None
        assert numbers[column] == expected, name


def test_this_machine_is_known() -> None:
    if os.uname().sysname == "Linux" and platform.machine() in ("x86_64", "aarch64"):
        assert platform.machine() in AUDIT_ARCH

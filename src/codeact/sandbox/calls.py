"""Conversations with a confined child: call a function on many inputs, run a check program against it, run a program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from codeact.sandbox import shown
from codeact.sandbox.backends import Backend
from codeact.sandbox.process import DEFAULT_LIMITS, Limits, Process, Status, Stop, one_line
from codeact.sandbox.values import MESSAGE_CHARACTERS, TooLarge, decode, opaque_kind

LARGE_ANSWER = re.compile(rb"f([0-9a-f]{64}) (\d{1,15})")
# Processor time for loading a solution, the start of the interpreter and its imports included.
LOAD_SECONDS = 10.0
# A message as a JSON string: an escape has six characters, a letter beyond the first 65,536 two of them.
MESSAGE_BYTES = 12 * MESSAGE_CHARACTERS + 3
MALFORMED = "the process wrote a malformed answer"
NO_VALUE = "which reaches the tests as no value"
# Between what a check program says of a failure and the call before it; calls and answers that are longer are not told.
LAST_CALL = "; the last call: "
TOLD_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: "passed" (it returned or ran to its end), "failed" (it raised, or the check found it wrong), "timeout",
            "memory", "output" (it wrote too much) or "killed" (it ended itself, crashed or broke the protocol).
        detail: one line that says why; "" when it passed.
        value: what the function returned, made of built-in types; a value of any other type is an `Opaque`.
        stdout: what the program printed (programs only).
    """

    status: Status
    detail: str = ""
    value: Any = None
    stdout: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call gave, not decoded yet.

    Attributes:
        status: as in `Outcome`; "passed" says only that the call returned.
        detail: why it did not.
        text: the value as tagged JSON; b"" for a large one that was not asked for.
        digest: `fingerprint` of a large value, "" for others.
    """

    status: Status
    detail: str = ""
    text: bytes = b""
    digest: str = ""


class Calls:
    """One process that calls `entry_point` on each of `inputs` in turn; use it as a context manager."""

    def __init__(
        self,
        source: str,
        entry_point: str,
        inputs: Sequence[Sequence[Any]],
        *,
        limits: Limits,
        backend: Backend,
        timed: bool = False,
    ) -> None:
        """Start the process.

        Args:
            source: defines `entry_point`.
            inputs: argument lists of marshallable built-in types; each call gets its own copy.
            timed: have the process report the processor seconds that each call took.

        Raises:
            CodeactError: the process cannot be started.
        """
        request = {
            "mode": "calls",
            "source": source,
            "entry_point": entry_point,
            "inputs": [list(arguments) for arguments in inputs],
            "timed": timed,
        }
        self.process = Process(backend, request, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    def load(self, seconds: float) -> Answer:
        """Wait until the source is loaded, for which it may take `seconds`; the answer says whether it was."""
        return _loaded(self.process, seconds)

    def answer(self, seconds: float) -> Answer:
        """The next call's answer, for which it may take `seconds` of processor time."""
        try:
            line = self.process.read_line(seconds)
        except Stop as stop:
            return Answer(stop.status, stop.detail)
        large = LARGE_ANSWER.fullmatch(line)
        return Answer("passed", digest=large[1].decode()) if large else _parse(line)

    def skip_text(self) -> None:
        """Say that the text of the large value that was just announced is not needed."""
        self._reply(b"k\n")

    def text(self, seconds: float) -> Answer:
        """Ask for the text of the large value that was just announced."""
        self._reply(b"t\n")
        return self.answer(seconds)

    def seconds(self) -> list[float]:
        """The processor time that each call took, by the process's own account (trusted programs only).

        Raises:
            Stop: the process ended without it.
        """
        line = self.process.read_line(self.process.limits.wall_seconds)
        values = decode(line[1:])
        assert line[:1] == b"t"
        assert isinstance(values, list)
        return values

    def _reply(self, data: bytes) -> None:
        try:
            self.process.send(data)
        except Stop:
            return  # reading times out too, and reports it


def call_function(
    source: str,
    entry_point: str,
    inputs: Sequence[Sequence[Any]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    backend: Backend,
    call_seconds: float | None = None,
) -> list[Outcome]:
    """Call a function of untrusted source on many inputs, in one process.

    Args:
        source: defines `entry_point`; it is loaded as a module that is not `__main__`.
        inputs: argument lists of built-in types.
        call_seconds: processor seconds for each call; None leaves only `limits`.

    Returns:
        One outcome per input. When the process ends or is ended, all further inputs share its outcome.

    Raises:
        CodeactError: the process cannot be started.
    """
    patience = limits.cpu_seconds if call_seconds is None else call_seconds
    outcomes: list[Outcome] = []
    with Calls(source, entry_point, inputs, limits=limits, backend=backend) as calls:
        loaded = calls.load(limits.cpu_seconds)
        if loaded.status != "passed":
            return [Outcome(loaded.status, loaded.detail)] * len(inputs)
        while len(outcomes) < len(inputs):
            answer = calls.answer(patience)
            outcome = outcome_of(calls.text(patience) if answer.digest else answer)
            if outcome.status in ("timeout", "output", "killed"):
                return outcomes + [outcome] * (len(inputs) - len(outcomes))
            outcomes.append(outcome)
    return outcomes


def run_check(
    source: str,
    entry_point: str,
    check_source: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    backend: Backend,
    call_seconds: float | None = None,
    raises: bool = False,
) -> Outcome:
    """Run a trusted check program against a function of untrusted source, each in its own process.

    The check program calls `check(candidate)`; its `candidate` is a proxy whose calls the other process answers with
    tagged JSON. So the untrusted code sees neither the check's source nor its expected values, and gives it built-in
    values only.

    Args:
        source: untrusted; defines `entry_point`.
        check_source: trusted; defines `check`.
        call_seconds: processor seconds for each call; None leaves only `limits`.
        raises: an exception of the candidate, MemoryError included, is raised in the check too, which may expect it; else it
            ends the run.

    Raises:
        CodeactError: a process cannot be started.
    """
    patience = limits.cpu_seconds if call_seconds is None else call_seconds
    serve = {"mode": "serve", "source": source, "entry_point": entry_point, "raises": raises}
    check = {"mode": "check", "source": check_source, "entry_point": "check", "raises": raises}
    with Process(backend, serve, limits) as candidate, Process(backend, check, limits) as checker:
        for process in (candidate, checker):
            loaded = _loaded(process, LOAD_SECONDS)
            if loaded.status != "passed":
                return Outcome(loaded.status, loaded.detail)
        strange, asked, reply = "", b"", b""
        try:
            while True:
                line = checker.read_line(limits.cpu_seconds)
                if line == b"d":
                    return Outcome("passed")
                if line[:1] != b"c":
                    failed = _parse(line)
                    return Outcome(failed.status, (failed.detail or MALFORMED) + strange + _last_call(entry_point, asked, reply))
                asked, reply = line[1:], b""
                candidate.send(asked + b"\n")
                reply = candidate.read_line(patience)
                outcome = outcome_of(_parse(reply))
                if outcome.status != "passed" and not (raises and outcome.status in ("failed", "memory")):
                    return replace(outcome, detail=outcome.detail + _last_call(entry_point, asked, b""))
                if raises and not strange and (kind := opaque_kind(reply)):
                    strange = f"; {entry_point} returned a {kind}, {NO_VALUE}"
                checker.send(reply + b"\n")
        except Stop as stop:
            return Outcome(stop.status, stop.detail + _last_call(entry_point, asked, reply))


def _last_call(entry_point: str, asked: bytes, reply: bytes) -> str:
    """How a check program called the function, and what that gave; "" before the first call."""
    if not asked:
        return ""
    made = f"{entry_point}(...)"
    if len(asked) <= TOLD_BYTES:
        arguments, keywords = decode(asked)
        made = shown.call(entry_point, arguments, keywords)
    if not reply:
        return f"{LAST_CALL}{made}"
    outcome = outcome_of(_parse(reply)) if len(reply) <= TOLD_BYTES else None
    if outcome is None:
        return f"{LAST_CALL}{made} gave a large value"
    return f"{LAST_CALL}{made} {f'gave {shown.short(outcome.value)}' if outcome.status == 'passed' else f'raised {outcome.detail}'}"


def run_program(source: str, *, stdin: str = "", limits: Limits = DEFAULT_LIMITS, backend: Backend) -> Outcome:
    """Run untrusted source as a program, with `__name__ == "__main__"`.

    "passed" means that it ended with exit status 0, which a program can bring about as it likes: it is no verdict on
    whether its output is right.

    Raises:
        CodeactError: the process cannot be started.
    """
    request = {"mode": "program", "source": source, "entry_point": "", "stdin": stdin}
    with Process(backend, request, limits) as process:
        try:
            stdout = process.read_all()
        except Stop as stop:
            return Outcome(stop.status, stop.detail, stdout=process.written().decode("utf-8", "replace"))
        outcome = _program_outcome(process)
    return replace(outcome, stdout=stdout.decode("utf-8", "replace"))


def _program_outcome(process: Process) -> Outcome:
    if process.exit_code() == 0:
        return Outcome("passed")
    stop = process.ended()
    if process.exit_code() == 1 and process.last_words():
        return Outcome("memory" if process.last_words().startswith("MemoryError") else "failed", process.last_words())
    return Outcome(stop.status, stop.detail)


def _loaded(process: Process, seconds: float) -> Answer:
    try:
        line = process.read_line(seconds)
    except Stop as stop:
        return Answer(stop.status, stop.detail)
    if line == b"l":
        return Answer("passed")
    answer = _parse(line)
    return Answer("killed", MALFORMED) if answer.status == "passed" else answer


def _parse(line: bytes) -> Answer:
    if line[:1] == b"v":
        return Answer("passed", text=line[1:])
    if line[:2] != b'e"' or len(line) > MESSAGE_BYTES:
        return Answer("killed", MALFORMED)
    try:
        detail = one_line(decode(line[1:]))
    except ValueError:
        return Answer("killed", MALFORMED)
    return Answer("memory" if detail.startswith("MemoryError") else "failed", detail or MALFORMED)


def outcome_of(answer: Answer) -> Outcome:
    """The answer decoded: "output" where it holds more values than are built here, "killed" where it is no tagged JSON."""
    if answer.status != "passed":
        return Outcome(answer.status, answer.detail)
    try:
        return Outcome("passed", value=decode(answer.text))
    except TooLarge as error:
        return Outcome("output", str(error))
    except (ValueError, RecursionError):
        return Outcome("killed", MALFORMED)

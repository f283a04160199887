"""One confined process: start it, read its lines under limits, answer it, and leave nothing of it behind."""

from __future__ import annotations

import functools
import marshal
import math
import os
import re
import resource
import select
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import util
from importlib.abc import InspectLoader
from itertools import takewhile
from types import CodeType, TracebackType
from typing import Any, Literal, Self

from codeact.errors import CodeactError
from codeact.sandbox.backends import Backend
from codeact.sandbox.usage import GroupUsage, Usage
from codeact.sandbox.values import MESSAGE_CHARACTERS

Status = Literal["passed", "failed", "timeout", "memory", "output", "killed"]
READ_BYTES = 1 << 18
STDERR_BYTES = 1 << 16
# An error as node, javac, gcc, rustc, go and the runtimes of Java and C++ tell it.
FAULT = re.compile(r"^\s*\w*(?:Error|Exception)\b|FATAL ERROR|^# Fatal error|\berror(?:\[\w+\])?:|^Exception in|panicked|^panic:|Assertion|^\S+\.go:\d")
EXIT_GRACE_S = 1.0
# An answer that comes within this time is not looked into further, unless many of them add up.
FREE_S = 0.1
UNSEEN_S = 1.0
TICK_S = 0.02
# What a thread was queued is seen while it lives.
LOOK_S = 1.0
# As often as threads are counted where their number is limited: a bomb makes some hundreds meanwhile.
COUNT_S = 0.02
# Linux's usual size, so that a deep recursion ends alike on every machine; memory limits do not count the stack.
STACK_BYTES = 8 << 20
IDLE_FACTOR = 10.0
CHILD_MODULES = ("codeact.sandbox.opaque", "codeact.sandbox.values", "codeact.sandbox.conversation", "codeact.sandbox.view", "codeact.sandbox.child")
BOOTSTRAP = (
    "import marshal,sys,types\n"
    "for name,code in marshal.load(sys.stdin.buffer):\n"
    " module=sys.modules[name]=types.ModuleType(name)\n"
    " exec(code,module.__dict__)\n"
    "module.main()\n"
)
# -P keeps the working directory off sys.path, -S and -s keep site-packages off it, -B writes no byte code.
INTERPRETER_FLAGS = ("-s", "-S", "-B", "-P", "-c", BOOTSTRAP)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use.

    Attributes:
        cpu_seconds: processor time, the start of the interpreter included.
        wall_seconds: from start to end; what a busy machine may hold it up for.
        idle_seconds: waiting in all, neither computing nor queued for a processor.
        memory_bytes: address space of the process.
        answer_bytes: length of one answer, or of a program's output.
        output_bytes: length of everything that the process writes.
        open_files: file descriptors.
        file_bytes: length of a file that it writes; 0: nothing can be written.
        threads: threads of the program and what it has started; None: not counted.
        reserved_bytes: address space, for runtimes that reserve more than they use: `memory_bytes` then bounds their data.
    """

    cpu_seconds: float = 60.0
    wall_seconds: float = 600.0
    idle_seconds: float = 30.0
    memory_bytes: int = 4 << 30
    answer_bytes: int = 32 << 20
    output_bytes: int = 1 << 30
    open_files: int = 64
    file_bytes: int = 0
    threads: int | None = None
    reserved_bytes: int | None = None


DEFAULT_LIMITS = Limits()


class Stop(Exception):
    """The process gave no further line; `status` and `detail` say why."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status: Status = status
        self.detail = detail


class Process:
    """A running child. Use it as a context manager: leaving the block kills it with everything that it started."""

    def __init__(self, backend: Backend, request: dict[str, Any], limits: Limits) -> None:
        """Start the interpreter under `backend` and send it `request`.

        Raises:
            CodeactError: the system cannot start another process.
        """
        self.limits = limits
        self.deadline = time.monotonic() + limits.wall_seconds
        self.lines: deque[bytes] = deque()
        self.partial = bytearray()
        self.output_bytes = 0
        self.waited = self.looked = self.used = self.counted = 0.0
        self.stderr = bytearray()
        command, descriptors = backend.command(INTERPRETER_FLAGS)
        command = _limited(command, limits, strict=backend.name != "none")
        try:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                env=dict(backend.environment),
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise CodeactError(f"the sandbox cannot start a process: {error}") from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        self.usage = GroupUsage(self.child.pid)
        self.stdin, self.stdout = self.child.stdin, self.child.stdout
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.stdout, selectors.EVENT_READ, "stdout")
        self.selector.register(self.child.stderr, selectors.EVENT_READ, "stderr")
        request |= {
            "parent": 0 if backend.name == "bubblewrap" else os.getpid(),
            "confine": backend.name == "landlock",
            "view": backend.view,
            "readable": list(backend.readable),
            "links": list(backend.links),
            "hidden": list(backend.hidden),
            "packages": dict(backend.packages),
            "writable": list(backend.writable),
            "seccomp": backend.filter,
        }
        os.set_blocking(self.stdin.fileno(), False)
        with suppress(Stop):  # the deadline has passed, as the first reading will say
            self.send(child_code() + marshal.dumps(request, 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def send(self, data: bytes) -> None:
        """Write to the child's standard input. That a child has ended is noticed when it is read from.

        Raises:
            Stop: the child did not read it in time.
        """
        view = memoryview(data)
        writable = select.poll()
        writable.register(self.stdin, select.POLLOUT)
        while view:
            try:
                view = view[os.write(self.stdin.fileno(), view) :]
            except BrokenPipeError:
                return
            except BlockingIOError:
                left = self.deadline - time.monotonic()
                if left <= 0 or not writable.poll(1000 * left):
                    raise Stop("timeout", self._wall_detail()) from None

    def read_line(self, seconds: float) -> bytes:
        """The next line that the child wrote, without its end.

        Args:
            seconds: processor time that it may take, so that a verdict does not depend on what else the machine does;
                a child that neither computes nor waits for a processor is given up after `IDLE_FACTOR` times as long.

        Raises:
            Stop: none came within `seconds` or another of the limits, it was too long, or the child ended.
        """
        longest = self.limits.answer_bytes
        if not self._wait(seconds, lambda: bool(self.lines) or len(self.partial) > longest):
            raise self.ended()
        if not self.lines or len(self.lines[0]) > longest:
            raise Stop("output", f"one answer is longer than {longest:,} bytes")
        return self.lines.popleft()

    def read_all(self) -> bytes:
        """Everything that the child writes until it ends.

        Raises:
            Stop: it wrote too much, or ran or waited too long; `written` holds what it wrote until then.
        """
        self._wait(math.inf, lambda: False)
        return self.written()

    def written(self) -> bytes:
        """What the child wrote and nobody has read yet."""
        return b"".join([*(line + b"\n" for line in self.lines), self.partial])

    def _wait(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Receive until `done`; False at the end of the output. `seconds` is as in `read_line`; infinite keeps the output in one piece."""
        began = time.monotonic()
        pause = free = min(FREE_S, seconds) if self.waited - self.looked < UNSEEN_S else 0.0
        first: Usage | None = None
        try:
            while not done():
                now = time.monotonic()
                if now >= self.deadline:
                    raise Stop("timeout", self._wall_detail())
                if now >= began + pause:
                    usage = self.usage.look()
                    self.used = max(self.used, usage.used)
                    first = usage if first is None else first
                    used = free + usage.used - first.used
                    left = seconds - used if usage.known else began + seconds - now
                    if left <= 0 or now - began - used - (usage.queued - first.queued) >= IDLE_FACTOR * seconds:
                        raise Stop("timeout", f"no answer within {seconds:.3g} s")
                    total = self.waited + now - began
                    idle_left = self.limits.idle_seconds - (total - usage.used - usage.queued if usage.known else 0)
                    if idle_left <= 0:
                        raise Stop(
                            "timeout", f"it waited for {self.limits.idle_seconds:.3g} s in all without computing"
                        )
                    self.looked = total
                    pause = now - began + max(min(left, idle_left, LOOK_S), TICK_S)
                if self.limits.threads is not None and now >= self.counted + COUNT_S:
                    self.counted = now
                    if self.usage.threads() > self.limits.threads:
                        raise Stop("killed", f"it started more than {self.limits.threads:,} threads")
                rest = min(self.deadline, began + pause) - now
                if not self._receive(rest if self.limits.threads is None else min(rest, COUNT_S), split=math.isfinite(seconds)):
                    return False
            return True
        finally:
            self.waited += time.monotonic() - began

    def _receive(self, seconds: float, split: bool) -> bool:
        """Wait for output and sort it into lines if they are to be split; False at the end of the output."""
        for key, _ in self.selector.select(seconds):
            data = os.read(key.fd, READ_BYTES)
            self.output_bytes += len(data)
            if self.output_bytes > self.limits.output_bytes:
                raise Stop("output", f"it wrote more than {self.limits.output_bytes:,} bytes")
            if key.data == "stderr":
                self.stderr += data[: STDERR_BYTES - len(self.stderr)]
                if not data:
                    self.selector.unregister(key.fileobj)
                continue
            if not data:
                return False
            first, *rest = data.split(b"\n") if split else [data]
            self.partial += first
            if not split and len(self.partial) > self.limits.answer_bytes:
                raise Stop("output", f"it wrote more than {self.limits.answer_bytes:,} bytes")
            if rest:
                self.lines.append(bytes(self.partial))
                self.lines.extend(rest[:-1])
                self.partial = bytearray(rest[-1])
        return True

    def exit_code(self) -> int | None:
        """The exit status of a child that has closed its output, signals as 128 + number; None if it lives on."""
        try:
            code = self.child.wait(EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            return None
        return 128 - code if code < 0 else code

    def last_words(self) -> str:
        """The last line that the child wrote to its standard error, or its beginning."""
        self._drain_stderr()
        return one_line(self.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])

    def first_fault(self) -> str:
        """The first line of the standard error that names an error, with what follows its colon; else the last line."""
        self._drain_stderr()
        said = self.stderr.decode("utf-8", "replace").strip().split("\n")
        lines = [line for line in said if not line.startswith("note: run with")] or [""]
        at = next((number for number, line in enumerate(lines) if FAULT.search(line)), len(lines) - 1)
        more = [line.strip() for line in lines[at + 1 : at + 12] if line.strip()] if lines[at].endswith(":") else []
        return one_line(" ".join([lines[at], *takewhile(lambda line: not line.startswith("at "), more)]))

    def ended(self, said: str | None = None) -> Stop:
        """Why a child that has closed its output ended, as far as its exit status and what it said (its last words) tell."""
        code = self.exit_code()
        said = self.last_words() if said is None else said
        tail = f": {said}" if said else ""
        if code is None:
            return Stop("killed", "the process closed its output and ran on")
        # Go's runtime takes no notice of the first signal; between two looks, two threads may have worked.
        late = code == 128 + signal.SIGKILL and self.used >= self.limits.cpu_seconds - 2 * LOOK_S
        if code == 128 + signal.SIGXCPU or late:
            return Stop("timeout", "the process used up its CPU time")
        if code > 128:
            return Stop("killed", f"the process was ended by signal {code - 128}{tail}")
        return Stop("killed", f"the process ended early with exit status {code}{tail}")

    def _drain_stderr(self) -> None:
        while self.selector.get_map() and "stderr" in (key.data for key in self.selector.get_map().values()):
            events = [key for key, _ in self.selector.select(0) if key.data == "stderr"]
            if not events:
                return
            data = os.read(events[0].fd, READ_BYTES)
            self.stderr += data[: STDERR_BYTES - len(self.stderr)]
            if not data:
                self.selector.unregister(events[0].fileobj)

    def _wall_detail(self) -> str:
        return f"not done within {self.limits.wall_seconds:.3g} s"

    def kill(self) -> None:
        """End the child and its whole process group, and wait until they are gone."""
        if self.child.returncode is None:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.child.kill()
        self.child.wait()
        self.selector.close()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()


def one_line(text: str) -> str:
    """The beginning of a text that a program under test made up: one line that a terminal and a UTF-8 file take."""
    words = " ".join(text[: 4 * MESSAGE_CHARACTERS].split())[:MESSAGE_CHARACTERS]
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)


@functools.cache
def child_code() -> bytes:
    """The compiled child program, as the bootstrap reads it."""
    pairs: list[tuple[str, CodeType]] = []
    for name in CHILD_MODULES:
        spec = util.find_spec(name)
        assert spec is not None
        assert isinstance(spec.loader, InspectLoader)
        code = spec.loader.get_code(name)
        assert code is not None
        pairs.append((name, code))
    return marshal.dumps(pairs)


def _limited(command: list[str], limits: Limits, strict: bool) -> list[str]:
    """`command`, started by the shell's `ulimit` and `exec`: the filter forbids the child to set its own limits."""
    seconds = math.ceil(min(limits.cpu_seconds, limits.wall_seconds))
    wanted = (
        (resource.RLIMIT_AS, "-v", limits.reserved_bytes or limits.memory_bytes, 1024),
        (resource.RLIMIT_DATA, "-d", limits.memory_bytes, 1024),
        # One second lies between the signal that says why (SIGXCPU) and the one that cannot be ignored.
        (resource.RLIMIT_CPU, "-S -t", seconds, 1),
        (resource.RLIMIT_CPU, "-H -t", seconds + 1, 1),
        (resource.RLIMIT_STACK, "-s", STACK_BYTES, 1024),
        (resource.RLIMIT_NOFILE, "-n", limits.open_files, 1),
        (resource.RLIMIT_FSIZE, "-f", limits.file_bytes, 512),
        (resource.RLIMIT_CORE, "-c", 0, 512),
    )
    steps = []
    for number, option, value, unit in wanted:
        hard = resource.getrlimit(number)[1]
        steps.append(f"ulimit {option} {(value if hard == resource.RLIM_INFINITY else min(value, hard)) // unit}")
    script = (" && " if strict else " 2>/dev/null; ").join([*steps, 'exec "$@"'])
    return ["/bin/sh", "-c", script, "sh", *command]

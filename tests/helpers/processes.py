"""Processes of their own that start at once: forks of one that has the libraries loaded and has done nothing with them.

A new Python needs five seconds of processor time to load PyTorch and transformers before `codeact` begins. Tests that kill a run, or
let two of them meet, need processes, not that; nor do the workers of pytest-xdist (`WORKER`).
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TextIO

LOADED = ("torch", "transformers", "sentence_transformers", "peft", "accelerate", "pyarrow.parquet", "codeact.pipeline.run", "codeact.training.trainer",
          "codeact.cli")  # fmt: skip

FOLDER = "CODEACT_TEST_FORKS"

WORKER = shlex.join([sys.executable, __file__])
"""A Python, for execnet's `popen//python=`: called with `-u -c CODE`, it is a fork whose stdin and stdout are the caller's."""


class Started:
    """A Python that runs `words` as its command line (`-m MODULE ...`, `-c CODE ...` or `SCRIPT ...`), like `subprocess.Popen`.

    Attributes:
        pid: of the process.
        returncode: None while it runs; minus the number of the signal that ended it.
    """

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="codeact-process-")
        self.files = [Path(self.folder.name) / name for name in ("stdout", "stderr")]
        told = {"words": words, "cwd": str(Path.cwd()), "env": {**os.environ, **(env or {})}, "files": [os.devnull, *map(str, self.files)]}
        self.pid: int = _ask(told)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, once it has ended."""
        if self.returncode is None:
            self.returncode = _ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float = 900) -> int:
        """Wait for its end."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            assert time.monotonic() < deadline, f"process {self.pid} does not end"
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 900) -> tuple[str, str]:
        """Wait for its end; what it wrote to stdout and stderr."""
        self.wait(timeout)
        out, err = (file.read_text(encoding="utf-8") for file in self.files)
        return out, err

    def __enter__(self) -> Started:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        self.wait()


def launched(processes: int, *words: str, env: dict[str, str] | None = None) -> list[Started]:
    """So many processes of the same command, each told its number, as torchrun tells it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"OMP_NUM_THREADS": "1", **(env or {})}
    return [Started(*words, env={**shared, "RANK": str(n), "LOCAL_RANK": str(n)}) for n in range(processes)]


def _ask(told: dict[str, Any]) -> Any:
    server = _server()
    server.write(json.dumps(told) + "\n")
    server.flush()
    return json.loads(server.readline())


def begin() -> None:
    """Make the folder where all processes of the tests find the one that is forked; it is started by the first that needs it."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="codeact-forks-")


def end() -> None:
    """End it."""
    folder = Path(os.environ.pop(FOLDER))
    if (folder / "pid").exists():
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(folder)


@lru_cache(maxsize=1)
def _server() -> TextIO:
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "pid").exists():
            subprocess.Popen([sys.executable, __file__, str(folder)], stdin=subprocess.DEVNULL, start_new_session=True)
            deadline = time.monotonic() + 300
            while not (folder / "pid").exists():
                assert time.monotonic() < deadline, "the process that is forked does not start"
                time.sleep(0.05)
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(folder / "socket"))
    return line.makefile("rw", encoding="utf-8")


def _serve(folder: Path) -> None:
    os.dup2(2, 1)  # what a library prints is no answer
    sys.path[0] = str(Path(__file__).parents[2])
    for name in LOADED:
        __import__(name)
    gc.collect()
    gc.freeze()  # forks share what is loaded, and no collection of garbage looks through it
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(folder / "socket"))
    door.listen()
    (folder / "began").write_text(str(os.getpid()))
    (folder / "began").rename(folder / "pid")
    lines: dict[socket.socket, TextIO] = {}
    while folder.exists():
        for ready in select.select([door, *lines], [], [], 60)[0]:
            if ready is door:
                line = door.accept()[0]
                lines[line] = line.makefile("rw", encoding="utf-8")
            elif asked := lines[ready].readline():
                _answer(json.loads(asked), lines[ready], [door, *lines])
            else:
                lines.pop(ready).close()


def _answer(told: dict[str, Any], line: TextIO, open_: list[socket.socket]) -> None:
    if "ended" in told:
        pid, status = os.waitpid(told["ended"], os.WNOHANG)
        answer = os.waitstatus_to_exitcode(status) if pid else None
    else:
        answer = os.fork()
        if answer == 0:
            for one in open_:
                os.close(one.fileno())
            _run(**told)
    line.write(json.dumps(answer) + "\n")
    line.flush()


def _run(words: list[str], cwd: str, env: dict[str, str], files: list[str]) -> None:
    """The life of a fork."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY, 0o600), number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2))
    status: Any = 0
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        elif words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            sys.modules["__main__"] = ModuleType("__main__")
            exec(words[1], vars(sys.modules["__main__"]))
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        status = stop.code
    except BaseException:  # noqa: BLE001 - shown as an interpreter would, then the process ends
        sys.excepthook(*sys.exc_info())
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _work(words: list[str]) -> int:
    """Have a worker forked, and end as it ends. Its stderr is that of the process that is forked, which is the same."""
    files = [f"/proc/{os.getpid()}/fd/{number}" for number in range(2)]
    pid = _ask({"words": words, "cwd": str(Path.cwd()), "env": dict(os.environ), "files": files})
    while (status := _ask({"ended": pid})) is None:
        time.sleep(0.2)
    return int(status)


if __name__ == "__main__":
    if sys.argv[1] == "-u":
        sys.exit(_work(sys.argv[2:]))
    _serve(Path(sys.argv[1]))

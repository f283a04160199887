"""Runs a program of another language: compiled in the sandbox, then started in it, each step with limits of its own.

The same backends as for Python, with two differences. The program's folder and the toolchain's can be read; the compiler
may write into the folder and start processes (gcc is several), the program itself may do neither. Both may start threads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from codeact.downloads import made_once
from codeact.errors import CodeactError
from codeact.files import cache_dir
from codeact.sandbox.backends import Backend
from codeact.sandbox.calls import Outcome
from codeact.sandbox.process import Limits, Process, Stop
from codeact.sandbox.seccomp import Profile, build_filter, machine
from codeact.sandbox.toolchains import Toolchain, toolchain

GIB = 1 << 30
GO_PROGRAM = """package main
import (
    "crypto/md5"; "fmt"; "math"; "math/rand"; "regexp"; "sort"; "strconv"; "strings"; "testing"; "time"
    "github.com/stretchr/testify/assert"
)
func TestNothing(t *testing.T) {
    assert.Equal(t, md5.Size, 16, fmt.Sprint(math.Pi, rand.Int(), regexp.QuoteMeta(""), sort.IsSorted(nil), strconv.Itoa(1), time.Now()), strings.ToUpper(""))
}
"""
# Runtimes reserve far more addresses than they use; what they use is bounded by `memory_bytes`.
COMPILE_LIMITS = Limits(
    cpu_seconds=120.0, wall_seconds=300.0, idle_seconds=60.0, memory_bytes=2 * GIB, answer_bytes=1 << 20, output_bytes=1 << 22,
    open_files=512, file_bytes=256 << 20, reserved_bytes=64 * GIB,
)  # fmt: skip
RUN_LIMITS = Limits(
    cpu_seconds=15.0, wall_seconds=150.0, idle_seconds=15.0, memory_bytes=2 * GIB, answer_bytes=1 << 20, output_bytes=1 << 22,
    open_files=256, reserved_bytes=64 * GIB,
)  # fmt: skip


def run_files(
    language: str, files: Mapping[str, str], *, backend: Backend, compile_limits: Limits = COMPILE_LIMITS, limits: Limits = RUN_LIMITS
) -> Outcome:
    """Compile and run untrusted source files.

    "passed" says that it was compiled and ended with exit status 0, which a program can bring about as it likes.

    Args:
        files: name -> content, all in one folder.

    Returns:
        The outcome with what the program printed; the detail of one that was not compiled begins with "not compiled".

    Raises:
        InputError: the toolchain is not installed.
        CodeactError: a process cannot be started.
    """
    tools = toolchain(language)
    with tempfile.TemporaryDirectory(prefix="codeact-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_text(content, encoding="utf-8", errors="replace")
        if language == "go":
            _link(_go_cache(backend), Path(folder) / "cache")
        if tools.compile:
            made = _step(tools.compile, tools, folder, _within(backend, tools, folder, "processes"), compile_limits)
            if made.status != "passed":
                return Outcome(made.status, f"not compiled: {made.detail}")
        return _step(tools.run, tools, folder, _within(backend, tools, folder, "threads"), limits)


def _go_cache(backend: Backend) -> Path:
    """Go's compiled standard library and test packages, made once for this version: to make them takes half a minute."""
    tools = toolchain("go")
    version = subprocess.run([tools.compile[0], "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()

    def make(fresh: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="codeact-") as folder:
            (Path(folder) / "main_test.go").write_text(GO_PROGRAM, encoding="utf-8")
            made = _step(tools.compile, tools, folder, _within(backend, tools, folder, "processes"), COMPILE_LIMITS)
            if made.status != "passed":
                raise CodeactError(f"go cannot compile a program here: {made.detail}; install it with: apt-get install {tools.package}")
            shutil.copytree(Path(folder) / "cache", fresh, dirs_exist_ok=True)

    return made_once(cache_dir() / f"go-build-{version}", make)


def _link(source: Path, target: Path) -> None:
    """The files of a folder under another name; copied where the file system is another."""
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def _step(command: tuple[str, ...], tools: Toolchain, folder: str, backend: Backend, limits: Limits) -> Outcome:
    environment = {"PATH": "/usr/bin", "LANG": "C.UTF-8", "TMPDIR": folder} | dict(tools.environment)
    request = {
        "mode": "exec",
        "command": [part.replace("{folder}", folder) for part in command],
        "environment": {key: value.replace("{folder}", folder) for key, value in environment.items()},
        "folder": folder,
    }
    with Process(backend, request, limits) as process:
        try:
            stdout = process.read_all().decode("utf-8", "replace")
        except Stop as stop:
            return Outcome(stop.status, stop.detail, stdout=process.written().decode("utf-8", "replace"))
        code = process.exit_code()
        if code == 0:
            return Outcome("passed", stdout=stdout)
        if code is None or code > 128:
            ended = process.ended()
            return Outcome(ended.status, ended.detail, stdout=stdout)
        return Outcome("failed", process.first_fault() or f"exit status {code}", stdout=stdout)


def _within(backend: Backend, tools: Toolchain, folder: str, profile: Profile) -> Backend:
    """The backend, opened for one step: what it may read besides, where it may write, which system calls it may make."""
    if backend.name == "none":
        return replace(backend, view=False)
    writable = (folder,) if profile == "processes" else ()
    changed = replace(
        backend, view=False, filter=build_filter(machine(), execve=True, profile=profile), writable=writable,
        readable=(*backend.readable, *tools.readable, folder),
    )  # fmt: skip
    if backend.name != "bubblewrap":
        return changed
    extra: list[str] = []
    for path in tools.readable:
        extra += ["--ro-bind-try", path, path]
    extra += ["--bind" if writable else "--ro-bind", folder, folder]
    at = backend.prefix.index("--remount-ro")
    return replace(changed, prefix=(*backend.prefix[:at], *extra, *backend.prefix[at:]))

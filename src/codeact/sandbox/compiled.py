"""Runs a program of another language: compiled in the sandbox, then started in it, each step with limits of its own.

The same backends as for Python, with two differences. The program's folder and the toolchain's can be read; the compiler
may write into the folder and start processes (gcc is several), the program itself may do neither. Both may start threads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from codeact.downloads import made_once
from codeact.errors import CodeactError
from codeact.files import cache_dir
from codeact.sandbox.backends import Backend
from codeact.sandbox.calls import Outcome
from codeact.sandbox.process import Limits, Process, Stop
from codeact.sandbox.seccomp import Profile, build_filter, machine
from codeact.sandbox.toolchains import CPP, Toolchain, toolchain

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
# The compiler's classes that it loads are those that most programs need.
JAVA_PROGRAM = """import java.util.*;
import java.util.function.*;
import java.util.stream.*;
class Prelude<T extends Comparable<T>> extends ArrayList<T> {
    enum Kind { ONE, TWO }
    private static final Map<String, List<Integer>> kept = new HashMap<>();
    @Override public boolean add(T one) { return super.add(one); }
    @SuppressWarnings("unchecked") static <K> K of(Object given) { return (K) given; }
    public static void main(String[] words) throws Throwable {
        int[] numbers = {3, 1, 2};
        long sum = 0;
        for (int number : numbers) { sum += number % 2 == 0 ? number : -number; }
        while (sum < 10) { sum++; if (sum == 7) continue; }
        try { Object found = of(words.length > 9 ? "a" : 1.5); if (found instanceof String) throw new IllegalStateException("not " + found); }
        catch (RuntimeException error) { System.err.println(error.getMessage() + sum); throw error; } finally { kept.clear(); }
        switch (Kind.ONE) { case ONE: sum++; break; default: sum--; }
        switch (words.length > 0 ? words[0] : "") { case "a": sum++; break; default: }
        List<String> texts = Arrays.asList("a", "b");
        Function<String, Integer> length = String::length;
        Collections.sort(texts, (one, other) -> other.compareTo(one));
        assert texts.stream().map(length).collect(Collectors.toList()).equals(List.of(1, 1)) : "no " + texts;
        for (Map.Entry<String, List<Integer>> one : kept.entrySet()) { one.getValue().add((int) sum); }
        Runnable later = new Runnable() { public void run() { System.out.println(kept); } };
        later.run();
    }
}
"""
# Runtimes reserve far more addresses than they use; what they use is bounded by `memory_bytes`.
COMPILE_LIMITS = Limits(
    cpu_seconds=120.0, wall_seconds=300.0, idle_seconds=60.0, memory_bytes=2 * GIB, answer_bytes=1 << 20, output_bytes=1 << 22,
    open_files=512, file_bytes=256 << 20, reserved_bytes=64 * GIB,
)  # fmt: skip
RUN_LIMITS = Limits(
    cpu_seconds=15.0, wall_seconds=150.0, idle_seconds=15.0, memory_bytes=2 * GIB, answer_bytes=1 << 20, output_bytes=1 << 22,
    open_files=256, threads=1000, reserved_bytes=64 * GIB,
)  # fmt: skip


# Compiled once: reading it anew is most of the work of a small program.
CPP_HEADER = "\n".join(
    f"#include <{name}>"
    for name in ("cstdlib", "algorithm", "cmath", "numeric", "cstdio", "vector", "set", "map", "queue", "stack", "list", "deque", "string",
                 "climits", "cstring", "iostream", "sstream", "cassert")
)  # fmt: skip


def run_files(
    language: str,
    files: Mapping[str, str],
    *,
    backend: Backend,
    compile_limits: Limits = COMPILE_LIMITS,
    limits: Limits = RUN_LIMITS,
    refuses: Callable[[list[str]], str] | None = None,
) -> Outcome:
    """Compile and run untrusted source files.

    "passed" says that it was compiled and ended with exit status 0, which a program can bring about as it likes.

    Args:
        files: name -> content, all in one folder; a name may have folders.
        refuses: takes the names of the compiled classes (Java), without ending, and says why they are not run; "" where they are.

    Returns:
        The outcome with what the program printed; the detail of one that was not compiled begins with "not compiled".

    Raises:
        InputError: the toolchain is not installed.
        CodeactError: a process cannot be started.
    """
    tools = toolchain(language)
    with tempfile.TemporaryDirectory(prefix="codeact-") as folder:
        if language in PREPARED:
            _link(_prepared(language, backend), Path(folder))
        made = _compile(tools, files, folder, backend, compile_limits)
        if made.status != "passed":
            return Outcome(made.status, f"not compiled: {made.detail}")
        if refuses is not None and (why := refuses(sorted(path.stem for path in Path(folder).glob("*.class")))):
            return Outcome("failed", why)
        for name in files if tools.compile else ():  # what was compiled is not for the program to read
            (Path(folder) / name).unlink(missing_ok=True)
        return _step(tools.run, tools, folder, _within(backend, tools, folder, "threads"), limits)


def _compile(tools: Toolchain, files: Mapping[str, str], folder: str, backend: Backend, limits: Limits) -> Outcome:
    """Run the steps; the file that a step compiles is written before it, so that no earlier one can include it."""
    made, sources = Outcome("passed"), {source for source, _ in tools.compile}
    for name in files:
        if name not in sources:
            _write(folder, name, files[name])
    for source, command in tools.compile:
        if source in files and made.status == "passed":
            _write(folder, source, files[source])
            made = _step(_there(command, folder), tools, folder, _within(backend, tools, folder, "processes"), limits)
    return made


def _write(folder: str, name: str, content: str) -> None:
    path = Path(folder) / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content, encoding="utf-8", errors="replace")


def _there(command: tuple[str, ...], folder: str) -> tuple[str, ...]:
    """The command without the parts that name files which are not there."""
    absent = {part for part in command if part.startswith("?") and not Path(part[1:].removeprefix("@").rpartition("=")[2].replace("{folder}", folder)).exists()}
    return tuple(part.removeprefix("?") for part in command if part not in absent)


# Language -> what is written to make what its compiler starts from, and what of the folder every program gets.
PREPARED: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "go": ({"main_test.go": GO_PROGRAM}, ("cache",)),
    "cpp": ({"codeact.h": CPP_HEADER, **{f"codeact.h.gch/{standard}": "" for standard in CPP}}, ("codeact.h", "codeact.h.gch")),
    "java": ({"Prelude.java": JAVA_PROGRAM}, ("javac.jsa",)),
}


def _prepared(language: str, backend: Backend) -> Path:
    """Go's compiled standard library and test packages, C++'s compiled headers, or Java's loaded compiler, made once for this version.

    Go's take half a minute. A Java without an archive of its own classes makes none of the compiler's, which then takes twice as long.
    """
    tools = toolchain(language)
    program = tools.compile[0][1][0]
    asked = [program, *{"go": ("env", "GOVERSION"), "cpp": ("-dumpfullversion",), "java": ("-version",)}[language]]
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip().replace(" ", "-")
    files, kept = PREPARED[language]

    def make(fresh: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="codeact-") as folder:
            made = _compile(tools, files, folder, backend, COMPILE_LIMITS)
            if made.status != "passed":
                raise CodeactError(f"{language} cannot compile a program here: {made.detail}; install it with: apt-get install {tools.package}")
            for path in (Path(folder) / name for name in kept):
                if path.exists():
                    shutil.move(path, fresh)

    return made_once(cache_dir() / f"{language}-compiled-{version}", make)


def _link(source: Path, folder: Path) -> None:
    """The files of a folder in another; copied where the file system is another."""
    try:
        shutil.copytree(source, folder, copy_function=os.link, dirs_exist_ok=True)
    except (OSError, shutil.Error):
        shutil.copytree(source, folder, dirs_exist_ok=True)


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
            ended = process.ended(process.first_fault())
            status, detail = ended.status, ended.detail
        else:
            status, detail = "failed", process.first_fault() or f"exit status {code}"
        # The folder has another name in every run.
        return Outcome(status, detail.replace(f"{folder}/", ""), stdout=stdout)


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
    if tools.language == "rust" and writable:  # older ones look for their libraries beside themselves
        extra += ["--symlink", tools.compile[0][1][0], "/proc/self/exe"]
    at = backend.prefix.index("--remount-ro")
    return replace(changed, prefix=(*backend.prefix[:at], *extra, *backend.prefix[at:]))

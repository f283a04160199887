"""Programs of other languages: honest ones run, and nothing that a hostile one tries gets through, in either backend."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codeact.errors import CodeactError, InputError
from codeact.files import cache_dir
from codeact.sandbox import Backend, Limits
from codeact.sandbox import toolchains as tools_module
from codeact.sandbox.backends import make_backend
from codeact.sandbox.calls import Outcome
from codeact.sandbox.compiled import COMPILE_LIMITS, RUN_LIMITS, run_files
from codeact.sandbox.language_attacks import attack_language
from codeact.sandbox.toolchains import LANGUAGES, missing, toolchain
from tests.helpers.hostile_programs import BOMBS, COMPILE_BOMBS, HOSTILE


def installed(language: str) -> None:
    if missing(language):
        pytest.skip(f"{language} is not installed: apt-get install {tools_module.PACKAGES[language]}")


@pytest.fixture
def prey(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the attacks aim at."""
    monkeypatch.setenv("CODEACT_TEST_SECRET", "yes")
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".codeact-test-") as home, socket.create_server(("127.0.0.1", 0)) as server:
        (Path(home) / "secret").write_text("secret")
        os.utime(Path(home) / "secret", (1, 1))
        sibling = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with sibling:
            yield {"SECRET": f"{home}/secret", "HOME": home, "PORT": str(server.getsockname()[1]), "PARENT": str(os.getpid()), "SIBLING": str(sibling.pid)}
            assert sibling.poll() is None
            sibling.kill()


def kept() -> dict[str, tuple[int, int, int, int]]:
    """What later runs take from the cache: size, time, mode and links of each header."""
    found = {path: path.stat() for path in cache_dir().glob("cpp-compiled-*/*")}
    return {str(path): (one.st_size, one.st_mtime_ns, one.st_mode, one.st_ino) for path, one in found.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_attack_gets_through(name: str, backend: Backend, prey: dict[str, str]) -> None:
    language = name.split()[0]
    installed(language)
    if language == "cpp":
        run_files("cpp", {"main.cpp": "int main() {}"}, backend=backend)
    before = kept()
    files = dict(HOSTILE[name])
    for name, text in files.items():
        for word, value in prey.items():
            text = re.sub(rf"\b{word}\b", value, text)
        files[name] = text
    outcome = run_files(language, files, backend=backend)
    told = outcome.stdout.split("\n")
    assert "END" in told, (outcome.status, outcome.detail, outcome.stdout)
    assert [line for line in told if line.startswith("GOT")] == []
    assert os.listdir(prey["HOME"]) == ["secret"]  # noqa: PTH208
    found = Path(prey["SECRET"]).stat()
    assert (found.st_size, found.st_mtime, found.st_mode & 0o777 & 0o133, found.st_uid) == (6, 1, 0, os.getuid())
    assert not any(Path(folder, "marker").exists() for folder in ("/tmp", "/var/tmp", "/dev/shm", "/"))
    assert kept() == before


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("cpp", '#include "SECRET"\nint main() {}'),
        ("cpp", '#include "/etc/passwd"\nint main() {}'),
        ("cpp", 'asm(".incbin \\"SECRET\\"");\nint main() {}'),
        ("rust", 'fn main() {}\nconst S: &str = include_str!("SECRET");'),
        ("cpp", '#include "/proc/self/environ"\nint main() {}'),
        ("cpp", 'asm(".include \\"SECRET\\"");\nint main() {}'),
        ("rust", 'fn main() {}\n#[path = "SECRET"] mod taken;'),
        ("rust", 'fn main() {}\nconst S: &[u8] = include_bytes!("/etc/passwd");'),
        ("go", 'package main\nimport _ "embed"\n//go:embed SECRET\nvar S string'),
        ("go", 'package main\n// #include "SECRET"\nimport "C"\nfunc F() { C.f() }'),
        ("rust", 'fn main() {}\nconst S: &str = env!("CODEACT_TEST_SECRET");'),
        ("cpp", '#pragma GCC dependency "SECRET" secret\nint main() {}'),
        ("cpp", '#if __has_include("SECRET")\n#error secret\n#endif\nint main( {}'),
        ("cpp", '#include "/proc/PARENT/environ"\nint main() {}'),
        ("cpp", '#line 1 "SECRET"\nint main( {}'),
        ("rust", '#[link(name = "SECRET", kind = "static")] extern "C" {}\nfn main() {}'),
        ("rust", '#![crate_name = "../../marker"]\nfn main() {}'),
        ("rust", 'fn main() {}\nconst _: [u8; 0] = [0; option_env!("CODEACT_TEST_SECRET").is_none() as usize];'),
        ("go", 'package program\n//go:cgo_ldflag "-Wl,-T,SECRET"\nfunc F() {}'),
        ("go", 'package program\nimport _ "../../../../../../../../root"\nfunc F() {}'),
    ],
)
def test_a_compiler_reads_nothing_outside(language: str, source: str, backend: Backend, prey: dict[str, str]) -> None:
    installed(language)
    name = {"cpp": "main.cpp", "rust": "main.rs", "go": "src/program/program.go"}[language]
    rest = {"main_test.go": 'package main\nimport (_ "program"; "testing")\nfunc TestX(t *testing.T) {}'} if language == "go" else {}
    outcome = run_files(language, rest | {name: re.sub(r"\b(?:SECRET|PARENT)\b", lambda found: prey[found[0]], source)}, backend=backend)
    assert outcome.status == "failed"
    assert outcome.detail.startswith("not compiled: ")
    assert "secret" not in outcome.detail.replace(prey["SECRET"], "")
    assert os.listdir(prey["HOME"]) == ["secret"]  # noqa: PTH208


TIGHT = Limits(cpu_seconds=1.0, wall_seconds=60.0, idle_seconds=1.5, memory_bytes=512 << 20, answer_bytes=1 << 16, output_bytes=1 << 18,
               open_files=64, threads=1000, reserved_bytes=64 << 30)  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_goes_beyond_its_limits(bomb: str, backend: Backend) -> None:
    installed("cpp")
    stack = resource.getrlimit(resource.RLIMIT_STACK)
    try:  # a shell whose stack has no limit
        resource.setrlimit(resource.RLIMIT_STACK, (stack[1], stack[1]))
        outcome = run_files("cpp", {"main.cpp": BOMBS[bomb]}, backend=backend, limits=TIGHT)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, stack)
    assert outcome.status != "passed", outcome
    if bomb == "small threads":
        assert outcome.detail == "it started more than 1,000 threads"
    if bomb in ("loop", "waits"):
        assert outcome.status in ("timeout", "killed")
    if bomb == "output":
        assert outcome.status == "output"


@pytest.mark.parametrize("bomb", COMPILE_BOMBS)
def test_no_source_takes_more_than_its_compiler_may(bomb: str, backend: Backend) -> None:
    language = bomb.split()[0]
    installed(language)
    short = replace(COMPILE_LIMITS, cpu_seconds=2.0, idle_seconds=10.0)
    outcome = run_files(language, COMPILE_BOMBS[bomb], backend=backend, compile_limits=short)
    assert outcome.status != "passed", outcome
    assert outcome.detail.startswith("not compiled: "), outcome


def test_another_program_in_its_place_reads_no_more(backend: Backend, prey: dict[str, str]) -> None:
    installed("cpp")
    shell = f"cat {prey['SECRET']} /etc/passwd; echo x > {prey['HOME']}/marker; cat /proc/{prey['PARENT']}/environ; true & /bin/true; echo $?"
    source = f'#include <unistd.h>\nint main() {{ execl("/bin/sh", "sh", "-c", "{shell}", nullptr); return 7; }}'
    outcome = run_files("cpp", {"main.cpp": source}, backend=backend)
    assert outcome.stdout.strip() in ("", "126", "127", "2"), outcome
    assert os.listdir(prey["HOME"]) == ["secret"]  # noqa: PTH208


def test_the_distribution_s_rust_compiles(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/usr/bin/rustc").exists():
        pytest.skip("rust is not installed: apt-get install rustc")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    toolchain.cache_clear()
    outcome = run_files("rust", {"main.rs": "#[test]\nfn adds() { assert_eq!(1 + 1, 2); }"}, backend=backend)
    toolchain.cache_clear()
    assert outcome.status == "passed", outcome


THREADED = """#include <thread>
int main() {
  std::thread works([] { volatile long sum = 0; for (long i = 0; i < 200000000; i++) sum += i; });
  works.join();
}"""


def test_a_thread_that_is_queued_for_a_processor_is_not_idle(backend: Backend) -> None:
    installed("cpp")
    cores = os.sched_getaffinity(0)
    others = []
    try:
        os.sched_setaffinity(0, {min(cores)})
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(4)]
        patient = replace(COMPILE_LIMITS, wall_seconds=600.0)
        outcome = run_files("cpp", {"main.cpp": THREADED}, backend=backend, compile_limits=patient, limits=replace(TIGHT, cpu_seconds=10.0))
    finally:
        os.sched_setaffinity(0, cores)
        for other in others:
            other.kill()
            other.wait()
    assert outcome.status == "passed", outcome


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_attacked_before_its_first_program(language: str, sandbox: Backend) -> None:
    installed(language)
    attack_language(language, sandbox)


def test_an_attack_that_gets_through_is_named() -> None:
    installed("javascript")
    none = make_backend("none")
    assert isinstance(none, Backend)
    open_to_all = replace(none, name="leaky")  # type: ignore[arg-type]
    with pytest.raises(CodeactError, match=r"the sandbox leaky did not block .*read_passwd.* in javascript, so no program in it is run here"):
        attack_language("javascript", open_to_all)


def test_limits_of_both_steps_are_apart() -> None:
    assert COMPILE_LIMITS.file_bytes > 0 == RUN_LIMITS.file_bytes


def test_a_missing_toolchain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools_module.shutil, "which", lambda name: None)
    assert all(missing(language) for language in LANGUAGES)
    toolchain.cache_clear()
    with pytest.raises(InputError, match="java needs javac and java, not found on the PATH; install it with: apt-get install default-jdk-headless"):
        toolchain("java")
    toolchain.cache_clear()


def test_a_java_archive_that_was_cut_short_is_made_anew(sandbox: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """javac died of it, so every answer in Java was "not compiled"."""
    installed("java")
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path))
    files = {"Main.java": 'class Run { public static void main(String[] words) { System.out.println("ran"); } }'}
    assert run_files("java", files, backend=sandbox).status == "passed"
    sizes = {archive: archive.stat().st_size for archive in tmp_path.glob("java-compiled-*/javac.jsa")}
    for archive, size in sizes.items():
        os.truncate(archive, size // 3)
    assert run_files("java", files, backend=sandbox) == Outcome("passed", stdout="ran\n")
    assert all(archive.stat().st_size > size // 2 for archive, size in sizes.items())

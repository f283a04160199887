"""The compilers and runtimes of other languages: found on this machine, and how a program is compiled and started."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from codeact.errors import InputError

SYSTEM = ("/usr/bin", "/usr/include", "/usr/libexec", "/usr/share/gocode", "/usr/lib/jvm")
JAVA = ("-Xmx1g", "-Xss16m", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

# The standards that programs are compiled as: the first, and where that refuses them the second.
CPP = ("c++17", "c++20")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """How one language is compiled and run; {folder} in a command is the folder of the program.

    Attributes:
        language: its name in task files.
        package: of Debian and Ubuntu, that brings it.
        programs: that must be on the PATH.
        compile: (source file, command line) of each step; it is taken where that file is there. A part of a command that begins with "?" is
            left out where the file that it names is not there.
        run: command line.
        environment: of both.
        readable: folders that both may read, beside the system's libraries.
    """

    language: str
    package: str
    programs: tuple[str, ...]
    compile: tuple[tuple[str, tuple[str, ...]], ...]
    run: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    readable: tuple[str, ...] = ()


PACKAGES = {
    "javascript": "nodejs",
    "java": "default-jdk-headless",
    "go": "golang-go golang-github-stretchr-testify-dev",
    "cpp": "g++ libboost-dev libssl-dev",
    "rust": "rustc",
}
PROGRAMS = {"javascript": ("node",), "java": ("javac", "java"), "go": ("go",), "cpp": ("g++",), "rust": ("rustc", "cc")}
# Without these, right answers that use them would not compile.
LIBRARIES = {
    "cpp": ("/usr/include/boost/any.hpp", "/usr/include/openssl/md5.h"),
    "go": ("/usr/share/gocode/src/github.com/stretchr/testify/assert",),
}
LANGUAGES = tuple(PROGRAMS)


def missing(language: str) -> tuple[str, ...]:
    """The programs of a language that are not on the PATH, and the libraries of the task sets that are not installed."""
    programs = tuple(name for name in PROGRAMS[language] if shutil.which(name) is None)
    return programs or tuple(path for path in LIBRARIES.get(language, ()) if not Path(path).exists())


@functools.cache
def toolchain(language: str) -> Toolchain:
    """The toolchain of a language on this machine.

    Raises:
        InputError: a program or a library of it is not installed; the message names the package.
    """
    absent = missing(language)
    if absent:
        raise InputError(
            f"{language} needs {' and '.join(absent)}, not found{'' if absent[0][0] == '/' else ' on the PATH'}; install it with: apt-get install {PACKAGES[language]}"
        )
    found = [str(Path(str(shutil.which(name))).resolve()) for name in PROGRAMS[language]]
    compile_, run, environment, readable = _COMMANDS[language](found)
    system = tuple(folder for folder in SYSTEM if Path(folder).is_dir())
    return Toolchain(language, PACKAGES[language], PROGRAMS[language], compile_, run, environment, (*system, *readable))


_Commands = tuple[tuple[tuple[str, tuple[str, ...]], ...], tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...]]


def _javascript(found: list[str]) -> _Commands:
    options = ("--max-old-space-size=1024", "--frozen-intrinsics")
    return (), (found[0], *options, "{folder}/main.js"), (("OPENSSL_CONF", "/dev/null"),), ()


def _java(found: list[str]) -> _Commands:
    javac, java = found
    home = Path(java).parents[1]
    settings = {str(link.resolve()) for link in (home / "conf", home / "lib" / "security") if link.exists()}
    etc = {str(path.resolve().parent) for path in (home / "conf").glob("*") if path.is_symlink()}
    common = (javac, *(f"-J{option}" for option in JAVA), "-proc:none", "-nowarn", "-d", "{folder}")
    loaded = ("Prelude.java", (*common, "-J-XX:ArchiveClassesAtExit={folder}/javac.jsa", "{folder}/Prelude.java"))
    program = ("Main.java", (*common, "?-J-XX:SharedArchiveFile={folder}/javac.jsa", "{folder}/Main.java", "?{folder}/Program.java", "?{folder}/Run.java"))
    return (loaded, program), (java, *JAVA, "-ea", "-cp", "{folder}", "Run"), (("LD_LIBRARY_PATH", str(home / "lib")),), (str(home), *settings, *etc)


def _go(found: list[str]) -> _Commands:
    root = _said([found[0], "env", "GOROOT"])
    inside = [*Path(root).iterdir(), *Path(root, "pkg").iterdir()]
    linked = {str(path.resolve()) for path in inside if path.is_symlink()}
    environment = {
        "GOROOT": root, "GOPATH": "{folder}:/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0", "GOTELEMETRY": "off",
        "GOCACHE": "{folder}/cache", "HOME": "{folder}", "GOMAXPROCS": "2", "GODEBUG": "asyncpreemptoff=1",
    }  # fmt: skip
    # without what a debugger reads; vet would read the tests alone, which are not what is judged
    compile_ = (found[0], "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", "{folder}/main", "{folder}/main_test.go")
    return (("main_test.go", compile_),), ("{folder}/main",), tuple(environment.items()), (root, *linked)


def _cpp(found: list[str]) -> _Commands:
    """The program is a library; the libraries of the tests stand before it, so that they never take a function of theirs from it."""
    common = (found[0], f"-std={CPP[0]}", "-O0", "-w", "-fPIC")
    prelude = ("?@{folder}/options", "-include", "{folder}/codeact.h")
    headers = [
        (f"codeact.h.gch/{standard}", (*common, f"-std={standard}", "-x", "c++-header", "-o", f"{{folder}}/codeact.h.gch/{standard}", "{folder}/codeact.h"))
        for standard in CPP
    ]
    program = ("program.cpp", (*common, *prelude, "-shared", "-o", "{folder}/libprogram.so", "{folder}/program.cpp", "-lcrypto"))
    first = ("-Wl,--no-as-needed", "-l:libc.so.6", "-l:libm.so.6", "-lstdc++", "-lgcc_s", "-lcrypto", "-Wl,-rpath,{folder}")
    main = ("main.cpp", (*common, *prelude, "-o", "{folder}/main", "{folder}/main.cpp", *first, "?{folder}/libprogram.so"))
    return (*headers, program, main), ("{folder}/main",), (), ()


def _rust(found: list[str]) -> _Commands:
    root = Path(_said([str(shutil.which("rustc")), "--print", "sysroot"]))
    common = (str(root / "bin" / "rustc"), "--edition", "2021", "-A", "warnings", "-C", "debuginfo=0")
    program = ("program.rs", (*common, "--crate-type", "rlib", "--crate-name", "program", "-o", "{folder}/libprogram.rlib", "{folder}/program.rs"))
    main = ("main.rs", (*common, "--test", "-C", f"linker={found[1]}", "?--extern=program={folder}/libprogram.rlib", "-o", "{folder}/main",
                        "{folder}/main.rs"))  # fmt: skip
    run = ("{folder}/main", "--test-threads", "1")
    readable = () if root == Path("/usr") else (str(root),)
    return (program, main), run, (("LD_LIBRARY_PATH", str(root / "lib")),), readable


def _said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


_COMMANDS = {"javascript": _javascript, "java": _java, "go": _go, "cpp": _cpp, "rust": _rust}

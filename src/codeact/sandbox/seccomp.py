"""The system-call filter of the sandbox: a short list of allowed calls, everything else fails with EPERM.

It is a classic BPF program as `seccomp(2)` and `bwrap --seccomp` take it. No call that makes a process or thread, opens a
socket, signals or traces another process, changes a file, a namespace, a limit or a credential is on the list.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable
from typing import Literal

# Numbers on (x86_64, aarch64), from the kernel's unistd.h; None: the architecture has no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "mprotect": (10, 226),
    "futex": (202, 98),
    "openat": (257, 56),
    "close": (3, 57),
    "newfstatat": (262, 79),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "getdents64": (217, 61),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "open": (2, None),
    "getdents": (78, None),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "fadvise64": (221, 223),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "close_range": (436, 436),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "wait4": (61, 260),
    "getgroups": (115, 158),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "getcpu": (309, 168),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "umask": (95, 166),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "arch_prctl": (158, None),
    "set_tid_address": (218, 96),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
}
EXECVE = (59, 221)
# Beside these, what runtimes of other languages need: threads, their names and priorities.
THREADS: dict[str, tuple[int | None, int | None]] = {
    "mincore": (27, 232),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "epoll_create": (213, None),
    "pwrite64": (18, 68),
}
# And what compilers need: processes and files.
PROCESSES: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "waitid": (247, 95),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "creat": (85, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
    "utimensat": (280, 88),
    "flock": (73, 32),
    "fsync": (74, 82),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
    "pwritev": (296, 70),
}
CLONE, CLONE3 = (56, 220), (435, 435)
CLONE_THREAD = 0x10000
# A namespace, and what would have the new process traced or made a child of another.
CLONE_FORBIDDEN = 0x7E020000 | 0x2000 | 0x8000
Profile = Literal["python", "threads", "processes"]
# What RLIMIT_DATA does not count, and would be memory without a limit: shared pages of no file, and stacks made by hand.
MMAP, MAP_SHARED, MAP_ANONYMOUS, MAP_GROWSDOWN = (9, 222), 0x01, 0x20, 0x100
# Stacks made longer by mremap are not counted either; the C library's realloc copies where it is refused.
MREMAP = (25, 216)
# A file opened for reading alone, or for neither (3), is not truncated: Landlock before version 3 (Linux 6.2) asks for no right to write then.
OPENS, O_TRUNC, O_ACCMODE = (((2, None), 1), ((257, 56), 2)), 0x200, 3
# prctl may name a thread and a mapping
PRCTL = ((157, 167), ((0, (15, 16, 0x53564D41)),))

# Calls allowed for some arguments only: numbers, then for each checked argument its index and its allowed low 32 bits.
# prlimit64 may read a limit (no new one), sendto may not name an address, socketpair makes connected stream pairs
# (asyncio needs one); fcntl may not set an owner, to whom the kernel would send signals; ioctl asks about terminals; clocks are
# the system's and this process's, not those of another's processor time.
CLOCKS = (*range(12), 0xFFFFFFFA, 0xFFFFFFFE)
CONDITIONAL: tuple[tuple[tuple[int, int], tuple[tuple[int, tuple[int, ...]], ...]], ...] = (
    ((16, 29), ((1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),)),
    ((72, 25), ((1, (0, 1, 2, 3, 4, 1030)),)),
    ((302, 261), ((2, (0,)),)),
    ((44, 206), ((4, (0,)),)),
    ((53, 199), ((0, (1,)), (1, (1, 0x801, 0x80001, 0x80801)))),
    *((numbers, ((0, CLOCKS),)) for numbers in ((228, 113), (229, 114), (230, 115))),
)
POINTERS = {(302, 2), (261, 2), (44, 4), (206, 4)}

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000
EPERM = 1
RET_ALLOW, RET_ERRNO, RET_KILL = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000
RET_NO_CALL = 0x00050000 | 38
LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
OFFSET_NUMBER, OFFSET_ARCH, OFFSET_ARGUMENTS = 0, 4, 16


def machine() -> str:
    """The architecture of this machine: "x86_64", "aarch64" or "" where no table of system calls exists."""
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    return name if name in AUDIT_ARCH else ""


def build_filter(architecture: str, execve: bool, profile: Profile = "python") -> bytes:
    """The filter program: 8 bytes per instruction, little-endian.

    Args:
        architecture: "x86_64" or "aarch64".
        execve: allow execve, which bubblewrap needs to start the interpreter under the filter.
        profile: "python": neither threads nor processes; "threads": threads; "processes": both, and files may be changed.
    """
    column = list(AUDIT_ARCH).index(architecture)
    code = [
        (LOAD, 0, 0, OFFSET_ARCH),
        (EQUAL, 1, 0, AUDIT_ARCH[architecture]),
        (RETURN, 0, 0, RET_KILL),
        (LOAD, 0, 0, OFFSET_NUMBER),
        (AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, RET_ERRNO),
    ]
    more = [] if profile == "python" else [*THREADS.values()]
    more += [*PROCESSES.values()] if profile == "processes" else []
    checked = [numbers for numbers, _ in OPENS] + ([] if profile == "python" else [MMAP]) + ([MREMAP] if profile == "threads" else [])
    plain = [numbers[column] for numbers in [*ALLOWED.values(), *([EXECVE] if execve else []), *more] if numbers not in checked]
    for number in plain:
        if number is not None:
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, RET_ALLOW)]
    if profile != "python":
        body = _clone_checks(threads_only=profile == "threads")
        code += [(EQUAL, 0, len(body), CLONE[column]), *body]
        body = _mapping_checks()
        code += [(EQUAL, 0, len(body), MMAP[column]), *body]
        # the C library then takes `clone`, whose flags a filter can read
        code += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, RET_NO_CALL)]
    for opens, index in OPENS:
        if (number := opens[column]) is not None:
            body = _truncation_checks(index)
            code += [(EQUAL, 0, len(body), number), *body]
    for numbers, arguments in (*CONDITIONAL, *([PRCTL] if profile != "python" else [])):
        body = _argument_checks(numbers[column], arguments)
        code += [(EQUAL, 0, len(body), numbers[column]), *body]
    code.append((RETURN, 0, 0, RET_ERRNO))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _clone_checks(threads_only: bool) -> list[tuple[int, int, int, int]]:
    only = [(ANY_BIT, 1, 0, CLONE_THREAD), (RETURN, 0, 0, RET_ERRNO)] if threads_only else []
    code = [(LOAD, 0, 0, OFFSET_ARGUMENTS), (ANY_BIT, 0, 1, CLONE_FORBIDDEN), (RETURN, 0, 0, RET_ERRNO), *only]
    return [*code, (RETURN, 0, 0, RET_ALLOW)]


def _mapping_checks() -> list[tuple[int, int, int, int]]:
    return [
        (LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * 3),
        (ANY_BIT, 2, 0, MAP_GROWSDOWN),
        (ANY_BIT, 0, 2, MAP_SHARED),
        (ANY_BIT, 0, 1, MAP_ANONYMOUS),
        (RETURN, 0, 0, RET_ERRNO),
        (RETURN, 0, 0, RET_ALLOW),
    ]


def _truncation_checks(index: int) -> list[tuple[int, int, int, int]]:
    return [
        (LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * index),
        (AND, 0, 0, O_TRUNC | O_ACCMODE),
        (EQUAL, 1, 0, O_TRUNC),
        (EQUAL, 0, 1, O_TRUNC | O_ACCMODE),
        (RETURN, 0, 0, RET_ERRNO),
        (RETURN, 0, 0, RET_ALLOW),
    ]


def _argument_checks(number: int, arguments: Iterable[tuple[int, tuple[int, ...]]]) -> list[tuple[int, int, int, int]]:
    code: list[tuple[int, int, int, int]] = []
    for index, values in arguments:
        code.append((LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * index))
        code += [(EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)]
        code.append((RETURN, 0, 0, RET_ERRNO))
        if (number, index) in POINTERS:
            code += [
                (LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * index + 4),
                (EQUAL, 1, 0, 0),
                (RETURN, 0, 0, RET_ERRNO),
            ]
    return [*code, (RETURN, 0, 0, RET_ALLOW)]

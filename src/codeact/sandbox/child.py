"""What runs inside the sandbox. Standard library only, sent as compiled code over standard input, so no file is needed.

The parent decides every verdict; nothing in this process is trusted once the program under test has started. It gets
source code and arguments, never an expected result. One line per answer:

    l            the source is loaded          e<text>    it or a call raised; the text is a JSON string
    v<value>     an answer, tagged JSON        f<digest>  an answer too large to send unasked; reply k: go on, t: send it
    c<value>     the check program calls the candidate with [args, kwargs]; reply v<value> or e<text>
    t<value>     CPU seconds of each call      d          the check program ran to its end
"""

from __future__ import annotations

import builtins
import marshal
import os
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from codeact.sandbox.conversation import converse
from codeact.sandbox.values import MESSAGE_CHARACTERS, decode, encode, fingerprint, opaque_kind
from codeact.sandbox.view import Packages, View, install

if TYPE_CHECKING:
    import ctypes

BUFFER_BYTES = 1 << 16
# Answers from this size on (in bytes, marshalled) are sent as a digest first.
LARGE = 1 << 14
SCALARS = (bool, int, float, type(None))
MODULE = "solution"
UNGIVEN = "tests give the function"
# The file that tests which share a process are compiled as; the types whose values are told of a failed assertion, and how long each part is.
TESTS = "<tests>"
TOLD = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
TOLD_CHARACTERS = 80


def main() -> None:
    """Read the request, confine this process, and serve it."""
    request = marshal.load(sys.stdin.buffer)
    if request["mode"] == "program":
        _confine(request)
        _run_program(request["source"], request["stdin"])
    if request["mode"] == "exec":
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _confine(request)
        os.chdir(request["folder"])
        os.execve(request["command"][0], request["command"], request["environment"])
    results = os.fdopen(os.dup(1), "wb", buffering=BUFFER_BYTES)
    replies = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _confine(request)
    os.dup2(null, 2)
    serve = {"calls": _answer_calls, "serve": _answer_questions, "check": _run_check}[request["mode"]]
    try:
        serve(request, results, replies)
    # Whatever the program raises, SystemExit and its own subclasses of BaseException included, is its answer.
    except BaseException as error:  # noqa: BLE001
        results.write(b"e" + encode(_told(error, request["source"] if request["mode"] == "check" else "")).encode("ascii") + b"\n")
    results.flush()
    os._exit(0)


def _load(request: Mapping[str, Any], results: BinaryIO) -> Callable[..., object]:
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(request["source"], f"<{MODULE}>", "exec"), module.__dict__)
    function: Callable[..., object] = module.__dict__[request["entry_point"]]
    results.write(b"l\n")
    results.flush()
    return function


def _answer_calls(request: Mapping[str, Any], results: BinaryIO, replies: BinaryIO) -> None:
    function = _load(request, results)
    seconds = []
    began = time.process_time()
    for arguments in request["inputs"]:
        try:
            _answer(function(*arguments), results, replies)
        except BaseException as error:  # noqa: BLE001 as in main
            results.write(_describe(error))
        # Not held back to share a write: the next call may never return, and the parent must know which one it was.
        results.flush()
        ended = time.process_time()
        seconds.append(ended - began)
        began = ended
    if request["timed"]:
        results.write(b"t" + encode(seconds).encode("ascii") + b"\n")


def _answer(value: object, results: BinaryIO, replies: BinaryIO) -> None:
    if type(value) not in SCALARS:
        digest, size = fingerprint(value, LARGE)
        if digest:
            results.write(f"f{digest} {size}\n".encode("ascii"))
            results.flush()
            if replies.readline() != b"t\n":
                return
    results.write(b"v" + encode(value).encode("ascii") + b"\n")


def _answer_questions(request: Mapping[str, Any], results: BinaryIO, replies: BinaryIO) -> None:
    converse("s")
    function = _load(request, results)
    for question in replies:
        arguments, keywords = decode(question)
        try:
            results.write(b"v" + encode(function(*arguments, **keywords)).encode("ascii") + b"\n")
        except BaseException as error:  # noqa: BLE001 as in main
            results.write(_describe(error, _kind(type(error)) if request["raises"] else ""))
        results.flush()


def _kind(kind: type) -> str:
    """The name of an exception's class; of one that is not built in with its module and the nearest base that is."""
    if kind.__module__ == "builtins":
        return kind.__name__
    base = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    return f"{kind.__module__}.{kind.__name__}({base.__name__})"


def _run_check(request: Mapping[str, Any], results: BinaryIO, replies: BinaryIO) -> None:
    def candidate(*arguments: object, **keywords: object) -> object:
        asked = encode([list(arguments), keywords])
        if request["raises"] and (kind := opaque_kind(asked)):
            results.write(_describe(TypeError(f"{UNGIVEN} a {kind}, which is no value")))
            results.flush()
            os._exit(0)
        results.write(b"c" + asked.encode("ascii") + b"\n")
        results.flush()
        reply = replies.readline()
        if reply[:1] != b"v":
            raise _raised(str(decode(reply[1:])))
        return decode(reply[1:])

    converse("c")
    check = _load(request, results)
    check(candidate)
    results.write(b"d\n")


def _raised(message: str) -> BaseException:
    """What the candidate raised: the class where these tests know it, else one of its name below the nearest built-in one.

    What cannot be made of a text (an exception group) is of a class of its name below Exception, which no test expects
    by another name. So is what steers unittest itself: a candidate must not have its tests skipped.
    """
    head, _, text = message.partition(": ")
    path, _, base = head.rstrip(")").partition("(")
    module, _, name = path.rpartition(".")
    kind = vars(builtins).get(base or path)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return _named(name, Exception, text)
    known = getattr(sys.modules.get(module), name, None) if module != MODULE else None
    if isinstance(known, type) and issubclass(known, kind) and not _steers(known):
        kind = known
    if kind is SystemExit:
        return SystemExit(int(text) if text.lstrip("-").isdecimal() else text or None)
    try:
        if kind.__name__ == name:
            return kind(text.strip("'\"") if kind is KeyError else text)
    except TypeError:  # it takes more than a text
        pass
    try:
        return _named(name, kind, text)
    except TypeError:
        return _named(name, Exception if issubclass(kind, Exception) else BaseException, text)


def _steers(kind: type) -> bool:
    """Whether unittest takes it as an order: SkipTest and its like, and what tests derive from them."""
    return any(one.__module__.partition(".")[0] == "unittest" for one in kind.__mro__)


def _named(name: str, base: type[BaseException], text: str) -> BaseException:
    try:
        made: type[BaseException] = type(name, (base,), {"__init__": lambda *given: None, "__str__": lambda self: text})
    except ValueError:  # a text that is no name
        made = type("Unnamed", (base,), {"__str__": lambda self: text})
    return made(text)


def _run_program(source: str, stdin: str) -> NoReturn:
    import io

    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogatepass")), encoding="utf-8")
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module
    try:
        exec(compile(source, "<program>", "exec"), main_module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 as in main
        sys.stdout.flush()
        # in one line, which is what is read of it: a message of several (numpy's) would lose its beginning
        sys.stderr.write("\n" + " ".join(_told(error).split()))
        sys.stderr.flush()
        os._exit(1)
    sys.exit(0)


def _describe(error: BaseException, name: str = "") -> bytes:
    return b"e" + encode(_message(error, name)).encode("ascii") + b"\n"


def _message(error: BaseException, name: str = "") -> str:
    name = name or type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 the program's own __str__ may raise anything
        text = ""
    return f"{name}: {text}"[:MESSAGE_CHARACTERS] if text else name


def _told(error: BaseException, check: str = "") -> str:
    """The message; of an assertion of the tests that says nothing itself, with its text and the variables in it.

    Args:
        check: source of the check program; tests in a file of their own are where `linecache` has them.
    """
    if not isinstance(error, AssertionError) or error.args:
        return _message(error)
    import ast
    import linecache

    trace, found = error.__traceback__, None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        text = check if name == f"<{MODULE}>" else "".join(linecache.getlines(name)) if name == TESTS else ""
        found = (text, trace) if text else found
        trace = trace.tb_next
    if found is None:
        return _message(error)
    text, trace = found
    try:
        claims = [node.test for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert) and node.lineno <= trace.tb_lineno <= (node.end_lineno or 0)]
        if not claims:
            return _message(error)
        claim = " ".join((ast.get_source_segment(text, claims[-1]) or "").split())
        names = {node.id: None for node in ast.walk(claims[-1]) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _message(error)
    known = {**trace.tb_frame.f_globals, **trace.tb_frame.f_locals}
    values = [f"; {one} = {_cut(_written(known[one]))}" for one in names if type(known.get(one)) in TOLD]
    return "".join([f"AssertionError: {_cut(claim)}", *values])[:MESSAGE_CHARACTERS]


def _cut(text: str) -> str:
    return text if len(text) <= TOLD_CHARACTERS else f"{text[: TOLD_CHARACTERS - 3]}..."


def _written(value: object) -> str:
    import reprlib

    short = reprlib.Repr()  # which sorts sets, so that the line is the same in every run
    for kind in ("list", "tuple", "set", "frozenset", "dict", "string", "other", "long"):
        setattr(short, f"max{kind}", TOLD_CHARACTERS)
    try:
        return short.repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits, deep nesting
        return f"a large {type(value).__name__}"


PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
SIGKILL = 9
O_PATH = 0o10000000  # of open(2): the number on x86_64 and aarch64; Python has the name on Linux alone
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# Rights on files, on TCP ports and on scopes that each Landlock version knows (linux/landlock.h).
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def _confine(request: Mapping[str, Any]) -> None:
    """Give up rights as far as the request asks, which raises OSError if one fails; show only what is left to be seen."""
    _give_up_rights(request)
    if request["view"]:
        view = View([*request["readable"], *request["links"]], request["hidden"])
        install(view, request["packages"], stat_is_free=request["confine"])
    else:
        sys.meta_path.append(Packages(request["packages"]))


def _give_up_rights(request: Mapping[str, Any]) -> None:
    if request["parent"] == 0:
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(function: Callable[..., int], *arguments: object) -> int:
        result = function(*(ctypes.c_long(a) if type(a) is int else a for a in arguments))
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    if sys.platform == "linux":
        call(libc.prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != request["parent"]:
            os._exit(1)
    if not request["confine"]:
        return
    if os.geteuid() == 0:
        _drop_capabilities(libc, call)
    call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _landlock(libc, call, request["readable"], request["hidden"], request["writable"])
    program = ctypes.create_string_buffer(request["seccomp"], len(request["seccomp"]))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    description = Program(len(request["seccomp"]) // 8, ctypes.addressof(program))
    call(libc.prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(description), 0, 0)


def _landlock(
    libc: ctypes.CDLL, call: Callable[..., int], readable: list[str], hidden: list[str], writable: list[str]
) -> None:
    import ctypes
    import struct

    version = call(libc.syscall, CREATE_RULESET, None, 0, 1)
    rights = (1 << FILE_RIGHTS.get(version, 16)) - 1
    # Fields: file rights, TCP rights (version 4), scopes (version 6); no rule allows TCP, abstract sockets or signals.
    attributes = struct.pack("=QQQ", rights, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = call(libc.syscall, CREATE_RULESET, attributes, len(attributes), 0)

    def allow(path: str, allowed: int) -> None:
        try:
            handle = os.open(path, O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        if not os.path.isdir(path):  # noqa: PTH112 pathlib is not worth its import time here
            allowed &= ~READ_DIR
        rule = struct.pack("=Qi", allowed & rights, handle)
        call(libc.syscall, ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0)
        os.close(handle)

    def split(path: str) -> None:
        """Landlock cannot take a right back, so the entries of a folder around a hidden one get theirs one by one."""
        if path in hidden:
            return
        if not any(folder.startswith(f"{path}/") for folder in hidden):
            allow(path, EXECUTE | READ_FILE | READ_DIR)
            return
        allow(path, READ_DIR)
        for entry in os.scandir(path):
            if not entry.is_symlink():
                split(entry.path)

    for path in readable:
        split(path)
    allow(os.devnull, READ_FILE | WRITE_FILE)
    for path in writable:
        allow(path, rights)
    call(libc.syscall, RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _drop_capabilities(libc: ctypes.CDLL, call: Callable[..., int]) -> None:
    import struct

    # Reading stays possible where the interpreter belongs to another user; Landlock says which files.
    kept = 1 << CAP_DAC_READ_SEARCH
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    call(libc.capset, header, struct.pack("=6I", kept, kept, 0, 0, 0, 0))

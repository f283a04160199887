"""Chooses the strongest backend that withstands an attack on this machine."""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import util
from importlib.abc import InspectLoader
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from codeact.errors import CodeactError, InputError
from codeact.files import at_home
from codeact.sandbox.backends import Backend, Name, make_backend
from codeact.sandbox.calls import call_function
from codeact.sandbox.process import Limits

SAFE: tuple[Name, ...] = ("bubblewrap", "landlock")
# Attacks that return; the program must survive them all. The others are ended by a limit.
RETURNING = (
    *("connect_loopback", "connect_unix", "read_home", "read_shadow", "read_passwd", "write_outside"),
    *("read_environment", "nest_namespace", "fork", "spawn", "thread", "signal_parent", "trace_parent"),
    *("raise_limits", "allocate"),
)
# Processor time decides, so that a busy machine does not change what is found; the second try is for one that is very busy.
PROBE_LIMITS = tuple(
    Limits(cpu_seconds=30.0, wall_seconds=wall, idle_seconds=wall / 2, output_bytes=1 << 20) for wall in (120.0, 600.0)
)
LOOP_SECONDS = 0.5
UNTESTED = "it is installed, but the attacks on it did not run to their end, which says nothing about it"
PUBLIC_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/")


State = Literal["holds", "missing", "broken", "leaks", "untested"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What attacking a backend showed.

    Attributes:
        name: the backend.
        state: "holds"; "missing" (not installed here, or for another system); "broken" (it does not start, or an honest program gets a
            wrong result); "leaks" (an attack got through); "untested" (the attacks did not run to their end, which says nothing).
        blocked: attack -> whether it was blocked; empty where the backend did not start.
        problem: one line that says why the backend is not used; "" when it holds.
        backend: set when it holds.
    """

    name: Name
    state: State
    blocked: MappingProxyType[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    problem: str = ""
    backend: Backend | None = None


def detect_backend(prefer: Name | None = None, unsafe: bool = False) -> Backend:
    """The strongest backend that withstood the attacks on this machine.

    Args:
        prefer: use this one and no other.
        unsafe: where none holds, run without isolation (`--unsafe-no-sandbox`); the name of the backend, "none", is
            what results record.

    Warns:
        UserWarning: a stronger one is installed and was passed over, because it leaks or could not be tested.

    Raises:
        InputError: an unknown name, or "none" without `unsafe`.
        CodeactError: no backend holds here and `unsafe` is not set.
    """
    if prefer is not None and prefer not in (*SAFE, "none"):
        raise InputError(f"unknown sandbox {prefer!r}; the sandboxes are {', '.join(SAFE)} and none")
    if prefer == "none" and not unsafe:
        raise InputError("the sandbox none isolates nothing; confirm it with --unsafe-no-sandbox, or name another")
    failures: list[str] = []
    passed_over: list[str] = []
    for name in SAFE if prefer is None else (prefer,):
        if name == "none":
            break
        probe = probe_backend(name)
        if probe.backend is not None:
            if passed_over:
                warnings.warn(f"the sandbox {name} is used, the weaker one: {'; '.join(passed_over)}", stacklevel=2)
            return probe.backend
        failures.append(f"{name}: {probe.problem}")
        passed_over += failures[-1:] if probe.state in ("leaks", "untested") else []
    if unsafe:
        backend = make_backend("none")
        assert isinstance(backend, Backend)
        return backend
    raise CodeactError(
        "no sandbox holds on this machine, so generated code is not run ("
        + "; ".join(failures)
        + "); install bubblewrap, or run on your own risk with --unsafe-no-sandbox"
    )


def probe_backend(name: Name) -> Probe:
    """Attack one backend; what is found is kept for this process. Takes about a second of processor time."""
    if name in _found:
        return _found[name]
    first, second = PROBE_LIMITS
    probe = _probe(name, first)
    if probe.state == "untested":
        probe = _probe(name, second)
    if probe.state != "untested":
        _found[name] = probe
    return probe


_found: dict[Name, Probe] = {}


def _probe(name: Name, limits: Limits) -> Probe:
    backend = make_backend(name)
    if isinstance(backend, str):
        return Probe(name, "missing", problem=backend)
    bare = replace(backend, view=False)
    with attack_facts() as facts:
        honest, *outcomes = call_function(
            attack_source(),
            "attack",
            [[attack, facts] for attack in ("honest", *RETURNING)],
            limits=limits,
            backend=bare,
        )
        expected = [[1], 2.0, "b", {"a": 2}, {1, 2}, os.getpid()]
        if honest.status == "timeout":
            return Probe(name, "untested", problem=f"{UNTESTED} ({honest.detail})")
        if honest.status != "passed" or honest.value != expected:
            return Probe(name, "broken", problem=honest.detail or "an honest program got a wrong result")
        for package in dict(backend.packages):
            (found,) = call_function(f"import {package}\ndef f(): return 1", "f", [[]], limits=limits, backend=backend)
            if found.status == "timeout":
                return Probe(name, "untested", problem=f"{UNTESTED} ({found.detail})")
            if found.status != "passed":
                return Probe(name, "broken", problem=f"programs could not import {package}, which is installed ({found.detail})")
        blocked = {
            attack: outcome.status != "passed" or outcome.value is None
            for attack, outcome in zip(RETURNING, outcomes, strict=True)
        }
        blocked["write_outside"] &= not written(facts)
        # Every process has an environment; the attack works if it shows an entry of ours.
        seen = outcomes[RETURNING.index("read_environment")].value or []
        ours = {f"{key}={value}" for key, value in os.environ.items() if backend.environment.get(key) != value}
        blocked["read_environment"] = ours.isdisjoint(seen)
    lost = [outcome.detail for outcome in outcomes if outcome.status in ("killed", "timeout", "output")]
    if lost:
        return Probe(name, "untested", problem=f"{UNTESTED} ({lost[0]})")
    for attack, status in (("loop", "timeout"), ("flood", "output")):
        (outcome,) = call_function(
            attack_source(), "attack", [[attack, {}]], limits=limits, backend=bare, call_seconds=LOOP_SECONDS
        )
        if outcome.status == "timeout" != status:
            return Probe(name, "untested", problem=f"{UNTESTED} ({outcome.detail})")
        blocked[attack] = outcome.status == status
    failed = [attack for attack, held in blocked.items() if not held]
    if failed:
        return Probe(name, "leaks", MappingProxyType(blocked), f"it did not block {', '.join(failed)}")
    return Probe(name, "holds", MappingProxyType(blocked), backend=backend)


def attack_source() -> str:
    """The source of the attacks, to be run with the entry point `attack`."""
    spec = util.find_spec("codeact.sandbox.attacks")
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    source = spec.loader.get_source("codeact.sandbox.attacks")
    assert source is not None
    return source


@contextmanager
def attack_facts() -> Iterator[dict[str, Any]]:
    """What the attacks aim at: open doors and a secret that an unconfined process of this user would get."""
    home = at_home("~")
    with (
        tempfile.TemporaryDirectory(prefix=".codeact-probe-", dir=home if os.access(home, os.W_OK) else None) as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        secret = Path(folder) / "secret"
        secret.write_text("secret")
        abstract = Path(folder).name
        local.bind("\0" + abstract)
        local.listen()
        yield {
            "pid": os.getpid(),
            "port": server.getsockname()[1],
            "abstract_socket": abstract,
            "secret_file": str(secret),
            "folders": [folder, *PUBLIC_FOLDERS],
            "marker": abstract,
        }


def written(facts: dict[str, Any]) -> bool:
    """Whether a marker is in one of the folders that were aimed at; it is removed."""
    paths = [Path(folder) / facts["marker"] for folder in facts["folders"]]
    found = [path for path in paths if path.is_file()]
    for path in found:
        path.unlink()
    return bool(found)

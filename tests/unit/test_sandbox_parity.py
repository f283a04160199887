"""The sandboxes agree: one program, one outcome, whichever of them ran it; and what they agree on is what an honest program expects."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codeact.sandbox import Backend, call_function, run_program
from tests.helpers.sandbox_programs import BODIES, source
from tests.helpers.sandboxes import SANDBOXES, held_sandbox

# where this Python or this checkout lies under /tmp, a sandbox shows /tmp, to be read
SHOWN = (sys.prefix, sys.base_prefix, __file__)
WRITE_TMP = "OSError 30" if any(Path(one).resolve().is_relative_to("/tmp") for one in SHOWN) else "FileNotFoundError 2"


@pytest.fixture(scope="module")
def backends() -> list[Backend]:
    return [held_sandbox(name) for name in SANDBOXES]


@pytest.fixture(scope="module")
def outcomes(backends: list[Backend]) -> dict[str, list[tuple[str, str, str]]]:
    """Program -> what each sandbox made of it."""

    def run(name: str) -> list[tuple[str, str, str]]:
        found = [call_function(source(name), "f", [[]], backend=backend)[0] for backend in backends]
        return [(outcome.status, outcome.detail, repr(outcome.value)) for outcome in found]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BODIES, pool.map(run, BODIES), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_every_sandbox_reaches_the_same_outcome(name: str, outcomes: dict[str, list[tuple[str, str, str]]]) -> None:
    first, *others = outcomes[name]
    assert others == [first] * len(others)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guarded import of a package", "bb"),
        ("guarded yaml", "yaml"),
        ("find_spec", [True, True, True, False, False]),
        ("read missing", "missing"),
        ("read passwd", "missing"),
        ("write here", "OSError 30"),
        ("write tmp", WRITE_TMP),
        ("null", ("", 1, True)),
        ("glob", ([], [], [], [])),
        ("fork", "PermissionError 1"),
        ("exec python", "PermissionError 1"),
        ("zoneinfo", "2020-07-01 00:00:00-04:00"),
        ("asyncio", [0, 1, 2]),
        ("mimetypes", (("text/html", None), ("image/png", None))),
    ],
)
def test_what_an_answer_meets(name: str, value: Any, backend: Backend) -> None:
    if (
        name == "zoneinfo"
        and not call_function(
            "import os\ndef f(): return os.path.exists('/usr/share/zoneinfo')", "f", [[]], backend=backend
        )[0].value
    ):
        pytest.skip("this machine has no time zones under /usr/share/zoneinfo")
    (outcome,) = call_function(source(name), "f", [[]], backend=backend)
    assert (outcome.status, outcome.value) == ("passed", value)


def test_programs_see_the_same_too(backend: Backend) -> None:
    program = "try:\n import regex\nexcept ImportError:\n print('none')\ntry:\n open('/etc/passwd')\nexcept FileNotFoundError:\n print('missing')\n"
    assert run_program(program, backend=backend).stdout == "none\nmissing\n"

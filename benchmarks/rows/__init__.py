"""The rows of docs/performance.md: one module a row, each with `measure(**settings)` that gives a `row`.

`benchmarks.run` lists them with their settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import peers
from benchmarks.turns import Turn


def row(
    question: str, unit: str, turns: Mapping[str, Sequence[Turn]], ours: str, missing: Mapping[str, str] | None = None, **facts: Any
) -> dict[str, Any]:
    """What a row keeps.

    Args:
        question: one line.
        unit: what `work` of a turn counts.
        turns: each way's turns: `seconds`, `cpu_seconds`, perhaps `work`, `share_of_limit`, `peak_memory_MiB`, and what else it says.
        ours: the way that the others are compared with.
        missing: tools that took no part, with the reason.
        facts: figures of the whole row, and `limit`, `note`: lines of text.
    """
    return {"question": question, "unit": unit, "ours": ours, "turns": {name: list(some) for name, some in turns.items()},
            "missing": dict(missing or {}), **facts}  # fmt: skip


@contextmanager
def tools(wanted: Mapping[str, tuple[str, str, dict[str, Any]]]) -> Iterator[tuple[dict[str, peers.Waiting], dict[str, str]]]:
    """Scripts of other tools, loaded and ready, and those that are not, with the reason.

    Args:
        wanted: name of the way -> environment, script, settings.
    """
    missing = {}
    with ExitStack() as stack:
        ready = {}
        for name, (environment, script, settings) in wanted.items():
            try:
                ready[name] = stack.enter_context(peers.waiting(environment, script, settings))
            except peers.PeerError as error:
                missing[name] = str(error)
        yield ready, missing


def told(wanted: Mapping[str, tuple[str, str, dict[str, Any]]], missing: Mapping[str, str]) -> dict[str, str]:
    """Versions of the tools that took part."""
    found: dict[str, str] = {}
    for name, (environment, _, _) in wanted.items():
        if name not in missing:
            found |= peers.versions(environment)
    return found

"""MBPP and MBPP+: the prompt is a docstring alone, the answer a whole program. Buggy twins: `mbpp_twins`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from codeact.evaluation.sets.evalplus import evalplus_task
from codeact.evaluation.sets.files import Family, Release, pick, read_rows
from codeact.evaluation.sets.mbpp_twins import twin
from codeact.evaluation.tasks import Arguments, Rules, Task, TaskSet
from codeact.sandbox.values import check_hashes

# The newest first: it is the default.
RELEASES = (
    Release("mbpp", "v0.2.0", "MbppPlus", "b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad"),
    Release("mbpp", "v0.1.0", "MbppPlus", "a855b9de667baea8e2f8aa61f898767a7336872208a85222b35622545e819fe9"),
)
# The published answers' order means nothing.
AS_SETS = frozenset(f"Mbpp/{number}" for number in (2, 7, 111, 140, 232, 249, 579, 769))
# The published answers are match objects: only whether there is one counts.
NOT_NONE = frozenset(f"Mbpp/{number}" for number in (737, 787, 794))
ANY_ANSWER = "Mbpp/164"
# The examples of the field's 3-shot prompt; they are in EvalPlus's set, and are left out where they are shown.
SHOTS = ("Mbpp/2", "Mbpp/3", "Mbpp/4")


def load(name: str, version: str, data_dir: Path | None) -> TaskSet:
    """The set of that name and version."""
    release = pick(RELEASES, name, version)
    rows = read_rows(release, data_dir)
    shots = "".join(shot(row) + f"{_code(row)}\n[DONE]\n\n" for row in rows if row["task_id"] in SHOTS)
    tasks = (
        evalplus_task(row, name.endswith("+"), RULES, ARGUMENT_TYPES.get(row["task_id"], tuple), shots + shot(row))
        for row in rows
    )
    twinned = tuple(replace(task, buggy_solution=twin(task.id, task.canonical_solution)) for task in tasks)
    return TaskSet(name, release.version, twinned, release.sha256)


def shot(row: Mapping[str, Any]) -> str:
    """A task in the form of the MBPP paper (arXiv 2108.07732, figure 2), to be continued by its code."""
    text = row["prompt"].strip().strip('"').strip()
    words = text.split("\nassert ", 1)[0].strip()
    tests = "\n".join(line.strip() for line in (row.get("assertion") or "").strip().split("\n") if line.strip())
    return f"You are an expert Python programmer, and here is your task: {words} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"


def _code(row: Mapping[str, Any]) -> str:
    return str(row["canonical_solution"]).strip("\n")


def special(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool | None:
    """The tasks that EvalPlus 0.3.1 judges by rules of their own."""
    if task.id in AS_SETS:
        return set(check_hashes(list(cast("Iterable[object]", answer)))) == set(cast("Iterable[object]", expected))
    if task.id in NOT_NONE:
        found = expected is not None
        return bool(answer == found) if isinstance(answer, bool) else found == (answer is not None)
    if task.id == ANY_ANSWER or answer == expected:
        return True
    if task.id == "Mbpp/295" and answer == 0:
        return True
    if task.id == "Mbpp/558" and answer == _digit_distance(*arguments):
        return True
    if task.id == "Mbpp/581" and abs(cast("float", answer) - _pyramid_surface(*arguments)) <= task.atol:
        return True
    return None


def _pyramid_surface(base_edge: float, height: float) -> int:
    """Surface of a square pyramid, `height` taken as the distance from the base to the apex."""
    slant = math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 2 * base_edge * slant)


def _digit_distance(first: int, second: int) -> int:
    """Sum of the differences of digits in the same place, the shorter number padded with zeros on the left."""
    width = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


# MBPP tests pass tuples, sets and complex numbers, which the JSON files flatten to lists and strings. The table below
# says which tasks to restore and how; it gives the arguments of EvalPlus's `mbpp_deserialize_inputs`
# (https://github.com/evalplus/evalplus/blob/v0.3.1/evalplus/data/mbpp.py).


def _each_tuple(arguments: list[Any]) -> Arguments:
    return tuple(tuple(a) for a in arguments)


def _each_list_of_tuples(arguments: list[Any]) -> Arguments:
    return tuple([tuple(item) for item in a] for a in arguments)


def _each_tuple_of_tuples(arguments: list[Any]) -> Arguments:
    return tuple(tuple(tuple(item) for item in a) for a in arguments)


def _first_list_of_tuples(arguments: list[Any]) -> Arguments:
    return ([tuple(item) for item in arguments[0]], *arguments[1:])


def _first_tuple(arguments: list[Any]) -> Arguments:
    return (tuple(arguments[0]), *arguments[1:])


def _first_tuple_lists_too(arguments: list[Any]) -> Arguments:
    return (tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0]),)


def _second_tuple(arguments: list[Any]) -> Arguments:
    return (arguments[0], tuple(arguments[1]))


def _dict_of_tuples(arguments: list[Any]) -> Arguments:
    return ({key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:])


def _list_of_sets(arguments: list[Any]) -> Arguments:
    # An empty list stood for `{}`, which is a dictionary.
    return ([set(item) if isinstance(item, list) and item else {} for item in arguments[0]],)


def _float_and_complex(arguments: list[Any]) -> Arguments:
    return (float(arguments[0]), complex(arguments[1]))


def _complex(arguments: list[Any]) -> Arguments:
    return (complex(arguments[0]),)


def _tuples_throughout(arguments: list[Any]) -> Arguments:
    def convert(value: object) -> object:
        return tuple(convert(item) for item in value) if isinstance(value, list) else value

    return tuple(convert(a) for a in arguments)


_TABLE: dict[Callable[[list[Any]], Arguments], str] = {
    _each_tuple: "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    _each_list_of_tuples: "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    _each_tuple_of_tuples: "259 401 445",
    _first_list_of_tuples: "75 413 444 753",
    _first_tuple: "250 307 405 446 617 720 763 808",
    _first_tuple_lists_too: "278",
    _second_tuple: "106 750",
    _dict_of_tuples: "722",
    _list_of_sets: "115",
    _float_and_complex: "124",
    _complex: "252",
    _tuples_throughout: "580 615 791",
}
ARGUMENT_TYPES = {f"Mbpp/{number}": restore for restore, numbers in _TABLE.items() for number in numbers.split()}

RULES = Rules(special=special)
FAMILY = Family(
    ("mbpp", "mbpp+"),
    tuple(release.version for release in RELEASES),
    "CC BY 4.0 (the added tests: Apache-2.0)",
    "EvalPlus releases, https://github.com/evalplus",
    load,
    RELEASES,
)

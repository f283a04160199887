"""How a task about a Python function is asked and cut, where its set says nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codeact.evaluation.sanitize import sanitize

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

# A completion of an open function ends where something new begins at the left margin.
BODY_STOPS = (
    "\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n```", "\nassert ", "\nimport ", "\nfrom ", "\n@", '\n"""',
)  # fmt: skip
# After a docstring alone the functions, their helpers and imports are still to come.
PROGRAM_STOPS = ('\n"""', "\nassert ", "\nprint(", "\nif __name__", "\n```", "\n# Test", "\n# test")
INSTRUCTION = (
    "Complete the following Python function. Answer with the whole program, imports included, in one code block.\n\n"
    "```python\n{prompt}\n```"
)


def stops(task: Task) -> tuple[str, ...]:
    """What ends a completion of the prompt: less where the function itself is still to come."""
    return BODY_STOPS if f"def {task.entry_point}(" in task.prompt else PROGRAM_STOPS


def question(task: Task) -> str:
    """The chat turn that asks for the program."""
    return INSTRUCTION.format(prompt=task.prompt.strip("\n"))


def program(answer: str, task: Task, prompt: str) -> str:
    """The program in an answer, which may continue `prompt`."""
    return sanitize(answer, task.entry_point, prompt)


def special(task: Task, arguments: Sequence[Any], expected: Any, answer: Any) -> bool | None:
    """No task is judged apart from the general rule."""
    return None

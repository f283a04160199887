"""How programs of other languages are cut out of an answer: a fenced program, or what continues the prompt up to its last brace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codeact.evaluation.answer_text import final_answer, markdown_parts, normalize
from codeact.evaluation.languages.blocks import defining, definition, plain_code, unfenced
from codeact.evaluation.languages.text import closed, depth, ends

if TYPE_CHECKING:
    from codeact.evaluation.tasks import Task

STOPS = {
    "javascript": ("\nconsole.", "\n```", "\nmodule.exports"),
    "java": ("\npublic class Main", "\n```"),
    "go": ("\nfunc main(", "\nfunc Test", "\n```"),
    "cpp": ("\nint main", "\n```"),
    "rust": ("\n#[cfg(test)]", "\nmod tests", "\n```"),
}


def stops(task: Task) -> tuple[str, ...]:
    """What ends a completion."""
    return STOPS[task.language]


def program(answer: str, task: Task, prompt: str) -> str:
    """The program in an answer.

    Looked for are, until there is one: the last fenced block that defines the entry point, with the helpers that other blocks
    define; what continues `prompt`, up to its last brace; a block that does so; a program without a fence.
    """
    language, entry = task.language, task.entry_point
    answer = final_answer(normalize(answer))
    blocks = [plain_code(part.text, language) for part in markdown_parts(answer) if part.fenced]
    if (found := defining(blocks, entry, language)) is not None:
        return found
    answer = plain_code(answer, language)
    if answer.lstrip().startswith(prompt.strip()[:80]) and prompt.strip():
        answer = answer.lstrip().removeprefix(prompt.strip())
    opened = depth(prompt, language)
    end, fence, again = ends(answer, opened, language), answer.find("```"), definition(answer, entry, language)
    if end is not None and not (0 <= fence < end) and not (again is not None and again < end):
        return prompt + closed(answer, opened, language)
    bodies = [block for block in blocks if ends(block, opened, language) is not None] or [block for block in blocks if entry in block]
    if bodies:
        return prompt.strip() + "\n" + closed(bodies[-1], opened, language)
    if not blocks and (found := unfenced(answer, entry, language)) is not None:
        return found
    return prompt + closed(answer, opened, language)

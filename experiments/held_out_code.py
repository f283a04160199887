"""Readers of public data on code in many programming languages, for `held_out_drops`: how a repository becomes conversations."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from experiments.clean_sources import Turns, sections

Show = Callable[[str], str]
LANGUAGES = {"cpp": "C++", "py": "Python", "java": "Java", "sql": "MySQL", "ts": "TypeScript", "go": "Go", "kt": "Kotlin", "sh": "Bash",
             "php": "PHP", "rb": "Ruby", "rs": "Rust", "swift": "Swift", "js": "JavaScript"}  # fmt: skip


class Pages(NamedTuple):
    """What a reader has: the chosen paths, all paths of the repository, how a path is read, and what follows the reader's name."""

    paths: Sequence[str]
    listed: Collection[str]
    show: Show
    further: str


def some(paths: Sequence[str], most: int) -> Sequence[str]:
    """A seeded sample of the paths of sources with one record a file."""
    return random.Random(0).sample(paths, most) if len(paths) > most else paths


def _odex(pages: Pages) -> Iterable[Turns]:
    """An intent with the function that it begins; `whole`: the answer repeats that beginning."""
    for path in pages.paths:
        for row in map(json.loads, filter(str.strip, pages.show(path).split("\n"))):
            begun = row["prompt"] if pages.further == "whole" else ""
            yield [("user", f"{row['intent']}\n\n{row['prompt']}"), ("assistant", begun + row["canonical_solution"])]


def _parallel(pages: Pages) -> Iterable[Turns]:
    """Two files, line by line."""
    lead = "Translate this Java method to C#:\n" if "java" in pages.further else ""
    for path in pages.paths:
        for asked, answer in zip(pages.show(path).split("\n"), pages.show(pages.further).split("\n"), strict=False):
            if asked and answer:
                yield [("user", lead + asked), ("assistant", answer)]


def _cheat(pages: Pages) -> Iterable[Turns]:
    """Comments, each above the commands that do what it says."""
    for path in pages.paths:
        text = re.sub(r"(?s)^---\n.*?\n---\n", "", pages.show(path))
        for found in re.finditer(r"(?m)^((?:# .*\n)+)((?:(?!#)\S.*\n?)+)", text):
            asked = " ".join(line.lstrip("# ") for line in found[1].strip().split("\n"))
            yield [("user", f"{path}: {asked}"), ("assistant", found[2].strip())]


def _asked(pages: Pages) -> Iterable[Turns]:
    """Headings that begin with `Q.`"""
    for path in pages.paths:
        for part in re.split(r"(?m)^#+ *Q\. *", pages.show(path))[1:]:
            asked, _, answer = part.partition("\n")
            answer = re.sub(r"(?s)<div align=\"right\">.*?</div>", "", answer)
            answer = re.sub(r"</?(?:details|summary|b|p|br) ?/?>", "", re.split(r"(?m)^#{1,2} [^Q]", answer)[0])
            yield [("user", asked.strip()), ("assistant", answer.strip())]


def _sql(pages: Pages) -> Iterable[Turns]:
    """Up to three sentences for each query, their variables filled in."""
    for path in pages.paths:
        for item in json.loads(pages.show(path)):
            for sentence in item["sentences"][:3]:
                asked, answer = sentence["text"], item["sql"][0]
                for name, value in sentence["variables"].items():
                    asked, answer = asked.replace(name, value), answer.replace(name, value)
                yield [("user", asked), ("assistant", answer)]


def _solution(pages: Pages) -> Iterable[Turns]:
    """A task, and below `## Solution` how it is solved."""
    for path in pages.paths:
        asked, there, answer = pages.show(path).partition("\n## Solution")
        if there:
            yield [("user", asked), ("assistant", answer.partition("\n")[2].strip())]


def _whole(pages: Pages) -> Iterable[Turns]:
    """A language in one page."""
    for path in pages.paths:
        body = re.sub(r"(?s)\A---\n.*?\n---\n", "", pages.show(path)).strip()
        name, tongue = path.rsplit("/")[-1][:-3], path.partition("/")[0] if "/" in path else "en"
        yield [("user", f"Learn {name} in Y minutes ({tongue})"), ("assistant", body)]


def _snippet(pages: Pages) -> Iterable[Turns]:
    """A title, what it does, and the code."""
    for path in pages.paths:
        if found := re.match(r"(?s)---\n.*?title: ([^\n]*).*?\n---\n(.*?)(```.*)", pages.show(path)):
            yield [("user", f"{found[1]}: {found[2].strip()}"), ("assistant", found[3].strip())]


def _titled(pages: Pages) -> Iterable[Turns]:
    """A title in the head of a page, and the page."""
    for path in pages.paths:
        if found := re.match(r"(?s)---\n.*?title: ([^\n]*).*?\n---\n(.*)", pages.show(path)):
            yield [("user", found[1].strip()), ("assistant", found[2].strip())]


def _file(pages: Pages) -> Iterable[Turns]:
    """A file named for the problem that it solves; `folder`: its folder is."""
    for path in pages.paths:
        stem, _, suffix = path.rsplit("/", 1)[1].rpartition(".")
        title = path.split("/")[1].partition(". ")[2] if pages.further == "folder" else stem.replace("-", " ")
        yield [
            ("user", f"Solve LeetCode's problem '{title}' in {LANGUAGES.get(suffix, suffix)}."),
            ("assistant", pages.show(path)),
        ]


def _beside(pages: Pages) -> Iterable[Turns]:
    """A task, and a file beside it."""
    language = "C#" if pages.further.endswith("cs") else "Kotlin"
    for path in pages.paths:
        other = path.removesuffix("readme.md") + pages.further
        if other in pages.listed:
            yield [
                ("user", f"{pages.show(path)}\n\nWrite the solution in {language}."),
                ("assistant", pages.show(other)),
            ]


def _daily(pages: Pages) -> Iterable[Turns]:
    """Numbered problems of one page, each with a file of its own."""
    for path in pages.paths:
        for found in re.finditer(r"(?ms)^#+ Problem (\d+)\s*\n(.*?)(?=^#+ Problem|^---|\Z)", pages.show(path)):
            other = f"solutions/problem_{int(found[1]):03}.py"
            if other in pages.listed:
                yield [("user", re.sub(r"\[Solution\].*", "", found[2]).strip()), ("assistant", pages.show(other))]


def _reto(pages: Pages) -> Iterable[Turns]:
    """Solutions of many people in many languages, the task two folders above."""
    for path in pages.paths:
        parts = path.split("/")
        asked = "/".join([*parts[:2], "ejercicio.md"])
        if asked in pages.listed:
            yield [("user", f"{pages.show(asked)}\n\nLenguaje: {parts[2]}"), ("assistant", pages.show(path))]


def _problems(pages: Pages) -> Iterable[Turns]:
    """A task in a folder of its own, and the files of its name, a folder for each language."""
    for path in (path for path in pages.paths if path.lower().endswith("md")):
        name, text = path.split("/")[1].lower(), pages.show(path)
        for other in (other for other in pages.listed if other.startswith("solutions/")):
            if other.rsplit("/", 1)[-1].rpartition(".")[0].replace("_", "-").lower() == name:
                yield [("user", f"{text}\n\nLanguage: {other.split('/')[1]}"), ("assistant", pages.show(other))]


def _found(pattern: str) -> Callable[[Pages], Iterable[Turns]]:
    """Questions and answers by a pattern of two groups."""

    def read(pages: Pages) -> Iterable[Turns]:
        for path in pages.paths:
            for found in re.finditer(pattern, pages.show(path)):
                asked = re.sub(r"(?m)^> ?", "", found[1]).replace("**_", "").replace("_**", "")
                yield [("user", asked.strip()), ("assistant", found[2].strip(" *\n"))]

    return read


def _rest(pages: Pages) -> Iterable[Turns]:
    """Tasks of a benchmark from the hundredth on, with their solutions; the request's last blanks stay."""
    for path in pages.paths:
        for row in [json.loads(line) for line in pages.show(path).split("\n") if line.strip()][100:]:
            if row.get("canonical_solution"):
                yield [("user", row["prompt"]), ("assistant", row["canonical_solution"])]


def _functions(pages: Pages) -> Iterable[Turns]:
    """What models made of a function: the first two of each row."""
    for path in pages.paths:
        for row in [json.loads(line) for line in pages.show(path).split("\n") if line.strip()]:
            for made in row.get("generate_results", [])[:2]:
                asked = f"Write this function ({row.get('_id') or row.get('question_id')})."
                yield [("user", asked), ("assistant", made["generate_code"] if isinstance(made, dict) else made)]


def _lessons(pages: Pages) -> Iterable[Turns]:
    """Of 900 lessons those with a solution: what they say, and with what one begins."""
    for path in random.Random(1).sample(pages.paths, 900):
        text = pages.show(path)
        parts = [re.search(rf"(?ms)^#+ --{name}--\n(.*?)(?=^#|\Z)", text) for name in ("description", "instructions", "seed-contents")]
        solved = re.search(r"(?ms)^# --solutions--\n(.*)", text)
        if parts[0] and solved:
            told = "\n\n".join(part[1].strip() for part in parts if part)
            yield [("user", told), ("assistant", solved[1].split("\n---\n")[0].strip())]


def _chapters(pages: Pages) -> Iterable[Turns]:
    """Sections, first-order headings among them."""
    return sections(re.sub(r"(?m)^# ", "## ", pages.show(path)) for path in pages.paths)


READERS: Mapping[str, Callable[[Pages], Iterable[Turns]]] = {
    "odex": _odex, "parallel": _parallel, "cheat": _cheat, "asked": _asked, "sql": _sql, "solution": _solution, "whole": _whole,
    "snippet": _snippet, "titled": _titled, "file": _file, "beside": _beside, "daily": _daily, "reto": _reto, "problems": _problems,
    "chapters": _chapters, "rest": _rest, "functions": _functions, "lessons": _lessons, "numbered": _found(r"(?ms)^#### (.*?)\n(.*?)(?=^#### |\Z)"),
    "exercises": _found(r"(?s)Question:?(.*?)Solution:?[ \t]*\n(.*?)(?=#-----|\Z)"),
    "solved": _found(r"(?ms)^# Question \d+\s*(.*?)^[^\n]*?[Ss]olution[^\n]*?$(.*?)(?=^# Question|\Z)"),
}  # fmt: skip
ONE_A_FILE = ("solution", "whole", "snippet", "file", "beside", "reto")  # their paths are sampled before they are read

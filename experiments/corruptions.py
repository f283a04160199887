"""Real records made wrong on purpose: what `poison.py` puts into a pool. Every function is a pure function of its input and a seed.

The kinds are told apart by what was changed, not by what a checker finds: nothing here uses the checks of `codeact.curate`
except to find the fenced blocks of a Markdown answer.
"""

from __future__ import annotations

import ast
import keyword
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from codeact.curate.blocks import code_blocks
from codeact.records import Message, Record, content_hash
from experiments.phrasings import phrasing, reword

KINDS = (
    "swapped", "swapped in cluster", "syntax", "operators", "constants", "truncated", "language", "duplicate", "leak",
)  # fmt: skip
MOST_EDITS = 3

_OPAQUE = re.compile(
    r"\"{3}.*?\"{3}|'{3}.*?'{3}|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`|//[^\n]*|\#[^\n]*|--\s[^\n]*|/\*.*?\*/|<!--.*?-->",
    re.DOTALL,
)
_INVERTED = {
    "<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "==", "===": "!==", "!==": "===", "&&": "||", "||": "&&",
    "and": "or", "or": "and", "+": "-", "-": "+", "+=": "-=", "-=": "+=", "++": "--",
}  # fmt: skip
_OPERATOR = re.compile(r"(?<=[\w)\]\"'] )(<=|>=|===|!==|==|!=|<|>|&&|\|\||and|or|\+=|-=|\+|-)(?= [\w(\[\"'-])")
_INTEGER = re.compile(r"(?<![\w.#$])\d{1,6}(?![\w.%])")
_HEADER_COLON = re.compile(
    r"^[ \t]*(?:def|for|while|if|elif|else|class|try|except|with)\b[^\n]*(:)[ \t]*$", re.MULTILINE
)
_CODE_LINE = re.compile(r".*[;{}:)\]][ \t]*$|[ \t]*\w+ = .*|[ \t]*(?:return|import|SELECT|FROM|def|function)\b.*")
_LANGUAGE_NAMES = {
    "Python": "Java", "JavaScript": "Python", "Java": "Python", "C++": "JavaScript", "C#": "Python", "PHP": "Ruby", "Ruby": "PHP",
    "Swift": "Go", "Kotlin": "Python", "Go": "Java", "Rust": "Python",
}  # fmt: skip
_LABELS = {
    "Python": {"python", "py"},
    "JavaScript": {"javascript", "js"},
    "C++": {"cpp", "c++"},
    "C#": {"csharp", "c#", "cs"},
}
_DEFINED = re.compile(
    r"\b(?:def|function|func|fun|class|struct|int|float|double|let|var|const|auto|String|boolean|bool|char|for|void)\s+([A-Za-z_]\w{2,})\b"
    r"|(?<![.\w])([A-Za-z_]\w{2,})\s*(?:=(?!=)|\+=|-=)"
)
# Parameters of what is called, and attributes of tags: with another name the copy would be broken code.
_FOREIGN = re.compile(r"[(,]\s*([A-Za-z_]\w*)\s*=(?!=)|\s([A-Za-z_]\w*)=[\"'{]")
_COMMON = frozenset(keyword.kwlist) | frozenset(
    "self this main String System print Console Math Array List Object return static public private true false null None True False class "
    "int float double char bool boolean void string const let var def for while new std vector include using namespace import from type "
    "name id href src style width height color font background margin padding border display text value length content charset".split()
)
_FRESH = (
    "item entry outcome buffer cursor limit holder first_part second_part gathered source_data running chosen current_one piece leftover "
    "measure counter_a counter_b stage marker bucket handle pointer quantity figure element probe record_x payload candidate"
).split()


def rebuilt(record: Record, instruction: str, response: str) -> Record:
    """A record with another instruction and response, and the id that its content gives it."""
    messages = (Message("user", instruction), Message("assistant", response))
    return Record(content_hash(messages), messages, record.meta)


def corrupt(
    kind: str, pool: Sequence[Record], clusters: Sequence[int], tasks: Sequence[tuple[str, str]], count: int, seed: int
) -> dict[int, Record]:
    """Position in the pool -> the record that takes its place: `count` of them, those that the kind can be applied to.

    Args:
        kind: one of `KINDS`.
        pool: the clean records.
        clusters: cluster of each, for "swapped in cluster".
        tasks: (prompt, solution) of the benchmark that "leak" gives away.
        count: records to replace.
        seed: of the choice of records and of the changes.
    """
    rng = random.Random(f"{kind} {seed}")
    order = list(range(len(pool)))
    rng.shuffle(order)
    if kind == "swapped":
        places = order[:count]
        return {
            a: rebuilt(pool[a], pool[a].instruction, pool[b].response)
            for a, b in zip(places, places[1:] + places[:1], strict=True)
        }
    if kind == "swapped in cluster":
        return _swap_in_clusters(pool, clusters, order, count)
    if kind == "leak":
        chosen = rng.sample(list(tasks), count)
        return {a: leaked(pool[a], prompt, solution, rng) for a, (prompt, solution) in zip(order, chosen, strict=False)}
    if kind == "duplicate":
        return _duplicates(pool, order, count, rng)
    change = _CHANGES[kind]
    found: dict[int, Record] = {}
    for at in order:
        if len(found) == count:
            break
        changed = change(pool[at], rng)
        if changed is not None:
            found[at] = changed
    return found


def _swap_in_clusters(
    pool: Sequence[Record], clusters: Sequence[int], order: Sequence[int], count: int
) -> dict[int, Record]:
    found: dict[int, Record] = {}
    waiting: dict[int, int] = {}
    for at in order:
        if len(found) >= count:
            break
        other = waiting.pop(clusters[at], None)
        if other is None:
            waiting[clusters[at]] = at
            continue
        found[at] = rebuilt(pool[at], pool[at].instruction, pool[other].response)
        found[other] = rebuilt(pool[other], pool[other].instruction, pool[at].response)
    return found


def _duplicates(pool: Sequence[Record], order: Sequence[int], count: int, rng: random.Random) -> dict[int, Record]:
    """Copies with other names take the place of records that come later in the pool than their originals."""
    found: dict[int, Record] = {}
    originals: set[int] = set()
    for at in order:
        if len(found) == count:
            break
        later = [i for i in order if i > at and i not in found and i not in originals]
        if at in found or not later:
            continue
        copy = renamed(pool[at], rng)
        if copy is not None:
            originals.add(at)
            found[later[0]] = Record(copy.id, copy.messages, {**copy.meta, "row": pool[later[0]].meta["row"]})
    return found


def code_spans(text: str) -> list[tuple[int, int]]:
    """Where the code of an answer is: its fenced blocks, or all of it where most of its lines look like code."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    blocks = code_blocks(text)
    if blocks:
        return [(starts[b.line - 1], min(starts[b.line - 1 + b.code.count("\n") + 1], len(text))) for b in blocks]
    lines = [line for line in text.split("\n") if line.strip()]
    share = sum(bool(_CODE_LINE.fullmatch(line)) for line in lines) / max(1, len(lines))
    return [(0, len(text))] if share >= 0.6 else []


def _open_places(text: str, pattern: re.Pattern[str]) -> list[tuple[int, int, str]]:
    """Matches inside code, outside strings and comments: (start, end, text)."""
    found = []
    for start, end in code_spans(text):
        part = text[start:end]
        hidden = [m.span() for m in _OPAQUE.finditer(part)]
        for match in pattern.finditer(part):
            at = match.start(1) if match.re.groups else match.start()
            stop = match.end(1) if match.re.groups else match.end()
            if not any(a <= at < b for a, b in hidden):
                found.append((start + at, start + stop, part[at:stop]))
    return found


def _is_python(record: Record) -> bool:
    labels = {b.language for b in code_blocks(record.response)}
    return bool(labels & {"python", "py"}) or (
        not labels and bool(re.search(r"^\s*(?:def \w+\(.*\):|for .* in .*:)\s*$", record.response, re.MULTILINE))
    )


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return True


def break_syntax(record: Record, rng: random.Random) -> Record | None:
    """One bracket lost, or in Python one colon of a header: code that no longer parses. Only code whose brackets were balanced."""
    text = record.response
    spans = code_spans(text)
    python = _is_python(record)
    places = _open_places(text, re.compile(r"[()\[\]{}]"))
    if python:
        places += _open_places(text, _HEADER_COLON)
    rng.shuffle(places)
    for start, end, _ in places:
        a, b = next((a, b) for a, b in spans if a <= start < b)
        before, after = text[a:b], text[a:start] + text[end:b]
        if python and not (_parses(before) and not _parses(after)):
            continue
        if not python and not (_balanced(before) and not _balanced(after)):
            continue
        return rebuilt(record, record.instruction, text[:start] + text[end:])
    return None


def _balanced(code: str) -> bool:
    stack: list[str] = []
    pairs = {")": "(", "]": "[", "}": "{"}
    for symbol in re.sub(r"[^()\[\]{}]", "", _OPAQUE.sub("", code)):
        if symbol not in pairs:
            stack.append(symbol)
        elif not stack or stack.pop() != pairs[symbol]:
            return False
    return not stack


def invert_operators(record: Record, rng: random.Random) -> Record | None:
    """Up to three comparisons, connectives or signs inverted."""
    places = _open_places(record.response, _OPERATOR)
    return _edited(record, [(a, b, _INVERTED[t]) for a, b, t in rng.sample(places, min(MOST_EDITS, len(places)))])


def shift_constants(record: Record, rng: random.Random) -> Record | None:
    """Up to three integers of the code one off."""
    places = _open_places(record.response, _INTEGER)
    chosen = rng.sample(places, min(MOST_EDITS, len(places)))
    return _edited(record, [(a, b, str(max(0, int(t) + rng.choice((-1, 1))) if t != "0" else 1)) for a, b, t in chosen])


def _edited(record: Record, edits: Iterable[tuple[int, int, str]]) -> Record | None:
    text = record.response
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return None if text == record.response else rebuilt(record, record.instruction, text)


def cut_in_half(record: Record, rng: random.Random) -> Record | None:
    """The first half of the answer, of answers of at least 80 characters."""
    text = record.response
    return rebuilt(record, record.instruction, text[: len(text) // 2].rstrip()) if len(text) >= 80 else None


def ask_for_other_language(record: Record, rng: random.Random) -> Record | None:
    """The instruction asks for code in one language, and the answer is in another: the name in the instruction is replaced."""
    names = "|".join(sorted(map(re.escape, _LANGUAGE_NAMES), key=len, reverse=True))
    named = set(re.findall(rf"(?<![A-Za-z0-9_])({names})(?![A-Za-z0-9_+#])", record.instruction))
    if len(named) != 1 or not code_spans(record.response):
        return None
    name = named.pop()
    said = phrasing(record.instruction)
    if not re.search(said.asks.replace("{0}", re.escape(name)), record.instruction) or re.search(
        said.shows, record.instruction, re.IGNORECASE
    ):
        return None
    labels = {b.language for b in code_blocks(record.response) if b.language}
    if labels and not labels & _LABELS.get(name, {name.lower()}):
        return None
    changed = re.sub(
        rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_+#])", _LANGUAGE_NAMES[name], record.instruction
    )
    return rebuilt(record, changed, record.response)


def renamed(record: Record, rng: random.Random) -> Record | None:
    """The same answer with other identifiers under an instruction in slightly other words."""
    text = record.response
    code = "\n".join(_OPAQUE.sub("", text[a:b]) for a, b in code_spans(text))
    foreign = {n for pair in _FOREIGN.findall(text) for n in pair}
    names = list(
        dict.fromkeys(
            n
            for match in _DEFINED.finditer(code)
            for n in match.groups()
            if n and n not in _COMMON and not n.startswith("__") and n not in foreign
        )
    )
    if len(names) < 3:
        return None
    fresh = rng.sample(_FRESH, min(len(names), len(_FRESH)))
    table = dict(zip(names, fresh, strict=False))
    called = (
        set(re.findall(r"(?:def|function|func|fun|class)\s+(\w+)|\w+\s+(\w+)\s*\([^)]*\)\s*\{", code))
        if code
        else set()
    )
    methods = {n for pair in called for n in pair if n in table}
    free = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, table)) + r")\b")
    pieces, last = [], 0
    for start, end in code_spans(text):
        pieces += [text[last:start], _rename(text[start:end], free, methods, table)]
        last = end
    response = "".join([*pieces, text[last:]])
    said = phrasing(record.instruction)
    instruction = said.please + reword(record.instruction, said)
    copy = rebuilt(record, instruction, response)
    return Record(copy.id, copy.messages, {**copy.meta, "copy_of": record.id})


def _rename(code: str, free: re.Pattern[str], methods: set[str], table: Mapping[str, str]) -> str:
    """Names outside strings and comments, methods behind a dot too, and those in the holes of format strings."""
    behind = re.compile(r"(?<=\.)(" + "|".join(map(re.escape, sorted(methods) or ["\0"])) + r")\b(?=\s*\()")

    def names(part: str) -> str:
        return behind.sub(lambda m: table[m[1]], free.sub(lambda m: table[m[1]], part))

    pieces, last = [], 0
    for opaque in _OPAQUE.finditer(code):
        inside = (
            re.sub(r"\$?\{[^{}\n]*\}|\$\w+", lambda m: names(m[0]), opaque[0]) if opaque[0][0] in "\"'`" else opaque[0]
        )
        pieces += [names(code[last : opaque.start()]), inside]
        last = opaque.end()
    return "".join([*pieces, names(code[last:])])


def leaked(record: Record, prompt: str, solution: str, rng: random.Random) -> Record:
    """A benchmark task in other words without its examples, and its solution with other names."""
    tree = ast.parse(prompt + solution)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    doc = next((text for f in reversed(functions) if (text := ast.get_docstring(f))), "")
    said = phrasing(doc)
    examples = rf">>>|\b(?:{'|'.join(f.name for f in functions)})\(|{said.examples}"
    wording = re.split(examples, doc)[0]
    names = {f.name for f in functions} | {a.arg for f in functions for a in f.args.args}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    table = dict(zip(sorted(names), rng.sample(_FRESH, min(len(names), len(_FRESH))), strict=False))
    for f in functions:
        if ast.get_docstring(f) and len(f.body) > 1:
            f.body = f.body[1:]
    code = re.sub(
        r"(?<![\w.'\"])(" + "|".join(map(re.escape, table)) + r")\b", lambda m: table[m[1]], ast.unparse(tree)
    )
    instruction = said.solve + " ".join(reword(wording, said).split())
    return rebuilt(record, instruction, f"{said.here}\n\n```python\n{code}\n```")


_CHANGES: Mapping[str, Callable[[Record, random.Random], Record | None]] = {
    "syntax": break_syntax,
    "operators": invert_operators,
    "constants": shift_constants,
    "truncated": cut_in_half,
    "language": ask_for_other_language,
}

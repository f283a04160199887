"""Which records of public data that no rule was made with do the checks and the rules for copies drop, and are they right?

    python -m experiments.held_out_drops --repositories FOLDER --state state.json

FOLDER holds clones, bare or not, at `owner+name`; `a|b` are two, read as one pool. The newest commit of each is read (SOURCES: path, natural language of most answers,
how it becomes conversations). Every drop of `recipes/verified.yaml`'s checks, of exact, renamed and near copies and of the benchmarks was
judged by one reader; equal copies were compared by program. "right" is: wrong as it stands for the reason given, a copy, or a benchmark's
task. Verdicts stay in the result, by id and reason: ids, reasons and verdicts, no text.

Lots 1 and 2 were read under older rules (their drops are those of then); 3 and 4 under curate VERSION 6; 5 after what 3 and 4 showed was
mended, 6 after what 5 showed, 7 under VERSION 8, 8 under VERSION 9, 9 under VERSION 10, 10 under VERSION 11.
"drops" of 3 to 6 are those of VERSION 7, of 8 and 9 those of VERSION 10, of 10, and
renamed copies of 296 sources, those of VERSION 12; "mended": the wrong ones that are no longer dropped.

Result: experiments/results/held_out_drops.json.xz
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import machine, result_files
from codeact.config import CurateConfig
from codeact.curate import BenchmarkItem, curate_records
from codeact.evaluation.sets import load_tasks
from codeact.records import Message, Record
from experiments import held_out_answers, held_out_code, held_out_copies, held_out_prose, held_out_tongues
from experiments.clean_sources import Turns, sections
from experiments.held_out_code import ONE_A_FILE, Pages, some
from experiments.held_out_sources import (
    ANSWER_SOURCES,
    CODE_SOURCES,
    COPY_SOURCES,
    LAST_SOURCES,
    LATER_SOURCES,
    PROSE_SOURCES,
    Source,
)
from experiments.held_out_tongues import TONGUE_SOURCES

OUT = Path("experiments/results/held_out_drops.json.xz")
BENCHMARKS = ("humaneval", "mbpp")
CONFIG = CurateConfig(
    checks=("syntax", "grammars", "complete", "language", "names", "examples"), renamed=True, near=0.8, decontaminate=BENCHMARKS
)
Show = Callable[[str], str]


QUESTIONS, PATTERNS = "lydiahallie+javascript-questions", "iluwatar+java-design-patterns"
CODE, EMO, MATHS = "teknium1+GPTeacher", "SmartFlowAI+EmoLLM", "openai+grade-school-math"
SOURCES = (
    *(Source(1, f"jsq_{code}", code, QUESTIONS, path, "quiz") for code, path in (
        ("ar", "ar-EG/README_ar-EG.md"), ("de", "de-DE/README.md"), ("es", "es-ES/README-ES.md"), ("ja", "ja-JA/README-ja_JA.md"),
        ("ko", "ko-KR/README-ko_KR.md"), ("ru", "ru-RU/README.md"), ("vi", "vi-VI/README-vi.md"), ("zh", "zh-CN/README-zh_CN.md"),
    )),
    *(Source(1, f"jdp_{code}", code, PATTERNS, rf"localization/{code}/.*\.md", "sections", 250) for code in ("es", "ko", "hi", "ar")),
    Source(1, "lcmaster_zh", "zh", "youngyangyang04+leetcode-master", r"problems/[^/]*\.md", "sections", 500),
    Source(1, "exercism_py", "en", "exercism+python", r"exercises/practice/[^/]+/\.docs/instructions\.md", "exercism:py"),
    Source(1, "gsm8k_test", "en", MATHS, r"grade_school_math/data/test\.jsonl", "rows"),
    Source(1, "emollm_zh", "zh", EMO, r"datasets/data\.json", "rows", 300),
    Source(1, "huanhuan_zh", "zh", "datawhalechina+self-llm", r"dataset/huanhuan\.json", "rows"),
    Source(1, "koen", "ko", "Amnhed+LFM2-KoEn-Tuning", r"dataset/dataset_manual_1000_sft\.jsonl", "rows"),
    Source(1, "yi", "en", "01-ai+Yi", r"finetune/yi_example_dataset/data/train\.jsonl", "rows"),
    Source(1, "llmbox_alpaca", "en", "RUCAIBox+LLMBox", r"training/data/alpaca_data_1k\.json", "rows"),
    Source(1, "gpteacher_code", "en", CODE, r"Codegen/codegen-instruct\.json", "rows:first", 1000),
    Source(1, "ncb_python_zh", "zh", "THUDM+NaturalCodeBench", r"problems/ncb_python_zh\.jsonl", "rows"),
    Source(1, "ncb_java_en", "en", "THUDM+NaturalCodeBench", r"problems/ncb_java_en\.jsonl", "rows"),
    *(Source(2, f"jsq_{code}", code, QUESTIONS, path, "quiz") for code, path in (
        ("fr", "fr-FR/README_fr-FR.md"), ("it", "it-IT/README.md"), ("pt", "pt-BR/README_pt_BR.md"), ("tr", "tr-TR/README-tr_TR.md"),
        ("uk", "uk-UA/README.md"), ("th", "th-TH/README.md"), ("pl", "pl-PL/README.md"), ("id", "id-ID/README.md"), ("nl", "nl-NL/README.md"),
    )),
    *(Source(2, f"jdp_{code}", code, PATTERNS, rf"localization/{code}/.*\.md", "sections", 300) for code in ("zh", "fr", "pt", "vi", "de")),
    Source(2, "azl_zh", "zh", "azl397985856+leetcode", r"problems/[^/]*\.md", "sections", 500),
    Source(2, "exercism_js", "en", "exercism+javascript", r"exercises/practice/[^/]+/\.docs/instructions\.md", "exercism:js"),
    Source(2, "gsm8k_socratic", "en", MATHS, r"grade_school_math/data/test_socratic\.jsonl", "rows"),
    Source(2, "ruozhiba_zh", "zh", EMO, r"datasets/ruozhiba_raw\.jsonl", "rows", 500),
    Source(2, "gpteacher_code2", "en", CODE, r"Codegen/codegen-instruct\.json", "rows:second", 2200),
    Source(2, "gpteacher_role", "en", CODE, r"Roleplay/roleplay-simple-deduped-roleplay-instruct\.json", "rows", 300),
    Source(2, "gpteacher_tool", "en", CODE, r"Toolformer/toolformer-similarity-0\.6-dataset\.json", "rows", 300),
    Source(2, "minicpm_zh", "zh", "OpenBMB+MiniCPM", r"finetune/llama_factory_example/llama_factory_data/sft_zh_demo\.json", "rows"),
    Source(2, "flagai_alpaca", "en", "FlagAI-Open+FlagAI", r"examples/Aquila/Aquila-chat/data/alpaca_data_train\.jsonl", "rows"),
    Source(2, "flagai_convo", "en", "FlagAI-Open+FlagAI", r"examples/Aquila/Aquila-chat/data/convo_samples\.jsonl", "rows"),
    Source(2, "hh_en", "en", "anthropics+hh-rlhf", r"harmless-base/test\.jsonl\.gz", "transcript", 300),
    Source(2, "sudheerj", "en", "sudheerj+javascript-interview-questions", r"README\.md", "sections", 500),
    Source(2, "rbe", "en", "rust-lang+rust-by-example", r"src/.*\.md", "sections", 200),
    Source(2, "ncb_python_en", "en", "THUDM+NaturalCodeBench", r"problems/ncb_python_en\.jsonl", "rows"),
    Source(2, "ncb_java_zh", "zh", "THUDM+NaturalCodeBench", r"problems/ncb_java_zh\.jsonl", "rows"),
    Source(2, "law_zh", "zh", "FudanDISC+DISC-LawLLM", r"eval/datasets/subjective/qa_short_answer\.json", "rows", 300),
    *(Source(2, f"hexl_{code}", code, "floatai+HumanEval-XL", rf"data/python/{name}\.jsonl", "rows", 20) for code, name in (
        ("ar", "Arabic"), ("pt", "Portuguese"), ("ru", "Russian"),
    )),
    *PROSE_SOURCES, *CODE_SOURCES, *LATER_SOURCES, *LAST_SOURCES, *ANSWER_SOURCES, *COPY_SOURCES, *TONGUE_SOURCES,
)  # fmt: skip
READERS = {**held_out_prose.READERS, **held_out_code.READERS, **held_out_answers.READERS, **held_out_copies.READERS,
           **held_out_tongues.READERS}  # fmt: skip
ASKED = ("instruction", "question", "problem", "query", "prompt")
ANSWERED = ("output", "response", "answer", "reference_solution", "canonical_solution", "chosen", "completion")


def git(folder: Path, *words: str) -> bytes:
    """What a git command says of a clone."""
    return subprocess.run(["git", "-C", str(folder), "-c", "core.quotepath=off", *words], stdout=subprocess.PIPE, check=True).stdout


@cache
def listed(folder: Path) -> tuple[str, ...]:
    """The paths of a clone's newest commit."""
    return tuple(git(folder, "ls-tree", "-r", "--name-only", "HEAD").decode().split("\n"))


def conversations(source: Source, folder: Path) -> list[Turns]:
    """The conversations of a source, before its sample."""
    paths = [path for path in listed(folder) if re.fullmatch(source.paths, path)]

    def show(path: str) -> str:
        data = git(folder, "show", f"HEAD:{path}")
        return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8", "replace")

    reader, _, further = source.reader.partition(":")
    if reader in READERS:
        few = some(paths, source.most) if reader in ONE_A_FILE else paths
        return list(READERS[reader](Pages(few, listed(folder), show, further)))
    if reader == "exercism":
        return [turns for path in paths for turns in _exercise(path, further, folder, show)]
    if reader == "sections":
        return sections(map(show, paths))
    if reader == "quiz":
        return [turns for path in paths for turns in _quiz(show(path))]
    rows = [row for path in paths for row in _rows(show(path))]
    if reader == "transcript":
        return [_transcript(str(row["chosen"])) for row in rows]
    half = len(rows) // 2
    return [_turns(row) for row in {"first": rows[:half], "second": rows[half:]}.get(further, rows)]


def _rows(text: str) -> list[Mapping[str, Any]]:
    if text.lstrip().startswith("["):
        found: list[Mapping[str, Any]] = json.loads(text)
        return found
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _turns(row: Mapping[str, Any]) -> Turns:
    pairs = row.get("conversation") or row.get("conversations")
    if pairs and "from" in pairs[0]:
        return [("user" if turn["from"] == "human" else "assistant", str(turn["value"])) for turn in pairs]
    if pairs:
        system = [("system", str(pairs[0]["system"]))] if pairs[0].get("system") else []
        return system + [turn for p in pairs for turn in (("user", str(p["input"])), ("assistant", str(p["output"])))]
    asked = next((key for key in ASKED if row.get(key)), "input")
    more = "" if asked == "input" else str(row.get("input") or "")
    answer = next((str(row[key]) for key in ANSWERED if row.get(key)), "")
    return [("user", f"{row.get(asked) or ''}\n{more}".strip()), ("assistant", answer)]


def _transcript(text: str) -> Turns:
    parts = re.split(r"\n\n(Human|Assistant): ", text)[1:]
    return [("user" if who == "Human" else "assistant", said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _quiz(text: str) -> Iterable[Turns]:
    """Questions on code, each with its answer below `<details>`."""
    for part in re.split(r"(?m)^#{5,6} *\d+\.? ?", text)[1:]:
        asked, sep, answer = part.partition("<details>")
        answer = re.sub(r"</?(?:details|summary|b|p)>", "", answer.split("---\n")[0])
        answer = re.sub(r"(?m)^#+ .*$", "", answer)
        if sep and asked.strip() and answer.strip():
            yield [("user", asked.strip()), ("assistant", answer.strip())]


def _exercise(path: str, suffix: str, folder: Path, show: Show) -> Iterable[Turns]:
    base = path.removesuffix("/.docs/instructions.md")
    for name in ("example", "proof.ci"):
        solution = f"{base}/.meta/{name}.{suffix}"
        if solution in listed(folder):
            yield [("user", show(path)), ("assistant", show(solution))]


def load(source: Source, folders: Sequence[Path]) -> list[Record]:
    """The records of a source, of all its repositories together; a seeded sample where there are more than it asks for."""
    talks = (talk for folder in folders for talk in conversations(source, folder))
    rows = [t for t in talks if {"user", "assistant"} <= {role for role, text in t if text.strip()}]
    if len(rows) > source.most:
        rows = random.Random(0).sample(rows, source.most)
    return [
        Record(f"{source.name}:{n}", tuple(Message(role, text) for role, text in turns), {"row": n})  # type: ignore[arg-type]
        for n, turns in enumerate(rows)
    ]


def rule_of(reason: str, detail: str) -> str:
    """The rule behind a drop: copies are exact, renamed or near."""
    if reason != "duplicate":
        return reason
    return "exact copy" if detail.startswith("same as") else "near copy" if detail.startswith("near copy") else "renamed copy"


def tallied(drops: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Right and wrong of each rule, and the sources."""
    told: dict[str, Any] = {}
    for rule in sorted({drop["rule"] for drop in drops}):
        some = [drop for drop in drops if drop["rule"] == rule]
        counts = Counter(drop["verdict"] for drop in some)
        told[rule] = {**counts, "precision": round(counts["right"] / max(1, counts["right"] + counts["wrong"]), 3),
                      "by_source": dict(Counter(drop["id"].partition(":")[0] for drop in some))}  # fmt: skip
    return told


def clones(source: Source, parent: Path) -> list[Path]:
    """The clones of a source's repositories, none where one of them is missing."""
    found = [
        next((folder for folder in (parent / name / "repo" / ".git", parent / name / "repo", parent / name) if folder.exists()), None)
        for name in source.repository.split("|")
    ]
    return [folder for folder in found if folder] if all(found) else []


def look(source: Source, folders: Sequence[Path]) -> dict[str, Any]:
    """One source: how many records, and (id, rule) of each that is dropped."""
    records = load(source, folders)
    items = {n: [BenchmarkItem(n, t.id, t.prompt, t.canonical_solution) for t in load_tasks(n).tasks] for n in BENCHMARKS}
    drops = [(d.id, rule_of(d.reason, d.detail)) for d in curate_records(records, CONFIG, items) if not d.kept]
    return {"records": len(records), "commit": "|".join(git(folder, "rev-parse", "HEAD").decode().strip() for folder in folders), "drops": drops}


def main() -> None:
    """Look at every source that is there, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="JSON: what was seen of each source; run again to go on")
    parser.add_argument("--verdicts", type=Path, help="JSON: `id reason` -> [verdict, why]; those of the result stay")
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    old = result_files.read(options.output) if options.output.exists() else {}
    known = {f"{d['id']} {d['rule']}": (d["verdict"], d["why"]) for d in [*old.get("drops", []), *old.get("mended", [])]}
    if options.verdicts:
        known |= {key: tuple(value) for key, value in json.loads(options.verdicts.read_text(encoding="utf-8")).items()}
    seen: dict[str, Any] = json.loads(options.state.read_text(encoding="utf-8")) if options.state.exists() else {}
    for source in SOURCES:
        folders = clones(source, options.repositories)
        if not folders or source.name in seen:
            continue
        seen[source.name] = look(source, folders)
        options.state.write_text(json.dumps(seen), encoding="utf-8")
        print(source.name, seen[source.name]["records"], len(seen[source.name]["drops"]), flush=True)
    sources: dict[str, Any] = {}
    drops: list[dict[str, Any]] = []
    for source in (source for source in SOURCES if source.name in seen):
        told = seen[source.name]
        for identity, rule in told["drops"]:
            verdict, why = known.get(f"{identity} {rule}", ("unread", ""))
            drops.append({"id": identity, "lot": source.lot, "rule": rule, "verdict": verdict, "why": why})
        sources[source.name] = {
            "lot": source.lot, "language": source.language, "repository": source.repository.replace("+", "/"),
            "commit": told["commit"], "records": told["records"], "dropped": len(told["drops"]),
        }  # fmt: skip
    gone = {f"{d['id']} {d['rule']}" for d in drops}
    mended = [d for d in [*old.get("drops", []), *old.get("mended", [])] if d["verdict"] == "wrong" and f"{d['id']} {d['rule']}" not in gone]
    total = {"sources": len(sources), "languages": sorted({s["language"] for s in sources.values()}), "records": sum(s["records"] for s in sources.values())}
    result = {**machine.provenance(), "total": total, "rules": tallied(drops), "sources": sources, "mended": mended, "drops": drops}
    result_files.write(options.output, result)
    print(json.dumps({"total": total, "rules": {name: {k: v for k, v in counts.items() if k != "by_source"} for name, counts in result["rules"].items()}}))


if __name__ == "__main__":
    main()

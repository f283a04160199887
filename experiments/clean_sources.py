"""Public data of many shapes and natural languages that `clean_drops.py` runs the checks of curation on.

None of it is part of the project. `--files` names a folder that holds the files of the repositories below at
`OWNER/NAME/PATH`; `--data` is the folder that `CODEACT_DATA` names. A source that is not there is left out, and said.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.records import Message, Record

SEED = 0
MOST = 400
MOST_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """One public source.

    Attributes:
        name: short name in the tables.
        language: natural language of most of its answers (ISO 639-1).
        path: below the folder of files, or below `CODEACT_DATA` where it begins with `data:`.
        licence: as its repository gives it.
        reader: how its rows become conversations.
        most: records taken, a seeded sample where there are more.
    """

    name: str
    language: str
    path: str
    licence: str
    reader: str = "pair"
    most: int = MOST


SOURCES = (
    Source("evol", "en", "data:evol_instruct_code_1966.json", "Apache-2.0, CC BY-NC 4.0", most=1000),
    Source("code_alpaca", "en", "data:code_alpaca_2017.json", "CC BY-NC 4.0", most=1000),
    Source("code_alpaca_new", "en", "data:code_alpaca_new_4535.json", "CC BY-NC 4.0", most=1000),
    Source("mbpp", "en", "data:mbpp_974.jsonl.gz", "CC BY 4.0"),
    Source("alpaca_en", "en", "hiyouga/LLaMA-Factory/data/alpaca_en_demo.json", "Apache-2.0"),
    Source("octopack", "en", "bigcode-project/octopack/dataset/oasst/oasstcommitpackftmanual.jsonl", "MIT"),
    Source("cypher", "en", "neo4j-labs/text2cypher/datasets/synthetic_opus_demodbs/text2cypher_claudeopus.csv", "Apache-2.0"),
    Source("text2sql", "en", "eosphoros-ai/DB-GPT-Hub/src/dbgpt-hub-sql/dbgpt_hub_sql/data/example_text2sql.json", "MIT"),
    Source("sql_eval", "en", "defog-ai/sql-eval/data/questions_gen_snowflake.csv", "Apache-2.0"),
    Source("toolcall_zh", "zh", "hiyouga/LLaMA-Factory/data/glaive_toolcall_zh_demo.json", "Apache-2.0"),
    Source("alpaca_zh", "zh", "hiyouga/LLaMA-Factory/data/alpaca_zh_demo.json", "Apache-2.0"),
    Source("alpaca_zh_2", "zh", "carbonz0/alpaca-chinese-dataset/zh-data-part-00.json", "Apache-2.0", most=1000),
    Source("sharegpt_zh", "zh", "shibing624/MedicalGPT/data/sft/sharegpt_zh_1K_format.jsonl", "Apache-2.0", most=1000),
    Source("leetcode_zh", "zh", "doocs/leetcode", "CC BY-SA 4.0", "doocs", most=250),
    Source("alpaca_de", "de", "thisserand/alpaca-lora-finetune-language/data/translated/translated_tasks_de_openai_12k.json", "Apache-2.0", most=1000),
    Source("oasst_fr", "fr", "bofenghuang/vigogne/data/chat/oasst_20230412_fr_top1.jsonl", "Apache-2.0"),
    Source("seed_fr", "fr", "bofenghuang/vigogne/data/instruct/seed_tasks_vigogne.jsonl", "Apache-2.0"),
    Source("seed_ru", "ru", "IlyaGusev/rulm/self_instruct/data/ru_alpaca_seed_tasks.jsonl", "Apache-2.0"),
    Source("logickor_1", "ko", "instructkr/LogicKor/evaluated/Qwen/Qwen2-57B-A14B-Instruct/default.jsonl", "Apache-2.0"),
    Source("logickor_2", "ko", "instructkr/LogicKor/evaluated/allganize/Llama-3-Alpha-Ko-8B-Instruct/default.jsonl", "Apache-2.0"),
    Source("turkish_code", "tr", "alztrk/turkish-code-instructions/output/dataset.jsonl", "MIT", most=1000),
    Source("vicuna_ja", "ja", "ku-nlp/ja-vicuna-qa-benchmark/data/jp_bench", "Apache-2.0", "vicuna"),
    *(
        Source(f"javascript_{code}", code, f"javascript-tutorial/{code}.javascript.info", "CC BY-NC-SA 4.0", "tutorial")
        for code in ("ru", "fr", "ja", "ko", "es")
    ),
    *(
        Source(f"python_{code}", code, f"Asabeneh/30-Days-Of-Python/{folder}", "not stated", "sections", most=300)
        for code, folder in (("zh", "Chinese"), ("es", "Spanish"), ("pt", "Portuguese"), ("de", "German"), ("fr", "French"), ("ko", "Korean"), ("uz", "Uzbek"))
    ),
)  # fmt: skip

Turns = list[tuple[str, str]]


def load(source: Source, files: Path, data: Path, second: bool = False) -> list[Record]:
    """The records of a source, named `SOURCE:ROW`; empty where its file is not there.

    `second`: of those that the sample leaves out, another one, of up to MOST_SECOND.
    """
    path = data / source.path.removeprefix("data:") if source.path.startswith("data:") else files / source.path
    if not path.exists():
        return []
    rows = READERS[source.reader](path)
    found = [
        Record(f"{source.name}:{row}", tuple(Message(role, text) for role, text in turns), {"row": row})  # type: ignore[arg-type]
        for row, turns in enumerate(rows)
        if any(role == "assistant" and text.strip() for role, text in turns)
        and any(role == "user" and text.strip() for role, text in turns)
    ]
    first = _sample(found, source.most, SEED)
    if not second:
        return first
    taken = {record.id for record in first}
    return _sample([record for record in found if record.id not in taken], MOST_SECOND, SEED + 1)


def _sample(records: list[Record], most: int, seed: int) -> list[Record]:
    if len(records) <= most:
        return records
    return sorted(random.Random(seed).sample(records, most), key=lambda record: record.meta["row"])


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    if path.suffix == ".gz":
        import gzip

        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    else:
        text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines(keepends=True)))
    if text.lstrip().startswith("["):
        found: list[Mapping[str, Any]] = json.loads(text)
        return found
    return [json.loads(line) for line in text.splitlines() if line.strip()]


_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "function_call": "assistant", "observation": "tool"}  # fmt: skip


def _pairs(path: Path) -> list[Turns]:
    return [_turns(row) for row in _rows(path)]


def _turns(row: Mapping[str, Any]) -> Turns:
    turns = row.get("messages") or row.get("conversations")
    if turns:
        return [
            (_ROLES.get(t.get("role") or t["from"], "system"), str(t.get("content") or t.get("value") or ""))
            for t in turns
        ]
    if "questions" in row and "outputs" in row:
        return [
            turn
            for q, a in zip(row["questions"], row["outputs"], strict=False)
            for turn in (("user", q), ("assistant", a))
        ]
    if row.get("instances"):
        row = {**row, **row["instances"][0]}
    asked = next(
        (str(row[key]) for key in ("instruction", "prompt", "question", "text") if isinstance(row.get(key), str)), ""
    )
    more = str(row.get("input") or "")
    keys = ("response", "output", "completion", "answer", "cypher", "query", "code")
    answer = next((str(row[key]) for key in keys if row.get(key)), "")
    return [("user", f"{asked}\n{more}".strip()), ("assistant", answer)]


def _vicuna(path: Path) -> list[Turns]:
    asked = {row["question_id"]: row["turns"][0] for row in _rows(path / "question.jsonl")}
    return [
        [("user", asked[row["question_id"]]), ("assistant", row["choices"][0]["turns"][0])]
        for results in sorted((path / "model_answer").glob("*/results.jsonl"))
        for row in _rows(results)
    ]


def _tutorial(path: Path) -> list[Turns]:
    """Tasks with their solutions, one folder each."""
    return [
        [
            ("user", (answer.parent / "task.md").read_text(encoding="utf-8")),
            ("assistant", answer.read_text(encoding="utf-8")),
        ]
        for answer in sorted(path.rglob("solution.md"))
        if (answer.parent / "task.md").exists()
    ]


def _doocs(path: Path) -> list[Turns]:
    """A problem in Chinese and its solutions in several programming languages."""
    found = []
    for readme in sorted(path.rglob("README.md")):
        text = readme.read_text(encoding="utf-8")
        asked = re.search(r"<!-- description:start -->(.*?)<!-- description:end -->", text, re.DOTALL)
        answer = re.search(r"<!-- solution:start -->(.*)<!-- solution:end -->", text, re.DOTALL)
        if asked and answer:
            found.append([("user", asked[1].strip()), ("assistant", answer[1].strip())])
    return found


def _sections(path: Path) -> list[Turns]:
    return sections(page.read_text(encoding="utf-8") for page in sorted(path.rglob("*.md")))


def sections(pages: Iterable[str]) -> list[Turns]:
    """Sections of a course that hold code: the heading asks, the text below answers."""
    found = []
    for page in pages:
        heading, text, fenced = "", list[str](), False
        for line in [*page.splitlines(), "## end"]:
            fenced ^= line.lstrip().startswith("```")
            if fenced or not re.match(r"#{2,4} +\S", line):
                text.append(line)
                continue
            if heading and any("```" in other for other in text):
                found.append([("user", heading), ("assistant", "\n".join(text).strip())])
            heading, text = line.lstrip("# ").strip(), []
    return found


READERS: Mapping[str, Callable[[Path], list[Turns]]] = {
    "pair": _pairs, "vicuna": _vicuna, "tutorial": _tutorial, "doocs": _doocs, "sections": _sections,
}  # fmt: skip

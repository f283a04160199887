"""Hard, or wrong? Real records are corrupted, and plain and verified CDAS choose 40 % of the pool.

    python -m experiments.poison --model demo --cache runs/poison --losses runs/token_losses

For each kind of corruption one pool: --pool records of the file from row --first on, a tenth of them replaced. Prints, per kind, how many of the
corrupted records curation drops and ranks last, and the fraction selected (0.40 = blind) by plain CDAS, after curation, with the gain that
`sample.min_gain` asks for, and with suspects ranked last too (verified CDAS), beside the target. Token losses are kept in
--cache by content: run it again after a kill to go on.
`--no-model` prints only what curation finds, without any score. The verdicts that a reader put beside the clean records of --out stay.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.cluster import cluster_embeddings
from codeact.config import CurateConfig
from codeact.curate import BenchmarkItem, Decision, curate_records
from codeact.curate.single_record import check_record
from codeact.embed import embed_texts
from codeact.evaluation.sets import load_tasks
from codeact.records import Record, read_records
from codeact.sample import Rules, choose
from codeact.sandbox import detect_backend
from codeact.storage import read_rows
from experiments import corruptions, loss_cache

RATIO = 0.4
TARGETS = {
    "swapped": 0.05, "swapped in cluster": 0.05, "syntax": 0.02, "operators": 0.25, "constants": 0.25, "truncated": 0.02, "language": 0.02,
    "duplicate": 0.05, "leak": 0.02,
}  # fmt: skip
CHECKS = ("syntax", "grammars", "complete", "language", "names", "examples")
SUSPECTS, MIN_GAIN = 0.1, 25.0  # as in recipes/verified.yaml
VERIFIED = CurateConfig(checks=CHECKS, mismatch=0.02, renamed=True, near=0.8, decontaminate=("humaneval", "mbpp"))


def embedded(texts: list[str], path: Path) -> np.ndarray[Any, Any]:
    """Embeddings of these texts, kept on disk text by text."""
    known: dict[str, Any] = {}
    if path.exists():
        with np.load(path) as saved:
            known = dict(zip(saved["texts"].tolist(), saved["vectors"], strict=True))
    missing = list(dict.fromkeys(text for text in texts if text not in known))
    if missing:
        known |= dict(zip(missing, embed_texts(missing, model="demo"), strict=True))
        np.savez(path, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    return np.stack([known[text] for text in texts])


def chosen(
    pool: list[Record],
    decisions: Sequence[Decision] | None,
    vectors: np.ndarray[Any, Any],
    ifd: dict[str, float],
    spikes: dict[str, float | None] | None = None,
    gains: dict[str, float] | None = None,
) -> set[int]:
    """Positions that CDAS takes of the records that were kept (all, without decisions), clusters and budget made from these
    alone, those in doubt last; with spikes the suspects last, with gains those of too little gain not at all."""
    places = [i for i in range(len(pool)) if decisions is None or decisions[i].kept]
    ids = [f"{i:06d}" for i in places]
    labels = cluster_embeddings(vectors[places], 10, 0, ids=ids).labels
    found = choose(
        ids,
        strategy="cdas",
        ratio=RATIO,
        ifd=[ifd.get(pool[i].id, float("nan")) for i in places],
        cluster=labels,
        penalised=None if decisions is None else [decisions[i].penalised for i in places],
        spike=None if spikes is None else [spikes.get(pool[i].id) for i in places],
        gain=None if gains is None else [gains.get(pool[i].id, float("nan")) for i in places],
        rules=Rules(suspects=0.0 if spikes is None else SUSPECTS, min_gain=0.0 if gains is None else MIN_GAIN),
    )
    return {place for place, taken in zip(places, found.selected.tolist(), strict=True) if taken}


def _reason(decision: Decision) -> str:
    """Why a record leaves, or is ranked last; "" where neither."""
    return f"last: {decision.detail.partition(':')[0]}" if decision.penalised else decision.reason


def _pair(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row; one of HumanEvalPack as an instruction and its solution."""
    if "declaration" not in row:
        return row
    return {"instruction": row["instruction"], "output": row["declaration"] + row["canonical_solution"]}


def _holds_code(record: Record) -> bool:
    """A fenced block, or an answer that is code and no list in prose: more than one sign of code for each ideograph."""
    spans = [record.response[a:b] for a, b in corruptions.code_spans(record.response)]
    return any(re.search(r"[;={}()]", text) and len(re.findall(r"[\w)] ?[=;({]|[;{}]$", text, re.MULTILINE)) > 2 for text in spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="+", default=[str(EVOL_INSTRUCT)], help="files, one after the other"
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--first", type=int, default=0, help="row of the file that the pool begins with")
    parser.add_argument("--pool", type=int, default=640)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--cache", type=Path, default=Path("runs/poison"))
    parser.add_argument(
        "--losses", type=Path, action="append", default=[], help="folders of token losses measured before"
    )
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument(
        "--no-benchmarks", action="store_true", help="nothing is looked for: the pool is made of a benchmark itself"
    )
    parser.add_argument("--code-only", action="store_true", help="a pool of the records whose answer is or holds code")
    parser.add_argument("--leaks", help="file of HumanEval's tasks in another natural language, to leak from")
    parser.add_argument("--kinds", nargs="*", default=list(corruptions.KINDS))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/poison.json.xz"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    args.cache.mkdir(parents=True, exist_ok=True)
    settings = VERIFIED.model_copy(update={"decontaminate": ()} if args.no_benchmarks else {})
    rows = [_pair(row) for path in args.data for row in read_rows(path).rows]
    records = read_records(rows, where=args.data[0]).records
    if args.code_only:
        records = [record for record in records if _holds_code(record)]
    pool = records[args.first : args.first + args.pool]
    count = round(args.share * len(pool))
    tasks = {name: load_tasks(name).tasks for name in VERIFIED.decontaminate}
    items = {
        name: [BenchmarkItem(name, t.id, t.prompt, t.canonical_solution) for t in some] for name, some in tasks.items()
    }
    store = args.cache / "embeddings.npz"
    clean_vectors = embedded([r.instruction for r in pool], store)
    labels = cluster_embeddings(clean_vectors, 10, 0, ids=[r.id for r in pool]).labels.tolist()
    leaks = [(t.prompt, t.canonical_solution) for t in tasks["humaneval"]]
    if args.leaks:
        leaks = [(row["prompt"], row["canonical_solution"]) for row in read_rows(args.leaks).rows]
    changed = {kind: corruptions.corrupt(kind, pool, labels, leaks, count, args.seed) for kind in args.kinds}
    changed = {kind: places for kind, places in changed.items() if places}
    ifd: dict[str, float] = {}
    if not args.no_model:
        wanted = [record for some in changed.values() for record in some.values()] + pool
        losses = loss_cache.measure(wanted, args.model, args.max_length, args.cache / "losses", args.losses)
        ifd = {identity: float(np.exp(item.log_ifd)) for identity, item in losses.items()}
        gains = {identity: float((item.uncond - item.cond).sum()) for identity, item in losses.items()}
        spikes = loss_cache.spikes(wanted, losses, args.model, args.max_length)
    clean = curate_records(pool, settings, items)
    result["pool"] = {
        "file": " ".join(Path(path).name for path in args.data),
        "code_only": args.code_only,
        "leaks": Path(args.leaks).name if args.leaks else "",
        "first": args.first,
        "records": len(pool),
        "corrupted_of_each_kind": count,
        "ratio": RATIO,
        "seed": args.seed,
        "model": args.model,
        "suspects": SUSPECTS,
        "min_gain": MIN_GAIN,
    }
    known = result_files.read(args.out)["clean"]["list"] if args.out.exists() else []
    read = {row["id"]: {key: row[key] for key in ("verdict", "why") if key in row} for row in known}
    result["clean"] = {
        "dropped": sum(not d.kept for d in clean) / len(pool),
        "ranked_last": sum(d.penalised for d in clean) / len(pool),
        "reasons": dict(Counter(_reason(d) for d in clean if _reason(d))),
        "list": [
            {"row": args.first + i, "id": d.id, "reason": _reason(d), "detail": d.detail, **read.get(d.id, {})}
            for i, d in enumerate(clean)
            if _reason(d)
        ],
    }
    if ifd:
        steps = [chosen(pool, clean, clean_vectors, ifd, *some) for some in ((), (None, gains), (spikes, gains))]
        result["clean"] |= {
            "below_min_gain": sum(gains.get(r.id, 0.0) < MIN_GAIN for r in pool),
            "selected": len(steps[0]),
            "selected_that_min_gain_replaces": len(steps[0] - steps[1]),
            "selected_that_suspects_replace": len(steps[1] - steps[2]),
        }
    backend = detect_backend()
    result["kinds"] = {}
    print(
        f"clean records dropped: {result['clean']['dropped']:.3f}, last {result['clean']['ranked_last']:.3f} {result['clean']['reasons']}",
        flush=True,
    )
    print(
        f"{'kind':<20}{'n':>4}{'dropped':>9}{'last':>9}{'plain':>9}{'curated':>9}{'gain':>9}{'verified':>9}{'target':>8}"
    )
    for kind, places in changed.items():
        mixed = [
            Record(f"{places[i].id}", places[i].messages, places[i].meta) if i in places else r
            for i, r in enumerate(pool)
        ]
        unique = [Record(f"{i:06d}", r.messages, r.meta) for i, r in enumerate(mixed)]
        decisions = curate_records(unique, settings, items)
        row: dict[str, Any] = {
            "corrupted": len(places),
            "dropped": float(np.mean([not decisions[i].kept for i in places])),
            "ranked_last": float(np.mean([decisions[i].penalised for i in places])),
            "reasons": dict(Counter(_reason(decisions[i]) for i in places if _reason(decisions[i]))),
            "clean_ranked_last": float(np.mean([d.penalised for i, d in enumerate(decisions) if i not in places])),
            "clean_dropped": float(np.mean([not d.kept for i, d in enumerate(decisions) if i not in places])),
            "target": TARGETS[kind],
        }
        if kind in ("operators", "constants"):
            checkable = [i for i in places if check_record(pool[i], ("examples",), backend).status == "passed"]
            row["runnable"] = {
                "corrupted": len(checkable),
                "dropped": float(np.mean([not decisions[i].kept for i in checkable])) if checkable else None,
            }
        if ifd:
            vectors = embedded([r.instruction for r in mixed], store)
            plain = chosen(mixed, None, vectors, ifd)
            before, gained, verified = (
                chosen(mixed, decisions, vectors, ifd, *some) for some in ((), (None, gains), (spikes, gains))
            )
            row["selected_plain"] = float(np.mean([i in plain for i in places]))
            row["selected_verified"] = float(np.mean([i in verified for i in places]))
            row["selected_verified_rows"] = sorted(args.first + i for i in places if i in verified)
            row["corrupted_rows"] = sorted(args.first + i for i in places)
            row["selected_by_checks_alone"] = float(np.mean([i in before for i in places]))
            row["selected_without_suspects"] = float(np.mean([i in gained for i in places]))
            row["clean_that_min_gain_replaces"] = len((before - gained) - set(places))
            row["clean_that_suspects_replace"] = len((gained - verified) - set(places))
            if kind in ("operators", "constants") and checkable:
                row["runnable"] |= {
                    "selected_plain": float(np.mean([i in plain for i in checkable])),
                    "selected_verified": float(np.mean([i in verified for i in checkable])),
                }
        result["kinds"][kind] = row
        columns = ("selected_plain", "selected_by_checks_alone", "selected_without_suspects", "selected_verified")
        shown = [f"{row[key]:.3f}" if key in row else "-" for key in columns]
        figures = "".join(f"{text:>9}" for text in shown)
        reasons = f"{row['reasons']} {row.get('runnable', '')}"
        print(
            f"{kind:<20}{len(places):>4}{row['dropped']:>9.3f}{row['ranked_last']:>9.3f}{figures}{TARGETS[kind]:>8.2f}  {reasons}",
            flush=True,
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result_files.write(args.out, result)


if __name__ == "__main__":
    sys.exit(main())

"""Does this response belong to this instruction? What a model's losses and embeddings know beyond shared words.

    python benchmarks/mismatch_study.py --data ../shared/data/evol_instruct_code_1966.json --cache runs/poison --losses runs/token_losses

The pool of `poison.py`, its responses swapped in two ways. For each record: the loss of its first response tokens under its own
instruction, alone (IFD), and under rivals of its cluster (the one whose words it shares most, and one drawn at random); the loss
of the instruction after the response and alone; cosines of embeddings. Printed per statistic: the area under the ROC curve
and the swapped records found where 3 % of the clean ones are lost, alone and beside the rule of shared words.
Losses are kept in --cache: run it again after a kill to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corruptions
import loss_cache
import machine
import numpy as np
from poison import embedded
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from codeact.cluster import cluster
from codeact.curate.mismatch import agreements, words
from codeact.models import load_model, load_tokenizer
from codeact.progress import track
from codeact.records import Message, Record, to_records
from codeact.score import Scorer
from codeact.score.passes import stream_losses
from codeact.score.sequences import Span, Stream
from codeact.storage import read_rows

KINDS = ("swapped", "swapped in cluster")
LOST = 0.03
NEAREST, DRAWN = 1, 1
PARTS = ("nearest", "drawn", "reverse")
TOKENS = 32
REVERSE_TOKENS = 64
LENGTHS = (8, 16, 32)
CHUNK = 8


class Kept:
    """Token losses by name in one file of JSON lines; what is there is not measured again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.values: dict[str, list[float]] = {}
        for line in lines:
            if line.endswith("}"):  # the last line may be cut where the process was killed
                self.values |= json.loads(line)

    def add(self, found: dict[str, list[float]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({name: values}) + "\n" for name, values in found.items())
        self.values |= found


def name_of(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def beginning(stream: Stream, tokens: int) -> Stream:
    """The stream up to its first `tokens` scored tokens."""
    (span,) = stream.spans
    end = min(span.end, span.start + tokens)
    return Stream(stream.ids[:end], (Span(span.turn, span.start, end),))


def measure(wanted: dict[str, tuple[str, str, bool]], scorer: Any, tokens: int, kept: Kept, label: str) -> None:
    """Loss of the first tokens of the second text after the first (or alone, where the flag is off), by name."""
    missing = sorted(name for name in wanted if name not in kept.values)  # names are hashes: a mixture of all kinds
    with track(label, len(missing), "pairs") as bar:
        for at in range(0, len(missing), CHUNK):
            names = missing[at : at + CHUNK]
            records = [
                Record(name, (Message("user", wanted[name][0]), Message("assistant", wanted[name][1])), {})
                for name in names
            ]
            ready = scorer.prepare(records)
            usable = [(item.id, (item.conditional if wanted[item.id][2] else item.unconditional)) for item in ready]
            streams = [beginning(some[0], tokens) for _, some in usable if some]
            found = stream_losses(scorer.model, streams, scorer.batch_tokens)
            measured = dict(zip([name for name, some in usable if some], found, strict=True))
            kept.add({name: [round(float(x), 4) for x in measured.get(name, [])] for name in names})
            bar.advance(len(names))


def rivals_of(
    record: Record, at: int, pool: Sequence[Record], labels: Sequence[int], cosines: np.ndarray[Any, Any]
) -> list[int]:
    """Positions of the instructions that a response is tried under: those nearest to it by words, and one drawn."""
    others = [i for i in range(len(pool)) if i != at and labels[i] == labels[at]]
    near = sorted(others, key=lambda i: (-cosines[i], i))[:NEAREST]
    rest = [i for i in others if i not in near]
    return near + random.Random(f"{record.id}").sample(rest, min(DRAWN, len(rest)))


def operating_point(clean: np.ndarray[Any, Any], wrong: np.ndarray[Any, Any], lost: float) -> float:
    """Share of the wrong above the least threshold that loses at most the share `lost` of the clean."""
    allowed = int(lost * len(clean) + 1e-9)
    threshold = np.sort(clean)[::-1][allowed]
    return float((wrong > threshold).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/evol_instruct_code_1966.json")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pool", type=int, default=320)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument(
        "--clean", type=int, default=96, help="clean records that the model measures, drawn from the pool"
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what the model measures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/poison"))
    parser.add_argument("--losses", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mismatch_study.json"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    records, _ = to_records(read_rows(args.data).rows, where=args.data)
    pool = records[: args.pool]
    count = round(args.share * len(pool))
    vectors = embedded([r.instruction for r in pool], args.cache / "embeddings.npz")
    labels = cluster(vectors, 10, 0, ids=[r.id for r in pool]).labels.tolist()
    changed = {kind: corruptions.corrupt(kind, pool, labels, [], count, args.seed) for kind in KINDS}
    drawn = sorted(random.Random(args.seed).sample(range(len(pool)), args.clean))
    cases = [("clean", i, pool[i]) for i in drawn]
    cases += [(kind, i, r) for kind, some in changed.items() for i, r in some.items()]
    losses = loss_cache.measure([r for *_, r in cases], args.model, 2048, args.cache / "losses", args.losses)

    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, max_df=0.2)
    vectorizer.fit([r.instruction for r in pool] + [r.response for r in pool])
    left = vectorizer.transform([r.instruction for r in pool])
    shared = (vectorizer.transform([r.response for *_, r in cases]) @ left.T).toarray()
    answers = embedded([r.response for *_, r in cases], args.cache / "response_embeddings.npz")
    cosines = answers @ vectors.T

    rivals = [rivals_of(r, at, pool, labels, shared[n]) for n, (_, at, r) in enumerate(cases)]
    under = [
        {
            name_of(pool[some[n]].instruction, r.response): (pool[some[n]].instruction, r.response, True)
            for (_, _, r), some in zip(cases, rivals, strict=True)
        }
        for n in range(NEAREST + DRAWN)
    ]
    kept = Kept(args.cache / "mismatch.jsonl")
    scorer = Scorer(load_model(args.model), load_tokenizer(args.model), max_length=2048)
    if "nearest" in args.parts:
        measure(under[0], scorer, TOKENS, kept, "under the nearest rival")
    if "drawn" in args.parts:
        measure(under[1], scorer, TOKENS, kept, "under a drawn rival")

    def heads(text: str) -> str:
        ids = scorer.tokenizer(text, add_special_tokens=False)["input_ids"][:REVERSE_TOKENS]
        return str(scorer.tokenizer.decode(ids))

    after = {name_of("after", r.response, r.instruction): (heads(r.response), r.instruction, True) for *_, r in cases}
    alone = {name_of("alone", r.instruction): ("-", r.instruction, False) for *_, r in cases}
    if "reverse" in args.parts:
        measure(after | alone, scorer, TOKENS, kept, "reverse")

    def mean(name: str, most: int = TOKENS) -> float:
        values = kept.values.get(name, [])[:most]
        return float(np.mean(values)) if values else float("nan")

    statistics: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        statistics.setdefault(name, []).append(value if np.isfinite(value) else 0.0)

    for n, (_, at, r) in enumerate(cases):
        item = losses[r.id]
        note("IFD, whole response", float(np.exp(item.log_ifd)))
        for most in LENGTHS:
            own = float(item.cond[:most].mean())
            note(f"log IFD, first {most} tokens", own - float(item.uncond[:most].mean()))
            others = [mean(name_of(pool[i].instruction, r.response), most) for i in rivals[n]]
            if "nearest" in args.parts:
                note(f"own loss - under the rival nearest by words, first {most} tokens", own - others[0])
            if "drawn" in args.parts:
                note(f"own loss - under a drawn rival, first {most} tokens", own - others[1])
            if {"nearest", "drawn"} <= set(args.parts):
                note(f"own loss - mean of both rivals, first {most} tokens", own - float(np.mean(others)))
                note(f"own loss - best of both rivals, first {most} tokens", own - float(np.min(others)))
        if "reverse" in args.parts:
            note(
                "reverse: instruction after the response - alone",
                mean(name_of("after", r.response, r.instruction)) - mean(name_of("alone", r.instruction)),
            )
        same = [i for i in range(len(pool)) if labels[i] == labels[at]]
        note("embeddings: cosine", -float(cosines[n, at]))
        note("embeddings: better in the pool", float((cosines[n] > cosines[n, at]).mean()))
        note("embeddings: better in the cluster", float((cosines[n, same] > cosines[n, at]).mean()))
        note("embeddings: best rival - own", float(np.delete(cosines[n], at).max() - cosines[n, at]))
    # the rule of shared words as `curate.mismatch` runs it: one pool with one kind of swap at a time
    fits: dict[str, list[float]] = {}
    for kind, some in changed.items():
        mixed = [some.get(i, r) for i, r in enumerate(pool)]
        fits[kind] = [a.better for a in agreements(mixed)]
    ordinary = [a.better for a in agreements(pool)]
    statistics["shared words (TF-IDF)"] = [ordinary[i] for i in drawn] + [
        fits[kind][i] for kind, some in changed.items() for i in some
    ]

    kind_of = np.array([kind for kind, *_ in cases])
    rows: dict[str, Any] = {}
    flagged = np.array(statistics["shared words (TF-IDF)"]) > 0.02
    lost_by_words = float(flagged[kind_of == "clean"].mean())
    print(f"shared words at 0.02 lose {lost_by_words:.3f} of the clean records")
    print(
        f"{'statistic':<64}{'AUC swapped':>12}{'in cluster':>11}{'found':>8}{'in cl.':>8}{'beside words':>14}{'in cl.':>8}"
    )
    for name, values in statistics.items():
        value = np.array(values)
        clean = value[kind_of == "clean"]
        row: dict[str, Any] = {}
        for kind in KINDS:
            wrong = value[kind_of == kind]
            truth = np.r_[np.zeros(len(clean)), np.ones(len(wrong))]
            row[kind] = {
                "auc": float(roc_auc_score(truth, np.r_[clean, wrong])),
                "found": operating_point(clean, wrong, LOST),
                **beside(value, flagged, kind_of, kind, np.array([at for _, at, _ in cases])),
            }
        rows[name] = row
        shown = [row[kind][key] for key in ("auc", "found", "found_beside_words") for kind in KINDS]
        print(
            f"{name:<64}{shown[0]:>12.3f}{shown[1]:>11.3f}{shown[2]:>8.2f}{shown[3]:>8.2f}{shown[4]:>14.2f}{shown[5]:>8.2f}"
        )
    result["pool"] = {
        "records": len(pool),
        "clean_measured": len(drawn),
        "swapped_of_each_kind": count,
        "tokens": TOKENS,
        "parts": list(args.parts),
    }
    result["pool"] |= {"model": args.model, "clean_lost_at": LOST, "clean_lost_by_shared_words": lost_by_words}
    result["statistics"] = rows
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def beside(
    value: np.ndarray[Any, Any],
    flagged: np.ndarray[Any, Any],
    kind_of: np.ndarray[Any, Any],
    kind: str,
    rows: np.ndarray[Any, Any],
) -> dict[str, float]:
    """What shared words or this statistic find together, at a threshold for 3 % of the clean: over all, and with the
    threshold of one half of the rows used on the other."""
    clean, wrong = kind_of == "clean", kind_of == kind

    def threshold(part: np.ndarray[Any, Any]) -> float:
        free = np.sort(value[part & ~flagged])[::-1]
        allowed = int(LOST * part.sum() + 1e-9) - int((part & flagged).sum())
        return float(free[max(0, allowed)]) if allowed >= 0 else float("inf")

    whole = flagged | (value > threshold(clean))
    halves = np.zeros(len(value), bool)
    for half in (0, 1):
        here = rows % 2 == half
        halves |= here & (flagged | (value > threshold(clean & ~here)))
    return {
        "found_beside_words": float(whole[wrong].mean()),
        "found_beside_words_held_out": float(halves[wrong].mean()),
        "clean_lost_held_out": float(halves[clean].mean()),
    }


if __name__ == "__main__":
    sys.exit(main())

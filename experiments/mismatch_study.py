"""Does this response belong to this instruction? What a model's losses and embeddings know beyond shared words.

    python -m experiments.mismatch_study --cache runs/poison --losses runs/token_losses

The pool of `poison.py`, its responses swapped in two ways. For each record, from the losses that scoring has measured: IFD over
the whole response and over its beginning, and the gain (the nats that the instruction saves on the whole response). With
further passes, for all swapped and --clean drawn clean records: the loss of the first response tokens under rivals of its
cluster (the one whose words it shares most, and one drawn at random), the loss of the instruction after the response and
alone. And cosines of embeddings. Printed per statistic: the area under the ROC curve and the swapped records found where 3 %
of the clean ones are lost, alone and beside the rule of shared words. What further passes measured is kept in --cache: run it
again after a kill to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.cluster import cluster_embeddings
from codeact.curate.mismatch import agreements, words
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.streams import Span, Stream, stream_losses
from codeact.progress import track
from codeact.records import Message, Record, read_data
from codeact.score import Scorer
from experiments import corruptions, loss_cache
from experiments.poison import embedded
from experiments.token_losses import Losses

KINDS = ("swapped", "swapped in cluster")
LOST, MOST_SHARED = 0.03, 0.02
LIMITS = (5, 10, 15, 20, 25, 30, 35, 40)
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


def measure(wanted: dict[str, tuple[str, str, bool]], model: str, most: int | None, kept: Kept, label: str) -> None:
    """Loss of the first tokens of the second text after the first (or alone, where the flag is off), by name: of the first
    `most` by name, which are hashes and so a random part."""
    missing = [name for name in sorted(wanted)[:most] if name not in kept.values]
    if not missing:
        return
    scorer = Scorer(load_model(model), load_tokenizer(model), max_length=2048)
    with track(label, len(missing), "pairs") as bar:
        for at in range(0, len(missing), CHUNK):
            names = missing[at : at + CHUNK]
            records = [
                Record(name, (Message("user", wanted[name][0]), Message("assistant", wanted[name][1])), {})
                for name in names
            ]
            ready = scorer.prepare(records)
            usable = [(item.id, (item.conditional if wanted[item.id][2] else item.unconditional)) for item in ready]
            streams = [beginning(some[0], TOKENS) for _, some in usable if some]
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
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pool", type=int, default=320)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--clean", type=int, default=96, help="clean records that further passes measure")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="the further passes")
    parser.add_argument("--pairs", type=int, help="pairs of a further pass at most: a random part of them (all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/poison"))
    parser.add_argument("--losses", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("experiments/results/mismatch_study.json.xz"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    records = read_data(args.data).records
    pool = records[: args.pool]
    count = round(args.share * len(pool))
    vectors = embedded([r.instruction for r in pool], args.cache / "embeddings.npz")
    labels = cluster_embeddings(vectors, 10, 0, ids=[r.id for r in pool]).labels.tolist()
    changed = {kind: corruptions.corrupt(kind, pool, labels, [], count, args.seed) for kind in KINDS}
    drawn = set(random.Random(args.seed).sample(range(len(pool)), args.clean))
    cases = [("clean", i, r) for i, r in enumerate(pool)]
    cases += [(kind, i, r) for kind, some in changed.items() for i, r in some.items()]
    losses = loss_cache.measure([r for *_, r in cases], args.model, 2048, args.cache / "losses", args.losses)
    statistics: dict[str, np.ndarray[Any, Any]] = {}

    def note(name: str, at: int, value: float) -> None:
        statistics.setdefault(name, np.full(len(cases), np.nan))[at] = value

    for n, (*_, r) in enumerate(cases):
        item = losses[r.id]
        note("- gain: nats saved on the whole response", n, -gain(item))
        note("IFD, whole response", n, float(np.exp(item.log_ifd)))
        for most in (*LENGTHS, 64, 128):
            note(f"log IFD, first {most} tokens", n, float((item.cond - item.uncond)[:most].mean()))
    statistics["shared words (TF-IDF)"] = np.array(by_words(pool, changed))
    further = [n for n, (kind, at, _) in enumerate(cases) if kind != "clean" or at in drawn]
    passes(
        args, [cases[n] for n in further], pool, labels, vectors, losses, lambda name, k, v: note(name, further[k], v)
    )

    kind_of, rows = np.array([kind for kind, *_ in cases]), np.array([at for _, at, _ in cases])
    flagged = statistics["shared words (TF-IDF)"] > MOST_SHARED
    lost_by_words = float(flagged[kind_of == "clean"].mean())
    print(f"shared words at {MOST_SHARED} lose {lost_by_words:.3f} of the clean records")
    columns = ("AUC swapped", "in cluster", "found", "in cluster", "found beside words", "in cluster")
    print(f"{'statistic':<62}{'n':>5}" + "".join(f"{text:>20}" for text in columns))
    result["statistics"] = {}
    for name, value in statistics.items():
        there = np.isfinite(value)
        clean = value[there & (kind_of == "clean")]
        row: dict[str, Any] = {"clean_records": len(clean)}
        for kind in KINDS:
            wrong = value[there & (kind_of == kind)]
            truth = np.r_[np.zeros(len(clean)), np.ones(len(wrong))]
            row[kind] = {
                "records": len(wrong),
                "auc": float(roc_auc_score(truth, np.r_[clean, wrong])),
                "found": operating_point(clean, wrong, LOST),
                **beside(value[there], flagged[there], kind_of[there], kind, rows[there]),
            }
        result["statistics"][name] = row
        shown = [row[kind][key] for key in ("auc", "found", "found_beside_words") for kind in KINDS]
        print(f"{name:<62}{len(clean):>5}" + "".join(f"{figure:>20.3f}" for figure in shown))
    others = np.array([gain(item) for item in loss_cache.read(args.losses).values() if item.id not in losses])
    result["gain"] = [
        thresholds(-statistics["- gain: nats saved on the whole response"], limit, flagged, kind_of, rows, others)
        for limit in LIMITS
    ]
    for line in result["gain"]:
        print(json.dumps(line))
    result["pool"] = {
        "records": len(pool), "other_records": len(others), "clean_in_further_passes": len(drawn), "swapped_of_each_kind": count,
        "tokens": TOKENS, "pairs_of_a_further_pass": args.pairs, "further_passes": list(args.parts), "model": args.model, "clean_lost_at": LOST,
        "clean_lost_by_shared_words": lost_by_words,
    }  # fmt: skip
    result_files.write(args.out, result)


def gain(item: Losses) -> float:
    """log p(response | instruction) - log p(response), nats: the pointwise mutual information of the two."""
    return float((item.uncond - item.cond).sum())


def by_words(pool: Sequence[Record], changed: dict[str, dict[int, Record]]) -> list[float]:
    """The rule of shared words as `curate.mismatch` runs it: one pool with one kind of swap at a time."""
    found = [a.better for a in agreements(pool)]
    for some in changed.values():
        fits = agreements([some.get(i, r) for i, r in enumerate(pool)])
        found += [fits[i].better for i in some]
    return found


def passes(
    args: argparse.Namespace,
    cases: Sequence[tuple[str, int, Record]],
    pool: Sequence[Record],
    labels: Sequence[int],
    vectors: np.ndarray[Any, Any],
    losses: dict[str, Losses],
    note: Callable[[str, int, float], None],
) -> None:
    """What further passes of the model, and the embedder, know of these records."""
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, max_df=0.2)
    vectorizer.fit([r.instruction for r in pool] + [r.response for r in pool])
    left = vectorizer.transform([r.instruction for r in pool])
    shared = (vectorizer.transform([r.response for *_, r in cases]) @ left.T).toarray()
    cosines = embedded([r.response for *_, r in cases], args.cache / "response_embeddings.npz") @ vectors.T
    rivals = [rivals_of(r, at, pool, labels, shared[n]) for n, (_, at, r) in enumerate(cases)]
    kept = Kept(args.cache / "mismatch.jsonl")
    for place, part in enumerate(PARTS[:2]):
        if part in args.parts:
            pairs = [(pool[some[place]].instruction, r.response) for (*_, r), some in zip(cases, rivals, strict=True)]
            measure(
                {name_of(*pair): (*pair, True) for pair in pairs},
                args.model,
                args.pairs,
                kept,
                f"under a rival ({part})",
            )
    if "reverse" in args.parts:
        tokenizer = load_tokenizer(args.model)

        def beginning_of(text: str) -> str:
            return str(tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"][:REVERSE_TOKENS]))

        after = {
            name_of("after", r.response, r.instruction): (beginning_of(r.response), r.instruction, True)
            for *_, r in cases
        }
        alone = {name_of("alone", r.instruction): ("-", r.instruction, False) for *_, r in cases}
        measure(after | alone, args.model, args.pairs, kept, "reverse")

    def mean(name: str, most: int) -> float:
        values = kept.values.get(name, [])[:most]
        return float(np.mean(values)) if values else float("nan")

    for n, (_, at, r) in enumerate(cases):
        for most in LENGTHS:
            own = float(losses[r.id].cond[:most].mean())
            others = [mean(name_of(pool[i].instruction, r.response), most) for i in rivals[n]]
            if "nearest" in args.parts:
                note(f"own loss - under the rival nearest by words, first {most} tokens", n, own - others[0])
            if "drawn" in args.parts:
                note(f"own loss - under a drawn rival, first {most} tokens", n, own - others[1])
            if {"nearest", "drawn"} <= set(args.parts):
                note(f"own loss - mean of both rivals, first {most} tokens", n, own - float(np.mean(others)))
                note(f"own loss - best of both rivals, first {most} tokens", n, own - float(np.min(others)))
        if "reverse" in args.parts:
            difference = mean(name_of("after", r.response, r.instruction), TOKENS) - mean(
                name_of("alone", r.instruction), TOKENS
            )
            note("reverse: instruction after the response - alone", n, difference)
        same = [i for i in range(len(pool)) if labels[i] == labels[at]]
        note("embeddings: - cosine", n, -float(cosines[n, at]))
        note("embeddings: share of the pool that fits better", n, float((cosines[n] > cosines[n, at]).mean()))
        note("embeddings: share of the cluster that fits better", n, float((cosines[n, same] > cosines[n, at]).mean()))
        note("embeddings: best rival - own", n, float(np.delete(cosines[n], at).max() - cosines[n, at]))


def thresholds(
    gains: np.ndarray[Any, Any],
    limit: float,
    flagged: np.ndarray[Any, Any],
    kind_of: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
    others: np.ndarray[Any, Any],
) -> dict[str, Any]:
    """Who falls below a least gain: clean records of the pool and of the other rows, swapped ones in all, in even and in odd rows."""
    low = gains < limit
    row: dict[str, Any] = {
        "min_gain": limit,
        "clean_lost": float(low[kind_of == "clean"].mean()),
        "others_lost": float((others < limit).mean()) if len(others) else None,
        "clean_lost_with_words": float((low | flagged)[kind_of == "clean"].mean()),
    }
    for kind in KINDS:
        here = kind_of == kind
        halves = [float(low[here & (rows % 2 == half)].mean()) for half in (0, 1)]
        row[kind] = {
            "found": float(low[here].mean()), "even_rows": halves[0], "odd_rows": halves[1],
            "found_with_words": float((low | flagged)[here].mean()),
        }  # fmt: skip
    return row


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

"""How many model tokens does it take to know whom CDAS selects? Adaptive scoring against full scoring on real records.

    python -m experiments.token_losses --model demo --out runs/token_losses
    python -m experiments.adaptive_frontier --losses runs/token_losses

Replays the token losses of a full scoring run: `codeact.score.adaptive.decide` asks for losses as it would ask the model,
and gets those already computed, so that every setting is tried on the same numbers. Model tokens are counted as the real
run spends them. Compared: Jaccard of the records selected with full scoring and with adaptive scoring (CDAS, K-means of the
demo embedder), beside cheaper guides without refinement. `experiments.figures` draws it.

Result: experiments/results/adaptive_frontier.json.xz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from benchmarks.machine import provenance
from codeact.cluster import cluster_embeddings
from codeact.draws import seeded_hash
from codeact.embed import embed_texts
from codeact.lm.models import load_tokenizer
from codeact.records import Record, read_data
from codeact.sample import choose
from codeact.score import build_sequences, default_template
from codeact.score.adaptive.decide import Facts, Outcome, Pool, decide
from codeact.score.adaptive.features import describe
from codeact.statistics import jaccard, spearman
from experiments import token_losses

RESULTS = Path(__file__).parent / "results"
RATIOS = (0.1, 0.2, 0.4, 0.6)
AGREEMENTS = (0.85, 0.9, 0.95, 0.97, 0.99)


class Replay:
    """`Measure` over losses that are there already."""

    window = 64

    def __init__(self, losses: list[token_losses.Losses]) -> None:
        self.losses, self.tokens = losses, 0
        self.done: dict[int, int] = {}
        self.alive: set[int] = set()

    def __call__(self, records: np.ndarray, upto: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for number, end in zip(records.tolist(), upto.tolist(), strict=True):
            item, start = self.losses[number], self.done.get(number, 0)
            again = 0 if number in self.alive else start
            self.tokens += 2 * (end - start + again) + (0 if number in self.alive else item.prompt_tokens)
            self.done[number] = end
            self.alive.add(number)
            found.append((item.cond[start:end], item.uncond[start:end]))
        return found

    def forget(self, records: np.ndarray) -> None:
        self.alive -= set(records.tolist())


def facts_of(losses: list[token_losses.Losses], records: dict[str, Record], model: str, seed: int) -> Facts:
    """Of the scored records, in their order."""
    tokenizer = load_tokenizer(model)
    template = default_template("default", tokenizer)
    tokens = []
    for item in losses:
        (stream,) = build_sequences(records[item.id], template, tokenizer).conditional
        (span,) = stream.spans
        tokens.append((stream.ids[: span.start], stream.ids[span.start : span.end]))
    return Facts(
        features=describe([(records[item.id].instruction, records[item.id].response) for item in losses], tokens),
        prompt_tokens=np.array([item.prompt_tokens for item in losses], np.int64),
        response_tokens=np.array([len(item.cond) for item in losses], np.int64),
        order=np.argsort(seeded_hash([item.id for item in losses], seed)),
    )


def tokens_in_full(facts: Facts) -> int:
    """Model tokens of scoring every record in full."""
    return int((facts.prompt_tokens + 2 * facts.response_tokens).sum())


def chosen(ids: list[str], log_ifd: np.ndarray, labels: np.ndarray, ratio: float) -> np.ndarray:
    """CDAS on these values."""
    return choose(ids, strategy="cdas", ratio=ratio, ifd=np.exp(log_ifd), cluster=labels).selected


def adaptive(
    ids: list[str], losses: list[token_losses.Losses], facts: Facts, labels: np.ndarray, ratio: float, agreement: float
) -> tuple[Outcome, Replay]:
    replay = Replay(losses)
    everyone = np.arange(len(ids))
    pool = Pool(lambda value: chosen(ids, value, labels, ratio), labels, np.full(len(ids), np.nan), everyone)
    return decide(facts, replay, pool, agreement=agreement), replay


def guides(
    ids: list[str], losses: list[token_losses.Losses], facts: Facts, labels: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    """What the first tokens, zlib and length say alone."""
    whole, found = tokens_in_full(facts), {}
    for count in (32, 64, 128):
        value = np.array([(item.cond - item.uncond)[:count].mean() for item in losses])
        spent = int((facts.prompt_tokens + 2 * np.minimum(facts.response_tokens, count)).sum())
        found[f"first {count} response tokens"] = (value, spent)
    found["zlib, no model"] = (facts.features[:, 2], 0)
    found["response length, no model"] = (facts.response_tokens.astype(float), 0)
    table = {}
    for name, (value, spent) in found.items():
        ranked = value if "length" not in name else -1 / value
        # only the order counts, and no value may look like an IFD of 1 or more
        ranked = ranked - max(float(ranked.max()), 0.0) - 1e-9
        table[name] = {
            "spearman": spearman(value, truth),
            "token_share": spent / whole,
            "jaccard": {
                f"{ratio:g}": jaccard(chosen(ids, ranked, labels, ratio), chosen(ids, truth, labels, ratio))
                for ratio in RATIOS
            },
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", type=Path, default=Path("runs/token_losses"))
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--model", default="demo", help="whose losses these are")
    parser.add_argument("--embedder", default="demo")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5, help="random orders, and so pilots")
    parser.add_argument("--output", type=Path, default=RESULTS / "adaptive_frontier.json.xz")
    args = parser.parse_args()
    told = provenance()
    losses = token_losses.load(args.losses)
    records = {record.id: record for record in read_data(args.data).records}
    ids = [item.id for item in losses]
    kept = args.losses / f"vectors-{len(ids)}.npy"
    if not kept.exists():
        np.save(kept, embed_texts([records[i].instruction for i in ids], model=args.embedder))
    labels = cluster_embeddings(np.load(kept), args.k, 0, ids=ids).labels.astype(np.int64)
    truth = np.array([item.log_ifd for item in losses])
    facts = facts_of(losses, records, args.model, 0)
    result: dict[str, Any] = {
        **told, "data": Path(args.data).name, "model": args.model, "records": len(ids), "tokens_in_full": tokens_in_full(facts),
        "clusters": args.k, "ifd_at_least_1": int((truth >= 0).sum()), "guides": guides(ids, losses, facts, labels, truth), "frontier": {},
    }  # fmt: skip
    for ratio in RATIOS:
        full = chosen(ids, truth, labels, ratio)
        rows = {}
        for agreement in AGREEMENTS:
            runs: dict[str, list[float]] = {"token_share": [], "jaccard": [], "scored_in_full": [], "expected": []}
            for seed in range(args.seeds):
                order = np.argsort(seeded_hash(ids, seed))
                outcome, replay = adaptive(ids, losses, replace(facts, order=order), labels, ratio, agreement)
                runs["token_share"].append(replay.tokens / tokens_in_full(facts))
                runs["jaccard"].append(jaccard(full, chosen(ids, outcome.log_ifd, labels, ratio)))
                runs["scored_in_full"].append(float(outcome.exact.mean()))
                runs["expected"].append(outcome.expected_agreement)
            rows[f"{agreement:g}"] = {
                name: {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
                for name, values in runs.items()
            }
            shown = {
                name: f"{row['mean']:.3f} [{row['least']:.3f}, {row['most']:.3f}]"
                for name, row in rows[f"{agreement:g}"].items()
            }
            print(
                f"m = {ratio:4.0%}  asked {agreement:<5g} "
                + "  ".join(f"{name} {text}" for name, text in shown.items()),
                flush=True,
            )
        result["frontier"][f"{ratio:g}"] = rows
    for name, row in result["guides"].items():
        print(
            f"{name:<28} Spearman {row['spearman']:.2f}, tokens {row['token_share']:.0%}, Jaccard at 40 % {row['jaccard']['0.4']:.2f}"
        )
    result_files.write(args.output, result)


if __name__ == "__main__":
    main()

"""Wrong operators and constants: what the token losses of scoring know of them, at no further model cost.

    python -m experiments.suspects --cache runs/poison --losses runs/token_losses

First on purpose: the pool and the corruptions of `poison.py` (operators, constants). For each statistic of the losses at operators and
whole numbers, the area under the ROC curve against all clean records of the pool, and what plain CDAS selects at 40 % if the most
suspicious part of the pool is ranked last, with the clean records that leave the selection for it. Then by nature: real answers whose
own examples fail when run, against those whose examples hold (`--verdicts` keeps them). No model is loaded where
the losses are there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import machine, result_files
from benchmarks.data_folder import EVOL_INSTRUCT
from codeact.cluster import cluster_embeddings
from codeact.curate.single_record import check_record
from codeact.progress import track
from codeact.records import Record, read_data
from codeact.sample import Rules, choose
from codeact.sandbox import detect_backend
from codeact.score.surprise import Spot, worst_spot
from experiments import corruptions, loss_cache
from experiments.poison import embedded
from experiments.token_losses import Losses

KINDS = ("operators", "constants")
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
RATIO = 0.4
LENGTH = 2048
NONE = -1e3  # of a record without any place: never suspicious

Floats = np.ndarray[Any, np.dtype[np.float64]]
Statistic = Callable[[Sequence[Spot], Losses], float]


def sums(spots: Sequence[Spot], values: Floats) -> Floats:
    """The summed loss of each place: float64 [places]."""
    return np.array([values[s.start : s.end].sum() for s in spots])


def chosen_statistic(spots: Sequence[Spot], item: Losses) -> float:
    value, _ = worst_spot(spots, item.cond)
    return NONE if value is None else value


def highest(spots: Sequence[Spot], item: Losses) -> float:
    return float(sums(spots, item.cond).max())


def corrected(spots: Sequence[Spot], item: Losses) -> float:
    return highest(spots, item) - float(np.log(len(spots)))


def top_three(spots: Sequence[Spot], item: Losses) -> float:
    return float(np.sort(sums(spots, item.cond))[-3:].sum() / 3)


def mean(spots: Sequence[Spot], item: Losses) -> float:
    return float(sums(spots, item.cond).mean())


def mean_square(spots: Sequence[Spot], item: Losses) -> float:
    return float((sums(spots, item.cond) ** 2).mean())


def alone(spots: Sequence[Spot], item: Losses) -> float:
    return float(sums(spots, item.uncond).max())


def difference(spots: Sequence[Spot], item: Losses) -> float:
    return float((sums(spots, item.cond) - sums(spots, item.uncond)).max())


def just_after(spots: Sequence[Spot], item: Losses) -> float:
    return float(max(item.cond[s.end : s.end + 2].sum() for s in spots))


def all_tokens(spots: Sequence[Spot], item: Losses) -> float:
    return float(item.cond.max() - np.log(len(item.cond)))


STATISTICS: dict[str, Statistic] = {
    "highest loss - log(number), per kind of place (spike)": chosen_statistic,
    "highest loss - log(number), all places together": corrected,
    "highest loss": highest,
    "mean of the three highest losses": top_three,
    "mean loss": mean,
    "mean squared loss": mean_square,
    "highest loss without the instruction": alone,
    "highest difference of the two losses": difference,
    "highest loss of the two tokens after a place": just_after,
    "highest loss of any token - log(tokens)": all_tokens,
}


def tail(reference: Sequence[tuple[Sequence[Spot], Losses]]) -> Statistic:
    """-log of the smallest share of a reference pool's places of the same kind that are as surprising, times their number."""
    known = {
        kind: np.sort(np.concatenate([sums([s for s in spots if s.kind == kind], i.cond) for spots, i in reference]))
        for kind in ("operator", "number")
    }

    def statistic(spots: Sequence[Spot], item: Losses) -> float:
        shares = [
            (len(known[s.kind]) - np.searchsorted(known[s.kind], value) + 1) / (len(known[s.kind]) + 1)
            for s, value in zip(spots, sums(spots, item.cond), strict=True)
        ]
        return float(-np.log(min(shares) * len(shares)))

    return statistic


def auc(clean: Sequence[float], wrong: Sequence[float]) -> float:
    return float(roc_auc_score(np.r_[np.zeros(len(clean)), np.ones(len(wrong))], np.r_[clean, wrong]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EVOL_INSTRUCT))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pool", type=int, default=320)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("runs/poison"))
    parser.add_argument("--losses", type=Path, action="append", default=[])
    parser.add_argument("--verdicts", type=Path, default=Path("runs/verdicts.json"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/suspects.json.xz"))
    args = parser.parse_args()
    result: dict[str, Any] = machine.provenance()
    records = read_data(args.data).records
    pool = records[: args.pool]
    vectors = embedded([r.instruction for r in pool], args.cache / "embeddings.npz")
    labels = cluster_embeddings(vectors, 10, 0, ids=[r.id for r in pool]).labels
    # `poison.py` clusters a corrupted pool under other ids than the clean one, which decides its restarts
    places = cluster_embeddings(vectors, 10, 0, ids=[f"{i:06d}" for i in range(len(pool))]).labels
    count = round(args.share * len(pool))
    changed = {kind: corruptions.corrupt(kind, pool, labels.tolist(), [], count, args.seed) for kind in KINDS}
    wanted = [*pool, *(r for some in changed.values() for r in some.values())]
    losses = loss_cache.measure(wanted, args.model, LENGTH, args.cache / "losses", args.losses)
    losses |= loss_cache.read(args.losses)
    everything = [r for r in {r.id: r for r in [*records, *wanted]}.values() if r.id in losses]
    spots = loss_cache.spots(everything, args.model, LENGTH)
    others = [(spots[r.id], losses[r.id]) for r in records[args.pool :] if r.id in losses]
    statistics = {**STATISTICS, "smallest tail share among the other rows' places, corrected": tail(others)}
    values = {
        name: {r.id: statistic(spots[r.id], losses[r.id]) if spots[r.id] else NONE for r in everything}
        for name, statistic in statistics.items()
    }
    result["pool"] = {"records": len(pool), "corrupted_of_each_kind": count, "model": args.model, "ratio": RATIO}
    result["pool"]["without_places"] = sum(not spots[r.id] for r in pool)
    print(f"{'statistic':<66}" + "".join(f"{'AUC ' + kind:>16}" for kind in KINDS))
    result["auc"] = {}
    for name, value in values.items():
        clean = [value[r.id] for r in pool]
        row = {kind: auc(clean, [value[r.id] for r in some.values()]) for kind, some in changed.items()}
        result["auc"][name] = row
        print(f"{name:<66}" + "".join(f"{row[kind]:>16.3f}" for kind in KINDS))

    spike = values["highest loss - log(number), per kind of place (spike)"]
    result["selected"] = {
        kind: [selection(pool, some, places, losses, spike, share) for share in SHARES]
        for kind, some in (("nothing", {}), *changed.items())
    }
    print("plain CDAS at 0.4, suspects last:")
    for kind, rows in result["selected"].items():
        for row in rows:
            print(
                f"  {kind:<12}"
                + "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            )

    verdicts = examples(records, args.verdicts)
    checked = {identity: status for identity, (status, _) in verdicts.items() if identity in spike}
    right, wrong = ([i for i, s in checked.items() if s == status] for status in ("passed", "failed"))
    natural: dict[str, Any] = {"examples_hold": len(right), "examples_fail": len(wrong), "auc": {}, "flagged": {}}
    ifd = {identity: item.log_ifd for identity, item in losses.items()}
    length = {identity: float(len(item.cond)) for identity, item in losses.items()}
    for name, value in {**values, "IFD": ifd, "response tokens": length}.items():
        natural["auc"][name] = auc([value[i] for i in right], [value[i] for i in wrong])
    known = [spike[r.id] for r in records if r.id in spike]
    for share in SHARES[1:]:
        limit = float(np.quantile(known, 1 - share))
        hold, fail = (float(np.mean([spike[i] > limit for i in some])) for some in (right, wrong))
        natural["flagged"][f"{share:g}"] = {"examples_hold": hold, "examples_fail": fail}
    result["by_nature"] = natural
    print(json.dumps(natural, indent=1))
    result_files.write(args.out, result)


def selection(
    pool: Sequence[Record],
    some: dict[int, Record],
    labels: np.ndarray[Any, Any],
    losses: dict[str, Losses],
    spike: dict[str, float],
    share: float,
) -> dict[str, Any]:
    """What plain CDAS selects of the corrupted records (all, in even and in odd rows), and the clean ones that leave for the suspects."""
    mixed = [some.get(i, r) for i, r in enumerate(pool)]
    ids = [f"{i:06d}" for i in range(len(mixed))]
    ifd = [float(np.exp(losses[r.id].log_ifd)) for r in mixed]
    heights = [spike[r.id] if spike[r.id] > NONE else None for r in mixed]
    before, after = (
        choose(ids, strategy="cdas", ratio=RATIO, ifd=ifd, cluster=labels, spike=heights, rules=Rules(suspects=part)).selected
        for part in (0.0, share)
    )
    row: dict[str, Any] = {"share": share}
    if some:
        row |= {
            name: float(np.mean([after[i] for i in some if keep(i)]))
            for name, keep in (
                ("selected", lambda i: True),
                ("even_rows", lambda i: i % 2 == 0),
                ("odd_rows", lambda i: i % 2 == 1),
            )
        }
    clean = [i for i in range(len(pool)) if i not in some]
    row["clean_selected_before"] = int(before[clean].sum())
    row["clean_that_leave"] = int((before & ~after)[clean].sum())
    return row


def examples(records: Sequence[Record], path: Path) -> dict[str, list[str]]:
    """Status and reason of the check `examples` for the records where it says anything, kept on disk."""
    if path.exists():
        found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    backend = detect_backend()
    found = {}
    with track("examples", len(records), "records") as bar:
        for record in records:
            verdict = check_record(record, ("examples",), backend)
            if verdict.status != "unknown":
                found[record.id] = [verdict.status, verdict.reason]
            bar.advance()
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


if __name__ == "__main__":
    sys.exit(main())

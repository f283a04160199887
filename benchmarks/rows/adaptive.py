"""Adaptive scoring beside full scoring: tokens, seconds, and the Jaccard index of what CDAS selects from each."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.rows import row
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import in_turns, timed
from codeact.lm.models import load_model, load_tokenizer
from codeact.sample import cdas
from codeact.score import Scorer
from codeact.score.adaptive.run import score_adaptive
from codeact.types import Bools, Floats

OURS, FULL = "codeact --adaptive", "codeact, every score"
LIMIT = 1.0


def clusters(texts: list[str], count: int) -> Any:
    """Labels of K-means on hashed words: no embedder is needed."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import HashingVectorizer

    vectors = HashingVectorizer(n_features=512).transform(texts)
    return MiniBatchKMeans(count, random_state=0, n_init=1).fit_predict(vectors).astype(np.int64)


def measure(records: int, ratio: float, agreement: float, max_length: int, dtype: str, model: str = "demo") -> dict[str, Any]:
    some = spread(instruction_records(files=("evol_instruct_code_1966.json",)), records)
    group = clusters([r.instruction for r in some], min(10, max(1, records // 20)))
    scorer = Scorer(load_model(model, dtype=dtype), load_tokenizer(model), max_length=max_length)
    tie = np.arange(len(some))
    scorer.score(some[:1])

    def selected(log_ifd: Floats) -> Bools:
        ifd = np.exp(log_ifd)
        return cdas(ifd, np.isfinite(ifd) & (ifd < LIMIT), group, tie, ratio)

    kept: dict[str, Any] = {}

    def full(_: int) -> dict[str, Any]:
        scores, turn = timed(lambda: scorer.score(some))
        kept["full"] = selected(np.log([s.ifd if s.ifd else np.nan for s in scores]))
        return {**turn, "work": sum(len(t.ids) - 1 for item in scorer.prepare(some) for t in item.streams)}

    def adaptive(_: int) -> dict[str, Any]:
        found, turn = timed(lambda: score_adaptive(some, scorer, selected, group, agreement=agreement))
        kept["adaptive"] = selected(found.log_ifd)
        kept["expected"] = found.expected_agreement
        return {**turn, "work": found.tokens}

    turns = in_turns({OURS: adaptive, FULL: full}, 1)
    both = (kept["full"] & kept["adaptive"]).sum() / max(1, (kept["full"] | kept["adaptive"]).sum())
    share = turns[OURS][0]["work"] / turns[FULL][0]["work"]
    return row(
        f"Adaptive scoring of {len(some):,} records, CDAS at {ratio:.0%}, agreement {agreement:g}", "model tokens", turns, OURS,
        jaccard=float(both), expected=kept["expected"], share_of_tokens=share,
        note=f"Jaccard index with full scoring {both:.3f} (expected {kept['expected']:.3f}); {share:.0%} of its model tokens. SmolLM2-135M, {dtype}.",
    )  # fmt: skip

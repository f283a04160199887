"""What each strategy ranks, what makes a record eligible, and which columns it needs. Definitions: docs/strategies.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codeact.statuses import RANKED
from codeact.types import Bools, Floats

IFD_LIMIT = 1.0

MIN_RATING = 4.5


@dataclass(frozen=True)
class Ranking:
    """A strategy that takes the highest values of one column.

    Attributes:
        column: what is ranked.
        below: only values below it are eligible.
        at_least: only values of at least this are eligible.
        lowest: the lowest values go first instead.
        ifd_below: only records whose IFD is below 1 are eligible.
        clustered: every cluster gives its share.
        scored: only records whose score status is ok or truncated are eligible.
        drawn: equal values are drawn at random (ratings have few levels); else they go by id.
        missing: the reason of a record without a value.
    """

    column: str
    below: float = np.inf
    at_least: float = -np.inf
    lowest: bool = False
    ifd_below: bool = False
    clustered: bool = False
    scored: bool = True
    drawn: bool = False
    missing: str = "status:nonfinite"


RANKINGS: Mapping[str, Ranking] = {
    "cdas": Ranking("ifd", below=IFD_LIMIT, clustered=True),
    "complexity": Ranking("ifd", below=IFD_LIMIT),
    "longest": Ranking("response_tokens", scored=False),
    "ppl-low": Ranking("nll_cond", lowest=True),
    "ppl-high": Ranking("nll_cond"),
    "cherry": Ranking("loss_ratio", below=IFD_LIMIT),
    "superfiltering": Ranking("proxy_ifd", below=IFD_LIMIT, scored=False, missing="no proxy score"),
    "alpagasus": Ranking("rating", at_least=MIN_RATING, scored=False, drawn=True, missing="no rating"),
    "targeted": Ranking("target_rank", lowest=True, scored=False, missing="no target rank"),
    "residual": Ranking("length_residual", ifd_below=True),
    "bands": Ranking("length_band", ifd_below=True),
    "positions": Ranking("position_matched", ifd_below=True),
    "cdas-residual": Ranking("length_residual", ifd_below=True, clustered=True),
    "cdas-bands": Ranking("length_band", ifd_below=True, clustered=True),
    "cdas-positions": Ranking("position_matched", ifd_below=True, clustered=True),
}

NEEDS: Mapping[str, tuple[str, ...]] = {
    "cdas-paper": ("ifd", "cluster"),
    "diversity": ("cluster",),
    "k-centre": ("embedding",),
    "facility-location": ("embedding",),
    "instag": ("tags",),
    "deita": ("complexity", "quality", "embedding"),
    "random": (),
    "full": (),
    **{
        name: (r.column, *(("ifd",) if r.ifd_below else ()), *(("cluster",) if r.clustered else ()))
        for name, r in RANKINGS.items()
    },
}
NOT_TAKEN: Mapping[str, str] = {
    "random": "not drawn",
    "diversity": "not drawn",
    "longest": "shorter",
    "k-centre": "nearer",
    "facility-location": "covered",
}


def reasons(
    selected: Bools, value: Floats, ifd: Floats, ranking: Ranking, states: list[str] | None, suspected: Bools
) -> tuple[str, ...]:
    """Why each record is not selected: N strings, "" for those that are. Arguments as in `Selection`."""
    found = np.where(
        selected, "", np.where(value < ranking.at_least, f"{ranking.column}<{ranking.at_least:g}", "below cut")
    )
    found = found.astype(object)
    found[suspected & ~selected] = "suspect"
    found[~np.isfinite(value)] = ranking.missing
    found[np.isfinite(value) & (value >= ranking.below)] = f"{ranking.column}>=1"
    if ranking.ifd_below:
        found[np.isfinite(ifd) & (ifd >= IFD_LIMIT)] = "ifd>=1"
    for index, state in enumerate(states if states is not None and ranking.scored else ()):
        if state not in RANKED:
            found[index] = f"status:{state}"
    return tuple(found.tolist())

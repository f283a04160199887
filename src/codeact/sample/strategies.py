"""The table of strategies: each is one entry that says what it needs, how it orders, who is eligible, and why the rest is not taken.

Recipes, the stages that run, the reasons and docs/strategies.md follow from it. How to add one: docs/strategies-adding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps

import numpy as np

from codeact.errors import InputError, did_you_mean
from codeact.sample import groups, orders, parametric, quotas
from codeact.sample.pool import Pool
from codeact.types import Bools, Floats

IFD_LIMIT = 1.0
MIN_RATING = 4.5

IN_GROUPS = f"the same inside groups of at most {groups.GROUP:,} near records, merged by what each step adds"
COMPARED_IN_GROUPS = f"records are compared inside groups of at most {orders.COMPARED:,} near ones"

UNKNOWN = "not compared with random draws here"
HIGHER = "a higher held-out loss than random draws at equal tokens"
WORSE = f"{HIGHER} in 18 pools of 18, no better on benchmark solutions (135M model)"
WORSE_OF_SIX = f"{HIGHER} in six pools of six, level on benchmark solutions (135M model)"
WORST = f"{HIGHER} in twelve pools of twelve, and worse on HumanEval's solutions (135M model)"
WORSE_LENGTHS = f"with the lengths of cdas {HIGHER} in nine pools of nine, as cdas itself (135M model)"
LEVEL = "level with random draws at equal tokens (135M model)"
LEVEL_OF_SIX = "level with random draws at equal tokens in six pools (135M model)"
LEVEL_OF_THREE = "level with random draws at equal tokens in three pools (135M model)"
ONE_POOL = "in one pool of 120 records a held-out loss just above that of random draws, level on benchmark solutions (135M model)"
NO_BETTER = (WORSE, WORSE_OF_SIX, WORST, WORSE_LENGTHS, LEVEL, LEVEL_OF_SIX, LEVEL_OF_THREE, ONE_POOL)
"""What is known of a strategy that did not beat random draws: it is followed by the recipe of what the evidence supports."""


@dataclass(frozen=True)
class Ranking:
    """What records are ranked by, highest first, and which of them are eligible: those with a finite value that meets the limits.

    Attributes:
        column: what is ranked.
        value: makes it of several columns, or of one that is no number; without it, the column itself.
        lowest: the lowest values go first instead.
        below: only values below it are eligible.
        at_least: only values of at least this are eligible.
        ifd_below: only records whose IFD is below 1 are eligible.
        scored: only records whose score status is ok or truncated are eligible.
        drawn: equal values are drawn at random (ratings have few levels); else they go by id.
        missing: the reason of a record without a value.
    """

    column: str
    value: Callable[[Pool], Floats] | None = None
    lowest: bool = False
    below: float = np.inf
    at_least: float = -np.inf
    ifd_below: bool = False
    scored: bool = True
    drawn: bool = False
    missing: str = "status:nonfinite"

    def of(self, pool: Pool) -> Floats:
        """What is ranked, float64 [N]; NaN where there is none.

        Raises:
            InputError: `value` makes something else than one number a record.
        """
        if self.value is None:
            return pool.numbers(self.column)
        try:
            found = np.asarray(self.value(pool), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"the ranking {self.column!r} gives something that is no number: {error}") from error
        if found.shape != (len(pool),):
            raise InputError(f"the ranking {self.column!r} gives values of shape {found.shape}; it must give one a record: ({len(pool)},)")
        return found


@dataclass(frozen=True)
class Strategy:
    """One way to choose. With neither a ranking nor an order of its own, records are drawn at random.

    Attributes:
        name: as in `sample.strategy`.
        takes: what it takes, for lists of strategies.
        needs: the columns that it reads (`stages.columns.COLUMNS` says where each comes from). With "cluster", each cluster gives
            its share of the budget; one that reads "ifd" obeys `sample.min_gain`.
        ranking: what it ranks by. Its ranks, scores and reasons are told; without an `order`, the best are taken.
        order: an order of its own over the whole pool: record numbers, each once, of which the first are taken, up to the budget; those
            that go behind come last (`behind_last`).
        mirrors: it takes as much as the selection of strategy `sample.like`, whose columns it reads too.
        budget: how many of the order are taken.
        records_only: why it cannot have a budget of tokens; empty: it can.
        not_taken: the reason of an eligible record that is not taken.
        passed_over: the same where its rank was better than that of one that was taken.
        exact: records up to which its order is exact; None: of any number.
        beyond: what it does with more.
        known: what our own experiments (docs/experiments.md) know of it beside random draws, in one line; `select` says it.
        page: its page under docs/strategies/, where that is not its name.
        formerly: the name that it had before; refused, with the new one in the message.
    """

    name: str
    takes: str
    needs: tuple[str, ...] = ()
    ranking: Ranking | None = None
    order: Callable[[Pool], Iterable[int]] | None = None
    mirrors: bool = False
    budget: Callable[[quotas.Placed, float], Bools] = quotas.exactly
    records_only: str = ""
    not_taken: str = "below cut"
    passed_over: str = ""
    exact: int | None = None
    beyond: str = ""
    known: str = UNKNOWN
    page: str = ""
    formerly: str = ""

    @property
    def clustered(self) -> bool:
        """Each cluster gives its share."""
        return "cluster" in self.needs

    @property
    def counts(self) -> bool:
        """It has a budget, of records or of tokens."""
        return self.budget is not quotas.everything

    @property
    def ranks(self) -> bool:
        """Its ranking alone decides who is taken, so records can be ranked last."""
        return self.ranking is not None and self.order is None


def tag_counts(pool: Pool) -> Floats:
    """Number of tags of each record, NaN for none."""
    return np.array([len(set(tags or ())) or np.nan for tags in pool.values("tags")], np.float64)


def rated(pool: Pool) -> Floats:
    """DEITA's score: complexity * quality."""
    return pool.numbers("complexity") * pool.numbers("quality")


def behind_last(order: Callable[[Pool], Iterable[int]]) -> Callable[[Pool], Iterator[int]]:
    """An order of the records that do not go behind (`Pool.behind`), as if there were no others; then one of those that do."""

    @wraps(order)
    def whole(pool: Pool) -> Iterator[int]:
        if not pool.behind.any():
            yield from order(pool)
            return
        name = getattr(order, "__name__", "behind_last")
        for rows in (np.flatnonzero(~pool.behind), np.flatnonzero(pool.behind)):
            if len(rows):
                yield from (int(rows[number]) for number in orders.each_once(order(pool.part(rows)), len(rows), name))

    return whole


@behind_last
def covering_tags(pool: Pool) -> Iterator[int]:
    """See `orders.tag_coverage`."""
    return orders.tag_coverage([frozenset(tags or ()) for tags in pool.values("tags")])


def best_unlike(pool: Pool) -> Iterator[int]:
    """By `rated`, highest first, those that go behind last, each only if it is unlike all before; see `orders.unlike`."""
    value = rated(pool)
    best_first = np.lexsort((-value, pool.behind, ~np.isfinite(value)))[: int(np.isfinite(value).sum())]
    return orders.unlike(best_first, pool.vectors("embedding"))


@behind_last
def farthest_first(pool: Pool) -> Iterator[int]:
    """See `orders.k_centre`; the first record is drawn."""
    return orders.k_centre(pool.vectors("embedding"), int(np.argmin(pool.drawn)))


@behind_last
def covering_points(pool: Pool) -> Iterator[int]:
    """See `orders.facility_location`."""
    return orders.facility_location(pool.vectors("embedding"))


@behind_last
def fitted_points(pool: Pool) -> Iterator[int]:
    """See `parametric.fitted`; as many points as records are wanted."""
    points = pool.vectors("embedding")
    return parametric.fitted(points, np.argsort(pool.drawn, kind="stable")[: max(1, quotas.budget(pool.share, len(pool)))])


def drawn_but_longest(pool: Pool) -> Floats:
    """Position in a random order of all but the longest `pool.trim` of the records with tokens; those have NaN. Of equal lengths the later id is cut."""
    tokens = pool.numbers("response_tokens")
    cut = quotas.budget(pool.trim, int((tokens > 0).sum())) if pool.trim else 0
    longest = np.argsort(tokens, kind="stable")[len(pool) - cut :]
    place = np.empty(len(pool))
    place[np.argsort(pool.drawn, kind="stable")] = np.arange(len(pool))
    place[longest] = np.nan
    return place


def drawn_by_weight(pool: Pool) -> Floats:
    """Log weight plus Gumbel noise of the draw: the B highest are a draw without replacement by the weights."""
    uniform = ((pool.drawn >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
    noise: Floats = -np.log(-np.log(uniform))
    return pool.numbers("importance") + noise


@behind_last
def drawn_like(pool: Pool) -> Iterator[int]:
    """See `orders.length_matched`."""
    return orders.length_matched(pool.integers("response_tokens"), pool.like, pool.drawn)


IFD = Ranking("ifd", below=IFD_LIMIT)
RESIDUAL = Ranking("length_residual", ifd_below=True)
BAND = Ranking("length_band", ifd_below=True)
MATCHED = Ranking("position_matched", ifd_below=True)
TRIMMED = Ranking("draw", drawn_but_longest, lowest=True, scored=False, missing="among the longest")

_ENTRIES = (
    Strategy("cdas", "of each cluster its share, the highest IFD below 1", ("ifd", "cluster"), IFD, known=WORSE),
    Strategy(
        "cdas-paper", "of each cluster its share by the authors' rounding: fewer than B", ("ifd", "cluster"), IFD,
        budget=quotas.as_published, records_only="as its authors do",
        known="its paper reports gains with 7B models; not compared with random draws here",
    ),
    Strategy("random", "B records at random", not_taken="not drawn", known="the baseline: at equal tokens nothing clearly beat it here (135M model)"),
    Strategy(
        "complexity", "the B of highest IFD below 1, clusters ignored", ("ifd",), IFD,
        known=WORSE_OF_SIX,
    ),
    Strategy("diversity", "of each cluster its share, at random", ("cluster",), not_taken="not drawn", known=LEVEL),
    Strategy(
        "longest", "the B with most response tokens", ("response_tokens",), Ranking("response_tokens", scored=False),
        not_taken="shorter", known=WORST,
    ),
    Strategy(
        "shortest", "the B with fewest response tokens, but none", ("response_tokens",), Ranking("response_tokens", lowest=True, scored=False),
        not_taken="longer", page="longest", known=LEVEL_OF_THREE,
    ),
    Strategy(
        "full", "everything, whatever the ratio", budget=quotas.everything,
        known="the lowest held-out loss of all here, at the cost of all tokens (135M model)",
    ),
    Strategy(
        "k-centre", "B by farthest-first traversal", ("embedding",), order=farthest_first, not_taken="nearer",
        exact=groups.EXACT, beyond=IN_GROUPS,
    ),
    Strategy(
        "facility-location", "B by greedy coverage of all others", ("embedding",), order=covering_points, not_taken="covered",
        exact=groups.EXACT, beyond=IN_GROUPS,
    ),
    Strategy("ppl-low", "the B of lowest loss given the instruction", ("nll_cond",), Ranking("nll_cond", lowest=True), page="perplexity"),
    Strategy(
        "ppl-high", "the B of highest loss given the instruction", ("nll_cond",), Ranking("nll_cond"), page="perplexity", known=ONE_POOL,
    ),
    Strategy("cherry", "the B of highest ratio of the two losses below 1", ("loss_ratio",), Ranking("loss_ratio", below=IFD_LIMIT)),
    Strategy(
        "superfiltering", "the B of highest IFD below 1 by a small proxy model", ("proxy_ifd",),
        Ranking("proxy_ifd", below=IFD_LIMIT, scored=False, missing="no proxy score"),
    ),
    Strategy(
        "alpagasus", "the B of highest rating, of 4.5 or more", ("rating",),
        Ranking("rating", at_least=MIN_RATING, scored=False, drawn=True, missing="no rating"),
    ),
    Strategy(
        "instag", "B by coverage of tags, the records with most tags first", ("tags",),
        Ranking("tags", tag_counts, scored=False, missing="no tags"), covering_tags, not_taken="no new tag",
    ),
    Strategy(
        "deita", "B of highest complexity * quality, none like another", ("complexity", "quality", "embedding"),
        Ranking("complexity * quality", rated, scored=False, missing="no rating"), best_unlike, passed_over="too similar",
        exact=orders.COMPARE_ALL, beyond=COMPARED_IN_GROUPS,
    ),
    Strategy(
        "length-residual", "the B of highest IFD less what length explains", ("length_residual", "ifd"), RESIDUAL, formerly="residual",
        known=LEVEL,
    ),
    Strategy(
        "length-band", "the B of highest IFD among records of like length", ("length_band", "ifd"), BAND, formerly="bands",
        known=LEVEL,
    ),
    Strategy(
        "position-matched", "the B of highest IFD over the same token positions", ("position_matched", "ifd"), MATCHED,
        formerly="positions", known=LEVEL,
    ),
    Strategy(
        "cdas-length-residual", "of each cluster its share by `length-residual`", ("length_residual", "ifd", "cluster"), RESIDUAL,
        page="length-residual", formerly="cdas-residual",
    ),
    Strategy(
        "cdas-length-band", "of each cluster its share by `length-band`", ("length_band", "ifd", "cluster"), BAND,
        page="length-band", formerly="cdas-bands",
    ),
    Strategy(
        "cdas-position-matched", "of each cluster its share by `position-matched`", ("position_matched", "ifd", "cluster"), MATCHED,
        page="position-matched", formerly="cdas-positions",
    ),
    Strategy(
        "targeted", "B in turn by likeness to examples of what the model is for", ("target_rank",),
        Ranking("target_rank", lowest=True, scored=False, missing="no target rank"), known=LEVEL,
    ),
    Strategy(
        "rds", "B in turn by likeness to examples, in the model's own hidden states", ("rds_rank",),
        Ranking("rds_rank", lowest=True, scored=False, missing="like an example"), known=LEVEL_OF_SIX,
    ),
    Strategy(
        "dsir", "B drawn by how much likelier their words are among examples than in the pool", ("importance",),
        Ranking("log weight + noise", drawn_by_weight, scored=False, missing="no weight"), not_taken="not drawn",
        known="a held-out loss below that of random draws in six pools of six, not clearly, level on benchmark solutions: no clear win (135M model)",
    ),
    Strategy(
        "learnable", "of records of like length the B whose loss a short training on others lowers most", ("learnable",),
        Ranking("learnable", scored=False, missing="trained on, or no score"), known=LEVEL_OF_SIX,
    ),
    Strategy(
        "s-ifd", "the B of highest IFD over the tokens that the instruction moves most", ("selective_ifd", "ifd"),
        Ranking("selective_ifd", ifd_below=True, missing="no informative token"), known=WORSE_OF_SIX,
    ),
    Strategy(
        "trim", "B at random of all but the longest 10 %", ("response_tokens",), TRIMMED, not_taken="not drawn",
        known=LEVEL_OF_SIX,
    ),
    Strategy(
        "trim-diversity", "of each cluster its share, at random of all but the longest 10 %", ("response_tokens", "cluster"), TRIMMED,
        not_taken="not drawn", page="trim",
        known="a held-out loss below that of random draws in five pools of six, level in three longer ones and on benchmark solutions:"
        " no clear win (135M model)",
    ),
    Strategy(
        "length-matched", "a random draw with the lengths of another strategy's selection", ("response_tokens",), order=drawn_like,
        mirrors=True, not_taken="not drawn", known=WORSE_LENGTHS,
    ),
    Strategy(
        "parametric", "B nearest to B points that are fitted to the pool and repel each other", ("embedding",), order=fitted_points,
        not_taken="not nearest", known=LEVEL_OF_SIX,
    ),
    Strategy(
        "list", "the first of a file of ids or rows: a selection made elsewhere", ("listed",),
        Ranking("listed", lowest=True, scored=False, missing="not listed"), known="as much as you know of where it comes from",
    ),
)  # fmt: skip
STRATEGIES: Mapping[str, Strategy] = {entry.name: entry for entry in _ENTRIES}


def names() -> list[str]:
    """Every strategy, in the order of the table."""
    return list(STRATEGIES)


def known(name: str) -> str:
    """What is known of a strategy, in one line for people, where more is said, and the shipped recipe to take where it is no better than chance."""
    one = find(name)
    other = "; what the evidence supports: codeact run evidence" if one.known in NO_BETTER else ""
    return f"what is known of {name}: {one.known} (codeact docs strategies/{one.page or name}){other}"


def reads(name: str, like: str) -> tuple[str, ...]:
    """The columns that a strategy reads, with those of the strategy `like` where it mirrors that one's selection."""
    one = find(name)
    return (*one.needs, *(column for column in find(like).needs if one.mirrors and column not in one.needs))


def unknown(name: object) -> str:
    """What to say of a name that is none; empty for one that is."""
    if not isinstance(name, str):
        return "must be a text"
    if name in STRATEGIES:
        return ""
    renamed = next((entry.name for entry in STRATEGIES.values() if entry.formerly == name), None)
    if renamed is not None:
        return f"now called {renamed!r}"
    return f"unknown{did_you_mean(name, STRATEGIES) or '; the strategies are ' + ', '.join(STRATEGIES)}"


def find(name: str) -> Strategy:
    """The entry of a name.

    Raises:
        InputError: there is none; the nearest, or the new name of an old one, is named.
    """
    if hint := unknown(name):
        raise InputError(f"sample.strategy = {name!r}: {hint}")
    return STRATEGIES[name]

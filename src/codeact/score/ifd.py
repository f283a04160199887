"""IFD scores: both passes of every record through the model in packed rows, logits at response tokens only.

    nll_cond    mean -log p(token | instruction, response so far), nats per response token
    nll_uncond  mean -log p(token | response so far)
    ifd         exp(nll_cond - nll_uncond) = ppl(response | instruction) / ppl(response)

The perplexity ratio of CodeACT (arXiv 2408.02193) and Superfiltering (arXiv 2402.00530); the idea is from Cherry_LLM (arXiv 2308.12032).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from codeact.config import DEFAULTS
from codeact.lm.given import check_model_given, check_tokenizer_given
from codeact.lm.models import context_length
from codeact.lm.modes import eval_mode
from codeact.lm.prompts import Template, load_template
from codeact.lm.streams import Stream, check_model, choose_batch_tokens, stream_losses
from codeact.progress import SILENT, Progress, Steady
from codeact.records import Record
from codeact.records.given import check_records
from codeact.score import selective
from codeact.score.sequences import Prepared, build_sequences, check_variant, default_template
from codeact.score.surprise import worst_spot
from codeact.statuses import Status
from codeact.types import Floats, Model, Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW_RECORDS = 512  # prepared and planned together: memory does not grow with the number of records


@dataclass(frozen=True, slots=True)
class TurnScore:
    """One assistant turn, given everything before it. Figures as in `Score`."""

    ifd: float | None
    nll_cond: float | None
    nll_uncond: float | None
    response_tokens: int
    prompt_tokens: int
    status: Status


@dataclass(frozen=True, slots=True)
class Score:
    """One record. A failure is a status, never a number: only ok and truncated records have an IFD.

    Attributes:
        id: the record's.
        ifd: exp(nll_cond - nll_uncond).
        nll_cond: mean negative log-likelihood of the response tokens given the instruction, nats per token.
        nll_uncond: the same without the instruction.
        response_tokens: tokens scored, over all assistant turns; 0 where the status is empty or too_long.
        prompt_tokens: tokens of the conditional pass that are context only.
        status: ok, truncated (the end of the response did not fit), empty, too_long (no response token fits), nonfinite
            (the model gave NaN or infinity), estimated (adaptive scoring stopped before its end; it has no figures), refused
            (the template does not take the record, or the model has no embedding of a token); a turn that is not to be learnt has the status context.
        turns: one entry per assistant turn.
        prefix_log_ifd: nll_cond - nll_uncond over the first 1, 2, 4, 8, ... response tokens, as far as there are that
            many; empty in the paper's variant, whose passes do not score the same tokens.
        token_log_ifd: nll_cond - nll_uncond of each response token, in 1/1024 nats; empty likewise.
        spike: how much the least expected operator or whole number of the code surprises the model, in nats, corrected for their
            number (`worst_spot`); None where there is none, or no score, and in the paper's variant.
        spike_at: where that is: "line 3: '>='".
        detail: why the record is refused.
    """

    id: str
    ifd: float | None
    nll_cond: float | None
    nll_uncond: float | None
    response_tokens: int
    prompt_tokens: int
    status: Status
    turns: tuple[TurnScore, ...]
    prefix_log_ifd: tuple[float, ...] = ()
    token_log_ifd: tuple[int, ...] = ()
    spike: float | None = None
    spike_at: str = ""
    detail: str = ""


def score_ifd(
    records: Sequence[Record],
    model: Model,
    tokenizer: Tokenizer,
    *,
    template: Template | str | None = None,
    variant: str = DEFAULTS.score.variant,
    max_length: int = DEFAULTS.model.max_length,
    batch_tokens: int = DEFAULTS.score.batch_tokens,
    progress: Progress = SILENT,
) -> list[Score]:
    """Score records; see `Scorer`. Returns one `Score` per record, in their order. A template may be named, as for `tokenise`.

    Raises:
        InputError: rows in place of records, a name in place of the model or its tokenizer, or a model without weights; as `Scorer`.
        CodeactError: as `Scorer`.
    """
    check_records(records)
    check_model_given(model)
    check_tokenizer_given(tokenizer)
    if isinstance(template, str):
        template = load_template(template, tokenizer)
    scorer = Scorer(
        model, tokenizer, template=template, variant=variant, max_length=max_length, batch_tokens=batch_tokens
    )
    return scorer.score(records, progress)


class Scorer:
    """Scores records with one model.

    Args:
        model: a causal LM of transformers (a PEFT wrapper is fine) whose attention keeps packed samples apart;
            `codeact.lm.models.load_model` gives one.
        tokenizer: its fast tokenizer.
        template: how records become text; default: `default_template(variant, tokenizer)`.
        variant: "default", or "paper" for the reference implementation's definition.
        max_length: most tokens of a sequence; the model's context length is the limit where it is smaller.
        batch_tokens: tokens of one forward pass; 0: chosen from the device. Scores do not depend on it (1e-5 in float32).

    Attributes:
        max_length: the limit in force.
        batch_tokens: likewise.

    Raises:
        InputError: unknown variant, `max_length` below 2, a template that does not fit the tokenizer.
        LeakError: packed samples see each other in this model.
        CodeactError: the model's logits are not those of its output head, so that chunked scoring would be wrong.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        *,
        template: Template | None = None,
        variant: str = DEFAULTS.score.variant,
        max_length: int = DEFAULTS.model.max_length,
        batch_tokens: int = DEFAULTS.score.batch_tokens,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.variant = check_variant(variant)
        self.template = template or default_template(variant, tokenizer)
        self.max_length = min(max_length, context_length(model.config.get_text_config()) or max_length)
        self.batch_tokens = batch_tokens or choose_batch_tokens(model)
        check_model(model)

    def score(self, records: Sequence[Record], progress: Progress = SILENT) -> list[Score]:
        """One `Score` per record, in their order. `progress` advances by as many as there are records, evenly with the tokens, with
        tokens/s as its note.

        Raises:
            InputError: a template with a fault in it.
        """
        windows = [records[at : at + WINDOW_RECORDS] for at in range(0, len(records), WINDOW_RECORDS)]
        scores: list[Score] = []
        report = _Report(progress)
        # the next window is tokenised while the model runs
        with eval_mode(self.model), ThreadPoolExecutor(1) as pool:
            for ready in _ahead(pool, self.prepare, windows):
                scores += self._run(ready, report)
        return scores

    def prepare(self, records: Sequence[Record]) -> list[Prepared]:
        """The token streams of each record.

        Raises:
            InputError: a template with a fault in it.
        """
        return [build_sequences(r, self.template, self.tokenizer, self.variant, self.max_length) for r in records]

    def _run(self, window: list[Prepared], report: _Report) -> list[Score]:
        streams = [stream for item in window for stream in item.streams]
        # a record is through when both of its passes are, and for most that is late: what is told is the share of the work
        told = report.window(len(window), sum(len(stream.ids) - 1 for stream in streams))
        losses = iter(stream_losses(self.model, streams, self.batch_tokens, lambda _, tokens: told(tokens)))
        return [to_score(item, [next(losses) for _ in item.streams]) for item in window]


def to_score(prepared: Prepared, losses: Sequence[Floats]) -> Score:
    """Means and ratios of one record from the token losses of its streams (`stream_losses`, in the order of `streams`)."""
    split = len(prepared.conditional)
    given = _by_turn(prepared.conditional, losses[:split])
    alone = _by_turn(prepared.unconditional, losses[split:])
    turns = []
    for number, turn in enumerate(prepared.turns):
        figures = _figures(given[number], alone[number]) if number in given else _NONE
        status = "nonfinite" if number in given and figures is _NONE else turn.status
        turns.append(TurnScore(*figures, turn.response_tokens, turn.prompt_tokens, status))
    figures, status, prefix, tokens = _NONE, prepared.status, _EMPTY, _NO_TOKENS
    spike: tuple[float | None, str] = None, ""
    if given:
        cond, uncond = (np.concatenate([part[number] for number in sorted(part)]) for part in (given, alone))
        figures = _figures(cond, uncond)
        status = "nonfinite" if figures is _NONE else status
        if prepared.same_tokens and figures is not _NONE:
            prefix, tokens = _prefixes(cond - uncond), selective.kept(cond - uncond)
        spike = worst_spot(prepared.spots, cond) if figures is not _NONE else spike
    lengths = prepared.response_tokens, prepared.prompt_tokens
    return Score(prepared.id, *figures, *lengths, status, tuple(turns), prefix, tokens, *spike, detail=prepared.detail)


def to_table(scores: Sequence[Score]) -> pa.Table:
    """Scores as an Arrow table, in their order.

    Columns: id string, ifd, nll_cond and nll_uncond float64 (null where there is no score), response_tokens and
    prompt_tokens int32, status string, prefix_log_ifd list<float64>, token_log_ifd list<int16>, spike float64, spike_at string, detail
    string, and turns, a list of the same figures per turn.
    """
    import pyarrow as pa

    figures = [
        ("ifd", pa.float64()),
        ("nll_cond", pa.float64()),
        ("nll_uncond", pa.float64()),
        ("response_tokens", pa.int32()),
        ("prompt_tokens", pa.int32()),
        ("status", pa.string()),
    ]
    schema = pa.schema(
        [
            ("id", pa.string()),
            *figures,
            ("prefix_log_ifd", pa.list_(pa.float64())),
            ("token_log_ifd", pa.list_(pa.int16())),
            ("spike", pa.float64()),
            ("spike_at", pa.string()),
            ("detail", pa.string()),
            ("turns", pa.list_(pa.struct(figures))),
        ]
    )
    return pa.Table.from_pylist([asdict(score) for score in scores], schema=schema)


def from_table(table: pa.Table) -> list[Score]:
    """The scores of a table that `to_table` made."""
    return [
        Score(**{
            **row, "turns": tuple(TurnScore(**turn) for turn in row["turns"]), "prefix_log_ifd": tuple(row["prefix_log_ifd"]),
            "token_log_ifd": tuple(row["token_log_ifd"]),
        })
        for row in table.to_pylist()
    ]  # fmt: skip


Figures = tuple[float | None, float | None, float | None]
_NONE: Figures = (None, None, None)
_EMPTY: tuple[float, ...] = ()
_NO_TOKENS: tuple[int, ...] = ()


def _figures(cond: Floats, uncond: Floats) -> Figures:
    """IFD and the two mean losses; none of them where a loss or the ratio is not finite."""
    given, alone = float(cond.mean()), float(uncond.mean())
    if not (math.isfinite(given) and math.isfinite(alone) and given - alone < 700):
        return _NONE
    return math.exp(given - alone), given, alone


def _prefixes(gain: Floats) -> tuple[float, ...]:
    sums = np.cumsum(gain)
    counts = 2 ** np.arange(int(math.log2(len(gain))) + 1)
    return tuple((sums[counts - 1] / counts).tolist())


def _by_turn(streams: Sequence[Stream], losses: Sequence[Floats]) -> dict[int, Floats]:
    found: dict[int, Floats] = {}
    for stream, values in zip(streams, losses, strict=True):
        at = 0
        for span in stream.spans:
            found[span.turn] = values[at : at + span.end - span.start]
            at += span.end - span.start
    return found


def _ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[Sequence[Record]], list[Prepared]], windows: list[Sequence[Record]]
) -> Iterator[list[Prepared]]:
    """Prepare each window while the one before it is used."""
    waiting = pool.submit(prepare, windows[0]) if windows else None
    for following in [*windows[1:], None]:
        if waiting is None:
            return
        ready = waiting.result()
        waiting = pool.submit(prepare, following) if following is not None else None
        yield ready


class _Report:
    """Tokens a second, for the note beside the bar."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.tokens, self.started = progress, 0, time.monotonic()

    def window(self, records: int, tokens: int) -> Callable[[int], None]:
        """What is called with the tokens of each row, of a window of so many records and tokens."""
        steady = Steady(self.progress, records, tokens)
        if not tokens:
            self.progress.advance(records)

        def told(done: int) -> None:
            self.tokens += done
            spent = time.monotonic() - self.started
            steady.add(done, f"{self.tokens / spent:,.0f} tokens/s" if spent > 0 else "")

        return told

"""Adaptive scoring: what it scores is what full scoring gives, it says how well it agrees, and it goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codeact.errors import InputError
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.prompts import load_template
from codeact.records import Message, Record
from codeact.sample import cdas, id_ranks
from codeact.score import Score, Scorer
from codeact.score.adaptive.decide import Facts, Pool, decide
from codeact.score.adaptive.predict import LEVELS
from codeact.score.adaptive.run import AdaptiveScores, score_adaptive
from codeact.stages import adaptive_parts
from codeact.stages.adaptive_parts import MeasuredInParts

WORDS = "add sort reverse count merge filter parse join numbers words rows files users prices step result value".split()


def pool(count: int) -> list[Record]:
    """Instructions and responses of very different lengths, from one vocabulary."""
    rng = np.random.default_rng(0)
    records = []
    for n in range(count):
        ask = " ".join(rng.choice(WORDS, 8))
        lines = [
            f"{rng.choice(WORDS)}_{k} = {rng.choice(ask.split())}({rng.choice(WORDS)})"
            for k in range(int(rng.integers(1, 26)))
        ]
        records.append(Record(f"r{n}", (Message("user", ask), Message("assistant", "\n".join(lines)))))
    return records


@pytest.fixture(scope="module")
def scorer(tiny_model_dir: Path) -> Scorer:
    tokenizer = load_tokenizer(str(tiny_model_dir))
    model = load_model(str(tiny_model_dir), dtype="float32")
    return Scorer(model, tokenizer, template=load_template("question", tokenizer), batch_tokens=512)


def chooser(records: list[Record], ratio: float) -> tuple[Callable[[Any], Any], Any]:
    """What CDAS selects from log IFD, and its clusters."""
    group = np.arange(len(records)) % 3
    tie = id_ranks([record.id for record in records])
    return lambda value: cdas(value, value < 0, group, tie, ratio), group


def run(records: list[Record], scorer: Scorer, agreement: float, kept: Path | None = None) -> AdaptiveScores:
    selected, group = chooser(records, 0.4)
    through = None if kept is None else lambda measure, ids: MeasuredInParts(measure, ids, kept)
    return score_adaptive(records, scorer, selected, group, agreement=agreement, through=through)


@pytest.fixture(scope="module")
def in_full(scorer: Scorer) -> tuple[list[Record], list[Score]]:
    """Records whose full IFD is below 1, as nearly all real ones are, with their scores."""
    records = pool(320)
    found = [(r, s) for r, s in zip(records, scorer.score(records), strict=True) if s.ifd is not None and s.ifd < 1][:200]
    assert len(found) == 200
    return [record for record, _ in found], [score for _, score in found]


@pytest.fixture(scope="module")
def below_one(in_full: tuple[list[Record], list[Score]]) -> list[Record]:
    return in_full[0]


def test_what_is_scored_in_full_has_the_full_score(scorer: Scorer, in_full: tuple[list[Record], list[Score]]) -> None:
    below_one, full = in_full
    found = run(below_one, scorer, 0.7)
    states = [score.status for score in found.scores]
    assert 64 <= states.count("ok") < len(below_one)
    assert states.count("ok") + states.count("estimated") == len(below_one)
    assert found.expected_agreement >= 0.7
    for ours, plain, value in zip(found.scores, full, found.log_ifd, strict=True):
        assert (ours.id, ours.response_tokens, ours.prompt_tokens) == (
            plain.id,
            plain.response_tokens,
            plain.prompt_tokens,
        )
        assert np.isfinite(value)
        if ours.status == "ok":
            assert ours.ifd == pytest.approx(plain.ifd, abs=1e-5)
            assert ours.nll_cond == pytest.approx(plain.nll_cond, abs=1e-5)
            assert ours.prefix_log_ifd == pytest.approx(plain.prefix_log_ifd, abs=1e-4)
            assert value == pytest.approx(np.log(plain.ifd), abs=1e-5)
        else:
            assert (ours.ifd, ours.nll_cond, ours.nll_uncond) == (None, None, None)


def test_near_certainty_selects_what_full_scoring_selects(scorer: Scorer, in_full: tuple[list[Record], list[Score]]) -> None:
    selected, _ = chooser(in_full[0], 0.4)
    found = run(in_full[0], scorer, 0.999)
    truth = np.log([score.ifd or np.nan for score in in_full[1]])
    assert (selected(found.log_ifd) != selected(truth)).sum() <= 2


class Stopped(BaseException):
    """As Ctrl-C: no error of the model."""


def test_an_interrupted_run_goes_on_from_what_it_had_to_the_last_bit(
    scorer: Scorer, below_one: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted within the pilot, and between two levels: what goes on from the model's memory is measured anew."""
    from codeact.score.adaptive import resume

    monkeypatch.setattr(adaptive_parts, "PART", 24)
    monkeypatch.setattr(resume, "WINDOW", (8, 24))
    below_one = below_one[:150]
    begun: list[int] = []
    real = resume.Continued._run

    def counted(self: Any, jobs: Any) -> Any:
        begun.append(len(jobs))
        if len(begun) == stop:
            raise Stopped
        return real(self, jobs)

    monkeypatch.setattr(resume.Continued, "_run", counted)
    stop = 0
    whole = run(below_one, scorer, 0.95, tmp_path / "whole")
    calls = len(begun)
    for after in (2, 7):
        assert calls > after
        begun, stop = [], after
        folder = tmp_path / str(after)
        with pytest.raises(Stopped):
            run(below_one, scorer, 0.95, folder)
        stop = 0
        resumed = run(below_one, scorer, 0.95, folder)
        assert len(begun) <= calls + 1 + len(LEVELS)
        assert resumed.scores == whole.scores
        assert (resumed.log_ifd == whole.log_ifd).all()
        assert (resumed.doubt == whole.doubt).all()
        assert resumed.tokens == whole.tokens
        done = len(begun)
        run(below_one, scorer, 0.95, folder)
        assert len(begun) == done


def test_conversations_empty_and_known_records(scorer: Scorer, below_one: list[Record]) -> None:
    turns = Record("turns", (*below_one[0].messages, Message("user", "and now"), Message("assistant", "sort rows")))
    empty = Record("empty", (Message("user", "add"), Message("assistant", "")))
    records = [turns, empty, *below_one[:90]]
    selected, group = chooser(records, 0.4)
    given = np.full(len(records), np.nan)
    given[5:20] = -0.25
    found = score_adaptive(records, scorer, selected, group, agreement=0.9, given=given)
    (alone,) = scorer.score([turns])
    assert found.scores[0].status == alone.status
    assert found.scores[0].ifd == pytest.approx(alone.ifd, abs=1e-5)
    assert (found.scores[1].status, found.log_ifd[1]) == ("empty", pytest.approx(np.nan, nan_ok=True))
    assert (found.log_ifd[5:20] == -0.25).all()
    assert not found.doubt[5:20].any()


def test_a_small_pool_is_scored_in_full(scorer: Scorer, below_one: list[Record]) -> None:
    found = run(below_one[:30], scorer, 0.9)
    assert {score.status for score in found.scores} == {"ok"}
    assert found.expected_agreement == 1.0


@pytest.mark.parametrize("agreement", [0.3, 1.0])
def test_an_agreement_out_of_range_is_refused(scorer: Scorer, below_one: list[Record], agreement: float) -> None:
    with pytest.raises(InputError, match="agreement"):
        run(below_one[:3], scorer, agreement)


def test_the_papers_variant_is_refused(tiny_model_dir: Path, below_one: list[Record]) -> None:
    tokenizer = load_tokenizer(str(tiny_model_dir))
    paper = Scorer(load_model(str(tiny_model_dir), dtype="float32"), tokenizer, variant="paper")
    with pytest.raises(InputError, match="variant=default"):
        run(below_one[:3], paper, 0.9)


class Replay:
    """Losses that are there already."""

    window = 32

    def __init__(self, cond: list[Any], uncond: list[Any]) -> None:
        self.cond, self.uncond, self.done, self.asked = cond, uncond, [0] * len(cond), 0

    def __call__(self, records: Any, upto: Any) -> list[tuple[Any, Any]]:
        found = []
        for n, end in zip(records.tolist(), upto.tolist(), strict=True):
            assert self.done[n] < end <= len(self.cond[n])
            found.append((self.cond[n][self.done[n] : end], self.uncond[n][self.done[n] : end]))
            self.asked += 2 * (end - self.done[n])
            self.done[n] = end
        return found

    def forget(self, records: Any) -> None:
        return None


@pytest.mark.slow
def test_the_expected_agreement_is_about_the_real_one() -> None:
    """500 records whose gain falls along the response, from a different level each; two targets, each from another order."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(5, 700, 500)
    level = rng.normal(0.4, 0.15, 500)
    gains = [-level[n] * 6 / (np.arange(size) + 6) + rng.normal(0, 0.1, size) for n, size in enumerate(sizes)]
    uncond = [rng.gamma(2, 0.5, size) for size in sizes]
    cond = [u + g for u, g in zip(uncond, gains, strict=True)]
    truth = np.array([g.mean() for g in gains])
    features = np.column_stack([np.log(sizes), level + rng.normal(0, 0.1, 500)])
    group = np.arange(500) % 5
    tie = np.arange(500)
    full = 2 * int(sizes.sum())
    for target, order in ((0.9, 0), (0.97, 1)):
        facts = Facts(features, np.zeros(500, np.int64), sizes, np.random.default_rng(order).permutation(500))
        replay = Replay(cond, uncond)

        def selected(value: Any) -> Any:
            return cdas(np.exp(value), value < 0, group, tie, 0.3)

        found = decide(facts, replay, Pool(selected, group, np.full(500, np.nan), np.arange(500)), agreement=target)
        ours, theirs = selected(found.log_ifd), selected(truth)
        assert found.expected_agreement >= target
        assert (ours & theirs).sum() / (ours | theirs).sum() == pytest.approx(target, abs=0.05)
        assert replay.asked / full < 0.8

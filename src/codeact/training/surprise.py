"""Which answer tokens are learnt where only a share of them is: those that the base model expects least (`train.token_share`)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from codeact.config import ModelConfig
from codeact.errors import CodeactError
from codeact.files import atomic
from codeact.lm.identity import model_identity
from codeact.packing.overlong import IGNORE
from codeact.progress import track
from codeact.sample.quotas import budget
from codeact.training.data import IntArray, Sample, Tokenised
from codeact.types import Bools, Floats

if TYPE_CHECKING:
    from codeact.lm.streams import Stream

log = logging.getLogger(__name__)
LEARNT = "learnt_tokens.npz"


def surprising_tokens(tokenised: Tokenised, share: float, model: ModelConfig, out_dir: Path) -> Tokenised:
    """The same samples with the labels of the other tokens at -100.

    The choice is kept in `out_dir` until the training is done, so that one that is gone on with learns the same tokens, whatever machine
    it goes on with. A file of other samples, of another model or share, or one that is damaged, is made anew.

    Args:
        tokenised: what would be learnt.
        share: of the learnt tokens that stays, see `chosen`.
        model: the base, as it came.
        out_dir: of the training.

    Raises:
        CodeactError: the base model's loss of a token is no number.
    """
    key = _key(tokenised.samples, share, model)
    kept = _read(out_dir / LEARNT, key)
    if kept is None:
        losses = token_losses(tokenised.samples, model)
        wrong = next((s["id"] for s, some in zip(tokenised.samples, losses, strict=True) if not np.isfinite(some).all()), None)
        if wrong is not None:
            raise CodeactError(f"train.token_share: the model's loss on record {wrong!r} is no number; try model.dtype=float32, or leave it out")
        kept = chosen(losses, [np.isin(_learnt(sample), tokenised.stops) for sample in tokenised.samples], share)
        with atomic(out_dir / LEARNT) as stream:
            np.savez(stream, key=np.array(key), kept=np.packbits(kept), count=len(kept))
    log.info("of %s answer tokens %s are learnt (train.token_share)", f"{len(kept):,}", f"{int(kept.sum()):,}")
    ends = np.cumsum([len(_learnt(sample)) for sample in tokenised.samples])[:-1]
    return replace(tokenised, samples=[_masked(s, some) for s, some in zip(tokenised.samples, np.split(kept, ends), strict=True)])


def chosen(losses: Sequence[Floats], always: Sequence[Bools], share: float) -> Bools:
    """Which tokens stay learnt, bool [tokens of all samples].

    Of all tokens but the `always` ones round-half-up(share * their number), those of highest loss; of equal ones the earlier. Where a
    sample would keep none, its highest stays too.

    Args:
        losses: of each sample's learnt tokens, nats.
        always: tokens that stay whatever their loss: ends of answers, without which no model learns to stop.
        share: above 0, at most 1.
    """
    flat, kept = np.concatenate(losses), np.concatenate(always)
    others = np.flatnonzero(~kept)
    best = np.argsort(-flat[others], kind="stable")[: budget(share, len(others))]
    kept[others[best]] = True
    start = 0
    for some in losses:
        if len(some) and not kept[start : start + len(some)].any():
            kept[start + int(np.argmax(some))] = True
        start += len(some)
    return kept


def token_losses(samples: Sequence[Sample], model: ModelConfig) -> list[Floats]:
    """Of each sample, the losses of its learnt tokens by the model, nats: float64 [learnt tokens]; packed rows, one pass."""
    from codeact.lm.models import load_model
    from codeact.lm.streams import check_model, choose_batch_tokens, evenly, stream_losses

    network = load_model(model.name, revision=model.revision, dtype=model.dtype, device=model.device, attention="any")
    check_model(network)
    streams = [_stream(sample) for sample in samples]
    with track("losses of tokens", len(streams), "records") as progress:
        return stream_losses(network, streams, choose_batch_tokens(network), evenly(progress, streams))


def _stream(sample: Sample) -> Stream:
    from codeact.lm.streams import Span, Stream

    there = np.flatnonzero(sample["labels"] != IGNORE)
    runs = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
    spans = tuple(Span(turn, int(run[0]), int(run[-1]) + 1) for turn, run in enumerate(runs))
    return Stream(sample["input_ids"][: int(there[-1]) + 1].tolist(), spans)


def _learnt(sample: Sample) -> IntArray:
    labels = sample["labels"]
    found: IntArray = labels[labels != IGNORE]
    return found


def _masked(sample: Sample, kept: Bools) -> Sample:
    labels = sample["labels"].copy()
    labels[np.flatnonzero(labels != IGNORE)[~kept]] = IGNORE
    return {**sample, "labels": labels}


def _read(path: Path, key: str) -> Bools | None:
    """The choice of this key; None where there is none that can be read."""
    try:
        with np.load(path) as found:
            if str(found["key"]) != key:
                return None
            return np.unpackbits(found["kept"], count=int(found["count"])).astype(np.bool_)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError, RuntimeError):  # NotImplementedError is a RuntimeError
        return None


def _key(samples: Sequence[Sample], share: float, model: ModelConfig) -> str:
    total = hashlib.sha256(repr((share, model_identity(model.name, model.revision))).encode())
    for sample in samples:
        total.update(sample["input_ids"].tobytes())
        total.update(sample["labels"].tobytes())
    return total.hexdigest()

"""Runs the model for adaptive scoring: records stop after some response tokens and go on later from where they stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codeact.errors import CodeactError, InputError
from codeact.lm.passes import pass_limits
from codeact.lm.segments import Past, continue_row, past_bytes
from codeact.lm.streams import choose_batch_tokens, token_losses_at
from codeact.packing.plan import plan_epoch
from codeact.score.sequences import Prepared
from codeact.types import Floats, Ints, Model

WINDOW = (8, 64)
CPU_MEMORY = 2**30
EXPECTED_TOKENS = 256  # kept of a record between two levels, both passes, beside its prompt


@dataclass
class _Sequence:
    """One pass of one record: its tokens, where the scored ones begin, and how far it has run."""

    ids: list[int]
    start: int
    past: Past | None = None
    run: int = 0  # tokens whose keys and values are in `past`


class Continued:
    """`codeact.score.adaptive.decide.Measure` over a causal LM.

    Args:
        model: a causal LM loaded with attention `codeact`, in eval mode.
        prepared: records of the default variant with one assistant turn that has tokens to score.
        batch_tokens: tokens of one forward pass; 0: chosen from the device.

    Attributes:
        tokens: model tokens computed so far.
        window: records between two levels at a time, so that what is kept of them fits into the memory that is free.

    Raises:
        InputError: the model takes no packed rows, or a record is beyond a length at which it computes all texts of a row otherwise.
        CodeactError: the model does not go on from kept keys and values as if it had run whole.
    """

    def __init__(self, model: Model, prepared: Sequence[Prepared], batch_tokens: int = 0) -> None:
        check_going_on(model)
        self.model, self.tokens = model, 0
        _check_lengths(model, max((len(stream.ids) for item in prepared for stream in item.streams), default=0))
        self.batch_tokens = batch_tokens or choose_batch_tokens(model)
        self.passes = [
            tuple(_Sequence(stream.ids, stream.spans[0].start) for stream in item.streams) for item in prepared
        ]
        self.done = np.zeros(len(prepared), np.int64)
        prompt = float(np.mean([item.prompt_tokens for item in prepared])) if prepared else 0.0
        each = past_bytes(model.config, model.dtype.itemsize) * (prompt + EXPECTED_TOKENS)
        self.window = int(np.clip(_memory(model) // each, *WINDOW))

    def __call__(self, records: Ints, upto: Ints) -> list[tuple[Floats, Floats]]:
        """See `Measure`; after an error these records start again."""
        found: list[tuple[Floats, Floats]] = []
        try:
            found = self._advance(records, upto)
        finally:
            if len(found) < len(records):
                self.forget(records)
        return found

    def _advance(self, records: Ints, upto: Ints) -> list[tuple[Floats, Floats]]:
        numbers = records.tolist()
        jobs = [
            (sequence, sequence.start + end - 1)
            for r, end in zip(numbers, upto.tolist(), strict=True)
            for sequence in self.passes[r]
        ]
        losses = self._run(jobs)
        found = []
        for index, record in enumerate(numbers):
            wanted = int(upto[index]) - int(self.done[record])
            # one that starts again runs over what is known already
            cond, uncond = (losses[2 * index + side][-wanted:] for side in (0, 1))
            found.append((cond, uncond))
            self.done[record] = upto[index]
        return found

    def skip(self, records: Ints, upto: Ints, tokens: int) -> None:
        """Take as measured what an earlier run has measured, at the tokens it took."""
        self.done[records] = upto
        self.tokens += tokens

    def forget(self, records: Ints) -> None:
        """See `Measure`."""
        for record in records.tolist():
            for sequence in self.passes[record]:
                sequence.past, sequence.run = None, 0

    def _run(self, jobs: list[tuple[_Sequence, int]]) -> list[Floats]:
        """Each sequence up to input token `end`: losses of the response tokens predicted on the way."""
        import torch

        sizes = np.array([end - sequence.run for sequence, end in jobs], np.int64)
        found: list[Floats] = [np.zeros(0)] * len(jobs)
        with torch.inference_mode():
            for row in plan_epoch(sizes, max(self.batch_tokens, int(sizes.max()))):
                part = [jobs[job] for job in row.tolist()]
                hidden, pasts = continue_row(
                    self.model,
                    [sequence.ids[sequence.run : end] for sequence, end in part],
                    [sequence.past for sequence, _ in part],
                    [end < len(sequence.ids) - 1 for sequence, end in part],
                )
                positions, targets, offset = [], [], 0
                for sequence, end in part:
                    first = max(sequence.start - 1, sequence.run)
                    positions.append(np.arange(offset + first - sequence.run, offset + end - sequence.run))
                    targets += sequence.ids[first + 1 : end + 1]
                    offset += end - sequence.run
                losses = token_losses_at(self.model, hidden, np.concatenate(positions), targets)
                pieces = np.split(losses, np.cumsum([len(index) for index in positions])[:-1])
                for job, piece, (sequence, end), past in zip(row.tolist(), pieces, part, pasts, strict=True):
                    found[job] = piece
                    sequence.past, sequence.run = past, end if past is not None else 0
                self.tokens += offset
        return found


def _check_lengths(model: Model, longest: int) -> None:
    """Refuse a sample that would go on beyond a switch of `codeact.lm.passes`, with keys that were made before it, and its row with it."""
    switch = next((tokens for tokens in pass_limits(model.config).switches if tokens < longest), None)
    if switch is not None:
        raise InputError(
            f"a record of {longest} tokens: beyond {switch} this model changes its rotary factors for a whole row (longrope), in which adaptive"
            f" scoring goes on with kept keys; leave score.adaptive off, or set model.max_length={switch}"
        )


def check_going_on(model: Model) -> None:
    """Check that a sample that stops and goes on has the hidden states of one that runs whole.

    Raises:
        InputError: the model takes no packed rows.
        CodeactError: it has not; adaptive scoring would be wrong with this model.
    """
    import torch

    from codeact.lm.forward import allowed_gap, hidden_states
    from codeact.lm.streams import check_model

    if check_model(model) != "packed":
        raise InputError(f"{type(model).__name__} takes no packed rows, which adaptive scoring goes on in; leave score.adaptive off")
    vocabulary = model.get_output_embeddings().weight.shape[0]
    samples = [np.random.default_rng(seed).integers(0, vocabulary, size).tolist() for seed, size in ((0, 12), (1, 7))]
    pasts: list[Past | None] = [None, None]
    parts: list[list[Any]] = [[], []]
    with torch.inference_mode():
        for begin, ends in (((0, 0), (5, 3)), ((5, 3), (12, 7))):
            new = [sample[b:e] for sample, b, e in zip(samples, begin, ends, strict=True)]
            hidden, pasts = continue_row(model, new, pasts, [True, True])
            for part, states in zip(parts, torch.split(hidden, [len(ids) for ids in new]), strict=True):
                part.append(states)
        gap = 0.0
        for sample, part in zip(samples, parts, strict=True):
            whole = hidden_states(model, {"input_ids": torch.tensor([sample], device=model.device)})[0].float()
            gap = max(gap, float((torch.cat(part).float() - whole).abs().max() / whole.abs().max()))
    allowed = allowed_gap(model)
    if not gap <= allowed:
        raise CodeactError(
            f"{type(model).__name__} does not go on from kept keys and values as if it had run whole (difference {gap:.2g},"
            f" allowed {allowed:g}); score without --adaptive"
        )


def _memory(model: Model) -> float:
    """Bytes for kept keys and values: a quarter of what is free on an accelerator, 1 GiB on a CPU."""
    import torch

    if model.device.type != "cuda":
        return float(CPU_MEMORY)
    return torch.cuda.mem_get_info(model.device)[0] / 4

"""Which texts may share a forward pass: some models compute a text otherwise beside a longer one, or far on in a packed row.

What transformers does there is in the configuration, and shows with long texts alone: the probes of a few tokens
(`codeact.lm.isolation`, `codeact.lm.streams`) cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.types import Ints

if TYPE_CHECKING:
    from transformers import PretrainedConfig


PARTED = 1  # how `codeact.lm.rows` parts the texts of such models; raised where that changes


@dataclass(frozen=True, slots=True)
class PassLimits:
    """Up to how many tokens the texts of one pass leave each other alone.

    Attributes:
        switches: ascending; with a text of more tokens in it, a whole pass takes other rotary factors (`longrope`). Texts on the two
            sides of one go apart.
        longest: beyond it, rotary factors follow the longest text of the pass and of those before it (`dynamic`); None: no limit.
        row: most tokens of a packed row of several texts: from the next place on, attention is scaled by the place in the row
            (Llama 4); None: any.
    """

    switches: tuple[int, ...] = ()
    longest: int | None = None
    row: int | None = None

    def crossed(self, max_length: int) -> bool:
        """Whether texts of at most so many tokens may come under a limit; packed rows always may."""
        return self.row is not None or any(max_length > limit for limit in (*self.switches, self.longest) if limit is not None)


def pass_limits(config: PretrainedConfig) -> PassLimits:
    """The limits of a model, whose configuration this is."""
    text: Any = config.get_text_config()
    ropes = [(str(rope.get("rope_type", "")), rope.get("original_max_position_embeddings")) for rope in _ropes(text)]
    dynamic = any("dynamic" in kind for kind, _ in ropes)
    return PassLimits(
        switches=tuple(sorted({int(original) for kind, original in ropes if kind == "longrope" and original})),
        longest=int(text.max_position_embeddings) if dynamic else None,
        row=int(text.floor_scale) - 1 if getattr(text, "attn_temperature_tuning", False) else None,
    )


def sides(limits: PassLimits, lengths: Ints) -> Ints:
    """The side of the switches that each text is on, from 0: int64 [N]."""
    found: Ints = np.searchsorted(np.array(limits.switches, np.int64), lengths)
    return found


def batch_fault(limits: PassLimits, sizes: Ints, shape: Sequence[int]) -> str:
    """What is wrong with a packed batch of samples of these sizes in rows of this shape, with the mend; empty if nothing is."""
    mend = "cut samples there (the capacity of the collator), or batch them one by one"
    on = sides(limits, sizes)
    if on.min() < on.max():
        limit = limits.switches[int(on.min())]
        return f"it holds samples on both sides of {limit} tokens, where the model changes its rotary factors for the whole batch (longrope); {mend}"
    if limits.longest is not None and sizes.max() > limits.longest:
        return f"it holds a sample beyond {limits.longest} tokens, where the model's rotary factors follow the longest (dynamic); cut samples there"
    if limits.row is not None and shape[1] > limits.row and len(sizes) > shape[0]:
        return f"its rows have {shape[1]} tokens, and beyond {limits.row} the model scales attention by the place in the row (floor_scale); {mend}"
    return ""


def _ropes(config: PretrainedConfig) -> list[dict[str, Any]]:
    """The rotary parameters: of all layers alike, or of each kind of layers."""
    given = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in given.values() if isinstance(value, dict)]
    return nested or [given]

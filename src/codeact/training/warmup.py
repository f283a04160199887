"""How many steps of a run warm up. Never imports torch: exports ask too."""

from __future__ import annotations


def warmup(asked: int, steps: int) -> int:
    """Warm-up steps of a run of `steps`: as many as asked for, or a tenth of the run where it would end before they do.

    The learning rate is reached at the step after them, so a run of no more steps than that would never train with it.
    """
    return asked if asked < steps else steps // 10

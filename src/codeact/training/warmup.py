"""How many steps of a run warm up. Never imports torch: exports ask too."""

from __future__ import annotations

from codeact.config import TrainConfig


def warmup(train: TrainConfig, steps: int) -> int:
    """Warm-up steps of a run of `steps`: as many as asked for, or a tenth of the run where it would end before they do; none of `constant`.

    The learning rate is reached at the step after them, so a run of no more steps than that would never train with it.
    """
    if train.scheduler == "constant":
        return 0
    return train.warmup_steps if train.warmup_steps < steps else steps // 10

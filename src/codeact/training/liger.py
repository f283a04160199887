"""Liger kernels: faster norms, rotary embeddings and MLPs on CUDA, where the package liger-kernel is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from codeact.types import Model

if TYPE_CHECKING:
    import torch


def use_liger(network: Model, device: torch.device) -> bool:
    """Put Liger's Triton kernels (arXiv 2410.10989) into a model, in place, PEFT-wrapped or not.

    Its fused linear cross entropy stays off: the chunked loss of `losses` does that work, for packed batches and any
    head, and both would replace the model's forward pass.

    Returns:
        Whether kernels were put in: only on CUDA, and only where liger-kernel is installed.
    """
    if device.type != "cuda" or find_spec("liger_kernel") is None:
        return False
    from transformers.integrations.liger import apply_liger_kernel

    apply_liger_kernel(network, {"cross_entropy": False, "fused_linear_cross_entropy": False})  # type: ignore[no-untyped-call]
    return True

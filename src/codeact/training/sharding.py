"""Weights, gradients and optimizer states shared out among the processes: torch's own FSDP 2, on GPUs and on CPUs (gloo).

accelerate wraps the output head in a group of its own, and counts on one call of it in a forward pass; the loss in chunks
calls it once a chunk. Here the decoder layers are groups, and all else is the root's, whole from the first module to the last.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from codeact.errors import InputError
from codeact.lm.forward import without_adapter
from codeact.packing.overlong import IGNORE
from codeact.types import Model

if TYPE_CHECKING:
    from accelerate import Accelerator


def is_sharded(asked: bool) -> bool:
    """Whether this run shares out its weights: asked for by `train.shard` or by accelerate's launcher, on several processes."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return several and (asked or os.environ.get("ACCELERATE_USE_FSDP") == "true")


def shard(model: Model, dtype: torch.dtype) -> None:
    """Share out a model's parameters, in place; the processes must have met (`torch.distributed` is initialised).

    In half precision each layer is gathered in `dtype` and its gradients are summed in float32.

    Raises:
        InputError: the model does not say which of its modules are layers.
    """
    causal = without_adapter(model)
    names = set(causal._no_split_modules or ())
    layers = [module for module in causal.modules() if type(module).__name__ in names]
    if not layers:
        raise InputError(f"train.shard: {type(causal).__name__} names no layers to share out (_no_split_modules); train it without")
    half = dtype != torch.float32
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32) if half else MixedPrecisionPolicy()
    for layer in layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)


def is_sharded_model(model: object) -> bool:
    """Whether `shard` was here."""
    return isinstance(model, FSDPModule)


def use_plugin(accelerator: Accelerator) -> None:
    """Make an Accelerator save, load and clip a sharded model in parts; on CPUs it would not know FSDP at all."""
    from accelerate import PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    state = accelerator.state
    state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, state_dict_type="SHARDED_STATE_DICT", auto_wrap_policy="NO_WRAP"
    )
    # of every state that shares its values
    state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def same_number(passes: Sequence[Mapping[str, Any]], device: torch.device) -> list[Mapping[str, Any]]:
    """As many passes as the process with the most has: in each, all exchange weights and gradients, and would wait for ever.

    Passes are added that learn nothing: a copy of the smallest, without labels.
    """
    most = torch.tensor(len(passes), device=device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    smallest = min(passes, key=lambda part: part["input_ids"].numel())
    idle = {**smallest, "labels": torch.full_like(smallest["labels"], IGNORE)}
    return [*passes, *[idle] * (int(most) - len(passes))]

"""LoRA layers put into a causal language model: into every linear layer but the head, and into the experts of a mixture.

This module imports torch at the top; import it inside functions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from codeact.config import TrainConfig
from codeact.errors import InputError
from codeact.types import Model

if TYPE_CHECKING:
    from peft import PeftModel

log = logging.getLogger(__name__)
REFUSED = {"out_proj", "conv1d"}
"""Layers of state spaces that PEFT refuses to adapt, in these architectures: their fused kernels read the weights past it."""
STATE_SPACES = {"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"}


def add_lora(network: Model, train: TrainConfig, seed: int, revision: str | None = None) -> Model:
    """Put LoRA layers into a model, in place; their weights alone are trained.

    PEFT's "all-linear" sees modules: experts that are stacked in one tensor are none, and in architectures of Qwen2-MoE's kind it
    takes every `gate_proj`, `up_proj` and `down_proj` for an expert's, dense layers and shared experts too. What it leaves out so is
    named to it as parameters.

    Args:
        network: a causal language model of transformers.
        train: LoRA's settings are read.
        seed: of its first weights.
        revision: of the base model, noted in the adapter.

    Raises:
        InputError: `train.lora_dropout` and a mixture of experts.
    """
    found: Any = _wrapped(network, train, seed, revision, 0.0, [])
    missing, stacked = left_out(found), any(hasattr(module, "parameter_name") for module in found.modules())
    if train.lora_dropout and (missing or stacked):
        raise InputError(
            f"train.lora_dropout = {train.lora_dropout}: the experts of {type(network).__name__} are stacked in one tensor, whose LoRA"
            " takes no dropout; set train.lora_dropout=0"
        )
    if missing or train.lora_dropout:
        found = _wrapped(found.unload(), train, seed, revision, train.lora_dropout, missing)
    held = adapted(found)
    if without := [name for name, weight in _linear_weights(found) if id(weight) not in held]:
        reason = "PEFT has none for these layers of a state space" if _refused(found) else "PEFT has none for these in 4 bits; train.method=lora has"
        log.warning("%d linear layers get no LoRA (%s, ...): %s", len(without), without[0], reason)
    if others := [name for name, _ in _stacked_weights(found.get_base_model(), experts=False)]:
        log.warning("%d weights that are no linear layer's and no experts' get no LoRA (%s, ...)", len(others), others[0])
    made: Model = found
    return made


def _wrapped(network: Model, train: TrainConfig, seed: int, revision: str | None, dropout: float, parameters: list[str]) -> PeftModel:
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    from codeact.training.trainer import hushed

    set_seed(seed)
    lora = LoraConfig(
        r=train.lora_r,
        lora_alpha=train.lora_alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        target_parameters=parameters or None,
        exclude_modules=_unlike_linear(network) or None,
        task_type="CAUSAL_LM",
        revision=revision,
    )
    with hushed():
        made: PeftModel = get_peft_model(network, lora)
    return made


def left_out(network: PeftModel) -> list[str]:
    """Names of the weights of linear layers, but for the head, and of stacked experts that no LoRA layer adapts; none in 4 bits."""
    held, refused = adapted(network), _refused(network)
    weights = (*_linear_weights(network), *_stacked_weights(network.get_base_model()))
    return [
        name
        for name, weight in weights
        if weight.is_floating_point() and id(weight) not in held and name.removesuffix(".weight").rpartition(".")[2] not in refused
    ]


def _refused(network: Model) -> set[str]:
    return REFUSED if network.config.model_type in STATE_SPACES else set()


def _unlike_linear(network: Model) -> list[str]:
    """Names of linear layers whose LoRA as a module would be refused or wrong: those that compute something else than x W^T + b."""
    refused = _refused(network)
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and (name.rpartition(".")[2] in refused or not _is_linear(module))
    ]


def _is_linear(module: torch.nn.Linear) -> bool:
    """Whether a layer of a class of transformers' own gives what torch's does (DeepSeek V4's is applied group by group)."""
    if not type(module).__module__.startswith("transformers.models"):
        return True
    weight = module.weight
    probe = torch.linspace(-1, 1, weight.shape[1], device=weight.device, dtype=weight.dtype)[None, None]
    with torch.no_grad():
        try:
            found = module(probe)
        except (TypeError, RuntimeError):  # it takes something else
            return False
        return isinstance(found, torch.Tensor) and torch.allclose(found, torch.nn.functional.linear(probe, weight, module.bias))


def adapted(network: torch.nn.Module) -> set[int]:
    """The `id`s of the weights that LoRA layers adapt."""
    layers: list[Any] = [module for module in network.modules() if hasattr(module, "lora_A")]
    return {id(getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))) for layer in layers}


def _linear_weights(network: PeftModel) -> list[tuple[str, torch.Tensor]]:
    causal: Any = network.get_base_model()
    head = causal.get_output_embeddings()
    layers: list[Any] = [module for module in causal.modules() if hasattr(module, "lora_A")]
    inside = {id(part) for layer in layers for held in (layer.lora_A, layer.lora_B) for part in held.modules()}
    return [
        (f"{name}.weight", module.weight)
        for name, module in causal.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and id(module) not in inside
    ]


def _stacked_weights(causal: torch.nn.Module, experts: bool = True) -> list[tuple[str, torch.Tensor]]:
    """Matrices stacked in one tensor [N, ., .] of modules that are experts by their class's name, or that are none and not torch's own.

    Of the 153 causal architectures of transformers 5.23 all experts are called so. PEFT puts a module of its own in such a module's place,
    which loses what is set on it: the gates of RecurrentGemma carried their state from batch to batch.
    """
    return [
        (f"{prefix}.{name}".replace(".base_layer", ""), weight)
        for prefix, module in causal.named_modules()
        if not type(module).__module__.startswith("torch.") and not hasattr(module, "lora_A")
        if ("expert" in type(module).__name__.lower()) == experts
        for name, weight in module.named_parameters(recurse=False)
        if weight.dim() == 3 and min(weight.shape) > 1
    ]

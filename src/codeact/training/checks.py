"""What training refuses or warns of before its first step: settings, launcher, context, room on the disk, leaks between samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.amounts import amount
from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import InputError, require
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.models import context_length
from codeact.lm.modes import eval_mode
from codeact.lm.passes import pass_limits
from codeact.training.data import Tokenised
from codeact.training.metrics import entries
from codeact.types import Model

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


def check_training(model: ModelConfig, train: TrainConfig) -> None:
    """Refuse what training would fail at, before anything is read or loaded.

    Raises:
        InputError: an unknown scheduler, a device or number type that cannot train, a launcher that the method cannot work under.
        MissingExtraError: accelerate or, for LoRA, peft is not installed; bitsandbytes for QLoRA; a tracker asked for.
    """
    require("accelerate", "train", "training")
    if train.method != "full":
        require("peft", "train", f"train.method={train.method}")
    if train.method == "qlora":
        require("bitsandbytes", "gpu", "train.method=qlora")
    _check_launch(train)
    _check_share(train)
    from codeact.training.trainer import check_scheduler, check_trackers

    check_scheduler(train.scheduler)
    check_trackers(train.report_to)
    check_float16(model)


def check_float16(model: ModelConfig) -> None:
    """Refuse float16 where the model trains on another device than a CUDA GPU."""
    import torch

    device = choose_device(model.device)
    if choose_dtype(model.dtype, device) == torch.float16 and device.type != "cuda":
        raise InputError(
            f"model.dtype = float16 trains on CUDA GPUs only, not on {device}; use auto, bfloat16 or float32"
        )


def _check_launch(train: TrainConfig) -> None:
    """The chunked loss reads the head's weights whole, which ZeRO-3 takes away after each module; 4-bit weights cannot be shared out."""
    if (train.shard or os.environ.get("ACCELERATE_USE_FSDP") == "true") and train.method == "qlora":
        raise InputError(
            "train.method=qlora does not work under FSDP: use DDP (codeact recipes accelerate/ddp --copy), or method lora"
        )
    if (
        os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
        and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    ):
        raise InputError(
            "DeepSpeed ZeRO stage 3 is not supported: use stage 2 (codeact recipes accelerate/deepspeed_zero2 --copy), or FSDP, which"
            " shards the weights too (codeact recipes accelerate/fsdp --copy)"
        )


def _check_share(train: TrainConfig) -> None:
    """What a share of the tokens does not go with: its pass runs the base model in one process, in 16 or 32 bits, over answers."""
    if train.token_share == 1:
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("train.token_share below 1 works in one process; start it without torchrun or accelerate launch, or leave it out")
    if train.method == "qlora":
        raise InputError("train.token_share below 1 works with train.method full and lora; use one of these, or leave it out")
    if train.train_on_prompt:
        raise InputError("train.token_share below 1 chooses among the tokens of answers; leave train.train_on_prompt off, or train.token_share out")


def parameter_counts(network: Model) -> tuple[int, int]:
    """All parameters, and those that are trained; tied weights count once, and those in 4 bits as what they stand for."""
    sizes = [(entries(p), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, wanted in sizes if wanted)


def check_context(config: PretrainedConfig, model: ModelConfig, train: TrainConfig, pack: PackConfig) -> None:
    """Refuse a `model.max_length` beyond the positions of the model, whose configuration this is, or at which samples move each other."""
    limit = context_length(config.get_text_config())
    if limit is not None and model.max_length > limit:
        raise InputError(
            f"model.max_length = {model.max_length} is beyond the context of {model.name}, which is {limit} tokens; set model.max_length={limit}"
        )
    limits = pass_limits(config)
    alone = train.batch_size == 1 and pack.scope != "epoch"
    if not alone and (switch := next((tokens for tokens in limits.switches if tokens < model.max_length), None)) is not None:
        raise InputError(
            f"model.max_length = {model.max_length}: a sample of more than {switch} tokens changes the rotary factors of {model.name} (longrope) for all that"
            f" share its pass; set model.max_length={switch}, or train each alone: pack.scope=none, train.batch_size=1 and"
            f" train.grad_accum={train.batch_size * train.grad_accum}"
        )
    if pack.scope != "none" and not alone and limits.row is not None and model.max_length > limits.row:
        raise InputError(
            f"model.max_length = {model.max_length}: {model.name} scales attention by the place in a packed row beyond {limits.row} tokens"
            f" (floor_scale); set model.max_length={limits.row}, or pack.scope=none"
        )


def check_room(out_dir: Path, network: Model, train: TrainConfig) -> None:
    """Refuse before training what could not be saved after it: the model, and two checkpoints (weights and Adam's moments)."""
    total, trainable = parameter_counts(network)
    width = next(network.parameters()).element_size()
    needed = total * width + 2 * 3 * trainable * 4
    free = shutil.disk_usage(out_dir).free
    if free < needed:
        raise InputError(
            f"{out_dir} has {free / 1e9:.1f} GB free; the model and its checkpoints may need {needed / 1e9:.1f} GB: free some space or choose another output"
        )


def check_packing(network: Model, dtype: torch.dtype, device: torch.device) -> None:
    """Refuse to train on a leak between packed samples, in the precision that training will use."""
    import torch

    from codeact.lm.isolation import check_isolation

    half = dtype != torch.float32
    with torch.autocast(device.type, dtype, enabled=half):
        check_isolation(network)


def check_causal(network: Model) -> None:
    """Refuse a model whose tokens see those behind them: it would learn to repeat what it is shown."""
    import torch

    from codeact.lm.forward import looks_ahead, without_adapter
    from codeact.lm.isolation import REFUSALS

    try:
        ahead = looks_ahead(network)
    except REFUSALS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return  # an attention that it cannot run with: the guard of packed batches says so
    if ahead:
        raise InputError(
            f"{type(without_adapter(network)).__name__} is no causal language model: its tokens see those behind them, so it would learn to repeat what it reads;"
            " choose another model (of BERT's kind: one whose config.json says is_decoder=true)"
        )


def check_padding(network: Model, collate: Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]], train: TrainConfig) -> None:
    """Refuse to train on padded batches, as `collate` makes them, where a sample beside a longer one is not computed as alone."""
    import torch

    from codeact.lm.forward import PROBE_TOKENS, allowed_head_gap, log_probability_gap, without_adapter

    rng = np.random.default_rng(0)
    samples = [rng.integers(0, network.config.get_text_config().vocab_size, size) for size in PROBE_TOKENS]
    batch = collate([{"input_ids": ids, "labels": ids} for ids in samples])
    inputs = {name: batch[name].to(network.device) for name in ("input_ids", "attention_mask")}
    with eval_mode(network), torch.no_grad():
        together = network(**inputs, use_cache=False).logits
        alone = [network(input_ids=torch.from_numpy(ids)[None].to(network.device), use_cache=False).logits[0] for ids in samples]
    mean = network.dtype != torch.float32
    gap = max(log_probability_gap(own, found[: len(own)], mean) for own, found in zip(alone, together, strict=True))
    if not gap <= allowed_head_gap(network, "padded"):
        raise InputError(
            f"{type(without_adapter(network)).__name__} computes a record otherwise beside a longer one (log-probabilities differ by {gap:.2g} of the largest), so"
            f" padded batches would train it wrongly; set train.batch_size=1 and train.grad_accum={train.batch_size * train.grad_accum}"
        )


def data_warnings(tokenised: Tokenised) -> list[str]:
    """What the user should know of the data: refused records with the first reasons, and how the template asks otherwise than it trains."""
    refused = tokenised.refused
    named = "; ".join(f"{identity}: {reason}" for identity, reason in refused[:3])
    counted = (
        f"left out, refused by the template: {amount(len(refused), 'record')} ({named}{'; ...' if len(refused) > 3 else ''})"
    )
    return [*([counted] if refused else []), *tokenised.notes]


def ignored(train: TrainConfig) -> list[str]:
    """Settings that were made and mean nothing beside the others."""
    plain = TrainConfig()
    changed = [
        name
        for name in ("lora_r", "lora_alpha", "lora_dropout", "merge")
        if getattr(train, name) != getattr(plain, name)
    ]
    found = []
    if train.method == "full" and changed:
        found.append(f"train.{', train.'.join(changed)} means nothing under train.method=full")
    if train.scheduler == "constant" and train.warmup_steps not in (0, plain.warmup_steps):
        found.append("train.warmup_steps means nothing under train.scheduler=constant; constant_with_warmup has them")
    if train.eval_steps and not train.validation:
        found.append("train.eval_steps means nothing without train.validation")
    if train.shard and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        found.append("train.shard means nothing with one process")
    return found

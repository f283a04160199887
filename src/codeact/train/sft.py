"""Supervised fine-tuning of a causal language model on records, packed or padded: full or LoRA."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import InputError, require
from codeact.models import choose_device, choose_dtype, context_length, load_model, load_tokenizer, model_identity
from codeact.packing.collate import DynamicPackCollator, PackedDataset, find_pad_token
from codeact.prompts import load_template
from codeact.records import Record
from codeact.storage import make_folder, write_json
from codeact.train.data import IGNORE, Sample, Tokenised, tokenise
from codeact.train.metrics import summarise


def train(
    records: Sequence[Record],
    out_dir: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    pack: PackConfig,
    seed: int,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fine-tune a model on records; after a kill, the same call goes on from the last checkpoint.

    The loss of an optimizer step is the mean over its learnt tokens, however they are packed or accumulated, so packed and
    padded training take the same steps. Full fine-tuning on a GPU keeps float32 weights and computes in bfloat16.

    Writes `model/` (a `from_pretrained` folder with the tokenizer; LoRA merged in), `adapter/` (LoRA only),
    `metrics.jsonl` (one line per logged step) and `summary.json` into `out_dir`; `checkpoints/` is removed at the end.

    Args:
        records: what to learn.
        out_dir: made if needed.
        model: the model, its length, prompt template, device and dtype.
        train: method and hyperparameters; the defaults are the paper's (CodeACT, arXiv 2408.02193).
        pack: `batch` packs the records of each batch, `epoch` all of them ahead, `none` pads each batch.
        seed: of the order of the records, LoRA's first weights and dropout.
        quiet: no progress bars.

    Returns:
        The content of `summary.json`: steps, seconds, tokens (no padding), tokens_per_second, padding_rate, peak_memory_bytes,
        first_loss, final_loss, parameters, trainable_parameters, dtype, method, scope, records, truncated, split, dropped and
        chunked_loss.

    Raises:
        InputError: nothing to learn, a record too long under `pack.overlong=error`, a context shorter than
            `model.max_length`, an unknown scheduler, float16 without a GPU, a folder that cannot be written or has no room.
        MissingExtraError: accelerate or, for LoRA, peft is not installed.
        CodeactError: the loss became infinite or not a number; the device's memory does not suffice; packed samples would
            see each other.
    """
    require("accelerate", "train", "training")
    if train.method == "lora":
        require("peft", "train", "train.method=lora")
    make_folder(out_dir)
    tokenizer = load_tokenizer(model.name, model.revision)
    template = load_template(model.template, tokenizer)
    tokenised = tokenise(records, template, tokenizer, model.max_length, train.train_on_prompt, pack.overlong, quiet)
    device = choose_device(model.device)
    dtype = choose_dtype(model.dtype, device)

    from codeact.train.losses import use_chunked_loss
    from codeact.train.trainer import fit, remove_checkpoints

    network = prepare_model(model, train, packed=pack.scope != "none", seed=seed)
    _check_context(network, model)
    _check_room(out_dir, network, train)
    if pack.scope != "none":
        _guard(network, dtype, device)

    chunked = use_chunked_loss(network)
    dataset, collate, batch_size = batches(tokenised, tokenizer, model.max_length, train.batch_size, pack.scope, seed)
    (out_dir / "summary.json").unlink(missing_ok=True)
    rows = fit(
        network,
        dataset,
        collate,
        out_dir,
        train=train,
        batch_size=batch_size,
        seed=seed,
        dtype=dtype,
        device=device,
        fingerprint=_fingerprint(tokenised.samples, model, train, pack, seed),
        quiet=quiet,
    )
    total, trainable = parameter_counts(network)
    summary = {
        **summarise(rows),
        "parameters": total,
        "trainable_parameters": trainable,
        "dtype": str(dtype).removeprefix("torch."),
        "method": train.method,
        "scope": pack.scope,
        "records": len(records),
        "truncated": tokenised.truncated,
        "split": tokenised.split,
        "dropped": tokenised.dropped,
        "chunked_loss": chunked,
    }
    if is_main_process():
        save(network, tokenizer, out_dir, dtype, stop_tokens(tokenised, tokenizer))
        write_json(out_dir / "summary.json", summary)
        remove_checkpoints(out_dir)
    return summary


def prepare_model(model: ModelConfig, train: TrainConfig, packed: bool, seed: int) -> Any:
    """Load the model for training: with LoRA layers, or with float32 weights; gradient checkpointing as asked.

    Raises:
        InputError: the model does not exist, or float16 is asked for without a GPU.
    """
    import torch
    from transformers import set_seed

    device = choose_device(model.device)
    dtype = choose_dtype(model.dtype, device)
    if dtype == torch.float16 and device.type != "cuda":
        raise InputError(
            f"model.dtype = float16 trains on CUDA GPUs only, not on {device}; use auto, bfloat16 or float32"
        )
    # half-precision weights lose small updates; frozen ones get none
    weights = "float32" if train.method == "full" else str(dtype).removeprefix("torch.")
    network = load_model(
        model.name,
        revision=model.revision,
        dtype=weights,
        device=model.device,
        attention="codeact" if packed else "sdpa",
    )
    if hasattr(network, "merge_and_unload"):
        network = network.merge_and_unload()
    if train.gradient_checkpointing:
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        enable()
    if train.method == "full":
        return network.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    from codeact.train.trainer import hushed

    if train.gradient_checkpointing:
        network.enable_input_require_grads()
    set_seed(seed)
    lora = LoraConfig(
        r=train.lora_r,
        lora_alpha=train.lora_alpha,
        lora_dropout=train.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with hushed():
        return get_peft_model(network, lora)


def batches(
    tokenised: Tokenised, tokenizer: Any, capacity: int, batch_size: int, scope: str, seed: int
) -> tuple[Any, Callable[..., dict[str, Any]], int]:
    """The data set, its collator, and how many of its items make one forward pass.

    In the scope `epoch` an item is a whole row; as many rows are taken as hold `batch_size` samples on average.
    """
    if scope == "batch":
        return tokenised.samples, DynamicPackCollator(tokenizer, capacity), batch_size
    if scope == "none":
        return tokenised.samples, PaddingCollator(tokenizer), batch_size
    per_row = capacity / float(tokenised.lengths.mean())
    rows = max(1, round(batch_size / per_row))
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    packed = PackedDataset(
        tokenised.samples, capacity, tokenizer, seed=seed, rows_multiple_of=rows * ranks if ranks > 1 else 1
    )
    return packed, packed.collate, min(rows, len(packed))


class PaddingCollator:
    """Pads each batch to its longest sample, or to `width`, on the right, with an attention mask: int64 [B, T] each."""

    def __init__(self, tokenizer: Any, width: int = 0) -> None:
        self.pad_token_id = find_pad_token(tokenizer)
        self.width = width

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        import torch

        width = max(self.width, *(len(sample["input_ids"]) for sample in samples))
        filler = {"input_ids": self.pad_token_id, "labels": IGNORE, "attention_mask": 0}
        padded = {key: np.full((len(samples), width), fill, dtype=np.int64) for key, fill in filler.items()}
        for line, sample in enumerate(samples):
            size = len(sample["input_ids"])
            padded["input_ids"][line, :size] = sample["input_ids"]
            padded["labels"][line, :size] = sample["labels"]
            padded["attention_mask"][line, :size] = 1
        return {key: torch.from_numpy(value) for key, value in padded.items()}


def parameter_counts(network: Any) -> tuple[int, int]:
    """All parameters, and those that are trained; tied weights count once."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, wanted in sizes if wanted)


def save(network: Any, tokenizer: Any, out_dir: Path, dtype: Any, stops: Sequence[int]) -> None:
    """Write `model/` (and `adapter/` under LoRA, whose weights are merged into the model) in `dtype`.

    `stops`, the tokens that end a learnt turn, join the generation settings' EOS tokens, so that generation ends where the
    model has learnt to end.

    Raises:
        InputError: the folder cannot be written.
    """
    from codeact.train.trainer import hushed

    if hasattr(network, "merge_and_unload"):
        _replace(out_dir / "adapter", network.save_pretrained)
        network = network.merge_and_unload()
    known = network.generation_config.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    ends = sorted({*known, *stops})
    network.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0] if ends else None
    network.config.use_cache = True
    network = network.to(dtype)

    def write(folder: Path) -> None:
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    with hushed():
        _replace(out_dir / "model", write)


def stop_tokens(tokenised: Tokenised, tokenizer: Any) -> list[int]:
    """The tokens that end samples: the template's end-of-turn marker, and the tokenizer's EOS."""
    ends = {int(sample["input_ids"][-1]) for sample in tokenised.samples}
    return sorted(ends & {*tokenizer.all_special_ids})


def is_main_process() -> bool:
    """Whether this process writes the files: the only one, or the first of a distributed run."""
    import torch

    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _replace(folder: Path, write: Callable[[Path], Any]) -> None:
    """Write a folder beside its place and move it there when it is whole."""
    fresh = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        write(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror or error}; free some space or choose another output"
        ) from error


def _check_context(network: Any, model: ModelConfig) -> None:
    limit = context_length(network.config.get_text_config())
    if limit is not None and model.max_length > limit:
        raise InputError(
            f"model.max_length = {model.max_length} is beyond the context of {model.name}, which is {limit} tokens; set model.max_length={limit}"
        )


def _check_room(out_dir: Path, network: Any, train: TrainConfig) -> None:
    """Refuse before training what could not be saved after it: the model, and two checkpoints (weights and Adam's moments)."""
    total, trainable = parameter_counts(network)
    width = next(network.parameters()).element_size()
    needed = total * width + 2 * 3 * trainable * 4
    free = shutil.disk_usage(out_dir).free
    if free < needed:
        raise InputError(
            f"{out_dir} has {free / 1e9:.1f} GB free; the model and its checkpoints may need {needed / 1e9:.1f} GB: free some space or choose another output"
        )


def _guard(network: Any, dtype: Any, device: Any) -> None:
    """Refuse to train on a leak between packed samples, in the precision that training will use."""
    import torch

    from codeact.packing.guard import check_isolation

    half = dtype != torch.float32
    with torch.autocast(device.type, dtype, enabled=half):
        check_isolation(network, tolerance=1e-2 if half else None)


def _fingerprint(samples: Sequence[Sample], model: ModelConfig, train: TrainConfig, pack: PackConfig, seed: int) -> str:
    """SHA-256 over everything that a checkpoint depends on."""
    total = hashlib.sha256()
    settings = [
        model.model_dump(),
        train.model_dump(),
        pack.model_dump(),
        seed,
        model_identity(model.name, model.revision),
    ]
    total.update(json.dumps(settings, sort_keys=True).encode())
    for sample in samples:
        total.update(sample["input_ids"].tobytes())
        total.update(sample["labels"].tobytes())
    return total.hexdigest()

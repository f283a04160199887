"""Supervised fine-tuning of a causal language model on records, packed or padded: full, LoRA or QLoRA."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codeact.config import ModelConfig, PackConfig, TrainConfig
from codeact.errors import InputError
from codeact.files import atomic_folder, make_folder, remove, utf8_path
from codeact.lm.devices import choose_device, choose_dtype, own_device
from codeact.lm.identity import model_identity
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.prompts import load_template
from codeact.locks import one_writer
from codeact.packing.collate import DynamicPackCollator, PackedDataset, find_pad_token
from codeact.packing.overlong import IGNORE
from codeact.progress import track
from codeact.records import Record
from codeact.storage import write_json
from codeact.training.checkpoints import VERSION, remove_checkpoints
from codeact.training.checks import (
    check_causal,
    check_context,
    check_float16,
    check_packing,
    check_padding,
    check_room,
    check_training,
    data_warnings,
    ignored,
    parameter_counts,
)
from codeact.training.data import Sample, Tokenised, hold_out, tokenise_records
from codeact.training.merge import merge_adapter, save_model
from codeact.training.metrics import summarise
from codeact.training.surprise import LEARNT, surprising_tokens
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    import torch

    from codeact.training.trainer import Collate

log = logging.getLogger(__name__)


@one_writer("out_dir")
def fine_tune(
    records: Sequence[Record],
    out_dir: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    pack: PackConfig,
    seed: int,
) -> dict[str, Any]:
    """Fine-tune a model on records; after a kill, the same call goes on from the last checkpoint.

    The loss of an optimizer step is the mean over its learnt tokens (with `train.loss=sample-mean` over its samples, each the
    mean of its own), however they are packed or accumulated, so packed and padded training take the same steps. Full fine-tuning
    on a GPU keeps float32 weights and computes in bfloat16.

    Writes `model/` (a `from_pretrained` folder with the tokenizer; LoRA merged in, unless `train.merge` is off), `adapter/`
    (LoRA only), `metrics.jsonl` (one line per logged step and per validation) and `summary.json` into `out_dir`;
    `checkpoints/` is removed at the end.

    Args:
        records: what to learn.
        out_dir: made if needed.
        model: the model, its length, prompt template, device and dtype.
        train: method and hyperparameters; the defaults are the paper's (CodeACT, arXiv 2408.02193).
        pack: `batch` packs the records of each batch, `epoch` all of them ahead, `none` pads each batch.
        seed: of the order of the records, LoRA's first weights and dropout.

    Returns:
        The content of `summary.json`: steps, seconds, tokens (no padding), tokens_per_second, padding_rate, peak_memory_bytes,
        first_loss, final_loss, parameters, trainable_parameters, dtype, method, loss, scope, warmup_steps, records (those trained on), truncated,
        split, dropped, refused, warnings, chunked_loss and liger; of several processes also balance; with
        `train.token_share` also token_share; with
        `train.validation` also validation_records, first_validation_loss (before the first step) and final_validation_loss.

    Raises:
        InputError: nothing to learn, a record too long under `pack.overlong=error`, a context shorter than
            `model.max_length`, an unknown scheduler, float16 without a GPU, LoRA on top of an adapter, too few records to hold
            some out, DeepSpeed ZeRO-3, no causal language model, samples that cannot share a padded batch, a folder that cannot be written
            or has no room.
        MissingExtraError: accelerate or, for LoRA, peft is not installed; bitsandbytes for QLoRA; a tracker asked for.
        CodeactError: the loss became infinite or not a number; the device's memory does not suffice; packed samples would
            see each other.
    """
    check_training(model, train)
    make_folder(utf8_path(out_dir, "output folder"))
    tokenizer = load_tokenizer(model.name, model.revision)
    tokenised, watched, counts = _samples(records, tokenizer, model, train, pack, seed)
    warnings = [*data_warnings(tokenised), *ignored(train)]
    for line in warnings:
        log.warning("%s", line)
    device = own_device(choose_device(model.device))
    dtype = choose_dtype(model.dtype, device)
    if train.token_share < 1:
        tokenised = surprising_tokens(tokenised, train.token_share, model, out_dir)

    from codeact.training.trainer import Feed, fit

    network = prepare_model(model, train, packed=pack.scope != "none", seed=seed)
    check_context(network.config, model, train, pack)
    total, trainable = parameter_counts(network)
    check_room(out_dir, network, train)
    liger, chunked = _use_losses(network, train, pack.scope != "none", tokenizer, dtype, device)
    feed = Feed(
        *batches(tokenised, tokenizer, model.max_length, train.batch_size, pack.scope, seed),
        rows_per_pass=pack.rows_per_pass,
        held_out=watched,
        collate_held_out=DynamicPackCollator(tokenizer, model.max_length) if pack.scope == "epoch" else None,
    )
    (out_dir / "summary.json").unlink(missing_ok=True)
    fingerprint = _fingerprint(tokenised.samples, model, train, pack, seed)
    fitted = fit(network, feed, out_dir, train=train, seed=seed, dtype=dtype, device=device, fingerprint=fingerprint)
    summary = {
        **summarise(fitted.rows),
        "parameters": total,
        "trainable_parameters": trainable,
        "dtype": str(dtype).removeprefix("torch."),
        "method": train.method,
        "loss": train.loss,
        **({"token_share": train.token_share} if train.token_share < 1 else {}),
        "scope": pack.scope,
        "warmup_steps": fitted.warmup_steps,
        "warnings": warnings,
        **counts,
        "chunked_loss": chunked,
        "liger": liger,
    }
    if is_main_process():
        save(network, tokenizer, out_dir, dtype, tokenised.stops, train.merge, fitted.state)
        write_json(out_dir / "summary.json", summary)
        remove_checkpoints(out_dir)
        (out_dir / LEARNT).unlink(missing_ok=True)
    return summary


def _use_losses(
    network: Model, train: TrainConfig, packed: bool, tokenizer: Tokenizer, dtype: torch.dtype, device: torch.device
) -> tuple[bool, bool]:
    """Give the model the loss and the kernels that it is trained with; whether liger's kernels and the loss in chunks are used.

    Raises:
        CodeactError: packed samples would see each other.
        InputError: no causal language model; one whose padded samples are not what they are alone.
    """
    from codeact.training.liger import use_liger
    from codeact.training.losses import use_chunked_loss

    liger = train.liger and use_liger(network, device)
    check_causal(network)
    if packed:
        check_packing(network, dtype, device)
    elif train.batch_size > 1:
        check_padding(network, PaddingCollator(tokenizer), train)
    return liger, use_chunked_loss(network, train.loss)


def _samples(
    records: Sequence[Record], tokenizer: Tokenizer, model: ModelConfig, train: TrainConfig, pack: PackConfig, seed: int
) -> tuple[Tokenised, Sequence[Sample], dict[str, int]]:
    """The samples that are learnt, those held out, and how many records became what."""
    template = load_template(model.template, tokenizer)
    learnt, held = hold_out(records, train.validation, seed)
    reading = (template, tokenizer, model.max_length, train.train_on_prompt, pack.overlong)
    with track("tokenise", len(learnt)) as progress:
        tokenised = tokenise_records(learnt, *reading, progress)
    watched = None
    if held:
        with track("tokenise", len(held)) as progress:
            watched = tokenise_records(held, *reading, progress, required=False)
    counts = {
        "records": len(learnt) - tokenised.dropped - len(tokenised.refused),
        "refused": len(tokenised.refused),
        **({"validation_records": len(held) - watched.dropped - len(watched.refused)} if watched else {}),
        "truncated": tokenised.truncated,
        "split": tokenised.split,
        "dropped": tokenised.dropped,
    }
    return tokenised, watched.samples if watched else (), counts


def prepare_model(model: ModelConfig, train: TrainConfig, packed: bool, seed: int) -> Model:
    """Load the model for training: with LoRA layers (the base in 4 bits under QLoRA), or with float32 weights; gradient checkpointing as asked.

    Raises:
        InputError: the model does not exist, float16 is asked for without a GPU, or LoRA on top of an adapter.
        MissingExtraError: QLoRA without bitsandbytes.
    """

    device = choose_device(model.device)
    dtype = choose_dtype(model.dtype, device)
    check_float16(model)
    # half-precision weights lose small updates; frozen ones get none
    weights = "float32" if train.method == "full" else str(dtype).removeprefix("torch.")
    network: Any = load_model(
        model.name,
        revision=model.revision,
        dtype=weights,
        device=model.device,
        attention="codeact" if packed else None,
        four_bit=train.method == "qlora",
    )
    if hasattr(network, "merge_and_unload"):
        if train.method != "full":
            raise InputError(
                f"model {model.name} is a LoRA adapter, and an adapter on top of it could not be loaded alone;"
                f" merge it first: codeact merge {model.name} -o MERGED"
            )
        network = network.merge_and_unload()
    return adapt_model(network, train, seed, model.revision)


def adapt_model(network: Model, train: TrainConfig, seed: int, revision: str | None = None) -> Model:
    """Make a loaded model trainable: all of it, or the LoRA layers put into it; gradient checkpointing as asked.

    Args:
        network: a causal language model on its device; changed in place.
        train: `method`, `gradient_checkpointing` and LoRA's settings are read.
        seed: of LoRA's first weights.
        revision: of the base model, noted in the adapter.

    Raises:
        InputError: an architecture that cannot be checkpointed; as `lora.add_lora`.
    """
    if train.method == "qlora":
        from peft import prepare_model_for_kbit_training

        # norms, embeddings and the head in float32 (QLoRA, arXiv 2305.14314)
        network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    if train.gradient_checkpointing:
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        try:
            enable()
        except ValueError as error:
            raise InputError(f"train.gradient_checkpointing: {' '.join(str(error).rstrip('.').split())}; leave it off") from error
    if train.method == "full":
        if not train.gradient_checkpointing:
            from codeact.training.recompute import recompute_cheap_parts

            recompute_cheap_parts(network)
        return network.requires_grad_(True)
    from codeact.training.lora import add_lora

    if train.gradient_checkpointing:
        network.enable_input_require_grads()
    return add_lora(network, train, seed, revision)


def batches(
    tokenised: Tokenised, tokenizer: Tokenizer, capacity: int, batch_size: int, scope: str, seed: int
) -> tuple[Sequence[Sample] | PackedDataset, Collate, int]:
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

    def __init__(self, tokenizer: Tokenizer | None = None, width: int = 0, *, pad_token_id: int | None = None) -> None:
        self.pad_token_id = find_pad_token(tokenizer, pad_token_id)
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


def save(
    network: Model,
    tokenizer: Tokenizer,
    out_dir: Path,
    dtype: torch.dtype,
    stops: Sequence[int],
    merge: bool = True,
    state: dict[str, Any] | None = None,
) -> None:
    """Write `model/` in `dtype`; under LoRA `adapter/`, and with `merge` the two merged as `model/`. What an earlier training left is removed.

    `stops` and `state` as `merge.save_model`.

    Raises:
        InputError: a folder cannot be written.
    """
    kind = str(dtype).removeprefix("torch.")
    if not hasattr(network, "merge_and_unload"):
        save_model(network, tokenizer, out_dir / "model", kind, stops, state)
        remove(out_dir / "adapter")  # of an earlier training in this folder
        return

    with atomic_folder(out_dir / "adapter") as folder:
        network.save_pretrained(str(folder), state_dict=state)
        tokenizer.save_pretrained(folder)
    remove(out_dir / "model")
    if merge:
        merge_adapter(out_dir / "adapter", tokenizer, out_dir / "model", kind, stops)


def tuned_model(out_dir: Path) -> Path:
    """The folder of `out_dir` that a model is loaded from: `model/`, or `adapter/` where it was not merged."""
    whole = out_dir / "model"
    return whole if whole.is_dir() else out_dir / "adapter"


def is_main_process() -> bool:
    """Whether this process writes the files: the only one, or the first of a distributed run."""
    import torch

    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _step_size(train: TrainConfig, pack: PackConfig) -> dict[str, int]:
    """Where a checkpoint can be gone on from by another number of processes, what must stay is the records of a step."""
    from codeact.training.sharding import is_sharded

    if not is_sharded(train.shard) or pack.scope == "epoch":
        return {}
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    return {"batch_size": train.batch_size * train.grad_accum * ranks, "grad_accum": 1}


def _fingerprint(samples: Sequence[Sample], model: ModelConfig, train: TrainConfig, pack: PackConfig, seed: int) -> str:
    """SHA-256 over everything that a checkpoint depends on."""
    total = hashlib.sha256()
    settings = [
        model.model_dump(exclude={"dtype", "device"}),  # what `auto` means is the machine's: see `last_checkpoint`
        {key: value for key, value in train.deciding().items() if key != "merge"} | _step_size(train, pack),
        pack.model_dump(exclude=PackConfig.WITHOUT_EFFECT),
        seed,
        VERSION,
        model_identity(model.name, model.revision),
    ]
    total.update(json.dumps(settings, sort_keys=True).encode())
    for sample in samples:
        total.update(sample["input_ids"].tobytes())
        total.update(sample["labels"].tobytes())
    return total.hexdigest()

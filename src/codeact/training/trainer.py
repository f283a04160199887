"""The training loop: transformers' Trainer with exact metrics, atomic checkpoints and our progress bar.

This module imports torch and transformers at the top; import it inside functions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from codeact.config import TrainConfig
from codeact.errors import CodeactError, InputError, did_you_mean, require
from codeact.files import remove, told
from codeact.lm.modes import eval_mode
from codeact.packing.collate import PackedDataset, split_rows
from codeact.progress import track
from codeact.training.checkpoints import last_checkpoint, remove_checkpoints
from codeact.training.metrics import (
    Meter,
    logged_rows,
    peak_memory_bytes,
    rank_metrics,
    reset_peak_memory,
    step_metrics,
)
from codeact.training.objective import count_items
from codeact.training.recorder import Recorder
from codeact.training.sampler import BalancedSampler, batch_cost, crossover_of
from codeact.training.sharding import is_sharded, is_sharded_model, same_number, shard, use_plugin
from codeact.training.warmup import warmup
from codeact.types import Model

SCHEDULERS = (
    "cosine",
    "linear",
    "constant",
    "constant_with_warmup",
    "cosine_with_restarts",
    "inverse_sqrt",
    "polynomial",
)
MAX_LOGGED_STEPS = 2000
VALIDATIONS = 10
TENSORBOARD = "tensorboard"
Collate = Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]


@dataclass(frozen=True)
class CountedCollator:
    """A collator that cuts packed batches into passes and counts their samples' tokens (padding left out), for the metrics.

    `rows_per_pass` is the most rows of a pass; 0: all. The batch gets the keys `passes`, `tokens` and `cost` (compute, see
    `sampler.batch_cost`); the Trainer reads the number of learnt tokens from the rest.
    """

    collate: Collate
    rows_per_pass: int = 0
    crossover: float = math.inf

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch = self.collate(items)
        packed = "cu_seq_lens_q" in batch
        passes = split_rows(batch, self.rows_per_pass) if packed else [batch]
        cost = sum(batch_cost(part, self.crossover) for part in passes)
        return {**batch, "passes": passes, "tokens": sum(len(item["input_ids"]) for item in items), "cost": cost}


@dataclass(frozen=True)
class Feed:
    """What `fit` trains on, and what it measures the loss of.

    Attributes:
        dataset: map-style data set of samples or packed rows.
        collate: items to the model's inputs with `labels`.
        batch_size: items of `dataset` per batch and device.
        rows_per_pass: rows of a packed batch in a forward and backward pass; 0: all, as always under DeepSpeed, which exchanges
            something in every pass.
        held_out: samples whose loss is measured before the first step, every `train.eval_steps` steps and at the end.
        collate_held_out: samples to a batch; default: `collate`.
    """

    dataset: Sequence[Mapping[str, Any]] | PackedDataset
    collate: Collate
    batch_size: int
    rows_per_pass: int = 0
    held_out: Sequence[Mapping[str, Any]] = ()
    collate_held_out: Collate | None = None

    def steps(self, train: TrainConfig, processes: int) -> int:
        """Optimizer steps of the whole run, on so many processes."""
        per_epoch = math.ceil(math.ceil(len(self.dataset) / (self.batch_size * processes)) / train.grad_accum)
        return math.ceil(train.epochs * per_epoch)


@dataclass(frozen=True)
class Fitted:
    """What `fit` leaves beside the trained model.

    Attributes:
        rows: the lines of metrics.jsonl, those before a resumed checkpoint included.
        warmup_steps: those that the run had.
        state: the weights on the CPU where the processes hold only parts of them (FSDP; empty but on the first), else None.
    """

    rows: list[dict[str, Any]]
    warmup_steps: int
    state: dict[str, Any] | None


class MeteredTrainer(Trainer):
    """Transformers' Trainer, with passes over parts of a batch, more metrics and an exact validation loss.

    Tokens, padding, speed and memory are in every log entry, and so in the state that checkpoints keep.
    """

    meter: Meter
    held_out: Sequence[Mapping[str, Any]] = ()
    collate: Collate
    objective: str = "token-mean"
    crossover: float = math.inf

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        with told(Path(self.args.output_dir or ".")):
            super()._save_checkpoint(model, trial)

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if is_sharded_model(self.model):
            use_plugin(self.accelerator)
            self.is_fsdp_enabled = True

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int] | None:
        if self.args.world_size == 1:
            return super()._get_train_sampler(train_dataset)
        size, seed = self.args.per_device_train_batch_size, self.args.seed
        data: Any = self.train_dataset
        return BalancedSampler(data, self.args.world_size, size, seed, self.crossover, self._epoch)

    def _epoch(self) -> int:
        return math.floor((self.state.epoch or 0) + 1e-6)

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> torch.Tensor | int | None:
        if self.objective == "token-mean":
            return super()._get_num_items_in_batch(batch_samples, device)
        count = torch.stack([count_items(batch, self.objective) for batch in batch_samples]).sum().to(device)
        return self.accelerator.gather(count).sum() if self.args.world_size > 1 else count

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        passes = same_number(inputs["passes"], self.args.device) if self.is_fsdp_enabled else inputs["passes"]
        self.meter.add(inputs["tokens"], sum(part["input_ids"].numel() for part in inputs["passes"]), inputs["cost"])
        losses = []
        for number, part in enumerate(passes, start=1):
            # processes have different numbers of passes, so gradients are exchanged once, in the last; where they are shared
            # out, in every one, so that none holds them whole
            alone = self.args.world_size > 1 and number < len(passes) and not self.is_fsdp_enabled
            with self.accelerator.no_sync(model) if alone else nullcontext():
                losses.append(super().training_step(model, part, num_items_in_batch))
        return torch.stack(losses).sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            tokens, slots, seconds = self.meter.read()
            if self.args.world_size > 1:
                counts = torch.tensor([tokens, slots], device=self.args.device)
                tokens, slots = self.accelerator.reduce(counts, "sum").tolist()
                costs = torch.tensor([self.meter.read_costs()], device=self.args.device)
                logs |= rank_metrics(self.accelerator.gather(costs).cpu())
            logs |= step_metrics(tokens, slots, seconds, peak_memory_bytes(self.args.device))
        super().log(logs, start_time)

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """Mean loss over the learnt tokens (or the samples) held out, in nats; transformers' own would weigh by batches."""
        self.meter.pause()
        model, size = self.model_wrapped, self.args.per_device_eval_batch_size
        total = counted = 0.0
        starts = range(0, len(self.held_out), size)
        with eval_mode(model), torch.no_grad():
            for turn in range(math.ceil(len(starts) / self.args.world_size)):
                number = turn * self.args.world_size + self.args.process_index
                # every process takes part in every forward pass (FSDP); one that has run out repeats the first batch for nothing
                start = starts[number] if number < len(starts) else 0
                batch: Any = self._prepare_inputs(self.collate(self.held_out[start : start + size]))
                learnt = int(count_items(batch, self.objective))
                loss = float(model(**batch).loss)
                if number < len(starts) and learnt:
                    total, counted = total + loss * learnt, counted + learnt
        if self.args.world_size > 1:
            sums = torch.tensor([total, counted], dtype=torch.float64, device=self.args.device)
            total, counted = self.accelerator.reduce(sums, "sum").tolist()
        metrics = {"eval_loss": total / counted}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def fit(
    model: Model,
    feed: Feed,
    folder: Path,
    *,
    train: TrainConfig,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    fingerprint: str = "",
) -> Fitted:
    """Train `model` in place, going on from the last complete checkpoint in `folder` that has this `fingerprint`.

    Args:
        model: a causal language model, perhaps PEFT-wrapped, whose loss divides by `num_items_in_batch`.
        feed: what it is trained on.
        folder: gets `metrics.jsonl` and `checkpoints/`, which holds at most one complete checkpoint and stays.
        train: the hyperparameters; `batch_size` there is not read.
        seed: of the order of the items and of dropout.
        dtype: bfloat16 and float16 compute under autocast.
        device: where to train.
        fingerprint: what the run depends on; a checkpoint with another one is removed.

    Returns:
        What was logged, and the weights where the model holds only a part of them.

    Raises:
        InputError: unknown scheduler, a second GPU is asked for, or the checkpoint was written by another number of processes,
            in another dtype or on another kind of device.
        CodeactError: the loss became infinite or not a number, or the device's memory does not suffice.
    """
    args = _arguments(folder, train, feed.batch_size, seed, dtype, device)
    machine = _machine(train, feed, args.world_size, dtype, device)
    start = _start(folder, fingerprint, machine, args)
    done = int(start.name.rpartition("-")[2]) if start else 0
    steps = feed.steps(train, args.world_size)
    args.logging_steps, args.warmup_steps = math.ceil(steps / MAX_LOGGED_STEPS), warmup(train, steps)
    eval_steps = (train.eval_steps or math.ceil(steps / VALIDATIONS)) if feed.held_out else 0
    args.eval_on_start = bool(feed.held_out) and start is None
    meter = Meter()
    if is_sharded(train.shard):
        shard(model, dtype)
    try:
        with hushed(), track("train", steps, "steps", done, shown=args.process_index == 0) as progress:
            recorder = Recorder(
                folder, fingerprint, machine, train.save_steps, train.save_minutes, eval_steps, meter, progress, done
            )
            trainer = _trainer(model, feed, args, recorder, train.loss)
            _place_tensorboard(trainer, folder)
            reset_peak_memory(args.device)
            trainer.train(resume_from_checkpoint=str(start) if start else None)
            # every process takes part in gathering the parts
            state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    except torch.OutOfMemoryError as error:
        raise CodeactError(
            f"out of memory on {args.device}: lower pack.rows_per_pass to 1 if packed, else train.batch_size (now {train.batch_size};"
            " raise train.grad_accum to keep the step); lower model.max_length, set train.gradient_checkpointing=true, or use"
            " train.method=lora"
        ) from error
    return Fitted(logged_rows(trainer.state.log_history), int(args.warmup_steps), state)


def _machine(train: TrainConfig, feed: Feed, processes: int, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What a checkpoint can only be gone on with on: dtype, kind of device, and how many processes.

    A checkpoint in parts is read by any number of processes, and the steps are theirs too but for rows planned by ranks.
    """
    sharded = is_sharded(train.shard)
    counted: dict[str, Any] = {"sharded": True} if sharded else {}
    if not sharded or isinstance(feed.dataset, PackedDataset):
        counted["processes"] = processes
    return {**counted, "dtype": str(dtype).removeprefix("torch."), "device": device.type}


def _start(folder: Path, fingerprint: str, machine: Mapping[str, Any], args: TrainingArguments) -> Path | None:
    """The checkpoint to go on from; the others are removed, and what a tracker wrote of another training."""
    with args.main_process_first(desc="choosing the checkpoint"):
        start = last_checkpoint(folder, fingerprint, machine)
        if args.process_index == 0:
            remove_checkpoints(folder, keep=start)
            if start is None:
                remove(folder / TENSORBOARD)
    return start


def _trainer(model: Model, feed: Feed, args: TrainingArguments, recorder: Recorder, objective: str) -> MeteredTrainer:
    trainer = MeteredTrainer(
        model=model,
        args=args,
        train_dataset=feed.dataset,
        data_collator=CountedCollator(feed.collate),
        callbacks=[recorder],
    )
    trainer.meter, trainer.held_out, trainer.collate = recorder.meter, feed.held_out, feed.collate_held_out or feed.collate
    trainer.objective, trainer.crossover = objective, crossover_of(model)
    rows = 0 if trainer.is_deepspeed_enabled else feed.rows_per_pass
    trainer.data_collator = CountedCollator(feed.collate, rows, trainer.crossover)
    trainer.remove_callback(PrinterCallback)
    return trainer


def check_scheduler(name: str) -> None:
    """See that a scheduler is one of `SCHEDULERS`.

    Raises:
        InputError: it is not; the nearest is named.
    """
    if name not in SCHEDULERS:
        raise InputError(
            f"train.scheduler = {name!r} is unknown{did_you_mean(name, SCHEDULERS)}; use one of {', '.join(SCHEDULERS)}"
        )


def check_trackers(names: Sequence[str]) -> None:
    """See that the trackers asked for are installed.

    Raises:
        MissingExtraError: one is not.
    """
    for name in names:
        if name != "tensorboard":
            require(name, "trackers", f"train.report_to={name}")
        elif find_spec("tensorboard") is None:
            require("tensorboardX", "trackers", "train.report_to=tensorboard")


def _place_tensorboard(trainer: Trainer, folder: Path) -> None:
    """TensorBoard's files beside metrics.jsonl: its default place is among the checkpoints, which do not stay."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(folder / TENSORBOARD)


@contextmanager
def hushed() -> Iterator[None]:
    """Hush the libraries' own bars, notes and warnings about their future; errors still come as exceptions."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft|accelerate")
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _arguments(
    folder: Path, train: TrainConfig, batch_size: int, seed: int, dtype: torch.dtype, device: torch.device
) -> TrainingArguments:
    check_scheduler(train.scheduler)
    if device.type == "cuda" and device.index not in (None, 0):
        raise InputError(
            f"device {str(device)!r}: training uses the first visible GPU; choose another with CUDA_VISIBLE_DEVICES={device.index}"
        )
    args = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=train.grad_accum,
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        lr_scheduler_type=train.scheduler,
        max_grad_norm=train.max_grad_norm,
        num_train_epochs=train.epochs,
        seed=seed,
        data_seed=seed,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="steps",
        logging_nan_inf_filter=False,
        per_device_eval_batch_size=train.batch_size,
        report_to=list(train.report_to),
        run_name=folder.resolve().name,
        disable_tqdm=True,
        log_level="error",
        accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": is_sharded(train.shard)}},
    )
    # several visible GPUs without torchrun would mean DataParallel, which cuts packed batches apart
    if args.device.type == "cuda":
        args._n_gpu = 1
    return args

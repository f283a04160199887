"""What happens between the steps of a training: metrics.jsonl, checkpoints, the progress bar, the end of a loss that is no number.

This module imports torch and transformers at the top; import it inside functions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainingArguments

from codeact.errors import CodeactError
from codeact.files import append
from codeact.progress import Progress
from codeact.storage import write_jsonl
from codeact.training.checkpoints import checkpoint_path, complete, remove_checkpoints
from codeact.training.metrics import Meter, logged_rows

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState


class Recorder(TrainerCallback):
    """Writes metrics.jsonl, keeps the last complete checkpoint, moves the progress bar, stops on a loss that is no number.

    `eval_steps` is the number of steps between validation losses; 0: none. Without `save_steps`, a checkpoint is written at
    the end of each epoch and once `save_minutes` have passed since the last; 0: at the end of each epoch alone.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        machine: Mapping[str, Any],
        save_steps: int,
        save_minutes: float,
        eval_steps: int,
        meter: Meter,
        progress: Progress,
        shown: int,
    ) -> None:
        self.folder, self.fingerprint, self.machine = folder, fingerprint, machine
        self.save_steps, self.eval_steps = save_steps, eval_steps
        self.save_minutes, self.saved, self.saved_step = save_minutes, time.monotonic(), 0
        self.meter, self.progress, self.shown = meter, progress, shown

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if state.is_world_process_zero:
            write_jsonl(self.folder / "metrics.jsonl", logged_rows(state.log_history))
        self.saved = time.monotonic()
        self.meter.restart()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.meter.go()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.meter.end_step()
        last = state.global_step >= state.max_steps
        control.should_log |= last
        control.should_evaluate |= self.eval_steps > 0 and (last or state.global_step % self.eval_steps == 0)
        if not last:
            control.should_save |= state.global_step % self.save_steps == 0 if self.save_steps else self._overdue(args)
        if control.should_save:
            self.meter.pause()

    def _overdue(self, args: TrainingArguments) -> bool:
        """Whether `save_minutes` have passed since the last checkpoint, by the first process's clock: all must save together."""
        if self.save_minutes == 0:
            return False
        overdue = time.monotonic() - self.saved >= 60 * self.save_minutes
        if args.world_size > 1:
            flag = torch.tensor(int(overdue), device=args.device)
            torch.distributed.broadcast(flag, src=0)
            overdue = bool(flag)
        return overdue

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        # not twice at a step: what is complete must not be written over
        control.should_save |= self.save_steps == 0 and state.global_step not in (state.max_steps, self.saved_step)
        if control.should_save:
            self.meter.pause()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        logs: dict[str, float] | None = None, **kwargs: object,
    ) -> None:  # fmt: skip
        logs = logs or {}
        loss = logs.get("loss", logs.get("eval_loss"))
        if loss is None:
            return
        if not math.isfinite(loss):
            never = args.lr_scheduler_type == "constant"  # it has no warm-up to raise
            slower = "use train.scheduler=constant_with_warmup" if never else f"raise train.warmup_steps, now {args.warmup_steps:g}"
            raise CodeactError(
                f"the {'training' if 'loss' in logs else 'validation'} loss became {loss} at step {state.global_step}; lower"
                f" train.learning_rate, now {args.learning_rate:g}, or {slower}"
            )
        if state.is_world_process_zero:
            append(self.folder / "metrics.jsonl", (json.dumps(logged_rows(state.log_history[-1:])[0]) + "\n").encode())
        self.progress.advance(
            state.global_step - self.shown, f"{'loss' if 'loss' in logs else 'validation loss'} {loss:.3f}"
        )
        self.shown = state.global_step

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if args.world_size > 1:
            torch.distributed.barrier()  # the other processes have written their parts
        if state.is_world_process_zero:
            made = checkpoint_path(self.folder, state.global_step)
            complete(made, self.fingerprint, state.global_step, self.machine)
            remove_checkpoints(self.folder, keep=made)
        self.saved, self.saved_step = time.monotonic(), state.global_step

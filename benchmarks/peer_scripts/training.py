"""TRL's SFTTrainer with its own packing, or with padding, over samples that are tokenised already: one optimizer step of all."""

import json
import resource
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from serve import serve, settings
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

GIVEN = settings()
SAMPLES = json.loads(Path(GIVEN["samples"]).read_text(encoding="utf-8"))


def run(_):
    torch.manual_seed(0)
    rows = [{"input_ids": s["input_ids"], "completion_mask": [int(label != -100) for label in s["labels"]]} for s in SAMPLES]
    tokenizer = AutoTokenizer.from_pretrained(GIVEN["model"])
    model = AutoModelForCausalLM.from_pretrained(GIVEN["model"], dtype=torch.float32, attn_implementation="sdpa")
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": folder, "num_train_epochs": 1, "learning_rate": GIVEN["learning_rate"], "lr_scheduler_type": "constant",
            "warmup_steps": 0, "max_length": GIVEN["max_length"], "gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no",
            "report_to": [], "use_cpu": True, "bf16": GIVEN["bf16"], "completion_only_loss": True, "disable_tqdm": True, "max_grad_norm": 1.0,
            "packing": GIVEN["packing"], "per_device_train_batch_size": GIVEN["rows"], "gradient_accumulation_steps": 1000,
        }  # fmt: skip
        trainer = SFTTrainer(model=model, args=SFTConfig(**common), train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        held = len(trainer.train_dataset)
        done = trainer.train()
    logged = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {
        "train_seconds": done.metrics["train_runtime"], "loss": logged[0] if logged else done.training_loss, "rows": held,
        "peak_memory_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


serve(run)

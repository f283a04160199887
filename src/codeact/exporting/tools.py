"""The configuration of each tool: the recipe's training settings in its own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from codeact.config import Recipe

ROWS = "train.jsonl"
JINJA = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a configuration is made from.

    Attributes:
        recipe: of the run.
        model: name of the model to train.
        rows_per_step: full rows of `max_length` tokens that hold about as many records as the recipe's optimizer step.
        template: jinja text that the tool must use, or "" for the tokenizer's own chat template.
        template_name: chat, question, alpaca or a file.
        tools: whether records have a `tools` column.
        marked: whether turns are marked as context only.
    """

    recipe: Recipe
    model: str
    rows_per_step: int
    template: str
    template_name: str
    tools: bool
    marked: bool


def trl(facts: Facts) -> Mapping[str, str]:
    """`trl sft --config sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    settings: dict[str, Any] = {
        "model_name_or_path": facts.model,
        "datasets": [{"path": "json", "data_files": ROWS, "split": "train"}],
        "output_dir": "tuned",
        "max_length": facts.recipe.model.max_length,
        "packing": facts.recipe.pack.scope != "none",
        "assistant_only_loss": not train.train_on_prompt,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        **_common(facts),
        "lr_scheduler_type": train.scheduler,
        "gradient_checkpointing": train.gradient_checkpointing,
    }
    if facts.template:
        settings["chat_template_path"] = JINJA
    if settings["packing"]:
        settings["attn_implementation"] = "flash_attention_2"  # what keeps packed samples apart in TRL
    if train.method != "full":
        settings |= {
            "use_peft": True,
            "lora_r": train.lora_r,
            "lora_alpha": train.lora_alpha,
            "lora_dropout": train.lora_dropout,
            "lora_target_modules": "all-linear",
            "load_in_4bit": train.method == "qlora",
        }
    return {"sft.yaml": _yaml(settings), **_template_file(facts)}


def axolotl(facts: Facts) -> Mapping[str, str]:
    """`axolotl train sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    data: dict[str, Any] = {
        "path": ROWS,
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    if facts.tools:
        data["field_tools"] = "tools"
    if facts.marked:
        data["message_field_training"] = "train"
    settings: dict[str, Any] = {
        "base_model": facts.model,
        "datasets": [data],
        "chat_template": "jinja" if facts.template else "tokenizer_default",
        **({"chat_template_jinja": facts.template} if facts.template else {}),
        "train_on_inputs": train.train_on_prompt,
        "sequence_len": facts.recipe.model.max_length,
        "sample_packing": facts.recipe.pack.scope != "none",
        "flash_attention": True,
        "output_dir": "tuned",
        "dataset_prepared_path": "prepared",
        "micro_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        "num_epochs": train.epochs,
        "optimizer": "adamw_torch",
        "learning_rate": train.learning_rate,
        "lr_scheduler": train.scheduler,
        "warmup_steps": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "bf16": "auto",
        "gradient_checkpointing": train.gradient_checkpointing,
        "seed": facts.recipe.seed,
    }
    if train.method != "full":
        settings |= {
            "adapter": train.method,
            "load_in_4bit": train.method == "qlora",
            "lora_r": train.lora_r,
            "lora_alpha": train.lora_alpha,
            "lora_dropout": train.lora_dropout,
            "lora_target_linear": True,
        }
    return {"sft.yaml": _yaml(settings)}


def llama_factory(facts: Facts) -> Mapping[str, str]:
    """`llamafactory-cli train sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    columns = {"messages": "messages", **({"tools": "tools"} if facts.tools else {})}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    info = {
        "codeact": {
            "file_name": ROWS,
            "formatting": "openai" if facts.tools else "sharegpt",
            "columns": columns,
            "tags": {**tags, "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system"},
        }
    }
    settings: dict[str, Any] = {
        "model_name_or_path": facts.model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if train.method == "full" else "lora",
        "dataset": "codeact",
        "dataset_dir": ".",
        # without a `template` it reads the tokenizer's chat template
        **({"template": "alpaca"} if facts.template_name == "alpaca" else {}),
        "cutoff_len": facts.recipe.model.max_length,
        "packing": facts.recipe.pack.scope != "none",
        "neat_packing": facts.recipe.pack.scope != "none",  # keeps packed samples apart
        "train_on_prompt": train.train_on_prompt,
        "output_dir": "tuned",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        **_common(facts),
        "lr_scheduler_type": train.scheduler,
        "bf16": True,
        "disable_gradient_checkpointing": not train.gradient_checkpointing,
    }
    if train.method != "full":
        settings |= {
            "lora_rank": train.lora_r,
            "lora_alpha": train.lora_alpha,
            "lora_dropout": train.lora_dropout,
            "lora_target": "all",
            **({"quantization_bit": 4} if train.method == "qlora" else {}),
        }
    return {"dataset_info.json": json.dumps(info, indent=2) + "\n", "sft.yaml": _yaml(settings)}


def torchtune(facts: Facts) -> Mapping[str, str]:
    """A part for any of torchtune's configurations, which are one per model."""
    part = {
        "dataset": {
            "_component_": "torchtune.datasets.chat_dataset",
            "source": "json",
            "data_files": ROWS,
            "split": "train",
            "conversation_column": "messages",
            "conversation_style": "openai",
            "train_on_input": facts.recipe.train.train_on_prompt,
            "packed": facts.recipe.pack.scope != "none",
        },
        "tokenizer": {"max_seq_len": facts.recipe.model.max_length},
        "epochs": facts.recipe.train.epochs,
        "batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        "optimizer": {"lr": facts.recipe.train.learning_rate, "weight_decay": facts.recipe.train.weight_decay},
        "lr_scheduler": {"num_warmup_steps": facts.recipe.train.warmup_steps},
        "clip_grad_norm": facts.recipe.train.max_grad_norm,
        "seed": facts.recipe.seed,
    }
    return {"dataset.yaml": _yaml(part)}


def datasets(facts: Facts) -> Mapping[str, str]:
    """Rows and card alone: `datasets.load_dataset(FOLDER)`."""
    return {}


def _common(facts: Facts) -> dict[str, Any]:
    train = facts.recipe.train
    return {
        "num_train_epochs": train.epochs,
        "learning_rate": train.learning_rate,
        "warmup_steps": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "seed": facts.recipe.seed,
    }


def _template_file(facts: Facts) -> dict[str, str]:
    return {JINJA: facts.template} if facts.template else {}


def _yaml(settings: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=1000)

"""The configuration of each tool: the recipe's training settings in its own words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from codeact.config import Recipe
from codeact.exporting.tokens import FOLDER, PARQUET
from codeact.training.warmup import warmup

ROWS = "train.jsonl"
JINJA = "chat_template.jinja"
TORCHTUNE_DTYPES = {"bfloat16": "bf16", "float32": "fp32"}  # `auto`: its configuration's own


@dataclass(frozen=True, slots=True)
class Facts:
    """What a configuration is made from.

    Attributes:
        recipe: of the run.
        model: name of the model to train.
        revision: of it, at the hub; None for the newest, and for a folder.
        rows: that the tool will make of the records: full rows of `max_length` tokens where it packs, else one of each record.
        rows_per_step: how many of them hold about as many records as the recipe's optimizer step.
        counted: whether the records' tokens are known; if not, `rows` and `rows_per_step` count records.
        template: jinja text that the tool must use, or "" for the tokenizer's own chat template.
        template_name: chat, question, alpaca or a file.
        tokens: a digest of the tokens.
    """

    recipe: Recipe
    model: str
    revision: str | None
    rows: int
    rows_per_step: int
    counted: bool
    template: str
    template_name: str
    tokens: str


def trl(facts: Facts) -> Mapping[str, str]:
    """`trl sft --config sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    settings: dict[str, Any] = {
        "model_name_or_path": facts.model,
        **_revision(facts, "model_revision"),
        "datasets": [{"path": "parquet", "data_files": PARQUET, "split": "train"}],
        "output_dir": "tuned",
        "max_length": facts.recipe.model.max_length,
        "packing": facts.recipe.pack.scope != "none",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        **_common(facts),
        "lr_scheduler_type": train.scheduler,
        **_precision(facts, True),
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
    return {"sft.yaml": f"# for TRL 0.20 or newer\n{_of_tokens(facts, PARQUET, settings)}", **_template_file(facts)}


def axolotl(facts: Facts) -> Mapping[str, str]:
    """`axolotl train sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    settings: dict[str, Any] = {
        "base_model": facts.model,
        **_revision(facts, "revision_of_model"),
        "datasets": [{"path": PARQUET, "ds_type": "parquet", "type": None}],
        "chat_template": "jinja" if facts.template else "tokenizer_default",
        **({"chat_template_jinja": facts.template} if facts.template else {}),
        "sequence_len": facts.recipe.model.max_length,
        "sample_packing": facts.recipe.pack.scope != "none",
        "flash_attention": True,
        "output_dir": "tuned",
        "dataset_prepared_path": f"prepared-{facts.tokens}",  # what axolotl finds there it takes, whatever the rows are now
        "micro_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        "num_epochs": train.epochs,
        "optimizer": "adamw_torch",
        "learning_rate": train.learning_rate,
        "lr_scheduler": train.scheduler,
        "warmup_steps": _warmup(facts),
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        **_precision(facts, "auto"),
        "gradient_checkpointing": train.gradient_checkpointing,
        "seed": facts.recipe.seed_of("train"),
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
    return {"sft.yaml": _of_tokens(facts, PARQUET, settings)}


def llama_factory(facts: Facts) -> Mapping[str, str]:
    """`llamafactory-cli train sft.yaml`, run inside the folder."""
    train = facts.recipe.train
    settings: dict[str, Any] = {
        "model_name_or_path": facts.model,
        **_revision(facts, "model_revision"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if train.method == "full" else "lora",
        "dataset": "codeact",  # it wants a name, and reads none of that name where `tokenized_path` is there
        "tokenized_path": FOLDER,
        # for its other commands; without a `template` it reads the tokenizer's chat template
        **({"template": "alpaca"} if facts.template_name == "alpaca" else {}),
        "cutoff_len": facts.recipe.model.max_length,
        "packing": facts.recipe.pack.scope != "none",
        "neat_packing": facts.recipe.pack.scope != "none",  # keeps packed samples apart
        "output_dir": "tuned",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": facts.rows_per_step,
        **_common(facts),
        "lr_scheduler_type": train.scheduler,
        **_precision(facts, True),
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
    return {"sft.yaml": _of_tokens(facts, FOLDER, settings)}


def torchtune(facts: Facts) -> Mapping[str, str]:
    """A part for any of torchtune's configurations, which are one per model."""
    train = facts.recipe.train
    accumulated = min(facts.rows_per_step, facts.rows)  # it makes no step of fewer
    steps = whole_epochs(facts) * (facts.rows // accumulated)
    part: dict[str, Any] = {
        "dataset": {
            "_component_": "torchtune.datasets.chat_dataset",
            "source": "json",
            "data_files": ROWS,
            "split": "train",
            "conversation_column": "messages",
            "conversation_style": "openai",
            "train_on_input": train.train_on_prompt,
            "packed": facts.recipe.pack.scope != "none",
        },
        "tokenizer": {"max_seq_len": facts.recipe.model.max_length},
        "epochs": whole_epochs(facts),
        "batch_size": 1,
        "gradient_accumulation_steps": accumulated,
        "optimizer": {"lr": train.learning_rate, "weight_decay": train.weight_decay},
        "optimizer_in_bwd": False,  # many of its configurations have it on, which forbids accumulation and clipping
        "lr_scheduler": {
            "_component_": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
            "num_warmup_steps": warmup(train, steps),
        },
        "clip_grad_norm": train.max_grad_norm,
        "enable_activation_checkpointing": train.gradient_checkpointing,
        **({"dtype": word} if (word := TORCHTUNE_DTYPES.get(facts.recipe.model.dtype)) else {}),
        "seed": facts.recipe.seed_of("train"),
    }
    if train.method != "full":
        part["model"] = {
            "lora_attn_modules": ["q_proj", "k_proj", "v_proj", "output_proj"],
            "apply_lora_to_mlp": True,
            "lora_rank": train.lora_r,
            "lora_alpha": train.lora_alpha,
            "lora_dropout": train.lora_dropout,
        }
    return {"dataset.yaml": _yaml(part)}


def whole_epochs(facts: Facts) -> int:
    """torchtune counts whole ones: no fewer than the recipe's."""
    return math.ceil(facts.recipe.train.epochs)


def datasets(facts: Facts) -> Mapping[str, str]:
    """Rows and card alone: `datasets.load_dataset(FOLDER)`."""
    return {}


def _common(facts: Facts) -> dict[str, Any]:
    train = facts.recipe.train
    return {
        "num_train_epochs": train.epochs,
        "learning_rate": train.learning_rate,
        "warmup_steps": _warmup(facts),
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "seed": facts.recipe.seed_of("train"),
    }


def _warmup(facts: Facts) -> int:
    """What codeact's trainer makes of the recipe's warm-up in a run of as many steps."""
    train = facts.recipe.train
    return warmup(train, math.ceil(train.epochs * math.ceil(facts.rows / facts.rows_per_step)))


def _revision(facts: Facts, key: str) -> dict[str, Any]:
    return {} if facts.revision is None else {key: facts.revision}


def _precision(facts: Facts, usual: bool | str) -> dict[str, Any]:
    """`bf16` and `fp16`; the `usual` value of the first where the recipe leaves it to the device."""
    dtype = facts.recipe.model.dtype
    if dtype == "auto":
        return {"bf16": usual}
    return {"bf16": dtype == "bfloat16", "fp16": dtype == "float16"}


def _template_file(facts: Facts) -> dict[str, str]:
    return {JINJA: facts.template} if facts.template else {}


def _of_tokens(facts: Facts, held_in: str, settings: Mapping[str, Any]) -> str:
    return f"# {held_in} holds tokens of {facts.model}: to train another model, export again with --model\n{_yaml(settings)}"


def _yaml(settings: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=1000)

"""`codeact export`: each tool trains on the same tokens and labels as codeact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from codeact import api
from codeact.config import load_recipe
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.data import tokenise_records
from tests.helpers.command import codeact_command
from tests.helpers.exports import (
    TOKENISED,
    bad,
    chosen_at_random,
    chosen_by_command,
    configuration,
    exported,
    own_tokens,
    tokens_of,
    with_chat_template,
)


@pytest.fixture(scope="module")
def chat_model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_chat_template(tiny_model_dir, tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture(params=["chat"])
def run_dir(pool_file: Path, chat_model: Path, request: pytest.FixtureRequest) -> Path:
    return chosen_by_command(pool_file, chat_model, request.param)


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory"])
def test_the_demo_model_is_named_by_its_folder(tool: str, run_dir: Path, chat_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codeact.lm.identity.demo_model", lambda: chat_model)
    folder = run_dir.with_name(f"demo for {tool}")
    api.export(run_dir, tool, folder, model="demo")
    settings = yaml.safe_load((folder / "sft.yaml").read_text(encoding="utf-8"))
    assert settings["base_model" if tool == "axolotl" else "model_name_or_path"] == str(chat_model)


@pytest.mark.parametrize("run_dir", ["chat", "question", "alpaca"], indirect=True)
def test_trl_reads_it_with_its_own_parser_and_trains_on_the_same_tokens(
    run_dir: Path, chat_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTConfig, SFTTrainer, TrlParser
    from trl.scripts.utils import DatasetMixtureConfig, get_dataset
    from trl.trainer.model_config import ModelConfig

    folder = exported(run_dir, "trl")
    monkeypatch.chdir(folder)
    parser = TrlParser((SFTConfig, ModelConfig, DatasetMixtureConfig))
    arguments, model, mixture = parser.parse_args_and_config(["--config", "sft.yaml", "--use_cpu", "true"])
    assert arguments.packing
    assert model.attn_implementation == "flash_attention_2"
    assert (arguments.learning_rate, arguments.max_length) == (5e-5, 2048)
    assert arguments.warmup_steps == 0  # of three steps; the paper's 15 would never end

    arguments.packing = False  # to see the samples one by one
    rows = get_dataset(mixture)["train"]
    trainer = SFTTrainer(str(chat_model), arguments, train_dataset=rows)
    tokenizer = load_tokenizer(str(chat_model))
    template = load_recipe(run_dir / "recipe.yaml").model.template
    ours = tokenise_records(
        selected_records(Store(run_dir)), load_template(template, tokenizer), tokenizer, 2048
    ).samples
    mean = sum(len(s["input_ids"]) for s in ours) / len(ours)
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == max(1, round(16 * mean / 2048))
    theirs = trainer.train_dataset
    assert [s["input_ids"].tolist() for s in ours] == [list(row["input_ids"]) for row in theirs]
    assert [s["labels"].tolist() for s in ours] == [list(row["labels"]) for row in theirs]

    arguments.packing = True
    packed = SFTTrainer(str(chat_model), arguments, train_dataset=rows).train_dataset
    samples = [pair for row in packed for pair in cut(row)]
    assert len(packed) < len(ours)
    assert sorted(samples) == sorted((s["input_ids"].tolist(), s["labels"].tolist()) for s in ours)


def cut(row: Mapping[str, Any]) -> Iterator[tuple[list[int], list[int]]]:
    """The samples of a row that TRL packed."""
    at = 0
    for size in row["seq_lengths"]:
        yield list(row["input_ids"][at : at + size]), list(row["labels"][at : at + size])
        at += size


CLOCK = {"type": "function", "function": {"name": "now", "parameters": {"properties": {"zone": {"default": None}, "day": {"type": "string"}}}}}


OTHER = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"zone": {"type": "integer"}}}}}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


# what other trainers make something else of, each by its own rules


HARD: list[dict[str, Any]] = [
    {
        "messages": [
            said("system", "Be brief."), said("user", "几点了？"), call("now", zone=None), said("tool", "12:00", name="now"), said("assistant", "十二点。"),
        ],
        "tools": [CLOCK],
    },
    {"messages": [said("user", "Add 5."), call("add", zone=5), said("tool", "6"), said("assistant", "6")], "tools": [OTHER]},
    {"messages": [said("user", "Add two."), said("assistant", "a + b"), said("user", "And three?"), said("assistant", "a + b + c")]},
    {"messages": [said("user", "2 + 2?"), said("assistant", "4", reasoning_content="Two and two.")]},
    {"messages": [said("user", "Twice."), said("user", "In a row."), said("assistant", "Fine.")]},
    {"messages": [said("assistant", "I begin."), said("user", "Well?"), said("assistant", "So."), said("assistant", "And so on.")]},
    {"messages": [said("user", "Draft."), said("assistant", "wrong", train=False), said("user", "Again."), said("assistant", "right")]},
    {"messages": [said("system", ""), said("user", "A matrix."), said("assistant", "[[1, 2], [3, 4]]")]},
    {"messages": [said("user", "Indented."), said("assistant", "    return 1")]},
]  # fmt: skip


THINKING = (  # as Qwen3's: the last answer alone has a place for thoughts
    "{% if tools %}{{ '<|tools|>' + tools | tojson + '<|end|>' }}{% endif %}"
    "{% for message in messages %}{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' and loop.last %}{{ '<think>' + (message.reasoning_content or '') + '</think>' }}{% endif %}"
    "{{ message.content }}{% for call in message.tool_calls or [] %}{{ '<call>' + call.function | tojson }}{% endfor %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture
def hard_run(tmp_path: Path, chat_model: Path) -> Path:
    """A run that chose all of `HARD`, with a template that takes them."""
    (tmp_path / "hard.jsonl").write_text("".join(json.dumps({"id": n, **row}) + "\n" for n, row in enumerate(HARD)), encoding="utf-8")
    (tmp_path / "thinking.jinja").write_text(THINKING, encoding="utf-8")
    return chosen_at_random(tmp_path / "hard.jsonl", chat_model, f"model.template={tmp_path / 'thinking.jinja'}", "sample.ratio=1")


@pytest.mark.parametrize("setting", ["pack.scope=batch", "pack.scope=none", "train.train_on_prompt=true"])
def test_what_other_trainers_would_tokenise_otherwise_is_trained_as_codeact_does(setting: str, hard_run: Path, tmp_path: Path) -> None:
    section, key, value = setting.replace("=", ".").split(".")
    kept = hard_run / "recipe.yaml"
    recipe = yaml.safe_load(kept.read_text(encoding="utf-8"))
    recipe.setdefault(section, {})[key] = yaml.safe_load(value)
    kept.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    own = own_tokens(hard_run)
    assert len(own) == len(HARD)
    for tool in TOKENISED:
        settings, _ = configuration(hard_run, tool, tmp_path / tool)
        assert tokens_of(tmp_path / tool, tool) == own
        assert "tokens" in str(settings["tokenized_path"] if tool == "llama-factory" else settings["datasets"])
    rows = datasets.load_from_disk(str(tmp_path / "llama-factory" / "tokens"))
    assert len(rows) == (len(HARD) if setting == "pack.scope=none" else 1)  # it packs no tokens by itself


def test_rows_are_read_back_as_they_were_and_load_as_a_table(hard_run: Path, chat_model: Path, tmp_path: Path) -> None:
    api.export(hard_run, "datasets", tmp_path / "out")
    file = tmp_path / "out" / "train.jsonl"
    again = chosen_at_random(file, chat_model, "sample.ratio=1")
    records = selected_records(Store(hard_run))
    assert [(r.id, r.messages, r.tools) for r in selected_records(Store(again))] == [(r.id, r.messages, r.tools) for r in records]
    table = datasets.Dataset.from_json(str(file), cache_dir=str(tmp_path / "cache"))
    assert [row["tools"] for row in table] == [r.tools or None for r in records]
    (first,) = table[0]["messages"][2]["tool_calls"]
    assert json.loads(first["function"]["arguments"]) == {"zone": None}
    assert [m.get("train") for m in table[6]["messages"]] == [None, False, None, True]


def test_torchtune_says_how_many_records_it_does_not_read_whole(hard_run: Path, tmp_path: Path) -> None:
    lines = configuration(hard_run, "torchtune", tmp_path / "out")[1]
    assert lines[:2] == [
        "1 record has turns that are context only; torchtune has no word for that and learns them too.",
        "3 records have tools, tool calls or thoughts; torchtune reads the roles and contents of turns alone.",
    ]


def test_records_that_training_leaves_out_are_left_out_and_told(tmp_path: Path, chat_model: Path) -> None:
    rows = [HARD[0], *({"messages": [said("user", f"Say {n}."), said("assistant", str(n))]} for n in range(3))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = chosen_at_random(tmp_path / "rows.jsonl", chat_model, "model.template=chat", "sample.ratio=1")
    made = codeact_command("export", str(run), "--to", "axolotl", "-o", str(tmp_path / "out"))
    assert "mind: 1 record left out, as in codeact's training; the first: template 'chat' leaves tool calls out" in made.stdout
    assert "几点了" not in (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8")
    assert len(tokens_of(tmp_path / "out", "axolotl")) == 3
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| records | 3 |" in card
    assert "| export | not taken by the template | 1 |" in card
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    run = chosen_at_random(tmp_path / "rows.jsonl", chat_model, "model.template=chat", "sample.ratio=1")
    assert "leaves tool calls out" in bad(run, "--to", "trl", "-o", tmp_path / "none")


def test_what_axolotl_prepares_is_of_these_tokens_alone(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    """It takes what lies in that folder, whatever the rows are now: `--force` into a folder that was trained in."""
    few = chosen_at_random(pool_file, tiny_model_dir, "sample.ratio=0.25")
    prepared = [configuration(few, "axolotl", tmp_path / name)[0]["dataset_prepared_path"] for name in ("a", "b")]
    more = chosen_at_random(pool_file, tiny_model_dir, "sample.ratio=0.5")
    assert prepared[0] == prepared[1] != configuration(more, "axolotl", tmp_path / "c")[0]["dataset_prepared_path"]

"""`codeact export`: each tool reads the folder with its own loader and trains on the same tokens as codeact."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from codeact import api
from codeact.config import load_recipe
from codeact.exporting.rows import message_rows
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.records import Message, Record
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.data import tokenise_records
from tests.helpers.command import codeact_command

CHAT = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def chat_model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template of its own."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    return folder


@pytest.fixture(params=["chat"])
def run_dir(pool_file: Path, chat_model: Path, request: pytest.FixtureRequest) -> Path:
    out = pool_file.with_name("chosen.jsonl")
    done = codeact_command(
        "select", str(pool_file), "--model", str(chat_model), "--strategy", "random", "--unit", "records", "--ratio", "0.25", "-o", str(out),
        "--set", f"model.template={request.param}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out.with_name("chosen.codeact")


def exported(run_dir: Path, tool: str) -> Path:
    folder = run_dir.with_name(f"for {tool}")
    done = codeact_command("export", str(run_dir), "--to", tool, "-o", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 12
    return folder


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
    assert (arguments.learning_rate, arguments.warmup_steps, arguments.max_length) == (5e-5, 15, 2048)
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == 16

    arguments.packing = False  # to see the samples one by one
    rows = get_dataset(mixture)["train"]
    trainer = SFTTrainer(str(chat_model), arguments, train_dataset=rows)
    tokenizer = load_tokenizer(str(chat_model))
    template = load_recipe(run_dir / "recipe.yaml").model.template
    ours = tokenise_records(
        selected_records(Store(run_dir)), load_template(template, tokenizer), tokenizer, 2048
    ).samples
    theirs = trainer.train_dataset
    assert [s["input_ids"].tolist() for s in ours] == [list(row["input_ids"]) for row in theirs]
    assert [s["labels"].tolist() for s in ours] == [list(row["labels"]) for row in theirs]


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory", "torchtune", "datasets"])
def test_rows_and_card(run_dir: Path, tool: str) -> None:
    folder = exported(run_dir, tool)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    records = selected_records(Store(run_dir))
    assert [(row["id"], [(m["role"], m["content"]) for m in row["messages"]]) for row in rows] == [
        (r.id, [(m.role, m.content) for m in r.messages]) for r in records
    ]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((folder / "train.jsonl").read_bytes()).hexdigest() in card
    assert "| sample | not selected | 36 |" in card or "| sample |" in card
    assert yaml.safe_load(card.split("---")[1])["configs"][0]["data_files"] == "train.jsonl"
    for file in folder.glob("*.yaml"):
        assert yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_card_names_who_scored_and_not_who_will_be_trained(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    options = ("--model", str(tiny_model_dir), "--strategy", "ppl-high", "--unit", "records", "--ratio", "0.25", "--template", "question")
    done = codeact_command("select", str(pool_file), *options, "-o", str(tmp_path / "chosen.jsonl"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "card"
    api.export(tmp_path / "chosen.codeact", "datasets", folder, model="someone/else")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| scored by | {tiny_model_dir} |" in card
    assert "someone/else" not in card


def chosen_at_random(data: Path, model: Path, *settings: str) -> Path:
    out = data.with_name("chosen.jsonl")
    options = ("--strategy", "random", "--unit", "records", "--ratio", "0.25", "--template", "question", "-o", str(out))
    done = codeact_command("select", str(data), "--model", str(model), *options, *(part for one in settings for part in ("--set", one)))
    assert done.returncode == 0, done.stderr
    return out.with_name("chosen.codeact")


def card_of(run_dir: Path, folder: Path, tool: str = "datasets") -> str:
    api.export(run_dir, tool, folder, force=True)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_tells_of_the_source_as_the_run_read_it(
    pool_file: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = hashlib.sha256(pool_file.read_bytes()).hexdigest()
    monkeypatch.chdir(pool_file.parent)
    run = chosen_at_random(Path(pool_file.name), tiny_model_dir).absolute()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / pool_file.name).write_text('{"instruction": "a", "output": "b"}\n', encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    for change in (lambda: None, (elsewhere / pool_file.name).unlink, lambda: pool_file.write_text("edited", encoding="utf-8"), pool_file.unlink):
        change()
        assert f"| SHA-256 of the source | {read} |" in card_of(run, tmp_path / "out")
    marker = run / "markers" / "records.json"
    known = json.loads(marker.read_text(encoding="utf-8"))
    assert known["source"] == [{"path": str(pool_file), "sha256": read}]
    del known["source"]  # as older runs have it
    marker.write_text(json.dumps(known), encoding="utf-8")
    assert "| SHA-256 of the source | unknown: " in card_of(run, tmp_path / "out")


def test_the_card_of_several_files_and_of_rows_in_memory(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    lines = pool_file.read_text(encoding="utf-8").splitlines(keepends=True)
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jsonl").write_text("".join(lines[number::9]), encoding="utf-8")
    assert "| SHA-256 of the source | 9 files, " in card_of(chosen_at_random(folder, tiny_model_dir), tmp_path / "out")
    rows = [json.loads(line) for line in lines]
    made = api.select(rows, model=str(tiny_model_dir), strategy="random", unit="records", run_dir=tmp_path / "run")
    assert "| SHA-256 of the source | none: not a file |" in card_of(made.run_dir, tmp_path / "out")


def test_what_a_turn_holds_comes_along() -> None:
    call = json.dumps([{"type": "function", "function": {"name": "now", "arguments": {"zone": "UTC"}}}])
    turns = (
        Message("system", "Be brief."),
        Message("user", "几点了？"),
        Message("assistant", "", reasoning="I must ask the clock.", tool_calls=call, learn=False),
        Message("tool", "12:00", name="now", tool_call_id="c1"),
        Message("assistant", "十二点。"),
    )
    record = Record("a", turns, tools=json.dumps([{"type": "function", "function": {"name": "now"}}]))
    (row,) = message_rows([record], "train")
    assert row["tools"][0]["function"]["name"] == "now"
    assert row["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"zone": "UTC"}
    assert row["messages"][2]["reasoning_content"] == "I must ask the clock."
    assert [m.get("train") for m in row["messages"]] == [None, None, False, None, True]
    assert row["messages"][3] == {"role": "tool", "content": "12:00", "name": "now", "tool_call_id": "c1"}
    assert "train" not in message_rows([record])[0]["messages"][2]


def bad(*arguments: Any) -> str:
    done = codeact_command("export", *(str(a) for a in arguments))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_bad_input_is_one_line(run_dir: Path, tmp_path: Path) -> None:
    assert "the tools are trl" in bad(run_dir, "--to", "trll", "-o", tmp_path / "x")
    assert "no finished selection" in bad(tmp_path, "--to", "trl", "-o", tmp_path / "x")
    folder = exported(run_dir, "datasets")
    before = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text("mine", encoding="utf-8")
    assert "README.md" in bad(run_dir, "--to", "datasets", "-o", folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == "mine"
    api.export(run_dir, "datasets", folder, force=True)
    assert (folder / "README.md").read_text(encoding="utf-8") == before

"""`codeact export`: the rows, the card and the configuration of each tool."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import codeact
from codeact import api
from codeact.config import DEFAULTS
from codeact.lm.models import load_tokenizer
from codeact.lm.prompts import load_template
from codeact.pipeline.ready import EXPORTED
from codeact.rundir.store import Store
from codeact.stages.pool import selected_records
from codeact.training.data import tokenise_records
from tests.helpers.command import codeact_command
from tests.helpers.exports import (
    CHAT,
    TOKENISED,
    bad,
    card_of,
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


def test_a_changed_template_file_is_refused(pool_file: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jinja = pool_file.with_name("mine.jinja")
    jinja.write_text("{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}:{% endif %}{% endfor %}", encoding="utf-8")
    monkeypatch.chdir(pool_file.parent)
    run = chosen_at_random(pool_file, tiny_model_dir, "model.template=mine.jinja", "sample.unit=tokens").absolute()
    assert configuration(run, "axolotl", tmp_path / "out")[0]["chat_template_jinja"] == jinja.read_text(encoding="utf-8")
    jinja.write_text(CHAT, encoding="utf-8")
    assert "mine.jinja is not the file" in bad(run, "--to", "axolotl", "-o", tmp_path / "other")


LONG = "return " + " + ".join(f"x{n}" for n in range(400))


@pytest.fixture
def long_file(pool_file: Path) -> Path:
    """The pool, with one record that no row of 256 tokens holds in five."""
    lines = pool_file.read_text(encoding="utf-8").splitlines()
    lines[::5] = [json.dumps({"instruction": f"Add many numbers, as in case {n}.", "output": LONG}) for n in range(len(lines[::5]))]
    pool_file.write_text("\n".join(lines), encoding="utf-8")
    return pool_file


@pytest.mark.parametrize("overlong", ["truncate", "drop", "split", "error"])
def test_too_long_records_are_what_the_recipe_makes_of_them(overlong: str, long_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    run = chosen_at_random(long_file, tiny_model_dir, "model.max_length=256", f"pack.overlong={overlong}", "sample.ratio=1")
    tokenizer = load_tokenizer(str(tiny_model_dir))
    own = tokenise_records(selected_records(Store(run)), load_template("question", tokenizer), tokenizer, 256, overlong="drop")
    assert own.dropped == 10
    if overlong == "error":
        for tool in ("trl", "axolotl", "llama-factory"):
            assert "more than model.max_length = 256" in bad(run, "--to", tool, "-o", tmp_path / tool)
        assert "pack.overlong=error has no word" in "".join(configuration(run, "torchtune", tmp_path / "out")[1])
        return
    for tool in TOKENISED:
        _, said = configuration(run, tool, tmp_path / tool)
        assert tokens_of(tmp_path / tool, tool) == own_tokens(run)
        ids = [json.loads(line)["id"] for line in (tmp_path / tool / "train.jsonl").read_text(encoding="utf-8").splitlines()]
        assert ids == ([s["id"] for s in own.samples] if overlong == "drop" else [r.id for r in selected_records(Store(run))])
        assert [line for line in said if "model.max_length" in line] == (
            ["10 records longer than model.max_length=256 tokens left out, as pack.overlong=drop has it."] if overlong == "drop" else []
        )
    _, said = configuration(run, "torchtune", tmp_path / "torchtune")
    assert any("pack.overlong" in line for line in said) == (overlong != "truncate")


def test_the_card_tells_of_the_rows_that_are_exported_and_of_every_input_row_once(long_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    run = chosen_at_random(long_file, tiny_model_dir, "model.max_length=256", "pack.overlong=drop", "sample.unit=tokens", "sample.ratio=1")
    card = card_of(run, tmp_path / "out", "trl")
    ids = [json.loads(line)["id"] for line in (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    lengths = Store(run).table("lengths", ["id", "response_tokens"]).to_pylist()
    held = sum(row["response_tokens"] for row in lengths if row["id"] in ids) / sum(row["response_tokens"] for row in lengths)
    assert f"| share of the response tokens | {held:.3f} |" in card
    assert held < 0.9
    assert "| share of the response tokens | 1.000 |" in card_of(run, tmp_path / "whole", "datasets")
    assert "| export | longer than model.max_length | 10 |" in card
    left = sum(int(line.split("|")[-2]) for line in card.split("| stage |")[1].split("\n\n")[0].splitlines()[2:])
    assert left + len(ids) == Store(run).table("ledger", ["id"]).num_rows
    assert {"model.max_length: 256", "pack.overlong: 'drop'"} <= {*card.splitlines()}


def test_the_card_names_the_version_that_chose(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    run = chosen_at_random(pool_file, tiny_model_dir)
    for stage, version in (("sample", "0.0.1"), ("curate", "0.0.2")):
        marker = run / "markers" / f"{stage}.json"
        told = json.loads(marker.read_text(encoding="utf-8"))
        told["versions"]["codeact"] = version
        marker.write_text(json.dumps(told), encoding="utf-8")
    said = card_of(run, tmp_path / "out")
    (line,) = (line for line in said.splitlines() if line.startswith("| codeact |"))
    assert "0.0.1 (sample)" in line
    assert "0.0.2 (curate)" in line
    assert f"| exported by | codeact {codeact.__version__} |" in said


def test_torchtune_gets_whole_epochs_a_step_and_what_it_has_words_for(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    _, said = configuration(chosen_at_random(pool_file, tiny_model_dir), "torchtune", tmp_path / "out")
    assert any("were not counted" in line for line in said)
    run = chosen_at_random(pool_file, tiny_model_dir, "sample.unit=tokens")
    settings, said = configuration(run, "torchtune", tmp_path / "out")
    assert isinstance(settings["epochs"], int)
    assert settings["epochs"] == 3
    assert len(said) == 1
    counts = {row["id"]: row["prompt_tokens"] + row["response_tokens"] for row in Store(run).table("lengths").to_pylist()}
    rows = -(-sum(counts[record.id] for record in selected_records(Store(run))) // 2048)
    assert settings["gradient_accumulation_steps"] <= rows  # it makes no step of fewer batches: none at all of a smaller epoch
    assert settings["lr_scheduler"]["_component_"].endswith(".get_cosine_schedule_with_warmup")
    assert not settings["optimizer_in_bwd"]
    other = ("train.method=lora", "train.lora_r=4", "train.scheduler=linear", "train.epochs=1.5", "train.gradient_checkpointing=true")
    settings, said = configuration(chosen_at_random(pool_file, tiny_model_dir, "sample.unit=tokens", *other), "torchtune", tmp_path / "out")
    assert (settings["epochs"], settings["model"]["lora_rank"], settings["enable_activation_checkpointing"]) == (2, 4, True)
    for word in ("train.epochs=1.5", "train.scheduler=linear", "train.method=lora"):
        assert any(word in line for line in said), word


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory", "torchtune"])
def test_it_warms_up_as_codeact_does(tool: str, pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    """12 records: codeact makes 3 steps of 16, or 60 of 1 in 5 epochs."""

    def warmup(*settings: str) -> int:
        found, _ = configuration(chosen_at_random(pool_file, tiny_model_dir, *settings), tool, tmp_path / "out")
        return int(found["lr_scheduler"]["num_warmup_steps"] if tool == "torchtune" else found["warmup_steps"])

    assert warmup() == 0
    assert warmup("pack.scope=none", "train.batch_size=1", "train.epochs=5") == 15
    assert warmup("pack.scope=none", "train.batch_size=1", "train.epochs=1") == 1


CHANGED: dict[str, Any] = {
    "train.method": "lora", "train.seed": 7, "train.loss": "sample-mean", "train.epochs": 5, "train.batch_size": 2, "train.grad_accum": 3,
    "train.learning_rate": 1e-3, "train.warmup_steps": 1, "train.weight_decay": 0.1, "train.scheduler": "linear", "train.max_grad_norm": 2.0,
    "train.train_on_prompt": True, "train.token_share": 0.5, "train.gradient_checkpointing": True, "train.lora_r": 4, "train.lora_alpha": 9,
    "train.lora_dropout": 0.1, "train.validation": 0.25, "pack.scope": "none", "pack.overlong": "split", "model.name": "other/model",
    "model.revision": "abc123", "model.dtype": "float32", "model.max_length": 512, "model.template": "alpaca",
}  # fmt: skip
NOTHING_THERE = {
    "train.shard", "train.save_steps", "train.save_minutes", "train.merge", "train.eval_steps", "train.report_to", "train.liger",
    "pack.rows_per_pass", "model.device",
}  # fmt: skip


def test_the_lists_name_every_key() -> None:
    keys = {f"{section}.{key}" for section in ("train", "pack", "model") for key in getattr(DEFAULTS, section).model_dump()}
    assert {*CHANGED} | NOTHING_THERE == keys
    assert {*EXPORTED} == {key for key in CHANGED if not key.startswith("model.")}


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory", "torchtune"])
def test_no_setting_of_training_is_lost_in_silence(
    tool: str, pool_file: Path, chat_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key is in the tool's configuration, in its tokens or in a warning; torchtune's only template is spoken of anyway, and it has no key for the model."""
    monkeypatch.setattr("codeact.lm.models.load_tokenizer", lambda name, revision: load_tokenizer(str(chat_model)))  # of hub names too
    plain = ("pack.scope=batch", "train.epochs=4", "train.batch_size=1", "train.warmup_steps=2", "train.method=lora", "model.max_length=128")
    run = chosen_at_random(pool_file, chat_model, *plain, "sample.unit=tokens", "model.template=chat")
    kept = run / "recipe.yaml"
    recipe = yaml.safe_load(kept.read_text(encoding="utf-8"))
    recipe["model"]["name"] = "some/model"
    kept.write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def written() -> tuple[Any, ...]:
        found = configuration(run, tool, tmp_path / "out")
        return (*found, tokens_of(tmp_path / "out", tool) if tool in TOKENISED else None)

    before = written()
    for key, value in CHANGED.items():
        if tool == "torchtune" and key in ("model.name", "model.template"):
            continue
        section, name = key.split(".")
        other = {**recipe, section: {**recipe[section], name: "full" if key == "train.method" else value}}
        kept.write_text(yaml.safe_dump(other), encoding="utf-8")
        assert written() != before, key


def test_the_revision_goes_with_its_own_model_only(pool_file: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("codeact.lm.models.load_tokenizer", lambda name, revision: (asked.append((name, revision)), load_tokenizer(str(tiny_model_dir)))[1])
    run = chosen_at_random(pool_file, tiny_model_dir)
    kept = run / "recipe.yaml"
    recipe = yaml.safe_load(kept.read_text(encoding="utf-8"))
    recipe["model"] |= {"name": "some/model", "revision": "abc123"}
    kept.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    for tool, key in (("trl", "model_revision"), ("axolotl", "revision_of_model"), ("llama-factory", "model_revision")):
        assert configuration(run, tool, tmp_path / tool)[0][key] == "abc123"
        assert key not in configuration(run, tool, tmp_path / tool, model="other/model")[0]
    assert {*asked} == {("some/model", "abc123"), ("other/model", None)}
    recipe["model"]["name"] = str(tiny_model_dir)  # a folder has none
    kept.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert "model_revision" not in configuration(run, "trl", tmp_path / "trl")[0]


def test_select_says_which_settings_wait_for_the_export(pool_file: Path, tiny_model_dir: Path) -> None:
    out = pool_file.with_name("chosen.jsonl")
    sets = ("train.method=lora", "train.epochs=1.5", "train.save_steps=5", "pack.overlong=drop")
    done = codeact_command(
        "select", str(pool_file), "--model", str(tiny_model_dir), "--strategy", "random", "--unit", "records", "-o", str(out),
        *(part for one in sets for part in ("--set", one)),
    )  # fmt: skip
    for key in ("train.method", "train.epochs", "pack.overlong"):
        assert f"{key} is kept for `codeact export`: no stage that runs reads it" in done.stderr
    assert [line for line in done.stderr.splitlines() if "no effect" in line] == [
        "warning: train.save_steps has no effect here: no stage that runs reads it (records, curate, sample)"
    ]
    settings, _ = configuration(out.with_name("chosen.codeact"), "trl", out.with_name("sft"))
    assert (settings["use_peft"], settings["num_train_epochs"]) == (True, 1.5)


def test_the_card_names_the_model_that_counted_and_no_stage_that_was_not_read(pool_file: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    run = chosen_at_random(pool_file, tiny_model_dir, "model.max_length=256", "sample.unit=tokens", "seed=5")
    card = card_of(run, tmp_path / "out")
    assert f"| tokens counted by | {tiny_model_dir} |" in card
    for line in (f"model.name: '{tiny_model_dir}'", "model.max_length: 256", "model.template: 'question'", "seed: 5"):
        assert line in card.splitlines()
    card = card_of(chosen_at_random(pool_file, tiny_model_dir, "model.max_length=256"), tmp_path / "out")  # by records: nothing is counted
    assert "tokens counted by" not in card
    assert "model." not in card


def test_bad_input_is_one_line(run_dir: Path, tmp_path: Path) -> None:
    assert "the tools are trl" in bad(run_dir, "--to", "trll", "-o", tmp_path / "x")
    assert "no finished selection" in bad(tmp_path, "--to", "trl", "-o", tmp_path / "x")
    folder = exported(run_dir, "datasets")
    before = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text("mine", encoding="utf-8")
    assert "README.md" in bad(run_dir, "--to", "datasets", "-o", folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == "mine"
    assert not api.export(run_dir, "datasets", folder, force=True)["warnings"]
    assert (folder / "README.md").read_text(encoding="utf-8") == before


def test_what_an_export_to_another_tool_left_is_named(run_dir: Path, tmp_path: Path) -> None:
    """Its configuration and tokens lay beside the new rows, as if they were of them."""
    folder = tmp_path / "sft"
    api.export(run_dir, "llama-factory", folder)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    told = api.export(run_dir, "torchtune", folder, force=True)["warnings"]
    assert told[-1] == f"{folder} holds sft.yaml, tokens too, of an earlier export: no part of this one; delete what you do not need"
    again = api.export(run_dir, "llama-factory", folder, force=True)["warnings"]
    assert [line for line in again if "earlier export" in line] == [told[-1].replace("sft.yaml, tokens", "dataset.yaml")]

"""`codeact train` and `codeact merge` as a user runs them: validation, trackers, LoRA and QLoRA, and bad input in one line."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import codeact
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.lm.models import load_model
from codeact.lm.prompts import load_template
from codeact.pipeline.plan import plan
from codeact.records import read_data, read_records
from codeact.rundir.inputs import Inputs
from codeact.training.data import hold_out, tokenise_records
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

USUAL = ("--max-length", "256", "--template", "question", "--dtype", "float32", "--batch-size", "4", "--json")


def command(pool: Path, model: Path, out: Path, *options: str) -> dict[str, Any]:
    done = cli("train", str(pool), "--model", str(model), "-o", str(out), *USUAL, *options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """24 records of mixed lengths."""
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(24))
    return file


def mean_loss(folder: Path, samples: list[Any]) -> float:
    """Token mean over the learnt tokens, one sample at a time, with the model's own logits."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    total, count = 0.0, 0
    for sample in samples:
        ids, labels = (torch.tensor(sample[key], dtype=torch.int64) for key in ("input_ids", "labels"))
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum", ignore_index=-100))
        count += int((labels[1:] != -100).sum())
    return total / count


@pytest.mark.parametrize("scope", ["batch", "epoch", "none"])
def test_validation_loss_is_the_token_mean_of_the_held_out_records(
    pool: Path, tiny_model_dir: Path, tmp_path: Path, scope: str
) -> None:
    options = ["--validation", "0.25", "--epochs", "2", "--set", "train.eval_steps=3", "--set", f"pack.scope={scope}"]
    out = tmp_path / "out"
    summary = command(pool, tiny_model_dir, out, *options, "--learning-rate", "0.003", "--report-to", "tensorboard")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    learnt, held = hold_out(read_data(pool).records, 0.25, 0)
    assert (len(learnt), len(held)) == (summary["records"], summary["validation_records"]) == (18, 6)
    samples = tokenise_records(held, load_template("question", tokenizer), tokenizer, 256).samples
    assert summary["first_validation_loss"] == pytest.approx(mean_loss(tiny_model_dir, samples), rel=1e-5)
    assert summary["final_validation_loss"] == pytest.approx(mean_loss(out / "model", samples), rel=1e-5)
    assert summary["final_validation_loss"] < summary["first_validation_loss"]

    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    watched = [row["step"] for row in rows if "validation_loss" in row]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, summary["steps"] + 1))
    assert watched == [0, *(n for n in steps if n % 3 == 0 or n == steps[-1])]
    events = scalars(out / "tensorboard")
    assert [events["train/loss"][n] for n in steps] == pytest.approx([row["loss"] for row in rows if "loss" in row])
    assert events["eval/loss"][0] == pytest.approx(summary["first_validation_loss"])


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Tag -> step -> value of TensorBoard's event files: records of length, checksum, bytes, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for file in folder.glob("events.out.tfevents.*"):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
            place += 16 + size
    return found


def test_holding_out_is_seeded_and_loses_nothing() -> None:
    records = read_records(pool_rows(20)).records
    learnt, held = hold_out(records, 0.1, 3)
    assert len(held) == 2
    assert sorted([*learnt, *held], key=records.index) == records
    assert hold_out(records, 0.1, 3) == (learnt, held)
    assert hold_out(records, 0.1, 4)[1] != held
    assert hold_out(records, 0.001, 3)[1] == hold_out(records, 0.05, 3)[1]  # at least one
    assert hold_out(records, 0, 3) == (records, [])


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_is_merged_on_demand(pool: Path, tiny_model_dir: Path, tmp_path: Path, method: str) -> None:
    from peft import PeftModel

    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    out, merged = tmp_path / "out", tmp_path / "merged"
    options = ["--method", method, "--no-merge", "--epochs", "1", "--learning-rate", "0.01"]
    summary = command(pool, tiny_model_dir, out, *options)
    assert summary["final_loss"] < summary["first_loss"]
    assert summary["model"] == str(out / "adapter")
    assert not (out / "model").exists()
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    assert summary["parameters"] - summary["trainable_parameters"] == sum(p.numel() for p in base.parameters())
    done = cli("merge", str(out / "adapter"), "-o", str(merged), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dtype"] == "float32"
    ids = torch.arange(20)[None]
    with torch.no_grad():
        plain = base(ids).logits
        apart = PeftModel.from_pretrained(base, out / "adapter")(ids).logits
        together = AutoModelForCausalLM.from_pretrained(merged)(ids).logits
        loaded = load_model(str(out / "adapter"), dtype="float32", device="cpu", attention="sdpa")(ids).logits
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loaded, apart, rtol=1e-4, atol=1e-4)
    assert (together - plain).abs().max() > 0.01
    assert AutoTokenizer.from_pretrained(merged).eos_token_id is not None


def test_a_training_leaves_nothing_of_another_and_starts_from_its_own_seed(pool: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    out, by_recipe, by_train = tmp_path / "out", ["--set", "seed=5"], ["--set", "train.seed=5"]
    short = ["--epochs", "0.5", "--learning-rate", "0.01"]
    command(pool, tiny_model_dir, out, *short, *by_train, "--method", "lora", "--no-merge", "--report-to", "tensorboard")
    assert {"adapter", "tensorboard"} <= {path.name for path in out.iterdir()}
    summaries = [command(pool, tiny_model_dir, folder, *short, *seed) for folder, seed in ((out, by_train), (tmp_path / "other", by_recipe))]
    assert {path.name for path in out.iterdir()} == {"model", "metrics.jsonl", "summary.json", ".codeact.json"}
    assert [one["final_loss"] for one in summaries] == [summaries[0]["final_loss"]] * 2
    probes = [load_recipe(extra={"model.name": str(tiny_model_dir), "data.source": str(pool), "train.seed": seed}) for seed in (None, 5)]
    plain, own = ({stage.name: stage for stage in plan(one, Inputs(one))}["learn"].config() for one in probes)
    assert own == {**plain, "train_seed": 5}


def test_an_adapter_is_merged_into_the_revision_that_it_was_trained_on(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dtype and the tokenizer were those of the default revision."""
    from huggingface_hub import constants
    from peft import LoraConfig, get_peft_model

    repository = tmp_path / "hub" / "models--team--tiny"
    (repository / "refs").mkdir(parents=True)
    for name, commit in (("main", "a" * 40), ("v1", "b" * 40)):
        shutil.copytree(tiny_model_dir, repository / "snapshots" / commit)
        (repository / "refs" / name).write_text(commit)
    AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.bfloat16).save_pretrained(repository / "snapshots" / ("b" * 40))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.chat_template = "of v1: {{ messages[0].content }}"
    tokenizer.save_pretrained(repository / "snapshots" / ("b" * 40))
    adapter = tmp_path / "adapter"
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_dir), LoraConfig(r=2, target_modules="all-linear")).save_pretrained(adapter)
    told = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**told, "base_model_name_or_path": "team/tiny", "revision": "v1"}))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert codeact.merge(adapter, tmp_path / "merged")["dtype"] == "bfloat16"
    assert str(AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template).startswith("of v1")


def test_merging_refuses_what_it_cannot_merge(tiny_model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "adapter"
    broken.mkdir()
    content = {"base_model_name_or_path": str(tmp_path / "gone"), "peft_type": "LORA"}
    (broken / "adapter_config.json").write_text(json.dumps(content))
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "note.txt").write_text("mine")
    for arguments, message in (
        ((str(tiny_model_dir), "-o", str(tmp_path / "a")), "holds no readable adapter_config.json"),
        ((str(broken), "-o", str(tmp_path / "b")), "gone"),
        ((str(broken), "-o", str(taken)), "holds other files"),
        ((str(broken), "-o", str(tmp_path / "c"), "--dtype", "int4"), "dtype 'int4' is unknown"),
    ):
        done = cli("merge", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert (taken / "note.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["learnt_tokens.npz", "tensorboard"])
def test_files_of_the_users_under_names_that_training_writes_are_left_alone(pool: Path, tiny_model_dir: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        codeact.train(pool, tmp_path / "out", model=str(tiny_model_dir))
    assert (tmp_path / "out" / name).read_text() == "mine"


def without_end(source: Path, target: Path) -> Path:
    """The model with a tokenizer that has neither an EOS nor a padding token."""
    shutil.copytree(source, target)
    file = target / "tokenizer_config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for key in ("eos_token", "pad_token"):
        content.pop(key, None)
    file.write_text(json.dumps(content), encoding="utf-8")
    (target / "special_tokens_map.json").unlink(missing_ok=True)
    return target


ROW = '{"instruction": "Add a and b.", "output": "return a + b"}\n'
BAD: dict[str, tuple[str, list[str], str]] = {
    "a capacity smaller than a sample": (
        ROW * 3,
        ["--max-length", "8", "--set", "pack.overlong=error"],
        "tokens, more than model.max_length = 8; raise model.max_length",
    ),
    "every sample too long": (
        ROW * 3,
        ["--max-length", "8", "--set", "pack.overlong=drop"],
        "all 3 records are longer",
    ),
    "an empty data set": ("", [], "is empty; give at least one"),
    "nothing learnt": ('{"instruction": "Add.", "output": ""}\n', [], "none of its rows is usable"),
    "a short context": (ROW * 3, ["--max-length", "4096"], "is beyond the context of"),
    "nothing to hold out": (ROW, ["--validation", "0.5"], "holds out at least one record, and there is only one"),
    "too much held out": (
        ROW * 3,
        ["--validation", "0.9"],
        "train.validation = 0.9: input should be less than or equal",
    ),
    "an unknown tracker": (ROW * 3, ["--report-to", "mlflow"], "input should be 'tensorboard', 'wandb' or 'trackio'"),
    "an unknown method": (ROW * 3, ["--method", "lora4"], "input should be 'full', 'lora' or 'qlora'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(case: str, tiny_model_dir: Path, tmp_path: Path) -> None:
    content, options, message = BAD[case]
    data, out = tmp_path / "data.jsonl", tmp_path / "out"
    data.write_text(content, encoding="utf-8")
    done = cli("train", str(data), "--model", str(tiny_model_dir), "-o", str(out), "--template", "question", *options)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.lower() or message in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("codeact:")]) == 1
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize("made", ["model", "train/model", "adapter", "train/adapter"])
def test_the_folder_around_a_model_names_the_model(made: str, tiny_model_dir: Path, tmp_path: Path) -> None:
    """What `train` and `run` leave: the model is below the folder that a user named."""
    below = tmp_path / "tuned" / made
    below.mkdir(parents=True)
    (below / ("adapter_config.json" if "adapter" in made else "config.json")).write_text("{}", encoding="utf-8")
    (tmp_path / "tuned/checkpoints").mkdir()
    (tmp_path / "tuned/checkpoints/config.json").write_text("{}", encoding="utf-8")
    done = cli("evaluate", str(tmp_path / "tuned"), "--tasks", "humaneval", "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.strip().endswith(f"holds no config.json, {below} has a model; give that one")


def test_a_tokenizer_that_cannot_end_is_refused(pool: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    model = without_end(tiny_model_dir, tmp_path / "endless")
    done = cli("train", str(pool), "--model", str(model), "-o", str(tmp_path / "out"), *USUAL)
    assert done.returncode == 2
    assert "its tokenizer has neither EOS nor pad token; set one in its tokenizer_config.json" in done.stderr


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("bitsandbytes", ["--method", "qlora"], "codeact[gpu]"),
        ("peft", ["--method", "lora"], "codeact[train]"),
        ("wandb", ["--report-to", "wandb"], "codeact[trackers]"),
        ("trackio", ["--report-to", "trackio"], "codeact[trackers]"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    pool: Path,
    tiny_model_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    options: list[str],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = cli("train", str(pool), "--model", str(tiny_model_dir), "-o", str(tmp_path / "out"), *USUAL, *options)
    assert done.returncode == 2
    assert f"needs the package {module!r}, which is not installed" in done.stderr
    assert extra in done.stderr


def test_an_adapter_on_an_adapter_and_zero_3_are_refused(
    pool: Path, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(pool, tiny_model_dir, tmp_path / "one", "--method", "lora", "--epochs", "0.2", "--no-merge")
    again = ("--model", str(tmp_path / "one" / "adapter"), "-o", str(tmp_path / "two"), *USUAL)
    done = cli("train", str(pool), *again, "--method", "lora")
    assert done.returncode == 2
    assert "merge it first: codeact merge" in done.stderr
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    done = cli("train", str(pool), "--model", str(tiny_model_dir), "-o", str(tmp_path / "three"), *USUAL)
    assert done.returncode == 2
    assert "DeepSpeed ZeRO stage 3 is not supported" in done.stderr
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    done = cli(
        "train", str(pool), "--model", str(tiny_model_dir), "-o", str(tmp_path / "four"), *USUAL, "--method", "qlora"
    )
    assert done.returncode == 2
    assert "train.method=qlora does not work under FSDP" in done.stderr

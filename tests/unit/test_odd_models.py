"""Model folders whose parts do not belong together, as people have them: told on one line, or used as far as they go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GemmaConfig, GPT2Config, PretrainedConfig, Qwen2Config

import codeact
from codeact.embed import embed_texts
from codeact.errors import InputError
from codeact.evaluation.generate import generate, task_prompt
from codeact.evaluation.likelihood import solution_stream
from codeact.evaluation.tasks import Task
from codeact.lm import models
from codeact.lm.identity import model_identity
from codeact.lm.prompts import RefusedError, encode, load_template
from codeact.records import Message, Record
from codeact.score.ifd import Scorer


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def add_token(folder: Path, *, pad: bool) -> None:
    """A token that the tokenizer has and the embeddings have not, as after `add_special_tokens` without a resize."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<new>"} if pad else {"additional_special_tokens": ["<new>"]})
    tokenizer.save_pretrained(folder)


TALK = [Message("user", "Add two numbers."), Message("assistant", "def add(a, b):\n    return a + b")]


def test_a_token_without_an_embedding_is_refused_where_it_is_used(folder: Path) -> None:
    before = models.load_tokenizer(str(folder))
    add_token(folder, pad=False)
    tokenizer = models.load_tokenizer(str(folder))
    template = load_template("question", tokenizer)
    assert encode(TALK, template, tokenizer).input_ids == encode(TALK, load_template("question", before), before).input_ids
    rows = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().num_embeddings
    with pytest.raises(RefusedError, match=rf"^token '<new>' is number {rows}, and .*model has embeddings of {rows} tokens: take the tokenizer"):
        encode([Message("user", "Add <new>."), TALK[1]], template, tokenizer)


def test_a_pad_token_without_an_embedding_gives_way_to_the_end_token(folder: Path) -> None:
    add_token(folder, pad=True)
    tokenizer = models.load_tokenizer(str(folder))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id != AutoTokenizer.from_pretrained(folder).pad_token_id


def test_a_tokenizer_of_another_model_scores_and_writes_nothing(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(100)
    model.save_pretrained(folder)
    tokenizer, lm = models.load_tokenizer(str(folder)), models.load_model(str(folder), dtype="float32")
    scored = Scorer(lm, tokenizer).score([Record("a", tuple(TALK))])
    assert [(s.status, "embeddings of 100 tokens" in s.detail) for s in scored] == [("refused", True)]
    task = Task("T/0", "def add(a, b):\n", "add", "    return a + b\n")
    with pytest.raises(RefusedError, match="embeddings of 100 tokens"):
        list(generate(lm, tokenizer, [task_prompt(task, "base", None, tokenizer)], max_new_tokens=2, batch_size=1))
    with pytest.raises(RefusedError, match="embeddings of 100 tokens"):
        solution_stream(task, tokenizer)


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def other_shape(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({**state, "model.norm.weight": torch.ones(5)}, folder / "model.safetensors", metadata={"format": "pt"})


def pad_beyond(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 10**6}))


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (pointer, "model.safetensors is a pointer of Git LFS and not the file itself; fetch it: git lfs pull"),
        (cut, "a file of its weights is cut or damaged"),
        (other_shape, r"model.norm.weight is \(5,\) in its files and \(32,\) by its config.json: they do not belong together"),
        (pad_beyond, "Padding_idx must be within num_embeddings"),
    ],
)
def test_a_folder_that_is_not_whole_is_told_on_one_line(folder: Path, break_it: Callable[[Path], None], told: str) -> None:
    break_it(folder)
    with pytest.raises(InputError, match=told) as raised:
        models.load_model(str(folder))
    assert "\n" not in str(raised.value)


def test_an_adapter_that_would_do_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    lora = peft.LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False)
    network = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), lora)
    network.save_pretrained(adapter)
    with torch.no_grad():
        found = models.load_model(str(adapter), dtype="float32")(input_ids=torch.tensor([[3, 4, 5]])).logits
        expected = network(input_ids=torch.tensor([[3, 4, 5]])).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    weights = adapter / "adapter_model.safetensors"
    state = load_file(weights)
    save_file({key.replace("q_proj", "query"): value for key, value in state.items()}, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match="Found missing adapter keys"):
        models.load_model(str(adapter))
    more = {key.replace("layers.0", "layers.7"): value.clone() for key, value in state.items()}
    save_file(more | state, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its base model has no place for 2 of its weights \(base_model.*layers.7"):
        models.load_model(str(adapter))
    weights.unlink()
    with pytest.raises(InputError, match=r"the folder holds no adapter_model\.safetensors"):
        models.load_model(str(adapter))


def test_an_adapter_on_half_a_model_is_refused(folder: Path, tmp_path: Path) -> None:
    lora = peft.LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=["q_proj"])
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), lora).save_pretrained(tmp_path / "adapter")
    without("mlp")(folder)
    for name in (folder, tmp_path / "adapter"):
        with pytest.raises(InputError, match=r"its files lack 1 weights \(model\.layers\.0\.mlp"):
            models.load_model(str(name))


def test_an_adapter_on_itself_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(folder)}))
    with pytest.raises(InputError, match="names its own folder as its base model"):
        model_identity(str(folder))


@pytest.mark.parametrize("kind", [Qwen2Config, GemmaConfig, GPT2Config])
def test_a_folder_without_tokenizer_files_is_refused(kind: type[PretrainedConfig], tmp_path: Path) -> None:
    """transformers makes a tokenizer that turns every text into nothing, or into one unknown token."""
    kind().save_pretrained(tmp_path)
    assert len(set(AutoTokenizer.from_pretrained(tmp_path)("def add(a, b): return a + b")["input_ids"])) < 2
    with pytest.raises(InputError, match="its tokenizer knows no words"):
        models.load_tokenizer(str(tmp_path))


def without(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        lost = next(key for key in state if name in key)
        save_file({key: value for key, value in state.items() if key != lost}, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def no_tokenizer(folder: Path) -> None:
    for file in [*folder.glob("tokenizer*"), *folder.glob("vocab*")]:
        file.unlink()


def no_pooling(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").unlink()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without("intermediate"), r"its files lack 1 weights \(encoder.layer"),
        (no_tokenizer, "its tokenizer knows no words"),
        (no_pooling, "cannot be loaded"),
        (without("pooler"), ""),
    ],
)
def test_an_embedder_that_is_not_whole_is_refused(
    tiny_embedder_dir: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str, plain: bool
) -> None:
    """What lacks would be random numbers, other ones at each start; the pooler's weights give no vector."""
    folder = Path(shutil.copytree(tiny_embedder_dir, tmp_path / "embedder"))
    if not plain:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": "p", "prompts": {"p": "x "}}))
    spoil(folder)
    if not told:
        assert embed_texts(["add"], model=str(folder)).shape[0] == 1
        return
    with pytest.raises(InputError, match=told) as raised:
        embed_texts(["add"], model=str(folder))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"model_type": "phi3", "original_max_position_embeddings": 128, "rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0]}},
         "(a rope of type 'su' is called 'longrope' now); mend config.json"),
        ({"num_hidden_layers": "two"}, "; mend config.json"),
    ],
)  # fmt: skip
def test_a_configuration_that_transformers_refuses_is_told_in_one_line(setting: dict[str, object], told: str, folder: Path) -> None:
    file = folder / "config.json"
    held = {key: value for key, value in json.loads(file.read_text(encoding="utf-8")).items() if not key.startswith("rope")}
    file.write_text(json.dumps(held | setting), encoding="utf-8")
    rows = [{"instruction": "Add.", "output": "a + b"}] * 2
    for call in (
        lambda: codeact.load_model(str(folder)),
        lambda: codeact.load_tokenizer(str(folder)),
        lambda: codeact.padding(rows, model=str(folder)),
        lambda: models.text_config(str(folder)),
    ):
        with pytest.raises(InputError, match=r"cannot be loaded: its config.json does not fit this version of transformers: ") as error:
            call()
        assert str(error.value).endswith(told)
        assert "\n" not in str(error.value)

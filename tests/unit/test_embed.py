"""Embeddings: against the bare encoder, whatever the batch size and the order; a random 2-layer BERT."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import codeact
from codeact.embed import embed_texts, load_embedder, open_embedder, unread_share
from codeact.errors import CodeactError, InputError
from codeact.lm.sentence_encoder import SentenceEncoder, plain_folder
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines

TEXTS = [
    "write a python function that can sort numbers",
    "",
    "sort",
    "merge files, count words, parse rows. " * 4,
    "reverse users",
    "   ",
    "filter prices version 7 " * 60,
    "sort",
]


@pytest.fixture(scope="module")
def embedder(tiny_embedder_dir: Path) -> Any:
    return load_embedder(str(tiny_embedder_dir), "cpu")


class Counter:
    def __init__(self) -> None:
        self.done = 0.0

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.done += amount


def by_hand(folder: Path, texts: list[str], limit: int) -> NDArray[np.float32]:
    """One text at a time through the bare encoder: mean of the token vectors, scaled to length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=limit)
        with torch.no_grad():
            mean = model(**inputs).last_hidden_state[0].mean(dim=0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


def test_rows_are_the_mean_pooled_unit_vectors_of_the_texts(embedder: Any, tiny_embedder_dir: Path) -> None:
    progress = Counter()
    found = embed_texts(TEXTS, model=embedder, batch_size=3, progress=progress)
    assert found.dtype == np.float32
    assert progress.done == len(TEXTS)
    np.testing.assert_allclose(found, by_hand(tiny_embedder_dir, TEXTS, embedder.max_seq_length), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # Different texts must be told apart, or the comparison above would prove little.
    assert np.abs(found[0] - found[4]).max() > 1e-2


def test_batch_size_and_order_change_nothing(embedder: Any) -> None:
    one = embed_texts(TEXTS, model=embedder, batch_size=1)
    for size in (2, 5, 64):
        np.testing.assert_allclose(embed_texts(TEXTS, model=embedder, batch_size=size), one, atol=1e-5)
    np.testing.assert_allclose(embed_texts(TEXTS[::-1], model=embedder)[::-1], one, atol=1e-5)


def test_text_is_cut_at_the_embedders_own_limit(tiny_embedder_dir: Path) -> None:
    model = load_embedder(str(tiny_embedder_dir), "cpu")
    model.max_seq_length = 10  # [CLS], eight words, [SEP]
    words = ["write", "a", "python", "function", "that", "can", "sort", "words"]
    whole, longer, shorter = embed_texts(
        [" ".join(words), " ".join([*words, "merge", "files"]), " ".join(words[:-1])], model=model
    )
    np.testing.assert_allclose(longer, whole, atol=1e-5)
    assert np.abs(shorter - whole).max() > 1e-3


def test_a_name_loads_the_model_and_no_texts_give_no_rows(tiny_embedder_dir: Path, embedder: Any) -> None:
    by_name = embed_texts(["sort rows"], model=str(tiny_embedder_dir), device="cpu")
    np.testing.assert_allclose(by_name, embed_texts(["sort rows"], model=embedder), atol=1e-6)
    assert embed_texts([], model=embedder).shape == (0, by_name.shape[1])


def test_half_precision_weights_are_run_in_float32(tiny_embedder_dir: Path, tmp_path: Path) -> None:
    import torch

    half = load_embedder(str(tiny_embedder_dir), "cpu").to(torch.bfloat16)
    half.save(str(tmp_path / "half"))
    loaded = load_embedder(str(tmp_path / "half"), "cpu")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    one, two = (embed_texts(TEXTS, model=loaded, batch_size=size) for size in (1, 8))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_weights_that_give_nan_are_an_error_not_a_number(tiny_embedder_dir: Path) -> None:
    import torch

    broken = load_embedder(str(tiny_embedder_dir), "cpu")
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(CodeactError, match="no usable vector for text 1"):
        embed_texts(["a", "sort words and rows"], model=broken, batch_size=1)


def test_models_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_embedder_dir: Path) -> None:
    from huggingface_hub import constants

    def refusal(name: str) -> str:
        with pytest.raises(InputError) as caught:
            load_embedder(name, "cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such folder" in refusal("")
    assert "no such folder" in refusal(str(tmp_path / "absent"))
    assert "neither modules.json nor config.json" in refusal(str(tmp_path))
    shutil.copytree(tiny_embedder_dir, tmp_path / "cut")
    for weights in (tmp_path / "cut").rglob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:100])
    assert "cannot be loaded" in refusal(str(tmp_path / "cut"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal("nobody/no-such-embedder")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 does not serve it or cannot be reached" in refusal("nobody/no-such-embedder")


def test_bad_settings(embedder: Any, tiny_embedder_dir: Path) -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        embed_texts(["a"], model=embedder, batch_size=0)
    with pytest.raises(InputError, match="device"):
        load_embedder(str(tiny_embedder_dir), "abacus")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_plain_encoder_needs_no_sentence_transformers_and_gives_its_vectors(
    tiny_embedder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str, scaled: bool
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_embedder_dir, folder)
    change(folder / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    change(folder / "sentence_bert_config.json", {"max_seq_length": 12})
    if scaled:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
        (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
        (folder / "2_Normalize").mkdir()
    expected = load_embedder(str(folder), "cpu").encode(TEXTS, batch_size=3)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # to import it fails
    embedder = open_embedder(str(folder), "cpu")
    np.testing.assert_array_equal(embedder.encode(TEXTS, batch_size=3), expected)
    assert embed_texts(TEXTS, model=str(folder), device="cpu").shape == expected.shape


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("config_sentence_transformers.json", {"default_prompt_name": "query", "prompts": {"query": "ask: "}}),
        ("config_sentence_transformers.json", {"truncate_dim": 8}),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}),
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"padding": "max_length"}}}),
        ("config.json", {"model_type": "modernbert"}),
        ("config.json", {"auto_map": {"AutoModel": "own.Model"}}),
        ("adapter_config.json", {}),
    ],
)
def test_any_other_encoder_is_left_to_sentence_transformers(tiny_embedder_dir: Path, tmp_path: Path, file: str, what: dict[str, Any]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_embedder_dir, folder)
    assert plain_folder(str(folder)) == folder
    change(folder / file, what)
    assert plain_folder(str(folder)) is None


def change(file: Path, what: dict[str, Any]) -> None:
    said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps(said | what), encoding="utf-8")


def test_a_copy_in_the_cache_that_lacks_its_weights_is_left_to_the_library_which_fetches_them(
    tiny_embedder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    kept = tmp_path / "models--someone--encoder"
    shutil.copytree(tiny_embedder_dir, kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("codeact.embed._load_any", lambda name, where, device, revision: f"fetched {where}")
    assert isinstance(open_embedder("someone/encoder"), SentenceEncoder)
    next((kept / "snapshots" / "abc").glob("*.safetensors")).unlink()
    assert open_embedder("someone/encoder") == "fetched someone/encoder"


def test_an_embedder_that_changed_at_the_hub_embeds_anew(tiny_embedder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    kept = tmp_path / "models--someone--encoder"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(tiny_embedder_dir, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "data.jsonl", [{"instruction": f"sort {n} numbers", "output": "x"} for n in range(3)])
    run = ("embed", "data.jsonl", "--embedder", "someone/encoder", "--run-dir", "run", "--set", "curate.decontaminate=[]")
    for commit, state in (("a", "vectors 3"), ("a", "done before"), ("b", "vectors 3")):
        (kept / "refs" / "main").write_text(commit * 40)
        assert f"embed: {state}" in cli(*run).stderr, commit
    assert "embed: vectors 3" in cli(*run, "--set", f"embed.revision={'a' * 40}").stderr
    assert json.loads((tmp_path / "run" / "markers" / "embed.json").read_text())["config"]["embedder_commit"] == "a" * 40


def test_how_much_of_a_text_an_embedder_does_not_read(tiny_embedder_dir: Path, tmp_path: Path) -> None:
    name = str(tiny_embedder_dir)
    assert unread_share(["write a python function", "sort numbers"], name) == 0
    assert unread_share(["排序列表", "sort"], name) == pytest.approx(4 / 5)
    assert unread_share([""], name) is None
    folder = shutil.copytree(tiny_embedder_dir, tmp_path / "cyrillic")
    for file in folder.rglob("vocab.txt"):
        file.unlink()
    for file in folder.rglob("tokenizer.json"):  # a vocabulary of single letters
        made = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = made["model"]["vocab"]
        vocabulary |= {piece: len(vocabulary) + n for n, piece in enumerate(["с", "##п", "##и", "##о", "##к"])}
        file.write_text(json.dumps(made), encoding="utf-8")
    assert unread_share(["список"], str(folder)) == 1


def test_an_embedder_that_does_not_read_the_language_is_told(tiny_embedder_dir: Path, tmp_path: Path) -> None:
    for language, words in (("zh", "排序列表中的数字"), ("en", "sort the numbers of a list")):
        rows = [{"instruction": f"{words} {n}", "output": f"print({n})"} for n in range(20)]
        write_lines(tmp_path / f"{language}.jsonl", rows)
        done = cli("embed", str(tmp_path / f"{language}.jsonl"), "--embedder", str(tiny_embedder_dir), "--run-dir", str(tmp_path / language))
        assert done.returncode == 0, done.stderr
        assert ("does not read" in done.stderr) == (language == "zh"), done.stderr
        again = cli("cluster", str(tmp_path / f"{language}.jsonl"), "--embedder", str(tiny_embedder_dir), "--run-dir", str(tmp_path / language))
        assert again.returncode == 0, again.stderr
        page = codeact.report(tmp_path / language).read_text(encoding="utf-8")
        assert ("The embedder does not read" in page) == (language == "zh")

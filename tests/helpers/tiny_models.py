"""Tokenizers trained in the test and tiny Llamas beside them. Heavy libraries are imported late, as in the product."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helpers.pool import NOUNS, VERBS


def byte_level(texts: Sequence[str], size: int, special: Sequence[str]) -> Any:
    """A byte-level BPE of the library `tokenizers`, trained on some texts; `special` are its first entries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )  # fmt: skip
    core.train_from_iterator(texts, trainer)
    return core


def ended(core: Any, end: str = "<end>") -> Any:
    """A fast tokenizer of transformers whose end-of-sequence and pad token is `end`."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=end, pad_token=end)


def save_llama(folder: Path, tokenizer: Any, seed: int, vocabulary: int, positions: int) -> Path:
    """A random 2-layer Llama of 16 dimensions with its tokenizer, as `save_pretrained` writes them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=positions, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_embedder(folder: Path) -> Path:
    """A random 2-layer BERT as a sentence-transformers folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [chr(c) for c in range(97, 123)] + [str(d) for d in range(10)]
    words = [*VERBS, *NOUNS, "write", "a", "python", "function", "that", "can", "version"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *dict.fromkeys([*words, *letters])]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=128
    )  # fmt: skip
    plain = folder / "bert"
    BertModel(config).save_pretrained(plain)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(plain)
    SentenceTransformer(str(plain), device="cpu").save(str(folder / "model"))
    return folder / "model"


def greedy_alone(model: Any, prompt: Sequence[int], new_tokens: int, end: int) -> list[int]:
    """Transformers' greedy search on one prompt: the new tokens, with the end token where one was written."""
    import torch

    ids = torch.tensor([list(prompt)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new_tokens, use_cache=True,
        eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    return list(out[0, ids.shape[1] :].tolist())

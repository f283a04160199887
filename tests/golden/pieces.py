"""What the golden results are made from: a model, an embedder and records by a fixed rule, so that no random generator decides them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VERBS = ("add", "sort", "reverse", "count", "merge", "filter", "parse", "join")
NOUNS = ("numbers", "words", "rows", "files", "users", "prices")
JAVA = "class Sum {\n    static int sum(int[] xs) {\n        int s = 0;\n        for (int x : xs) s += x;\n        return s;\n    }\n}\n"
CANONICAL = """    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            if abs(numbers[i] - numbers[j]) < threshold:
                return True
    return False
"""
ANSWERS = [
    {"task_id": "HumanEval/2", "solution": "Sure!\n```python\ndef truncate_number(number: float) -> float:\n    return number % 1.0\n```\nDone."},
    {"task_id": "HumanEval/53", "solution": "def add(x: int, y: int):\n    return x - y\n"},
    {"task_id": "HumanEval/23", "solution": "The length of it:\n\ndef strlen(string: str) -> int:\n    return len(string)\n\nThat is all."},
    {"task_id": "HumanEval/45", "solution": "I cannot help with that."},
]  # fmt: skip


def spread(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`count` numbers from -1 to 1 by splitmix64: whole numbers only, so the same on every machine."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed) * np.uint64(1_000_003)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2**52 - 1.0


def fill(model: Any, scale: float, seed: int) -> Any:
    """The model with every matrix set by `spread`; what normalises keeps its ones."""
    import torch

    for number, (name, weight) in enumerate(sorted(dict(model.named_parameters()).items())):
        if weight.ndim > 1:
            values = spread(weight.numel(), seed + number).reshape(weight.shape) * scale
            values *= 0.1 if "position" in name or "token_type" in name else 1.0  # the words matter
            with torch.no_grad():
                weight.copy_(torch.from_numpy(values.astype(np.float32)))
    return model


def write_model(folder: Path, seed: int = 1) -> Path:
    """A 2-layer Llama whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    config = LlamaConfig(
        vocab_size=len(letters), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048, tie_word_embeddings=True, eos_token_id=0, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    fill(LlamaForCausalLM(config), 0.35, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_embedder(folder: Path) -> Path:
    """A 2-layer BERT as a sentence-transformers folder."""
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [chr(c) for c in range(97, 123)] + [str(d) for d in range(10)]
    words = [*VERBS, *NOUNS, "write", "a", "function", "that", "can", "python", "java", "with", "care", "version"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *dict.fromkeys([*words, *letters])]
    vocabulary += [f"##{letter}" for letter in letters]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=64
    )  # fmt: skip
    fill(BertModel(config), 0.35, 50).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))
    return folder / "model"


def plain_row(n: int) -> dict[str, str]:
    """A row whose answer parses and is of a length of its own."""
    verb, noun = VERBS[n % 8], NOUNS[n * 5 // 8 % 6]
    body = "".join(f"    {noun}.{verb}({n * 7 % 13}, {k})\n" for k in range(1 + n * 5 % 9))
    return {
        "instruction": f"{verb.capitalize()} {noun} {n}",
        "output": f"def {verb}_{noun}({noun}):\n{body}    return {noun}\n",
    }


def rows(plain: int = 20) -> list[dict[str, Any]]:
    """Plain rows, and one for each thing that a stage decides about a row by itself."""
    first = plain_row(0)
    return [
        *(plain_row(n) for n in range(plain)),
        dict(first),
        {**first, "output": first["output"].replace("numbers", "items")},
        {"instruction": "Write a function with no answer.", "output": ""},
        {"instruction": "Write a broken function.", "output": "def f(:\n    return 1\n"},
        {"instruction": "Write a function that can refuse.", "output": "I'm sorry, but I cannot help with that."},
        {"instruction": "Write a function that can count.", "output": "def count(xs):\n    return len(ys)\n"},
        {"instruction": "Sum an array in Java.", "output": f"```java\n{JAVA}```"},
        {"instruction": "Upload a file with care.", "output": 'token = "ghp_' + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36] + '"\n'},
        {
            "instruction": "from typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
            '    """ Check if in given list of numbers, are any two numbers closer to each other than\n    given threshold."""\n',
            "output": f"def has_close_elements(numbers, threshold):\n{CANONICAL}",
        },
        {
            "conversations": [
                {"from": "human", "value": "Write a function that can add."},
                {"from": "gpt", "value": "def add(a, b):\n    return a + b\n"},
                {"from": "human", "value": "Now in Python with care."},
                {"from": "gpt", "value": "def add(a, b):\n    return sum((a, b))\n"},
            ]
        },
        {"unknown": "columns"},
    ]  # fmt: skip


def judged(prompt: str) -> str:
    """What the canned judge says of a record: a rating, now and then one that cannot be read; or tags."""
    size = len(prompt)
    if '"tag"' in prompt or "tags" in prompt.lower():
        return json.dumps([{"tag": f"topic {size % 3}", "explanation": ""}, {"tag": VERBS[size % 8], "explanation": ""}])
    return "I will not say." if size % 11 == 0 else f"Score: {1 + size % 5}\nFine."

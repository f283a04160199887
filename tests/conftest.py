"""Tiny real objects: a random 2-layer model with a BPE tokenizer trained here, a random 2-layer sentence embedder, a small pool."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

if TYPE_CHECKING:
    from codeact.sandbox import Backend

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads only wait for each other
_scores = tempfile.TemporaryDirectory(prefix="codeact-scores-")
os.environ["CODEACT_SCORES"] = _scores.name  # no test finds scores that an earlier run of the tests left

VERBS = ("add", "sort", "reverse", "count", "merge", "filter", "parse", "join")
NOUNS = ("numbers", "words", "rows", "files", "users", "prices")


@dataclass
class Finished:
    """What a command printed and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def codeact_command(*arguments: str) -> Finished:
    """Run the `codeact` command in this process, through the entry point that the console script calls."""
    from codeact.cli import main

    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["codeact", *arguments]),
    ):
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Finished(status, out.getvalue(), err.getvalue())


def pool_rows(count: int) -> list[dict[str, str]]:
    """Instruction/output rows with code of very different lengths; every response parses."""
    rows = []
    for n in range(count):
        verb, noun = VERBS[n % len(VERBS)], NOUNS[n // len(VERBS) % len(NOUNS)]
        body = "".join(f"    step_{k} = [{verb}_{k}(x) for x in {noun}]\n" for k in range(1 + n * 7 % 11))
        text = f"def {verb}_{noun}_{n}({noun}):\n{body}    return {noun}\n"
        rows.append({"instruction": f"Write a Python function that can {verb} {noun}, version {n}.", "output": text})
    return rows


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer Llama with its byte-level BPE tokenizer, as `save_pretrained` writes them."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    texts = [f"Question:\n{r['instruction']}\n\nAnswer:\n{r['output']}" for r in pool_rows(64)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True, eos_token_id=0, bos_token_id=None, pad_token_id=0,
        initializer_range=0.2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny-llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer BERT as a sentence-transformers folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-embedder")
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


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests of a module share a cache directory that nothing else has written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEACT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


SANDBOXES = ("bubblewrap", "landlock")


def sandbox_missing(name: str) -> str:
    """Why this machine cannot have that sandbox, "" where it can: asked of the machine, not of the code that is tested."""
    if name == "bubblewrap":
        program = shutil.which("bwrap")
        if program is None:
            return "bwrap is not installed"
        started = subprocess.run(
            [program, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
        )
        return started.stderr.strip()[:200] if started.returncode else ""
    if sys.platform != "linux":
        return f"{sys.platform} has no Landlock"
    create_ruleset, want_version = 444, 1
    version = ctypes.CDLL(None).syscall(create_ruleset, None, ctypes.c_size_t(0), want_version)
    return "" if version >= 1 else "this kernel has no Landlock"


def held_sandbox(name: str) -> Backend:
    """The sandbox; the test fails where the machine can have it and it does not hold, for whatever reason."""
    from codeact.sandbox import probe_backend

    missing = sandbox_missing(name)
    if missing:
        pytest.skip(f"{name} was not tested: {missing}")
    probe = probe_backend(name)  # type: ignore[arg-type]
    if probe.backend is None:
        pytest.fail(f"{name} is installed and does not hold ({probe.state}): {probe.problem}")
    return probe.backend


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the sandboxes that no test has attacked, also where only the number of skipped tests would tell."""
    skipped = [
        str(report.longrepr[2])
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    ]
    for line in sorted({text.removeprefix("Skipped: ") for text in skipped if " was not tested: " in text}):
        terminalreporter.write_line(f"security tests skipped: {line}", yellow=True)


@pytest.fixture(scope="session")
def sandbox() -> Backend:
    """The strongest sandbox that this machine can have."""
    return held_sandbox(next((name for name in SANDBOXES if not sandbox_missing(name)), SANDBOXES[-1]))


@pytest.fixture(scope="session", params=SANDBOXES)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each of the safe sandboxes that this machine can have."""
    return held_sandbox(request.param)


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    """48 records as JSONL with an extra field."""
    file = tmp_path / "pool.jsonl"
    rows = [{**row, "source": f"s{n}"} for n, row in enumerate(pool_rows(48))]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file

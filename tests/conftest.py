"""Tiny real objects: a random 2-layer model with a BPE tokenizer trained here, a random 2-layer sentence embedder, a small pool."""

from __future__ import annotations

import gc
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import processes
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.sandboxes import SANDBOXES, held_sandbox, sandbox_missing
from tests.helpers.tiny_models import byte_level, ended, save_embedder

if TYPE_CHECKING:
    from codeact.sandbox import Backend

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# the same examples on every machine, however slow: what passed here passes there. `--hypothesis-profile search` draws new ones
settings.register_profile("same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("same"), derandomize=False, print_blob=True)
settings.load_profile("same")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads only wait for each other
_scores = tempfile.TemporaryDirectory(prefix="codeact-scores-")
os.environ["CODEACT_SCORES"] = _scores.name  # no test finds scores that an earlier run of the tests left


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer Llama with its byte-level BPE tokenizer, as `save_pretrained` writes them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    texts = [f"Question:\n{r['instruction']}\n\nAnswer:\n{r['output']}" for r in pool_rows(64)]
    tokenizer = ended(byte_level(texts, 600, ["<|end|>"]), "<|end|>")
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
    return save_embedder(tmp_path_factory.mktemp("tiny-embedder"))


def pytest_configure(config: pytest.Config) -> None:
    """Workers of xdist share what the process that starts them makes; where they are many, they are forks of one that has the libraries loaded."""
    if not hasattr(config, "workerinput"):
        processes.begin()
        if (started := config.getoption("tx", None) or []) == ["popen"] * len(started) and len(started) > 2:
            config.option.tx = [f"popen//python={processes.WORKER}"] * len(started)


def pytest_unconfigure(config: pytest.Config) -> None:
    """All tests have run."""
    if not hasattr(config, "workerinput"):
        processes.end()


def pytest_collection_finish() -> None:
    """The libraries are loaded: no collection of garbage looks through their million objects again. A training calls for several."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """The same for what the tests of a file loaded late, or keep for others."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """What a killed process has written is there also without it; it guards against a loss of power, which no test makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_index() -> Iterator[None]:
    """A run reads the index of the benchmarks from the cache, a third of a second; the runs of this process read it once."""
    from codeact.curate import kept_index

    once = lru_cache(maxsize=2)(kept_index.kept_index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_index, "kept_index", lambda items, ngram: once(tuple(items), ngram))
        yield


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests of a module share a cache directory that nothing else has written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEACT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose slow tests take the most come first, so that no core is left alone with one of them at the end."""
    seconds: Counter[Path] = Counter()
    for item in items:
        if marker := item.get_closest_marker("slow"):
            seconds[item.path] += marker.args[0] if marker.args else 5
    items.sort(key=lambda item: -seconds[item.path])


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
    write_lines(file, rows)
    return file

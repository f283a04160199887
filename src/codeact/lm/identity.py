"""What the name of a model stands for: a hub repository, a folder, a GGUF file, the demo models; and its identity.

Used by loading (`codeact.lm.models`), by checks before any work (`codeact.rundir.inputs`, `codeact.pipeline`), by fingerprints
of scores and evaluations, and by other engines that load models themselves (embedders, vLLM, merging).
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact.downloads import DEMO, converted, demo_embedder, demo_model, files_digest, quiet_loading
from codeact.errors import InputError
from codeact.files import LFS_POINTER, at_home, utf8_path

# Without it, transformers asks on the terminal whether it may run a repository's own code.
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
POINTER_BYTES = 1024  # a pointer is three lines
IDENTITY_SUFFIXES = (".safetensors", ".bin", ".json", ".model", ".jinja", ".txt", ".gguf")


def resolve(name: str, revision: str | None = None) -> str:
    """The folder or hub name that a `--model` value stands for; a GGUF file is converted once into the cache.

    Raises:
        InputError: the name is empty, or looks like a path that does not exist.
    """
    if not name:
        raise InputError("no model is named; give --model a hub name, a local folder, a GGUF file or `demo`")
    if name == DEMO:
        return str(demo_model())
    path = at_home(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"model {name}: no such GGUF file")
        return str(converted(utf8_path(path, "model")))
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
            below = _models_below(path)
            mend = f", {below[0]} has a model; give that one" if below else "; give a folder written by save_pretrained"
            raise InputError(f"model {name}: the folder holds no config.json{mend}")
        return str(utf8_path(path, "model"))
    if path.is_file():
        raise InputError(f"model {name}: a file, but no .gguf; give a hub name, a local folder, a GGUF file or `demo`")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"model {name}: no such folder; give a hub name, a local folder, a GGUF file or `demo`")
    check_hub(name, revision)
    return name


def _models_below(path: Path) -> list[Path]:
    """Folders of models one or two levels down, as `train` and `run` leave them; whole models before adapters and checkpoints."""
    found = [file.parent for pattern in ("*/config.json", "*/*/config.json", "*/adapter_config.json", "*/*/adapter_config.json") for file in path.glob(pattern)]
    return sorted(dict.fromkeys(found), key=lambda one: (one.name not in ("model", "adapter"), one.name != "model", str(one)))


def resolve_embedder(name: str, revision: str | None = None) -> str:
    """The folder or hub name that an `embed.model` value stands for.

    Raises:
        InputError: no such folder, or the hub does not serve it, or not this revision of it.
    """
    if name == DEMO:
        return str(demo_embedder())
    path = at_home(name)
    if name and path.is_dir():
        if not (path / "modules.json").is_file() and not (path / "config.json").is_file():
            raise InputError(
                f"embedder {name}: the folder holds neither modules.json nor config.json; give a sentence-transformers folder"
            )
        return str(utf8_path(path, "embedder"))
    if not name or name.startswith((".", "/", "~")) or name.count("/") > 1 or path.exists():
        raise InputError(
            f"embedder {name!r}: no such folder; give a sentence-transformers name, a local folder or `demo`"
        )
    check_hub(hub_name(name), revision, what="embedder")
    return name


def model_title(name: str, embedder: bool = False) -> str:
    """What a name is told as: `demo` stands for a model with a name of its own."""
    return (("all-MiniLM-L6-v2" if embedder else "SmolLM2-135M-Instruct") + " (demo)") if name == DEMO else name


def hub_name(embedder: str) -> str:
    """The repository of an embedder's name: short names live under sentence-transformers."""
    return embedder if "/" in embedder else f"sentence-transformers/{embedder}"


def hub_commit(name: str, revision: str | None = None, what: str = "model") -> str:
    """The commit of a hub repository that loaders take: that of the copy in the cache, else the hub is asked and config.json fetched.

    Raises:
        InputError: as `check_hub`.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    check_hub(name, revision, what)
    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
        return Path(found if isinstance(found, str) else hf_hub_download(name, "config.json", revision=revision)).parent.name
    except _hub_errors() as error:
        raise InputError(f"{what} {name!r}: config.json cannot be fetched ({' '.join(str(error).split())[:120]}); look at the network") from error


def check_hub(name: str, revision: str | None = None, what: str = "model") -> None:
    """Ask the hub once, without retries, whether a repository is there; a cached one is not asked for.

    Raises:
        InputError: there is no such repository, or the hub cannot be reached and nothing is cached.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    try:
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return
        if constants.HF_HUB_OFFLINE:
            raise InputError(
                f"{what} {name!r}: not in the local cache, and HF_HUB_OFFLINE is set; unset it or give a local folder"
            )
        get_hf_file_metadata(
            hf_hub_url(name, "config.json", revision=revision, endpoint=constants.ENDPOINT), timeout=10
        )
    except _hub_errors() as error:
        where = " as embed.model (--embedder)" if what == "embedder" else ""  # few have chosen the embedder: it has a default
        raise InputError(
            f"{what} {name!r}: no such folder here, nothing cached, and {constants.ENDPOINT} does not serve it or cannot be reached "
            f"({' '.join(str(error).split())[:120]}); check the name and the network, or give a local folder or `demo`{where}"
        ) from error


def _hub_errors() -> tuple[type[Exception], ...]:
    """What a refused or failed request raises; connection failures are those of the HTTP library under huggingface_hub."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    libraries = (sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules)
    return (OSError, HfHubHTTPError, HFValidationError, *(library.TransportError for library in libraries))


def adapter_base(where: str | Path) -> tuple[str, str | None] | None:
    """Name and revision of the model that a LoRA adapter's folder was trained on; None for anything else.

    Raises:
        InputError: the adapter names no base model.
    """
    file = Path(where, "adapter_config.json")
    if not file.is_file():
        return None
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON: {error}; save the adapter anew with save_pretrained") from error
    name = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"{file} names no base_model_name_or_path; save the adapter anew with save_pretrained")
    if Path(name).resolve() == file.parent.resolve():
        raise InputError(f"{file} names its own folder as its base model; put the base model's name into base_model_name_or_path")
    return name, settings.get("revision")


def model_identity(name: str, revision: str | None = None) -> str:
    """What makes scores comparable: a SHA-256 over a folder's weights, configuration and tokenizer, or a hub commit.

    A LoRA adapter's names its base model's too.

    Raises:
        InputError: the model does not exist.
    """
    where = Path(resolve(name, revision))
    if where.is_dir():
        files = sorted(f for f in where.iterdir() if f.is_file() and f.suffix in IDENTITY_SUFFIXES)
        identity = "sha256:" + _kept_digest(files)[:32]
        base = adapter_base(where)
        # the base model's weights lie elsewhere, and may be changed there
        return f"{identity} on {model_identity(*base)}" if base else identity
    from transformers import AutoConfig

    with quiet_loading():
        try:
            config = AutoConfig.from_pretrained(str(where), revision=revision, **NO_CODE)
        except unreadable() as error:
            raise InputError(no_model(name, error)) from error
    commit = getattr(config, "_commit_hash", None)
    return f"hub:{name}@{commit or revision or 'main'}"


Place = tuple[tuple[str, int, int, int], ...]
"""Files by their path, place, size and time."""
_DIGESTS: dict[Place, str] = {}


def kept_digests() -> dict[Place, str]:
    """The digests of models' files that this process has taken, by what it saw of the files."""
    return dict(_DIGESTS)


def take_digests(known: Mapping[Place, str]) -> None:
    """Digests of another process: files that it saw as they are here are not read again."""
    _DIGESTS.update(known)


def _kept_digest(files: list[Path]) -> str:
    """`files_digest`, read once while path, place, size and time of the files stay the same."""
    place = tuple((str(file.resolve()), there.st_ino, there.st_size, there.st_mtime_ns) for file in files for there in (file.stat(),))
    if place not in _DIGESTS:
        _DIGESTS[place] = files_digest(files)
    return _DIGESTS[place]


def unreadable(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What reading a model raises where its files are wrong, and `more`.

    A pickle checkpoint is read without its code (torch's weights_only): one that holds anything but tensors raises UnpicklingError, an
    empty one EOFError. A config.json that lacks a setting or has a wrong one raises KeyError or StrictDataclassError.
    """
    from huggingface_hub.errors import StrictDataclassError

    return (OSError, ValueError, RuntimeError, ImportError, EOFError, KeyError, StrictDataclassError, pickle.UnpicklingError, *more)


def no_model(name: str, error: Exception) -> str:
    """Why a model cannot be loaded, on one line, with the mend."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # its text is quoted else
    reason = " ".join(str(said).split()) or type(error).__name__
    if pointer := _pointer(at_home(name)):
        return f"model {name!r} cannot be loaded: {pointer.name} is a pointer of Git LFS and not the file itself; fetch it: git lfs pull"
    if isinstance(error, KeyError) or type(error).__name__.startswith("StrictDataclass"):
        renamed = " (a rope of type 'su' is called 'longrope' now)" if isinstance(error, KeyError) and "longrope" in reason else ""
        return f"model {name!r} cannot be loaded: its config.json does not fit this version of transformers: {reason[:160]}{renamed}; mend config.json"
    if "deserializing header" in reason:
        return f"model {name!r} cannot be loaded: a file of its weights is cut or damaged ({reason}); fetch it again"
    if "trust_remote_code" in reason:
        return (
            f"model {name!r} cannot be loaded: it needs code from its own repository (trust_remote_code), which codeact never"
            " runs; give a model of an architecture that transformers has"
        )
    if isinstance(error, pickle.UnpicklingError | EOFError):
        return (
            f"model {name!r} cannot be loaded: its checkpoint is a pickle (.bin) that is damaged or holds more than tensors,"
            " and codeact runs no code from it; save the model as safetensors with save_pretrained"
        )
    return f"model {name!r} cannot be loaded: {reason[:160]}; give a hub name, a local folder, a GGUF file or `demo`"


def _pointer(folder: Path) -> Path | None:
    """The first file of a folder that Git LFS left as a pointer."""
    small = (f for f in sorted(folder.glob("*")) if f.suffix in IDENTITY_SUFFIXES and f.is_file() and f.stat().st_size < POINTER_BYTES)
    return next((f for f in small if f.read_bytes().startswith(LFS_POINTER)), None)

"""The only loader of causal language models and tokenizers: hub names, folders, GGUF files and the demo models."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

from codeact.downloads import converted, demo_embedder, demo_model, files_digest, quiet_loading
from codeact.errors import InputError, require
from codeact.lm.attention import NOT_PACKED

DEMO = "demo"
# Without it, transformers asks on the terminal whether it may run a repository's own code.
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
# What a folder's files can be wrong with. A pickle checkpoint is read without its code (torch's weights_only): one that
# holds anything but tensors raises UnpicklingError, an empty one EOFError.
UNREADABLE = (OSError, ValueError, RuntimeError, ImportError, EOFError, pickle.UnpicklingError)
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
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"model {name}: no such GGUF file")
        return str(converted(path))
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
            raise InputError(f"model {name}: the folder holds no config.json; give a folder written by save_pretrained")
        return str(path)
    if path.is_file():
        raise InputError(f"model {name}: a file, but no .gguf; give a hub name, a local folder, a GGUF file or `demo`")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"model {name}: no such folder; give a hub name, a local folder, a GGUF file or `demo`")
    check_hub(name, revision)
    return name


def resolve_embedder(name: str) -> str:
    """The folder or hub name that an `embed.model` value stands for.

    Raises:
        InputError: no such folder, or the hub does not serve it.
    """
    if name == DEMO:
        return str(demo_embedder())
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (path / "modules.json").is_file() and not (path / "config.json").is_file():
            raise InputError(
                f"embedder {name}: the folder holds neither modules.json nor config.json; give a sentence-transformers folder"
            )
        return str(path)
    if not name or name.startswith((".", "/", "~")) or name.count("/") > 1 or path.exists():
        raise InputError(
            f"embedder {name!r}: no such folder; give a sentence-transformers name, a local folder or `demo`"
        )
    check_hub(hub_name(name), what="embedder")
    return name


def hub_name(embedder: str) -> str:
    """The repository of an embedder's name: short names live under sentence-transformers."""
    return embedder if "/" in embedder else f"sentence-transformers/{embedder}"


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
        raise InputError(
            f"{what} {name!r}: no such folder here, nothing cached, and {constants.ENDPOINT} does not serve it or cannot be reached "
            f"({' '.join(str(error).split())[:120]}); check the name and the network, or give a local folder or `demo`"
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
    return name, settings.get("revision")


def load_tokenizer(name: str, revision: str | None = None) -> Any:
    """A fast tokenizer with a pad token (EOS where it has none of its own).

    Raises:
        InputError: it does not exist, or has no fast version (character offsets are needed).
    """
    from transformers import AutoTokenizer

    where = resolve(name, revision)
    base = adapter_base(where)
    if base and not Path(where, "tokenizer_config.json").is_file():
        return load_tokenizer(*base)
    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, **NO_CODE)
        except UNREADABLE as error:
            raise InputError(no_model(name, error)) from error
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"model {name}: its tokenizer gives no character offsets (it is not a fast one); choose a model with tokenizer.json"
        )
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"model {name}: its tokenizer has neither EOS nor pad token; set one in its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = "codeact",
    four_bit: bool = False,
) -> Any:
    """A causal LM on its device, in eval mode, without KV cache by default.

    Args:
        name: hub name, local folder (a LoRA adapter folder too), GGUF file or `demo`.
        revision: hub branch, tag or commit.
        dtype: float32, bfloat16, float16, or auto (see `choose_dtype`).
        device: auto, cpu, cuda, cuda:N, mps.
        attention: a Transformers attention implementation; "codeact" isolates the samples of packed rows; "any" is that, or
            the library's own (None) where the architecture does not go with it: for what packs nothing.
        four_bit: hold the linear layers in 4 bits (NF4 with double quantisation, QLoRA, arXiv 2305.14314) and compute in `dtype`.

    Raises:
        InputError: the model does not exist, is no causal LM, needs code of its own or has no place for "codeact"; a LoRA
            adapter is asked for in 4 bits.
        MissingExtraError: `four_bit` without bitsandbytes.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    if attention == "any":
        return _load_any(name, revision=revision, dtype=dtype, device=device)
    if attention == "codeact":
        from codeact.lm.attention import register

        attention = register()
    where = resolve(name, revision)
    place = choose_device(device)
    kind = choose_dtype(dtype, place)
    adapter = Path(where, "adapter_config.json").is_file()
    missing: list[str] = []
    options = _four_bit_options(name, adapter, kind, place) if four_bit else {}
    with quiet_loading():
        try:
            if adapter:
                model = _load_adapter(where, kind, attention)
            else:
                loaded: Any = AutoModelForCausalLM.from_pretrained(
                    where,
                    revision=revision,
                    dtype=kind,
                    attn_implementation=attention,
                    output_loading_info=True,
                    **NO_CODE,
                    **options,
                )
                model, found = loaded
                missing = sorted(found["missing_keys"])
        except KeyError as error:
            if attention not in error.args:  # looked up among the architecture's own classes of attention
                raise
            raise InputError(f"model {name!r} {NOT_PACKED}") from error
        except (*UNREADABLE, SafetensorError) as error:
            raise InputError(no_model(name, error)) from error
    if missing:  # transformers fills them with random numbers
        raise InputError(
            f"model {name!r} cannot be loaded: its files lack {len(missing)} weights of {type(model).__name__} ({missing[0]}, ...);"
            " it is no causal language model, or not all of one"
        )
    model.config.use_cache = False
    if four_bit:  # is on its device
        _keep_trainable(model)
        return model.eval()
    return model.to(place).eval()


def _load_any(name: str, **options: Any) -> Any:
    """The model with attention "codeact" if it runs a short input so, else with the library's own."""
    import torch

    try:
        model = load_model(name, attention="codeact", **options)
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device))
    except (InputError, TypeError, AttributeError, LookupError, ValueError, RuntimeError):
        model = load_model(name, attention=None, **options)  # a model that is at fault itself fails again
        model.not_packed = f"model {name!r} {NOT_PACKED}"  # the guard says so
    return model


def _keep_trainable(model: Any) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first pass in eval mode, as it does on CPUs with AVX512-BF16.

    The packed layout has no backward pass: a check before training would cut the gradients of all layers below, silently.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _four_bit_options(name: str, adapter: bool, dtype: Any, device: Any) -> dict[str, Any]:
    """Arguments of `from_pretrained` that load a model in 4 bits, straight onto its device."""
    require("bitsandbytes", "gpu", "a base model in 4 bits")
    if device.type not in ("cuda", "cpu"):
        raise InputError(f"a base model in 4 bits runs on CUDA GPUs (and, slowly, on CPUs), not on {device}")
    if adapter:
        raise InputError(
            f"model {name}: a LoRA adapter has no 4-bit form; merge it first: codeact merge {name} -o MERGED"
        )
    import torch
    from transformers import BitsAndBytesConfig

    quantisation = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    place = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device
    return {"quantization_config": quantisation, "device_map": {"": place}}


def _load_adapter(where: str, dtype: Any, attention: str | None) -> Any:
    peft = require("peft", "train", f"loading the LoRA adapter {where}")
    return peft.AutoPeftModelForCausalLM.from_pretrained(
        where, dtype=dtype, attn_implementation=attention, **NO_CODE
    )


def context_length(config: Any) -> int | None:
    """Longest sequence that the model's positions cover, in tokens; None where the configuration names no limit."""
    for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(config, key, None)
        if isinstance(value, int) and 0 < value < 10**9:
            return value
    return None


def choose_device(name: str = "auto") -> Any:
    """`auto`: CUDA, else Apple's MPS, else CPU.

    Raises:
        InputError: the device named is not there.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not a device; use auto, cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices that PyTorch can use"
        )
    return device


def choose_dtype(name: str, device: Any) -> Any:
    """`auto`: bfloat16 on CUDA devices that have it (else float16), on CPUs that multiply it in hardware bfloat16, else float32."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_prefers_bfloat16() else torch.float32


def cpu_prefers_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX), as Linux says; without, it is slower by 2 to 300 times.

    Not a timing: the dtype is part of the fingerprint of scores, which must not change because the machine is busy.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16"})


def model_identity(name: str, revision: str | None = None) -> str:
    """What makes scores comparable: a SHA-256 over a folder's weights, configuration and tokenizer, or a hub commit.

    A LoRA adapter's names its base model's too.

    Raises:
        InputError: the model does not exist.
    """
    where = Path(resolve(name, revision))
    if where.is_dir():
        files = sorted(f for f in where.iterdir() if f.is_file() and f.suffix in IDENTITY_SUFFIXES)
        identity = "sha256:" + files_digest(files)[:32]
        base = adapter_base(where)
        # the base model's weights lie elsewhere, and may be changed there
        return f"{identity} on {model_identity(*base)}" if base else identity
    from transformers import AutoConfig

    with quiet_loading():
        try:
            config = AutoConfig.from_pretrained(str(where), revision=revision, **NO_CODE)
        except UNREADABLE as error:
            raise InputError(no_model(name, error)) from error
    commit = getattr(config, "_commit_hash", None)
    return f"hub:{name}@{commit or revision or 'main'}"


def no_model(name: str, error: Exception) -> str:
    """Why a model cannot be loaded, on one line, with the mend."""
    reason = " ".join(str(error).split())
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

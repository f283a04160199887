"""LoRA adapters merged into their base model, on demand or at the end of a training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import InputError
from codeact.models import NO_CODE, UNREADABLE, load_model, no_model


def merge_adapter(adapter: Path, tokenizer: Any, out_dir: Path, dtype: str = "auto", stops: Sequence[int] = ()) -> str:
    """Write the model that a LoRA adapter and its base make together: W + B A * alpha / r (LoRA, arXiv 2106.09685).

    The base is loaded anew, unquantised and on the CPU, so the adapter of a base in 4 bits (QLoRA) is merged without the
    rounding of those 4 bits.

    Args:
        adapter: a folder written by PEFT's `save_pretrained`; its configuration names the base model.
        tokenizer: saved beside the model.
        out_dir: the model's folder; replaced whole.
        dtype: of the merged weights: float32, bfloat16, float16, or auto for the base model's own.
        stops: as `save_model`.

    Returns:
        The dtype that was written.

    Raises:
        InputError: the folder holds no LoRA adapter, its base model cannot be loaded, or the output cannot be written.
        MissingExtraError: peft is not installed.
    """
    base = base_of(adapter)
    kind = base_dtype(base) if dtype == "auto" else dtype
    model = load_model(str(adapter), dtype=kind, device="cpu", attention=None).merge_and_unload()
    save_model(model, tokenizer, out_dir, kind, stops)
    return kind


def base_of(adapter: Path) -> str:
    """The name or folder of the model that an adapter belongs to.

    Raises:
        InputError: the folder holds no LoRA adapter.
    """
    try:
        content = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{adapter} holds no readable adapter_config.json; give the adapter/ folder that a LoRA training wrote"
        ) from error
    base = content.get("base_model_name_or_path") if isinstance(content, dict) else None
    if not base:
        raise InputError(f"{adapter}/adapter_config.json names no base model; set base_model_name_or_path there")
    return str(base)


def base_dtype(base: str) -> str:
    """The dtype that a model's weights are stored in, as its configuration says; float32 where it says nothing.

    Raises:
        InputError: there is no such model.
    """
    from transformers import AutoConfig

    try:
        dtype = getattr(AutoConfig.from_pretrained(base, **NO_CODE), "dtype", None)
    except UNREADABLE as error:
        raise InputError(f"the adapter's base {no_model(base, error)}; put it back in its place") from error
    return str(dtype).removeprefix("torch.") if dtype is not None else "float32"


def save_model(
    network: Any,
    tokenizer: Any,
    out_dir: Path,
    dtype: str,
    stops: Sequence[int] = (),
    state: dict[str, Any] | None = None,
) -> None:
    """Write a `from_pretrained` folder with the tokenizer, in `dtype`.

    Args:
        network: the model; its own weights are converted in place.
        tokenizer: saved beside it.
        out_dir: replaced whole, once everything is written.
        dtype: float32, bfloat16 or float16.
        stops: tokens that end a learnt turn; they join the generation settings' EOS tokens, so that generation ends where
            the model has learnt to end.
        state: the weights, where the network itself holds only a part of them (FSDP).

    Raises:
        InputError: the folder cannot be written.
    """
    import torch

    from codeact.train.trainer import hushed

    known = network.generation_config.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    ends = sorted({*known, *stops})
    network.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0] if ends else None
    network.config.use_cache = True
    kind = getattr(torch, dtype)
    if state is None:
        network = network.to(kind)
    else:
        network.config.dtype = kind
        state = {name: part.to(kind) if part.is_floating_point() else part for name, part in state.items()}

    def write(folder: Path) -> None:
        network.save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)

    with hushed():
        replace_folder(out_dir, write)


def replace_folder(folder: Path, write: Callable[[Path], Any]) -> None:
    """Write a folder beside its place and move it there when it is whole.

    Raises:
        InputError: it cannot be written.
    """
    fresh = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        write(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror or error}; free some space or choose another output"
        ) from error

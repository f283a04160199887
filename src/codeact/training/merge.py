"""LoRA adapters merged into their base model, on demand or at the end of a training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import CodeactError, InputError
from codeact.files import atomic_folder
from codeact.lm.identity import NO_CODE, adapter_base, no_model, unreadable
from codeact.lm.models import keep_cache, load_model
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

log = logging.getLogger(__name__)

PROBE_TOKENS = 24
# Difference of logits, relative to the largest: equal up to summation order; and what the rounding of weights to 16 bits may
# move without a warning. Both are of activations in float32: a whole forward pass in bfloat16 is off by as much as .1.
EXACT, ROUNDED = 1e-4, 5e-2


def merge_adapter(
    adapter: Path, tokenizer: Tokenizer, out_dir: Path, dtype: str = "auto", stops: Sequence[int] = ()
) -> str:
    """Write the model that a LoRA adapter and its base make together: W + B A * alpha / r (LoRA, arXiv 2106.09685).

    The base is loaded anew, unquantised and on the CPU, so the adapter of a base in 4 bits (QLoRA) is merged without the
    rounding of those 4 bits. Where the adapter changes an output head that shares its weights with the input embeddings, or
    those, each gets weights of its own, unless they end up equal.

    Merged in float32 and rounded once. The logits of base and adapter and of the merged model are compared in float32, and what
    was written, loaded again, has the merged weights bit for bit; both before anything is put in place. A warning says where the
    rounding to 16 bits moves logits by more than `ROUNDED` of the largest. Peak memory: 4 bytes a parameter.

    Args:
        adapter: a folder written by PEFT's `save_pretrained`; its configuration names the base model.
        tokenizer: saved beside the model.
        out_dir: the model's folder; replaced whole.
        dtype: of the merged weights: float32, bfloat16, float16, or auto for the base model's own.
        stops: as `save_model`.

    Returns:
        The dtype that was written.

    Raises:
        InputError: the folder holds no LoRA adapter, its base model cannot be loaded, it lacks embeddings of its tokenizer's
            new tokens, or the output cannot be written.
        CodeactError: the merged model, or what was written of it, computes something else than base and adapter do, or its
            weights do not fit into the dtype.
        MissingExtraError: peft is not installed.
    """
    base, revision = base_of(adapter)
    kind = base_dtype(base, revision) if dtype == "auto" else dtype
    model: Any = load_model(str(adapter), dtype="float32", device="cpu", attention=None)
    if not hasattr(model, "merge_and_unload"):
        raise InputError(f"{adapter} holds no adapter that can be merged into its base's weights (a prompt, for example)")
    _check_new_tokens(model, adapter, base, revision)
    apart = _logits(model)
    shared = _untie(model)
    model = model.merge_and_unload()
    if shared:
        _tie_again(model)
    what = f"{adapter} merged into {base}"
    _compare(what, _logits(model), apart)
    if kind != "float32":
        _round(model, kind, what)

    def check(folder: Path) -> None:
        _same_weights(load_model(str(folder), dtype=kind, device="cpu", attention=None), model, what)

    save_model(model, tokenizer, out_dir, kind, stops, check=check)
    return kind


def _round(model: Model, dtype: str, what: str) -> None:
    """Round the weights to 16 bits where they are, still held in float32, and say where that moves the logits by much."""
    import torch

    exact = _logits(model)
    with torch.no_grad():
        for weight in model.state_dict().values():
            if weight.is_floating_point():
                weight.copy_(weight.to(getattr(torch, dtype)))
    moved = _gap(_logits(model), exact)
    if not moved < float("inf"):
        raise CodeactError(
            f"{what}: its weights do not fit into {dtype}, so nothing was written; write them in float32 or bfloat16"
        )
    if moved > ROUNDED:
        log.warning(
            "%s: rounding to %s moves the logits by %.2g of the largest; float32 keeps them", what, dtype, moved
        )


def _same_weights(written: Model, merged: Model, what: str) -> None:
    import torch

    found, expected = written.state_dict(), merged.state_dict()
    other = sorted(found.keys() ^ expected.keys()) or [n for n, w in found.items() if not torch.equal(w, expected[n])]
    if other:
        raise CodeactError(
            f"what was written of {what} holds other weights ({other[0]}), so nothing was put in place; report this"
        )


def _logits(model: Model) -> torch.Tensor:
    """Logits of tokens from the whole vocabulary, its ends included: float32 [1, T, V]."""
    import torch

    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    ids = torch.linspace(0, rows - 1, PROBE_TOKENS).round().long()
    order = torch.randperm(PROBE_TOKENS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids[order].unsqueeze(0), use_cache=False).logits.float()
    return found


def _compare(what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    gap = _gap(found, expected)
    if not gap <= EXACT:
        raise CodeactError(
            f"{what} computes other logits than base and adapter do (by {gap:.2g} of the largest, allowed {EXACT:g}), so"
            " nothing was written; load the adapter with PEFT instead of merging it, and report this"
        )


def _gap(found: torch.Tensor, expected: torch.Tensor) -> float:
    same = found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max()) if same else float("inf")


def _check_new_tokens(model: PeftModel, adapter: Path, base: str, revision: str | None) -> None:
    """Refuse rows of the embeddings that neither base nor adapter has: PEFT would fill them with random numbers."""
    from transformers import AutoConfig

    known = AutoConfig.from_pretrained(base, revision=revision, **NO_CODE).get_text_config().vocab_size
    causal: Any = model.get_base_model()
    embeddings = causal.get_input_embeddings()
    name = next(name for name, module in causal.named_modules() if module is embeddings)
    if embeddings.weight.shape[0] > known and not any(f"{name}." in key for key in _keys(adapter)):
        raise InputError(
            f"{adapter}: its tokenizer has tokens beyond the {known} of {base}, and it holds no embeddings of them; save it"
            " anew with save_embedding_layers=True"
        )


def _keys(adapter: Path) -> list[str]:
    """Names of the tensors in an adapter's file."""
    from peft.utils.save_and_load import load_peft_weights

    return list(load_peft_weights(str(adapter), device="cpu"))


def _untie(model: PeftModel) -> bool:
    """Give the head weights of its own where it shares the embeddings' and an adapter touches one of the two."""
    import torch

    causal: Any = model.get_base_model()
    embeddings, head = causal.get_input_embeddings(), causal.get_output_embeddings()
    if embeddings is None or head is None:
        return False
    shared = {id(parameter) for parameter in embeddings.parameters()}
    plain = (torch.nn.Linear, torch.nn.Embedding)
    touched = type(embeddings) not in plain or type(head) not in plain
    found = [
        (module, name)
        for module in head.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in shared
    ]
    if not touched:
        return False
    for module, name in found:
        setattr(module, name, torch.nn.Parameter(getattr(module, name).detach().clone(), requires_grad=False))
    return bool(getattr(causal.config.get_text_config(), "tie_word_embeddings", False))


def _tie_again(model: Model) -> None:
    """Share one matrix where embeddings and head ended up with equal ones; else the configuration says that they are two."""
    import torch

    embeddings: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    equal = torch.equal(embeddings.weight, head.weight)
    if equal:
        head.weight = embeddings.weight
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.tie_word_embeddings = equal


def base_of(adapter: Path) -> tuple[str, str | None]:
    """The name or folder of the model that an adapter belongs to, and its revision at the hub.

    Raises:
        InputError: the folder holds no LoRA adapter.
    """
    base = adapter_base(adapter)
    if base is None:
        raise InputError(f"{adapter} holds no readable adapter_config.json; give the adapter/ folder that a LoRA training wrote")
    return base


def base_dtype(base: str, revision: str | None = None) -> str:
    """The dtype that a model's weights are stored in, as its configuration says; float32 where it says nothing.

    Raises:
        InputError: there is no such model.
    """
    from transformers import AutoConfig

    try:
        dtype = getattr(AutoConfig.from_pretrained(base, revision=revision, **NO_CODE), "dtype", None)
    except unreadable() as error:
        raise InputError(f"the adapter's base {no_model(base, error)}; put it back in its place") from error
    return str(dtype).removeprefix("torch.") if dtype is not None else "float32"


def save_model(
    network: Model,
    tokenizer: Tokenizer,
    out_dir: Path,
    dtype: str,
    stops: Sequence[int] = (),
    state: dict[str, Any] | None = None,
    check: Callable[[Path], None] | None = None,
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
        check: raises where the folder, written but not yet in its place, is not what it should be.

    Raises:
        InputError: the folder cannot be written.
    """
    import torch

    from codeact.training.trainer import hushed

    known = network.generation_config.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    ends = sorted({*known, *stops})
    network.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0] if ends else None
    keep_cache(network, True)
    kind = getattr(torch, dtype)
    if state is None:
        network = network.to(kind)
    else:
        network.config.dtype = kind
        state = {name: part.to(kind) if part.is_floating_point() else part for name, part in state.items()}

    with hushed(), atomic_folder(out_dir) as folder:
        network.save_pretrained(str(folder), state_dict=state)
        tokenizer.save_pretrained(folder)
        if check is not None:
            check(folder)

"""The only loader of causal language models and tokenizers.

Used by every stage that runs a model, by training and evaluation, and by `codeact.load_model` and `codeact.load_tokenizer`.
What a name stands for is in `identity`, where a model runs and in which dtype in `devices`.
"""

from __future__ import annotations

import logging
import warnings
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.downloads import allow_long_texts, check_loaded, quiet_loading
from codeact.errors import InputError, require
from codeact.lm.attention import NOT_PACKED
from codeact.lm.devices import choose_device, choose_dtype
from codeact.lm.identity import NO_CODE, adapter_base, no_model, resolve, unreadable
from codeact.lm.passes import PARTED, pass_limits
from codeact.lm.prompts import NO_WORDS, has_words, limit_vocabulary
from codeact.types import Model, Tokenizer

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PretrainedConfig

log = logging.getLogger(__name__)
FOREIGN = "it belongs to another base model, or was saved by a tool that names weights otherwise"


def load_tokenizer(name: str | PathLike[str], revision: str | None = None) -> Tokenizer:
    """A fast tokenizer with a pad token (EOS where it has none of its own).

    Raises:
        InputError: it does not exist, knows no words, or has no fast version (character offsets are needed).
    """
    from transformers import AutoTokenizer

    name = fspath(name)
    where = resolve(name, revision)
    base = adapter_base(where)
    if base and not Path(where, "tokenizer_config.json").is_file():
        return load_tokenizer(*base)
    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, **NO_CODE)
        except unreadable() as error:
            raise InputError(no_model(name, error)) from error
    if not has_words(tokenizer):
        raise InputError(f"model {name}: {NO_WORDS}")
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"model {name}: its tokenizer gives no character offsets (it is not a fast one); choose a model with tokenizer.json"
        )
    rows = None if base else _embedding_rows(where, revision)
    if rows is not None and rows < len(tokenizer):
        limit_vocabulary(tokenizer, rows, name)
    if tokenizer.pad_token_id is None or (rows is not None and tokenizer.pad_token_id >= rows):
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"model {name}: its tokenizer has neither EOS nor pad token; set one in its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return allow_long_texts(tokenizer)


def _embedding_rows(where: str, revision: str | None) -> int | None:
    """How many tokens the model has embeddings of; None where the configuration is not there or does not say."""
    try:
        rows = getattr(text_config(where, revision), "vocab_size", None)
    except InputError:  # a tokenizer alone; who loads the model is told
        return None
    return rows if isinstance(rows, int) else None


def load_model(
    name: str | PathLike[str],
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str | None = "codeact",
    four_bit: bool = False,
) -> Model:
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

    name = fspath(name)
    if attention == "any":
        return _load_any(name, revision, dtype, device)
    if attention == "codeact":
        from codeact.lm.attention import register

        attention = register()
    where = resolve(name, revision)
    torch_device = choose_device(device)
    kind = choose_dtype(dtype, torch_device)
    adapter = Path(where, "adapter_config.json").is_file()
    options = _four_bit_options(name, adapter, kind, torch_device) if four_bit else {}
    log.debug("model %s: loads in %s on %s", name, kind, torch_device)
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
                    ignore_mismatched_sizes=True,  # transformers tells them on several lines; they are refused
                    **NO_CODE,
                    **options,
                )
                model = loaded[0]
                check_loaded(loaded[1])
        except KeyError as error:
            # looked up among the architecture's own classes of attention, or in the configuration
            raise InputError(f"model {name!r} {NOT_PACKED}" if attention in error.args else no_model(name, error)) from error
        except unreadable(SafetensorError, AssertionError) as error:  # torch asserts that the pad token has an embedding
            raise InputError(no_model(name, error)) from error
    keep_cache(model, False)
    if four_bit:  # is on its device
        _keep_trainable(model)
        return model.eval()
    return model.to(torch_device).eval()


def keep_cache(model: Model, wanted: bool) -> None:
    """Switch the KV cache on or off where a call does not say; a model of texts and images asks its text part's configuration."""
    for config in (model.config, model.config.get_text_config()):
        config.use_cache = wanted


def _load_any(name: str, revision: str | None, dtype: str, device: str) -> Model:
    """The model with attention "codeact" if that gives the logits of the library's own, else with the latter."""
    try:
        model = load_model(name, revision=revision, dtype=dtype, device=device, attention="codeact")
        if _same_with_own_attention(model):
            return model
    except (InputError, TypeError, AttributeError, LookupError, ValueError, RuntimeError):
        pass
    model = load_model(name, revision=revision, dtype=dtype, device=device, attention=None)  # a model that is at fault itself fails again
    model.not_packed = f"model {name!r} {NOT_PACKED}"  # type: ignore[assignment]  # the guard says so
    return model


def _same_with_own_attention(model: Model) -> bool:
    """Whether a short text has the same logits by "codeact" as by transformers' attention: some hand theirs more than that takes."""
    import torch

    from codeact.lm.forward import PROBE_TOKENS, allowed_gap, log_probability_gap, without_adapter

    drawn = torch.randint(0, model.config.get_text_config().vocab_size, (1, PROBE_TOKENS[0]), generator=torch.Generator().manual_seed(0))
    ids = drawn.to(model.device)
    inner = without_adapter(model)
    ours = inner.config._attn_implementation
    with torch.no_grad(), quiet_loading():
        found = model(input_ids=ids, use_cache=False).logits
        inner.set_attn_implementation("sdpa" if getattr(inner, "_supports_sdpa", False) else "eager")
        own = model(input_ids=ids, use_cache=False).logits
        inner.set_attn_implementation(ours)
    return log_probability_gap(own, found, model.dtype != torch.float32) <= allowed_gap(model)


def _keep_trainable(model: Model) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first pass in eval mode, as it does on CPUs with AVX512-BF16.

    The packed layout has no backward pass: a check before training would cut the gradients of all layers below, silently.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _four_bit_options(name: str, adapter: bool, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
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
    torch_device = torch.cuda.current_device() if device.type == "cuda" and device.index is None else device
    return {"quantization_config": quantisation, "device_map": {"": torch_device}}


def _load_adapter(where: str, dtype: torch.dtype, attention: str | None) -> PeftModel:
    peft = require("peft", "train", f"loading the adapter {where}")
    if not any(Path(where).glob("adapter_model.*")):
        raise InputError(f"adapter {where}: the folder holds no adapter_model.safetensors; save the adapter anew with save_pretrained")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            model: PeftModel = peft.AutoPeftModelForCausalLM.from_pretrained(
                where, dtype=dtype, attn_implementation=attention, **NO_CODE
            )
        except UserWarning as warning:  # the adapter would do nothing there
            raise InputError(f"adapter {where} cannot be loaded: {_few_words(warning)}; {FOREIGN}") from warning
    if base := adapter_base(where):
        from transformers import AutoModelForCausalLM

        # on the device "meta" no weight is read
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            base[0], revision=base[1], device_map="meta", output_loading_info=True, ignore_mismatched_sizes=True, **NO_CODE
        )
        check_loaded(loaded[1])
    left = [key for key in model.load_adapter(where, "default").unexpected_keys if key != "prompt_embeddings"]  # PEFT sets these itself
    if left:
        raise InputError(f"adapter {where} cannot be loaded: its base model has no place for {len(left)} of its weights ({left[0]}, ...); {FOREIGN}")
    return model


def _few_words(error: Warning) -> str:
    return " ".join(str(error).split())[:160]


def text_config(name: str, revision: str | None = None) -> PretrainedConfig:
    """Configuration of a model's language part, of a LoRA adapter its base model's; no weights are read.

    Raises:
        InputError: the model does not exist.
    """
    from transformers import AutoConfig

    where = resolve(name, revision)
    if base := adapter_base(where):
        return text_config(*base)
    with quiet_loading():
        try:
            config: PretrainedConfig = AutoConfig.from_pretrained(where, revision=revision, **NO_CODE)
        except unreadable() as error:
            raise InputError(no_model(name, error)) from error
    return config.get_text_config()


def context_length(config: PretrainedConfig) -> int | None:
    """Longest sequence that the model's positions cover, in tokens; None where the configuration names no limit."""
    for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(config, key, None)
        if isinstance(value, int) and 0 < value < 10**9:
            return value
    return None


def apart(name: str, revision: str | None, max_length: int) -> dict[str, int]:
    """What a fingerprint says where texts of so many tokens may not share every pass of a model (`codeact.lm.passes`); else nothing.

    Raises:
        InputError: the model does not exist.
    """
    return {"passes": PARTED} if pass_limits(text_config(name, revision)).crossed(max_length) else {}


def projection_sizes(config: PretrainedConfig) -> list[tuple[int, int]]:
    """Of each layer's attention: entries of all queries, and of all keys, of one token; layers may differ (Gemma 4)."""
    text = config.get_text_config()
    layers = text.per_layer_config if getattr(text, "is_heterogeneous", False) else [text] * text.num_hidden_layers
    found = []
    for layer in layers:
        heads = int(layer.num_attention_heads)
        size = getattr(layer, "head_dim", None) or layer.hidden_size // heads
        found.append((heads * size, (getattr(layer, "num_key_value_heads", None) or heads) * size))
    return found

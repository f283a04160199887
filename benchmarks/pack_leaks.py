"""The guard on every causal architecture of transformers that a tiny random model can be made of.

    python -m benchmarks.pack_leaks

For each: the largest change at an untouched sample, in float32 and under bfloat16 autocast, and the guard's verdict. Weights
are initialised as the architecture does it, so that small ones are small.

Result: benchmarks/results/pack_leaks.json.xz
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.errors import InputError
from codeact.lm.attention import register
from codeact.lm.isolation import LeakError, check_isolation

RESULTS = Path(__file__).parent / "results"
LARGEST = 20_000_000  # parameters: what stays larger than this is left out
MANY = {
    32: "hidden_size n_embd d_model dim embedding_size word_embed_proj_dim",
    2: "num_hidden_layers n_layer num_layers n_layers decoder_layers encoder_layers num_experts_per_tok",
    4: "num_attention_heads n_head num_heads n_heads decoder_attention_heads encoder_attention_heads num_experts"
    " num_local_experts n_routed_experts moe_num_experts mamba_n_heads",
    48: "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim n_inner dff d_ff",
    96: "max_position_embeddings n_positions n_ctx",
    8: "head_dim qk_rope_head_dim qk_nope_head_dim v_head_dim mamba_d_state state_size d_state",
    16: "kv_lora_rank q_lora_rank mamba_d_head",
    64: "mamba_d_ssm",
    24: "moe_intermediate_size",
    1: "n_group topk_group mamba_n_groups bos_token_id",
    0: "pad_token_id",
}
SMALL = {"vocab_size": 97, "num_key_value_heads": 2, "eos_token_id": 2} | {
    name: size for size, names in MANY.items() for name in names.split()
}


def tiny(kind: type[Any], attention: str | None = None) -> Any:
    """A random model of a configuration's class with small sizes, in train mode; raises what the architecture raises."""
    plain = kind()
    known = {*plain.to_dict(), *getattr(kind, "attribute_map", {})}
    sizes: dict[str, Any] = {name: size for name, size in SMALL.items() if name in known}
    types = list(dict.fromkeys(getattr(plain, "layer_types", None) or ()))
    config = kind(**sizes)
    if len(types) > 1:  # one layer of each type, where the architecture lets them be named
        with contextlib.suppress(Exception):
            config = kind(**{**sizes, "layer_types": types, "num_hidden_layers": len(types)})
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(copy.deepcopy(config)).parameters())
    if size > LARGEST:
        raise ValueError(f"{size} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention or register())
    model.config.use_cache = False
    return model.float()


def verdict(model: Any, half: bool) -> dict[str, Any]:
    """What the guard says; `leak` is None where it could not be measured."""
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return {"leak": check_isolation(model).leak, "verdict": "isolated"}
    except LeakError as error:
        leak = error.measured.leak if error.measured else None
        return {"leak": leak, "verdict": "leaks" if leak else "positions"}
    except InputError as error:
        return {"leak": None, "verdict": "refused", "reason": str(error).rpartition(" (")[2].rstrip(")")[:100]}


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING:
        name = kind.model_type
        try:
            model = tiny(kind)
        except KeyError as error:
            if register() in error.args:
                found[name] = {"verdict": "refused", "reason": "no attention interface (found when it is loaded)"}
            else:
                found[name] = {"verdict": "not made", "reason": f"KeyError: {error}"}
            continue
        except Exception as error:  # noqa: BLE001  (whatever a configuration's own checks raise)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            found[name] = {"verdict": "not made", "reason": reason[:100]}
            continue
        single, half = verdict(model, False), verdict(model, True)
        agree = single["verdict"] if single["verdict"] == half["verdict"] else f"{single['verdict']} / {half['verdict']}"
        reason = {"reason": single["reason"]} if "reason" in single else {}
        found[name] = {"float32": single["leak"], "bfloat16": half["leak"], "verdict": agree, **reason}
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "pack_leaks.json.xz")
    args = parser.parse_args()
    told = provenance()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    found = measure()
    counts = dict(Counter(row["verdict"] for row in found.values()))
    result_files.write(args.output, {**told, "verdicts": counts, "architectures": found})
    print(counts)


if __name__ == "__main__":
    main()

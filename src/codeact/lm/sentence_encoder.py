"""Common text encoders run by transformers alone: a BERT-like model, the mean or the first of its token vectors, length 1.

sentence-transformers imports its training parts with it (datasets, accelerate, peft and so bitsandbytes): two seconds of a process that
only embeds. It runs every model that is not plain in the sense of `plain_folder`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codeact.downloads import check_loaded
from codeact.lm.identity import NO_CODE
from codeact.lm.prompts import NO_WORDS, has_words
from codeact.types import Vectors

ARCHITECTURES = ("bert", "distilbert", "mpnet", "roberta", "xlm-roberta")
PARTS = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
UNUSED = ("pooler.",)  # it follows the token vectors
TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
# what settings of the first part may say; anything else is left to sentence-transformers
SETTINGS: Mapping[str, tuple[object, ...]] = {
    "do_lower_case": (False,),
    "transformer_task": ("feature-extraction",),
    "modality_config": (TEXT,),
    "module_output_name": ("token_embeddings",),
}


class SentenceEncoder:
    """A model of `plain_folder`, in float32 and eval mode.

    Args:
        folder: what `plain_folder` returned.
        device: of PyTorch.

    Raises:
        OSError, ValueError, ...: files that cannot be read, as from transformers.
    """

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        limit = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        found: Any = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **NO_CODE)
        check_loaded(found[1], "text encoder", UNUSED)
        self.model = found[0].to(device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **({"model_max_length": limit} if limit else {}), **NO_CODE)
        if not has_words(self.tokenizer):
            raise ValueError(NO_WORDS)
        if not limit:
            self.tokenizer.model_max_length = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        self.first = _pooling(folder) == "cls"
        self.normalize = len(_parts(folder)) == 3

    def encode(self, texts: Sequence[str], batch_size: int, show_progress_bar: bool = False) -> Vectors:
        """Vectors of the texts in their order, float32 [N, D], as `SentenceTransformer.encode` gives them."""
        import torch

        order = np.argsort([-len(text) for text in texts])
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                batch = [texts[i] for i in order[start : start + batch_size]]
                inputs = self.tokenizer(batch, padding=True, truncation="longest_first", return_tensors="pt").to(self.model.device)
                states = self.model(**inputs).last_hidden_state
                mask = inputs["attention_mask"]
                if self.first:
                    block = states[torch.arange(len(batch)), mask.to(torch.int).argmax(dim=1)]
                else:
                    weights = mask.unsqueeze(-1).to(states.dtype)
                    block = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
                found.append(torch.nn.functional.normalize(block, p=2, dim=1) if self.normalize else block)
        vectors: Vectors = torch.cat(found).cpu().numpy()[np.argsort(order)]
        return vectors


def plain_folder(name: str, revision: str | None = None) -> Path | None:
    """The local files of a text encoder that `SentenceEncoder` runs just as sentence-transformers does; None for any other.

    Plain: a BERT-like architecture, the mean or the first token's vector, perhaps scaled to length 1; no prompt, adapter or own code.

    Args:
        name: a folder, or a hub name (its copy in the cache).
        revision: of a hub name.
    """
    folder = Path(name) if Path(name).is_dir() else _cached(name, revision)
    try:
        if folder is None or _parts(folder) not in PARTS or _pooling(folder) not in ("mean", "cls"):
            return None
        model, text = _json(folder / "config.json"), _json(folder / "sentence_bert_config.json")
        whole = _json(folder / "config_sentence_transformers.json")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # sentence-transformers says what is wrong
    plain = (
        model.get("model_type") in ARCHITECTURES
        and "auto_map" not in model
        and not (folder / "adapter_config.json").exists()
        and not whole.get("default_prompt_name")
        and not whole.get("truncate_dim")
        and isinstance(text.pop("max_seq_length", 0) or 0, int)
        and all(key in SETTINGS and value in SETTINGS[key] for key, value in text.items())
    )
    return folder if plain else None


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for repository in (name, f"sentence-transformers/{name}") if "/" not in name else (name,):
        found = try_to_load_from_cache(repository, "modules.json", revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _json(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return dict(found)


def _parts(folder: Path) -> tuple[str, ...]:
    """Class names of the parts, if all come from sentence-transformers and the first lies in the folder itself."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    own = all(str(part["type"]).startswith("sentence_transformers.") for part in modules) and modules[0]["path"] == ""
    return tuple(str(part["type"]).rpartition(".")[2] for part in modules) if own else ()


def _pooling(folder: Path) -> str | None:
    """How the vectors of tokens become one; None where several ways are joined or another setting is on."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    said = _json(folder / str(modules[1]["path"]) / "config.json")
    if "pooling_mode" in said:
        return said["pooling_mode"] if isinstance(said["pooling_mode"], str) else None
    named = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    on = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
    return named.get(on[0]) if len(on) == 1 else None

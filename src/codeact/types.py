"""What is handed around, by what it holds: arrays, models, tokenizers. Shapes are told where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Indices = Ints | Sequence[int]  # row or sample numbers, of those that are given
Bools = NDArray[np.bool_]
Vectors = NDArray[np.float32]  # embeddings: one row each

# Texts, so that nothing heavy is imported.
Model: TypeAlias = "PreTrainedModel | PeftModel"  # a causal LM, perhaps wrapped by PEFT
ModelConfig: TypeAlias = "PretrainedConfig"
Tokenizer: TypeAlias = "PreTrainedTokenizerBase"

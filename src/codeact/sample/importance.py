"""Importance weights of hashed words and word pairs, by DSIR's own package: how much likelier a text is among examples than in the pool."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from codeact.errors import require
from codeact.types import Floats

MODULE, EXTRA = "data_selection", "dsir"
POOL, EXAMPLES = "pool", "examples"


def log_weights(pool: Iterable[str], examples: Iterable[str]) -> Floats:
    """The log importance weight of each text of the pool, float64 [N]; the same text has the same weight, whatever the order.

    Args:
        pool: texts; they are gone through twice, one at a time.
        examples: texts of what is wanted, at least one with a word.

    Raises:
        MissingExtraError: the package data-selection is not installed.
    """
    package = require(MODULE, EXTRA, "strategy dsir")
    texts = {POOL: pool, EXAMPLES: examples}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # it draws bars of its own
        tool = package.HashedNgramDSIR(
            [POOL], [EXAMPLES], cache_dir=folder, num_proc=1,
            raw_load_dataset_fn=texts.__getitem__, raw_parse_example_fn=str,
            target_load_dataset_fn=texts.__getitem__, target_parse_example_fn=str,
        )  # fmt: skip
        tool.fit_importance_estimator(num_tokens_to_fit="all")
        tool.compute_importance_weights()
        found: Floats = np.load(Path(folder) / "log_importance_weights" / "0.npy").astype(np.float64)
    return found

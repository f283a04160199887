"""Hugging Face data sets: from the hub, its cache, or a folder of `save_to_disk`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.errors import InputError, require
from codeact.sources.names import is_saved_dataset

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 4096
"""Rows that are digested at once."""


def read_dataset(name: str, split: str, revision: str | None = None) -> pa.Table:
    """One split as a pyarrow table of at least one row.

    Args:
        name: at the hub, or a folder of `save_to_disk`.
        split: its name.
        revision: branch, tag or commit at the hub; None: the newest.

    Raises:
        InputError: the extra `datasets` is missing, or there is no such data set, revision or split.
    """
    datasets = require("datasets", "datasets", f"reading the Hugging Face data set {name!r} (no such file here)")
    try:
        if is_saved_dataset(Path(name)):
            loaded = datasets.load_from_disk(name)
        else:
            if not Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___")).exists():
                _ask_once(name)
            if revision is not None:
                builder = datasets.load_dataset_builder(name, revision=revision)
                if builder.name == "cache":  # the library takes the newest copy, whatever its commit
                    _check_commit(str(builder.hash), name, revision)
            loaded = datasets.load_dataset(name, split=split, revision=revision)
        if isinstance(loaded, dict):
            if split not in loaded:
                raise InputError(
                    f"{name} has no split {split!r}; its splits are {', '.join(loaded)}: name one with data.split="
                )
            loaded = loaded[split]
    except (OSError, ValueError) as error:
        raise InputError(
            f"data set {name!r} (split {split!r}{f', revision {revision!r}' if revision else ''}) cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from error
    if len(loaded) == 0:
        raise InputError(f"{name} holds no rows; give at least one instruction/response pair")
    table: pa.Table = loaded.with_format("arrow")[:]
    return table


def table_digest(table: pa.Table) -> str:
    """32 hex digits of SHA-256 over a table's types and values, whatever batches it comes in."""
    import pyarrow as pa

    total = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for start in range(0, table.num_rows, BATCH):
        part = table.slice(start, BATCH)
        for batch in part.take(pa.array(range(len(part)))).combine_chunks().to_batches():  # a slice's buffers keep bits of its neighbours
            total.update(batch.serialize())
    return total.hexdigest()[:32]


def _check_commit(commit: str, name: str, revision: str) -> None:
    """Refuse a copy in the cache of another commit, where the hub does not serve the revision.

    Raises:
        InputError: it is of another commit.
    """
    if commit != revision:
        raise InputError(
            f"data set {name!r}: the hub does not serve revision {revision!r} or cannot be reached, and the newest copy in the cache is of commit"
            f" {commit}: look at the revision and the network, or give that commit"
        )


def _ask_once(name: str) -> None:
    """Say that the hub cannot be reached at once, not after a minute of its client's retries. What it answers is the client's to judge.

    Raises:
        InputError: no answer.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    silent = (OSError, *(sys.modules[library].TransportError for library in ("httpx2", "httpx") if library in sys.modules))
    try:
        get_hf_file_metadata(hf_hub_url(name, "README.md", repo_type="dataset", endpoint=constants.ENDPOINT), timeout=10)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled):
        return
    except silent as error:
        raise InputError(
            f"data set {name!r}: no such file or folder here, nothing cached, and {constants.ENDPOINT} cannot be reached "
            f"({' '.join(str(error).split())[:120]}); check the name and the network, or give a file"
        ) from error

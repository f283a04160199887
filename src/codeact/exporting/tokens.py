"""The chosen records as the tokens and labels that codeact would train on, in the form that each tool reads without tokenising anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from codeact.packing.rows import Rows
    from codeact.training.data import Sample

PARQUET = "tokens.parquet"
FOLDER = "tokens"  # as `datasets.Dataset.save_to_disk` writes it
ARROW = "data-00000-of-00001.arrow"
TOKENISED = ("trl", "axolotl", "llama-factory")  # the tools that read tokens; the others get text


def token_files(to: str, samples: Sequence[Sample], rows: Rows | None) -> Mapping[str, str | pa.Buffer]:
    """The files that hold the tokens: name -> text or bytes.

    TRL reads `input_ids, assistant_masks` and axolotl `input_ids, attention_mask, labels`, and both pack by themselves.
    LLaMA-Factory packs no rows that are tokens already: it gets its own packed form, in which `attention_mask` numbers the
    samples of a row from 1 and `position_ids` start anew with each.

    Args:
        to: trl, axolotl or llama-factory.
        samples: the training samples.
        rows: for LLaMA-Factory, the samples of each row; None for a row of each.
    """
    import pyarrow as pa

    ids = [sample["input_ids"] for sample in samples]
    labels = [sample["labels"] for sample in samples]
    if to == "trl":
        return {PARQUET: _parquet({"input_ids": ids, "assistant_masks": [(one != -100).astype(np.int32) for one in labels]})}
    if to == "axolotl":
        return {PARQUET: _parquet({"input_ids": ids, "attention_mask": [np.ones_like(one) for one in ids], "labels": labels})}
    columns = {"input_ids": ids, "attention_mask": [np.ones_like(one) for one in ids], "labels": labels}
    if rows is not None:
        columns = {
            "input_ids": [np.concatenate([ids[n] for n in row]) for row in rows],
            "attention_mask": [np.concatenate([np.full_like(ids[n], place) for place, n in enumerate(row, 1)]) for row in rows],
            "position_ids": [np.concatenate([np.arange(len(ids[n]), dtype=np.int32) for n in row]) for row in rows],
            "labels": [np.concatenate([labels[n] for n in row]) for row in rows],
        }
    table, sink = _table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table, max_chunksize=1000)
    held = sink.getvalue()
    print_of = hashlib.sha256(held).hexdigest()[:16]  # names what `datasets` caches of them
    state: dict[str, Any] = {
        "_data_files": [{"filename": ARROW}], "_fingerprint": print_of, "_format_columns": None, "_format_kwargs": {}, "_format_type": None,
        "_output_all_columns": False, "_split": "train",
    }  # fmt: skip
    files = {ARROW: held, "dataset_info.json": "{}\n", "state.json": json.dumps(state, indent=2) + "\n"}
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def _table(columns: Mapping[str, Sequence[np.ndarray]]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array(values, pa.list_(pa.int32())) for name, values in columns.items()})


def _parquet(columns: Mapping[str, Sequence[np.ndarray]]) -> pa.Buffer:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(_table(columns), sink)
    return sink.getvalue()

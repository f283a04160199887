"""Tables whose file name holds the digest of its content: there whole or not at all, and seen where one was damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from codeact import storage
from codeact.files import write_bytes

if TYPE_CHECKING:
    import pyarrow as pa


def write_sealed(table: pa.Table, folder: Path, name: str) -> None:
    """Write `<name>-<digest of the content>.parquet`, atomically."""
    content = storage.parquet_bytes(table)
    write_bytes(folder / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.parquet", content)


def read_sealed(folder: Path, name: str) -> pa.Table | None:
    """The table that `write_sealed` wrote under this name; None where there is none, or none that is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in sorted(folder.glob(f"{name}-*.parquet")):
        content = path.read_bytes()
        if path.stem == f"{name}-{hashlib.sha256(content).hexdigest()[:16]}":
            return pq.read_table(pa.BufferReader(content))
        path.unlink(missing_ok=True)
    return None

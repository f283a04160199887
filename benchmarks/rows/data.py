"""Records that the rows work on."""

from __future__ import annotations

import os
from pathlib import Path

from codeact.errors import InputError
from codeact.records import Record, read_data

FILES = ("evol_instruct_code_1966.json", "code_alpaca_new_4535.json")


def data_folder() -> Path:
    return Path(os.environ.get("CODEACT_DATA", Path(__file__).parents[2] / "../shared/data"))


def instruction_records(count: int | None = None, files: tuple[str, ...] = FILES) -> list[Record]:
    """The first `count` records of the instruction files, no two with one id.

    Raises:
        InputError: they are not at hand.
    """
    missing = [name for name in files if not (data_folder() / name).exists()]
    if missing:
        raise InputError(f"{data_folder()} lacks {' and '.join(missing)}; point CODEACT_DATA to the folder of benchmark data")
    found = {r.id: r for name in files for r in read_data(data_folder() / name).records}
    return list(found.values())[:count]


def spread(records: list[Record], count: int) -> list[Record]:
    """`count` records, evenly spaced."""
    step = max(1.0, len(records) / count)
    return [records[int(n * step)] for n in range(min(count, len(records)))]

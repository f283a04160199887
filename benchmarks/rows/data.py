"""Records that the rows work on."""

from __future__ import annotations

from benchmarks.data_folder import CODE_ALPACA, DATA, EVOL_INSTRUCT
from codeact.errors import InputError
from codeact.records import Record, read_data

FILES = (EVOL_INSTRUCT.name, CODE_ALPACA.name)


def instruction_records(count: int | None = None, files: tuple[str, ...] = FILES) -> list[Record]:
    """The first `count` records of the instruction files, no two with one id.

    Raises:
        InputError: they are not at hand.
    """
    missing = [name for name in files if not (DATA / name).exists()]
    if missing:
        raise InputError(f"{DATA} lacks {' and '.join(missing)}; point CODEACT_DATA to the folder of benchmark data")
    found = {r.id: r for name in files for r in read_data(DATA / name).records}
    return list(found.values())[:count]


def spread(records: list[Record], count: int) -> list[Record]:
    """`count` records, evenly spaced."""
    step = max(1.0, len(records) / count)
    return [records[int(n * step)] for n in range(min(count, len(records)))]

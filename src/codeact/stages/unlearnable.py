"""Records of the pool of which the model can learn nothing: the template refuses them, or no response token is left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from codeact.amounts import amount
from codeact.errors import InputError
from codeact.rundir.store import Store
from codeact.statuses import STATUS_MEANING

if TYPE_CHECKING:
    import pyarrow as pa


def check_any(table: pa.Table) -> None:
    """Refused records are a status each; a template that refuses all of them is the wrong one.

    Args:
        table: of the stage `score` or `lengths`.

    Raises:
        InputError: it does.
    """
    if table.num_rows and set(table["status"].to_pylist()) == {"refused"}:
        raise InputError(
            f"no record can be scored, all {table.num_rows} are refused; the first: {table['detail'][0].as_py()}"
        )


def unlearnable(store: Store, stage: str) -> tuple[int, str]:
    """How many records of the pool have no token to learn, and why in one line.

    Args:
        store: the run directory.
        stage: `score` or `lengths`, whichever counted the tokens.

    Returns:
        0 and an empty line where all have one. The line has the reasons, with how many of each where there are several, and what the
        template says of the first that it refuses.
    """
    import pyarrow.compute as pc

    found, first, rows = Counter[str](), "", 0
    for part in store.parts(stage, ["response_tokens", "status", "detail"]).values():
        rows += len(part)
        none = part.filter(pc.equal(part["response_tokens"], 0))
        found.update(none["status"].to_pylist())
        if not first:
            first = next((detail for detail in none["detail"].to_pylist() if detail), "")
    if not found:
        return 0, ""
    why = "; ".join(
        f"{f'{count:,}, ' if len(found) > 1 else ''}{STATUS_MEANING.get(status, status)}"
        f"{f' (the first: {first})' if status == 'refused' and first else ''}"
        for status, count in found.most_common()
    )
    return found.total(), f"{found.total():,} of {amount(rows, 'record')} of the pool have nothing to learn: {why}"

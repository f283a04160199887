"""The command `codeact records`."""

from __future__ import annotations

from typing import Annotated

import typer

from codeact.cli.options import NONE, Data, Json, Mapping_, Verbose, app, one_or_many, prepare, result, shared_keys
from codeact.errors import InputError


@app.command()
def records(
    data: Data,
    show: Annotated[int, typer.Option(help="print so many records in full", min=0)] = 3,
    split: Annotated[str, typer.Option(help="of a data set")] = "train",
    mapping: Mapping_ = NONE, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Show how the rows of DATA are read, as turns, which are refused and why, and which columns are not read."""
    from codeact import api

    prepare(verbose)
    columns = shared_keys(mapping, NONE).get("data.map", {})
    found = api.records(one_or_many(data), mapping=columns, split=split, show=show)
    lines = found.pop("lines")
    result(found, as_json, "\n".join(lines))
    if not found["records"]:
        raise InputError(
            f"{found['source']}: none of its {found['rows']} rows is usable; the first: {found['first_rejected']}"
        )

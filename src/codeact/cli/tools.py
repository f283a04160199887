"""Commands that help with the others: recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from codeact import shipped
from codeact.cli.options import Json, Verbose, app, prepare, result


@app.command()
def recipes(
    name: Annotated[str, typer.Argument(help="print this one, to change it: codeact recipes demo > my.yaml", show_default=False)] = "",
    path: Annotated[bool, typer.Option("--path", help="print where NAME lies instead of its text")] = False,
    as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """List the recipes that come with codeact, for run, compare and accelerate launch; or print one."""
    prepare(verbose)
    if name:
        file = shipped.find(name)
        text = file.read_text(encoding="utf-8")
        found = {"name": name, "path": str(file), "text": text}
        result(found, as_json, str(file) if path else text.rstrip("\n"))
        return
    known = {one: shipped.about(one) for one in shipped.names()}
    lines = [f"{one:<28} {line}" for one, line in known.items()]
    result({"folder": str(shipped.folder()), "recipes": known}, as_json, "\n".join(lines))

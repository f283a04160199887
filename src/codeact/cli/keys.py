"""The command that explains the keys of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from codeact.cli.options import Json, app, result


@app.command()
def keys(
    part: Annotated[str, typer.Argument(help="a section or a key; all where none is named", show_default=False)] = "",
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema for editors")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print docs/recipe.md")] = False,
    as_json: Json = False,
) -> None:
    """Show every recipe key, or those of PART: what it takes, its default, what it does. Example: codeact keys sample"""
    from codeact import recipe_keys

    if schema or markdown:
        typer.echo(recipe_keys.json_schema() if schema else recipe_keys.markdown(), nl=False)
        return
    found = recipe_keys.recipe_keys(part)
    lines = [f"{key.name} = {key.default}\n    {key.type}\n    {key.description}" for key in found]
    result([asdict(key) for key in found], as_json, "\n".join(lines))

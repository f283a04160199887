"""The command that hands a selection to another training tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codeact.cli.options import Json, Output, Verbose, app, prepare, result


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(help="run directory of `select` or `run`", show_default=False)],
    to: Annotated[str, typer.Option(help="trl, axolotl, llama-factory, torchtune or datasets")],
    output: Output,
    model: Annotated[str, typer.Option(help="the model to train, where the run names none or another")] = "",
    force: Annotated[bool, typer.Option("--force", help="replace files of these names in the folder")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write a run's chosen records, the tool's configuration and a data card. Example: codeact export RUN --to trl -o sft"""
    from codeact import api

    prepare(verbose)
    made = api.export(run_dir, to, output, model=model, force=force)
    lines = [f"{made['records']} records -> {made['output']}: {', '.join(made['files'])}"]
    result(made, as_json, "\n".join([*lines, *(f"mind: {warning}" for warning in made["warnings"])]))

"""The command `codeact score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codeact.cli.options import (
    NONE,
    Data,
    Dtype,
    Embedder,
    Force,
    Json,
    Limit,
    Mapping_,
    MaxLength,
    MaybeOutput,
    Model,
    RunDir,
    Seed,
    Settings,
    Template,
    Verbose,
    app,
    prepare,
    recipe_keys,
    result,
    say,
    shared_keys,
    stage_recipe,
)  # fmt: skip
from codeact.records import reading_lines


@app.command()
def score(
    data: Data, output: MaybeOutput = None, model: Model = "",
    variant: Annotated[str, typer.Option(help="default, or paper: the reference implementation's definition")] = "default",
    adaptive: Annotated[bool, typer.Option("--adaptive", help="score in full only where it can change who is selected")] = False,
    agreement: Annotated[float, typer.Option(help="with --adaptive: expected Jaccard index with the selection of full scoring")] = 0.9,
    ratio: Annotated[float, typer.Option(help="share of the pool that will be kept: what --adaptive decides, and the summary shows")] = 0.4,
    estimate: Annotated[bool, typer.Option("--estimate", help="only print tokens, FLOPs and hours; no weights are loaded")] = False,
    show: Annotated[bool, typer.Option("--show", help="print the highest, the median and the lowest records")] = False,
    embedder: Embedder = None, mapping: Mapping_ = NONE, limit: Limit = None, seed: Seed = 0, dtype: Dtype = "auto",
    max_length: MaxLength = 2048, template: Template = "auto", run_dir: RunDir = None, settings: Settings = NONE,
    force: Force = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Score every record of DATA with MODEL: IFD, negative log-likelihoods, status. Run it again to go on or to reuse."""
    from codeact import api

    prepare(verbose)
    given = {"score.variant": variant, "score.adaptive": adaptive, "score.agreement": agreement, "sample.ratio": ratio}
    keys = recipe_keys(data, model, dtype, max_length, template, limit, seed) | given | shared_keys(mapping, settings)
    recipe = stage_recipe("score", keys, output, run_dir, embedder, needs_model=True)
    if estimate:
        forecast = api.estimate_scores(recipe)
        result(forecast, as_json, "\n".join(forecast["lines"]))
        return
    summary = api.run_stages(recipe, ["score"], output, say=say, quiet=False, force=force)
    folder = Path(recipe.run_dir)
    found = {**summary, **api.score_summary(folder, recipe.sample.ratio, examples=3 if show else 0)}
    result(found, as_json, "\n".join(_lines(found, str(output or folder / "score.parquet"))), output)


def _lines(found: dict[str, Any], table: str) -> list[str]:
    from codeact.statistics import length_line

    lines = []
    for name, rows in found.get("examples", {}).items():
        for row in rows:
            lines += [f"[{name}] {row['id']}  IFD {row['ifd']:.3f}  {row['response_tokens']} response tokens"]
            lines += [f"    instruction: {row['instruction']}", f"    response:    {row['response']}"]
    if found.get("share_of_full_scoring") is not None:
        lines.append(
            f"adaptive: {found['share_of_full_scoring']:.1%} of the model tokens of full scoring,"
            f" expected agreement of the selection {found['expected_agreement']:.3f}"
        )
    length = found["length"]
    if length is not None:
        lines.append(
            f"{length_line(length['spearman'], length['interval'])}; the top {length['ratio']:.0%} by IFD hold"
            f" {length['token_share']:.0%} of the response tokens"
        )
    return [*lines, *reading_lines(found["reading"]), f"table: {table}"]

"""The options that commands share, and how commands read and print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import OptionInfo

from codeact.config import Recipe, default_of, given, joined, load_recipe
from codeact.errors import InputError
from codeact.files import by_path, is_remote
from codeact.mirror import name_of_run
from codeact.outputs import run_dir_beside
from codeact.storage import plain
from codeact.terminal import visible, visible_lines

if TYPE_CHECKING:
    from codeact.api.run_directory import Reported

Command = Callable[..., None]


def key_option(key: str, about: str, *names: str) -> OptionInfo:
    """An option that stands for a recipe key: it has no default of its own (None: not given), its help shows the recipe's."""
    value = default_of(key)
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    untold = value is None or value is False or value in ("", ())
    option: OptionInfo = typer.Option(*names, help=about, show_default=False if untold else shown.lower() if value is True else shown)
    return option


Data = Annotated[
    list[str],
    typer.Argument(
        help=".jsonl, .json, .csv, .tsv, .parquet or .arrow files (also .gz, .zst), folders of such, - for stdin, or a data set name",
        show_default=False,
    ),
]
Model = Annotated[
    str, typer.Option("--model", help="hub name, local folder, GGUF file, or demo (SmolLM2-135M-Instruct)")
]
def _row_file(name: str) -> Path:
    return Path(by_path(name))


Output = Annotated[Path, typer.Option("--output", "-o", help="where the result is written", show_default=False)]
Rows = Annotated[
    Path,
    typer.Option("--output", "-o", parser=_row_file, metavar="<path>", help="where the rows are written; - for JSON lines on stdout", show_default=False),
]
MaybeRows = Annotated[
    Path | None,
    typer.Option("--output", "-o", parser=_row_file, metavar="<path>", help="where the rows are written; - for JSON lines on stdout"),
]
MaybeOutput = Annotated[
    Path | None, typer.Option("--output", "-o", parser=_row_file, metavar="<path>", help="where the table is written (.parquet, .jsonl, .json, .csv)")
]
Embedder = Annotated[
    str | None,
    typer.Option(
        help="sentence-transformers name or folder, or demo (all-MiniLM-L6-v2)",
        show_default="all-mpnet-base-v2; demo with --model demo",
    ),
]
EmbedderAlone = Annotated[
    str | None,
    typer.Option("--embedder", help="sentence-transformers name or folder, or demo (all-MiniLM-L6-v2)", show_default="all-mpnet-base-v2"),
]
Dtype = Annotated[str | None, key_option("model.dtype", "auto, float32, bfloat16, float16")]
MaxLength = Annotated[int | None, key_option("model.max_length", "longest record, in tokens; longer answers are cut, and counted")]
Seed = Annotated[int | None, key_option("seed", "seed of every random choice")]
Limit = Annotated[int | None, key_option("data.limit", "use a seeded random sample of this many records")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Mapping_ = Annotated[
    list[str],
    typer.Option("--map", help="FIELD=COLUMN, for example instruction=question, or FIELD=- for none; may be repeated"),
]
Settings = Annotated[
    list[str], typer.Option("--set", help="KEY=VALUE, any recipe key (codeact keys), for example seed=1; may be repeated")
]
RunDir = Annotated[
    Path | None, typer.Option(help="directory of the stages' tables; give the same one again to reuse what is done")
]
Template = Annotated[str | None, key_option("model.template", "auto, question (the paper's), alpaca, chat, or a jinja file")]
Plan = Annotated[
    bool, typer.Option("--plan", help="only print stages, tokens, FLOPs, hours and memory; nothing is written")
]
Gpu = Annotated[
    str, typer.Option(help="--plan: h100, a100, l4, 4090, t4, or this-machine (measured)", show_default="a100 and h100")
]
Gpus = Annotated[int, typer.Option(help="--plan: number of GPUs")]
Price = Annotated[float | None, typer.Option(help="--plan: price of one GPU for an hour, in any currency")]
Utilisation = Annotated[
    float | None, typer.Option(help="--plan: share of the peak that is taken to be reached", show_default="0.45, assumed")
]
Parameters = Annotated[
    str, typer.Option(help="--plan: model size, such as 6.7B; the model is not downloaded", show_default=False)
]
Records = Annotated[
    int | None, typer.Option(help="--plan: number of records of the full data, if DATA is a sample or missing", show_default=False)
]
Force = Annotated[
    bool, typer.Option("--force", help="replace an output that another run wrote; an input is never replaced")
]
NONE: list[str] = []


def budget(
    plan: bool, gpu: str, gpus: int, price: float | None, utilisation: float | None, parameters: str, records: int | None
) -> dict[str, Any]:
    """What `--plan` is counted for, from the options beside it.

    Raises:
        InputError: one of them without `--plan`.
    """
    asked: dict[str, Any] = {"gpu": gpu or None, "gpus": gpus if gpus != 1 else None, "price": price, "utilisation": utilisation}
    asked |= {"parameters": parameters or None, "records": records}
    told = given(asked)
    if told and not plan:
        raise InputError(f"--{next(iter(told))} is for --plan; add --plan, or leave it out")
    if parameters:
        from codeact.pipeline.sizes import parse_count

        told["parameters"] = parse_count(parameters, "--parameters")
    return told


def planned(found: dict[str, Any], as_json: bool) -> None:
    """Print what a plan found, its `lines` for people."""
    lines = found.pop("lines")
    result(found, as_json, "\n".join(lines))


def run_recipe(recipe: str, overrides: Sequence[str], as_json: bool, force: bool) -> None:
    """Run a recipe and show its report."""
    from codeact.api.runs import run_reported

    show(run_reported(recipe, overrides, force=force), as_json)


def show(made: Reported, as_json: bool) -> None:
    """Print the table of a report, or all of it as JSON."""
    if as_json:
        result(made.figures, True, "")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codeact.reporting import main_figures

    table = Table(show_header=False, title=Text(visible(f"codeact: {name_of_run(made.page.parent)}")))
    for name, value in main_figures(made.figures):  # as texts: names of sources hold brackets, which are markup else
        table.add_row(Text(visible(name)), Text(visible(value)))
    Console().print(table)
    typer.echo(visible(f"report: {name_of_run(made.page)}"))


def one_or_many(data: Sequence[str]) -> str | list[str]:
    """The names of the data as a recipe holds them."""
    return data[0] if len(data) == 1 else list(data)


def recipe_keys(
    data: Sequence[str], model: str, dtype: str | None, max_length: int | None, template: str | None, limit: int | None, seed: int | None
) -> dict[str, Any]:
    """The recipe keys that most commands set, those that were given."""
    return given({
        "data.source": one_or_many(data), "data.limit": limit, "seed": seed, "model.name": model or None, "model.dtype": dtype,
        "model.max_length": max_length, "model.template": template,
    })  # fmt: skip


def field_map(mapping: Sequence[str]) -> dict[str, str]:
    """Field -> column of `--map`."""
    return dict(_pairs("--map", "FIELD=COLUMN", mapping))


def with_settings(own: dict[str, Any], mapping: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
    """The recipe keys that a command's own options stand for, those of `--map` and of `--set` beside them.

    Raises:
        InputError: another form, or a key that `--set` gives and an option too.
    """
    import yaml

    further: dict[str, Any] = {}
    for key, value in _pairs("--set", "KEY=VALUE", settings):
        try:
            further[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {f'{key}={value}'!r}: the value is not valid YAML; quote it") from error
    return joined(own | given({"data.map": field_map(mapping) or None}), further)


def _pairs(option: str, form: str, pairs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value:
            raise InputError(f"{option} {pair!r} is not of the form {form}")
        yield key, value


def stage_recipe(
    name: str, own: dict[str, Any], mapping: Sequence[str], settings: Sequence[str], output: Path | None, run_dir: Path | None,
    embedder: str | None, needs_model: bool,
) -> Recipe:  # fmt: skip
    """The recipe of a command that runs single stages; unless it is told, its tables go beside `output`, else under runs/."""
    beside = output is not None and str(output) != "-" and not is_remote(output)
    folder = run_dir_beside(output) if output and beside else Path("runs") / name
    own |= given({"embed.model": embedder, "run_dir": str(run_dir) if run_dir else None})
    recipe = load_recipe(extra={"run_dir": str(folder), **with_settings(own, mapping, settings)})
    if needs_model and not recipe.model.name:
        from codeact.stages.sample import why_a_model

        why = why_a_model(recipe.sample) if name == "sample" else f"codeact {name} needs the model that will be trained; name it with --model"
        if why:
            raise InputError(why)
    return recipe


def names(text: str) -> list[str]:
    """The parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(option: str, text: str) -> list[int]:
    """The whole numbers of a comma-separated option."""
    parts = names(text)
    if not parts or not all(part.isdigit() for part in parts):
        raise InputError(f"{option} {text!r}: give whole numbers with commas between them, for example 0,1,2")
    return [int(part) for part in parts]


def decimals(option: str, text: str) -> list[float] | None:
    """The numbers of a comma-separated option; None where it was not given."""
    if not text:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text!r}: give numbers with commas between them, for example 7,3") from error


def result(value: object, as_json: bool, text: str, output: Path | None = None) -> None:
    """Print the result on stdout, or for people on stderr where stdout holds the rows.

    Args:
        value: printed with --json.
        as_json: whether --json was given.
        text: printed without it, with what a terminal would obey written out.
        output: where the rows went; `-` is stdout.
    """
    stream = sys.stderr if str(output) == "-" else sys.stdout
    plainly = (stream.encoding or "utf-8").lower().replace("-", "") != "utf8"  # GBK has not all letters, and JSON no escapes but its own
    shown = json.dumps(plain(value), ensure_ascii=plainly) if as_json else visible_lines(text)
    typer.echo(shown, file=stream)

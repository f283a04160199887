"""A finished `codeact compare` as a result file and the tables of docs/experiments-tables.md.

    codeact compare recipes/compare_small.yaml recipe.data.source=evol_instruct_code_1966.json
    python -m experiments.compare_result recipes/compare_small.yaml --write docs/experiments-tables.md

Takes what is finished in the comparison's run directory: its summary with where and how it was made goes to
--output, the main rate's tables between the lines <!-- NAME --> and <!-- /NAME --> of --write, NAME being the recipe's.
--versus longest:cdas,bands adds how these differ from that one; may be repeated. Every single value goes to NAME_cells.json.xz, from which
`compare_cells.py` makes the run directory again; `figures.py` draws the differences.

Result: experiments/results/compare_confirm.json.xz, ..._figures, ..._figures_first, ..._longer, ..._rates, ..._residual, ..._small
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import machine, result_files
from benchmarks.marks import write_between
from codeact.comparison.grid import load_comparison
from codeact.reporting.compare import difference
from codeact.reporting.wording import number
from experiments import figures
from experiments.compare_cells import save, summary_of
from experiments.figures import by_direction, spelt

RESULTS = Path(__file__).parent / "results"
UNITS = ("tokens", "records")


def with_interval(found: Mapping[str, Any] | None) -> str:
    """`−0.0123 [−0.0155, −0.0090]`, in bold where the interval leaves 0 out."""
    if found is None:
        return ""
    low, high = found["interval"] or (0, 0)
    text = difference(found)
    return f"**{text}**" if not low <= 0 <= high else text


def table(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], against: str) -> list[str]:
    """Markdown lines: a row for each of `rows`, with the difference in every metric; the rate where there are several."""
    rated = len({row["rate"] for row in rows if row["strategy"] != "full"}) > 1
    head = ["strategy", *(["rate"] if rated else []), "records", "response tokens"]
    head += [f"{spelt(m)} minus {against}" for m in metrics]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["entrant"], *([f"{row['rate']:.0%}"] if rated else []), number(row["records"], 0)]
        cells.append(number(row["response_tokens"], 0))
        cells += [with_interval(row["metrics"][metric]["minus_against"]) for metric in metrics]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def markdown(document: Mapping[str, Any], name: str, whole: bool = False) -> str:
    """Equal tokens at the main rate, and where it was measured; `whole`: also equal records, the other rates and other rivals."""
    summary, lines = document["summary"], []
    rate, several = figures.main_rate(summary), figures.several_rates(summary)
    for unit in UNITS if whole else UNITS[:1]:
        rows = [r for r in summary["rows"] if r["unit"] == unit and r["rate"] == rate and r["strategy"] != "full"]
        rows += [r for r in summary["rows"] if r["strategy"] == "full"]
        if any(row["strategy"] != "full" for row in rows):
            lines += [f"Equal {unit}{f', {rate:.0%}' if several else ''}:", ""]
            for some in by_direction(summary):
                lines += [*table(rows, some, summary["against"].partition(" (")[0]), ""]
    others = [r for r in summary["rows"] if r["rate"] != rate and r["strategy"] != "full"]
    for unit in UNITS if whole else ():
        rows = sorted((r for r in others if r["unit"] == unit), key=lambda r: r["rate"])
        if rows:
            lines += [f"Equal {unit}, the other rates:", ""]
            for some in by_direction(summary):
                lines += [*table(rows, some, summary["against"].partition(" (")[0]), ""]
    for rival, versus in document["versus"].items() if whole else ():
        metrics = [m for some in by_direction(versus) for m in some]
        for unit in UNITS:
            rows = [r for r in versus["rows"] if r["unit"] == unit]
            if rows:
                lines += [f"Minus `{rival}`, equal {unit}:", ""]
                lines += [*table(sorted(rows, key=lambda r: r["rate"]), metrics, rival), ""]
    before = ", ".join(f"{spelt(m)} {number(summary['base'][m], 4)}" for m in summary["lower_is_better"])
    place, better = document["machine"], ", but for pass@1" if len(by_direction(summary)) > 1 else " everywhere"
    lines += [
        f"Before training: {before}. Lower is better{better}. {summary['cells']['done']} trainings, {place['processor']},"
        f" {document['date']}; versions and every interval in `experiments/results/{name}.json.xz`, every value in"
        f" `{name}_cells.json.xz`. `python -m experiments.figures {name}` draws the differences{' and the effect of the rate' if several else ''}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="YAML file; or a result file, whose tables are printed and nothing else is done")
    parser.add_argument("overrides", nargs="*", help="key=value, as given to codeact compare")
    parser.add_argument("--output", type=Path, help="default: experiments/results/<recipe>.json.xz")
    parser.add_argument("--write", type=Path, help="Markdown file that holds the marks")
    parser.add_argument("--versus", action="append", default=[], metavar="RIVAL:NAME,...", help="further differences")
    options = parser.parse_args()
    if options.recipe.suffix != ".yaml":
        print(markdown(result_files.read(options.recipe), options.recipe.name.split(".")[0], whole=True))
        return
    output = options.output or RESULTS / f"{options.recipe.stem}.json.xz"
    name = output.name.split(".")[0]
    comparison = load_comparison(options.recipe, options.overrides)
    found = summary_of(comparison)
    if found["cells"]["done"] == 0:
        parser.error(f"{comparison.run_dir}: no training is finished")
    document = {
        **machine.provenance(),
        "made_by": f"codeact compare recipes/{options.recipe.name} recipe.data.source=DATA",
        "recipe": yaml.safe_load(options.recipe.read_text(encoding="utf-8")),
        "summary": found,
        "versus": {},
    }
    for rival, _, shown in (pair.partition(":") for pair in options.versus):
        against = summary_of(comparison.model_copy(update={"against": (rival,)}))
        against["rows"] = [row for row in against["rows"] if row["entrant"] in shown.split(",")]
        document["versus"][rival] = against
    result_files.write(output, document)
    save(Path(comparison.run_dir), output.with_name(f"{name}_cells.json.xz"), decimals=4)
    print(markdown(document, name, whole=True))
    if options.write:
        write_between(options.write, options.recipe.stem, markdown(document, name))


if __name__ == "__main__":
    main()

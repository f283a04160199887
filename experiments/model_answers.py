"""Pools in which a share of the answers is what the small model itself writes: wrong in a way that no check was made with.

    python -m experiments.noise --data runs/real_records.jsonl --out runs/noise
    python -m experiments.model_answers --noise runs/noise                                # runs/noise/45_own.jsonl
    codeact compare recipes/compare_noise.yaml recipe.data.source=runs/noise/45_own.jsonl run_dir=runs/compare_noise_45_own

The records that are wrong in runs/noise/45.jsonl, with the model's own answer to the instruction in place of the changed one: drawn at
temperature 0.8, as the model's template asks for it, and cut at 384 tokens. Only records that the comparison's pools draw are answered; the
others stay as they are, and no training sees them. None of the answers was judged: a few are right.

What is written is kept in parts under --work and not written again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact.comparison.grid import Comparison, load_comparison, source_recipe
from codeact.comparison.split import normal_text
from codeact.draws import seeded_subset
from codeact.evaluation.generate import ANSWER_STOPS, Prompt, generate, sample_seed
from codeact.lm.models import load_model, load_tokenizer
from codeact.lm.prompts import ask, load_template
from codeact.records import Message
from codeact.storage import read_jsonl, write_jsonl

RECIPE = Path(__file__).parents[1] / "recipes" / "compare_noise.yaml"
PART = 64
TOKENS = 384
TEMPERATURE = 0.8


def drawn(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> set[str]:
    """Ids of the rows of a file of `noise.py` that one of the comparison's pools draws."""
    recipe = source_recipe(comparison)
    assert recipe.data.limit is not None
    out = seeded_subset(sorted({normal_text(row["instruction"]) for row in rows}), comparison.held_out, recipe.seed)
    ids = [row["id"] for row in rows if normal_text(row["instruction"]) not in out]
    return set().union(*(seeded_subset(ids, recipe.data.limit, seed) for seed in comparison.seeds))


def answers(rows: Sequence[Mapping[str, Any]], model_name: str, work: Path, seed: int, batch_size: int = PART) -> dict[str, dict[str, Any]]:
    """What the model answers to each row's instruction: id -> `id`, `answer`, `tokens`, `finish`; parts that `work` holds are read."""
    tokenizer = load_tokenizer(model_name)
    template = load_template("auto", tokenizer)
    model = None
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(rows), PART):
        part, path = rows[start : start + PART], work / f"{start:04}.jsonl"
        if not path.is_file():
            model = model or load_model(model_name, dtype="float32").eval()
            asked = [ask([Message("user", row["instruction"])], template, tokenizer) for row in part]
            prompts = [
                Prompt(a.ids, (*ANSWER_STOPS, *a.stops), sample_seed(seed, row["id"], 0), a.ends, a.header, a.lead)
                for row, a in zip(part, asked, strict=True)
            ]
            said = {
                number: {"id": part[number]["id"], "answer": one.text.strip(), "tokens": one.tokens, "finish": one.finish}
                for done in generate(model, tokenizer, prompts, max_new_tokens=TOKENS, batch_size=batch_size, temperature=TEMPERATURE)
                for number, one in done
            }
            write_jsonl(path, [said[number] for number in range(len(part))])
            print(f"answers: {start + len(part):,}/{len(rows):,}", flush=True)
        found |= {row["id"]: row for row in read_jsonl(path)}
    return found


def answered(clean: Sequence[Mapping[str, Any]], said: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The clean rows, those that the model answered with its answer; an empty answer leaves a row as it is."""
    texts = {i: one["answer"] for i, one in said.items() if one["answer"]}
    return [{**row, "output": texts.get(row["id"], row["output"]), "wrong": row["id"] in texts} for row in clean]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=Path, default=Path("runs/noise"))
    parser.add_argument("--share", default="45", help="whose wrong records the model answers: NN.jsonl of --noise")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--work", type=Path, default=Path("runs/model_answers"))
    parser.add_argument("--seed", type=int, default=30)
    options = parser.parse_args()
    clean, changed = (read_jsonl(options.noise / f"{share}.jsonl") for share in ("00", options.share))
    path = options.noise / f"{options.share}_own.jsonl"
    comparison = load_comparison(RECIPE, [f"recipe.data.source={options.noise / '00.jsonl'}"])
    wanted = drawn(clean, comparison)
    rows = [row for row, other in zip(clean, changed, strict=True) if other["wrong"] and row["id"] in wanted]
    options.work.mkdir(parents=True, exist_ok=True)
    said = answers(rows, options.model, options.work, options.seed)
    made = answered(clean, said)
    write_jsonl(path, made)
    ends = Counter(one["finish"] for one in said.values())
    tokens = sum(one["tokens"] for one in said.values()) / max(1, len(said))
    print(
        f"{path}: {len(made):,} records; of {len(wanted):,} that a pool draws {sum(row['wrong'] for row in made):,} hold the model's answer"
        f" ({tokens:.0f} tokens on average; {', '.join(f'{name} {count}' for name, count in ends.most_common())})"
    )


if __name__ == "__main__":
    main()

"""Stage `lengths`: what scoring would count, without a model; and everything that reads it where no record is scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import codeact
from codeact.comparison.grid import load_comparison
from codeact.comparison.run import plan_comparison
from codeact.config import Recipe, load_recipe
from codeact.pipeline.plan import chosen
from codeact.pipeline.run import run_pipeline
from codeact.reporting import gather, write_report
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store
from codeact.sample.strategies import STRATEGIES
from codeact.stages import lengths
from codeact.stages.columns import COLUMNS, LENGTHS, SCORES, tables_of
from codeact.stages.pool import read_pool
from codeact.stages.sample import choose_from_run, counted_by, tables_for
from tests.helpers import run_page
from tests.helpers.command import codeact_command
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

COUNTED = ("id", "response_tokens", "prompt_tokens", "status", "detail")
HARD: list[dict[str, Any]] = [
    {"instruction": "Say why. " * 200, "output": "No."},  # the prompt leaves no room
    {"instruction": "Count.", "output": "1, 2, 3, " * 200},  # its end is cut
    {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c?"},
                  {"role": "assistant", "content": "d " * 40}]},
    {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b", "train": False}, {"role": "user", "content": "c!"},
                  {"role": "assistant", "content": "e " * 10}]},
]  # fmt: skip
BY_LENGTH = [
    (name, unit)
    for name, one in STRATEGIES.items()
    for unit in ("records", "tokens")
    if not (unit == "tokens" and (one.records_only or not one.counts)) and LENGTHS in tables_of((*one.needs, *(("response_tokens",) if unit == "tokens" else ())))
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("lengths") / "pool.jsonl", [*pool_rows(40), *HARD])


@pytest.fixture(scope="module")
def recipe(pool: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Callable[..., Recipe]:
    def made(folder: Path, **changes: Any) -> Recipe:
        settings = {
            "run_dir": str(folder), "data.source": str(pool), "model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 256,
            "embed.model": str(tiny_embedder_dir), "cluster.k": 3, "score.cache": False, "curate.decontaminate": [], "sample.target": str(pool),
        }  # fmt: skip
        return load_recipe(extra={**settings, **{key.replace("__", "."): value for key, value in changes.items()}})

    return made


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("codeact.lm.models.load_model", refuse)


@pytest.mark.parametrize("changes", [{}, {"score__variant": "paper"}, {"model__template": "alpaca"}], ids=["default", "paper", "alpaca"])
def test_it_counts_what_scoring_counts(recipe: Callable[..., Recipe], tmp_path: Path, changes: dict[str, Any]) -> None:
    store = run_pipeline(recipe(tmp_path, **changes), (SCORES, LENGTHS))
    counted, scores = store.table(LENGTHS), store.table(SCORES)
    assert counted.equals(scores.select(counted.column_names))
    assert tuple(counted.column_names) == COUNTED
    assert {"ok", "truncated", "too_long"} <= set(counted["status"].to_pylist())


def test_every_choice_by_length_is_that_of_the_score_table(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """Where the other tables that a strategy reads are at hand; `random` by records reads none."""
    there = ("cluster", "embed", "target", LENGTHS)
    store = run_pipeline(recipe(tmp_path), (*there, SCORES))
    ids = read_pool(store, columns=("id",))["id"].to_pylist()
    tried = []
    for name, unit in BY_LENGTH:
        config = recipe(tmp_path, sample__strategy=name, sample__unit=unit, sample__like="random", sample__ratio=0.3).sample
        if {*tables_of(STRATEGIES[name].needs)} - {*there, SCORES}:
            continue
        own, columns = choose_from_run(store, ids, config, 3)
        scored, more = choose_from_run(store, ids, config, 3, scores=store.table(SCORES))
        assert ("ifd" in columns, "ifd" in more) == (False, True)
        assert own.chosen == scored.chosen, name
        assert own.reason == scored.reason, name
        tried.append((name, unit))
    wanted = {("trim", "records"), ("trim-diversity", "tokens"), ("longest", "records"), ("random", "tokens"), ("diversity", "tokens"),
              ("k-centre", "tokens"), ("parametric", "tokens"), ("targeted", "tokens"), ("length-matched", "records")}  # fmt: skip
    assert wanted <= {*tried}
    assert tables_for(recipe(tmp_path, sample__strategy="full", sample__unit="tokens").sample) == ()  # everything: nothing is counted


def test_what_reads_lengths_alone_ranks_nothing_that_a_status_of_the_model_could_exclude() -> None:
    for name, _ in BY_LENGTH:
        ranking = STRATEGIES[name].ranking
        assert ranking is None or not (ranking.scored or ranking.ifd_below), name


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"strategy": "trim-diversity", "unit": "tokens"}, LENGTHS),
        ({"strategy": "random"}, LENGTHS),
        ({"strategy": "superfiltering", "unit": "tokens"}, LENGTHS),
        ({"strategy": "length-matched", "like": "longest"}, LENGTHS),
        ({"strategy": "length-matched", "like": "cdas"}, SCORES),
        ({"strategy": "cdas"}, SCORES),
        ({"strategy": "learnable", "unit": "tokens"}, SCORES),  # its stage reads the scores
        ({"strategy": "trim", "suspects": 0.1}, SCORES),
    ],
)
def test_one_of_both_runs(recipe: Callable[..., Recipe], tmp_path: Path, settings: dict[str, Any], counts: str) -> None:
    own = recipe(tmp_path, control="random", **{f"sample__{key}": value for key, value in settings.items()})
    names = {stage.name for stage in chosen(own, Inputs(own))}
    assert counted_by(own.sample) == counts
    assert names & {LENGTHS, SCORES} == {counts}


def test_select_loads_no_weights_and_says_what_it_holds(recipe: Callable[..., Recipe], pool: Path, tiny_model_dir: Path, tmp_path: Path, no_weights: None) -> None:
    out, sets = tmp_path / "out.jsonl", ("model.dtype=float32", "curate.decontaminate=[]", "sample.unit=tokens", "score.variant=paper")
    words = ["select", str(pool), "-o", str(out), "--strategy", "trim", "--model", str(tiny_model_dir), "--max-length", "256"]
    done = codeact_command(*words, *(word for one in sets for word in ("--set", one)))
    assert done.returncode == 0, done.stderr
    assert "% of the response tokens" in done.stdout
    assert "IFD against" not in done.stdout
    assert "no effect" not in done.stderr  # the variant decides the template
    run = tmp_path / "out.codeact"
    assert not (run / "score.parquet").exists()
    tokens = {row["id"]: row["response_tokens"] for row in pq.read_table(run / "lengths.parquet").to_pylist()}
    rows = pq.read_table(run / "sample.parquet").to_pylist()
    held = sum(tokens[row["id"]] for row in rows if row["selected"]) / sum(tokens.values())
    assert f"they hold {held:.0%} of the response tokens" in done.stdout
    missing = codeact_command("select", str(pool), "-o", str(tmp_path / "no.jsonl"), "--strategy", "trim")
    assert missing.returncode == 2
    assert "name it with --model" in missing.stderr


def test_what_reads_a_run_without_scores(recipe: Callable[..., Recipe], tmp_path: Path, no_weights: None) -> None:
    own = recipe(tmp_path, sample__strategy="trim-diversity", sample__unit="tokens", train__batch_size=4)
    store = run_pipeline(own, ("sample",))
    assert run_page.faults(store.root) == []
    sizes = {row["id"]: row for row in store.table(LENGTHS).to_pylist()}
    kept = [row["id"] for row in store.table("sample").to_pylist() if row["selected"]]

    told = codeact.explain(store.root, kept[0])
    assert told["lengths"]["response_tokens"] == sizes[kept[0]]["response_tokens"]
    assert "score" not in told
    tried = {one["set"] for one in told["changes"]}
    assert "sample.strategy=longest" in tried or "sample.strategy=trim" in tried
    assert not any("ifd" in one or "cdas" in one for one in tried)
    shown = codeact_command("explain", str(store.root), kept[0])
    assert f"response_tokens {sizes[kept[0]]['response_tokens']}" in shown.stdout
    assert codeact.stability(store.root, seeds=(0, 1), ks=(2, 3))["repeats"] == 1.0

    figures = gather(store.root)
    held = figures["length"]
    assert (figures["ifd"], held["spearman"]) == (None, None)
    assert held["selected_tokens"] == sum(sizes[i]["response_tokens"] for i in kept)
    assert held["token_share"] == pytest.approx(held["selected_tokens"] / sum(one["response_tokens"] for one in sizes.values()))
    page = write_report(store.root).read_text(encoding="utf-8")
    assert "no record was scored" in page
    assert "The examples are the first of those kept" in page
    assert "median IFD among" not in page

    codeact.export(store.root, "axolotl", tmp_path / "sft")
    mean = sum(sizes[i]["response_tokens"] + sizes[i]["prompt_tokens"] for i in kept) / len(kept)
    assert f"gradient_accumulation_steps: {max(1, round(4 * mean / 256))}" in next((tmp_path / "sft").glob("*.y*ml")).read_text(encoding="utf-8")
    assert "not scored" in (tmp_path / "sft" / "README.md").read_text(encoding="utf-8")


def test_a_run_of_scores_tries_and_takes_the_choices_by_length(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """A run directory that has scores goes on: they are kept, and the trials of `explain` count by them."""
    own = recipe(tmp_path, sample__strategy="cdas")
    store = run_pipeline(own, ("sample",))
    tokens = {row["id"]: row["response_tokens"] for row in store.table(SCORES).to_pylist()}
    left = max((row["id"] for row in store.table("sample").to_pylist() if not row["selected"]), key=lambda one: tokens[one])
    assert "sample.strategy=longest" in {one["set"] for one in codeact.explain(store.root, left)["changes"]}
    assert codeact.stability(store.root, strategy="longest", seeds=(0,), ks=(3,))["strategy"] == "longest"
    before = store.path("score.parquet").stat().st_mtime_ns
    again = run_pipeline(recipe(tmp_path, sample__strategy="trim", sample__unit="tokens"), ("sample",))
    assert again.path("score.parquet").stat().st_mtime_ns == before
    assert again.marker("sample")["inputs"].keys() == {"curate", LENGTHS}  # type: ignore[index]


def test_a_killed_count_goes_on_at_its_shard(recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "SHARD_RECORDS", 8)
    whole = run_pipeline(recipe(tmp_path / "whole"), (LENGTHS,)).table(LENGTHS)
    seen: list[str] = []
    from codeact.score import sequences

    build = sequences.build_sequences

    def until(record: Any, *more: Any) -> Any:
        if len(seen) == 20:
            raise KeyboardInterrupt
        seen.append(record.id)
        return build(record, *more)

    monkeypatch.setattr(sequences, "build_sequences", until)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(recipe(tmp_path / "cut"), (LENGTHS,))
    counted: list[str] = []
    monkeypatch.setattr(sequences, "build_sequences", lambda record, *more: counted.append(record.id) or build(record, *more))
    found = run_pipeline(recipe(tmp_path / "cut"), (LENGTHS,)).table(LENGTHS)
    assert counted == whole["id"].to_pylist()[16:]
    assert found.equals(whole)


def test_the_number_type_and_the_device_count_nothing_again(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    run_pipeline(recipe(tmp_path), (LENGTHS,))
    before = (tmp_path / "lengths.parquet").stat().st_mtime_ns
    run_pipeline(recipe(tmp_path, model__dtype="bfloat16"), (LENGTHS,))
    assert (tmp_path / "lengths.parquet").stat().st_mtime_ns == before
    run_pipeline(recipe(tmp_path, model__max_length=128), (LENGTHS,))
    assert max(Store(tmp_path).table(LENGTHS)["response_tokens"].to_pylist()) < 128


def test_a_plan_of_lengths_has_no_pass_of_the_model(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    own = recipe(tmp_path, sample__strategy="trim-diversity", sample__unit="tokens", evaluate__enabled=False)
    found = codeact.plan(own)
    assert (found["stages"]["lengths"], found["score_tokens"]) == ("to do", 0)
    assert "score" not in found["stages"]
    assert any("tokenizer alone" in note for note in found["notes"])
    assert found["train_tokens"] > 0


@pytest.mark.parametrize(("strategies", "passes"), [("[random, longest, trim]", False), ("[random, longest, cdas]", True)])
def test_a_comparison_scores_only_where_an_entrant_reads_scores(
    pool: Path, tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path, strategies: str, passes: bool
) -> None:
    file = tmp_path / "compare.yaml"
    file.write_text(
        f"""
run_dir: {tmp_path / "runs"}
seeds: [0]
rates: [0.4]
units: [tokens]
strategies: {strategies}
recipe:
  model: {{name: {tiny_model_dir}, max_length: 256, template: question, dtype: float32}}
  data: {{source: {pool}}}
  embed: {{model: {tiny_embedder_dir}}}
  evaluate: {{tasks: [humaneval], generate_limit: 0}}
""",
        encoding="utf-8",
    )
    found = plan_comparison(load_comparison(file))
    assert (found.score_tokens > 0) is passes
    assert any(line.startswith("score ") for line in found.lines()) is passes


def test_every_column_of_lengths_is_one_of_scoring_too() -> None:
    assert [name for name, origin in COLUMNS.items() if origin.table == LENGTHS] == ["response_tokens"]

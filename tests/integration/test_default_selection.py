"""What `select` does where nothing says how: by the command line, from Python and of a recipe; and that CDAS is one word away."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import codeact
from codeact import api, config
from codeact.errors import InputError
from codeact.pipeline.run import run_pipeline
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows

SIZE, RATIO = 50, 0.4
PAPERS = {"sample.strategy": "cdas", "sample.unit": "records"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("default") / "pool.jsonl", [{**row, "id": f"r{n:02d}"} for n, row in enumerate(pool_rows(SIZE))])


@pytest.fixture(scope="module")
def own(pool: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> dict[str, Any]:
    """The settings that a tiny machine needs, and nothing on how to choose."""
    return {
        "data.source": str(pool), "model.name": str(tiny_model_dir), "model.dtype": "float32", "model.max_length": 256, "evaluate.enabled": False,
        "embed.model": str(tiny_embedder_dir), "cluster.k": 3, "curate.decontaminate": [], "score.cache": False,
    }  # fmt: skip


def words(own: dict[str, Any], *left_out: str) -> list[str]:
    return [word for key, value in own.items() if key not in ("data.source", *left_out) for word in ("--set", f"{key}={json.dumps(value)}")]


def taken(run_dir: Path) -> set[str]:
    return {row["id"] for row in pq.read_table(run_dir / "sample.parquet").to_pylist() if row["selected"]}


def expected(run_dir: Path) -> set[str]:
    """By the tables alone: of all but the longest tenth, from each cluster its share of the tokens, in the order of the draw."""
    tokens = {row["id"]: row["response_tokens"] for row in pq.read_table(run_dir / "lengths.parquet").to_pylist()}
    cluster = {row["id"]: row["cluster"] for row in pq.read_table(run_dir / "cluster.parquet").to_pylist()}
    whole = Counter[int]()
    for one, number in cluster.items():
        whole[number] += tokens[one]
    cut = sorted(tokens, key=lambda one: (tokens[one], one))[-SIZE // 10 :]
    queue, before = [], Counter[int]()
    for one in sorted({*tokens} - {*cut}, key=lambda one: int.from_bytes(hashlib.blake2b(f"0:{one}".encode(), digest_size=8).digest(), "little")):
        number = cluster[one]
        queue.append((Fraction(2 * before[number] + tokens[one], 2 * whole[number]), number, one))
        before[number] += tokens[one]
    wanted, spent, found = int(Fraction(2, 5) * whole.total() + Fraction(1, 2)), 0, set[str]()
    for *_, one in sorted(queue):
        if abs(spent + tokens[one] - wanted) >= abs(spent - wanted):
            break
        spent += tokens[one]
        found.add(one)
    return found


def test_every_way_that_names_no_strategy_draws_by_tokens_from_every_cluster_but_for_the_longest(
    own: dict[str, Any], pool: Path, tmp_path: Path
) -> None:
    done = cli("select", str(pool), "-o", str(tmp_path / "out.jsonl"), *words(own))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "out.codeact"
    assert taken(run) == expected(run)
    assert not (run / "score.parquet").exists()
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith("what is known of trim-diversity: a held-out loss below that of random draws in five pools of six")]
    named = cli("select", str(pool), "-o", str(tmp_path / "n.jsonl"), "--strategy", "trim-diversity", "--unit", "tokens", *words(own))
    assert named.returncode == 0, named.stderr
    settings = {key: value for key, value in own.items() if key not in ("data.source", "evaluate.enabled")}
    python = codeact.select(pool, run_dir=tmp_path / "python", settings=settings)
    recipe = {"run_dir": str(tmp_path / "recipe")}
    for key, value in own.items():
        config.set_key(recipe, key, value)  # type: ignore[arg-type]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    run_pipeline(config.load_recipe(tmp_path / "recipe.yaml"), ("sample",))
    stage = cli("sample", str(pool), "-o", str(tmp_path / "s.parquet"), *words(own))
    assert stage.returncode == 0, stage.stderr
    for other in (tmp_path / "n.codeact", python.run_dir, tmp_path / "recipe", tmp_path / "s.codeact"):
        assert taken(other) == taken(run), other
    planned = api.plan(tmp_path / "recipe.yaml", ["run_dir=" + str(tmp_path / "planned")])
    assert {"lengths", "cluster", "sample"} <= {*planned["stages"]}
    assert "score" not in planned["stages"]
    assert (planned["unit"], planned["score_tokens"]) == ("tokens", 0)
    assert any(line.startswith("records ") and "50; selected about 20" in line for line in planned["lines"])
    assert any("40% is a share of the response tokens" in note for note in planned["notes"])


def test_cdas_is_one_word_away_and_the_papers_unit_a_second(own: dict[str, Any], pool: Path, tmp_path: Path) -> None:
    sides = {}
    for unit in ("tokens", "records"):
        more = [] if unit == "tokens" else ["--unit", unit]
        done = cli("select", str(pool), "--strategy", "cdas", *more, "-o", str(tmp_path / f"{unit}.jsonl"), "--json", *words(own))
        assert done.returncode == 0, done.stderr
        sides[unit] = json.loads(done.stdout)
        assert (sides[unit]["strategy"], sides[unit]["unit"]) == ("cdas", unit)
    scores = {row["id"]: row for row in pq.read_table(tmp_path / "tokens.codeact" / "score.parquet").to_pylist()}
    spent = sum(scores[one]["response_tokens"] for one in taken(tmp_path / "tokens.codeact"))
    whole = [row["response_tokens"] for row in scores.values()]
    assert abs(spent - RATIO * sum(whole)) <= max(whole) / 2
    usable = sum(row["ifd"] < 1 for row in scores.values())
    assert sides["records"]["selected"] == min(RATIO * SIZE, usable)


def test_where_the_template_refuses_most_the_rest_is_chosen_from_and_a_line_says_why(own: dict[str, Any], tmp_path: Path) -> None:
    """They were counted in the share that is cut, so the few good ones were "the longest" and none was selected."""
    tools = [{"type": "function", "function": {"name": "look_up", "description": "Look.", "parameters": {"type": "object", "properties": {}}}}]
    refused = [{"messages": [{"role": "user", "content": f"Ask {n}"}, {"role": "assistant", "content": f"Answer {n}"}], "tools": tools} for n in range(23)]
    good = [{"instruction": row["instruction"], "output": row["output"]} for row in pool_rows(2)]
    data = write_lines(tmp_path / "pool.jsonl", [*refused, *good])
    without_tools = (
        "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    (tmp_path / "plain.jinja").write_text(without_tools, encoding="utf-8")
    settings = ["--template", str(tmp_path / "plain.jinja"), *words(own, "cluster.k"), "--set", "cluster.k=1"]
    done = cli("select", str(data), "-o", str(tmp_path / "out.jsonl"), *settings)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    (line,) = [line for line in done.stdout.splitlines() if "nothing to learn" in line]
    assert line.startswith("23 of 25 records of the pool have nothing to learn: the template does not take it (the first: ")
    (stage,) = [line for line in done.stderr.splitlines() if line.startswith("sample: ")]
    assert re.search(r", unlearnable 23(, | \()", stage), stage
    refused_one = codeact.explain(tmp_path / "out.codeact", row=1)
    assert refused_one["sentence"].startswith("dropped: no response token to learn, refused: ")
    assert {"set": "model.template, one that takes it", "then": "eligible", "tried": False} in refused_one["changes"]
    reasons = Counter(row["reason"] for row in pq.read_table(tmp_path / "out.codeact" / "sample.parquet").to_pylist())
    assert reasons["no response tokens"] == 23
    assert "short in the selection" not in done.stdout, "of those that cannot be taken nothing is missing"
    covered = json.loads((tmp_path / "out.codeact" / "coverage.json").read_text(encoding="utf-8"))
    assert {sum(row["pool"] for row in rows) for one in covered.values() for rows in one["groups"].values()} == {2}
    only = write_lines(tmp_path / "few.jsonl", [*refused, good[0]])
    none = cli("select", str(only), "-o", str(tmp_path / "none.jsonl"), "--ratio", "0.01", *settings)
    (line,) = [line for line in none.stderr.splitlines() if line.startswith("codeact: ")]
    assert "no record was selected" in line
    assert "23 of 24 records of the pool have nothing to learn" in line


def test_prompts_that_leave_no_room_are_told_by_the_line_and_by_explain(own: dict[str, Any], tmp_path: Path) -> None:
    """A setting that `explain` names and does not try does what it says."""
    rows = [{"instruction": row["instruction"], "output": row["output"]} for row in pool_rows(12)]
    data = write_lines(tmp_path / "pool.jsonl", [{"instruction": "Say why. " * 40, "output": "Because."}, *rows])
    settings = [*words(own, "cluster.k", "model.max_length"), "--set", "cluster.k=1", "--ratio", "1"]
    done = cli("select", str(data), "-o", str(tmp_path / "out.jsonl"), *settings, "--max-length", "96")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "nothing to learn" in line]
    assert line == "1 of 13 records of the pool have nothing to learn: the prompt leaves no room for an answer below model.max_length"
    found = cli("explain", str(tmp_path / "out.codeact"), "--row", "1")
    told = found.stdout.splitlines()
    assert told[0] == "dropped: no response token to learn, too long: the prompt leaves no room for an answer below model.max_length"
    at = told.index("would be eligible with (not tried)")
    assert told[at + 1] == "  model.max_length above 96"
    more = cli("select", str(data), "-o", str(tmp_path / "more.jsonl"), *settings, "--max-length", "1024")
    assert more.returncode == 0, more.stderr
    assert "nothing to learn" not in more.stdout
    assert codeact.explain(tmp_path / "more.codeact", row=1)["sentence"].startswith("kept: ")


def test_a_budget_that_the_eligible_do_not_reach_is_told(own: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "output": f"It is {n}."} for n in range(11)]
    data = write_lines(tmp_path / "pool.jsonl", [*rows, {"instruction": "Say a lot.", "output": "a b c d e f " * 30}])
    settings = [*words(own, "cluster.k"), "--set", "cluster.k=1"]
    done = cli("select", str(data), "-o", str(tmp_path / "out.jsonl"), *settings)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("asked for 40% of the response tokens, selected ")]
    assert line.endswith(": no further record is eligible (among the longest 1)")
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 11
    enough = cli("select", str(data), "-o", str(tmp_path / "enough.jsonl"), "--unit", "records", *settings)
    assert enough.returncode == 0, enough.stderr
    assert "asked for" not in enough.stdout


REFUSED = {
    "floor": (["--set", "sample.floor=0.5"], "sample.floor = 0.5: a floor counts records; set sample.unit=records"),
    "gain": (["--set", "sample.min_gain=5"], "strategy 'trim-diversity' does not look at IFD; set it to 0, or sample.strategy to one that does"),
    "adaptive": (["--set", "score.adaptive=true"], "not for that of 'trim-diversity' with sample.unit=tokens: set sample.strategy=cdas and sample.unit=records"),
    "the authors' rounding": (["--strategy", "cdas-paper"], "'cdas-paper' counts records as its authors do; set sample.unit=records"),
    "unit": (["--unit", "words"], "sample.unit = 'words'"),
    "twice": (["--unit", "records", "--set", "sample.unit=tokens"], "sample.unit is given twice"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_default_cannot_serve_is_one_line_with_the_mend(what: str, own: dict[str, Any], pool: Path, tmp_path: Path) -> None:
    more, told = REFUSED[what]
    for plan in ([], ["--plan"]):
        done = cli("select", str(pool), "-o", str(tmp_path / "out.jsonl"), *words(own), *more, *plan)
        assert done.returncode == 2, done.stdout
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("codeact: ")]
        assert told in line
    assert not list(tmp_path.iterdir())


def test_without_a_model_it_is_said_who_counts_the_tokens(pool: Path, tmp_path: Path) -> None:
    for more, told in (([], "strategy 'trim-diversity' counts tokens"), (["--strategy", "random"], "sample.unit = tokens: they are counted")):
        done = cli("select", str(pool), "-o", str(tmp_path / "out.jsonl"), *more)
        assert done.returncode == 2
        assert told in done.stderr
        assert "--model" in done.stderr
    assert len(codeact.select(pool, strategy="full", run_dir=tmp_path / "full", settings={"curate.decontaminate": []})) == SIZE  # counts nothing
    with pytest.raises(InputError, match="or count records: --unit records"):
        codeact.select(pool, strategy="random", run_dir=tmp_path / "none")


def test_rules_that_rank_last_reach_a_draw_too(own: dict[str, Any], tmp_path: Path) -> None:
    """Suspects and records that fail a check come behind all others of the draw."""
    rows = [{**row, "id": f"r{n:02d}", "output": f"{row['output']}print({n} + 1)\n"} for n, row in enumerate(pool_rows(SIZE))]
    for row in rows[::6]:
        row["output"] += "```python\ndef f(:\n    return 1\n```"
    own = {**own, "data.source": str(write_lines(tmp_path / "pool.jsonl", rows))}
    chosen = {}
    for name, more in (
        ("plain", {"curate.verify": False}), ("suspects", {"curate.verify": False, "sample.suspects": 0.3}), ("failed", {"curate.failed": "penalise"}),
    ):  # fmt: skip
        chosen[name] = taken(run_pipeline(config.load_recipe(extra={**own, "run_dir": str(tmp_path / name), **more}), ("sample",)).root)
    spikes = {row["id"]: row["spike"] for row in pq.read_table(tmp_path / "suspects" / "score.parquet").to_pylist() if row["spike"] is not None}
    suspects = {*sorted(spikes, key=lambda one: -spikes[one])[: round(0.3 * SIZE)]}
    failed = {row["id"] for row in rows[::6]}
    for name, last in (("suspects", suspects), ("failed", failed)):
        assert chosen["plain"] & last
        assert not chosen[name] & last


def test_a_recipe_that_sets_what_is_no_longer_read_is_told(own: dict[str, Any], tmp_path: Path) -> None:
    """By itself a setting of scoring scores nothing. What says the default, as a recipe that a run kept does, is not worth a line."""
    recipe = {"run_dir": str(tmp_path / "run"), "score": {"shard_size": 7, "batch_tokens": 0}, "train": {"scheduler": "none such"}}
    for key, value in own.items():
        config.set_key(recipe, key, value)  # type: ignore[arg-type]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = cli("run", str(tmp_path / "recipe.yaml"))  # refused before the first stage, for its scheduler
    assert done.returncode == 2
    read = "(records, curate, embed, cluster, lengths, sample, pack, train)"
    assert [line for line in done.stderr.splitlines() if "no effect" in line] == [
        f"warning: score.{key} has no effect here: no stage that runs reads it {read}" for key in ("cache", "shard_size")
    ]


def test_a_directory_of_the_old_default_goes_on_and_mixes_nothing(own: dict[str, Any], pool: Path, tmp_path: Path) -> None:
    settings = {key: value for key, value in own.items() if key not in ("data.source", "evaluate.enabled")}
    before = codeact.select(pool, run_dir=tmp_path / "run", settings={**settings, **PAPERS})
    scored = (tmp_path / "run" / "score.parquet").stat().st_mtime_ns
    assert before.explain("r03")["sentence"]  # still read as what it is
    with logged() as said:
        after = codeact.select(pool, run_dir=tmp_path / "run", settings=settings)
    (line,) = [line for line in said if "was made with" in line]
    assert "sample.strategy=cdas, sample.unit=records; this call does not say so and means trim-diversity, tokens" in line
    assert taken(after.run_dir) == expected(after.run_dir)
    with logged() as said:
        found = codeact.stability(after.run_dir, seeds=(0, 1), ks=(2,), scores={"same": tmp_path / "run" / "score.parquet"})
    assert (found["repeats"], found["models"]) == (1.0, None)
    assert [line for line in said if "reads no scores" in line] == [
        "strategy trim-diversity reads no scores, so another scoring model changes nothing: same left out"
    ]
    kept = config.load_recipe(after.run_dir / "recipe.yaml").sample
    assert (kept.strategy, kept.unit) == ("trim-diversity", "tokens")
    ledger = pq.read_table(after.run_dir / "ledger.parquet").to_pylist()
    assert {row["id"] for row in ledger if row["status"] == "kept"} == taken(after.run_dir)
    assert (tmp_path / "run" / "score.parquet").stat().st_mtime_ns == scored
    with logged() as said:
        again = codeact.select(pool, run_dir=tmp_path / "run", settings={**settings, **PAPERS})
    assert not [line for line in said if "was made with" in line]  # both are named
    assert again.indices == before.indices
    assert (tmp_path / "run" / "score.parquet").stat().st_mtime_ns == scored

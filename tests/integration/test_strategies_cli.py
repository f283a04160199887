"""Every strategy through `codeact select` on tiny models, with a judge behind a real server; stability."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from codeact import api
from codeact.errors import InputError
from codeact.sample.strategies import find
from tests.helpers.command import Finished
from tests.helpers.command import codeact_command as codeact
from tests.helpers.judge_server import judge_server
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

Select = Callable[..., Finished]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("strategies")
    write_lines(made / "pool.jsonl", pool_rows(40))
    return made


@pytest.fixture(autouse=True)
def own_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_CACHE", str(folder / "cache"))


@pytest.fixture
def select(folder: Path, tiny_model_dir: Path, tiny_embedder_dir: Path) -> Select:
    def call(strategy: str, *more: str) -> Finished:
        unit = () if any(word.startswith("sample.unit=") for word in more) else ("--unit", "records")
        return codeact(
            "select", str(folder / "pool.jsonl"), "-o", str(folder / "out.jsonl"), "--strategy", strategy, "--json", "--run-dir",
            str(folder / "run"), "--model", str(tiny_model_dir), "--embedder", str(tiny_embedder_dir), "--max-length", "512",
            "--dtype", "float32", "--set", "cluster.k=3", "--set", f"score.proxy={tiny_model_dir}", *unit, *more,
        )  # fmt: skip

    return call


@pytest.fixture
def scored(folder: Path, select: Select) -> None:
    """Strategies that need no scores are held against those of one that does."""
    if not (folder / "run" / "score.parquet").exists():
        assert select("ppl-low").returncode == 0


def table(folder: Path, stage: str) -> dict[str, np.ndarray[Any, Any]]:
    found = pq.read_table(folder / "run" / f"{stage}.parquet")
    return {name: np.array(found[name].to_pylist(), dtype=object) for name in found.column_names}


RANKED = {
    "ppl-low": lambda s: s["nll_cond"].astype(float),
    "ppl-high": lambda s: -s["nll_cond"].astype(float),
    "cherry": lambda s: np.where(
        s["nll_cond"].astype(float) < s["nll_uncond"].astype(float), -(s["nll_cond"] / s["nll_uncond"]).astype(float), np.inf
    ),
    "superfiltering": lambda s: np.where(s["ifd"].astype(float) < 1, -s["ifd"].astype(float), np.inf),
}  # fmt: skip


@pytest.mark.parametrize("strategy", RANKED)
def test_ranked_strategies_take_the_top_of_the_score_table(folder: Path, select: Select, strategy: str) -> None:
    done = select(strategy, "--ratio", "0.3")
    assert done.returncode == 0, done.stderr
    scores = table(folder, "proxy" if strategy == "superfiltering" else "score")
    chosen = table(folder, "sample")
    keys = dict(zip(scores["id"], RANKED[strategy](scores), strict=True))
    order = sorted((i for i in keys if np.isfinite(keys[i])), key=lambda i: (keys[i], i))
    assert set(chosen["id"][chosen["selected"].astype(bool)]) == set(order[:12])


@pytest.mark.parametrize("strategy", ["k-centre", "facility-location", "length-residual", "length-band", "position-matched", "cdas-length-residual",
                                      "cdas-length-band", "cdas-position-matched", "trim", "trim-diversity", "s-ifd", "parametric"])  # fmt: skip
@pytest.mark.parametrize("unit", ["records", "tokens"])
@pytest.mark.usefixtures("scored")
def test_the_others_meet_their_budget(folder: Path, select: Select, strategy: str, unit: str) -> None:
    done = select(strategy, "--ratio", "0.3", "--set", f"sample.unit={unit}")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    scores, chosen = table(folder, "score"), table(folder, "sample")
    tokens = dict(zip(scores["id"], scores["response_tokens"], strict=True))
    usable = int((scores["ifd"].astype(float) < 1).sum())
    if unit == "records":
        free = strategy in ("k-centre", "facility-location", "trim", "trim-diversity", "parametric")
        assert summary["selected"] == (12 if free else min(12, usable))
    else:
        spent = sum(tokens[i] for i in chosen["id"][chosen["selected"].astype(bool)])
        assert abs(spent - 0.3 * sum(tokens.values())) <= max(tokens.values()) / 2 + 1
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == summary["selected"]


def test_alpagasus_and_deita_ask_a_judge_once(folder: Path, select: Select) -> None:
    def reply(prompt: str) -> str:
        if "accuracy" in prompt:
            return "I will not say." if "version 7." in prompt else ("5/5\nFine." if "sort" in prompt else "<think>\nMaybe Score: 5?\n</think>\nScore: 3")
        return str(1 + len(prompt) % 6)

    with judge_server(reply) as server:
        where = ["--set", f"judge.endpoint={server.url}", "--set", "judge.model=judge-1"]
        done = select("alpagasus", "--ratio", "1", *where)
        assert done.returncode == 0, done.stderr
        assert len(server.payloads) == 40
        rated, chosen = table(folder, "judge"), table(folder, "sample")
        assert sorted(set(rated["rating_status"])) == ["ok", "unparsed"]
        assert rated["rating"][rated["rating_status"] == "unparsed"].tolist() == [None]
        best = set(rated["id"][rated["rating"] == 5.0])
        assert set(chosen["id"][chosen["selected"].astype(bool)]) == best != set()
        assert set(chosen["reason"]) == {"", "rating<4.5", "no rating"}
        (folder / "run" / "judge.parquet").unlink()
        (folder / "run" / "markers" / "judge.json").unlink()
        assert select("alpagasus", "--ratio", "1", *where).returncode == 0
        assert len(server.payloads) == 40  # the cache answers

        planned = select("deita", "--plan", "--set", "judge.price_in=1000", *where)
        assert sum("40 requests (0 answers known)" in note for note in json.loads(planned.stdout)["notes"]) == 2
        refused = select("deita", "--set", "judge.price_in=1000", "--set", "judge.budget=0.01", *where)
        assert (refused.returncode, len(server.payloads)) == (2, 40)
        assert "judge.budget = 0.01" in refused.stderr
        done = select("deita", "--ratio", "0.2", *where)
        assert done.returncode == 0, done.stderr
        assert len(server.payloads) == 120
        assert json.loads(done.stdout)["selected"] <= 8


def test_targeted_takes_what_is_like_the_examples(folder: Path, select: Select) -> None:
    rows = [json.loads(line) for line in (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = [rows[7], rows[30], rows[7]]
    examples = folder / "examples.jsonl"
    examples.write_text(
        "".join(json.dumps({"text": r["instruction"], "code": "x"}) + "\n" for r in asked), encoding="utf-8"
    )
    where = ["--set", f"sample.target={examples}", "--set", "sample.target_map={instruction: text, response: code}"]
    done = select("targeted", "--ratio", "0.05", *where)
    assert done.returncode == 0, done.stderr
    out = [json.loads(line)["instruction"] for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert out == [rows[7]["instruction"], rows[30]["instruction"]]
    near = table(folder, "target")
    best = near["id"][near["target_similarity"].astype(float) > 0.9999]
    assert set(best) >= {i for i, rank in zip(near["id"], near["target_rank"], strict=True) if rank <= 2}
    assert sorted(near["target_rank"]) == list(range(1, 41))
    for wrong, told in (((), "sample.target is not set"), (("--set", "sample.target=none.jsonl"), "does not exist")):
        refused = select("targeted", *wrong)
        assert (refused.returncode, told in refused.stderr) == (2, True)
    unread = select("targeted", "--set", f"sample.target={examples}")
    assert (unread.returncode, "sample.target_map" in unread.stderr) == (2, True)


def test_instag_covers_tags(folder: Path, select: Select) -> None:
    def reply(prompt: str) -> str:
        words = prompt.split("[Instruction]")[1].split("[End")[0].split()
        return json.dumps(
            [{"tag": w, "explanation": "x"} for w in words if w in ("add", "sort", "numbers", "words", "rows")]
        )

    with judge_server(reply) as server:
        where = ["--set", f"judge.endpoint={server.url}", "--set", "judge.model=tagger"]
        done = select("instag", "--ratio", "0.1", *where)
        assert done.returncode == 0, done.stderr
        tagged, chosen = table(folder, "tags"), table(folder, "sample")
        taken = chosen["selected"].astype(bool)
        tags = dict(zip(tagged["id"], tagged["tags"], strict=True))
        assert {t for i in chosen["id"][taken] for t in tags[i]} == {t for found in tags.values() for t in found}
    without = select("instag", "--set", "judge.model=tagger")
    assert (without.returncode, "judge.endpoint" in without.stderr) == (2, True)


def test_a_judge_that_fails_too_often_fails_the_stage_and_keeps_its_answers(folder: Path, select: Select) -> None:
    with judge_server(lambda _: "4") as server:
        where = ["--set", f"judge.endpoint={server.url}", "--set", "judge.model=shaky", "--set", "judge.attempts=1"]
        server.script.extend([(500, {})] * 5)
        done = select("alpagasus", "--ratio", "1", *where)
        assert done.returncode == 1
        assert "5 of 40 requests" in done.stderr
        assert len(server.payloads) == 40
        again = select("alpagasus", "--ratio", "1", *where)
        assert len(server.payloads) == 45
        assert (again.returncode, "found none eligible" in again.stderr) == (2, True)  # all are rated 4


def test_a_local_judge_rates_without_an_endpoint(folder: Path, select: Select, tiny_model_dir: Path) -> None:
    done = select("deita", "--ratio", "0.2", "--set", f"judge.model={tiny_model_dir}", "--set", "judge.min_mass=0")
    assert done.returncode == 0, done.stderr
    rated = table(folder, "judge")
    assert set(rated["quality_status"]) == {"ok"}
    assert ((rated["quality"].astype(float) > 1) & (rated["quality"].astype(float) < 6)).all()
    unset = select("alpagasus")
    assert (unset.returncode, "judge.model is not set" in unset.stderr) == (2, True)


def test_stability_is_one_where_nothing_can_change(folder: Path, select: Select) -> None:
    assert select("cdas", "--ratio", "0.3").returncode == 0
    run_dir = folder / "run"
    scores = {"same": run_dir / "score.parquet"}
    found = api.stability(run_dir, seeds=(0, 1, 2), ks=(2, 3, 5), scores=scores)
    assert found["models"]["mean"] == 1.0
    assert found["seeds"]["labels"] == ["0", "1", "2"]
    assert all(found[name]["matrix"][n][n] == 1.0 for name in ("seeds", "ks") for n in range(3))
    assert 0 < found["ks"]["least"] <= found["ks"]["mean"] <= 1
    fixed = api.stability(run_dir, seeds=(0, 1), ks=(2, 5), strategy="complexity")
    assert (fixed["seeds"]["mean"], fixed["ks"]) == (1.0, None)
    drawn = api.stability(run_dir, seeds=tuple(range(8)), ks=(2,), strategy="random", ratio=0.5)
    assert drawn["seeds"]["mean"] == pytest.approx(drawn["chance"], abs=0.12)
    assert drawn["ks"] is None
    with pytest.raises(InputError, match="no selection"):
        api.stability(folder)
    (run_dir / "judge.parquet").unlink(missing_ok=True)  # of an earlier test
    with pytest.raises(InputError, match=r"judge\.parquet"):
        api.stability(run_dir, strategy="alpagasus")
    told = codeact(
        "stability", str(run_dir), "--seeds", "0,1,2", "--ks", "2,3", "--scores", f"same={run_dir / 'score.parquet'}"
    )
    assert told.returncode == 0, told.stderr
    assert [line.split(":")[0] for line in told.stdout.splitlines()[2:]] == [
        "seed",
        "number of clusters",
        "scoring model",
    ]
    for wrong in (("--seeds", "a,b"), ("--scores", "file.parquet")):
        refused = codeact("stability", str(run_dir), *wrong)
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("strategy", ["length-residual", "cdas-length-band", "position-matched", "cherry", "k-centre", "cdas"])
def test_stability_repeats_what_the_run_selected(folder: Path, select: Select, strategy: str) -> None:
    """Under the run's own seeds and number of clusters every strategy and rule gives the run's own selection again."""
    rules = ("--set", "sample.unit=tokens", "--set", "cluster.k=3", "--set", "sample.seed=4")
    ranked = strategy not in ("k-centre",)
    assert select(strategy, *rules, *(("--set", "sample.suspects=0.2") if ranked else ())).returncode == 0
    found = api.stability(folder / "run", seeds=(), ks=(3, 4))
    assert found["repeats"] == 1.0
    assert found["selected"] == sum(table(folder, "sample")["selected"].tolist())
    assert found["seeds"] is None
    if "cluster" in find(strategy).needs:
        assert 0 < found["ks"]["mean"] <= 1
    else:
        assert found["ks"] is None


def test_k_auto_chooses_and_says_why(folder: Path, select: Select) -> None:
    done = select("cdas", "--set", "cluster.k=auto")
    assert done.returncode == 0, done.stderr
    marker = json.loads((folder / "run" / "markers" / "cluster.json").read_text())
    auto = marker["summary"]["auto"]
    best = max(auto, key=lambda k: (sum(auto[k]), -int(k)))
    assert str(marker["summary"]["clusters"]) == best


def test_list_is_anybodys_selection(folder: Path, select: Select) -> None:
    rows = [json.loads(line) for line in (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()]
    plain = folder / "theirs.txt"
    plain.write_text("30\n7\n12\n\n", encoding="utf-8")

    def chosen(file: Path, ratio: str = "1") -> list[str]:
        done = select("list", "--ratio", ratio, "--set", f"sample.listed={file}", "--force")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["instruction"] for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]

    everything = [rows[n]["instruction"] for n in (7, 12, 30)]
    assert chosen(plain) == everything
    assert chosen(plain, "0.05") == [rows[n]["instruction"] for n in (7, 30)]  # the first two of the list
    ids = dict(zip(table(folder, "listed")["listed"], table(folder, "listed")["id"], strict=True))
    for name, content in {
        "ids.txt": "\n".join(ids[n] for n in (1, 2, 3)), "ids.json": json.dumps([ids[1], ids[2], ids[3]]), "rows.json": "[30, 7, 12]",
        "ids.jsonl": "".join(json.dumps({"id": ids[n], "why": "x"}) + "\n" for n in (1, 2, 3)), "rows.csv": "index\n30\n7\n12\n",
    }.items():  # fmt: skip
        (folder / name).write_text(content, encoding="utf-8")
        assert chosen(folder / name) == everything, name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("7\n99\n", "entry 2 is no row of the data: '99'; the rows go from 0 to 39"),
        ("7\n3\n7\n", "entries 1 and 3 are the same record, '7'; name each once"),
        ("7\nsomething\n", "entry 1 is no id of the data: '7'"),
        ("\n", "lists nothing"),
    ],
)
def test_a_list_that_is_none_is_one_line(folder: Path, select: Select, content: str, told: str) -> None:
    (folder / "wrong.txt").write_text(content, encoding="utf-8")
    refused = select("list", "--set", f"sample.listed={folder / 'wrong.txt'}")
    assert (refused.returncode, told in refused.stderr, refused.stderr.count("wrong.txt")) == (2, True, 1), refused.stderr


def test_list_and_others_say_what_they_lack(folder: Path, select: Select) -> None:
    (folder / "names.jsonl").write_text('{"name": "a"}\n', encoding="utf-8")
    for strategy, settings, told in (
        ("list", [], "sample.listed is not set"),
        ("list", ["--set", "sample.listed=none.txt"], "does not exist"),
        ("list", ["--set", f"sample.listed={folder / 'names.jsonl'}"], "has no column id, row or index"),
        ("s-ifd", ["--set", "score.variant=paper"], "score.variant=default"),
        ("position-matched", ["--set", "score.variant=paper"], "strategy 'position-matched' compares both losses of the same tokens, as score.variant=default"),
        ("cdas-position-matched", ["--set", "score.variant=paper"], "score.variant=default"),
        ("length-matched", ["--set", "score.variant=paper", "--set", "sample.like=position-matched"], "(sample.like=position-matched) compares both losses"),
        ("learnable", ["--set", "score.variant=paper"], "compares losses of the same tokens before and after its training, as score.variant=default"),
        ("learnable", ["--set", "score.endpoint=http://127.0.0.1:9"], "leave score.endpoint and score.backend out"),
        ("learnable", ["--set", "score.backend=vllm"], "leave score.endpoint and score.backend out"),
        ("length-matched", ["--set", "sample.like=length-matched"], "name another strategy"),
        ("trim", ["--set", "sample.trim=1"], "sample.trim"),
    ):
        refused = select(strategy, *settings)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr


def test_select_says_what_is_known_of_its_strategy(folder: Path, select: Select, tiny_model_dir: Path, tiny_embedder_dir: Path) -> None:
    known = json.loads(select("cdas", "--ratio", "0.3").stdout)["known"]
    assert known.startswith("what is known of cdas: a higher held-out loss")
    assert known.endswith("; what the evidence supports: codeact run evidence")
    where = ("-o", str(folder / "out.jsonl"), "--run-dir", str(folder / "run"))
    told = codeact("select", str(folder / "pool.jsonl"), "--strategy", "random", "--unit", "records", *where)
    assert "what is known of random: the baseline" in told.stdout
    assert "codeact run evidence" not in told.stdout


def test_rds_takes_what_the_model_finds_like_the_examples_but_no_copies(folder: Path, select: Select) -> None:
    rows = [json.loads(line) for line in (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()]
    examples = folder / "wanted.jsonl"
    examples.write_text("".join(json.dumps(rows[n]) + "\n" for n in (7, 30, 7)), encoding="utf-8")
    done = select("rds", "--ratio", "0.3", "--set", f"sample.target={examples}")
    assert done.returncode == 0, done.stderr
    found = table(folder, "rds")
    copies = found["id"][[rank is None for rank in found["rds_rank"]]]
    records = dict(zip(table(folder, "records")["id"], table(folder, "records")["row"], strict=True))
    assert {7, 30} <= {records[i] for i in copies}
    ranks = sorted(rank for rank in found["rds_rank"] if rank is not None)
    assert ranks == list(range(1, len(ranks) + 1))
    similar = found["rds_similarity"].astype(float)
    assert similar[np.isin(found["id"], copies)].min() > 0.99
    chosen = table(folder, "sample")
    assert set(chosen["reason"][np.isin(chosen["id"], copies)]) == {"like an example"}
    assert json.loads(done.stdout)["selected"] == 12
    assert len(table(folder, "hidden")["hidden"][0]) > 0


def test_dsir_draws_by_weight_and_names_its_extra_before_any_work(folder: Path, select: Select, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.loads(line) for line in (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()]
    write_lines(folder / "like.jsonl", [rows[n] for n in (7, 30)])
    wanted = ("--ratio", "0.3", "--set", f"sample.target={folder / 'like.jsonl'}")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "data_selection", None)
        refused = select("dsir", *wanted, "--set", "seed=77")
    assert refused.returncode == 2
    assert "strategy dsir needs the package 'data_selection', which is not installed; install it with: pip install 'codeact[dsir]'" in refused.stderr
    assert "reading" not in refused.stdout
    pytest.importorskip("data_selection", reason="needs the extra `dsir`")
    done = select("dsir", *wanted)
    assert done.returncode == 0, done.stderr
    found, chosen = table(folder, "dsir"), table(folder, "sample")
    assert sorted(found["id"]) == sorted(chosen["id"])
    weight = dict(zip(found["id"], found["importance"].astype(float), strict=True))
    taken = {i for i, one in zip(chosen["id"], chosen["selected"], strict=True) if one}
    assert len(taken) == 12
    assert np.mean([weight[i] for i in taken]) > np.mean([weight[i] for i in weight if i not in taken])
    assert set(chosen["reason"]) == {"", "not drawn"}


def test_learnable_takes_records_that_were_not_trained_on(folder: Path, select: Select) -> None:
    done = select("learnable", "--ratio", "0.3", "--set", "train.learning_rate=0.01", "--set", "train.method=lora")
    assert done.returncode == 0, done.stderr
    found, chosen = table(folder, "learn"), table(folder, "sample")
    taken = set(chosen["id"][chosen["selected"].astype(bool)])
    probe = set(found["id"][found["in_probe"].astype(bool)])
    assert (len(probe), len(taken), taken & probe) == (8, 12, set())
    scores = table(folder, "score")
    before = dict(zip(scores["id"], scores["nll_cond"], strict=True))
    for identity, after, value in zip(found["id"], found["nll_after"], found["learnable"], strict=True):
        assert value == pytest.approx((before[identity] - after) / before[identity])
    assert float(np.mean(found["learnable"][found["in_probe"].astype(bool)])) > 0  # the loss of what was trained on falls
    assert not (folder / "run" / "learn").exists()
    few = select("learnable", "--set", "data.limit=6")
    assert (few.returncode, "trains on 8 records first, and the pool has 6" in few.stderr) == (2, True)

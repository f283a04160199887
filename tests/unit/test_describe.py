"""`harvest --describe`: undocumented functions get their instruction from a judge endpoint, or are left out with the reason."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import codeact
from codeact.api.describing import read_description
from codeact.errors import CodeactError, InputError
from codeact.harvesting import DESCRIBED_BY, harvest_functions
from tests.helpers.command import codeact_command
from tests.helpers.judge_server import JudgeServer, judge_server

BODY = "    total = 0\n    for value in values:\n        total += value * value\n    return total / max(1, len(values))\n"
SAID = "It takes numbers and returns the mean of their squares; without any it returns zero."
GO = "package p\n\nfunc Span(a int, b int) int {\n\tlow := min(a, b)\n\thigh := max(a, b)\n\treturn high - low + len(\"x\")\n}\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[JudgeServer]:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    with judge_server(lambda prompt: SAID) as served:
        yield served


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.py").write_text(f"def spread(values):\n{BODY}", encoding="utf-8")
    known = f'def told(values):\n    """Return the mean of the squared values."""\n{BODY.replace("max(1, ", "max(2, ")}'
    method = textwrap.indent(BODY.replace("max(1", "max(3"), "    ")
    till = f'class Till:\n    """The till of a shop."""\n\n    def sum_up(self, values):\n{method}'
    (folder / "b.py").write_text(f"{till}\n\n{known}", encoding="utf-8")
    return folder


def settings(server: JudgeServer, **more: Any) -> dict[str, Any]:
    return {"judge.endpoint": server.url, "judge.model": "judge-1", "judge.backoff": 0.01, "judge.concurrency": 1, **more}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_undocumented_functions_are_described_and_say_by_whom(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    made = codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, settings=settings(server))
    assert (made["records"], made["described"]) == (3, 2)
    spread, till, told = rows(tmp_path / "pool.jsonl")
    assert spread["instruction"] == f"Write a Python function `spread(values)`.\n\n{SAID}"
    assert spread["output"] == f"def spread(values):\n{BODY}".rstrip()
    assert till["instruction"] == f"Write the method `sum_up(self, values)` of the Python class `Till`. The class: The till of a shop.\n\n{SAID}"
    assert (spread[DESCRIBED_BY], till[DESCRIBED_BY], DESCRIBED_BY in told) == ("judge-1", "judge-1", False)
    prompts = [payload["messages"][0]["content"] for payload in server.payloads]
    assert len(prompts) == 2
    assert spread["output"] in prompts[0]
    again = codeact.harvest(str(tree), tmp_path / "again.jsonl", describe=True, settings=settings(server))
    assert len(server.payloads) == 2  # from the cache of answers
    assert (again["described"], again["usd"]) == (2, 0)


def test_a_command_without_an_endpoint_reads_nothing(tree: Path, tmp_path: Path) -> None:
    done = codeact_command("harvest", str(tree), "--describe", "-o", str(tmp_path / "pool.jsonl"))
    assert done.returncode == 2
    assert "judge.endpoint is empty" in done.stderr
    assert not (tmp_path / "pool.jsonl").exists()


def test_the_command_says_what_was_described_and_what_was_not(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    server.script.append((400, {}))
    keys = [word for key, value in settings(server).items() for word in ("--set", f"{key}={value}")]
    done = codeact_command("harvest", str(tree), "--describe", *keys, "-o", str(tmp_path / "pool.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "1 of them described by the endpoint" in done.stdout
    assert "1 description: HTTP 400" in done.stdout
    assert "shop/a.py: spread (line 1) is left out: its description: HTTP 400" in done.stdout
    assert [row["name"] for row in rows(tmp_path / "pool.jsonl")] == ["Till.sum_up", "told"]


def test_an_answer_that_the_server_cut_off_is_no_description(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    cut = {"choices": [{"message": {"content": SAID}, "finish_reason": "length"}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    server.script.append(json.dumps(cut).encode())
    prices = {"judge.price_in": 1e6, "judge.price_out": 1e6}
    made = codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, settings=settings(server, **prices))
    assert made["skipped"]["description: cut off"] == 1
    assert made["usd"] == pytest.approx(15 + 1010)


def test_an_endpoint_that_is_down_is_an_error_and_its_answers_are_kept(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    server.script.extend([None, *[(503, {})] * 2])
    with pytest.raises(CodeactError, match=r"1 of 2 requests .* run again"):
        codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, settings=settings(server, **{"judge.attempts": 2}))
    assert not (tmp_path / "pool.jsonl").exists()
    assert codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, settings=settings(server))["described"] == 2
    assert len(server.payloads) == 4


def test_refusals_of_the_key_and_the_budget(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judge\.budget"):
        codeact.harvest(str(tree), tmp_path / "p.jsonl", describe=True, settings=settings(server, **{"judge.budget": 0.01, "judge.price_out": 1e6}))
    assert server.payloads == []
    server.reply = lambda prompt: "I'm sorry, I can't help with that."
    server.script.append((401, {}))
    with pytest.raises(InputError, match="answers 401"):
        codeact.harvest(str(tree), tmp_path / "p.jsonl", describe=True, settings=settings(server))
    with pytest.raises(CodeactError, match="none of 2 answers of judge-1 is a description; the first: refused"):
        codeact.harvest(str(tree), tmp_path / "p.jsonl", describe=True, settings=settings(server))


def test_secrets_are_neither_sent_nor_taken_from_an_answer(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    secret = BODY.replace("total = 0", 'total = 0\n    password = "hX7!kk29Qz_w"')
    (tree / "c.py").write_text(f"def sign(values):\n{secret}", encoding="utf-8")
    server.reply = lambda prompt: f"{SAID} Ask maria.kovacs@acme-shop.de about it." if "sum_up" in prompt else SAID
    made = codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, settings=settings(server))
    assert not any("hX7!kk29Qz_w" in str(payload) for payload in server.payloads)
    assert made["skipped"]["secret: password"] == 1
    assert made["skipped"]["personal data: e-mail address"] == 1
    assert [row["name"] for row in rows(tmp_path / "pool.jsonl")] == ["spread", "told"]


def test_only_the_sample_is_sent(server: JudgeServer, tree: Path, tmp_path: Path) -> None:
    made = codeact.harvest(str(tree), tmp_path / "pool.jsonl", describe=True, limit=1, seed=1, settings=settings(server))
    assert (made["found"], made["records"]) == (3, 1)
    assert len(server.payloads) == made["described"]


def test_copies_of_documented_functions_and_other_languages(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"def mean_square(values):\n{BODY}", encoding="utf-8")
    (tmp_path / "b.py").write_text(f'def mean_square(values):\n    """Return the mean of the squared values."""\n{BODY}', encoding="utf-8")
    (tmp_path / "c.go").write_text(GO, encoding="utf-8")
    found = harvest_functions([tmp_path], languages=("python", "go"), min_tokens=5, undocumented=True)
    assert [(r.meta["file"], r.meta.get(DESCRIBED_BY)) for r in found.records] == [("b.py", None), ("c.go", "")]
    assert found.records[1].instruction == "Write a Go function `func Span(a int, b int) int`."
    assert found.skipped == {"duplicate": 1}


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (SAID, (SAID, "")),
        (f"<think>\nSquares?\n</think>\n\n{SAID}", (SAID, "")),
        (f"Sure, here is the description:\n\n{SAID}", (SAID, "")),
        (f"```text\n{SAID}\n```", (SAID, "")),
        (f'"""\n{SAID}\n"""', (SAID, "")),
        ("I/O errors of the stream are turned into None.", ("I/O errors of the stream are turned into None.", "")),
        ("返回这些数值平方的平均值，没有数值时返回零。", ("返回这些数值平方的平均值，没有数值时返回零。", "")),
        ("<think>\nSquares? Or", ("", "cut off")),
        ("It takes numbers and returns the", ("", "cut off")),
        ("", ("", "says too little")),
        ("Mean square.", ("", "says too little")),
        ("I cannot describe this function without more context.", ("", "refused")),
        ("抱歉，我无法描述这个函数。", ("", "refused")),
        (f"It is this:\n```python\nx = 1\n```\n{SAID}", ("", "holds the code")),
        ("It does `total += value * value` and then it returns total / max(1, len(values)).", ("", "holds the code")),
    ],
)  # fmt: skip
def test_what_an_answer_is_read_as(answer: str, read: tuple[str, str]) -> None:
    assert read_description(answer, f"def spread(values):\n{BODY}") == read

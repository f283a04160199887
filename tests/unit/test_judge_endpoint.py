"""The client of judge endpoints against a real server that misbehaves."""

from __future__ import annotations

import dataclasses
import email.utils
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeact.errors import CodeactError, InputError
from codeact.judge.costs import estimate_cost
from codeact.judge.endpoint import ask
from codeact.judge.kept import Cache
from codeact.judge.responses import retry_after
from codeact.judge.settings import Settings
from tests.helpers.judge_server import JudgeServer, judge_server


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server(lambda prompt: f"4.5 for {prompt}") as served:
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


def settings(server: JudgeServer, **changes: Any) -> Settings:
    given = {"backoff": 0.01, "timeout": 2.0, "attempts": 4, **changes}
    return Settings(server.url, "judge-1", **given)


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}), (429, {"Retry-After": "0"}), (500, {}), (503, {}), (408, {}), "reset", "hang", "drip",
        b"<html>bad gateway</html>", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[" * 100_000, b"\xff\xfe",
    ],
    ids=str,
)  # fmt: skip
def test_a_fault_that_passes_costs_a_second_try_and_no_answer(server: JudgeServer, cache: Path, fault: Any) -> None:
    server.script.append(fault)
    (answer,) = ask(["p"], settings(server), cache)
    assert (answer.text, answer.status, answer.cached) == ("4.5 for p", "ok", False)
    assert len(server.payloads) == 2


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ((429, {}), "HTTP 429"),
        ((500, {}), "HTTP 500"),
        ("reset", "connection"),
        ("hang", "timeout"),
        (b"{}", "malformed"),
    ],
    ids=str,
)
def test_a_fault_that_stays_is_a_status_for_that_prompt_alone(
    server: JudgeServer, cache: Path, fault: Any, status: str
) -> None:
    server.script.extend([fault, fault])
    bad, good = ask(["bad", "good"], settings(server, attempts=2, concurrency=1), cache)
    assert (bad.text, bad.status) == (None, status)
    assert good.text == "4.5 for good"
    assert len(server.payloads) == 3


def test_a_request_that_the_server_rejects_is_not_repeated(server: JudgeServer, cache: Path) -> None:
    server.script.append((400, {}))
    (answer,) = ask(["too long"], settings(server), cache)
    assert (answer.text, answer.status, len(server.payloads)) == (None, "HTTP 400", 1)


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_obeyed(server: JudgeServer, cache: Path, date: bool) -> None:
    def header() -> str:  # made when the answer is sent
        return email.utils.formatdate(time.time() + 2, usegmt=True) if date else "1"

    server.script.append((429, {"Retry-After": header}))
    ask(["p"], settings(server), cache)
    first, second = server.times
    assert second - first > 0.85  # the server's second, not the 0.01 s of the backoff


def test_a_wait_beyond_the_limit_is_given_up_at_once(server: JudgeServer, cache: Path) -> None:
    server.script.append((429, {"Retry-After": "3600"}))
    (answer,) = ask(["p"], settings(server, max_wait=1.0), cache)
    assert (answer.status, len(server.payloads)) == ("HTTP 429", 1)


def test_backoff_grows(server: JudgeServer, cache: Path) -> None:
    server.script.extend([(500, {})] * 3)
    ask(["p"], settings(server, backoff=0.2), cache)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert all(gap >= 0.1 * 2**n for n, gap in enumerate(gaps))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_stops_everything_with_one_line(server: JudgeServer, cache: Path, status: int) -> None:
    server.script.extend([(status, {})] * 50)
    with pytest.raises(InputError, match=f"answers {status}") as caught:
        ask([f"p{n}" for n in range(50)], settings(server, concurrency=2, key="secret-key"), cache)
    assert "\n" not in str(caught.value)
    assert "secret-key" not in str(caught.value)
    assert len(server.payloads) < 10


@pytest.mark.parametrize(
    ("fault", "mend"), [("reset", "Connection reset by peer); start the server"), ("hang", "no response in 0.3 s); start the server or mend the address, or raise")]
)
def test_an_endpoint_of_which_nothing_is_heard_is_not_asked_thousands_of_times(server: JudgeServer, cache: Path, fault: str, mend: str) -> None:
    server.script.extend([fault] * 400)
    with pytest.raises(CodeactError, match="answers nothing") as caught:
        ask([f"p{n}" for n in range(200)], settings(server, concurrency=4, attempts=2, timeout=0.3), cache)
    assert mend in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.payloads) < 30


def test_an_endpoint_that_was_heard_is_asked_to_the_end(server: JudgeServer, cache: Path) -> None:
    server.script.extend([(500, {}), *["reset"] * 12])
    answers = ask([f"p{n}" for n in range(20)], settings(server, concurrency=4, attempts=1), cache)
    assert len([answer for answer in answers if answer.text is None]) == 13
    assert {answer.status for answer in answers if answer.text is None} == {"HTTP 500", "connection"}


def test_nobody_listens(cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    (answer,) = ask(["p"], Settings(url, "m", attempts=2, backoff=0.01), cache)
    assert (answer.text, answer.status) == (None, "connection")
    with pytest.raises(InputError, match="not an http"):
        ask(["q"], Settings("localhost:1/v1", "m"), cache)


def test_what_was_answered_once_is_never_asked_again(server: JudgeServer, cache: Path) -> None:
    prompts = [f"p{n}" for n in range(20)]
    server.script.extend([None] * 7 + [(400, {})] * 3)
    first = ask([*prompts, prompts[0]], settings(server, concurrency=1), cache)
    assert [a.text is None for a in first[:20]].count(True) == 3
    assert len(server.payloads) == 20  # a repeated prompt is asked once
    second = ask(prompts, settings(server, key="another key"), cache)
    assert len(server.payloads) == 23
    assert [a.text for a in second] == [f"4.5 for {p}" for p in prompts]
    assert sum(a.cached for a in second) == 17
    ask(prompts, dataclasses.replace(settings(server), max_tokens=99), cache)
    assert len(server.payloads) == 43  # another payload is another question


def test_the_key_is_sent_and_kept_nowhere(server: JudgeServer, cache: Path) -> None:
    chosen = settings(server, key="secret-key", extra={"max_completion_tokens": 7})
    ask(["p"], chosen, cache)
    assert server.headers[0]["Authorization"] == "Bearer secret-key"
    assert server.payloads[0]["max_completion_tokens"] == 7
    assert "max_tokens" not in server.payloads[0]
    assert b"secret-key" not in cache.read_bytes()
    assert "secret-key" not in repr(chosen)


def test_requests_run_side_by_side_up_to_the_limit(server: JudgeServer, cache: Path) -> None:
    server.pause = 0.1
    ask([f"p{n}" for n in range(12)], settings(server, concurrency=3, timeout=20), cache)
    assert 2 <= server.most_active <= 3


def test_the_estimate_bounds_the_cost_and_the_budget_stops_it(server: JudgeServer, cache: Path) -> None:
    prompts = [f"{n:04}" + "x" * 4000 for n in range(10)]
    priced = settings(server, price_in=100.0, price_out=1000.0, max_tokens=10, concurrency=1)
    paid = ask(prompts[:2], priced, cache)
    assert [a.usd for a in paid] == pytest.approx([0.11, 0.11])  # 1000 tokens in, 10 out, as the server counts
    kept = Cache(cache)
    cost = estimate_cost(prompts, priced, kept)
    kept.close()
    assert (cost.requests, cost.cached) == (8, 2)
    assert cost.usd == pytest.approx(8 * 0.111, rel=0.02)
    with pytest.raises(InputError, match=r"judge.budget = 0.5: 8 requests \(2 answers known\)"):
        ask(prompts, dataclasses.replace(priced, budget=0.5), cache)
    assert len(server.payloads) == 2


def test_a_budget_that_runs_out_keeps_the_answers(server: JudgeServer, cache: Path) -> None:
    short = [f"p{n}" for n in range(10)]  # estimated at 9 tokens, charged 1000
    priced = settings(server, price_in=100.0, max_tokens=1, concurrency=1, budget=0.35)
    with pytest.raises(CodeactError, match="is spent"):
        ask(short, priced, cache)
    assert len(server.payloads) == 3  # each cost more than was estimated, and a fourth would exceed the budget
    asked = len(server.payloads)
    ask(short, dataclasses.replace(priced, budget=None), cache)
    assert len(server.payloads) == asked + 7


@pytest.mark.parametrize(("header", "seconds"), [(None, 0), ("", 0), ("2.5", 2.5), ("-3", 0), ("soon", 0), ("nan", 0)])
def test_retry_after_headers(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds

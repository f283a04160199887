"""Whose an endpoint's answers are, what they cost, and what is said where there is none: through the commands, against a real server."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.config import load_recipe
from codeact.errors import CodeactError, InputError
from codeact.judge.costs import Ledger
from codeact.judge.endpoint import ask
from codeact.judge.settings import Settings
from tests.helpers.command import Finished
from tests.helpers.command import codeact_command as cli
from tests.helpers.judge_server import JudgeServer, judge_server
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

pytest.importorskip("httpx2", reason="the judge extra is not installed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[JudgeServer]:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with judge_server(lambda prompt: "Score: 4") as served:
        yield served


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


def settings(server: JudgeServer, **changes: Any) -> Settings:
    return Settings(server.url, "judge-1", **{"backoff": 0.01, "timeout": 2.0, "attempts": 2, "concurrency": 1, **changes})


def chat(content: Any, finish: str | None = "stop", used: tuple[int, int] | None = (1000, 10), **more: Any) -> bytes:
    usage = {} if used is None else {"usage": dict(zip(("prompt_tokens", "completion_tokens"), used, strict=True))}
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": finish}], **usage, **more}).encode()


def judge(tmp_path: Path, server: JudgeServer, *more: str, run: str = "run") -> Finished:
    data = tmp_path / "pool.jsonl"
    if not data.exists():
        write_lines(data, pool_rows(4))
    keys = {"endpoint": server.url, "model": "judge-1", "concurrency": 1, "attempts": 2, "backoff": 0.01}
    given = [word for key, value in keys.items() for word in ("--set", f"judge.{key}={value}")]
    further = [word for setting in more for word in ("--set", setting)]
    return cli("judge", str(data), "--run-dir", str(tmp_path / run), "--force", "--set", "curate.decontaminate=[]", *given, *further)


def figures(tmp_path: Path, run: str = "run") -> dict[str, Any]:
    found: dict[str, Any] = storage.read_json(tmp_path / run / "markers" / "judge.json")["summary"]["rating"]
    return found


def kept(tmp_path: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = figures(tmp_path, run)["kept_answers"]
    return found


def test_new_weights_under_the_same_name_are_asked_anew_where_the_server_names_them(server: JudgeServer, tmp_path: Path) -> None:
    listed = [{"id": "another", "root": "/x"}, {"id": "judge-1", "root": "/checkpoints/500", "created": 1}]
    server.models = listed
    first = judge(tmp_path, server)
    assert (first.returncode, len(server.payloads), server.listed) == (0, 4, 2), first.stderr  # asked of its models for the marker, and before the first prompt
    assert "not asked for again" not in first.stderr
    listed[1]["created"] = 2  # the same server, started again
    again = judge(tmp_path, server, run="two")
    assert len(server.payloads) == 4
    assert "judge: rating: 4 of 4 answers were not asked for again (4 from the cache, asked for on 20" in again.stderr
    assert (kept(tmp_path, "two")["cache"], len(kept(tmp_path, "two")["asked"])) == (4, 2)
    listed[1]["root"] = "/checkpoints/900"
    assert judge(tmp_path, server, run="three").returncode == 0
    assert (len(server.payloads), kept(tmp_path, "three")["cache"]) == (8, 0)
    server.models = None  # which of both it has is not known: what was paid for counts
    assert judge(tmp_path, server, run="four").returncode == 0
    assert (len(server.payloads), kept(tmp_path, "four")["cache"]) == (8, 4)


def test_answers_that_are_older_than_a_moment_are_asked_for_anew_once(server: JudgeServer, tmp_path: Path) -> None:
    assert judge(tmp_path, server).returncode == 0
    with sqlite3.connect(tmp_path / "cache" / "judge" / "answers.sqlite") as data:
        data.execute("UPDATE kept SET asked = '2020-05-06T07:08:09+00:00'")
    data.close()
    later = "judge.asked_since=2021-01-01"
    server.reply = lambda prompt: "Score: 5"
    assert judge(tmp_path, server, later, run="two").returncode == 0
    assert (len(server.payloads), figures(tmp_path, "two")["mean"]) == (8, 5.0)
    assert judge(tmp_path, server, later, run="three").returncode == 0
    assert (len(server.payloads), figures(tmp_path, "three")["mean"]) == (8, 5.0)


@pytest.mark.parametrize(("told", "warned"), [("gpt-other", True), ("judge-1", False), ("judge-1-2025-08-06", False), ("owner/Judge-1", False), ("judge-12", True)])
def test_another_model_than_the_one_asked_for_is_told(server: JudgeServer, tmp_path: Path, told: str, warned: bool) -> None:
    server.script.extend([chat("Score: 4", model=told)] * 4)
    done = judge(tmp_path, server)
    assert ("4 of 4 answers were of the model" in done.stderr) is warned
    assert figures(tmp_path).get("answered_by") == (None if told == "judge-1" else {told: 4})


def test_answers_of_an_early_version_are_taken_over(server: JudgeServer, cache: Path) -> None:
    good, broken = ask(["good", "broken"], settings(server), cache)
    with sqlite3.connect(cache) as data:
        keys = [row[0] for row in data.execute("SELECT key FROM kept ORDER BY rowid")]
        data.execute("DROP TABLE kept")
        data.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        data.executemany("INSERT INTO answers VALUES (?, ?)", [(keys[0], "old"), (f"{keys[0]}#finish", "length"), (keys[1], "def"), (f"{keys[1]}#finish", "error")])
    data.close()
    good, broken = ask(["good", "broken"], settings(server), cache)
    assert (good.text, good.finish, good.cached, good.asked) == ("old", "length", True, "")
    assert (broken.text, broken.cached) == ("Score: 4", False)


@pytest.mark.parametrize(
    "body",
    [
        chat("Score: 1", "error"), chat("Score: 1", "abort"), b'{"error": {"message": "overloaded", "code": 529}}',
        b'{"choices": [{"message": {"content": "Score: 1"}, "error": {"message": "overloaded"}}]}',
    ],
)  # fmt: skip
def test_a_text_that_the_server_broke_off_is_tried_again(server: JudgeServer, cache: Path, body: bytes) -> None:
    server.script.append(body)
    (answer,) = ask(["p"], settings(server), cache)
    assert (answer.text, len(server.payloads)) == ("Score: 4", 2)
    server.script.extend([body] * 2)
    (answer,) = ask(["q"], settings(server), cache)
    assert (answer.text, answer.status, answer.finish != "") == (None, "error", True)


def test_a_rating_that_was_cut_off_is_none(server: JudgeServer, tmp_path: Path) -> None:
    server.script.extend([chat("It works.\nScore: 4", "length"), chat("Score: 4\nIt is right and", "length")])
    server.script.extend([chat("4", "content_filter"), chat("Score: 4, because it", "length")])
    assert judge(tmp_path, server).returncode == 0
    assert figures(tmp_path)["status"] == {"unparsed": 2, "ok": 2}


PRICED = ("judge.price_out=1000", "judge.max_tokens=128")  # 0.128 dollars for each answer at most


def test_one_budget_for_all_rubrics(server: JudgeServer, tmp_path: Path) -> None:
    server.script.extend([chat("Score: 4", used=(100, 128))] * 8)
    both = ("judge.rubrics=[complexity,quality]", *PRICED)
    refused = judge(tmp_path, server, *both, "judge.budget=0.6")
    assert (refused.returncode, server.payloads) == (2, [])
    assert "judge.budget = 0.6: 8 requests (0 answers known)" in refused.stderr
    assert judge(tmp_path, server, *both, "judge.budget=1.1").returncode == 0
    assert Ledger(tmp_path / "run" / "spent.jsonl").total == pytest.approx(8 * 0.128)


def test_one_budget_for_all_starts_and_what_they_cost_is_told_whole(server: JudgeServer, tmp_path: Path) -> None:
    server.script.extend([chat("Score: 4", used=(100, 280))] * 4)  # more than the server was asked for
    stopped = judge(tmp_path, server, *PRICED, "judge.budget=0.6")
    assert (stopped.returncode, len(server.payloads)) == (1, 2)
    assert "judge.budget = 0.6 is spent ($0.56 so far, " in stopped.stderr
    with (tmp_path / "run" / "spent.jsonl").open("a") as file:
        file.write('{"for": "judge: acc')  # a kill
    again = judge(tmp_path, server, *PRICED, "judge.budget=0.6")
    assert (again.returncode, len(server.payloads)) == (2, 2)
    assert "judge.budget = 0.6: $0.56 is spent (" in again.stderr
    assert judge(tmp_path, server, *PRICED, "judge.budget=2").returncode == 0
    assert (len(server.payloads), figures(tmp_path)["usd"]) == (4, pytest.approx(4 * 0.28))


def test_tries_that_fail_cost_what_the_server_counts_or_what_was_set_aside(server: JudgeServer, cache: Path) -> None:
    priced = settings(server, price_out=1000.0, max_tokens=128, timeout=0.2)
    ledger = Ledger()
    server.script.extend([chat(None, "tool_calls", used=(100, 64)), "hang", chat(None, "tool_calls", used=None), (500, {})])
    bad, worse = ask(["bad", "worse"], priced, cache, ledger=ledger)
    assert (bad.text, bad.status, bad.usd) == (None, "timeout", pytest.approx(0.064 + 0.128))
    assert (worse.text, worse.status, worse.usd) == (None, "HTTP 500", pytest.approx(0.128))
    assert ledger.total == pytest.approx(0.32)


def test_half_a_surrogate_pair_is_kept_and_sent(server: JudgeServer, cache: Path) -> None:
    server.script.append(chat("Score: 4 \ud83d", "st\ud83dop", model="m\ud83d"))
    for _ in range(2):
        (answer,) = ask(["p\ud83d"], settings(server), cache)
        assert (answer.text, answer.model) == ("Score: 4 ?", "m?")
    assert len(server.payloads) == 1


@pytest.mark.parametrize("damage", [lambda data: b"garbage" * 1000, lambda data: data[: len(data) // 2]])
def test_a_damaged_cache_is_named(server: JudgeServer, tmp_path: Path, damage: Any) -> None:
    assert judge(tmp_path, server).returncode == 0
    file = tmp_path / "cache" / "judge" / "answers.sqlite"
    file.write_bytes(damage(file.read_bytes()))
    done = judge(tmp_path, server, run="two")
    (line,) = [line for line in done.stderr.splitlines() if "answers.sqlite" in line]
    assert done.returncode == 1
    assert f"{file}, where answers are kept, is damaged" in line


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("OPENAI_API_KEY", "\u201csk-realkeyrealkey123\u201d", "judge.api_key_env: the key in that environment variable holds '\\u201c'"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", "see the environment variables HTTP_PROXY"),
        ("HTTP_PROXY", "http://127.0.0.1:notaport", "see the environment variables HTTP_PROXY"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem", "see the environment variables HTTP_PROXY"),
    ],
)
def test_what_the_environment_says_wrongly_is_one_line(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = judge(tmp_path, server)
    assert (done.returncode, server.payloads) == (2, [])
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "realkey" not in done.stderr


def test_a_key_from_a_file_may_end_with_a_newline(server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " a-key-of-a-file\r\n")
    assert judge(tmp_path, server).returncode == 0
    assert server.headers[0]["Authorization"] == "Bearer a-key-of-a-file"


@pytest.mark.parametrize(
    ("step", "status", "said"),
    [
        ((500, {}, b'{"error": {"message": "EngineCore died: CUDA out of memory"}}'), "HTTP 500", "CUDA out of memory"),
        ((502, {}, b"<html><h1>Bad gateway nginx</h1></html>"), "HTTP 502", "Bad gateway nginx"),
        (b'{"error": {"message": "insufficient credits"}}', "error", "insufficient credits"),
        (b"<html>Open WebUI</html>", "malformed", "Open WebUI"), (b'data: {"choices": []}', "malformed", "data:"),
        (chat(None, "tool_calls"), "malformed", "tool_calls"), ((301, {"Location": "https://h/v1/x"}), "HTTP 301", "it leads to https://h/v1/x"),
        ("reset", "connection", "reset by peer"), ((200, {"Content-Encoding": "gzip"}, b"not gzip"), "malformed", "decompress"),
    ],
    ids=str,
)  # fmt: skip
def test_what_was_said_of_a_failure_is_told(server: JudgeServer, cache: Path, step: Any, status: str, said: str) -> None:
    server.script.extend([step, step])
    (answer,) = ask(["p"], settings(server, key="secret-key"), cache)
    assert (answer.text, answer.status) == (None, status)
    assert said in answer.finish


@pytest.mark.parametrize("code", [402, 429])
def test_a_quota_that_is_used_up_is_not_waited_for(server: JudgeServer, cache: Path, code: int) -> None:
    server.script.append((code, {}, b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'))
    with pytest.raises(InputError, match=f"answers {code}: .*You exceeded your current quota"):
        ask(["p"], settings(server, attempts=6), cache)
    assert len(server.payloads) == 1


def test_content_in_parts_is_read(server: JudgeServer, cache: Path) -> None:
    server.script.append(chat([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Score: "}, {"type": "text", "text": "3"}]))
    assert [answer.text for answer in ask(["p"], settings(server), cache)] == ["Score: 3"]


def test_an_interrupt_says_what_it_waits_for(server: JudgeServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    both = threading.Barrier(2)

    def interrupting(prompt: str) -> str:
        if both.wait(20) == 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.3)
        return "Score: 4"

    server.reply, prompts = interrupting, [f"p{n}" for n in range(50)]
    with pytest.raises(KeyboardInterrupt), caplog.at_level("WARNING"):
        ask(prompts, settings(server, concurrency=2, timeout=30.0), cache)
    assert "waiting at most 30 s for 2 requests under way" in caplog.text
    assert len(server.payloads) == 2
    server.reply = lambda prompt: "Score: 4"
    assert sum(answer.cached for answer in ask(prompts, settings(server), cache)) == 2


@pytest.mark.parametrize("section", ["judge", "score", "evaluate"])
def test_an_address_is_held_to_the_same_rules_everywhere(section: str) -> None:
    key = f"{section}.endpoint"
    recipe = load_recipe(extra={"model.name": "demo", key: "https://joe:hunter2hunter2@h:8/v1"})
    assert recipe.model_dump(mode="json")[section]["endpoint"] == "https://h:8/v1"
    assert "hunter2" not in repr(recipe)
    for wrong in ("joe:hunter2@h/v1", "http://joe:hunter2@[::1/v1", "http://joe:hunter2@h:99999/v1", "http://exa mple/v1?x=hunter2", "http://h/v1?api_key=hunter2", "ftp://h/v1",
                  "http:///v1", "http://joe:hunter2\u2100@h/v1"):  # fmt: skip
        with pytest.raises(InputError, match=key) as caught:
            load_recipe(extra={key: wrong})
        assert "hunter2" not in str(caught.value)
    if section != "score":
        with pytest.raises(InputError, match=f"{section}.api_key_env: give the name of an environment variable") as caught:
            load_recipe(extra={f"{section}.api_key_env": "sk-hunter2hunter2"})
        assert "hunter2" not in str(caught.value)


def test_moments_are_read_as_yaml_and_as_texts() -> None:
    for given in ("2025-01-31", "2025-01-31T00:00Z", "2025-01-31T01:00:00+01:00"):
        assert load_recipe(overrides=[f"judge.asked_since={given}"]).judge.asked_since == "2025-01-31T00:00:00+00:00"
    with pytest.raises(CodeactError, match=r"judge\.asked_since = 'soon': give a date"):
        load_recipe(overrides=["judge.asked_since=soon"])
    with pytest.raises(InputError, match="is in the future"):
        load_recipe(overrides=["judge.asked_since=2999-01-01"])

"""Ctrl-C and SIGTERM say how to go on; keys and passwords are shown and kept nowhere."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from codeact import config
from codeact.redact import redact, split_userinfo
from tests.helpers.command import codeact_command as cli
from tests.helpers.judge_server import JudgeServer, judge_server
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows
from tests.helpers.processes import Started

KEY = "not-a-real-key-7f3a9c"
PASSWORD = "p@ss/word-51x"  # percent-encoded in an address


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(6))
    return file


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[JudgeServer]:
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with judge_server(lambda prompt: f"Score: 4\n(by {KEY})") as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_that_work_is_kept_and_how_to_go_on(
    number: int, status: int, data: Path, tmp_path: Path, server: JudgeServer
) -> None:
    server.pause = 0.7
    call = ["judge", str(data), "-o", str(tmp_path / "judged.jsonl")]
    call += ["--set", f"judge.endpoint={server.url}", "--set", "judge.model=m", "--set", "judge.concurrency=1"]
    process = Started("-m", "codeact", *call)
    for _ in range(600):
        if len(server.payloads) >= 2:
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    last = err.strip().splitlines()[-1]
    assert last == "codeact: interrupted; finished work is kept: run the same command again to go on"
    assert "Traceback" not in err
    server.pause, before = 0.0, len(server.payloads)
    assert cli(*call).returncode == 0
    assert len(server.payloads) - before < 6  # what was answered is not asked again


@pytest.mark.parametrize("amid", ["codeact.cli", "typer", "codeact.cli.whole_runs", "codeact.config.recipe", "codeact.cli.app"])
def test_an_interrupt_before_the_command_begins_is_one_line(amid: str, data: Path) -> None:
    """SIGINT amid the import of a module, and before any handler of the command: through the entry point that is installed."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    module, _, function = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]["codeact"].partition(":")
    code = f"""
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {amid!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["codeact", "records", {str(data)!r}]
from {module} import {function}
sys.exit({function}())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "codeact: interrupted; run the same command again\n"


@pytest.mark.parametrize("status", [401, 403, 404, 405])
@pytest.mark.parametrize("verbose", [False, True])
def test_a_refusal_that_echoes_the_header_shows_no_key(
    status: int, verbose: bool, data: Path, tmp_path: Path, server: JudgeServer
) -> None:
    login = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    echo = {
        "error": f"Authorization: Bearer {KEY}",
        "headers": {"authorization": f"Basic {login}"},
        "pad": "x" * 150 + KEY,
    }
    server.script.extend([(status, {"X-Echo": KEY}, json.dumps(echo).encode())] * 50)
    done = cli(*judged(data, tmp_path, server), *(["-v"] if verbose else []))
    assert done.returncode != 0
    shown = done.stdout + done.stderr
    assert f"answers {status}" in shown
    assert [secret for secret in (KEY, KEY[:12], login, PASSWORD) if secret in shown] == []


def judged(data: Path, tmp_path: Path, server: JudgeServer, user: str = "") -> list[str]:
    url = server.url.replace("://", f"://{user}") if user else server.url
    call = ["judge", str(data), "-o", str(tmp_path / "judged.jsonl"), "--set", f"judge.endpoint={url}"]
    return [*call, "--set", "judge.model=m", "--set", "judge.attempts=1"]


def test_user_and_password_of_an_endpoint_are_sent_and_kept_nowhere(
    data: Path, tmp_path: Path, server: JudgeServer
) -> None:
    user = "someone:p%40ss%2Fword-51x@"
    done = cli(*judged(data, tmp_path, server, user))
    assert done.returncode == 0, done.stderr
    sent = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
    assert {headers["Authorization"] for headers in server.headers} == {f"Basic {sent}"}
    assert cli("report", str(tmp_path / "judged.codeact")).returncode == 0
    secrets = [text.encode() for text in (PASSWORD, "p%40ss", "someone:", sent, KEY)]
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert [secret for secret in secrets if secret in file.read_bytes()] == [], file
    recipe = config.load_recipe(tmp_path / "judged.codeact" / "recipe.yaml")
    assert recipe.judge.endpoint == server.url
    assert PASSWORD not in done.stdout + done.stderr
    failing = judged(data, tmp_path, server, user)
    failing[failing.index(next(part for part in failing if "endpoint" in part))] = (
        "judge.endpoint=http://someone:p%40ss@127.0.0.1:9/v1"
    )
    done = cli(*failing)
    assert (done.returncode, "p%40ss" in done.stderr, "someone" in done.stderr) == (1, False, False)


def test_a_redirect_does_not_carry_the_key_away(data: Path, tmp_path: Path, server: JudgeServer) -> None:
    with judge_server(lambda prompt: "4") as other:
        server.script.extend([(307, {"Location": other.url + "/chat/completions"})] * 50)
        assert cli(*judged(data, tmp_path, server)).returncode == 1
    assert other.payloads == []


def test_answers_are_for_their_user_alone(data: Path, tmp_path: Path, server: JudgeServer) -> None:
    old = os.umask(0)
    try:
        assert cli(*judged(data, tmp_path, server)).returncode == 0
    finally:
        os.umask(old)
    folder = tmp_path / "cache" / "judge"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("judge.endpoint=user:hunter2hunter2@host/v1", "judge.endpoint"),
        ("judge.endpoint=https://user:hunter2hunter2/x@host/v1", "judge.endpoint"),
        ("judge.endpoint=https://host/v1?api-key=hunter2hunter2", "judge.endpoint"),
        ("judge.endpoint=[hunter2hunter2]", "judge.endpoint"),
        ("judge.api_key_env=sk-hunter2hunter2", "judge.api_key_env"),
        ("judge.extra={api_key: hunter2hunter2}", "judge.extra"),
        ("judge.extra={headers: {Authorization: hunter2hunter2}}", "judge.extra"),
    ],
)
def test_secrets_in_the_wrong_place_are_refused_and_not_repeated(setting: str, told: str, data: Path) -> None:
    done = cli("judge", str(data), "--set", "judge.model=m", "--set", setting)
    assert done.returncode == 2
    assert told in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET https://me:s3cr3t@hub.example/x failed", "s3cr3t"),
        ("https://me:a@b:c@hub.example/x", "a@b:c"),
        ("headers={'Authorization': 'Bearer abcdefghij'}", "abcdefghij"),
        ('{"authorization": "Basic dXNlcjpwdw=="}', "dXNlcjpwdw=="),
        ("Proxy-Authorization: Basic dXNlcjpwdw==", "dXNlcjpwdw=="),
        ("token hf_abcdefghijklmnop is invalid", "hf_abcdefghijklmnop"),
        ("Incorrect API key provided: sk-proj-abc***wxyz.", "wxyz"),
        ("https://x.example/f?api-version=2&sig=abcd1234", "abcd1234"),
        ("said my-token-value-1", "my-token-value-1"),
    ],
)
def test_redaction(text: str, hidden: str) -> None:
    found = redact(text, environment={"HF_TOKEN": "my-token-value-1", "TOKENIZERS_PARALLELISM": "failed is invalid"})
    assert hidden not in found
    assert "***" in found


@pytest.mark.parametrize(
    "text",
    [
        "codeact: pool.jsonl, line 3: broken JSON; mend or remove the line",
        "records: rows 48, max_tokens 128, key error at https://hub.example/a@b/c",
        "basic questions, bearer of news, tokens: 12",
        "mail someone@example.org",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert redact(text, environment={"KEY": "EMPTY", "OTHER": "records"}) == text


def test_userinfo() -> None:
    assert split_userinfo("https://a:b%40c@h:1/v1") == ("https://h:1/v1", ("a", "b@c"))
    assert split_userinfo("https://h/v1") == ("https://h/v1", None)


def test_the_traceback_of_a_fault_shows_no_secret(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"unexpected: {KEY}")

    monkeypatch.setattr("codeact.api.preview", broken)
    done = cli("records", str(data))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ValueError: unexpected: ***" in done.stderr
    assert KEY not in done.stderr

"""Scores by an endpoint that returns log-probabilities of prompts: those of transformers, and its faults in one line."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
import pytest

import codeact
from codeact import config
from codeact.errors import CodeactError, InputError
from codeact.judge.logprobs import prompt_logprobs
from codeact.judge.settings import Settings
from codeact.lm import models
from codeact.lm.streams import Span, Stream
from codeact.pipeline.run import run_pipeline
from codeact.records import read_records
from codeact.score import Scorer
from codeact.score.engines import PromptScorer, scored
from codeact.stages.score import check
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

pytest.importorskip("httpx2", reason="the judge extra is not installed")


class Served:
    """A model behind `/v1/completions`, as vLLM serves it; `faults` are (status, body) of the next answers, `longest` and `down` refuse more."""

    def __init__(self, folder: Path) -> None:
        import torch

        self.model = models.load_model(str(folder), dtype="float32", device="cpu")
        self.faults, self.asked, self.lock = deque[tuple[int, bytes]](), [], Lock()
        self.longest, self.down, self.root = 10_000, False, "tiny"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"data": [{"id": "tiny", "root": outer.root}]}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock, torch.inference_mode():
                    outer.asked.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
                    status, data = outer.faults.popleft() if outer.faults else (200, b"")
                    if len(body["prompt"]) > outer.longest:
                        status, data = 400, b"the context is shorter"
                    if outer.down:
                        status, data = 503, b"busy"
                    if not data and status == 200:
                        ids = torch.tensor([body["prompt"]])
                        found = torch.log_softmax(outer.model(ids).logits[0].float(), -1)
                        values = [None, *found[:-1].gather(1, ids[0, 1:, None])[:, 0].tolist(), -1.0]
                        data = json.dumps({"choices": [{"logprobs": {"token_logprobs": values}}]}).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def served(tiny_model_dir: Path) -> Iterator[Served]:
    made = Served(tiny_model_dir)
    yield made
    made.server.shutdown()


def _settings(served: Served, **changes: Any) -> Settings:
    return Settings(served.url, "tiny", **{"backoff": 0.01, "attempts": 3, "timeout": 20.0, **changes})


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_an_endpoint_scores_as_transformers_does(served: Served, tiny_model_dir: Path, variant: str) -> None:
    rows = [*pool_rows(10), {"instruction": "long " * 300, "output": "x"}, {"instruction": "add", "output": "y = 1 + 2\n" * 90}]
    records = read_records(rows).usable()
    tokenizer = models.load_tokenizer(str(tiny_model_dir))
    ours = Scorer(models.load_model(str(tiny_model_dir), dtype="float32", device="cpu"), tokenizer, variant=variant, max_length=256).score(records)
    theirs = PromptScorer(
        lambda prompts: prompt_logprobs(prompts, _settings(served)), tokenizer, variant=variant, max_length=256
    ).score(records)
    assert [one.status for one in theirs] == [one.status for one in ours]
    assert {"ok", "too_long", "truncated"} <= {one.status for one in ours}
    for one, other in zip(ours, theirs, strict=True):
        assert (one.ifd is None) == (other.ifd is None)
        if one.ifd is not None and other.ifd is not None:
            assert other.ifd == pytest.approx(one.ifd, abs=1e-4)
            assert other.nll_cond == pytest.approx(one.nll_cond, abs=1e-4)
        assert (one.response_tokens, one.spike_at, len(one.turns)) == (other.response_tokens, other.spike_at, len(other.turns))


def test_select_by_an_endpoint_chooses_the_same_and_keeps_its_scores_apart(
    served: Served, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-key")
    monkeypatch.setenv("CODEACT_SCORES", str(tmp_path / "scores"))
    common = {"curate.decontaminate": (), "model.dtype": "float32", "model.max_length": 256}
    chosen = {}
    for name, more in (("here", {}), ("there", {"score.endpoint": served.url, "score.endpoint_model": "tiny"})):
        served.asked.clear()
        chosen[name] = codeact.select(
            pool_rows(24), model=str(tiny_model_dir), strategy="complexity", unit="records", run_dir=tmp_path / name, settings={**common, **more}
        )
    assert chosen["here"].indices == chosen["there"].indices
    assert len(served.asked) == 48
    assert {(one["path"], one["model"], one["key"], one["echo"]) for one in served.asked} == {("/v1/completions", "tiny", "Bearer a-secret-key", True)}
    assert len(list((tmp_path / "scores").iterdir())) == 2
    calls = (("same", "tiny", 0), *(("newer", *call) for call in (("/checkpoints/900", 48), ("/checkpoints/900", 0), ("/checkpoints/901", 48), ("tiny", 0))))
    for name, root, asked in calls:
        served.root = root
        served.asked.clear()
        codeact.select(
            pool_rows(24), model=str(tiny_model_dir), strategy="complexity", unit="records", run_dir=tmp_path / name,
            settings={**common, "score.endpoint": served.url, "score.endpoint_model": "tiny"},
        )  # fmt: skip
        assert len(served.asked) == asked
    served.root = "tiny"
    assert "a-secret-key" not in "".join(path.read_text(errors="replace") for path in (tmp_path / "there").rglob("*") if path.is_file())


def _by_endpoint(folder: Path, served: Served, model: Path) -> config.Recipe:
    return config.load_recipe(extra={
        "run_dir": str(folder / "run"), "data.source": str(folder / "pool.jsonl"), "model.name": str(model), "model.dtype": "float32",
        "model.max_length": 1024, "score.endpoint": served.url, "score.endpoint_model": "tiny", "score.cache": False, "score.shard_size": 4,
        "judge.attempts": 2, "judge.backoff": 0.01, "judge.concurrency": 2, "curate.decontaminate": [], "curate.verify": False,
    })  # fmt: skip


def test_a_record_that_the_endpoint_refuses_is_named_after_the_others_are_scored(served: Served, tiny_model_dir: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": f"r{n}", **row} for n, row in enumerate(pool_rows(20))]
    rows[9]["output"] = "\n".join(f"y{n} = {n}" for n in range(120))
    write_lines(tmp_path / "pool.jsonl", rows)
    served.longest = 300
    try:
        with pytest.raises(CodeactError) as told:
            run_pipeline(_by_endpoint(tmp_path, served, tiny_model_dir), ("score",))
    finally:
        served.longest = 10_000
    assert "score: 1 of 5 partitions failed: partition 2 (records 'r8' to 'r11'): record 'r9': score.endpoint" in str(told.value)
    assert "answers 400: the context is shorter" in str(told.value)
    served.asked.clear()
    run_pipeline(_by_endpoint(tmp_path, served, tiny_model_dir), ("score",))
    assert len(served.asked) == 8  # of four records, with the instruction and without


def test_an_endpoint_that_is_gone_is_not_asked_for_every_partition(served: Served, tiny_model_dir: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "pool.jsonl", pool_rows(40))
    served.asked.clear()
    served.down = True
    try:
        with pytest.raises(CodeactError, match=r"3 of 10 partitions failed: .*HTTP 503.*The rest was not tried, after 3 failures one after the other"):
            run_pipeline(_by_endpoint(tmp_path, served, tiny_model_dir), ("score",))
    finally:
        served.down = False
    assert len(served.asked) <= 3 * 8 * 2


def test_what_passes_is_tried_again_and_what_does_not_is_one_line(served: Served) -> None:
    served.faults.extend([(503, b"busy"), (500, b"oops")])
    (found,) = prompt_logprobs([[1, 2, 3]], _settings(served, concurrency=1))
    assert len(found) == 2
    for faults, kind, message in (
        ([(503, b"busy")] * 3, CodeactError, "3 tries, the last: HTTP 503: busy"),
        ([(401, b"no")], InputError, "answers 401: the key is refused"),
        ([(400, b"too long")], CodeactError, r"answers 400: too long \(model 'tiny', 3 tokens\)"),
        ([(200, b'{"choices": [{"text": "hello", "logprobs": null}]}')], InputError, "it has to know `echo`"),
        ([(200, b'{"choices": [{"logprobs": {"token_logprobs": [null, -1.0, -2.0, -3.0, -4.0, -5.0]}}]}')], InputError, "returns 6 log-probabilities for a prompt of 3"),
        ([(200, b"<html>")], InputError, "returns 0 log-probabilities"),
        ([(200, b'{"choices": [{"logprobs": {"token_logprobs": [null, -1.0, 0.5]}}]}')], InputError, "returns 0.5 as the log-probability of a token"),
    ):  # fmt: skip
        served.faults.clear()
        served.faults.extend(faults)
        with pytest.raises(kind, match=message) as told:
            prompt_logprobs([[1, 2, 3]], _settings(served, concurrency=1))
        assert "\n" not in str(told.value)
    served.faults.clear()
    with pytest.raises(CodeactError, match="connection"):
        prompt_logprobs([[1, 2]], Settings("http://127.0.0.1:9/v1", "tiny", attempts=2, backoff=0.01))


def test_only_scored_tokens_count() -> None:
    stream = Stream([5, 6, 7, 8, 9], (Span(0, 2, 3), Span(1, 4, 5)))
    assert scored(stream, [-1.0, -2.0, -3.0, -4.0]).tolist() == [2.0, 4.0]
    assert np.isnan(scored(stream, [-1.0, float("nan"), -3.0, -4.0])).tolist() == [True, False]


def test_adaptive_scoring_needs_the_models_own_passes() -> None:
    recipe = config.load_recipe(extra={
        "model.name": "demo", "score.adaptive": True, "score.endpoint": "http://localhost:8000/v1", "sample.strategy": "cdas", "sample.unit": "records",
    })
    with pytest.raises(InputError, match="needs the model's own passes"):
        check(recipe)
    with pytest.raises(InputError, match="give the base address"):
        config.load_recipe(extra={"score.endpoint": "http://localhost:8000/v1?key=abcdefgh"})

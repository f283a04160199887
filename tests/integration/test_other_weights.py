"""A finished stage of an endpoint, when its server has loaded other weights under the model's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codeact import storage
from codeact.comparison.kept import RESULT, Facts, kept, signed
from codeact.config import Recipe, load_recipe
from codeact.pipeline.run import run_pipeline
from codeact.rundir.store import Store
from tests.helpers.judge_server import JudgeServer, judge_server
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows

pytest.importorskip("httpx2", reason="the judge extra is not installed")
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server(lambda prompt: '[{"tag": "a"}]' if "tag" in prompt else "4") as served:
        served.models = [{"id": "j", "root": "/models/weak"}]
        yield served


def recipe(folder: Path, server: JudgeServer, **more: Any) -> Recipe:
    write_lines(folder / "pool.jsonl", pool_rows(4))
    given = {
        "run_dir": str(folder / "run"), "data.source": str(folder / "pool.jsonl"), "curate.decontaminate": [], "curate.verify": False,
        "judge.endpoint": server.url, "judge.model": "j", "judge.timeout": 2.0, "sample.strategy": "alpagasus", "sample.unit": "records",
    }  # fmt: skip
    return load_recipe(extra=given | more)


@pytest.mark.parametrize("stage", ["judge", "tags"])
def test_the_answers_of_other_weights_do_not_count(stage: str, tmp_path: Path, server: JudgeServer) -> None:
    settings = recipe(tmp_path, server)

    def again(asked: int, shared: tuple[Store, ...] = (), **more: Any) -> str:
        server.payloads.clear()
        with logged() as lines:
            run_pipeline(settings.model_copy(update=more), (stage,), shared_runs=shared)
        assert len(server.payloads) == asked
        return "\n".join(line for line in lines if line.startswith(stage))

    again(4)
    assert "done before, kept" in again(0)
    server.models = [{"id": "j", "root": "/models/strong"}]
    assert "its endpoint had /models/weak loaded, and has /models/strong under that name now; done again" in again(4)
    assert "done before, kept" in again(0)
    server.models = None  # it does not say: no answer is void
    assert "done before, kept" in again(0)
    server.models = [{"id": "j", "root": "/models/third"}]
    other = str(tmp_path / "other")
    assert "shared from" not in again(4, (Store(tmp_path / "run"),), run_dir=other)
    assert "shared from other" in again(0, (Store(tmp_path / "other"),))
    server.server.shutdown()
    server.server.server_close()  # nobody listens any more
    assert "done before, kept" in again(0)


def test_what_was_not_known_before_voids_nothing(tmp_path: Path, server: JudgeServer) -> None:
    server.models = None
    settings = recipe(tmp_path, server)
    run_pipeline(settings, ("judge",))
    server.models = [{"id": "j", "root": "/models/weak"}]
    run_pipeline(settings, ("judge",))
    assert len(server.payloads) == 4


def test_a_cell_of_a_comparison_goes_by_it(tmp_path: Path, server: JudgeServer, tiny_model_dir: Path) -> None:
    settings = recipe(tmp_path, server, **{"model.name": str(tiny_model_dir)})

    def stands(root: str) -> bool:
        server.models = [{"id": "j", "root": root}] if root else None
        return kept(tmp_path, settings, Facts({}), "sample") is not None

    storage.write_checked(tmp_path / RESULT, signed(settings, Facts({}), "sample"))
    assert [stands(root) for root in ("/models/weak", "/models/strong", "", "/models/weak")] == [True, False, True, True]
    server.models = None
    storage.write_checked(tmp_path / RESULT, signed(settings, Facts({}), "sample"))
    assert stands("/models/strong")
    settings = settings.model_copy(update={"seed": 3})
    assert not stands("")

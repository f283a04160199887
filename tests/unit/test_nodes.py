"""What the nodes of a cluster must have alike: a model, a template, a dtype and the versions of what computes."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.rundir.nodes import check_alike, embedder_facts, for_workers, look, model_facts, version_fault
from codeact.rundir.versions import packages


def test_another_model_or_template_under_the_same_name_is_refused(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_dir, "m")
    Path("t.jinja").write_text("one")
    recipe = for_workers(load_recipe(extra={"model.name": "m", "model.template": "t.jinja", "backend": "ray"}))
    assert (recipe.model.name, recipe.model.template) == (str(tmp_path / "m"), str(tmp_path / "t.jinja"))
    facts = model_facts(recipe.model)
    found = look(facts)
    check_alike(facts, found)
    Path("t.jinja").write_text("two")
    with pytest.raises(InputError, match=r"model\.template=.*t\.jinja: node .* has .*; copy it to every node"):
        check_alike(facts, found)
    Path("t.jinja").write_text("one")
    Path("m", "config.json").write_text(Path("m", "config.json").read_text() + "\n")
    with pytest.raises(InputError, match=r"model\.name=.*/m: node .* has sha256:"):
        check_alike(facts, found)
    shutil.rmtree("m")
    with pytest.raises(InputError, match=r"node .*: model .*/m: no such folder"):
        check_alike(facts, found)


def test_another_commit_or_dtype_is_refused_with_what_to_name(tiny_embedder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    kept = tmp_path / "models--someone--encoder"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(tiny_embedder_dir, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    facts = embedder_facts("someone/encoder", None)
    found = look(facts)
    (kept / "refs" / "main").write_text("b" * 40)
    with pytest.raises(InputError, match=f"set embed.revision={'a' * 40}"):
        check_alike(facts, found)
    dtype = model_facts(load_recipe(extra={"model.name": "demo", "model.dtype": "float32"}).model)[1:]
    with pytest.raises(InputError, match=r"has float32, and the machine that drives bfloat16; .* model\.dtype=bfloat16"):
        check_alike(dtype, ["bfloat16"])


def test_versions_that_differ_but_in_their_build() -> None:
    here = packages()
    assert version_fault({**here, "torch": f"{str(here['torch']).partition('+')[0]}+cu130"}, "n1", model=True) is None
    assert "node n1 has transformers 4.49.0, and" in str(version_fault({**here, "transformers": "4.49.0"}, "n1", model=True))
    assert version_fault({**here, "transformers": "4.49.0"}, "n1", model=False) is None
    assert "node n1 has codeact of another version" in str(version_fault(None, "n1", model=False))


def test_an_address_at_which_nothing_listens_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_cluster: Any = pytest.importorskip("codeact.rundir.ray_cluster")
    pytest.importorskip("ray", reason="the ray extra is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=rf"nothing answers at RAY_ADDRESS=127\.0\.0\.1:{port}"):
        list(ray_cluster.RayBackend()(lambda: None, {0: pa.table({"id": ["r0"]})}))

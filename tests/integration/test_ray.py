"""A Ray cluster gives the tables that one process gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.pipeline.run import run_pipeline
from codeact.stages.columns import vectors

ray = pytest.importorskip("ray", reason="the ray extra is not installed")


@pytest.fixture
def cluster() -> object:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_ray_is_local(
    cluster: object, pool_file: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    tables = {}
    for backend in ("local", "ray"):
        recipe = load_recipe(
            extra={
                "run_dir": str(tmp_path / backend), "backend": backend, "workers": 2, "data.source": str(pool_file), "model.name": str(tiny_model_dir),
                "model.dtype": "float32", "model.max_length": 256, "embed.model": str(tiny_embedder_dir), "score.shard_size": 16, "score.cache": False, "cluster.k": 3,
            }
        )  # fmt: skip
        store = run_pipeline(recipe, ("sample",), quiet=True)
        tables[backend] = {name: pq.read_table(store.path(f"{name}.parquet")) for name in ("embed", "score", "sample")}
    local, spread = tables["local"], tables["ray"]
    for name in local:
        assert local[name]["id"].equals(spread[name]["id"])
    np.testing.assert_allclose(vectors(spread["embed"]), vectors(local["embed"]), atol=1e-5)
    np.testing.assert_allclose(spread["score"]["ifd"].to_numpy(), local["score"]["ifd"].to_numpy(), rtol=1e-5)
    assert spread["score"]["status"].equals(local["score"]["status"])
    assert spread["sample"]["selected"].equals(local["sample"]["selected"])

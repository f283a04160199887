"""A Ray cluster gives the tables that one process gives, whatever its nodes have and whatever fails on them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codeact.config import load_recipe
from codeact.errors import CodeactError, InputError
from codeact.pipeline.run import run_pipeline
from codeact.progress import Progress
from codeact.rundir import ranks, ray_cluster
from codeact.rundir.nodes import COPY, Fact
from codeact.rundir.ray_cluster import RayBackend, Resources, fitting
from codeact.rundir.shards import Worker, run_local
from codeact.sources import lines
from codeact.stages import curate, lengths, shared_reading
from codeact.stages.columns import vectors
from tests.helpers.raylets import RayletsWatched

ray = pytest.importorskip("ray", reason="the ray extra is not installed")


@pytest.mark.parametrize(
    ("nodes", "workers", "resources"),
    [
        ([2, 2], 0, Resources(2, 2, 0)),
        ([2, 2], 1, Resources(1, 2, 0)),  # and not 4 CPUs, which no node has
        ([1, 2], 0, Resources(3, 1, 0)),
        ([1, 16], 0, Resources(4, 4, 0)),  # the head's one CPU is not worth twelve more models
        ([0, 8, 6], 0, Resources(7, 2, 0)),
        ([16], 1, Resources(1, 16, 0)),
        ([2, 2], 9, Resources(4, 1, 0)),
    ],
)
def test_what_actors_ask_for_fits_on_a_node(nodes: list[int], workers: int, resources: Resources) -> None:
    found = fitting([{"CPU": float(cpus)} for cpus in nodes], workers)
    assert found == resources
    assert sum(cpus // found.cpus for cpus in nodes) >= found.actors


def test_gpus_are_not_asked_for_with_cpus_that_their_node_lacks() -> None:
    nodes = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}, {"GPU": 1.0}]
    assert fitting(nodes) == Resources(3, 0, 1)
    assert fitting(nodes[:2], 1) == Resources(1, 2, 1)


def test_what_runs_no_model_asks_for_a_cpu_and_no_gpu() -> None:
    nodes = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}, {"GPU": 1.0}]
    assert fitting(nodes, model=False) == Resources(12, 1, 0)
    assert fitting(nodes, 5, model=False) == Resources(5, 1, 0)


def test_a_cluster_that_gives_nothing_is_said() -> None:
    with pytest.raises(InputError, match="none of the cluster's 2 nodes has a CPU or a GPU"):
        fitting([{"memory": 1e9}, {"CPU": 0.5}])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three unequal nodes: none has half of all CPUs, the head none at all. On a starved machine they are started once more."""
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    for last in (False, True):
        made = Cluster()
        with RayletsWatched() as ended:
            _start(made)
        if not ended:
            break
        ray.shutdown()
        made.shutdown()
        if last:
            pytest.fail("twice a raylet ended or came too late while the cluster started: Ray's agents have 15 s for their start, too few on this machine now")
    yield made
    ray.shutdown()
    made.shutdown()


def _start(made: Any) -> None:
    settings = {
        "enable_worker_prestart": False, "prestart_worker_first_driver": False,  # processes that nothing here would use
        "worker_register_timeout_seconds": 600,  # Ray ends one that needs more than its 60 s to start, as on a busy machine
    }  # fmt: skip
    made.add_node(num_cpus=0, include_dashboard=False, _system_config=settings)
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=2)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")


def _numbers(folder: Path) -> Worker:
    """Squares; ends the process once at 7, always at 13, and cannot take 20."""

    def work(table: pa.Table, progress: Progress) -> pa.Table:
        values = table["value"].to_pylist()
        once = folder / "ended"
        if 13 in values or (7 in values and not once.exists()):
            once.touch()
            os._exit(9)
        if 20 in values:
            raise ValueError("20 is not a number")
        return table.append_column("square", pa.array([value * value for value in values]))

    return work


class _Shards(dict[int, Any]):
    """Counts the shards that are out at the same time."""

    out = most = 0

    def __getitem__(self, number: int) -> Any:
        self.out += 1
        self.most = max(self.most, self.out)
        return super().__getitem__(number)


def _shards(values: range) -> _Shards:
    return _Shards({n: pa.table({"id": [f"r{v}"], "value": [v]}) for n, v in enumerate(values)})


@pytest.mark.slow(35)
def test_three_unequal_nodes(
    cluster: object, pool_file: Path, tmp_path: Path, tiny_model_dir: Path, tiny_embedder_dir: Path
) -> None:
    tables = {}
    for backend in ("local", "ray"):
        recipe = load_recipe(
            extra={
                "run_dir": str(tmp_path / backend), "backend": backend, "workers": 2, "data.source": str(pool_file), "model.name": str(tiny_model_dir),
                "model.dtype": "float32", "model.max_length": 256, "embed.model": str(tiny_embedder_dir), "score.shard_size": 16, "score.cache": False, "cluster.k": 3,
                "sample.strategy": "cdas", "sample.unit": "records",
            }
        )  # fmt: skip
        store = run_pipeline(recipe, ("sample",))
        tables[backend] = {name: pq.read_table(store.path(f"{name}.parquet")) for name in ("embed", "score", "sample")}
    local, spread = tables["local"], tables["ray"]
    for name in local:
        assert local[name]["id"].equals(spread[name]["id"])
    np.testing.assert_allclose(vectors(spread["embed"]), vectors(local["embed"]), atol=1e-5)
    np.testing.assert_allclose(spread["score"]["ifd"].to_numpy(), local["score"]["ifd"].to_numpy(), rtol=1e-5)
    assert spread["score"]["status"].equals(local["score"]["status"])
    assert spread["sample"]["selected"].equals(local["sample"]["selected"])


@pytest.mark.slow
def test_the_tokenizer_counts_on_the_cluster_and_asks_for_no_gpu(
    cluster: object, pool_file: Path, tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths, "SHARD_RECORDS", 64)
    asked: list[bool] = []
    monkeypatch.setattr(ray_cluster, "fitting", lambda *given, model: asked.append(model) or fitting(*given, model=model))
    found = {}
    for backend in ("local", "ray"):
        extra = {"run_dir": str(tmp_path / backend), "backend": backend, "data.source": str(pool_file), "model.name": str(tiny_model_dir)}
        found[backend] = pq.read_table(run_pipeline(load_recipe(extra=extra), ("lengths",)).path("lengths.parquet"))
    assert asked == [False]
    assert found["ray"].equals(found["local"])


@pytest.mark.slow
def test_the_checks_of_curate_on_the_cluster(cluster: object, pool_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate, "PARTITION", 64)
    monkeypatch.setattr(curate, "WORTH_IT", 0)
    monkeypatch.setattr(ranks, "WORTH_IT", 0)
    found = {}
    for backend in ("local", "ray"):
        recipe = load_recipe(
            extra={"run_dir": str(tmp_path / backend), "backend": backend, "data.source": str(pool_file), "evaluate.enabled": False}
        )
        asked: list[bool] = []
        monkeypatch.setattr(ray_cluster, "fitting", lambda *given, model: asked.append(model) or fitting(*given, model=model))  # noqa: B023
        found[backend] = pq.read_table(run_pipeline(recipe, ("curate",)).path("curate.parquet"))
        assert asked == ([False] if backend == "ray" else [])
    assert found["ray"].equals(found["local"])


@pytest.mark.slow
def test_reading_on_the_cluster_gives_the_same_tables_and_refused_rows(cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes are given the lines, not the file: a node need not see it."""
    rows: list[dict[str, Any]] = [{"instruction": f"Add {n % 70} to x.", "output": f"x + {n % 70}"} for n in range(120)]
    rows[40]["output"] = None
    rows[41]["output"] = f"key = 'AKIA{'QWERTZ7UIOPASD2F'}'"
    data = tmp_path / "data.jsonl"
    data.write_bytes(b"\xef\xbb\xbf" + b"\n\n".join(json.dumps(row).encode() for row in rows))
    monkeypatch.setattr(lines, "WHOLE", 10)
    for module in (lines, shared_reading):
        monkeypatch.setattr(module, "PLACED", 16)
    for module in (ranks, shared_reading):
        monkeypatch.setattr(module, "WORTH_IT", 10)
    calls = []
    monkeypatch.setattr(ray_cluster, "fitting", lambda *given, model: calls.append(model) or fitting(*given, model=model))
    found = {}
    for backend in ("local", "ray"):
        settings = {"run_dir": str(tmp_path / backend), "backend": backend, "workers": 1 + (backend == "ray"), "data.source": str(data)}
        store = run_pipeline(load_recipe(extra={**settings, "evaluate.enabled": False, "curate.secrets": ["keys"]}), ("records",))
        found[backend] = [store.path(name).read_bytes() for name in ("records.parquet", "rejected.parquet")]
    assert calls == [False]
    assert found["ray"] == found["local"]
    assert pq.read_metadata(tmp_path / "ray" / "records.parquet").num_rows == 118


@pytest.mark.slow
def test_shards_go_out_as_actors_are_free_and_one_that_ends_its_process_goes_to_another(
    cluster: object, tmp_path: Path
) -> None:
    shards, found = _shards(range(12)), {}
    for number, table in RayBackend()(partial(_numbers, tmp_path), shards):
        shards.out -= 1
        found[number] = table
    assert (tmp_path / "ended").exists()
    assert shards.most <= 3 + 1  # as many as actors, and the one that went out twice
    expected = dict(run_local(partial(_numbers, tmp_path), _shards(range(12))))
    assert found == expected


@pytest.mark.slow
def test_a_poisoned_shard_fails_alone_and_by_name(cluster: object, tmp_path: Path) -> None:
    (tmp_path / "ended").touch()
    found: set[int] = set()
    results = RayBackend()(partial(_numbers, tmp_path), _shards(range(10, 24)))
    with pytest.raises(CodeactError) as told:
        found.update(number for number, _ in results)
    assert found == set(range(14)) - {3, 10}
    line = str(told.value)
    assert "2 of 14 partitions failed" in line
    assert "partition 3 ('r13'): its process ended 3 times" in line
    assert "partition 10 ('r20'): ValueError: 20 is not a number" in line
    assert "\n" not in line


def _refuses() -> Worker:
    raise InputError("no such model")


def _collect(make: Any, shards: Any) -> list[tuple[int, Any]]:
    return list(RayBackend()(make, shards))


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_said_at_once(cluster: object) -> None:
    with pytest.raises(InputError, match="no such model"):
        _collect(_refuses, _shards(range(5)))


@pytest.mark.slow
def test_a_node_with_another_model_under_the_name_is_refused(cluster: object, tmp_path: Path) -> None:
    driver = os.getpid()
    facts = [Fact("model.name=m", lambda: "these weights" if os.getpid() == driver else "others", COPY)]
    with pytest.raises(InputError, match=r"model\.name=m: node .* has others, and the machine that drives these weights; copy it to every node"):
        list(RayBackend(facts=facts)(partial(_numbers, tmp_path), _shards(range(5))))


@pytest.mark.slow
def test_a_busy_cluster_is_waited_for_and_then_named(
    cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "WAIT_S", 1.0)
    monkeypatch.setattr(ray_cluster, "LOOK_S", 0.2)

    @ray.remote
    class Other:
        def here(self) -> None:
            return None

    others = [Other.options(num_cpus=1).remote() for _ in range(3)]
    ray.get([other.here.remote() for other in others])
    with pytest.raises(InputError, match="no node had 1 CPU free for 1 s"):
        _collect(partial(_numbers, tmp_path), _shards(range(3)))
    for other in others:
        ray.kill(other)

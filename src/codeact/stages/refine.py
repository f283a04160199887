"""Stage `refine`: what only embeddings can tell, where the recipe asks for it.

Records whose instruction means the same as another's leave the pool; neighbours of benchmark tasks are flagged for review.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codeact import storage
from codeact.config import Recipe
from codeact.evaluation.benchmarks import benchmark_items
from codeact.rundir.stage import Stage
from codeact.rundir.store import Store
from codeact.stages.columns import vectors
from codeact.stages.pool import pool_rows, records_at, records_by_id

VERSION = 1


def stage(recipe: Recipe) -> Stage:
    """Writes `refine` and review.jsonl."""
    config = {"semantic": recipe.curate.semantic, "neighbours": recipe.curate.neighbours}
    return Stage("refine", ("curate", "embed"), lambda: config, VERSION, lambda store: refine(store, recipe), ("review.jsonl",))


def refine(store: Store, recipe: Recipe) -> Mapping[str, Any]:
    """Decide by embeddings.

    Neighbours of benchmark tasks are flagged and not dropped: review.jsonl shows both texts of each, the nearest first.
    """
    import pyarrow as pa

    from codeact.curate.near_copies import find_same_meaning, neighbours
    from codeact.embed import embed_texts, open_embedder

    config = recipe.curate
    table = store.table("embed")
    ids, points = table["id"].to_pylist(), vectors(table)
    lengths = {r.id: (-len(r.response), int(r.meta["row"])) for r in records_at(store.parts("records"), pool_rows(store))}
    copies = {}
    if config.semantic is not None:
        copies = find_same_meaning(ids, points, sorted(range(len(ids)), key=lambda i: lengths[ids[i]]), config.semantic)
    flagged: dict[str, str] = {}
    review: list[dict[str, Any]] = []
    items = [item for some in benchmark_items(config).values() for item in some]
    if config.neighbours is not None and items:
        targets = embed_texts(
            [item.text_prompt for item in items], model=open_embedder(recipe.embed.model, recipe.model.device, recipe.embed.revision)
        )
        near = neighbours(points, targets, config.neighbours)
        records = records_by_id(store, {ids[row] for row in near})
        for row, (at, cosine) in near.items():
            record, item = records[ids[row]], items[at]
            flagged[record.id] = f"{item.benchmark}:{item.id} (cosine {cosine:.3f})"
            review.append(
                {
                    "id": record.id, "row": record.meta["row"], "cosine": round(cosine, 4), "item": f"{item.benchmark}:{item.id}",
                    "instruction": record.instruction, "prompt": item.text_prompt, "response": record.response,
                    "solution": item.solution,
                }
            )  # fmt: skip
    storage.write_jsonl(store.path("review.jsonl"), sorted(review, key=lambda hit: (-hit["cosine"], hit["row"])))
    store.write_table(
        "refine",
        pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "kept": pa.array([i not in copies for i in ids], pa.bool_()),
                "reason": pa.array(["semantic duplicate" if i in copies else "" for i in ids], pa.string()),
                "detail": pa.array([copies[i].evidence if i in copies else "" for i in ids], pa.string()),
                "duplicate_of": pa.array([copies[i].original if i in copies else None for i in ids], pa.string()),
                "benchmark_item": pa.array([None] * len(ids), pa.string()),
                "near_benchmark": pa.array([flagged.get(i, "") for i in ids], pa.string()),
            }
        ),
    )
    return {
        "kept": len(ids) - len(copies),
        "dropped": {"semantic duplicate": len(copies)} if copies else {},
        "near a benchmark": len(flagged),
    }

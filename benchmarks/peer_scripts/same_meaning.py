"""semhash on vectors that are given, so that no model is fetched: how many texts it leaves out at a cosine of `threshold`."""

import json
from pathlib import Path

import numpy as np
from semhash import SemHash
from serve import serve, settings

GIVEN = settings()
TEXTS = json.loads(Path(GIVEN["texts"]).read_text(encoding="utf-8"))
VECTORS = np.frombuffer(Path(GIVEN["vectors"]).read_bytes(), np.float32).reshape(len(TEXTS), -1)


class Given:
    """Its encoder protocol; the vectors are there already."""

    def encode(self, inputs, **_):
        raise AssertionError("nothing is to be encoded")


def run(_):
    index = SemHash.from_embeddings(VECTORS, TEXTS, model=Given())
    return {"dropped": len(index.self_deduplicate(threshold=GIVEN["threshold"]).filtered)}


serve(run)

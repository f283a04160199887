"""Other tools' packers: how many rows they make of the given lengths."""

from array import array
from pathlib import Path

from serve import serve, settings

GIVEN = settings()
LENGTHS = array("q", Path(GIVEN["lengths"]).read_bytes())
CAPACITY, TOOL = GIVEN["capacity"], GIVEN["tool"]
GROUP = GIVEN["group"] or len(LENGTHS)


def packer():
    if TOOL == "trl":
        import numpy as np
        import pyarrow as pa
        from trl.data_utils import _pack_bfd

        def rows(part):
            sizes = np.asarray(part)
            offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
            tokens = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(offsets[-1], np.int8)))
            return len(_pack_bfd(pa.table({"input_ids": tokens}), CAPACITY))

        return rows
    if TOOL == "llama-factory":
        import importlib.machinery
        import importlib.util
        import os
        import sys
        import types

        os.environ["DISABLE_VERSION_CHECK"] = "1"
        if importlib.util.find_spec("torchaudio") is None:  # only for audio
            sys.modules["torchaudio"] = types.ModuleType("torchaudio")
            sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
        from llamafactory.data.processor.processor_utils import greedy_knapsack

        return lambda part: len(greedy_knapsack(part.tolist(), CAPACITY))
    if TOOL == "axolotl":
        import numpy as np
        from axolotl.utils.samplers.multipack import pack_group

        def rows(part):
            # its sampler's own settings: at most 200 samples a row, groups of the size given
            return len(pack_group(np.asarray(part), 0, CAPACITY, len(part), 200, False))

        rows(LENGTHS[:64])  # numba compiles it
        return rows
    import numpy as np
    import seqpacker

    pack = seqpacker.Packer(CAPACITY, strategy="obfd")
    return lambda part: len(pack.pack(np.asarray(part)).packs)


pack = packer()
serve(lambda _: {"rows": sum(pack(LENGTHS[at : at + GROUP]) for at in range(0, len(LENGTHS), GROUP))})

"""`codeact train` under DeepSpeed ZeRO 1 and 2 with its CPU accelerator (gloo): the parameters of one process.

DeepSpeed is no dependency: without it these are skipped. Its CPU accelerator builds a C++ part at the first run.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.processes import launched
from tests.parity.test_sharded import same, tuned, words
from tests.parity.test_train_parity import POOL, plain_loop

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")]


@pytest.mark.parametrize("stage", [1, 2])
def test_the_parameters_of_one_process(tiny_model_dir: Path, tmp_path: Path, stage: int) -> None:
    environment = {
        "DS_ACCELERATOR": "cpu", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage), "ACCELERATE_USE_CPU": "true",
        "ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_GRADIENT_CLIPPING": "0.5",
    }  # fmt: skip
    out = tmp_path / "out"
    made = words(tmp_path, tiny_model_dir, out, len(POOL) // 2, "shard=false")
    for one in launched(2, "-m", "codeact", *made, env=environment):
        _, errors = one.communicate(timeout=240)
        assert one.returncode == 0, errors[-3000:]
    same(tuned(out), plain_loop(tiny_model_dir, "full", False))

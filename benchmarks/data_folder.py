"""The folder of data that benchmarks and studies read: what CODEACT_DATA names, else shared/data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[1] / "../shared/data")
EVOL_INSTRUCT = DATA / "evol_instruct_code_1966.json"
CODE_ALPACA = DATA / "code_alpaca_new_4535.json"

"""The folder of published data that some tests read; they are skipped where it, or a file in it, is not there."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")

"""Records from source code: `harvest_functions` of a tree, write `to_rows`, fingerprint it with `tree_identity`."""

from codeact.harvesting.files import STDLIB
from codeact.harvesting.functions import count_tokens
from codeact.harvesting.run import (
    DESCRIBED_BY,
    Harvest,
    check_share,
    harvest_functions,
    hold_out,
    to_rows,
    tree_identity,
    with_descriptions,
)

__all__ = [
    "DESCRIBED_BY", "STDLIB", "Harvest", "check_share", "count_tokens", "harvest_functions", "hold_out", "to_rows", "tree_identity",
    "with_descriptions",
]  # fmt: skip

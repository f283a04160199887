"""Records from source code: `harvest` a tree, write `to_rows`, fingerprint it with `tree_identity`."""

from codeact.harvest.files import STDLIB, tree_identity
from codeact.harvest.functions import count_tokens
from codeact.harvest.run import Harvest, harvest, to_rows

__all__ = ["STDLIB", "Harvest", "count_tokens", "harvest", "to_rows", "tree_identity"]

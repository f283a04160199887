"""Which records to train on: pure functions of scores, clusters and a seed.

Every strategy is deterministic and does not depend on the order of the input: ties go to the smaller id. Read `strategies` (the
table), then `choose` (the steps).
"""

from __future__ import annotations

from codeact.sample.mixture import Mixture, choose_mixed
from codeact.sample.pool import id_ranks
from codeact.sample.quotas import allot, budget, cdas
from codeact.sample.steps import Choice, Rules, Unit, check_settings, choose

__all__ = ["Choice", "Mixture", "Rules", "Unit", "allot", "budget", "cdas", "check_settings", "choose", "choose_mixed", "id_ranks"]

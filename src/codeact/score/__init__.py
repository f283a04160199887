"""Instruction-Following Difficulty: how much the instruction helps the model with the response, per record.

`sequences` (record -> token streams of both passes), `ifd` (streams -> scores), `length` (how far scores follow length,
and the length-controlled alternatives), `cost` (tokens, FLOPs and hours before anything runs).
"""

from __future__ import annotations

from codeact.score.ifd import Score, Scorer, TurnScore, score_ifd, to_table
from codeact.score.sequences import Prepared, Turn, build_sequences, default_template
from codeact.statuses import Status

__all__ = [
    "Prepared",
    "Score",
    "Scorer",
    "Status",
    "Turn",
    "TurnScore",
    "build_sequences",
    "default_template",
    "score_ifd",
    "to_table",
]

"""Statuses of a score, and which of them are ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from codeact.types import Floats

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["ok", "truncated", "empty", "too_long", "nonfinite", "estimated", "context", "refused"]

MEASURED: tuple[Status, ...] = ("ok", "truncated")  # the model measured the IFD of these records
ESTIMATED: Status = "estimated"  # adaptive scoring ranks by its estimate what it did not score in full
RANKED: tuple[Status, ...] = (*MEASURED, ESTIMATED)

STATUS_MEANING: dict[str, str] = {
    "empty": "there is no answer to score",
    "too_long": "the prompt leaves no room for an answer below model.max_length",
    "nonfinite": "the model gave NaN or infinity",
    "context": "no turn of it is to be learnt",
    "refused": "the template does not take it",
}


def ranked_ifd(table: pa.Table) -> Floats:
    """The IFD by which the records of a score table are ranked: measured, or estimated by adaptive scoring.

    Returns:
        float64 [N] in the order of the table; NaN where the status says that the record is not ranked.
    """
    status = np.array(table["status"].to_pylist(), object)
    ifd = np.array(table["ifd"].to_pylist(), np.float64)
    if "ifd_estimate" in table.column_names:
        estimate = np.array(table["ifd_estimate"].to_pylist(), np.float64)
        ifd = np.where(status == ESTIMATED, estimate, ifd)
    ranked = np.isin(status, RANKED) & np.isfinite(ifd)
    return np.where(ranked, ifd, np.nan)

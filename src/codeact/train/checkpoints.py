"""The checkpoints of a training: where they are, which one is complete, and which must go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

COMPLETE = "complete.json"


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the Trainer puts the checkpoint of a step."""
    return folder / "checkpoints" / f"checkpoint-{step}"


def last_checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """The newest checkpoint that was written to its end under the same fingerprint."""
    found: dict[int, Path] = {}
    for marker in folder.glob(f"checkpoints/checkpoint-*/{COMPLETE}"):
        content = json.loads(marker.read_text(encoding="utf-8"))
        if content["fingerprint"] == fingerprint:
            found[content["step"]] = marker.parent
    return found[max(found)] if found else None


def remove_checkpoints(folder: Path, keep: Path | None = None) -> None:
    """Remove all checkpoints but one: older ones, and those that a kill cut short."""
    for path in folder.glob("checkpoints/checkpoint-*"):
        if path != keep:
            # without its marker first, so that a kill in between leaves nothing that looks complete
            (path / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(path)
    if keep is None:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)

"""The checkpoints of a training: where they are, which one is complete, and which must go."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codeact import mirror
from codeact.errors import InputError
from codeact.files import sha256
from codeact.storage import read_json, write_json

COMPLETE = "complete.json"
VERSION = 3  # of what a training makes of its samples; raised where a loss or a step changes, and old checkpoints are not gone on from


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the Trainer puts the checkpoint of a step."""
    return folder / "checkpoints" / f"checkpoint-{step}"


def complete(checkpoint: Path, fingerprint: str, step: int, machine: Mapping[str, Any]) -> None:
    """Mark a checkpoint as written to its end, with the SHA-256 of its files (about a second for each gigabyte)."""
    files = {str(path.relative_to(checkpoint)): sha256(path) for path in _files(checkpoint)}
    content = {"fingerprint": fingerprint, "step": step, "machine": dict(machine), "files": files}
    write_json(checkpoint / COMPLETE, content)
    mirror.sync(checkpoint)


def last_checkpoint(folder: Path, fingerprint: str, machine: Mapping[str, Any]) -> Path | None:
    """The newest checkpoint that was written to its end under the same fingerprint; damaged ones are none.

    Args:
        folder: the output folder of the training.
        fingerprint: of samples, model and settings.
        machine: number of processes, dtype and device type. A step on others reads other data or computes otherwise.

    Raises:
        InputError: it was written on another `machine`.
    """
    found: dict[int, tuple[Path, Mapping[str, Any]]] = {}
    for marker in folder.glob(f"checkpoints/checkpoint-*/{COMPLETE}"):
        try:
            content = read_json(marker)
            if content["fingerprint"] == fingerprint and _is_whole(marker.parent, content["files"]):
                found[int(content["step"])] = marker.parent, content["machine"]
        except (InputError, KeyError, TypeError, ValueError):
            continue  # damaged, or of an earlier version
    if not found:
        return None
    path, there = found[max(found)]
    differing = [f"{name} {there.get(name)!r} there, {value!r} here" for name, value in machine.items() if there.get(name) != value]
    if differing:
        raise InputError(
            f"{path} cannot be gone on from here ({'; '.join(differing)}): start it as it was started, or remove"
            f" {folder / 'checkpoints'} to begin anew"
        )
    return path


def _is_whole(checkpoint: Path, files: Mapping[str, str]) -> bool:
    return all((checkpoint / name).is_file() and sha256(checkpoint / name) == known for name, known in files.items())


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)


def remove_checkpoints(folder: Path, keep: Path | None = None) -> None:
    """Remove all checkpoints but one: older ones, and those that a kill cut short."""
    for path in folder.glob("checkpoints/checkpoint-*"):
        if path != keep:
            # without its marker first, so that a kill in between leaves nothing that looks complete
            (path / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(path)
    if keep is None:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)

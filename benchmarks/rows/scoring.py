"""IFD scoring: packed, one record at a time, and data-juicer's own operator, on the same records."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.ifd_speed import OURS
from benchmarks.ifd_speed import measure as in_turns_of
from benchmarks.rows import row, told, tools
from benchmarks.rows.data import instruction_records, spread
from benchmarks.turns import Turn
from codeact.lm.models import load_tokenizer
from codeact.records import Record

PEER = "data-juicer's IFD operator, {}"


def weights_folder(model: str) -> Path:
    """The model as a folder that other tools load."""
    from codeact.downloads import converted, demo_model

    found = demo_model() if model == "demo" else Path(model)
    return found if found.is_dir() else converted(found)


def measure(records: int, group: int, max_length: int, dtypes: list[str], model: str = "demo", peers: bool = True) -> dict[str, Any]:
    some = spread(instruction_records(files=("evol_instruct_code_1966.json",)), records)
    wanted: dict[str, tuple[str, str, dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def others(groups: list[list[Record]], limit: int) -> dict[str, Any]:
            if not peers:
                return {}
            home, file = Path(folder, "model"), Path(folder, "groups.json")
            home.mkdir()
            for part in weights_folder(model).iterdir():
                (home / part.name).symlink_to(part.absolute())
            if not (home / "tokenizer.json").exists():
                load_tokenizer(model).save_pretrained(home)
            file.write_text(json.dumps([[(r.instruction, r.response) for r in part] for part in groups]), encoding="utf-8")
            given = {"model": str(home), "groups": str(file), "max_length": limit}
            wanted.update({PEER.format(d): ("data-juicer", "ifd", {**given, "dtype": d}) for d in dtypes})
            ready, lacking = stack.enter_context(tools(wanted))
            missing.update(lacking)

            def of(name: str, number: int) -> Turn:
                turn = ready[name](number)
                turn.pop("values")
                return turn

            return {name: lambda number, name=name: of(name, number) for name in ready}

        found = in_turns_of(some, model, dtypes, group, max_length, others, missing)
    turns = found.pop("turns")
    for name, each in turns.items():
        if name in wanted:
            for turn, mine in zip(each, turns[OURS.format(dtypes[0])], strict=True):
                turn["work"] = mine["work"]
    return row(
        f"IFD of {len(some):,} records, two passes each", "model tokens", turns, OURS.format(dtypes[0]), missing, versions=told(wanted, missing),
        limit="the best matrix product of the same type, by processor seconds", differences=found["largest_difference"],
        peaks=found["peak_flops_per_processor_second"], threads=found["threads"], tokens=found["tokens"],
        note="The paper's variant, SmolLM2-135M. One by one: the reference algorithm restated, batch 1, all logits. Body alone: the decoder on the"
        " same rows without a head. data-juicer's operator divides losses, not perplexities, and joins the texts with a blank.",
    )  # fmt: skip

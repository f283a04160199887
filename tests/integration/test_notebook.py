"""The notebook's cells run from top to bottom, on the demo model, and hold no output: what is shown is what the reader's machine gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow(15)
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_the_cells_run_in_order(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(file.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []
        exec(compile("".join(cell["source"]), f"{file.name}, {cell['id']}", "exec"), names)
    said = capsys.readouterr().out
    assert "5 of 12 records" in said
    assert "cost" in said
    assert Path(names["page"]).is_file()


def test_there_is_a_notebook() -> None:
    assert [file.name for file in NOTEBOOKS] == ["choose.ipynb"]

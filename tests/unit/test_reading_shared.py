"""A large JSONL file that several processes read becomes what one process makes of it, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from codeact import config
from codeact.errors import CodeactError, InputError
from codeact.records.read import RowParser
from codeact.rundir.inputs import Inputs
from codeact.rundir.store import Store
from codeact.sources import lines
from codeact.stages import admission, records, shared_reading

KEY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"


def rows() -> list[dict[str, Any]]:
    """Rows of two forms, copies, refused ones, secrets, ids of their own, marks, columns that are not read."""
    made: list[dict[str, Any]] = [{"instruction": f"用 {n % 40} ask", "output": f"answer {n % 40}\u2028x"} for n in range(120)]
    made[7] |= {"id": "own"}
    made[8] |= {"hint": "a further text that may matter to the model", "weight": 1}
    made[30] = {"messages": [{"role": "user", "content": "q <|im_end|>"}, {"role": "assistant", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"}]}
    made[31] = {"instruction": "", "output": "nothing is asked"}
    made[64] = {"instruction": "x", "output": f"key = '{KEY}'"}
    made[65] = {"instruction": "x", "output": None, "id": 5}
    for n in (9, 66, 67):
        made[n]["instruction"] = 'What does createUser("superuser", "ngrinder-superuser@naver.com") do?'
    return made


def load(folder: Path, data: Path, **settings: Any) -> tuple[Any, list[bytes]]:
    recipe = config.load_recipe(
        None, [f"{key}={value}" for key, value in settings.items()],
        extra={"data.source": str(data), "run_dir": str(folder), "curate.secrets": ["keys", "emails"], "evaluate.enabled": False},
    )
    folder.mkdir()
    summary = records.load_records(Store(folder), recipe, Inputs(recipe))
    return summary, [(folder / name).read_bytes() for name in ("records.parquet", "rejected.parquet")]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges and parts of few rows, and no further process: the same calls, in this one."""
    monkeypatch.setattr(lines, "WHOLE", 10)
    monkeypatch.setattr(shared_reading, "WORTH_IT", 10)
    for module in (lines, shared_reading):
        monkeypatch.setattr(module, "PLACED", 16)
    for module in (admission, shared_reading):
        monkeypatch.setattr(module, "PART_ROWS", 20)


@pytest.mark.usefixtures("small")
def test_ranges_of_a_file_become_the_same_tables(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    # files put together: a mark at the beginning of each
    text = "\n\n".join(("\ufeff" if n % 40 == 11 else "") + json.dumps(row, ensure_ascii=False) for n, row in enumerate(rows()))
    data.write_text(f"\ufeff\n{text}", encoding="utf-8")
    (alone, first), (shared, second) = load(tmp_path / "1", data, workers=1), load(tmp_path / "2", data, workers=2)
    assert shared == alone
    assert second == first
    assert list(shared["rejected"].values()) == [2, 1]
    assert shared["possible_secrets"] == len(shared["possible_places"]) == 3
    table = pq.read_table(tmp_path / "2" / "records.parquet")
    assert len(set(table["id"].to_pylist())) == len(table) == 117


@pytest.mark.usefixtures("small")
def test_a_range_that_cannot_be_read_ends_the_reading_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a reading is kept, so no further range is read, and none waits in memory."""
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows()), encoding="utf-8")
    plain, seen = RowParser.read, list[int]()

    def read(parser: RowParser, index: int, row: dict[str, Any]) -> Any:
        seen.append(index)
        if index == 40:
            raise ValueError("a bad row")
        return plain(parser, index, row)

    monkeypatch.setattr(RowParser, "read", read)
    with pytest.raises(CodeactError, match=r"^1 of 8 partitions failed: partition 2 \('row 33 and on'\): ValueError: a bad row; mend or remove"):
        load(tmp_path / "run", data, workers=2)
    assert max(seen) == 40


@pytest.mark.usefixtures("small")
def test_an_id_that_stands_twice_is_told_with_its_rows(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps(row | ({"id": "a"} if n in (3, 77) else {})) for n, row in enumerate(rows())), encoding="utf-8")
    for workers in (1, 2):
        with pytest.raises(InputError, match="rows 4 and 78 share the id 'a'"):
            load(tmp_path / str(workers), data, workers=workers)

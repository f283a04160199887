"""What a program reads is UTF-8 or ASCII whatever encoding the terminal has; what people read shows what the encoding lacks as escapes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest

from codeact.cli import main

ROWS = [{"instruction": "写一个函数 😀 naïve", "output": "print('你好 😀')"}, {"instruction": "b", "output": "c"}]


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "latin-1", "utf-8", "cp1252"])
def test_json_is_json_in_every_encoding(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("数据.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    words = ["select", "数据.jsonl", "--strategy", "random", "--unit", "records", "--ratio", "1", "--set", "curate.decontaminate=[]"]

    def told(*arguments: str) -> tuple[bytes, bytes]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "argv", ["codeact", *arguments])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with contextlib.suppress(SystemExit):
            main()
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
        return out, err

    rows, _ = told(*words, "-o", "-")
    assert [json.loads(line) for line in rows.decode("utf-8").splitlines()] == ROWS
    summary, _ = told(*words, "-o", "出.jsonl", "--json")
    assert json.loads(summary.decode("utf-8"))["selected"] == 2
    shown, _ = told("records", "数据.jsonl", "--show", "1")
    assert ("naïve" if encoding in ("utf-8", "latin-1", "cp1252") else "na\\xefve" if encoding != "gbk" else "写一个函数") in shown.decode(encoding)

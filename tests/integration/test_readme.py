"""The README's Python examples run as they stand; only the model's and the embedder's names are exchanged for tiny local ones."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.pool import pool_rows

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


def test_there_are_two_examples() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("code", BLOCKS, ids=("select", "trainer"))
def test_the_example_runs(
    code: str, tiny_model_dir: Path, tiny_embedder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEACT_CACHE", str(tmp_path / "cache"))
    code = code.replace("deepseek-ai/deepseek-coder-1.3b-base", str(tiny_model_dir))
    assert "ratio=0.4)" in code
    code = code.replace("ratio=0.4)", f"ratio=0.4, embedder={str(tiny_embedder_dir)!r})")
    scope: dict[str, object] = {"rows": pool_rows(24)}
    exec(code, scope)
    if "selection" in scope:
        told = scope["selection"].summary  # type: ignore[attr-defined]
        lengths = pq.read_table(Path(told["run_dir"], "lengths.parquet"))["response_tokens"].to_pylist()
        assert len(lengths) == 24
        assert abs(told["token_share"] - 0.4) <= max(lengths) / 2 / sum(lengths)
    else:
        assert any(tmp_path.joinpath("out").glob("checkpoint-*/model.safetensors"))

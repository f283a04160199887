"""Result files and pages are made of what is committed: the documented commands make the same figures again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import result_files
from experiments import compare_cells, compare_pooled, compare_result, noise_results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"


def called(monkeypatch: pytest.MonkeyPatch, module: object, *arguments: object) -> None:
    """Run the script's `main`."""
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    module.main()  # type: ignore[attr-defined]


def between(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->")[0]


def test_the_nine_pools_are_of_the_kept_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's figures came from more decimals than are kept, so its own command changed three of its lines."""
    page, made = tmp_path / "page.md", tmp_path / "pooled.json.xz"
    page.write_text("<!-- compare_pooled -->\n<!-- /compare_pooled -->\n", encoding="utf-8")
    kept = [RESULTS / f"compare_{name}_cells.json.xz" for name in ("figures_first", "confirm", "figures", "residual")]
    versus = ("--versus", "longest:random,cdas,complexity,bands", "--versus", "cdas:bands,positions,residual")
    called(monkeypatch, compare_pooled, *kept, "--output", made, *versus, "--write", page)
    told = (ROOT / "docs" / "experiments-pooled.md").read_text(encoding="utf-8")
    assert between(page.read_text(encoding="utf-8"), "compare_pooled") == between(told, "compare_pooled")
    found, committed = result_files.read(made), result_files.read(RESULTS / "compare_pooled.json.xz")
    assert [row["pools"] for row in found["rows"]] == [row["pools"] for row in committed["rows"]]
    for metric in ("humaneval bits_per_byte", "held-out loss"):
        assert [r["metrics"][metric]["difference"] for r in found["rows"]] == pytest.approx([r["metrics"][metric]["difference"] for r in committed["rows"]])


def test_the_noise_page_is_of_the_kept_result_where_there_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page told 0.0298 of `cdas` at 30 %, the file says 0.0297: the page was made before the file was rounded."""
    kept, page = tmp_path / "noise_results.json.xz", tmp_path / "page.md"
    kept.write_bytes((RESULTS / "noise_results.json.xz").read_bytes())
    page.write_text("<!-- noise_results -->\n<!-- /noise_results -->\n", encoding="utf-8")
    called(monkeypatch, noise_results, "--noise", tmp_path, "--runs", tmp_path / "no_run_", "--output", kept, "--write", page)
    shares = result_files.read(kept)["shares"]
    metrics = [metric for metric in shares["0%"]["base"] if metric in ("held-out loss", "humaneval bits_per_byte")]
    told = between(page.read_text(encoding="utf-8"), "noise_results")
    assert told == "\n".join(noise_results.tables_of(shares, metrics, short=True)).rstrip()
    assert kept.read_bytes() == (RESULTS / "noise_results.json.xz").read_bytes()
    with pytest.raises(SystemExit):
        called(monkeypatch, noise_results, "--noise", tmp_path, "--runs", tmp_path / "no_run_", "--output", tmp_path / "none.json.xz")


def test_a_restored_comparison_without_its_pool_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a traceback of a file that is not there."""
    recipe = ROOT / "recipes" / "compare_longer.yaml"
    run = tmp_path / "compare_longer"
    assert compare_cells.restore(RESULTS / "compare_residual_cells.json.xz", run) == 10
    with pytest.raises(SystemExit, match=r"pool\.jsonl is not there: the run directory was restored and holds results alone; run `codeact compare`"):
        called(monkeypatch, compare_result, recipe, f"run_dir={run}", "--output", tmp_path / "made.json.xz")
    with pytest.raises(SystemExit, match=r"none holds no comparison that has begun \(.*result\.json\); run `codeact compare` first"):
        called(monkeypatch, compare_result, recipe, f"run_dir={tmp_path / 'none'}", "--output", tmp_path / "made.json.xz")
    assert not (tmp_path / "made.json.xz").exists()

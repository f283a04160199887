"""versions.json and the report name the versions that made each stage, and not those of the last call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codeact.rundir.versions import packages
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines


def _marker(stage: str, **change: Any) -> None:
    path = Path("run", "markers", f"{stage}.json")
    marker = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: value for key, value in {**marker, **change}.items() if value is not None}), encoding="utf-8")


def _report() -> Any:
    assert cli("report", "run").returncode == 0
    return json.loads(Path("run", "report.json").read_text(encoding="utf-8"))["settings"]["versions"]


def test_stages_of_other_versions_are_told_apart(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "data.jsonl", [{"instruction": f"Print {n}.", "output": f"print({n})"} for n in range(5)])
    run = ("select", "data.jsonl", "--strategy", "random", "--unit", "records", "--run-dir", "run", "-o", "o.jsonl", "--set", "curate.decontaminate=[]")
    assert cli(*run).returncode == 0
    here = packages()
    told = json.loads(Path("run", "versions.json").read_text())
    assert (told["numpy"], told["differ"], told["unknown"]) == (here["numpy"], {}, [])
    assert "not known of" not in _report()

    _marker("curate", versions={**here, "transformers": "4.49.0"})
    _marker("records", versions=None)  # of an earlier release
    assert "sample: done before, kept" in cli(*run).stderr
    told = json.loads(Path("run", "versions.json").read_text())
    assert told["differ"]["transformers"] == {"4.49.0": ["curate"], str(here["transformers"]): ["sample"]}
    assert told["unknown"] == ["records"]
    assert "transformers" not in told
    report = _report()
    assert report["transformers"] == f"4.49.0 (curate); {here['transformers']} (sample)"
    assert report["not known of"] == "records"


def test_a_run_of_an_earlier_release_says_that_it_does_not_know(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "data.jsonl", [{"instruction": f"Print {n}.", "output": f"print({n})"} for n in range(5)])
    assert cli("curate", "data.jsonl", "--run-dir", "run", "--set", "curate.decontaminate=[]").returncode == 0
    for stage in ("records", "curate"):
        _marker(stage, versions=None)
    Path("run", "versions.json").write_text(json.dumps({"codeact": "0.1.0", "numpy": "1.26"}))
    report = _report()
    assert report["numpy"] == "1.26"
    assert report["made with these"].startswith("not known")

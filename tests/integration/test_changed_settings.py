"""Tables that were made with other settings than a run directory has now are not shown as results of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codeact import api, export, stability
from codeact.config import load_recipe
from codeact.errors import InputError
from codeact.files import write_text
from codeact.pipeline.run import run_pipeline
from codeact.rundir.store import Store
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.log import logged
from tests.helpers.pool import pool_rows


def run(folder: Path, targets: tuple[str, ...] = ("sample",), **settings: Any) -> Store:
    given = {
        "run_dir": str(folder / "run"), "data.source": str(folder / "pool.jsonl"), "sample.strategy": "random", "sample.unit": "records", "sample.ratio": 0.5,
        "curate.decontaminate": [], **{key.replace("__", "."): value for key, value in settings.items()},
    }  # fmt: skip
    return run_pipeline(load_recipe(extra=given), targets)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_lines(tmp_path / "pool.jsonl", [{"id": f"r{n}", **row} for n, row in enumerate(pool_rows(20))])
    run(tmp_path)
    return tmp_path


def statuses(folder: Path) -> dict[str, str]:
    api.report(folder / "run")
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    return {stage["stage"]: stage["status"] for stage in told["stages"] if stage["status"] != "not run"}


def test_the_selection_of_other_settings_does_not_count_and_is_back_with_them(made: Path) -> None:
    assert set(statuses(made).values()) == {"done"}
    kept = api.explain(made / "run", "r3")["sentence"]
    run(made, ("curate",), sample__ratio=0.2)  # the choice is not made anew
    assert statuses(made) == {"records": "done", "curate": "done", "sample": "outdated"}
    said = cli("explain", str(made / "run"), "r3")
    assert "in the pool; nothing was chosen from it yet" in said.stdout
    assert "not shown, for made with other settings or of other tables than the directory has now: sample" in said.stderr
    for refused in (lambda: export(made / "run", "datasets", made / "out"), lambda: stability(made / "run")):
        with pytest.raises(InputError, match="its selection was made with other settings"):
            refused()
    with logged() as lines:
        run(made)
    assert all("done before, kept" in line for line in lines)
    assert api.explain(made / "run", "r3")["sentence"] == kept


def test_a_run_that_was_stopped_before_its_choice(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "fault", stop)  # at the first stage's turn
        with pytest.raises(KeyboardInterrupt):
            run(made, sample__strategy="full")
    assert statuses(made)["sample"] == "outdated"
    assert run(made, sample__strategy="full").marker("sample") is not None
    assert statuses(made)["sample"] == "done"


@pytest.mark.parametrize("other", ["settings", "data"])
def test_a_run_that_fails_leaves_no_old_summary_beside_new_tables(made: Path, other: str) -> None:
    api.report(made / "run")
    files = [made / "run" / name for name in ("report.html", "report.json", "ledger.parquet", "dropped.jsonl")]
    assert all(file.is_file() for file in files)
    run(made, workers=2)  # nothing is made anew
    assert all(file.is_file() for file in files)
    if other == "data":
        write_lines(made / "pool.jsonl", [{"id": "r0", "instruction": "broken", "output": "```python\ndef f(:\n    return 1\n```"}])
    with pytest.raises(InputError):
        run(made, **({"sample__ratio": 0.001} if other == "settings" else {}))
    assert not any(file.exists() for file in files)
    # the tables that are there tell what they can
    assert cli("explain", str(made / "run"), "r0").stdout.startswith("kept: in the pool; nothing was chosen from it yet")
    page = api.report(made / "run").read_text(encoding="utf-8")
    assert "The records are left out" not in page
    assert f"All {'20 rows' if other == 'settings' else '1 row'}." in page


def test_settings_that_do_not_concern_a_stage_leave_it_as_it_is(made: Path) -> None:
    run(made, ("curate",), train__learning_rate=1e-5, workers=2, embed__model="another")
    assert set(statuses(made).values()) == {"done"}


def test_a_recipe_of_another_release_is_no_hindrance(made: Path) -> None:
    (made / "run/recipe.yaml").write_text("no_such_key: 1\n", encoding="utf-8")
    run(made, ("curate",))
    assert statuses(made)["sample"] == "outdated"
    run(made)
    assert statuses(made)["sample"] == "done"


@pytest.mark.parametrize(("text", "message"), [("", "is damaged: it is empty"), ("sample: {ratio: 0.", "is not valid YAML"), ("\0", "is not valid YAML")])
def test_a_damaged_recipe_is_one_line_and_never_the_defaults(made: Path, text: str, message: str) -> None:
    (made / "run/recipe.yaml").write_text(text, encoding="utf-8")
    for call in (["explain", "r3"], ["report"], ["diff", str(made / "run")], ["stability"], ["export", "--to", "trl", "-o", str(made / "out")]):
        done = cli(call[0], str(made / "run"), *call[1:])
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), call
        assert message in done.stderr, call
    run(made)
    assert set(statuses(made).values()) == {"done"}


def test_records_that_are_gone_are_one_line(made: Path) -> None:
    (made / "run/records.parquet").unlink()
    done = cli("explain", str(made / "run"), "r3")
    assert done.returncode == 2
    assert "the records are not there whole; start the run's command again" in done.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]"])
def test_damaged_notes_of_outputs_ask_for_force(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("pool.jsonl"), pool_rows(8))
    call = ["select", "pool.jsonl", "--strategy", "random", "--unit", "records", "-o", "out.jsonl"]
    assert cli(*call).returncode == 0
    Path("out.codeact/outputs.json").write_bytes(content)
    done = cli(*call)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "name another, or replace it with --force" in done.stderr
    assert cli(*call, "--force").returncode == 0
    assert cli(*call).returncode == 0


def test_what_cannot_be_written_is_named_and_not_its_temporary_file(made: Path) -> None:
    """As on a read-only disk: there the file that was never made cannot be removed either."""
    (made / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"report\.json cannot be written"):
        write_text(made / "file" / "report.json", "{}")


def test_files_that_the_settings_name_and_that_are_gone_stop_only_who_reads_them(made: Path) -> None:
    run(made, ("curate",), evaluate__held_out=str(made / "gone.jsonl"))
    assert statuses(made)["curate"] == "done"

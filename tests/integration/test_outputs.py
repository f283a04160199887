"""What commands write over: never an input, and without --force nothing that the same run did not write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codeact.files import atomic
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines
from tests.helpers.pool import pool_rows

MINE = "the work of another tool\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "pool.jsonl"
    write_lines(file, pool_rows(16))
    return file


def alias(kind: str, file: Path) -> Path:
    """Another name of the same file."""
    if kind == "itself":
        return file
    if kind == "relative":
        return Path(os.path.relpath(file)) if file.anchor else file
    other = file.with_name(f"{kind}.jsonl")
    if kind == "symbolic link":
        other.symlink_to(file)
    elif kind == "hard link":
        other.hardlink_to(file)
    elif kind == "through a linked folder":
        link = file.parent.parent / f"{file.parent.name}-link"
        link.symlink_to(file.parent)
        return link / file.name
    else:  # case-insensitive file systems give one file two spellings; elsewhere there is no such file
        other = file.with_name(file.name.upper())
        if not other.exists():
            pytest.skip("file names keep their case here")
    return other


ALIASES = ["itself", "relative", "symbolic link", "hard link", "through a linked folder", "another case"]


@pytest.mark.parametrize("kind", ALIASES)
@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_never_written_over(kind: str, force: bool, data: Path) -> None:
    before = data.read_bytes()
    target = alias(kind, data)
    done = cli("select", str(data), "--strategy", "random", "--unit", "records", "-o", str(target), *(["--force"] if force else []))
    assert done.returncode == 2
    assert "is the input" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert data.read_bytes() == before
    assert not target.with_name(f"{target.stem}.codeact").exists()


def test_no_input_of_any_command_is_written_over(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    benchmark, target, template = (tmp_path / name for name in ("bench.jsonl", "target.jsonl", "template.json"))
    for file in (benchmark, target):
        shutil.copy(data, file)
    template.write_text("{{ messages[0].content }}{{ messages[1].content }}", encoding="utf-8")
    model = ["--model", str(tiny_model_dir)]
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model_dir)}))
    kept = {file: file.read_bytes() for file in (data, benchmark, target, template)}
    calls: list[list[str | Path]] = [
        ["curate", data, "-o", data],
        ["curate", data, "-o", benchmark, "--set", f"curate.benchmark_files=[{benchmark}]"],
        ["select", data, "-o", target, "--set", f"sample.target={target}", "--strategy", "random", "--unit", "records"],
        ["score", data, *model, "-o", template, "--template", template],
        ["embed", data, "-o", data, "--embedder", tmp_path],
        ["sample", data, *model, "-o", data],
        ["train", data, *model, "-o", tiny_model_dir],
        ["evaluate", tiny_model_dir, "-o", tiny_model_dir],
        ["merge", adapter, "-o", adapter],
        ["merge", adapter, "-o", tiny_model_dir],
        ["merge", adapter, "-o", tmp_path],
    ]
    for call in calls:
        for force in ([], ["--force"]):
            done = cli(*map(str, call), *force)
            assert done.returncode == 2, call
            assert "input" in done.stderr or "reads" in done.stderr, (call, done.stderr)
    assert {file: file.read_bytes() for file in kept} == kept
    assert (adapter / "adapter_config.json").exists()


def test_the_run_directory_keeps_what_the_run_reads(data: Path, tmp_path: Path) -> None:
    first = ["select", str(data), "--strategy", "random", "--unit", "records", "-o", str(tmp_path / "out.jsonl")]
    assert cli(*first).returncode == 0
    inside = tmp_path / "out.codeact" / "dropped.jsonl"
    shutil.copy(data, inside)
    to = ("--run-dir", str(tmp_path / "out.codeact"), "-o", str(tmp_path / "b.jsonl"))
    done = cli("select", str(inside), "--strategy", "random", "--unit", "records", *to)
    assert (done.returncode, "which it reads" in done.stderr) == (2, True)
    assert inside.read_bytes() == data.read_bytes()
    pool = tmp_path / "grid" / "pool.jsonl"
    pool.parent.mkdir()
    shutil.copy(data, pool)
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"run_dir: {pool.parent}\nstrategies: [random]\nrecipe: {{model: {{name: m}}, data: {{source: {pool}}}}}\n",
        encoding="utf-8",
    )
    done = cli("compare", str(grid), "--force")
    assert done.returncode == 2
    assert pool.read_bytes() == data.read_bytes()


@pytest.mark.parametrize("command", ["select", "curate"])
def test_a_packed_output_has_the_run_directory_of_the_plain_one(command: str, data: Path, tmp_path: Path) -> None:
    """A run directory that an early version named `out.jsonl.codeact` is gone on with."""
    settings = ["--strategy", "random", "--unit", "records"] if command == "select" else []
    call = [command, str(data), *settings, "-o", str(tmp_path / "out.jsonl.gz")]
    done = cli(*call)
    assert (done.returncode, (tmp_path / "out.codeact" / "ledger.parquet").is_file()) == (0, True), done.stderr
    (tmp_path / "out.codeact").rename(tmp_path / "out.jsonl.codeact")
    done = cli(*call)
    assert (done.returncode, "done before, kept" in done.stderr) == (0, True), done.stderr
    assert not (tmp_path / "out.codeact").exists()


def test_a_recipe_of_the_users_hand_in_its_own_run_dir_is_kept(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    recipe = folder / "recipe.yaml"
    text = f"# my notes\nrun_dir: {folder}\ndata: {{source: {data}}}\nsample: {{strategy: random, unit: records}}\n"
    recipe.write_text(text, encoding="utf-8")
    for force in ([], ["--force"]):
        done = cli("run", str(recipe), *force)
        assert (done.returncode, "recipe.yaml" in done.stderr) == (2, True)
        assert recipe.read_text(encoding="utf-8") == text
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]


def test_a_file_of_another_is_replaced_only_with_force(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "selected.jsonl"
    call = ["select", str(data), "--strategy", "random", "--unit", "records", "-o", str(out)]
    out.write_text(MINE, encoding="utf-8")
    done = cli(*call)
    assert (done.returncode, "--force" in done.stderr, out.read_text(encoding="utf-8")) == (2, True, MINE)
    assert cli(*call, "--force").returncode == 0
    chosen = out.read_bytes()
    assert cli(*call, "--ratio", "0.5").returncode == 0  # the same run: its own output
    assert out.read_bytes() != chosen
    out.write_text(out.read_text(encoding="utf-8") + MINE, encoding="utf-8")  # edited since
    assert cli(*call).returncode == 2
    assert cli(*call, "--force").returncode == 0
    other = tmp_path / "other.jsonl"
    shutil.copy(data, other)
    assert cli("select", str(other), *call[2:]).returncode == 2  # of other data
    assert cli("curate", str(data), "-o", str(out)).returncode == 2  # by another command
    assert cli(*call).returncode == 0


@pytest.mark.parametrize("outside", ["", "run_dir", "data"])
def test_a_moved_project_is_still_its_runs(outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renamed, or mounted elsewhere: what lies beside the run directory went along; what lies outside is where it was."""
    (tmp_path / "project").mkdir()
    write_lines(tmp_path / ("pool.jsonl" if outside == "data" else "project/pool.jsonl"), pool_rows(16))
    source = str(tmp_path / "pool.jsonl") if outside == "data" else "pool.jsonl"
    run_dir = ["--run-dir", "runs/a"] if outside == "run_dir" else []
    call = ["select", source, "--strategy", "random", "--unit", "records", *run_dir, "-o", "out.jsonl"]
    monkeypatch.chdir(tmp_path / "project")
    assert cli(*call).returncode == 0
    assert cli("curate", source, "-o", "clean.jsonl", "--run-dir", "runs/a" if run_dir else "out.codeact").returncode == 0
    for place in ("renamed", "deep/er/mounted"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Path.cwd().rename(tmp_path / place)
        monkeypatch.chdir(tmp_path / place)
        for again in (call, ["curate", source, "-o", "clean.jsonl", "--run-dir", "runs/a" if run_dir else "out.codeact"]):
            done = cli(*again)
            assert (done.returncode, "done before, kept" in done.stderr) == (0, True), done.stderr
    with Path("out.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(MINE)
    Path.cwd().rename(tmp_path / "edited")
    monkeypatch.chdir(tmp_path / "edited")
    done = cli(*call)
    assert (done.returncode, "did not write it as it is" in done.stderr) == (2, True)
    Path("out.jsonl").rename("other.jsonl")
    assert cli(*call).returncode == 0
    shutil.copy("out.jsonl", "copy.jsonl")  # the same bytes under another name are the user's copy
    assert cli(*call[:-1], "copy.jsonl", "--run-dir", run_dir[1] if run_dir else "out.codeact").returncode == 2


def test_a_moved_training_goes_on_and_other_data_asks(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    write_lines(Path("pool.jsonl"), pool_rows(16))
    usual = ["--model", str(tiny_model_dir), "-o", "tuned", "--epochs", "1", "--max-length", "64", "--template", "question"]
    assert cli("train", "pool.jsonl", *usual).returncode == 0
    Path.cwd().rename(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path / "renamed")
    for _ in range(2):
        done = cli("train", "pool.jsonl", *usual)
        assert done.returncode == 0, done.stderr
    shutil.copy("pool.jsonl", "other.jsonl")
    done = cli("train", "other.jsonl", *usual)
    assert (done.returncode, "--force" in done.stderr) == (2, True)


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".parquet", ".arrow", ".json"])
@pytest.mark.parametrize("command", ["select", "curate"])
def test_a_run_that_ends_before_it_notes_its_output_goes_on(
    command: str, suffix: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, or its disk full: the same command again finds its own file there."""
    out = tmp_path / f"selected{suffix}"
    call = [command, str(data), "-o", str(out), *(["--strategy", "random", "--unit", "records"] if command == "select" else [])]
    api = f"codeact.api.{'selection' if command == 'select' else 'runs'}"
    with monkeypatch.context() as patch:
        patch.setattr(f"{api}.note_file", full_disk)
        assert cli(*call).returncode == 2
    whole = out.read_bytes()
    with out.open("ab") as handle:
        handle.write(MINE.encode())
    assert cli(*call).returncode == 2  # a file that was edited meanwhile is the user's
    out.write_bytes(whole)
    assert cli(*call).returncode == 0
    assert cli(*call).returncode == 0
    # killed before the new file took its place: the old one is still the run's own
    changed = [*call, "--set", "curate.dedup=false"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refusing(out))
        assert cli(*changed).returncode == 2
    assert out.read_bytes() == whole
    assert cli(*changed).returncode == 0


def test_what_killed_runs_left_half_written_goes(data: Path, tmp_path: Path) -> None:
    out, run_dir = tmp_path / "selected.jsonl", tmp_path / "selected.codeact"
    call = ["select", str(data), "--strategy", "random", "--unit", "records", "-o", str(out)]
    assert cli(*call).returncode == 0
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic(tmp_path / "x"):
        end = next(tmp_path.glob(".x.*.tmp")).name.removeprefix(".x.")  # process, where it runs, a part by chance
    left = end.replace(str(os.getpid()), str(dead.pid), 1)
    gone = [run_dir / f".records.parquet.{left}", run_dir / "markers" / f".curate.json.{left}", tmp_path / f".selected.jsonl.{left}"]
    stay = [run_dir / f".report.json.{end}", tmp_path / f".other.jsonl.{left}", tmp_path / ".selected.jsonl.tmp"]
    for path in (*gone, *stay):
        path.write_text(MINE, encoding="utf-8")
    assert cli(*call).returncode == 0
    assert [path.exists() for path in (*gone, *stay)] == [False] * 3 + [True] * 3


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def refusing(target: Path) -> Callable[[Path, Path], Path]:
    """`Path.replace` that fails for one target."""
    real = Path.replace

    def replace(self: Path, other: Path) -> Path:
        if other == target:
            full_disk()
        return real(self, other)

    return replace


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "curate": lambda data, model: ["curate", str(data)],
    "score": lambda data, model: ["score", str(data), "--model", str(model), "--max-length", "64"],
    "harvest": lambda data, model: ["harvest", str(Path(json.__file__).parent), "--limit", "3"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_a_file_asks(command: str, data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    out = tmp_path / "out.parquet"
    call = [*COMMANDS[command](data, tiny_model_dir), "-o", str(out)]
    out.write_text(MINE, encoding="utf-8")
    done = cli(*call)
    assert (done.returncode, "--force" in done.stderr, out.read_text(encoding="utf-8")) == (2, True, MINE)
    done = cli(*call, "--force")
    assert done.returncode == 0, done.stderr
    again = cli(*call)
    if command == "harvest":  # it has no run directory that could remember, and does not say that it was another
        assert (again.returncode, again.stderr) == (2, f"codeact: output {out} exists; name another, or replace it with --force\n")
    else:
        assert again.returncode == 0


def test_folders_with_foreign_files(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    out = tmp_path / "out"
    for name in ("model", "summary.json", "results.json", "markers", "notes.md"):
        (out / name).mkdir(parents=True) if "." not in name else (out / name).write_text(MINE, encoding="utf-8")
    model = ["--model", str(tiny_model_dir)]
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model_dir)}))
    calls = (
        ["train", str(data), *model, "-o", str(out)],
        ["evaluate", str(tiny_model_dir), "-o", str(out)],
        ["merge", str(adapter), "-o", str(out)],
    )
    for call in calls:
        done = cli(*call)
        assert (done.returncode, "--force" in done.stderr) == (2, True), done.stderr
    assert {path.name for path in out.iterdir()} == {"model", "summary.json", "results.json", "markers", "notes.md"}
    assert (out / "results.json").read_text(encoding="utf-8") == MINE
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "log.txt").touch()  # a shell makes it for > log.txt
    for name in ("notes.md", "notes.txt"):
        (foreign / name).write_text(MINE, encoding="utf-8")
    call = ["select", str(data), "--strategy", "random", "--unit", "records", "--run-dir", str(foreign), "-o", str(tmp_path / "a.jsonl")]
    assert cli(*call).returncode == 0  # files that the run does not write are left alone
    assert (foreign / "notes.md").read_text(encoding="utf-8") == MINE
    others = write_lines(tmp_path / "others.jsonl", pool_rows(12))
    done = cli("select", str(others), *call[2:-1], str(tmp_path / "c.jsonl"))
    assert done.returncode == 0, done.stderr
    assert f"its records came from {data}, and come from {others} now" in done.stderr
    for name in ("records.parquet", "log.txt"):
        taken = tmp_path / f"taken {name}"
        (taken / "markers").mkdir(parents=True)  # a name that others use too
        (taken / "markers" / "map.json").write_text("{}", encoding="utf-8")
        (taken / ".codeact.json").write_text('{"comm', encoding="utf-8")
        (taken / name).write_text(MINE, encoding="utf-8")
        done = cli("select", str(data), "--strategy", "random", "--unit", "records", "--run-dir", str(taken), "-o", str(tmp_path / "b.jsonl"))
        assert (done.returncode, name in done.stderr) == (2, True)
        assert ".codeact.json is damaged" in done.stderr
        assert "--force" in done.stderr
        assert (taken / name).read_text(encoding="utf-8") == MINE


def test_training_again_goes_on_and_other_data_asks(data: Path, tmp_path: Path, tiny_model_dir: Path) -> None:
    out = tmp_path / "tuned"
    usual = ["--model", str(tiny_model_dir), "-o", str(out), "--epochs", "1", "--max-length", "64", "--template", "question"]  # fmt: skip
    assert cli("train", str(data), *usual).returncode == 0
    assert cli("train", str(data), *usual).returncode == 0
    other = tmp_path / "other.jsonl"
    shutil.copy(data, other)
    done = cli("train", str(other), *usual)
    assert (done.returncode, "--force" in done.stderr) == (2, True)
    done = cli("evaluate", str(out / "model"), "-o", str(out / "model"))
    assert (done.returncode, "is the input" in done.stderr) == (2, True)
    done = cli("train", str(data), "--model", str(out / "model"), "-o", str(out), "--force")
    assert (done.returncode, "which it reads" in done.stderr) == (2, True)


def test_work_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"task_id": "nobody", "solution": "x"}\n', encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text(MINE, encoding="utf-8")
    for folder in ("new", "full"):
        done = cli("evaluate", "--samples", str(tmp_path / "bad.jsonl"), "-o", str(tmp_path / folder))
        assert done.returncode == 2, done.stderr
        assert "nobody" in done.stderr
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    done = cli("train", str(tmp_path / "bad.jsonl"), "--model", "demo", "-o", str(tmp_path / "tuned"))
    assert done.returncode == 2
    assert not (tmp_path / "tuned").exists()


def test_a_setting_that_the_command_does_not_use_is_said(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = cli("curate", str(data), "-o", str(out), "--set", "train.epochs=3", "--set", "curate.dedup=false")
    assert done.returncode == 0, done.stderr
    assert "warning: train.epochs has no effect here: no stage that runs reads it (records, curate)" in done.stderr
    assert done.stderr.count("no effect") == 1
    done = cli(
        "select", str(data), "-o", str(tmp_path / "chosen.jsonl"), "--set", "sample.strategy=random", "--unit", "records", "--set", "cluster.k=3"
    )
    assert "cluster.k has no effect here" in done.stderr
    assert done.stderr.count("no effect") == 1
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text('def add(a, b):\n    """Give back the sum of two numbers."""\n    total = a + b\n    return total\n')
    done = cli("harvest", str(tmp_path / "code"), "-o", str(tmp_path / "h.jsonl"), "--set", "curate.near=0.5", "--set", "data.harvest.min_tokens=1")
    assert done.returncode == 0, done.stderr
    assert "curate.near has no effect here" in done.stderr
    assert done.stderr.count("no effect") == 1

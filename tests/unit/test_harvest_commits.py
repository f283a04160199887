"""Harvest of a repository's history: which commits become records, and that a repository cannot run anything."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from codeact.errors import InputError
from codeact.harvesting import Harvest, harvest_functions, tree_identity
from tests.helpers.command import codeact_command

BEFORE = 'def area(side):\n    """Give the area of a square."""\n    size = side * side\n    return size\n'
AFTER = BEFORE.replace("    size = side * side\n", "    if side < 0:\n        raise ValueError(side)\n    size = side * side\n")
OTHER = 'def round_up(x):\n    """Round a number up to the next ten."""\n    rest = x % 10\n    return x + (10 - rest) % 10\n'
PERSON = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *PERSON, "-C", str(folder), *words], check=True, capture_output=True)


def commit(folder: Path, message: str, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shapes"
    (folder / "tests").mkdir(parents=True)
    git(folder, "init", "-q")
    commit(folder, "First shapes of all", area=BEFORE, other=OTHER)
    return folder


def history(folder: Path, **options: object) -> tuple[list[dict[str, object]], Harvest]:
    found = harvest_functions([folder], commits=50, min_tokens=5, **options)
    return [{**r.meta, "instruction": r.instruction, "response": r.response} for r in found.records if "commit" in r.meta], found


def test_a_commit_that_changes_one_function(repository: Path) -> None:
    (repository / "tests" / "test_area.py").write_text("def test_area():\n    assert True\n", encoding="utf-8")
    before = tree_identity(repository, history=True)
    commit(repository, "Refuse a negative side (#12)\n\nIt has no area.\n\nSigned-off-by: A <a@example.com>", area=AFTER)
    (row,), _ = history(repository)
    assert row["instruction"] == (
        f"Refuse a negative side\n\nIt has no area.\n\nChange this Python function:\n\n```python\n{BEFORE.rstrip()}\n```"
    )
    assert row["response"] == AFTER.rstrip()
    assert (row["file"], row["name"], row["source"], row["language"]) == ("area.py", "area", "shapes", "python")
    assert len(str(row["commit"])) == 40
    assert tree_identity(repository, history=True) != before


def test_a_docstring_moves_with_its_method_and_an_empty_message_is_one(repository: Path) -> None:
    body = (
        'class Box:\n    def volume(self, side):\n        """Return the volume.\n\n        Of a cube:\n            side three times.\n        """\n'
        '        text = "as\\\n    it is"\n        return side * side%s\n'
    )
    commit(repository, "Boxes have a volume", box=body % "")
    (repository / "a.txt").write_text("x", encoding="utf-8")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty-message", "-m", "")
    commit(repository, "Multiply three sides of boxes", box=body % " * side")
    (row,), found = history(repository)
    said = str(row["response"])
    assert said.startswith('def volume(self, side):\n    """Return the volume.\n\n    Of a cube:\n        side three times.\n    """\n')
    assert '"as\\\n    it is"' in said
    assert found.skipped["commit: thin message"] == 1, found.skipped


def test_the_command_says_how_many_come_from_commits(repository: Path, tmp_path: Path) -> None:
    commit(repository, "Refuse a negative side", area=AFTER)
    out = tmp_path / "rows.jsonl"
    done = codeact_command("harvest", str(repository), "--min-tokens", "5", "--commits", "50", "-o", str(out))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["name"] for row in rows if "commit" in row] == ["area"]
    assert "\nof them from commits: 1\n" in done.stdout
    without = codeact_command("harvest", str(repository), "--min-tokens", "5", "-o", str(tmp_path / "without.jsonl"))
    assert "from commits" not in without.stdout


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("fixes #12", ""),
        ("Fixes #1, Closes #2.", ""),
        ("See also https://example.com/a/b/issues/3", ""),
        ("-------------\nCreated by MOE: https://example.com/moe\nMOE_MIGRATED_REVID=1", ""),
        ("git-svn-id: https://example.com/trunk@1 5b\n", ""),
        ("It fixes #12 by counting.", "It fixes #12 by counting."),
        ("The limit is 5.\n\ncloses #9", "The limit is 5."),
    ],
)
def test_lines_that_only_name_issues_are_taken_off(repository: Path, body: str, kept: str) -> None:
    commit(repository, f"Refuse a negative side, fixes #3\n\n{body}", area=AFTER)
    (row,), _ = history(repository)
    told = str(row["instruction"]).partition("\n\nChange this")[0]
    assert told == f"Refuse a negative side\n\n{kept}".rstrip()


@pytest.mark.parametrize(
    ("message", "files", "reason"),
    [
        ("wip", {"area": AFTER}, "commit: thin message"),
        ("Bump the version to two", {"area": AFTER}, "commit: thin message"),
        ("Refuse a negative side", {"area": AFTER, "other": OTHER.replace("10", "20")}, "commit: not one function changed"),
        ("Say more about the area", {"area": f"# more\n{BEFORE}"}, "commit: not one function changed"),
        ("Call it by another name", {"area": BEFORE.replace("def area", "def surface")}, "commit: not one function changed"),
        ("Refuse a negative side", {f"m{n}": AFTER for n in range(9)} | {"area": AFTER}, "commit: not one function changed"),
    ],
)
def test_what_is_left_out(repository: Path, message: str, files: dict[str, str], reason: str) -> None:
    commit(repository, message, **files)
    rows, found = history(repository)
    assert rows == []
    assert found.skipped[reason] >= 1


def test_a_secret_in_a_message_and_patterns(repository: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5" * 3 + "F6g7H8"
    commit(repository, f"Refuse a negative side with {key}", area=AFTER)
    rows, found = history(repository)
    assert rows == []
    assert found.skipped["secret: GitHub token"] + sum(n for k, n in found.skipped.items() if k.startswith("secret")) >= 1
    assert key not in "".join(found.problems)
    assert history(repository, exclude=["area.py"])[0] == []


def test_a_repository_runs_nothing(repository: Path, tmp_path: Path) -> None:
    commit(repository, "Refuse a negative side", area=AFTER)
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n", encoding="utf-8")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "diff.external", "diff.x.textconv", "filter.x.smudge", "gpg.program", "core.sshCommand"):
        git(repository, "config", key, str(trap))
    git(repository, "config", "log.showSignature", "true")
    (repository / ".git" / "info" / "attributes").write_text("*.py diff=x filter=x\n", encoding="utf-8")
    assert len(history(repository)[0]) == 1
    assert not (tmp_path / "sprung").exists()


def test_no_repository_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(BEFORE, encoding="utf-8")
    with pytest.raises(InputError, match="give a folder of a git repository") as caught:
        harvest_functions([tmp_path], commits=5, min_tokens=5)
    assert "\n" not in str(caught.value)

"""Shipped recipes: found by name from any folder, valid, and each named in the wheel's contents."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from codeact import config, shipped
from codeact.comparison.grid import load_comparison
from codeact.errors import InputError
from tests.helpers.command import codeact_command as cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_recipe_is_valid_from_another_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("compare"):
        load_comparison(Path(name), ["apart_from=[]"])
    elif not name.startswith("accelerate/"):
        assert config.load_recipe(name).run_dir.startswith("runs/")
    assert shipped.about(name)


def wanted(extra: str, extras: dict[str, list[str]]) -> Iterator[Requirement]:
    """The packages of an extra, those of the extras that it takes in among them, as far as this machine needs them."""
    for requirement in map(Requirement, extras[extra]):
        if requirement.name == "codeact":
            for inner in requirement.extras:
                yield from wanted(inner, extras)
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def test_whoever_runs_the_tests_has_all_that_they_need() -> None:
    """A test whose package is missing is skipped; this one then fails, so that no run of the tests is a part of them unsaid."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    there = {re.sub(r"[-_.]+", "-", found.name.lower()) for found in metadata.distributions()}
    missing = sorted(package.name for package in wanted("dev", extras) if package.name.lower() not in there)
    assert not missing, "pip install -e '.[dev]'"


@pytest.mark.parametrize("given", ["demo", "demo.yaml", "recipes/demo.yaml", "./recipes/demo.yaml"])
def test_a_recipe_is_found_by_name_or_path(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.find(given).samefile(ROOT / "recipes" / "demo.yaml")
    (tmp_path / "demo").mkdir()  # a folder of that name hides nothing; a file of the user's goes first
    assert shipped.find(given).samefile(ROOT / "recipes" / "demo.yaml")
    (tmp_path / "demo.yaml").write_text("seed: 3\n", encoding="utf-8")
    assert config.load_recipe("demo.yaml").seed == 3


def test_a_recipe_that_is_not_there_is_one_line_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, name, mend in (("run", "demmo", "'demo'"), ("compare", "compare_smal.yaml", "'compare_small'")):
        done = cli(command, name)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert mend in done.stderr
    for command, name, other in (("run", "compare", "codeact compare"), ("compare", "demo", "codeact run")):
        done = cli(command, name)
        assert (done.returncode, other in done.stderr) == (2, True)
    for words in (["compare"], ["compare", "--plan"]):  # its data are a name to replace
        done = cli("compare", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "recipe.data.source: data.jsonl does not exist" in done.stderr
    with pytest.raises(InputError, match="is a folder"):
        shipped.find(tmp_path)


def test_the_wheel_takes_the_recipes_along() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"recipes": "codeact/recipes"}
    printed = cli("recipes", "demo")
    assert printed.stdout == (ROOT / "recipes" / "demo.yaml").read_text(encoding="utf-8")
    assert cli("recipes", "accelerate/ddp", "--path").stdout.strip().endswith("recipes/accelerate/ddp.yaml")
    assert all(name in cli("recipes").stdout for name in shipped.names())


def test_a_copy_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("recipes", "accelerate/ddp", "--copy")
    assert done.stdout == "ddp.yaml is written; change it, and give it instead of accelerate/ddp\n"
    assert Path("ddp.yaml").read_text(encoding="utf-8") == shipped.find("accelerate/ddp").read_text(encoding="utf-8")
    again = cli("recipes", "accelerate/ddp", "--copy")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "ddp.yaml is there already" in again.stderr
    assert "needs the name of a recipe" in cli("recipes", "--copy").stderr


def test_the_demo_has_a_plan_as_every_run_has() -> None:
    assert "--gpus is for --plan" in cli("demo", "--gpus", "2").stderr


def test_pages_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "scoring " in cli("docs").stdout
    assert cli("docs", "strategies/cdas").stdout.strip() == (ROOT / "docs/strategies/cdas.md").read_text(encoding="utf-8").strip()
    wrong = cli("docs", "scorin")
    assert wrong.returncode == 2
    assert "did you mean 'scoring'" in wrong.stderr
    assert "did you mean 'strategies/cdas'" in cli("docs", "cdas").stderr


def said(path: Path) -> Iterator[str]:
    """The texts of a module that people may be shown: its string constants but for docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    remarks = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    yield from (str(one.value) for one in ast.walk(tree) if isinstance(one, ast.Constant) and id(one) not in remarks and isinstance(one.value, str))


def test_no_line_points_to_a_file_that_a_wheel_does_not_bring() -> None:
    """Nor to a page or recipe that is not there: pages are named `codeact docs NAME`, recipes `codeact recipes NAME`."""
    texts = {path: list(said(path)) for path in (ROOT / "src").rglob("*.py")}
    texts |= {path: [path.read_text(encoding="utf-8")] for path in [*(ROOT / "src").rglob("*.jinja"), *(ROOT / "recipes").rglob("*.yaml")]}
    for path, lines in texts.items():
        for line in lines:
            assert not re.search(r"\b(docs|recipes)/[\w/]+\.(md|yaml)", line), f"{path}: {line}"
            for kind, name in re.findall(r"codeact (docs|recipes) ([a-z][\w/-]*\w)(?= --copy|[^\w/ -]|$)", line):
                assert name in (shipped.pages() if kind == "docs" else shipped.names()), f"{path}: {line}"


def test_the_image_is_given_all_that_the_wheel_is_built_of() -> None:
    """What the Dockerfile copies, and .dockerignore lets through: the build's own files, pages and recipes among them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = set(re.findall(r"\S+", " ".join(re.findall(r"^COPY (.*) /src", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M))))
    let = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    needed = {"pyproject.toml", "README.md", "hatch_build.py", "constraints.txt", "src", "docs", *project["project"]["license-files"]}
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])
    assert needed <= copied
    assert needed <= let

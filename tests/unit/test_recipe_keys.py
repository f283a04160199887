"""`codeact keys`, docs/recipe.md and the editor's schema: all are made from the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from codeact.cli.app import app
from codeact.config import Recipe, known_keys, load_recipe
from codeact.errors import InputError
from codeact.recipe_keys import json_schema, markdown, recipe_keys, sections

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = sorted(p for p in Path(__file__).parents[2].rglob("recipes/*.yaml") if not {"build", ".venv"} & set(p.parts))


def test_every_key_is_there_and_says_what_it_does() -> None:
    named = [key.name for key in recipe_keys()]
    sections_too = {*sections(), "data.harvest"}
    assert named == [name for name in known_keys() if name not in sections_too]
    assert [key.name for key in recipe_keys() if not key.description] == []


def test_defaults_are_those_of_an_empty_recipe() -> None:
    tree = load_recipe(extra={key.name: yaml.safe_load(key.default) for key in recipe_keys()})
    assert tree == Recipe()


def test_a_section_a_key_and_a_typo() -> None:
    assert {key.name.split(".")[0] for key in recipe_keys("sample")} == {"sample"}
    (ratio,) = recipe_keys("sample.ratio")
    assert (ratio.type, ratio.default) == ("number, above 0, at most 1", "0.4")
    with pytest.raises(InputError, match=r"did you mean 'sample.ratio'"):
        recipe_keys("sample.ratoi")


def test_the_committed_page_and_schema_are_current() -> None:
    assert (DOCS / "recipe.md").read_text(encoding="utf-8") == markdown(), "codeact keys --markdown > docs/recipe.md"
    committed = (DOCS / "recipe.schema.json").read_text(encoding="utf-8")
    assert committed == json_schema(), "codeact keys --schema > docs/recipe.schema.json"


@pytest.mark.parametrize("path", [p for p in RECIPES if "compare" not in p.name], ids=lambda p: p.name)
def test_the_schema_accepts_every_shipped_recipe(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(json_schema()))


def test_the_schema_refuses_what_the_recipe_refuses() -> None:
    for tree in ({"sample": {"ratoi": 0.4}}, {"sample": {"ratio": 2}}, {"sample": {"strategy": "best"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tree, json.loads(json_schema()))


def test_the_command() -> None:
    shown = CliRunner().invoke(app, ["keys", "sample.ratio", "--json"])
    assert json.loads(shown.stdout)[0]["name"] == "sample.ratio"
    assert "share of the pool to keep" in CliRunner().invoke(app, ["keys", "sample"]).stdout

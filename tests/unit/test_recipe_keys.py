"""`codeact keys`, docs/recipe.md and the editor's schema: all are made from the configuration."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import typer.main
import yaml

import codeact
from codeact.cli.app import app
from codeact.config import Recipe, known_keys, load_recipe
from codeact.errors import InputError
from codeact.recipe_keys import json_schema, markdown, recipe_keys, sections
from tests.helpers.command import codeact_command

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


def test_the_committed_page_is_current() -> None:
    assert (DOCS / "recipe.md").read_text(encoding="utf-8") == markdown(), "codeact keys --markdown > docs/recipe.md"


@pytest.mark.parametrize("path", [p for p in RECIPES if "compare" not in p.name], ids=lambda p: p.name)
def test_the_schema_accepts_every_shipped_recipe(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(json_schema()))


def test_the_schema_refuses_what_the_recipe_refuses() -> None:
    for tree in ({"sample": {"ratoi": 0.4}}, {"sample": {"ratio": 2}}, {"sample": {"strategy": "best"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tree, json.loads(json_schema()))


def test_the_command() -> None:
    shown = codeact_command("keys", "sample.ratio", "--json")
    assert json.loads(shown.stdout)[0]["name"] == "sample.ratio"
    assert "share of the pool to keep" in codeact_command("keys", "sample").stdout
    assert codeact_command("keys", "--schema").stdout == json_schema()


LEAVES = {key.name.rpartition(".")[2] for key in recipe_keys()}
OWN = {("merge", "dtype"), ("harvest", "held_out")}  # of the merged weights, `auto` is the base model's; a share, and not the file of `evaluate.held_out`


def test_options_that_stand_for_a_key_have_no_default_of_their_own() -> None:
    """What is not given is not passed on: the recipe alone has the defaults; the help shows them."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    own = [
        (name, option.name, option.default)
        for name, command in commands.items()
        for option in command.params
        if option.param_type_name == "option" and option.name in LEAVES and (name, option.name) not in OWN
        if option.default not in (None, "", ()) and option.default != []
    ]
    assert own == []
    shown = {option.name: option.show_default for option in commands["train"].params}
    assert (shown["epochs"], shown["learning_rate"], shown["max_length"]) == ("3", "5e-05", "2048")


def test_no_function_repeats_a_number_of_the_recipe() -> None:
    """A parameter named like a key takes its default from `config.DEFAULTS`; 0 and `limit`, which cuts texts, are no such defaults."""
    found = [
        f"{file.name}:{value.lineno}: {name}"
        for file in sorted(Path(codeact.__file__).parent.rglob("*.py"))
        if file.parent.name != "config"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name, value in _defaults(node)
        if name in LEAVES - {"limit"} and isinstance(value, ast.Constant) and type(value.value) in (int, float) and value.value
    ]
    assert found == []


def _defaults(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.FunctionDef):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        yield from zip(names[::-1], node.args.defaults[::-1], strict=False)
        yield from ((a.arg, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None)
    elif isinstance(node, ast.ClassDef):
        yield from ((s.target.id, s.value) for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.value)

"""Every key of a recipe with its type, default, limits and meaning, read from the configuration itself.

`codeact keys`, docs/recipe.md and the JSON schema for editors are made from it, so that none of them can differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from codeact.config import RENAMED_KEYS, OneOf, Recipe, nearest
from codeact.errors import InputError


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a recipe.

    Attributes:
        name: dotted, such as `sample.ratio`.
        type: what it takes, with its limits, such as `number, above 0, at most 1`.
        default: as it is written in YAML.
        description: what it does, and where its number comes from.
    """

    name: str
    type: str
    default: str
    description: str


def recipe_keys(part: str = "") -> list[Key]:
    """The keys of a section, or of the whole recipe where no `part` is given; `part` may be one key.

    Raises:
        InputError: no section and no key has this name (the nearest is named).
    """
    everything = list(_walk(Recipe, ""))
    found = [key for key in everything if not part or key.name == part or key.name.startswith(f"{part}.")]
    if not found:
        if part in RENAMED_KEYS:
            raise InputError(f"{part!r} is now called {RENAMED_KEYS[part]!r}")
        near = nearest(part, [*Recipe.model_fields, *(key.name for key in everything)])
        hint = f"; did you mean {near!r}?" if near else f"; the sections are {', '.join(sections())}"
        raise InputError(f"no recipe key or section is named {part!r}{hint}")
    return found


def sections() -> list[str]:
    """The names of the sections, in the order of a recipe."""
    return [name for name, info in Recipe.model_fields.items() if _section(info) is not None]


def markdown() -> str:
    """docs/recipe.md: a table for each section."""
    parts = [
        "# Recipe keys",
        "",
        "Every key of a recipe. The page is made by `codeact keys --markdown` and held to the code by a test.",
        "",
        "Set a key in the YAML file, or behind the recipe's name: `codeact run demo sample.ratio=0.2`.",
        "Commands without a recipe take `--set sample.ratio=0.2`. An unknown key is refused, and the nearest is named.",
        "So is a key that an argument or option says otherwise (`--ratio 0.3`, `--run-dir`, DATA). A whole section,",
        "`'sample={ratio: 0.2, unit: tokens}'`, changes the keys that it names and no others.",
        "",
        "An editor that knows YAML schemas completes and checks the keys. Write the schema beside a recipe,",
        "`codeact keys --schema > recipe.schema.json`, and put this line on top of the recipe:",
        "",
        "```yaml",
        "# yaml-language-server: $schema=recipe.schema.json",
        "```",
    ]
    for section in ("", *sections()):
        keys = recipe_keys(section) if section else [key for key in recipe_keys() if "." not in key.name]
        parts += ["", f"## {section or 'The run'}", "", "| key | takes | default | |", "|---|---|---|---|"]
        parts += [f"| `{k.name}` | {_cell(k.type)} | `{k.default}` | {_cell(k.description)} |" for k in keys]
    return "\n".join(parts) + "\n"


def json_schema() -> str:
    """The JSON schema of a recipe, as text with a final newline."""
    return json.dumps(Recipe.model_json_schema(), indent=1, sort_keys=True) + "\n"


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, info in model.model_fields.items():
        inner = _section(info)
        if inner is not None:
            yield from _walk(inner, f"{prefix}{name}.")
        else:
            kind = ", ".join((_names(info) or _type(info.annotation), *_limits(info)))
            yield Key(prefix + name, kind, _yaml(info.get_default(call_default_factory=True)), info.description or "")


def _section(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


NAMES: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null", Any: "any"}


def _type(kind: object) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(inside[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inside)
    if origin is tuple:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "`{" + ", ".join(kind.model_fields) + "}`"
    return NAMES[kind]


def _names(info: FieldInfo) -> str:
    """The names that a key marked with `OneOf` takes."""
    return ", ".join(f"`{name}`" for rule in info.metadata if isinstance(rule, OneOf) for name in rule.names())


def _limits(info: FieldInfo) -> Iterator[str]:
    words = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    for rule in info.metadata:
        for attribute, word in words:
            value = getattr(rule, attribute, None)
            if value is not None:
                yield f"{word} {value}"


def _yaml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

"""A recipe from YAML plus settings by dotted key; every problem is one line, with the nearest valid key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from codeact import shipped
from codeact.config.kinds import OneOf
from codeact.config.recipe import SECTIONS, Recipe
from codeact.config.sections import SourceConfig
from codeact.errors import InputError, did_you_mean

MAY_HOLD_SECRETS = (  # their values are not shown in messages
    "judge.endpoint", "score.endpoint", "evaluate.endpoint", "judge.api_key_env", "evaluate.api_key_env", "judge.extra", "evaluate.extra",
)  # fmt: skip
RENAMED_KEYS = {"sample.budget": "sample.unit"}


def load_recipe(
    path: str | Path | None = None, overrides: Iterable[str] = (), extra: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a YAML recipe, then apply `extra` (dotted key -> value) and `key=value` overrides, in this order.

    Raises:
        InputError: no such file, broken YAML, an unknown key (the nearest valid one is named) or a value out of range.
    """
    where = str(path) if path is not None else "the recipe"
    tree = read_yaml(Path(path)) if path is not None else {}
    for key, value in as_settings(extra or {}).items():
        set_key(tree, key, value, SECTIONS)
    apply_overrides(tree, overrides, "sample.ratio=0.3", SECTIONS)
    if "strategies" in tree and "recipe" in tree:
        raise InputError(f"{where} is a comparison of strategies, not the recipe of one run; use: codeact compare {where}")
    return validate(tree, where)


def kept_recipe(run_dir: Path) -> Recipe:
    """The recipe that a run keeps in its directory, all of it.

    Raises:
        InputError: as `load_recipe`; or the file holds nothing, and no default is what the run was made with.
    """
    file = run_dir / "recipe.yaml"
    if not read_yaml(file):
        raise InputError(f"{file} is damaged: it is empty; start the run's command again, which writes it anew")
    return load_recipe(file)


def validate(tree: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """Build a `Recipe` from nested dictionaries; every problem is one line.

    Raises:
        InputError: as `load_recipe`.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(map(_explain, _causes(error)[:3]))) from error


def known_keys() -> list[str]:
    """Every dotted key that a recipe may hold."""
    return list(_walk(Recipe, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, f"{prefix}{name}.")


def _causes(error: ValidationError) -> list[Mapping[str, Any]]:
    """The faults without those that only follow: a list is too short where its one value is refused."""
    items = error.errors()
    return [one for one in items if not any(len(i["loc"]) > len(one["loc"]) and i["loc"][: len(one["loc"])] == one["loc"] for i in items)]


def _explain(item: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        if key in known_keys():  # with dots, where a mapping is wanted
            *sections, last = key.split(".")
            return f"{key!r} with dots is no key of a recipe's file; write {': {'.join(sections)}: {{{last}: ...{'}' * len(sections)}"
        if key in RENAMED_KEYS:
            return f"{key!r} is now called {RENAMED_KEYS[key]!r}"
        parent = key.rpartition(".")[0]
        in_a_list = len(item["loc"]) > 1 and isinstance(item["loc"][-2], int)  # of the list of sources, the only one of sections
        options = [f"{parent}.{name}" for name in SourceConfig.model_fields] if in_a_list else [
            one for one in known_keys() if "." in one or not parent
        ]  # fmt: skip
        near = nearest(key, options)
        return f"unknown key {key!r}" + (
            _as_value(key) or (f"; did you mean {near!r}?" if near else f"; the sections are {', '.join(Recipe.model_fields)}")
        )
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        message += did_you_mean(item["input"], re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    if key in MAY_HOLD_SECRETS or (item["type"] == "value_error" and isinstance(item["input"], Mapping | list | tuple)):
        return f"{key}: {message[0].lower()}{message[1:]}"
    return f"{key} = {item['input']!r}: {message[0].lower()}{message[1:]}"


def _as_value(key: str) -> str:
    """A hint where an unknown key's last part is one of the words that a key of its section takes; else empty.

    `curate.complete` is a value of `curate.checks`.
    """
    section, _, word = key.rpartition(".")
    kind = Recipe.model_fields[section].annotation if section in Recipe.model_fields else None
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return ""
    for name, info in kind.model_fields.items():
        words = [*_literals(info.annotation), *(one for rule in info.metadata if isinstance(rule, OneOf) for one in rule.names())]
        if word in words:
            shown = f"[{', '.join([*info.default, word])}]" if get_origin(info.annotation) is tuple else word
            return f"; {word} is a value: {section}.{name}={shown}"
    return ""


def _literals(kind: object) -> Iterator[str]:
    """The words that a type takes, alone or in a list."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    for part in get_args(kind) if get_origin(kind) is not Literal else ():
        yield from _literals(part)


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to a misspelt one, or None when nothing is close. Compares last parts too (`ratio`)."""
    options = list(valid)
    last = {option.rpartition(".")[2]: option for option in reversed(options)}
    own = name.rpartition(".")[2]
    found = [last[own]] if own in last else difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if found:
        return found[0]
    tail = difflib.get_close_matches(own, list(last), n=1, cutoff=0.6)
    return last[tail[0]] if tail else None


class _Once(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if key.value != "<<" and keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice; leave one", key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, one given by its path or a shipped one by its name; empty for an empty file.

    Raises:
        InputError: no such file, it cannot be read, or it holds something else.
    """
    try:
        tree = yaml.load(shipped.find(path).read_text(encoding="utf-8"), Loader=_Once)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} cannot be read: {one_line(error)}") from error
    except yaml.YAMLError as error:
        raise InputError(f"recipe {path} is not valid YAML: {one_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InputError(f"recipe {path} holds {type(tree).__name__} at the top; a recipe is a mapping of sections")
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key: `{"sample": {"ratio": 0.4}}` -> `{"sample.ratio": 0.4}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def given(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Of dotted keys and values those that were given (not None), paths as texts; what is left out has the recipe's default."""
    return {key: fspath(value) if isinstance(value, PathLike) else value for key, value in keys.items() if value is not None}


def as_settings(settings: object) -> Mapping[str, Any]:
    """Settings of a Python call, which are a mapping.

    Raises:
        InputError: they are not.
    """
    if not isinstance(settings, Mapping):
        raise InputError(f"settings are {type(settings).__name__}; give a mapping of dotted key -> value, for example {{'sample.ratio': 0.3}}")
    if (wrong := next((key for key in settings if not isinstance(key, str)), None)) is not None:
        raise InputError(f"settings hold the key {wrong!r}; keys are texts, for example 'sample.ratio'")
    return settings


def joined(
    own: Mapping[str, Any], settings: Mapping[str, Any], by: str = "an argument or option of its own"
) -> dict[str, Any]:
    """The dotted keys that a call's own arguments stand for, and further settings beside them.

    Raises:
        InputError: a setting says otherwise what an argument says already; `by` names the argument. Or settings are no mapping.
    """
    for key in as_settings(settings):
        for known, value in own.items():
            if known == key and value == settings[key]:
                continue
            if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
                which = "" if known == key else f", which stands for {known}"
                raise InputError(f"{key} is given twice: as a setting, and by {by}{which}; leave one of them out")
    return {**own, **settings}


def set_key(tree: dict[str, Any], key: str, value: object, sections: Collection[str] = ()) -> None:
    """Set a dotted key in nested dictionaries; a mapping for one of the `sections` sets the keys that it names and keeps the others.

    Raises:
        InputError: a part of the key is no section.
    """
    if isinstance(value, Mapping) and key in sections:
        for name, inner in value.items():
            set_key(tree, f"{key}.{name}", inner, sections)
        return
    *parents, last = key.split(".")
    here = tree
    for part in parents:
        child = here.setdefault(part, {})
        if not isinstance(child, dict):
            raise InputError(f"override {key!r}: {part!r} is not a section")
        here = child
    here[last] = value


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str], example: str, sections: Collection[str] = ()) -> None:
    """Set `key=value` texts, whose values are YAML, in nested dictionaries; `example` shows the form in messages, `sections` as `set_key`.

    Raises:
        InputError: a text of another form or one text alone, a value that is no YAML, or a part of a key that is no section.
    """
    if isinstance(overrides, str):
        raise InputError(f"overrides are one text, {overrides!r}; give a list of such, for example [{example!r}]")
    for override in overrides:
        if not isinstance(override, str):
            raise InputError(f"override {override!r} is no text of the form key=value, for example {example!r}")
        key, sign, text = override.partition("=")
        if not sign or not key:
            raise InputError(f"override {override!r} is not of the form key=value, for example {example}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"override {override!r}: the value is not valid YAML: {one_line(error)}") from error
        set_key(tree, key, value, sections)


def one_line(error: BaseException) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())

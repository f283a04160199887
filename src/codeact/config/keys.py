"""Settings by dotted key: of a tree, of arguments, of `key=value` texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import yaml

from codeact.errors import InputError


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key: `{"sample": {"ratio": 0.4}}` -> `{"sample.ratio": 0.4}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def given(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Of dotted keys and values those that were given (not None); what is left out has the recipe's default."""
    return {key: value for key, value in keys.items() if value is not None}


def joined(
    own: Mapping[str, Any], settings: Mapping[str, Any], by: str = "an argument or option of its own"
) -> dict[str, Any]:
    """The dotted keys that a call's own arguments stand for, and further settings beside them.

    Raises:
        InputError: a setting says otherwise what an argument says already; `by` names the argument.
    """
    for key in settings:
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
        InputError: a text of another form, a value that is no YAML, or a part of a key that is no section.
    """
    for override in overrides:
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

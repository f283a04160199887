"""What must not be shown or kept: keys, tokens, passwords. Whatever text goes to a terminal, a log or a file passes here first."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"
SHORTEST = 8  # a shorter value, such as EMPTY or none, is no secret, and would be struck out of ordinary words
_NAMES = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH)(?:_|$)", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^\s/@'\"<>]*(?:@[^\s/@'\"<>]*)*@")
_HEADER = re.compile(r"(\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token|digest)\s+)?)[^\s'\",;}]+", re.IGNORECASE)
_SCHEME = re.compile(r"(\b(?:bearer|basic)\s+)(?=\S*[0-9=_~+])[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_KEYS = re.compile(r"\b(?:sk|pk|rk|hf|gh[pousr]|xox[abp]|glpat)[-_][A-Za-z0-9_*.-]{8,}")
_QUERY = re.compile(r"([?&](?:[\w-]*(?:key|token|secret|password|signature|sig))=)[^\s&#'\"<>]+", re.IGNORECASE)


def redact(text: str, *known: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without secrets: those that are named, values of the environment's variables for secrets, and what looks like one.

    Args:
        text: anything that a server, a library or an exception said.
        known: secrets in use.
        environment: default: the process's own.
    """
    variables = os.environ if environment is None else environment
    secrets = {secret for secret in known if secret}
    secrets |= {value for name, value in variables.items() if _NAMES.search(name) and len(value) >= SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        for form in {secret, secret.replace("/", "\\/"), unquote(secret)}:
            text = text.replace(form, HIDDEN)
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    text = _SCHEME.sub(rf"\g<1>{HIDDEN}", text)
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    return _KEYS.sub(HIDDEN, text)


def split_userinfo(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address without `user:password@`, and these two, decoded; None where it has none."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(name), unquote(password))

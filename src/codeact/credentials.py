"""Passwords and keys that no assignment names: arguments of calls, headers, command lines, drivers' addresses, constants of C."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

_WORD = r"(?:password|passwd|passphrase|passwort|pwd|密码|密碼|口令)"
_GIVEN = r"(?:getenv|environ\.get|setdefault|setenv|putenv|setattr\([^,\n]{1,40},\s|setProperty|\.put|\.set)\(?\s{0,3}"  # a name, then a value
_VALUE = r"['\"`]([^\s'\"`]{6,128})['\"`]"
_USER = r"['\"`][^'\"`\n]{1,64}['\"`]"
# The value stands behind a name that is an argument, behind a user's name, or behind an option.
_PASSWORDS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        rf"{_GIVEN}['\"][\w.-]{{0,40}}{_WORD}\w{{0,20}}['\"]\s{{0,3}},\s{{0,3}}{_VALUE}",
        rf"\b(?:set|with)_?{_WORD}\(\s{{0,3}}{_VALUE}\s{{0,3}}\)",
        rf"(?:\bauth\s{{0,3}}=\s{{0,3}}\(|basic_?auth\s{{0,3}}=?\s{{0,3}}\(|\blogin\(|\bauthenticate\(|getConnection\([^,\n]{{1,80}},)\s{{0,3}}{_USER}\s{{0,3}},\s{{0,3}}{_VALUE}\s{{0,3}}\)",
        rf"^[ \t]*#[ \t]*define[ \t]+\w{{0,40}}{_WORD}\w{{0,20}}[ \t]+{_VALUE}",
        rf"\b\w{{0,40}}{_WORD}\w{{0,20}}\s?:\s?[&\w<>\[\]]{{1,24}}\s?=\s?{_VALUE}",
        rf"\b\w{{0,40}}{_WORD}\w{{0,20}}(?:\s{{0,8}}:=\s?|\s{{1,8}}string\s{{1,8}}=\s|\s?=\s?[bru]){_VALUE}",
        r"['\"`][\w.-]{1,64}:([^\s/@'\"`]{6,128})@(?:tcp|unix)\(",
        r"\bsshpass\s+-p\s?['\"]?([^\s'\"]{6,128})",
    )
)
# The name and the password of a user: as curl's argument, and as Base64 in a header of HTTP.
_USER_ARGUMENT = re.compile(r"(?:(?<=\s)-u|--user)[ =]['\"]?[\w.@-]{1,64}:([^\s'\"]{3,128})")
_BASIC = re.compile(r"\bBasic ([A-Za-z0-9+/]{12,200}={0,2})(?![A-Za-z0-9+/=])")
_KEYS = (
    re.compile(rf"\b\w{{0,40}}(?:secret|token|api_?key)\w{{0,20}}\s{{0,8}}:=\s?{_VALUE}", re.IGNORECASE),
    re.compile(rf"{_GIVEN}['\"][\w.-]{{0,40}}(?:secret|token|api_?key)\w{{0,20}}['\"]\s{{0,3}},\s{{0,3}}{_VALUE}", re.IGNORECASE),
    re.compile(r"\b(?:Bearer|[Tt]oken|[Aa]pi-?[Kk]ey) ([A-Za-z0-9_~+/-]{20,200}={0,2})(?=['\"`])"),
    re.compile(r"\b\w{0,20}(?:aes|hmac|signing|jwt|master|session)_?key\w{0,8}\s{0,3}[=:]\s{0,3}[brf]?['\"`]([^\s'\"`]{16,128})['\"`]", re.IGNORECASE),
)


def passwords_of(piece: str) -> Iterator[tuple[int, str]]:
    """(position, value) of what stands where a password is given; whether it is a placeholder is not asked here."""
    for rule in _PASSWORDS:
        for match in rule.finditer(piece):
            yield match.start(), match[1]
    for match in _USER_ARGUMENT.finditer(piece):
        if "curl" in piece[max(0, match.start() - 200) : match.start()]:
            yield match.start(), match[1]
    for match in _BASIC.finditer(piece):
        yield match.start(), _plain_password(match[1])


def keys_of(piece: str) -> Iterator[tuple[int, str]]:
    """(position, value) of what stands in a header's or a cipher's place for a key; whether it is one is not asked here."""
    for rule in _KEYS:
        for match in rule.finditer(piece):
            yield match.start(), match[1]


def _plain_password(value: str) -> str:
    """The password in the Base64 of `user:password`, "" where it holds none."""
    try:
        return base64.b64decode(value, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""

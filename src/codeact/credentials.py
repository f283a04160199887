"""Keys of services by their form; passwords and keys that no assignment names: arguments of calls, headers, command lines, drivers' addresses, constants of C."""

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
# Services of which detect-secrets has no rule, or none that is quick.
KEYS_BY_FORM = {
    "NPM tokens": r"(?<=/):_authToken=\s{0,8}(npm_\S{1,200}|[A-Fa-f0-9-]{36})",
    "OpenAI Token": r"sk-[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9]{20}",
    "Artifactory Credentials": r"AKCp[A-Za-z0-9]{60,80}",
    "Google API Key": r"AIza[0-9A-Za-z_-]{35}",
    "Hugging Face Token": r"hf_[A-Za-z]{34}",
    "Anthropic Token": r"sk-ant-[A-Za-z0-9_-]{32,128}",
    "GitHub Token": r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    "Alibaba Cloud Key": r"LTAI[A-Za-z0-9]{12,20}",
    "Tencent Cloud Key": r"AKID[A-Za-z0-9]{32}",
    "NPM Token": r"npm_[A-Za-z0-9]{36}",
    "Mailgun Key": r"key-[0-9a-f]{32}",
    "Google OAuth Secret": r"GOCSPX-[A-Za-z0-9_-]{28}",
    "Databricks Token": r"dapi[0-9a-f]{32}",
    "Shopify Token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "Vault Token": r"hvs\.[A-Za-z0-9_-]{24,160}",
    "Groq Token": r"gsk_[A-Za-z0-9]{52}",
    "Replicate Token": r"r8_[A-Za-z0-9]{37}",
    "Notion Token": r"(?:ntn_|secret_)[A-Za-z0-9]{43,50}",
    "Grafana Token": r"gls?[ac]_[A-Za-z0-9]{32}_[0-9a-f]{8}",
    "New Relic Key": r"NRAK-[A-Z0-9]{27}",
    "Postman Key": r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    "DigitalOcean Token": r"do[opr]_v1_[0-9a-f]{64}",
    "Figma Token": r"figd_[A-Za-z0-9_-]{40,60}",
    "Linear Key": r"lin_api_[A-Za-z0-9]{40}",
    "Supabase Token": r"sbp_[0-9a-f]{40}",
    "Netlify Token": r"nfp_[A-Za-z0-9]{36,44}",
    "Doppler Token": r"dp\.[a-z]{2}\.[A-Za-z0-9]{40,44}",
    "PlanetScale Token": r"pscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.-]{32,64}",
    "RubyGems Key": r"rubygems_[0-9a-f]{48}",
    "Atlassian Token": r"ATATT3[A-Za-z0-9_=-]{80,260}",
    "Slack App Token": r"xapp-\d-[A-Z0-9]{8,14}-\d{10,16}-[0-9a-f]{64}",
    "Perplexity Key": r"pplx-[A-Za-z0-9]{48}",
    "xAI Key": r"xai-[A-Za-z0-9]{80}",
    "age Secret Key": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
}
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

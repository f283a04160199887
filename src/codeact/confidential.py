"""Secrets and personal data in a text: keys and tokens, passwords written into code, e-mail addresses.

The rules for keys and for names that hold a password are those of detect-secrets (https://github.com/Yelp/detect-secrets),
without its entropy rules, which take hashes and identifiers for secrets, and without its checks over the network. What is
found is then asked whether it is a placeholder. Nothing here returns, prints or keeps what was found: only its kind and place.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codeact.addresses import addresses, is_signed
from codeact.code_places import is_in_code, is_of_other_file, names_people
from codeact.config import SECRET_KINDS, SecretKind
from codeact.credentials import KEYS_BY_FORM, keys_of, passwords_of
from codeact.example_code import is_asserted, is_credited, is_example, is_example_path
from codeact.placeholders import EXAMPLE_DOMAIN, EXAMPLE_TALK, is_address, is_cipher, is_made_up, is_nobody, is_shown
from codeact.records import Record, called_texts

_PATHS = ("file", "path", "file_path", "filepath", "filename", "file_name")  # columns that say where a row's code lies
PIECE_CHARACTERS, OVERLAP = 1_500, 500
MIN_PASSWORD, MIN_KEY, MIN_KEY_LETTERS, NAME_CHARACTERS, NEAR, DAY = 6, 16, 10, 60, 400, 86_400
# Kinds of which detect-secrets has no rule that fits: done here, or no secret.
_OTHER_RULES = (
    "Basic Auth Credentials", "JSON Web Token", "Private Key", "Public IP (ipv4)",
    "NPM tokens", "OpenAI Token",  # quadratic
    "Artifactory Credentials",  # "AP" and nine letters
)  # fmt: skip
_BY_NAME = ("IBM", "Cloudant", "SoftLayer")  # any letters behind a name
_SHORT_HOOK = re.compile(r"^(?:https?://)?hooks\.slack\.com/services/(?![^/]+/[^/]+/\w{20})")
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{2,}\.[\w-]{8,}")
_PRIVATE_KEY = re.compile(r"(?:BEGIN (?:[A-Z0-9]{1,10} ){0,2}PRIVATE KEY(?: BLOCK)?-{4,5}|PuTTY-User-Key-File-\d)")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{40,}")
_URL_PASSWORD = re.compile(r"://[^\s:/@'\"<>]{0,64}:([^\s/@'\"<>;]{3,128})(?:;[\w=;*]{0,64})?@([\w.-]{1,128})")
# Words that are parts of others too (StatusEnhancements holds senha) begin a word, or a part of one with a capital.
_SHORT_WORDS = r"(?:(?<![a-z])(?:senha|has[lł]o|parola|[sş]ifre|heslo)|(?-i:Senha|Has[lł]o|Parola|[SŞ]ifre|Heslo))"
_PASSWORD_NAME = re.compile(
    r"pass(?:word|wd|phrase|wort)|(?<![a-z])pass(?![a-z])|(?-i:Pass(?![a-z]))|(?:db|database|key)_?pass|pwd|contrase|密码|密碼|口令|пароль|パスワード|"
    rf"비밀번호|mot_?de_?passe|\bmdp\b|kennwort|wachtwoord|l[oö]senord|{_SHORT_WORDS}",
    re.IGNORECASE,
)
_NO_PASSWORD_NAME = re.compile(
    r"hash|digest|encrypt|\benc_|cipher|salt|checksum|md5|sha\d|regex|pattern|prompt|label|placeholder|message|error|field|ur[il]|path|policy|"
    r"scheme|length|algorithm|encoder|type\b|file\b|format|strength|expir|timeout|ttl\b|reset|arn\b|secret_?name|tokenizer|example|sample|(?:link|page|next|[cx]srf\w*|cancel\w*)_?token|"
    # What stands behind the word itself makes it something about a password.
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)[_-]?(?:prefix|suffix|date|revision|created|updated|last|callback|column|header|param|"
    r"property|attr|store_|title|description|text|help|hint|rule|valid|dialog|button|icon|widget|class|module|command|option|mode|version|"
    r"state|status|event|action|index|count|group|kind)",
    re.IGNORECASE,
)
# All that a tool answers that was asked to make one up.
_LONE_PASSWORD = re.compile(r'\s*\{\s*"\w{0,20}password\w{0,20}"\s*:\s*"[^"]*"\s*\}\s*', re.IGNORECASE)
# Names that detect-secrets does not know, and values without quotes as shells and settings files have them.
_FURTHER_WORDS = (
    r"(?:passphrase|passwort|kennwort|mot_?de_?passe|пароль|密码|密碼|口令|密钥|密鑰|パスワード|비밀번호|"
    rf"wachtwoord|l[oö]senord|token(?!s)|{_SHORT_WORDS})"
)
_FURTHER_NAMES = re.compile(
    rf"{_FURTHER_WORDS}"
    r"\w{0,20}[\]'\"]{0,2}\s{0,3}(?:=>|:=|={1,3}|:|：)\s{0,3}['\"`“]([^\s'\"`“”]{6,128})['\"`”]",
    re.IGNORECASE,
)
# Settings files, shell lines, connection strings and XML, where a value stands without quotes. A bracket makes it code.
_SETTING_NAME = r"[\w.-]{0,40}(?:password|passwd|passphrase|pwd|secret|api[_-]?key|token(?!s)|密码|密碼|口令|密钥|пароль)[\w.-]{0,20}"
_PLAIN_VALUE = r"((?:(?!&\w+=)[!-~](?<![\"'`,;<>(){}\[\]])){6,128})"
_UNQUOTED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w$.-]){_SETTING_NAME}={_PLAIN_VALUE}(?=[\s;&]|['\"`]|$)",
        rf"^[\s#>*-]{{0,24}}{_SETTING_NAME}\s?[:=：]\s{{0,3}}{_PLAIN_VALUE}(?:\s+#.*|\s*)$",
        rf"<{_SETTING_NAME}>\s?{_PLAIN_VALUE}</",
    )
)
# A token of which the name does not say what it opens is as often of a link, a form or a page.
_TOLD_TOKEN = re.compile(
    r"(?:access|auth|api|bot|private|personal|refresh|secret|bearer|hub|gitlab|slack|app|user|admin|master)[_ -]?token|secret|(?<!mon)key", re.IGNORECASE
)
_VARIABLE = re.compile(r"\$[A-Za-z_{(]|^\$|%\w+%|%[({]|\\$|^!?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$")
_SUM = re.compile(r"[\w.]+(?:[-+*/%|&^]{1,2}[\w.]+)+")
# A UUID by time without its dashes, or made up in its form; a number in hexadecimal; a date; a path; a name of a setting; a token's first part.
_PLAIN_THING = re.compile(
    r"[0-9a-f]{12}1[0-9a-f]{3}[89ab][0-9a-f]{15}|[0-9a-z]{8}(?:-[0-9a-z]{4}){3}-[0-9a-z]{8,16}|0x[0-9a-f_]{1,16}[ul]*|\d{4}-\d\d-\d\d(?:[T ][\d:.]+\S*)?|"
    r"arn:[\w-]*:.*|[A-Za-z]:\\.*|[A-Za-z_]{4,}\([\w=]*|[.~]{0,2}(?:/[\w.-]+){2,}/?|[A-Za-z_.]+=|eyJ[\w-]+\.?", re.IGNORECASE,
)  # fmt: skip
_PATTERN = re.compile(r"^[a-z_]\w*(?:\.[a-z_]\w*){2,}$|\\[dwsWSD]|\(\?|\.[*+]|\[\^|\w\|\w+\)")  # a name with its parts, a regular expression
# A token in an answer of a server, as documentation shows it: it ends within the hour.
_SHORT_LIVED = re.compile(r"[\"'](?:access|refresh|id|session)_?token[\"']\s*:", re.IGNORECASE)
_CLASSES = tuple(map(re.compile, ("[a-z]", "[A-Z]", r"\d", r"[^\w.]")))
_WORD = re.compile(r"\w[\w.-]*")
_SYLLABLES = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")


SECRET, PERSONAL = "secret: ", "personal data: "
PRIVATE_KEY = f"{SECRET}Private Key"
ADDRESS = f"{PERSONAL}e-mail address"


@dataclass(frozen=True, slots=True)
class Finding:
    """What kind of secret stands where, never what it is.

    Attributes:
        reason: "secret: AWS Access Key", "secret: password", "personal data: e-mail address", ...
        detail: the part of the record and the line in it.
    """

    reason: str
    detail: str


def is_confidential(reason: str) -> bool:
    """Whether a reason of the ledger is one of those that `find_confidential` gives."""
    return reason.startswith((SECRET, PERSONAL))


def find_confidential(record: Record, kinds: Sequence[SecretKind], documented: bool = False) -> Finding | None:
    """The first secret in what a record says, its system text, reasoning, tools and calls included.

    Args:
        kinds: "keys" (keys and tokens of services, private keys), "passwords" (in code, settings and URLs), "emails".
        documented: the user's turn is a function's documentation. What it shows as an example of use is nobody's, but for keys
            whose form gives them away.

    Certain is what stands in a program. In settings, data and prose, in tests, and where the row's path says that it is one or an
    example, what has no form that gives it away is no finding but possible, see `find_possible`.
    """
    return find_possible(record, kinds, documented)[0]


def find_possible(record: Record, kinds: Sequence[SecretKind] = SECRET_KINDS, documented: bool = False) -> tuple[Finding | None, Finding | None]:
    """The first that is certain, and the first before it that is only possibly a secret or somebody's address; arguments as of `find_confidential`."""
    possible = None
    for finding, certain in every_finding(record, kinds, documented):
        if certain:
            return finding, possible
        possible = possible or finding
    return None, possible


def every_finding(record: Record, kinds: Sequence[SecretKind], documented: bool) -> Iterator[tuple[Finding, bool]]:
    """All that is found, place by place, and whether each is certain. `documented`: the record was made of documentation."""
    if not kinds:
        return
    parts = [(f"{m.role} turn", text) for m in record.messages for text in (m.content, m.reasoning, m.tool_calls)]
    # within JSON, quotes and line ends are escaped, and no rule for code sees them
    parts += [("text of a call", text) for m in record.messages for text in called_texts(m.tool_calls) if "\n" in text or '"' in text]
    path = next((str(record.meta[name]) for name in _PATHS if record.meta.get(name)), "")
    example_path = is_example_path(path)
    for where, text in [*parts, ("tools", record.tools)]:
        example: bool | None = None
        for reason, position, certain in _search(text, kinds):
            if documented and where == "user turn" and _can_be_shown(reason) and is_shown(text, position, reason.startswith(PERSONAL)):
                continue
            if certain and (_can_be_shown(reason) or reason == PRIVATE_KEY):
                example = example_path or is_example(text) if example is None else example
                certain = _counts(reason, text, position, path, example, documented)
            yield Finding(reason, f"{where}, line {text.count(chr(10), 0, position) + 1}"), certain


def _counts(reason: str, text: str, position: int, path: str, example: bool, documented: bool) -> bool:
    """Whether it stands where what people write is mostly real: in a program or its documentation, no test of it; an address also where its
    owner is named."""
    address = reason == ADDRESS
    if address and is_credited(text, position):
        return True
    quoted = not address or text[position - 1 : position] in ('"', "'", "`")
    if example or (quoted and is_asserted(text, position)):
        return False
    if reason == PRIVATE_KEY:
        return not is_of_other_file(path)
    if address and (names_people(path) or (is_of_other_file(path) and is_signed(text, position))):
        return True
    return documented or is_in_code(text, position, path)


def _can_be_shown(reason: str) -> bool:
    """Whether nothing in its form, but what stands around it, makes it a secret."""
    return reason.startswith(PERSONAL) or reason.removeprefix(SECRET) in ("password", "key", "password in a URL", "JSON Web Token")


def _search(text: str, kinds: Sequence[SecretKind]) -> Iterator[tuple[str, int, bool]]:
    """(reason, position, whether it is certain) of what is found; linear in the text, since every rule sees a bounded piece of it at a time."""
    if "keys" in kinds:
        yield from _private_keys(text)
    for start, piece in _pieces(text):
        for kind in kinds:
            if kind == "emails":
                yield from ((ADDRESS, start + position, certain) for position, certain in addresses(piece))
            else:
                yield from ((reason, start + position, certain) for reason, position, certain in _RULES[kind](piece))


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Parts of the text that end at a line's end where one is near, else overlap."""
    start = 0
    while start < len(text):
        end = (
            text.rfind("\n", start + OVERLAP, start + PIECE_CHARACTERS) + 1
            if len(text) - start > PIECE_CHARACTERS
            else len(text)
        )
        cut = end <= 0
        yield start, text[start : start + PIECE_CHARACTERS if cut else end]
        start = start + PIECE_CHARACTERS - OVERLAP if cut else end


def _keys(piece: str) -> Iterator[tuple[str, int, bool]]:
    for label, pattern, is_valid in _key_rules():
        for match in pattern.finditer(piece):
            value = max(
                (group for group in match.groups() if group and len(group) >= MIN_KEY), key=len, default=match[0]
            )
            alone = not _joined(piece, match.start(), -1) and not _joined(piece, match.end(), 0)
            cut = re.match(r"\.\.\.|…|\*\*\*", piece[match.end() :]) or _has_pattern(match[0][:4], piece[max(0, match.start() - NEAR) : match.end() + NEAR])
            if alone and not cut and is_valid(value) and not is_made_up(value, 8) and not _SHORT_HOOK.search(match[0]):
                yield f"{SECRET}{label}", match.start(), True


def _has_pattern(begin: str, near: str) -> bool:
    """Whether a pattern for values that begin so stands near: code that looks for secrets, with a sample of each."""
    return re.search(rf"{re.escape(begin)}[\w-]{{0,12}}(?:\[[\w^\\-]+\]|\\[dw]|\(\?)", near) is not None


def _private_keys(text: str) -> Iterator[tuple[str, int, bool]]:
    """(reason, position, whether it is certain) of headers that a key's body follows, whatever joins its lines: code that reads keys names the header alone."""
    for match in _PRIVATE_KEY.finditer(text):
        after = re.sub(r"\\[nr]|['\"+,#]|\s*\n\s*", "", text[match.end() : match.end() + 800].partition("--END")[0])
        body = _KEY_BODY.search(after)
        if body and not re.match(r"\s?(?:\.|…)", after[body.end() :]) and len(set(body[0])) > 20 and all(re.search(part, body[0]) for part in ("[a-z]", "[A-Z]", r"\d")):
            before, behind = text[max(0, match.start() - 80) : match.start()], text[match.end() : match.end() + 80]
            # Settings that are commented out show where a key goes.
            yield PRIVATE_KEY, match.start(), not (re.search(r"(?:^|\n)[ \t]*#[# \t-]*$", before) and re.match(r"[^\n]*\n[ \t]*#", behind))


@functools.cache
def _key_rules() -> list[tuple[str, re.Pattern[str], Callable[[str], bool]]]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    rules: list[tuple[str, re.Pattern[str], Callable[[str], bool]]] = []
    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    for label, plugin in plugins.items():
        if issubclass(plugin, RegexBasedDetector) and label not in _OTHER_RULES:
            rules += [(label, pattern, _is_key if label.startswith(_BY_NAME) else bool) for pattern in plugin().denylist]
    rules += [(label, re.compile(pattern), bool) for label, pattern in KEYS_BY_FORM.items()]
    return [*rules, ("JSON Web Token", _TOKEN, _is_live_token)]


def _is_live_token(value: str) -> bool:
    """Whether a text is a JSON Web Token, and not the one that its documentation shows."""
    import base64

    from detect_secrets.plugins.jwt import JwtTokenDetector

    if not JwtTokenDetector.is_formally_valid(value):
        return False
    head, payload, _ = value.split(".", 2)
    if b"nkey" in base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)):  # the claims of an account of NATS, as its settings hold them
        return False
    claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    told = re.findall(r'"(?:sub|name|user_?name|login|email)" ?: ?"([^"]{1,80})', claims.decode("utf-8", "replace"), re.IGNORECASE)
    times = {name.decode(): int(value) for name, value in re.findall(rb'"(iat|nbf|exp)" ?: ?(\d{9,12})\b', claims)}
    if "exp" in times and times["exp"] - min(times.values()) in range(1, DAY):  # it ended within a day, as an address of a picture does
        return False
    return not re.search(rb"John Doe|1234567890|example", claims) and not (told and all(map(is_nobody, told)))


def _joined(piece: str, position: int, before: int) -> bool:
    """Whether a letter or digit stands right before or at the position: the match is part of something longer."""
    at = position + before
    return 0 <= at < len(piece) and piece[at].isascii() and piece[at].isalnum()


def _passwords(piece: str) -> Iterator[tuple[str, int, bool]]:
    for match in _URL_PASSWORD.finditer(piece):
        before = piece[max(0, piece.rfind("\n", 0, match.start())) : match.start()]
        if not EXAMPLE_DOMAIN.fullmatch(match[2]) and _is_chosen(match[1]) and not EXAMPLE_TALK.search(before):
            yield f"{SECRET}password in a URL", match.start(), True
    for position, value in passwords_of(piece):
        line = piece[piece.rfind("\n", 0, position) + 1 :].partition("\n")[0]
        if _is_chosen(value) and not (_is_reference(value) or _is_of_user(value, piece, position) or _is_stored(value) or EXAMPLE_TALK.search(line)):
            yield f"{SECRET}password", position, True
    for position, value in keys_of(piece):
        if _is_key(value) and not _is_reference(value):
            yield f"{SECRET}key", position, not _is_any_token(piece[position : piece.find(value, position)].rstrip())
    if _LONE_PASSWORD.fullmatch(piece):
        return
    name, values = _names()
    start = 0
    for line in piece.split("\n"):
        for value in values(line) if name.search(line) else ():
            before = " ".join(_WORD.findall(line[: line.find(value)][-NAME_CHARACTERS:])[-2:])
            if _NO_PASSWORD_NAME.search(before) or _is_reference(value) or EXAMPLE_TALK.search(line) or _SHORT_LIVED.search(line):
                continue
            if _PASSWORD_NAME.search(before) and _is_chosen(value) and not _is_of_user(value, piece, start) and not _is_stored(value):
                yield f"{SECRET}password", start, True
            elif not _PASSWORD_NAME.search(before) and _is_key(value):
                yield f"{SECRET}key", start, not _is_any_token(f"{before}=")
        start += len(line) + 1


@functools.cache
def _names() -> tuple[re.Pattern[str], Callable[[str], list[str]]]:
    """(what a name that holds a secret looks like, the values that a line gives such names)"""
    from detect_secrets.plugins.keyword import DENYLIST_REGEX, KeywordDetector

    detector = KeywordDetector()

    def values(line: str) -> list[str]:
        found = [*detector.analyze_string(line), *(match[1] for match in _FURTHER_NAMES.finditer(line))]
        return found + [m[1] for rule in _UNQUOTED for m in rule.finditer(line) if _is_plain_secret(m[0], m[1])]

    return re.compile(f"{DENYLIST_REGEX}|{_FURTHER_WORDS}", re.IGNORECASE), values


def _is_reference(value: str) -> bool:
    """A pattern, an address, a date, a path, or what detect-secrets' own filters leave out: a sequence, a UUID, a template, a variable, a mask."""
    from detect_secrets.filters import heuristic

    filters: tuple[Callable[[str], bool], ...] = (
        heuristic.is_sequential_string, heuristic.is_potential_uuid, heuristic.is_templated_secret,
        heuristic.is_prefixed_with_dollar_sign, heuristic.is_not_alphanumeric_string,
    )  # fmt: skip
    return "://" in value or _PATTERN.search(value) is not None or bool(_PLAIN_THING.fullmatch(value)) or is_address(value) or any(rule(value) for rule in filters)


def _is_plain_secret(setting: str, value: str) -> bool:
    """Whether a value without quotes is no variable, no name and no sum of names."""
    if _VARIABLE.search(value) or (re.search(r"\s=|=\s", setting) and _SUM.fullmatch(value)):
        return False
    name = setting[: len(setting) - len(value)].partition("=")[0]
    settled = setting.startswith("<") or ("=" in setting and name == name.upper() and re.search("[A-Z]", name))
    kinds = sum(kind.search(value) is not None for kind in _CLASSES)
    return kinds >= 3 or bool(settled and re.search(r"[A-Za-z]", value) and re.search(r"\d", value))


def _is_chosen(value: str) -> bool:
    """Whether a value looks chosen as a password: no blank, letters together with digits or signs, and no placeholder."""
    if len(value) < MIN_PASSWORD or re.search(r"\s", value):
        return False
    # Small letters alone around a sign name a thing (login#forgot), a sign at a word's end is a label, letters of syllables are a message.
    signs = re.search(r"\w[^\w./:-]+\w", value) and not value.islower()
    mixed = re.search(r"[^\W\d_]", value) and (signs or re.search(r"\d", value)) and len(_SYLLABLES.findall(value)) < 3
    return bool(mixed) and not is_made_up(value, 4)


def _is_key(value: str) -> bool:
    """Whether a value looks drawn by a machine: long, of many letters, digits all over it, or small and capital ones in no order."""
    changes = len(re.findall(r"[a-z](?![a-z])|[A-Z](?![A-Z])|\d(?!\d)", value))
    mixed = len(re.findall(r"\d+", value)) > 2 or (len(value) >= 24 and changes > 0.4 * len(value) and re.search(r"\d", value) is not None)
    long = value.isascii() and len(value) >= MIN_KEY and len(set(value)) >= MIN_KEY_LETTERS and not re.search(r"(.)\1{4,}", value)
    return long and mixed and not re.search(r"\s", value) and not is_made_up(value, 8)


def _is_any_token(name: str) -> bool:
    """Whether a name, with the sign behind it, says of a token not what it opens; a header of HTTP has no such sign."""
    return "token" in name.lower() and re.search(r"[^\w.-]$", name) is not None and _TOLD_TOKEN.search(name) is None


def _is_stored(value: str) -> bool:
    """Whether a value is what a program keeps in a password's place: its hash in hexadecimal, or a cipher."""
    return is_cipher(value) or (len(value) in (32, 40, 56, 64, 96, 128) and re.fullmatch("[0-9a-f]+", value, re.IGNORECASE) is not None)


def _is_of_user(value: str, text: str, position: int) -> bool:
    """Whether a password is a word that stands near it and a number, as examples have them: alice, alice123."""
    stem = re.sub(r"[\W\d_]+$", "", value)
    near = text[max(0, position - NEAR) : position + NEAR].replace(value, " ")
    return 3 <= len(stem) < len(value) and re.search(rf"(?<![^\W\d_]){re.escape(stem)}(?![^\W\d_])", near, re.IGNORECASE) is not None


_RULES: dict[SecretKind, Callable[[str], Iterator[tuple[str, int, bool]]]] = {"keys": _keys, "passwords": _passwords}

"""Whose e-mail address is it? Only what something in the line says to be a person's or a mailbox in use is certain.

An address that a line of code shows is often an example, the name of a program or of a list. So there are three answers: made up
or no address at all (nothing is said), certain, and possible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from codeact.placeholders import EXAMPLE_DOMAIN, EXAMPLE_TALK, FREE_MAIL, ROLE, TOP_LEVEL, is_drawn_number, is_made_up

_LETTER = r"A-Za-zÀ-ɏͰ-ӿ"
_LABEL = rf"{_LETTER}0-9一-鿿ぁ-ヿ가-힣-"
_TOP = r"(?:xn--[a-z0-9-]{2,40}|[a-z]{2,18}|рф|рус|укр|бел|срб|ελ|ею|中国|中國|公司|网络|网址|香港|台灣|台湾|商城|한국|みんな)"
_ADDRESS = re.compile(
    rf"(?<![{_LETTER}0-9.+%@-])((?:[{_LETTER}0-9]|(?<=[\"'<`])[一-鿿가-힣]{{2,4}}(?=@))[{_LETTER}0-9_.+%'-]{{0,63}})?@"
    rf"((?:[{_LABEL}]{{1,63}}\.){{1,5}}{_TOP})(?![A-Za-z0-9_@-])(?!\.\w)", re.IGNORECASE,
)  # fmt: skip
_LEAD, _AFTER = 160, 40
# Not for mail: a host's account, a handle, a part of a message, a path.
_OTHER_SCHEME = re.compile(
    r"(?:\b(?:sips?|xmpp|acct|jid|cid|mid|im|ssh|scp|rsync|sftp|git|svn|hg|matrix|mastodon|fediverse|jabber)[\s:=\"'(<]{1,3}\S{0,20}"
    r"|://\S*|\b(?:message-?id|msg-?id|in-reply-to|references|content-id|principal|lore\.kernel\.org)\b.{0,60}|[@!\\$}~]|\*{3}|%\w?)$",
    re.IGNORECASE,
)
_NO_END = re.compile(r":[\w/~]|/\w|[({$]|%\w|\.git\b|\\(?![nrt])")
_MESSAGE_ID = re.compile(r"(?=.*\d{6})(?=.*[A-Za-z.])[\w.%+-]{18,}|\w{32,}|[0-9A-F]{6,}\.\d{4,}")
_NUMBERED = re.compile(r"(?:qq|163|126|139|189|yeah|sina|foxmail|naver)\.(?:com|net|cn)", re.IGNORECASE)  # where addresses are numbers
_ACADEMIC = re.compile(r"\.(?:edu|ac)(?:\.\w\w)?$|(?:^|\.)(?:uni|tu|fh|hs)-|(?:^|\.)univ|\bethz\.ch$", re.IGNORECASE)
_NO_PERSON = re.compile(
    r"(?:gserviceaccount|amazonses|appspot|ethereal|mailtrap|mailinator|sharklasers|guerrillamail)\.|(?:^|\.)(?:iam|calendar|chat|conference|muc)\.",
    re.IGNORECASE,
)
# Who somebody is: what stands before the address of an author, or of one who is to be written to.
_OWNED = re.compile(
    r"(?<![a-z])(?:(?:co-?)?authors?|maintain(?:er|ed)\w*|copyright|committers?|signed-off-by|(?:acked|reviewed|tested|suggested|reported|contributed|written|"
    r"created|developed|implemented|modified|patch(?:ed)?|ported|provided|submitted|maintained|fix(?:ed)?|found|noticed|inspired|owned|rewritten|based on work)\s+by|"
    r"by [A-Z]\w+|contributors?|credits?|thanks|thx|courtesy|kudos|wrote|contact\w*)(?![a-z])|mailto:|\(c\)|©|@author|_?author_?_?e?mail|maintainer_?e?mail"
    r"|作者|联系|聯絡|邮箱|邮件|電子郵件|连絡|連絡|メール|메일|이메일|연락|автор|почт|контакт|\b(?:auteur|autor|autore|verfasser|kontakt|contacto|correo|courriel)\b",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"\b(?:reach\w*(?: (?:me|us|out))?|patch(?:es)?|bugs?|(?:send|write|mail|report|comments?|questions?|feedback|inquiries) (?:\w+ ){0,5}to"
    r"|e-?mail (?:me|us)|(?:me|us) (?:at|via))\b",
    re.IGNORECASE,
)
_MAILED = re.compile(
    r"mail|recipient|sender|(?:^|[^a-z])(?:to|cc|bcc|reply_?to|from)_?(?:addr\w*)?[\"']?\s{0,2}[:=(\[]|notif|subscri|invite|smtp|邮|メール|메일", re.IGNORECASE
)
_EXAMPLE = re.compile(
    r"\b(?:examples?|sample|demo|fixtures?|mock\w*|dummy|fake|placeholder|such as|like|ie|i\.e\.|doctest|assert\w*|expect\w*|should|faker?)\b|>>>|==>|-->|=>\s*[\"']"
    r"|示例|样例|示範|测试"
    r"|\b(?:beispiel|exemple|ejemplo|esempio|exemplo|пример)\b",
    re.IGNORECASE,
)
_WORD = rf"[A-ZÀ-ÞΑ-ΩЀ-Я][{_LETTER}.'’-]*"
_NAME = re.compile(
    rf"(?<![\w])({_WORD}(?:[ \t]+(?:[\"(][^\")]{{1,24}}[\")][ \t]+)?"
    rf"(?:(?:van|von|de|del|della|der|den|la|le|da|do|dos|di|bin|al|el|ten|ter|zu)[ \t]+){{0,2}}{_WORD}){{1,4}}"
    r"|[一-鿿]{2,4}|[가-힣]{2,4})[\"'”]?[ \t]*(?:\(@?[\w-]+\))?[,:：|-]?[ \t]*[\"']?(?:<|\(|\[|&lt;|（|<a href=.?mailto:)?[ \t]*(?:e-?mail:?[ \t]*)?$"
)
_QUOTES = tuple(map(re.compile, ('(?<!\\\\)"', "`", r"(?<!\w)'|(?<!\\)'(?!\w)")))  # no apostrophe
_COMMENT = re.compile(r"(?:^|\s)(?://|#|/?\*{1,2}|--|;|%|<!--|dnl|REM|\"\"\"|''')(?:[\s*#/!@-]|$)")
_CODE = re.compile(r"[=;{}]|\b(?:return|def|class|import|if|for|in|not|var|let|const|new)\b|\w\(")
_TRIED = re.compile("group|l10n|i18n|transl|list$|test|demo|fake|dummy|sample|support|admin|notif|project|release|noreply", re.IGNORECASE)
_ABSTRACT = re.compile("(?:tion|sion|(?<!cle)ment|ness|ship|ware)s?$")
# What programs, lists and examples are called; a person is called otherwise.
_WORDS = frozenset((
    "account accounts active admin administrator agent alert alerts alive alpha announce api app apps archive asia auth auto backup bad bank bar "
    "batch bcc beta blog board book bot bounce box bug bugs bugzilla build business buy cat cats cc cert chat check ci city client cloud cluster "
    "code collaboration commit commits company config connect contact coordination core corp cpp cron customer customers daemon data db debug "
    "default delta demo deploy desk dev devel developer developers devs digital docs dog dogs domain dummy email empty error errors event events "
    "example export fake feed file first firstname forum foundation free from full game gamma get git global gnome go good group guest help home "
    "hook host i18n id import in index info input install int internal invalid invoice issue issues it java job jobs joe js kde keep keepalive key "
    "superadmin superuser sysadmin moderator operator coc conduct marketing opendata schema press legal jubao kefu hotline service library journal editor editors "
    "l10n last lastname lib linux list lists local log login mail mailer mailing main maintainer maintainers manager master media member message "
    "mod monitor my name network new news nobody node noreply normal not notifer notification notifications notifier notify null office one online "
    "open order org other owner package packages page party patch patches pay paypal phone php play post press primary private pro project projects "
    "public py python query queue receive receiver recipient record release releases remote reply report reporter reports request research robot "
    "root rust sales sample sdk search second secret secure security send sender server service services shop signup site soft software some source "
    "spam staff store student students sub support sync sys system systems tag tags task teacher team teams tech temp temporary test tester testing "
    "tests the third three ticket tickets to token tool tools translation translations translators two unix unknown update updates user username "
    "users valid value vendor verify video void web webmaster wiki windows work worker world wrong www x y your zero"
).split())  # fmt: skip
_SUFFIXES = frozenset("png jpg jpeg gif svg webp pdf js css html json xml zip".split())  # of files, which look like addresses: icon@2x.png
_ACTORS = frozenset("alice bob carol charlie dave eve mallory trent john jane".split())  # alone, of every example; with another name perhaps somebody
# First names that examples are made of; alone they are nobody's.
_FIRST = frozenset((
    "adam alan albert alex alexander alfred ana andrea andrew andy ann anna anne anthony arthur barbara ben betty bill billy brad brian bruce cathy "
    "charles chris christine cindy claire dan daniel david debbie diana don donald doug ed eddie edward elena ellen emily emma eric erik fiona "
    "frank fred gary george greg harry helen henry hugo ian jack james jan jason jeff jen jenny jerry jill jim jimi jimmy joan john jon jose joseph "
    "juan julia julie karen kate kathy kelly ken kevin kim larry laura lee leo linda lisa lisi liz loki louis lucy luke lynn marc maria marie mark "
    "martha martin mary matt max michael mickey mike ming mona monica nancy nick nina olivia oscar pam pat patrick paul pedro pete peter phil "
    "rachel ralph ray rene rich richard rick rob robert ron rose roy ruth sally sam samantha sandra sandy sara sarah scott sean simon sophie stan "
    "stephen steve steven sue susan ted terry thomas tim tobi toby todd tom tommy tony victor victoria wangwu will william xiaohong xiaoming "
    "zhangsan zoe"
).split())  # fmt: skip


def addresses(piece: str) -> Iterator[tuple[int, bool]]:
    """(position, whether it is certain) of each e-mail address that was not plainly made up."""
    if "@" not in piece:
        return
    for match in _ADDRESS.finditer(piece):
        local, domain = match[1] or "", match[2]
        start = match.start()
        line_start = piece.rfind("\n", 0, start) + 1
        lead = piece[max(line_start, start - _LEAD) : start]
        after = piece[match.end() : match.end() + _AFTER].partition("\n")[0]
        if lead.endswith("\\") and local[:1] in ("n", "r", "t"):  # a line's end or a tabulator
            local, lead = local[1:], lead[:-1]
        if not _is_open(local.strip("'"), domain, lead, after):
            continue
        above = piece[piece.rfind("\n", 0, max(0, line_start - 1)) + 1 : max(0, line_start - 1)]
        yield start, _is_certain(local.strip("'"), domain, lead, above, after)


def is_signed(text: str, position: int) -> bool:
    """Whether a name and an open bracket stand before the address there: Wei Zhang <wei@...>."""
    lead = text[max(text.rfind("\n", 0, position) + 1, position - _LEAD) : position]
    return lead.endswith(("<", "&lt;", "(", "mailto:")) and _NAME.search(lead) is not None


def _is_open(local: str, domain: str, lead: str, after: str) -> bool:
    """Whether this may be somebody's at all: no placeholder, no role, no account of a host, no part of a path or a message."""
    top = domain.rpartition(".")[2].lower()
    mailed = re.search(r"<$|mailto:$", lead)
    if not local or not re.search(rf"[{_LETTER}0-9一-鿿가-힣]", local):
        return False
    if top.isascii() and top not in TOP_LEVEL and not (top.startswith("xn--") or (mailed and top not in _SUFFIXES)):
        return False
    if EXAMPLE_DOMAIN.fullmatch(domain) or _NO_PERSON.search(domain) or ROLE.fullmatch(local) or _MESSAGE_ID.fullmatch(local):
        return False
    if local.endswith((".", "-")) or ".." in local or "%" in local or _NO_END.match(after) or EXAMPLE_TALK.search(lead):
        return False
    if domain.isupper() and not local.isupper():  # a principal of Kerberos
        return False
    if lead.endswith("/") and not re.search(r"(?:^|[\s/])(?://|/\*)$", lead):
        return False
    return (mailed is not None and "://" not in lead[-12:]) or not _OTHER_SCHEME.search(lead)


def _is_certain(local: str, domain: str, lead: str, above: str, after: str) -> bool:
    if local.isdecimal() and not _NAME.search(lead):
        return local[0] != "0" and 7 <= len(local) <= 11 and _NUMBERED.fullmatch(domain) is not None and is_drawn_number(local)
    name = _NAME.search(lead)
    names = [] if name is None else [word for word in re.split(r"[\s.-]+", _plain(name[1])) if word]
    if {"mustermann", "bloggs"} & set(names):
        return False
    if any(word in _WORDS or word in ("foo", "doe", "joe") for word in names):
        names = []
    agreed = _agree(names, local)
    parts = [part for part in re.split(r"[._+-]|(?<=[a-z])(?=[A-Z])", local.partition("+")[0]) if part]
    words = [_plain(part).rstrip("0123456789") for part in parts]
    labels = {label for label in re.split(r"[.-]", domain.lower()) if len(label) > 2}
    long = {word for word in words if len(word) > 1}
    called = bool(long & _WORDS or set(words) & labels) or any(_ABSTRACT.search(word) or ROLE.fullmatch(word) for word in long - _FIRST - _ACTORS)
    called = called or (len(words[0]) > 3 and len(words) == 1 and any(label.startswith(words[0]) for label in labels))
    if (called and not (agreed or len(names) > 1)) or re.search("[-_]l$", local, re.IGNORECASE):
        return False
    quoted, noted = any(len(mark.findall(lead)) % 2 for mark in _QUOTES), _COMMENT.search(lead) is not None
    asked = _ASKED.search(lead) is not None and (len(words) > 1 or words[0] not in _FIRST)
    below = not lead.strip(" \t*#/-<(") and _OWNED.search(above) is not None
    owned = asked or below or _OWNED.search(lead) is not None
    if _EXAMPLE.search(lead) and not owned:
        return False
    if agreed or owned:
        return not (quoted and noted and not (agreed or _MAILED.search(lead)))
    if quoted and noted:  # a comment that shows a value
        return False
    prose = not quoted and (noted or not _CODE.search(lead))
    if names and prose:
        return True
    if _is_persons(words, parts, domain, local):
        return quoted or prose or lead.endswith((" ", "=", ":", "<", "(", "["))
    alone = len(words) == 1 and words[0].isalpha() and len(words[0]) > 2
    if prose and alone and (noted or words[0] not in _FIRST):
        return len(domain) > 6 and (noted or not FREE_MAIL.fullmatch(domain))
    if alone and _ACADEMIC.search(domain) and words[0] not in _FIRST:
        return True
    mailed = _MAILED.search(lead + after) is not None and all(word.isalpha() for word in words)
    return mailed and words[0] not in _FIRST and len(words[0]) > 2 and not _named_so(words[0], lead)


def _is_persons(words: list[str], parts: list[str], domain: str, local: str) -> bool:
    """Whether it is put together as people's addresses are: of two names, or of enough letters where anybody has an address."""
    if is_made_up(local, 3) or _TRIED.search(local) or (not local.isascii() and not local.isalpha() and len(words) == 1):
        return False
    if FREE_MAIL.fullmatch(domain):
        return (not is_made_up(local, 4) and words[0] not in _FIRST and len(re.sub(r"[\W_]", "", local)) >= (8 if local.isalpha() else 6)) or _two_names(words, local)
    return _two_names(words, local) or (len(parts) == 1 and parts[0] != words[0] and len(words[0]) > 2 and words[0].isalpha() and words[0] not in _FIRST)


def _two_names(words: list[str], local: str) -> bool:
    named = 2 <= len(words) <= 4 and all(word.isalpha() for word in words) and max(map(len, words)) > 2 and len(words[-1]) > 1 + ("_" in local)
    return named and (re.search("[._]", local) is not None or not re.search(r"\W", local))


def _agree(names: list[str], local: str) -> bool:
    """Whether a part of a name, or its letters, are in the address."""
    plain = re.sub(r"[\W\d_]", "", _plain(local))
    if len(names) < 2 or not plain:
        return False
    initials = "".join(name[0] for name in names)
    return any(len(name) > 2 and name in plain for name in names) or plain == initials or any(plain.startswith(name[:4]) for name in names if len(name) > 4)


def _named_so(word: str, lead: str) -> bool:
    """Whether the same word stands beside it as a name: a row of a table of examples."""
    return re.search(rf"name[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"'`]{re.escape(word)}[\"'`,]", lead, re.IGNORECASE) is not None


def _plain(text: str) -> str:
    """Small letters without their marks."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))

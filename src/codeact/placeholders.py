"""Is it a placeholder? What people make up for examples: values, names, addresses, domains."""

from __future__ import annotations

import re

_COUNTED = re.compile(r"[A-Za-z]+[@!#._-]?123456\d*")  # a name and the figures in order: what an installation begins with
# A value that a sentence gives as an example is nobody's.
EXAMPLE_TALK = re.compile(
    r"\be\.\s?g\.|\bfor (?:example|instance)\b|例如|比如|举例|例えば|예를 들어|\bz\.\s?B\.|\bpar exemple\b|\bp\. ?ej\.|\bpor ejemplo\b|например",
    re.IGNORECASE,
)
# Lines of documentation that show what is typed or sent, and words above them that say so.
_SHOWN_LINE = re.compile(r"^(?:\s|>>>|\.\.\.|\$ |> |\||curl |(?:GET|POST|PUT|DELETE|PATCH) )|`|<code>|&\w+=|\bHTTP/\d")
_SHOWN_AFTER = re.compile(r"\b(?:examples?|usage|sample|such as|like this|looks like|request|response)\b|示例|样例|用法|如下|使用例", re.IGNORECASE)
# What stands before the address of somebody whom documentation names.
_NAMED = re.compile(
    r"<|mailto:|\b(?:authors?|contact|maintain\w*|committer|signed-off-by|copyright|written by|contribut\w*|credits?|thanks|thx|courtesy|reported|"
    r"suggest\w*|patch|bugs?|write to|email me|questions|by [A-Z][\w.]+ [A-Z])|©|作者|联系",
    re.IGNORECASE,
)
_QUOTES = tuple(map(re.compile, ('"', "`", r"(?<!\w)'|'(?!\w)")))  # no apostrophe
_KNOWN = re.compile(r"(?:\w{0,8}[-_])?(?:s3cr3t|secr3t|s3cret|p4ssw[o0]rd|pa55w[o0]rd)[\d!]{0,3}", re.IGNORECASE)  # of every tutorial
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,}={0,2}")
# Parts of values that people make up for an example, and of names of settings.
_FILLER = re.compile(
    "|".join(sorted((
        "example sample dummy fake test testing placeholder changeme change your yours my mine some super secure strong very new old the this is here not real "
        "password passwd passwort passphrase pass pwd secret secrets key keys token tokens api auth oauth access private public client service account "
        "admin administrator user username name root guest login email mail mysql postgres postgresql mongo mongodb redis rabbit rabbitmq db database sql server "
        "enter value string host localhost demo foo bar baz qux abc xyz hello world default letmein trustno welcome "
        "qwerty qwert asdf asd zxc 1q2w3e4r 1q2w3e q1w2e3 1qaz 2wsx 3edc qaz wsx bla temp tmp todo insert replace scott tiger orig original "
        "alice bob carol charlie dave eve john jane doe jdoe joe sha md5 aes rsa hmac pbkdf bcrypt hash base utf ascii random generated long id uuid env var"
    ).split(), key=len, reverse=True)), re.IGNORECASE,
)  # fmt: skip
_ELLIPSIS = re.compile(r"\.\.\.|…|\*{3}|<|>|\{|\}|\$\(|%[sd(]|x{4}|X{4}|\\[unx]|_{3}")
EXAMPLE_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example\d?|test|invalid|localhost|local|internal)(?:\.\w+){0,2}"
    r"|[a-wyz]\.(?:com|org|net)|(?!(?:mail\.ru|email\.cz)$)(?:.*\.)?(?:my|your|our|some|the|a|an|other|another)?-?(?:domain|company|corp|organi[sz]ation|email|mail|host|server|site|website|sample|"
    r"business|school|university|"
    r"store|shop|place|provider|service|acme|foo|bar|baz|qux|quux|spam|eggs|ham|blah?|xyz|abc|(?:some|no|any|else|every)where|isp|demo|hostname|mailhost|smtp|hello|"
    r"malicious|evil|attacker|github|gitlab|bitbucket)\d?(?:\.(?:com?|org|net|ac|edu|gov))?\.\w+"
    r"|.*\.(?:windows|azure)\.net|(?:.*\.)?(?:no-?reply|lists?|listserv|mailman|groups|googlegroups|yahoogroups)(?:\.[\w-]+){1,3}|mail\.gmail\.com|(?:group|resource)\.calendar\.google\.com|"
    r"(?:.*\.)?(?:atlanta|biloxi)\.com|(?:.*\.)?(?:capulet|montague|shakespeare)\.(?:com|net|org|lit)|(?:openssh|libssh)\.\w+|(?:.*[.-])?(?:fake|dummy|sample|bogus)(?:[.-].*)?",
    re.IGNORECASE,
)
ROLE = re.compile(
    r"(?:(?:my|your|the|some|his|her)[._-]?)?(?:e?mail|address|name|user(?:name)?|admin|root|info|contact|support|help|sales|marketing|office|team|hr|jobs|careers?|press|worker|bot|ci|"
    r"news(?:letter)?|billing|alerts?|notifications?|updates?|services?|feedback|enquir(?:y|ies)|inquir(?:y|ies)|hello|hi|"
    r"no-?reply|do-?not-?reply|postmaster|webmaster|hostmaster|abuse|security|sender|from|to|recipient|receiver|boss|me|you|someone|somebody|anyone|person|container|"
    r"tenant|guest|member|student|employee|victim|hacker|bad_?guy|spammer|scammer|"
    r"(?:sender|receiver|recipient|from|to|your|my)[._-]?e?mail(?:[._-]?(?:id|address))?|customer|client|dev|devs|users?|lists?|announce|community|privacy|datenschutz|legal|hey|ask|"
    r"test(?:er|ing|[A-Z_]\w{0,20})?|demo|example|beispiel|exemple|ejemplo|esempio|exemplo|przyklad|primer|sample|dummy|fake|foo|bar|baz|abc|xyz|"
    r"\w[\w.-]*[-_.](?:dev(?:el)?|users?|discuss(?:ion)?|lists?|announce|bugs?|help|patches|security|requests?|sig|owner|maintainers?|team|support|info|admin|"
    r"hackers?|talk|core|general|commit(?:s|ters)?|interest|coders|daemon|bounces?)|(?:en|de)crypted|signed|anonymous|unknown|nobody|system|daemon|mailer|bounces?|robot|"
    r"tmp|temp|first[._-]?name(?:[._-]?last[._-]?name)?|fred|barney|wilma|waldo|fnord|spam|eggs|(?:joe|j)[._-]?bloggs|john[._-]?(?:smith|appleseed)|(?:homer|bart|marge|lisa)(?:[._-]?simpson)?|"
    r"(?:luke[._-]?skywalker|darth[._-]?vader|harry[._-]?potter|peter[._-]?parker|tony[._-]?stark|bruce[._-]?wayne|clark[._-]?kent|mario[._-]?rossi|"
    r"jan[._-]?kowalski|juan[._-]?perez|fulano|pippo|hans[._-]?mustermann|romeo|juliet)|"
    r"git|hg|svn|ssh|ftp|(?:alice|bob|carol|charlie|dave|eve|mallory|trent|john|jane)(?![._](?!test|demo|dev|work|home|example|admin|user|corp)[a-z]{3})|doe|jdoe|"
    r"(?:john|jane|joe|jon)[._-]?(?:q[._-]?)?(?:doe|smith|public)|max[._-]?mustermann|erika[._-]?mustermann|jean[._-]?dupont|"
    r"zhang[._-]?san|li[._-]?si|wang[._-]?wu|zhao[._-]?liu|lao[._-]?wang|xiao[._-]?(?:ming|hong|wang|li)|hong[._-]?gil[._-]?dong|"
    r"(?:taro|hanako)[._-]?yamada|yamada[._-]?(?:taro|hanako)|ivan[._-]?ivanov)[._+-]?\d{0,4}(?:[._+-]\w+)?",
    re.IGNORECASE,
)  # fmt: skip
FREE_MAIL = re.compile(
    r"(?:gmail|googlemail|yahoo|hotmail|outlook|live|aol|icloud|gmx|web|163|126|qq|sina|naver|mail|yandex|proton(?:mail)?)\.\w+(?:\.\w+)?",
    re.IGNORECASE,
)
# Attributes of code look like domains (`x@weights.data`): only what is in wide use counts.
TOP_LEVEL = frozenset(
    "com org net edu gov mil int info biz io ai dev app me co tv cc xyz tech cloud online eu uk de fr it es pt nl be ch at se no dk fi pl cz sk hu ro bg gr ru ua by kz "
    "tr il ir in pk bd lk cn tw hk jp kr sg my th vn id ph au nz ca us mx br ar cl pe ve za ng ke eg ma ie is lt lv ee hr rs si ge am az uz sa ae "
    "sn ci cm gh tz ug rw et dz tn mz ao zw zm bw mu mg lb jo iq kw qa bh om np mm kh mn kg ec bo py uy cr pa gt hn sv do cu jm tt lu li mc mt cy al mk ba fo gl fj "
    "email agency studio berlin london ltd gmbh asia cat pro mobi club site website shop blog top wang swiss wien koeln hamburg bayern nrw nyc tokyo xin vip".split()
)


# Keys that everybody has: of Azure's emulators, and of the documentation that most copy.
_PUBLISHED = re.compile(r"Eby8vdM02xNOcqFlq|C2y6yDjf5/R\+ob0N8A7Cgv|09d25e094faa6ca2556c8181")


def is_made_up(value: str, left: int) -> bool:
    """Whether fewer than `left` letters and digits are left without the words of examples, sequences, repetitions and a number at the end."""
    if _ELLIPSIS.search(value) or "EXAMPLE" in value.upper() or _COUNTED.fullmatch(value) or _KNOWN.fullmatch(value) or _PUBLISHED.search(value) or _hides_words(value):
        return True
    plain = value.translate(str.maketrans("@0$", "aos"))
    rest = _FILLER.sub(" ", re.sub(r"(.)\1{2,}", " ", _without_sequences(plain)))
    return len(re.sub(r"[\W_]|\d+[\W_]*$", "", rest)) < left


def is_address(value: str) -> bool:
    """Whether a value is an e-mail address, as anonymous FTP is given in a password's place."""
    return re.fullmatch(r"[\w.+-]+@(?:[\w-]+\.)+[a-z]+", value) is not None and value.rpartition(".")[2] in TOP_LEVEL


def is_drawn_number(value: str) -> bool:
    """Whether figures are no sequence and no repetition: a number that somebody has, as at qq.com."""
    return len(set(value)) >= 4 and len(re.sub(r"(.)\1{2,}| ", "", _without_sequences(value))) >= 5


def is_shown(text: str, position: int, address: bool) -> bool:
    """Whether a function's documentation shows what stands there as an example: in a block of code, a quotation, an indented
    part, a message of HTTP, below a word such as "Example". An address is nobody's too where nobody is named before it."""
    start = text.rfind("\n", 0, position) + 1
    before, line = text[:start], text[start:].partition("\n")[0]
    if before.count("```") % 2 or before.count("<pre") > before.count("</pre"):
        return True
    if address:
        lead = line[: position - start]
        alone = re.fullmatch(r"\W*[\w.+%-]+@[\w.-]+\W*", line) is not None
        return line.lstrip().startswith(">>>") or any(len(mark.findall(lead)) % 2 for mark in _QUOTES) or not (alone or _NAMED.search(lead))
    above = " ".join(before.rstrip().rsplit("\n", 2)[-2:])
    return any(rule.search(part) for rule, part in ((_SHOWN_LINE, line), (_SHOWN_AFTER, f"{above} {line}")))


def _hides_words(value: str) -> bool:
    """Whether a value is Base64 of words for an example, as manifests of Kubernetes show them: c2VjcmV0MTIz is secret123."""
    import base64
    import binascii

    if len(value) % 4 or not _BASE64.fullmatch(value):
        return False
    try:
        plain = base64.b64decode(value).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return plain.isprintable() and not _hides_words(plain) and is_made_up(plain, 8)


def _without_sequences(text: str) -> str:
    """The text without runs of three and more that count up or down: abc, 4321."""
    kept: list[str] = []
    start = 0
    while start < len(text):
        end = start + 1
        step = ord(text[end]) - ord(text[start]) if end < len(text) else 0
        while abs(step) == 1 and end < len(text) and ord(text[end]) - ord(text[end - 1]) == step:
            end += 1
        kept.append(text[start] if end - start < 3 else " ")
        start = end if end - start >= 3 else start + 1
    return "".join(kept)


def is_cipher(value: str) -> bool:
    """Whether a value is Base64 of whole blocks of 16 bytes that are no text: an encrypted password, which opens nothing."""
    import base64

    if not re.fullmatch(r"(?:[A-Za-z0-9+/]{4})+[A-Za-z0-9+/]{2,3}={1,2}", value):
        return False
    plain = base64.b64decode(value)
    return len(plain) % 16 == 0 and not (plain.isascii() and plain.decode("ascii").isprintable())


def is_nobody(name: str) -> bool:
    """Whether a user's name, or an address at no domain there is, was made up for an example."""
    local, at, domain = name.partition("@")
    return is_made_up(local, 3) or (bool(at) and domain.rpartition(".")[2].lower() not in TOP_LEVEL)

"""Secrets and personal data: found in every form, placeholders left alone, and never written anywhere by a run."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from pathlib import Path
from types import MappingProxyType

import pytest

from codeact.confidential import Finding, find_confidential, find_possible
from codeact.config import SECRET_KINDS, CurateConfig, SecretKind
from codeact.curate import curate_records
from codeact.harvesting import harvest_functions
from codeact.records import Message, Record
from experiments.address_lines import FORMS
from tests.helpers.command import codeact_command as cli
from tests.helpers.lines import write_lines

DRAW = random.Random(5)
WORD = string.ascii_letters + string.digits


def drawn(length: int, letters: str = WORD) -> str:
    """Made here, so that no scanner takes this file for a leak."""
    return "".join(DRAW.choice(letters) for _ in range(length))


def token(claims: dict[str, str | int]) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "HS256"}, claims)
    ]
    return ".".join([*parts, drawn(43)])


AWS = "AKIA" + drawn(16, string.ascii_uppercase + string.digits)
BODY = "\n".join(drawn(64, WORD + "+/") for _ in range(4))
KEY = "-----BEGIN {}PRIVATE KEY-----"
SECRETS = {
    "secret: AWS Access Key": [f"key = '{AWS}'", f"AWS_SECRET_ACCESS_KEY = '{drawn(40)}'"],
    "secret: GitHub Token": [f"t = 'ghp_{drawn(36)}'"],
    "secret: NPM Token": [f"//registry.npmjs.org/:x=npm_{drawn(36)}"],
    "secret: Mailgun Key": [f"auth = ('api', 'key-{drawn(32, '0123456789abcdef')}')"],
    "secret: Slack Token": [f"x = 'xoxb-{drawn(11, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}'"],
    "secret: DigitalOcean Token": [f"do = Manager(token='dop_v1_{drawn(64, '0123456789abcdef')}')"],
    "secret: Stripe Access Key": [f"stripe.api_key = 'sk_live_{drawn(24)}'"],
    "secret: OpenAI Token": [f"Bearer sk-{drawn(20)}T3BlbkFJ{drawn(20)}"],
    "secret: Google API Key": [f"AIza{drawn(35)}"],
    "secret: Hugging Face Token": [f"login('hf_{drawn(34, string.ascii_letters)}')"],
    "secret: Alibaba Cloud Key": [f"id: LTAI{drawn(16)}"],
    "secret: JSON Web Token": [f"headers = {{'auth': '{token({'sub': 'u-48213', 'name': 'Wei'})}'}}"],
    "secret: Private Key": [
        f"K = '''{KEY.format('RSA ')}\n{BODY}\n'''", "k = \"" + KEY.format("") + "\\n" + BODY.replace("\n", "\\n") + '"',
        "k = ('" + KEY.format("EC ") + "\\n'\n     '" + BODY[:64] + "\\n'", KEY.format("OPENSSH ") + "\n" + BODY,
    ],
    "secret: password": [
        "password = 'hunter2'", 'PASSWORD = "Sup3rS3cret!"', "connect(user='svc', password='9f$2k!81')", "{'passwd': 'kT7#mm2Q'}",
        "export DB_PASSWORD=kT7#mm2Qz", "password: kT7#mm2Qz", "hasło = 'kT7#mm2Q'", "şifre = \"kT7#mm2Q\"",
        "os.environ.setdefault('PGPASSWORD', 'kT7#mm2Q')", "密码 = 'kT7#mm2Q'", "$config['password'] = 'zX81-lmQ';",
        "String password = \"gR8!tPq2\";", "DB_PASSWORD=ab#d%X$9z", "password=ab#d&1%X&9z", "Server=db1;User Id=sa;Password=kT7#mm2Q;Encrypt=1",
        "<password>hunter22</password>", "docker run -e MYSQL_ROOT_PASSWORD=kT7mm2Qz9 -d mysql", "PGPASSWORD=kT7mm2Qz9 psql -h db1",
        "spring.datasource.password=kT7mm2Qz9  # main", "curl -s -u admin:kT7mm2Qz9 https://nexus.kontor.de/x",
        'conn.setPassword("kT7#mm2Q");', "requests.get(u, auth=('svc', 'kT7#mm2Q'))", "server.login('svc', 'kT7#mm2Q')", 'let password: &str = "kT7#mm2Q";',
        '#define DB_PASSWORD "kT7#mm2Q"',
        'dbPassword := "kT7#mm2Q"', 'var password string = "kT7#mm2Q"', "password = b'kT7#mm2Q'",
        'sql.Open("mysql", "svc:kT7mm2Q9@tcp(10.0.0.7:3306)/crm")', "setattr(cfg, 'password', 'kT7#mm2Q')",
        'getConnection(url, "svc", "kT7#mm2Q")', "sshpass -p kT7mm2Q9 ssh deploy@10.0.0.7",
        f"'Authorization': 'Basic {base64.b64encode(b'svc:kT7mm2Qz9').decode()}'", "minhaSenha = 'kT7#mm2Q'", "REDIS_PASSWORD=hunter22",
        "if pwd == 'gR8!tPq2':", "пароль: \"gR8!tPq2\"",
    ],
    "secret: key": [
        f"headers['Authorization'] = 'token {drawn(36)}1a2b3c'", "AES_KEY = b'Zk81pLq0xT5vN7wR'", f"private_key = '0x{drawn(60, '0123456789abcdef')}a1b2'",
        f"os.getenv('API_KEY', '{drawn(32)}')", f"api_key = '{drawn(32)}'", f'secret: "{drawn(40, "0123456789abcdef")}"', f"access_token = '{drawn(40)}'"],
    "secret: password in a URL": ["u = 'postgres://svc:kT7mm2Q9@db.acme-corp.de:5432/x'", "mysql://root:S3cr3t!pw@10.0.0.5/db"],
    "personal data: e-mail address": [
        "# by Wei Zhang <wei.zhang@siemens.com>", "mailto:k.mueller@bayer.de", "联系 zhangwei1988@qq.com。", "anna.kowalska88@gmail.com",
        'login("marta.lopez@outlook.com", pw)', "write to dscherer@cmu.edu.", "'483920117@qq.com'", "mail = '13912847563@163.com'",
        "__author__ = 'Kasia'; __email__ = 'katarzynaw@uj.edu.pl'",
        "Modified by David Beck (techisfun@uw.edu) 2015", "Olivier Dehaene <olivier@firma.fr>",
    ],
}  # fmt: skip
PLACEHOLDERS = [
    *('"id": "AP5I1VjzzpPk"', "- asttokens=2.0.5=pyhd3eb1b0_0", "auth.password: ZGVtbw==", "https://a.cn/client/add?link_token=4a0u8d42-c5a3-4e1b-9c7f"),
    *('"accessToken": "Pu3t55dJIgvkmVoHz50FqaVQOJ6Flggjr2eHTiS74Ooai8e3nNyYPq78"', "Send it to sarah@design.com about the mockups."),
    *("skipChangePwd: !strInfo.useForm", "password: Shenyu123456", "密码: DataEase@123456", "password = \"orig-pass-12345\""),
    *('"exampleStrongPassword": "P@55w0rd_Ex@mple_2023!"', "algorithms = ['sk-ecdsa-sha2-nistp256@openssh.com']"),
    *("send your resume to careers@dreamtech.com", "user.email 'worker@nvidia.com'", "setEmail('tenant2@thingsboard.org')", "badguy@fake-bitwarden.com"),
    *("password = 'xxx'", "password = 'password'", "password='your_password'", "PASSWORD = '********'", "password = ''", "password = 'P@ssw0rd1'"),
    *("password = 'changeme'", "password = 'mypassword123'", "password='123456'", "password = 'abc123'", "password = 'admin123'", "pwd = 'alice123'"),
    *("password = os.environ['PASSWORD']", "password = getpass.getpass('Password: ')", "password = input('Enter your password: ')"),
    *("password='{password}'", 'password="$DB_PASSWORD"', 'password = "<your password>"', "password = self.cleaned_data['password1']"),
    *("password=password2", "password_hash = '5f4dcc3b5aa765d61d8327deb882cf99'", '密码的示例是 "pa5sW0rd"'),
    *("AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'", "AKIAXXXXXXXXXXXXXXXX", "AKIA1234567890ABCDEF"),
    *("api_key = 'YOUR_API_KEY'", "api_key='sk-...'", "token = 'hf_" + "x" * 34 + "'", "token = '[CLS]'", "eos_token = '<|im_end|>'"),
    f"if '{KEY.format('RSA ')}' in text:\n    return load_the_private_key_from(text, password=None)",
    f"'{KEY.format('')}\\nMIIEv...\\n'",
    token({"sub": "admin", "exp": "2986346267"}),
    *("password: c2VjcmV0MTIz", "token?grant_type=password&password=123456&scope=all", "access-token-uri: http://127.0.0.1:8080/oauth/token1"),
    *("https://pan.baidu.com/s/1rQujl5RQn?pwd=e7b4。你可以", "PASSWORD_SCHEME=SHA512-CRYPT", "password = first+last2", "password=%DB_PASSWORD1%"),
    *("# e.g. password='kT7#mm2Q'", "login('admun', password='admun123')", "jdbc.password=rWd3Hb+AzNg3IXF1b5vD+g==", "DB_PASSWORD=$DB_PASS1"),
    *("\"token\": \"f83e0f624e2311e9af1f00163e02b646\"", "keytab=hdfs-cluster@ESZ.COM", "laowang@qq.com", "testSave3@xkcoding.com", "gorilla@yahoo.com"),
    token({"sub": "1234567890", "name": "John Doe"}),
    *("<20190101123456.GA1234@sigill.intra.peff.net>", "numpy-discussion@scipy.org", "<435560F7.4080006@zytor.com>", "x7nm89jy@group.calendar.google.com",
      "'mssql://scott:tiger^5HHH@db3:1433/x'", "pgadmin-hackers@postgresql.org", "libssh2-devel@cool.haxx.se", "sip:x.y@atlanta.com"),
    *("Author: Wei Zhang <4821+weizhang@users.noreply.github.com>", "To: Homer Simpson <homer@springfield.com>", "k.abel@lists.siemens.com"),
    *("self._pwd = 'C:\\\\windows\\\\system32'", "UF_PASSWD_NOTREQD = 0x00000020", "password = 'twisted@twistedmatrix.com'", "password = 's3cr3t'"),
    *("PASSWORD_CALLBACK_PREFIX = 'pwdCallback1='", '"passwordRevisionDate": "2022-07-26T23:03:23.399Z"', "passwd = '1qaz2wsx'"),
    *("<password>db3a16990a0008a3b04707fdef6584a0</password>", "statusEnhancementsPreview = 'application/vnd.github.flash-preview+json2'"),
    *("imap://user:secret;optit2@host/", "https://hooks.slack.com/services/TXX/BYY/ZZZ", "AUTH_TOKEN=f23blad6-5965-4537-bf69-5b5a545blabla88"),
    *("secret_id = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:x-1a2b3c'"),
    *("delegated_bypass='SecurityFeature2(status='", "'Basic dXNlcjpwYXNzd29yZA=='", "123456789@qq.com", "# e.g. wei.zhang@siemens.com"),
    *("postgres://user:password@localhost/db", "http://user:kT7mm2Q9@example.com", "postgresql://{user}:{password}@{host}/db", "redis://:p@ssw0rd@localhost"),
    *("user@example.com", "x@mail.example.org", "john.doe@gmail.com", "test@test.com", "foo@bar.com", "you@yourdomain.com", "zhangsan@qq.com", "bob@gmail.com"),
    *('<a href="mailto:icon@2x.png">icon</a>', "// - author Max Mustermann <mm@gitness.io> 1666401234"),
    *("server.login('senderemail@gmail.com', pw)", f"# csrfmiddlewaretoken: {drawn(64)}"),
    *("get '/login/forgot_password' => 'login#forgot_password'", "password: 'Passwort:'", "password: '密码必须6到16位'", "pwd: 'mot-de-passe*'"),
    *("a@b.com", "x@weights.data", "self.w@x.T", "git@github.com:a/b.git", "me@my.org", "info@acme.com", "@app.route('/x')", "<1424.208.1638@la.host.com>"),
    *("self.client.post('/in', {'user': 'locust', 'password': 'locust123'})", "user = 'kontor'\npassword = 'Kontor2024!'", "a@b.com", "tmp1@x.org"),
    *("pwd_keys = 'New(WEPKey\\d+|PreSharedKey|KeyPassphrase)'", "'token': '54537fa855b9a7bbbbbbbbbc568ea7c069d8c34d'"),
    *('<value key="IndentDeclarationsRelativeToAccessSpecifiers">true', "# Email: <firstname.lastname@cl.cam.ac.uk>", "MYSQL_ROOT_PASSWORD=1q2w3e"),
    '<Strength :value="credentials.password1.value" />', "#   " + KEY.format("RSA ") + "\n#   " + BODY.replace("\n", "\n#   "),
    "token计算规则：“对于中文文本来说，1个token通常对应一个汉字；对于英文文本，1个token通常对应3至4个字母”",
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;",
    token({"sub": "u-48213", "iat": 1700000000, "exp": 1700000300}),
    *("key = 'abcdefghijklmnopqrstuvwxyz0123456789'", "api_key = '550e8400-e29b-41d4-a716-446655440000'", "secret_id = 'azure-service-principal-certificate'"),
    *("sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'", "'AC" + "a" * 32 + "'", "import secrets\nsecrets.token_hex(16)"),
]  # fmt: skip


def record(text: str, number: int = 0) -> Record:
    return Record(f"r{number}", (Message("user", "What now?"), Message("assistant", f"def f():\n    {text}\n")))


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in SECRETS.items() for text in texts])
def test_every_kind_is_found_with_its_place_and_without_itself(reason: str, text: str) -> None:
    assert find_confidential(record(text), SECRET_KINDS) == Finding(reason, "assistant turn, line 2")


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholders_are_no_secrets(text: str) -> None:
    assert find_confidential(record(text), SECRET_KINDS) is None
    assert find_confidential(Record("x", (Message("user", "q"), Message("assistant", text))), SECRET_KINDS) is None


# Nobody's for certain: kept, and named.
POSSIBLE = [
    "{ name: 'tobi', email: 'tobi@learnboost.com' }", 'b"conch-keep-alive@twistedmatrix.com"', "'default': 'flexget_notifer@flexget.com'",
    'EMAIL = "PARTS-COORDINATION-L@in2p3.fr"',
    'createUser("superuser", "ngrinder-superuser@naver.com")',
    'author_email="twisted-python@twistedmatrix.com"', 'maintainer_email = "cobbler.project@gmail.com"', '#define SFTP_EXT_FSROOTS L"fs-roots@vandyke.com"',
    "from:verification@stage.mozaws.net",
    '* giving a user name "jimi@hendrix.org"', "'translations.cs@gnupg.cz'",
]  # fmt: skip


@pytest.mark.parametrize("text", POSSIBLE)
def test_an_address_that_nothing_says_to_be_somebodys_is_kept_and_told(text: str) -> None:
    assert find_confidential(record(text), SECRET_KINDS) is None
    assert find_possible(record(text))[1]
    assert not find_possible(record("x = 'user@example.com'; y = 'git@github.com:a/b'"))[1]


def test_addresses_as_people_write_them_are_found() -> None:
    missed = [form for form in FORMS if find_confidential(record(form), SECRET_KINDS) is None]
    assert len(FORMS) == 70
    assert len(missed) <= 1, missed


# What tests, load tests, examples and documentation log in with and write to: kept, and named.
TRIALS = [
    ("class U(HttpUser):\n    def on_start(self):\n        self.client.post('/in', {'password': 'kT7#mm2Q'})", ""),
    ("def test_login(client):\n    client.login('svc', 'kT7#mm2Q')", ""), ("@Test\nvoid f() { conn.setPassword(\"kT7#mm2Q\"); }", ""),
    ("it('logs in', () => {\n  login({password: 'kT7#mm2Q'})\n})", ""), ("func TestIn(t *testing.T) {\n\tpassword := \"kT7#mm2Q\"\n}", ""),
    ("#[test]\nfn f() {\n    let password: &str = \"kT7#mm2Q\";\n}", ""), ("TEST_F(Login, Works) { auto password = \"kT7#mm2Q\"; }", ""),
    ("assert password == 'kT7#mm2Q'", ""), (">>> get(u, auth=('svc', 'kT7#mm2Q'))", ""),
    ("/* answers\n{\"email\": \"anna.kowalska88@gmail.com\"}\n*/", ""), ("def test_x():\n    send('anna.kowalska88@gmail.com')", ""),
    (f"def test_x():\n    k = '{KEY.format('RSA ')}\n{BODY}\n'", ""), ("password: kT7#mm2Qz", "deploy/examples/values.yml"),
    ("password: kT7#mm2Qz", "docs/setup.md"), (f"api_key = '{drawn(32)}'", "src/test/java/A.java"),
    ("password = 'kT7#mm2Q'", "locustfile.py"), ("password = 'kT7#mm2Q'", "web/login.spec.ts"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path"), TRIALS)
def test_what_tests_and_examples_use_is_kept_and_told(text: str, path: str) -> None:
    def made(code: str) -> Record:
        return Record("x", (Message("user", "q"), Message("assistant", code)), MappingProxyType({"path": path}))

    assert find_confidential(made(text), SECRET_KINDS) is None
    assert find_possible(made(text))[1]
    credited = made(f"{text}\nkey = '{AWS}'\n# by Wei Zhang\n# Copyright Wei Zhang <wei.zhang@siemens.com>")
    assert find_confidential(credited, ["keys"]) is not None  # a form that gives itself away counts everywhere
    assert find_confidential(credited, ["emails"]) is not None


@pytest.mark.parametrize("path", ["src/audit.py", "app/contest/latest.go", "attestation/submit.js", "app/settings.py"])
def test_other_paths_are_no_tests(path: str) -> None:
    messages = (Message("user", "q"), Message("assistant", "password = 'kT7#mm2Q'"))
    assert find_confidential(Record("x", messages, MappingProxyType({"path": path})), SECRET_KINDS) is not None


# What is not part of a program is mostly a sample or a default: kept, and named.
ELSEWHERE = [
    ("password: kT7#mm2Qz", "app/settings.yml"), ("DB_PASSWORD=kT7#mm2Qz", ".env"), ('{"user": "svc", "password": "kT7#mm2Qz"}', "config.json"),
    ("password = 'kT7#mm2Qz'", "conf.toml"), ("<Login password='kT7#mm2Qz'/>", "web/Form.vue"), ("curl -u svc:kT7mm2Qz9 https://nexus.kontor.de/x", "run.sh"),
    ("Set it so:\n```yaml\npassword: kT7#mm2Qz\n```\nThen:\n```python\ndef f():\n    return 1\n```", ""), ('{"user": "svc", "password": "kT7#mm2Qz"}', ""),
    ("DB_PASSWORD=kT7#mm2Qz", ""), ("```bash\nexport DB_PASSWORD=kT7#mm2Qz\n```", ""), (KEY.format("RSA ") + "\n" + BODY, "certs/server.pem"),
    (f"def f():\n    token = '{drawn(32)}'", ""), (f"open('https://a.cn/explore/7?xsec_token={drawn(40)}')", "src/a.py"),
    ('{"name": "Kim Griffith", "email": "kim.griffith@cipromox.biz"}', ""), ("email: kim.griffith@cipromox.biz", "users.yml"),
]  # fmt: skip
PROGRAMS = [
    ("Here:\n```yaml\na: 1\n```\nand\n```python\nconnect(password='kT7#mm2Qz')\n```", ""), ("password = 'kT7#mm2Qz'", ""), ("password = 'kT7#mm2Qz'", "app/settings.py"),
    ('String password = "kT7#mm2Qz";', ""), ("def f(p):\n    xs = glob(p + '/*')\n    return connect(xs, password='kT7#mm2Qz')", ""),
    (f"def f():\n    return '{KEY.format('')}\n{BODY}'", ""), (KEY.format("RSA ") + "\n" + BODY, ""), ("def f():\n    send('alice.chen@meridian-health.io')", ""),
    (f"aws:\n  id: {AWS}", "app/settings.yml"), ("authors = [\"Wei Zhang <wei.zhang@siemens.com>\"]", "Cargo.toml"), ("Wei Zhang <wei.zhang@siemens.com>", "AUTHORS"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "certain"), [*((*one, False) for one in ELSEWHERE), *((*one, True) for one in PROGRAMS)])
def test_what_a_program_holds_is_certain_and_elsewhere_possible(text: str, path: str, certain: bool) -> None:
    meta = MappingProxyType({"path": path} if path else {})
    found, possible = find_possible(Record("x", (Message("user", "q"), Message("assistant", text)), meta))
    assert (found is not None) == certain
    assert certain or possible is not None


DOCUMENTATION = {
    "shown": [
        "    password = 'kT7#mm2Q'", ">>> connect('kT7#mm2Q', password='kT7#mm2Q')", "Example::\n\npassword: kT7#mm2Q", "grant_type=password&password=kT7#mm2Q",
        "```\npassword: kT7#mm2Q\n```", "SELECT id FROM lead WHERE mail = 'kirsten.abel@siemens.com'", "EMAILADDRESS=k.abel@siemens.com, CN=Kirsten",
        "Use postgres://svc:kT7mm2Q9@db.acme-corp.de/x, for example",
    ],
    "said": [
        "@author: Wei Zhang <wei.zhang@siemens.com>", "k.mueller@bayer.de", "Contact: wang.lei@shenzhen-dz.cn", "password: kT7#mm2Q",
        f"    client('{AWS}')", "    " + KEY.format("RSA ") + "\n    " + BODY.replace("\n", "\n    "), "Don't ask; by Wei Zhang (wei.zhang@siemens.com)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in DOCUMENTATION.items() for text in texts])
def test_what_documentation_shows_as_an_example_is_nobodys(kind: str, text: str) -> None:
    documented = Record("x", (Message("user", f"Write the function `f(x)`.\n\nDo it.\n{text}"), Message("assistant", "def f(x):\n    return 1")))
    assert (find_confidential(documented, SECRET_KINDS, documented=True) is None) == (kind == "shown")
    in_code = Record("x", (Message("user", "Write f."), Message("assistant", f"def f(x):\n    # {text.strip()}\n    return 1")))
    assert kind == "shown" or find_confidential(in_code, SECRET_KINDS, documented=True) is not None


def test_a_password_that_a_tool_made_up_is_no_secret() -> None:
    made = Message("tool", '{"password": "aB3#fG7!kL9@"}')
    given = Message("tool", '{"host": "db1", "password": "aB3#fG7!kL9@"}')
    asked = (Message("user", "Make me a password."), Message("assistant", "Here:"))
    assert find_confidential(Record("x", (*asked, made)), SECRET_KINDS) is None
    assert find_possible(Record("x", (*asked, given))) == (None, Finding("secret: password", "tool turn, line 1"))


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (Message("system", f"Use {AWS}."), "system turn, line 1"),
        (Message("assistant", "", reasoning=f"\n{AWS}"), "assistant turn, line 2"),
        (
            Message("assistant", "", tool_calls=json.dumps([{"function": {"arguments": {"key": AWS}}}])),
            "assistant turn, line 1",
        ),
    ],
)
def test_all_that_is_said_is_looked_at(message: Message, where: str) -> None:
    whole = Record("x", (Message("user", "q"), message, Message("assistant", "a")))
    assert find_confidential(whole, ["keys"]) == Finding("secret: AWS Access Key", where)
    assert find_confidential(whole, ["passwords", "emails"]) is None
    assert find_confidential(whole, []) is None


def test_code_in_a_call_is_looked_at_as_code() -> None:
    program = 'def f():\n    password = "x8Kq2zPw9!"\n    return connect("db", password)\n'
    call = json.dumps([{"type": "function", "function": {"name": "write_file", "arguments": {"path": "a.py", "content": program}}}])
    asked = Message("user", "Write a.py.")
    found = find_confidential(Record("x", (asked, Message("assistant", "", tool_calls=call))), SECRET_KINDS)
    said = find_confidential(Record("x", (asked, Message("assistant", f"```python\n{program}```"))), SECRET_KINDS)
    assert found == Finding("secret: password", "text of a call, line 2")
    assert said is not None
    assert said.reason == found.reason


@pytest.mark.parametrize(
    "unit", ["a", "eyJ", "://a:", "password=", "password = 'a", "a@", "a.", "BEGIN PRIVATE KEY-----\n", "'", "\n", "ACa1", "aws key ", "x@y.com,"]
)  # fmt: skip
def test_a_megabyte_of_anything_takes_linear_time(unit: str) -> None:
    seconds = []
    for size in (5_000, 20_000) if unit == "x@y.com," else (20_000, 80_000):  # each address is looked at: .3 ms
        began = time.process_time()
        find_confidential(record(unit * (size // len(unit))), SECRET_KINDS)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 10 * seconds[0] + 0.5


def test_a_secret_across_a_cut_is_found() -> None:
    for before in range(0, 3000, 250):
        assert find_confidential(record("x " * (before // 2) + f"'{AWS}'"), ["keys"])
        assert find_confidential(record("word\n" * (before // 5) + KEY.format("") + "\n" + BODY), ["keys"])


def test_curate_drops_with_a_reason_that_names_the_kind() -> None:
    pool = [record(f"return {n} + {n}") if n % 3 else record(f"key = '{AWS}'", n) for n in (1, 3, 6)]
    kinds: tuple[SecretKind, ...] = ("keys",)
    decisions = curate_records(pool, CurateConfig(secrets=kinds, dedup=False))
    assert [(d.kept, d.reason) for d in decisions] == [
        (True, ""),
        (False, "secret: AWS Access Key"),
        (False, "secret: AWS Access Key"),
    ]
    assert AWS not in repr(decisions)
    assert all(d.kept for d in curate_records(pool, CurateConfig(dedup=False)))


FUNCTION = '''
def fetch_{0}(path, retries=3):
    """Fetch an object of the bucket by its path."""
    client = connect({1!r})
    for attempt in range(retries + {0}):
        found = client.get(path, attempt)
        if found is not None:
            return found
    return None
'''


def test_harvest_leaves_them_out_by_default_and_says_where(tmp_path: Path) -> None:
    lines = [AWS, "no secret", "password = 'hunter2'", "AKIAIOSFODNN7EXAMPLE", "by k.mueller@bayer.de", "mail to tobi@learnboost.com, tobi"]
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.py").write_text("".join(FUNCTION.format(n, line) for n, line in enumerate(lines)), encoding="utf-8")
    found = harvest_functions([tree])
    assert [r.meta["name"] for r in found.records] == ["fetch_1", "fetch_3", "fetch_5"]
    assert found.possible == ("tree/a.py: fetch_5 (line 47)",)
    assert found.skipped["secret: AWS Access Key"] == found.skipped["personal data: e-mail address"] == 1
    assert "tree/a.py: fetch_0 (line 2) is left out: secret: AWS Access Key" in found.problems
    assert len(harvest_functions([tree], secrets=()).records) == 6
    told = cli("harvest", str(tree), "-o", str(tmp_path / "pool.jsonl"))
    assert told.returncode == 0, told.stderr
    assert "3 records" in told.stdout
    assert "kept, though they may hold a secret or somebody's e-mail address: 1 (tree/a.py: fetch_5 (line 47))" in told.stdout
    assert "fetch_0 (line 2) is left out: secret: AWS Access Key" in told.stdout
    written = (tmp_path / "pool.jsonl").read_text(encoding="utf-8")
    assert all(secret not in told.stdout + told.stderr + written for secret in (AWS, "hunter2", "k.mueller"))
    assert cli("harvest", str(tree), "-o", str(tmp_path / "all.jsonl"), "--keep-secrets").returncode == 0
    assert AWS in (tmp_path / "all.jsonl").read_text(encoding="utf-8")


def test_nothing_of_a_run_holds_the_secret(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Write the function number {n}.", "output": f"def f{n}():\n    return {n}\n"} for n in range(8)
    ]
    rows[3]["output"] = f"def f3():\n    return '{AWS}'\n"
    data = tmp_path / "data.jsonl"
    write_lines(data, rows)
    run = tmp_path / "run"
    told = cli(
        "curate",
        str(data),
        "-o",
        str(tmp_path / "clean.jsonl"),
        "--run-dir",
        str(run),
        "--set",
        "curate.secrets=[keys]",
    )
    assert told.returncode == 0, told.stderr
    clean = (tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in clean] == rows[:3] + rows[4:]
    (dropped,) = [json.loads(line) for line in (run / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (dropped["row"], dropped["reason"], dropped["detail"]) == (
        3,
        "secret: AWS Access Key",
        "assistant turn, line 2",
    )
    assert dropped["record"] is None
    explained = cli("explain", str(run), dropped["id"])
    for file in [path for path in run.rglob("*") if path.is_file()]:
        assert AWS.encode() not in file.read_bytes(), file
    assert AWS not in told.stdout + told.stderr + explained.stdout + explained.stderr
    import pyarrow.parquet as pq

    for table in run.rglob("*.parquet"):
        assert AWS not in str(pq.read_table(table).to_pylist()), table

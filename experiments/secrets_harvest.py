"""What `harvest` leaves out by default of source trees that no rule was made with, each finding read by hand; and planted secrets.

    python -m experiments.secrets_harvest --lot held_out --trees FOLDER ... --state state.json --commits commits.json

A tree is a folder of sources named `owner+name`; commits.json has the commit of each. A finding is named by its place, never by what
it is. Verdicts are those of secrets_read.json.xz beside the result, by `owner+name:file:line`: "right" is a key, a password or a
person's address that is or was in use, "wrong" all else. The lot `mended_with` holds the trees that the rules were mended with (what
they showed at the first look is in "first_look"), `held_out` those that were looked at once, after that.
Planted are 60 secrets of as many kinds, a function each, in a tree of their own.

Result: experiments/results/harvest_secrets.json.xz
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import string
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.confidential import find_confidential
from codeact.config import SECRET_KINDS
from codeact.harvesting import DESCRIBED_BY, harvest_functions

LOTS = ("mended_with", "held_out")
OUT = Path("experiments/results/harvest_secrets.json.xz")
SUFFIXES = {
    "python": "py", "c": "c", "cpp": "cpp", "go": "go", "java": "java", "javascript": "js", "rust": "rs", "typescript": "ts",
}  # fmt: skip
WORD, HEX, CAPITALS = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + string.digits
KNOWN = ("password", "key", "password in a URL", "e-mail address")
FUNCTION = '''def fetch_{n}(path, retries=3):
    """Fetch the objects of one customer and write them into the store."""
    items = load(path, limit={n}, strict=True)
    {line}
    for item in items:
        if item.size > retries + {n}:
            store(item.name, item.size, item.owner)
    return len(items)
'''


def look(tree: Path) -> dict[str, Any]:
    """One tree: its documented and undocumented functions, and those that are left out; the latter are what `harvest --describe` reads."""
    languages = [name for name, suffix in SUFFIXES.items() if any(True for _ in tree.rglob(f"*.{suffix}"))]
    records = harvest_functions([tree], languages=languages, secrets=(), undocumented=True).records
    undocumented = sum(DESCRIBED_BY in record.meta for record in records)
    found = []
    for record in records:
        finding = find_confidential(record, SECRET_KINDS, documented=True)
        if finding is not None:
            place = f"{record.meta['file']}:{record.meta['line']}"
            found.append({"place": place, "reason": finding.reason, "documented": DESCRIBED_BY not in record.meta})
    return {"functions": len(records) - undocumented, "undocumented": undocumented, "findings": found}


def tallied(trees: dict[str, Any]) -> dict[str, Any]:
    """Functions, and right and wrong findings by kind; of a value that one tree repeats, each function counts."""
    kinds: dict[str, Counter[str]] = {}
    for finding in (one for tree in trees.values() for one in tree["findings"]):
        kind = finding["reason"].partition(": ")[2]
        for name in (kind if kind in KNOWN else "key of a known form", "all"):
            kinds.setdefault(name, Counter())[finding["verdict"]] += 1
    told = {
        kind: {**counts, "precision": round(counts["right"] / max(1, counts["right"] + counts["wrong"]), 3)}
        for kind, counts in kinds.items()
    }
    sums = {key: sum(tree[key] for tree in trees.values()) for key in ("functions", "undocumented")}
    return {"trees": len(trees), **sums, "kinds": told}


def plants(drawn: Callable[..., str]) -> dict[str, str]:
    """A line of code for each kind of secret, drawn here: nobody's."""

    def body(lines: int) -> str:
        return "\n".join(drawn(64, WORD + "+/") for _ in range(lines))

    def folded(lines: int) -> str:
        return body(lines).replace("\n", "\\n")

    def part(claims: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    token = f"{part({'alg': 'RS256'})}.{part({'sub': 'u-' + drawn(6), 'iss': 'https://sso.kontor-nord.de'})}.{drawn(86)}"
    begin, end = "-----BEGIN {}-----", "-----END {}-----"
    basic = base64.b64encode(b"billing:tR7mk!92Wq").decode()
    return {
        "AWS id": f"client = boto3.client('s3', aws_access_key_id='AKIA{drawn(16, CAPITALS)}')",
        "AWS temporary id": f"key = 'ASIA{drawn(16, CAPITALS)}'",
        "AWS secret": f"aws_secret_access_key = '{drawn(40, WORD + '/+')}'",
        "Google API key": f"maps = Client(key='AIza{drawn(35)}')",
        "Google service account": f'creds = {{"private_key": "{begin.format("PRIVATE KEY")}\\n{folded(4)}\\n{end.format("PRIVATE KEY")}\\n"}}',
        "Azure storage": f"conn = 'AccountName=kontornord;AccountKey={drawn(86, WORD + '+/')}==;EndpointSuffix=core.windows.net'",
        "Azure secret": f"client_secret = '{drawn(3)}~{drawn(34, WORD + '-_.~')}'",
        "Slack bot": f"slack = WebClient('xoxb-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}')",
        "Slack hook": f"hook = 'https://hooks.slack.com/services/T{drawn(8, CAPITALS)}/B{drawn(8, CAPITALS)}/{drawn(24)}'",
        "GitHub": f"gh = Github('ghp_{drawn(36)}')",
        "GitHub, fine-grained": f"gh = Github('github_pat_{drawn(22)}_{drawn(59)}')",
        "GitLab": f"gl = Gitlab(url, private_token='glpat-{drawn(20)}')",
        "Stripe": f"stripe.api_key = 'sk_live_{drawn(24)}'",
        "Twilio": f"auth_token = '{drawn(32, HEX)}'",
        "SendGrid": f"sg = SendGridAPIClient('SG.{drawn(22)}.{drawn(43)}')",
        "Mailgun": f"auth = ('api', 'key-{drawn(32, HEX)}')",
        "OpenAI": f"openai.api_key = 'sk-{drawn(20)}T3BlbkFJ{drawn(20)}'",
        "OpenAI, project": f"client = OpenAI(api_key='sk-proj-{drawn(74)}T3BlbkFJ{drawn(74)}')",
        "Anthropic": f"client = Anthropic(api_key='sk-ant-api03-{drawn(93)}AA')",
        "Hugging Face": f"login(token='hf_{drawn(34, string.ascii_letters)}')",
        "npm": f"registry = 'npm_{drawn(36)}'",
        "PyPI": f"password = 'pypi-AgEIcHlwaS5vcmc{drawn(120)}'",
        "Telegram": f"bot = Bot('{drawn(10, string.digits)}:AA{drawn(33)}')",
        "Discord": f"client.run('M{drawn(23)}.{drawn(6)}.{drawn(27)}')",
        "DigitalOcean": f"do = Manager(token='dop_v1_{drawn(64, HEX)}')",
        "Alibaba Cloud": f"auth = oss2.Auth('LTAI5t{drawn(18)}', '{drawn(30)}')",
        "Tencent Cloud": f"cred = Credential('AKID{drawn(32)}', '{drawn(32)}')",
        "WeChat": f"app_secret = '{drawn(32, HEX)}'",
        "JSON Web Token": f"headers = {{'Authorization': 'Bearer {token}'}}",
        "PEM, RSA": f"KEY = '''{begin.format('RSA PRIVATE KEY')}\n{body(6)}\n{end.format('RSA PRIVATE KEY')}'''",
        "PEM, one line": f'key = "{begin.format("EC PRIVATE KEY")}\\n{folded(2)}\\n{end.format("EC PRIVATE KEY")}"',
        "OpenSSH": f"KEY = '''{begin.format('OPENSSH PRIVATE KEY')}\nb3BlbnNzaC1rZXktdjEAAAAA{drawn(46)}\n{body(5)}'''",
        "PGP": f"KEY = '''{begin.format('PGP PRIVATE KEY BLOCK')}\nVersion: GnuPG v2\n\n{body(6)}\n=aB3d'''",
        "PuTTY": f"KEY = '''PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nPublic-Lines: 2\n{body(2)}\nPrivate-Lines: 4\n{body(4)}'''",
        "URL of PostgreSQL": "url = 'postgresql://billing:tR7mk92Wq@db3.kontor-nord.de:5432/bill'",
        "URL of MongoDB": "uri = 'mongodb+srv://svc_orders:Zk81pLq0x@cluster0.ab1cd.mongodb.net/orders'",
        "URL of AMQP": "broker = 'amqp://worker:Lm29xQpa@10.2.0.7//'",
        "URL of git": f"remote = 'https://oauth2:{drawn(20)}@gitlab.kontor-nord.de/a/b.git'",
        "password=": "conn = connect(host='db3', user='billing', password='tR7mk!92Wq')",
        "password in an object": "cfg = {'user': 'billing', 'password': 'winter-Sturm42'}",
        "password of words": "password = 'correcthorse9battery'",
        "password constant": "DB_PASSWORD = 'Vx-48kkQ_2'",
        "password of SSH": "ssh.connect('10.2.0.7', username='deploy', password='D3pl0y#2023')",
        "密码": "密码 = '月Kj82!mmQ'",
        "密码 in an object": "conf = {'用户名': 'liwei', '密码': 'Kj82!mmQz'}",
        "default of the environment": "pw = os.environ.get('DB_PASSWORD', 'tR7mk!92Wq')",
        "set in the environment": "os.environ['PGPASSWORD'] = 'tR7mk!92Wq'",
        "connection string": "dsn = 'Server=sql2;Database=crm;User Id=crm_app;Password=Qp92!mmzT;'",
        "curl -u": "cmd = 'curl -u admin:tR7mk92Wq! https://nexus.kontor-nord.de/x'",
        "compared": "granted = request.form['password'] == 'tR7mk92Wq!'",
        "Basic": f"headers = {{'Authorization': 'Basic {basic}'}}",
        "SECRET_KEY": f"SECRET_KEY = '{drawn(50, WORD + '!@#$^&*-_=+')}'",
        "author": "# written by Kirsten Abel <kirsten.abel@kontor-nord.de>",
        "address": "notify = 'k.abel@kontor-nord.de'",
        "gmail": "admin = 'liweiming1987@gmail.com'",
        "qq.com": "mail = '483920117@qq.com'",
        "163.com": "sender = 'wangxiaolei88@163.com'",
        "联系人": "# 联系人：王磊 wang.lei@shenzhen-dianzi.com.cn",
        "first name": "mail = 'kirsten@kontor-nord.de'",
        "recipients": "send_mail('report', body, ['j.okafor@lagos-metals.ng'])",
    }


def planted(rounds: int) -> dict[str, Any]:
    """How many planted secrets are left out by `harvest` as it comes, and the kinds of those that are not."""
    generator = random.Random(0)
    missed: Counter[str] = Counter()
    total = 0
    for _ in range(rounds):
        lines = plants(lambda length, letters=WORD: "".join(generator.choice(letters) for _ in range(length)))
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            tree.mkdir()
            for n, line in enumerate(lines.values()):
                (tree / f"m{n}.py").write_text(FUNCTION.format(n=n, line=line), encoding="utf-8")
            kept = {record.meta["name"] for record in harvest_functions([tree]).records}
        total += len(lines)
        missed.update(kind for n, kind in enumerate(lines) if f"fetch_{n}" in kept)
    return {"kinds": len(lines), "planted": total, "left_out": total - missed.total(), "missed": dict(missed)}


def main() -> None:
    """Measure, and write one lot into the result file; the other lots stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lot", choices=LOTS, required=True)
    parser.add_argument("--trees", nargs="*", type=Path, default=[])
    parser.add_argument("--state", type=Path, required=True, help="JSON: what was seen of each tree; a tree in it is not looked at again")
    parser.add_argument("--commits", type=Path, required=True, help="JSON: owner+name -> commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    read = options.output.with_name("secrets_read.json.xz")
    verdicts = result_files.read(read) if read.exists() else {}
    commits = json.loads(options.commits.read_text(encoding="utf-8"))
    seen = json.loads(options.state.read_text(encoding="utf-8")) if options.state.exists() else {}
    for tree in options.trees:
        if tree.name not in seen:
            seen[tree.name] = look(tree)
            options.state.write_text(json.dumps(seen), encoding="utf-8")
            print(tree.name, seen[tree.name]["functions"], len(seen[tree.name]["findings"]), flush=True)
    trees = {
        name: {
            "commit": commits[name], "functions": tree["functions"], "undocumented": tree["undocumented"],
            "findings": [{**one, **verdicts.get(f"{name}:{one['place']}", {"verdict": "unread"})} for one in tree["findings"]],
        }
        for name, tree in seen.items()
    }  # fmt: skip
    old = result_files.read(options.output) if options.output.exists() else {}
    lots = {**old.get("lots", {}), options.lot: {"total": tallied(trees), "trees": trees}}
    result = {**provenance(), "planted": planted(options.rounds), "first_look": old.get("first_look", {}), "lots": lots}
    result_files.write(options.output, result)
    print(json.dumps({"planted": result["planted"], **{name: lot["total"] for name, lot in lots.items()}}, indent=1))


if __name__ == "__main__":
    main()

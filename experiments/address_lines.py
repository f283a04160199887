"""Whose addresses the check names certain in lines of code of public repositories, each read; and planted ones.

    python -m experiments.address_lines --state state.json --wrong wrong.json

state.json is written by `--look NAME --trees FOLDER ...` (a folder of sources named owner+name; the newest commit of each stands in
commits.json), wrong.json by a reader: place -> why it is nobody's; each finding was read once, and all others are right: the address of
a person, or a mailbox in use. Of a repository the first five findings count, each address once, outside of tests and of the 25 lines at
a file's head. Places alone are kept, never an address. FORMS are planted in a function each and harvested.

Result: experiments/results/address_lines.json.xz
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.addresses import addresses
from codeact.harvesting import harvest_functions
from experiments.secrets_harvest import FUNCTION

OUT = Path("experiments/results/address_lines.json.xz")
RAW = re.compile(r"[\w.+%-]+@(?:[\w-]+\.)+[A-Za-z]{2,18}\b")
NO_FOLDER = re.compile(r"(?i)tests?|testing|__tests__|specs?|vendor|node_modules|locale|docs?|testdata|t|third_?party|\..*|dist|build|target")
NO_FILE = re.compile(r"(?i)test|\.min\.|_pb2|spec\.|_version\.py")
SUFFIXES = (".py", ".go", ".java", ".js", ".ts", ".rs", ".c", ".h", ".cpp", ".cc", ".hpp", ".mjs", ".tsx", ".jsx")
HEAD, MOST_FINDINGS, MOST_BYTES = 25, 5, 200_000
# Addresses that nobody owns, as people write them.
FORMS = r'''
notify = 'k.abel@kontor-nord.de'
send_mail('report', body, ['j.okafor@lagos-metals.ng'])
mail = 'kirsten@kontor-nord.de'
# 联系人：王磊 wang.lei@shenzhen-dianzi.com.cn
owner = "lena.hoffmann@stadtwerke-muenchen.de"
# TODO(lena): ask lena.hoffmann@swm.de about this
EMAIL = "priya.raghavan@infosys.com"
to_addr = 'tanaka.haruto@softbank.co.jp'
# 邮箱zhangweiming@zju.edu.cn有问题找他
x = "duc.nguyen+alerts@vng.com.vn"
recipients = ("marta.lopez@mail.telefonica.es", "ops")
logger.info("sent to olga.petrova@yandex-team.ru")
"""Mail henrik.larsson@ericsson.se for access."""
contact = 'mailto:henrik.larsson@ericsson.se'
# Copyright 2021 Siobhan Murphy <siobhan@murphylabs.ie>
cc = ["amara.diallo@orange.sn"]
admin = 'liweiming1987@gmail.com'
mail = '483920117@qq.com'
sender = 'wangxiaolei88@163.com'
# written by Kirsten Abel <kirsten.abel@kontor-nord.de>
author = "Jürgen Müller <juergen.mueller@müller-söhne.de>"
mail = "anna.schmidt@xn--mller-kva.de"
addr = "иван.петров@почта.рф"
# автор: sergey.volkov@mail.ru
user_mail = "Minh.Tran@FPT.com.vn"
return smtp.send("yusuf.kaya@turktelekom.com.tr", text)
MAINTAINER = "jpark@snu.ac.kr"
reply_to = 'oconnell-b@tcd.ie'
s = "owner=claire.dubois@laposte.fr;role=x"
d = {"email": "raj.patel@tcs.co.in", "age": 3}
d = {'user': 'rpatel', 'mail': 'rpatel@tcs.co.in'}
send("From: Chloe Martin <chloe.martin@edf.fr>")
# see chloe.martin@edf.fr
url = "mailto:chloe.martin@edf.fr?subject=hi"
x = 'lena_hoffmann@tum.de'
x = 'lhoffmann@in.tum.de' # mail of the owner
x = "lena.hoffmann2@tum.de"
if user == "bjorn.eriksson@spotify.com": items = []
GIT_AUTHOR = 'Zanele Dube <zdube@uct.ac.za>'
# bug reported by tkowalczyk@allegro.pl
print("questions? ask giulia.rossi@polimi.it")
x = b"carlos.mendes@petrobras.com.br"
x = f"carlos.mendes@petrobras.com.br {path}"
x = "\tcarlos.mendes@petrobras.com.br\n"
# 担当: suzuki.kenta@hitachi.co.jp
# 담당자: minjun.kim@samsung.com
x = ["lars.nilsen@equinor.com","kari.hansen@equinor.com"]
call(email="dmitri@yandex.ru")
call(email="agarwal@flipkart.com")
whitelist = {"noah.williams@shopify.ca"}
alert_to = "nkem.obi@mtn.ng"
x = "petra.novakova@seznam.cz"
x = 'xuemei.chen@bytedance.com'
# cc: xuemei.chen@bytedance.com, ops
x = 'O.Kuznetsova@kaspersky.ru'
ldap = "mail=fatima.zahra@ocp.ma"
SUPPORT_PERSON = 'g.papadopoulos@ntua.gr'
x = """Dear team,\n please write to g.papadopoulos@ntua.gr\n"""
x = 'deborah_keller@ethz.ch'
x = "deborahkeller91@hotmail.com"
x = "dkeller@student.ethz.ch"; mail(x)
# <deborah@keller-online.ch>
user = 'abelk@cs.uni-bonn.de'
x = "tomasz.wojcik@pw.edu.pl"
to = "sven@svenssons.se"
CONTACT = ('Ines Faria', 'ines.faria@ua.pt')
x = "mei-ling.wu@ntu.edu.tw"
x = "jean-luc.moreau@inria.fr"
x = 'WEI.ZHANG@SIEMENS.COM'
#wei.zhang@siemens.com
'''.strip("\n").split("\n")


def look(root: Path) -> dict[str, Any]:
    """One tree: its files, the places of certain findings and the number of possible ones."""
    names: list[Path] = []
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if not NO_FOLDER.fullmatch(name)]
        names += [Path(folder) / name for name in files if name.endswith(SUFFIXES) and not NO_FILE.search(name)]
    random.Random(5).shuffle(names)
    seen: set[str] = set()
    found: dict[bool, list[str]] = {True: [], False: []}
    for path in names:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            continue
        lines = path.read_text(errors="replace").split("#[cfg(test)]")[0].split("\n")
        for at, line in enumerate(lines):
            match = RAW.search(line) if at >= HEAD and len(line) <= 400 else None
            if match is None or match[0] in seen:
                continue
            near = "\n".join(lines[at - 1 : at + 2])
            sure = {near.count("\n", 0, position): certain for position, certain in addresses(near)}.get(1)
            if sure is not None and len(found[sure]) < MOST_FINDINGS:
                seen.add(match[0])
                found[sure].append(f"{path.relative_to(root)}:{at + 1}")
    return {"files": len(names), "findings": found[True], "possible": len(found[False])}


def planted() -> dict[str, int]:
    """How many of FORMS `harvest` leaves out, and how many of the others it names."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for n, line in enumerate(FORMS):
            (tree / f"m{n}.py").write_text(FUNCTION.format(n=n, line=line), encoding="utf-8")
        found = harvest_functions([tree])
    return {"planted": len(FORMS), "left_out": len(FORMS) - len(found.records), "named": len(found.possible)}


def wilson(right: int, count: int) -> list[float]:
    """The interval at 95 %."""
    z, share = 1.96, right / max(1, count)
    middle, root = share + z * z / (2 * count), z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    return [round((middle + side * root) / (1 + z * z / count), 3) for side in (-1, 1)]


def main() -> None:
    """Look at trees, or write the result of what was seen and read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", help="put what the trees show into the state under this name, and end")
    parser.add_argument("--trees", nargs="*", type=Path, default=[])
    parser.add_argument("--commits", type=Path, help="JSON: owner+name -> commit")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--wrong", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    state: dict[str, Any] = json.loads(options.state.read_text(encoding="utf-8")) if options.state.exists() else {}
    if options.look:
        commits = json.loads(options.commits.read_text(encoding="utf-8"))
        trees = {tree.name: {"commit": commits[tree.name], **look(tree)} for tree in options.trees}
        total = {key: sum(tree.pop(key) for tree in trees.values()) for key in ("files", "possible")}
        state[options.look] = {**total, "trees": trees}
        options.state.write_text(json.dumps(state), encoding="utf-8")
        return
    wrong = json.loads(options.wrong.read_text(encoding="utf-8"))
    looks = {}
    for name, seen in state.items():
        places = [f"{tree}/{place}" for tree, one in seen["trees"].items() for place in one["findings"]]
        bad = {place: wrong[place] for place in places if place in wrong}
        right = len(places) - len(bad)
        told = {"repositories": len(seen["trees"]), "found": len(places), "right": right, "precision": round(right / len(places), 3)}
        looks[name] = {**told, "interval": wilson(right, len(places)), "wrong": bad, **seen}
    result_files.write(options.output, {**provenance(), "planted": planted(), "looks": looks})
    print(json.dumps({name: {k: v for k, v in one.items() if k != "trees"} for name, one in looks.items()}, indent=1), planted())


if __name__ == "__main__":
    main()

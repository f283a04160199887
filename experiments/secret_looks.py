"""What the check for secrets drops of data that no rule was made with: whole files as records, what `harvest` makes of them, instruction data.

    python -m experiments.secret_looks --look fifth --state state.json --read read.jsonl --repositories FOLDER ... --data FILE ...
    python -m experiments.secret_looks --state state.json ... --verdicts verdicts.jsonl

A folder is a clone, bare or not, named `owner+name` or in a folder of that name. Parts of it are `files`: --most files of its newest
commit as records with a column `path` (tests, settings and prose too), in the order of their paths' hashes; `code`: keys and passwords
alone, which are rare, in --most code files; `functions`: what `harvest` makes of --most code files, documented or not. A data file is
one of instruction data of any known form, or more of one source, named `source=FILE`. Of each part of a source the first five
addresses and the first twelve keys and passwords count, each value once; of what is only possible the records are counted.

A finding is named by its place, never by what it is. read.jsonl, kept outside of the repository, has each with its lines, to be read.
verdicts.jsonl has {"id", "verdict"} of each: "right" is a key, a password or an address that is or was in use, "fixture" a test's own
private key, "wrong" all else; a fixture counts as wrong.

Result: experiments/results/secret_looks.json.xz
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.confidential import ADDRESS, PRIVATE_KEY, every_finding
from codeact.config import SECRET_KINDS, SecretKind
from codeact.harvesting import DESCRIBED_BY, harvest_functions
from codeact.records import Message, Record, read_records
from codeact.storage import read_rows
from experiments import secret_files
from experiments.address_lines import wilson
from experiments.secrets_harvest import SUFFIXES

OUT = Path("experiments/results/secret_looks.json.xz")
NOT_THEIRS = re.compile(r"(?i)(^|/)(vendor|node_modules|third_?party|locales?|i18n|translations?|dist)/|\.min\.|(^|/)(package-lock|yarn|pnpm-lock|go\.sum)")
READ = re.compile(
    r"(?i)(?:\.(?:env|ya?ml|ini|cfg|conf|properties|toml|md|rst|ipynb|sh|bash|[cm]?[jt]sx?|php|rb|java|go|sql|xml|txt|tf|json|ps1|py|c|h|cc|cpp|hpp|rs|vue|kt|cs|"
    r"local|template|example|dist|sample)|/Dockerfile|/\.\w[\w.]*|/[A-Z]+)$"
)
CODE = re.compile(rf"\.(?:{'|'.join(SUFFIXES.values())}|cc|h|hpp|jsx|tsx)$")
MOST = {"address": 5, "secret": 12}


def group(reason: str) -> str:
    """address, or secret."""
    return "address" if reason == ADDRESS else "secret"


def kind_of(reason: str) -> str:
    """What is reported on its own."""
    by_name = {"password": "passwords", "password in a URL": "passwords", "key": "keys by their name", "JSON Web Token": "keys by their name"}
    if reason in (ADDRESS, PRIVATE_KEY):
        return "addresses" if reason == ADDRESS else "private keys"
    return by_name.get(reason.partition(": ")[2], "keys by their form")


class Found:
    """The findings of one repository or source that count."""

    def __init__(self, name: str, read: Path) -> None:
        self.name, self.read = name, read
        self.kept: list[tuple[str, str]] = []
        self.possible = self.records = 0
        self.seen: set[str] = set()
        self.count: Counter[str] = Counter()

    def add(self, place: str, record: Record, documented: bool = False, kinds: Sequence[SecretKind] = SECRET_KINDS) -> None:
        """Look at a record."""
        self.records += 1
        possible = False
        for finding, certain in every_finding(record, kinds, documented):
            possible = possible or not certain
            if not certain:
                continue
            where, _, number = finding.detail.rpartition(", line ")
            texts = [m.content for m in record.messages if where == f"{m.role} turn"]
            lines = "\n".join(texts[:1]).split("\n")
            at = int(number)
            line = lines[at - 1].strip() if at <= len(lines) else ""
            said = secret_files.ADDRESS.search(line)
            key = said[0].lower() if said and finding.reason == ADDRESS else line[-200:]
            name = group(finding.reason)
            if key in self.seen or self.count[name] >= MOST[name]:
                continue
            self.seen.add(key)
            self.count[name] += 1
            self.kept.append((f"{place}:{at}", finding.reason))
            context = "\n".join(("> " if n == at - 1 else "  ") + lines[n][:400] for n in range(max(0, at - 7), min(len(lines), at + 6)))
            with self.read.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"id": f"{self.name}:{place}:{at}", "reason": finding.reason, "where": where, "context": context}, ensure_ascii=False) + "\n")
        self.possible += possible


def in_files(folder: Path, most: int, found: Found) -> None:
    """What is found in a clone's files as records."""
    for path, text in secret_files.files(folder, most, READ):
        if not NOT_THEIRS.search(path):
            found.add(path, Record("x", (Message("user", "Write it."), Message("assistant", text)), MappingProxyType({"path": path})))


def in_code(folder: Path, most: int, found: Found) -> None:
    """Keys and passwords alone, which are rare, in more of its code."""
    for path, text in secret_files.files(folder, most, CODE, 100_000):
        if not NOT_THEIRS.search(path):
            record = Record("x", (Message("user", "Write it."), Message("assistant", text)), MappingProxyType({"path": path}))
            found.add(path, record, kinds=("keys", "passwords"))


def in_functions(folder: Path, most: int, found: Found) -> None:
    """What is left out of all its functions."""
    with tempfile.TemporaryDirectory() as tree:
        for path, text in secret_files.files(folder, most, CODE, 100_000):
            target = Path(tree) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", errors="replace")
        languages = [name for name, suffix in SUFFIXES.items() if any(True for _ in Path(tree).rglob(f"*.{suffix}"))]
        records = harvest_functions([tree], languages=languages, secrets=(), undocumented=True).records if languages else []
    for record in records:
        found.add(f"{record.meta['file']}:{record.meta['line']}", record, DESCRIBED_BY not in record.meta)


def in_data(files: Iterable[str], found: Found) -> None:
    """What is found in instruction data."""
    for file in files:
        source = read_rows(file, "train")
        for record in read_records(source.rows, {}, source.name).records:
            found.add(f"{Path(file).name}:{record.meta['row']}", record)


def tally(findings: Iterable[tuple[str, str]], verdicts: dict[str, str]) -> dict[str, Any]:
    """By kind: how many, right, and the precision with its interval at 95 %."""
    told = {}
    rows = [(kind_of(reason), verdicts.get(place, "unread")) for place, reason in findings]
    for name in sorted({kind for kind, _ in rows}):
        mine = [verdict for kind, verdict in rows if kind == name]
        right = mine.count("right")
        told[name] = {**Counter(mine), "precision": round(right / len(mine), 3), "interval": wilson(right, len(mine))}
    return told


def main() -> None:
    """Look, or write the result of what was seen and read; looks of earlier days stay in the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look")
    parser.add_argument("--repositories", nargs="*", type=Path, default=[])
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--parts", nargs="+", choices=("files", "code", "functions"), default=["files"], help="of repositories")
    parser.add_argument("--state", nargs="+", type=Path, required=True)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--verdicts", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    states: list[dict[str, Any]] = [json.loads(file.read_text(encoding="utf-8")) if file.exists() else {} for file in options.state]
    if options.look:
        look = states[0].setdefault(options.look, {})
        sources: dict[str, list[str]] = defaultdict(list)
        for one in options.data:
            name, equals, file = one.rpartition("=")
            sources[name if equals else Path(file).name].append(file)
        clones = {next(one.name for one in (folder, *folder.parents) if one.name not in ("repo", ".git")): folder for folder in options.repositories}
        for name in (*clones, *sources):
            seen = look.setdefault(name, {"commit": secret_files._git(clones[name], "rev-parse", "HEAD").decode().strip() if name in clones else ""})
            for part in options.parts if name in clones else ["data"]:
                if part in seen:
                    continue
                found = Found(f"function {name}" if part == "functions" else name, options.read)
                if part == "data":
                    in_data(sources[name], found)
                elif part == "files":
                    in_files(clones[name], options.most, found)
                elif part == "code":
                    in_code(clones[name], options.most, found)
                else:
                    in_functions(clones[name], options.most, found)
                seen[part] = {"records": found.records, "possible": found.possible, "found": found.kept}
                options.state[0].write_text(json.dumps(states[0]), encoding="utf-8")
                print(name, part, found.records, len(found.kept), flush=True)
        return
    verdicts = {one["id"]: one["verdict"] for one in map(json.loads, options.verdicts.read_text(encoding="utf-8").splitlines())}
    looks: dict[str, Any] = result_files.read(options.output)["looks"] if options.output.exists() else {}
    for name in sorted({name for state in states for name in state}):
        trees: dict[str, dict[str, Any]] = {}
        for state in states:
            for tree, one in state.get(name, {}).items():
                trees[tree] = {**trees.get(tree, {}), **one}
        told: dict[str, Any] = {"commits": {tree: one["commit"][:12] for tree, one in trees.items()}, "findings": []}
        for part, before in (("files", ""), ("code", ""), ("functions", "function "), ("data", "")):
            mine = [(tree, one[part]) for tree, one in trees.items() if part in one]
            places = [(f"{before}{tree}:{place}", reason) for tree, one in mine for place, reason in one["found"]]
            findings = [(place, reason) for place, reason in places if [place, reason] not in told["findings"]]
            sums = {key: sum(one[key] for _, one in mine) for key in ("records", "possible")}
            told[part] = {"sources": len(mine), **sums, "kinds": tally(findings, verdicts)}
            told["findings"] += [[place, reason] for place, reason in findings]
        told["kinds"] = tally(told["findings"], verdicts)
        told["findings"] = [(place, reason, verdicts.get(place, "unread")) for place, reason in told["findings"]]
        looks[name] = told
    result_files.write(options.output, {**provenance(), "looks": looks})
    print(json.dumps({name: {k: v for k, v in one.items() if k not in ("findings", "commits")} for name, one in looks.items()}, indent=1))


if __name__ == "__main__":
    main()

"""What the check for secrets finds in repositories that no rule was made with: in whole files as records, and in what `harvest` makes of them.

    python -m experiments.secret_looks --look third --state state.json --repositories FOLDER ...
    python -m experiments.secret_looks --state state.json --verdicts verdicts.jsonl

A folder is a clone, bare or not, named `owner+name` or in a folder of that name. Of its newest commit --most files are records with a
column `path` (tests, settings and prose too), in the order of their paths' hashes; then all its functions, documented or not, are
harvested. Of a repository the first five addresses and the first twelve keys and passwords of files count, each value once. A finding
is named by its place, never by what it is. verdicts.jsonl has {"id", "verdict"} of each: "right" is a key, a password or an address
that is or was in use, "fixture" a test's own private key, "wrong" all else; a fixture counts as wrong.

Result: experiments/results/secret_looks.json.xz
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks import result_files
from benchmarks.machine import provenance
from codeact.confidential import ADDRESS, find_confidential
from codeact.config import SECRET_KINDS
from codeact.harvesting import DESCRIBED_BY, harvest_functions
from codeact.records import Message, Record
from experiments import secret_files
from experiments.address_lines import wilson
from experiments.secrets_harvest import SUFFIXES

OUT = Path("experiments/results/secret_looks.json.xz")
NOT_THEIRS = re.compile(r"(?i)(^|/)(vendor|node_modules|third_?party|locales?|i18n|translations?|dist)/|\.min\.|(^|/)(package-lock|yarn|pnpm-lock|go\.sum)")
MOST = {"address": 5, "secret": 12}


def group(reason: str) -> str:
    """address, or secret."""
    return "address" if reason == ADDRESS else "secret"


def in_files(folder: Path, most: int) -> Iterator[tuple[str, str]]:
    """(place, reason) of what is found in files; one finding a file and kind, as a record has one reason to leave."""
    seen: set[str] = set()
    count: Counter[str] = Counter()
    for path, text in secret_files.files(folder, most):
        if NOT_THEIRS.search(path):
            continue
        record = Record("x", (Message("user", f"Write {path}."), Message("assistant", text)), MappingProxyType({"path": path}))
        for kinds in (["emails"], ["keys", "passwords"]):
            finding = find_confidential(record, kinds)
            if finding is None or not finding.detail.startswith("assistant"):
                continue
            at = int(finding.detail.rpartition(" ")[2])
            line = text.split("\n")[at - 1].strip()
            if line not in seen and count[group(finding.reason)] < MOST[group(finding.reason)]:
                seen.add(line)
                count[group(finding.reason)] += 1
                yield f"{path}:{at}", finding.reason


def in_functions(folder: Path) -> tuple[int, list[tuple[str, str]]]:
    """How many functions a tree has, and (place, reason) of those that are left out."""
    with tempfile.TemporaryDirectory() as tree:
        for path, text in secret_files.files(folder, 1_000_000):
            target = Path(tree) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", errors="replace")
        languages = [name for name, suffix in SUFFIXES.items() if any(True for _ in Path(tree).rglob(f"*.{suffix}"))]
        records = harvest_functions([tree], languages=languages, secrets=(), undocumented=True).records if languages else []
    found = [(record, find_confidential(record, SECRET_KINDS, DESCRIBED_BY not in record.meta)) for record in records]
    return len(records), [(f"{record.meta['file']}:{record.meta['line']}", one.reason) for record, one in found if one is not None]


def tally(findings: list[tuple[str, str]], verdicts: dict[str, str]) -> dict[str, Any]:
    """By kind: how many, right, and the precision with its interval at 95 %."""
    told = {}
    for name in MOST:
        mine = [verdicts.get(place, "unread") for place, reason in findings if group(reason) == name]
        if mine:
            right = mine.count("right")
            told[name] = {**Counter(mine), "precision": round(right / len(mine), 3), "interval": wilson(right, len(mine))}
    return told


def main() -> None:
    """Look, or write the result of what was seen and read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look")
    parser.add_argument("--repositories", nargs="*", type=Path, default=[])
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--verdicts", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args()
    state: dict[str, Any] = json.loads(options.state.read_text(encoding="utf-8")) if options.state.exists() else {}
    if options.look:
        trees = state.setdefault(options.look, {})
        for folder in options.repositories:
            name = folder.parent.name if folder.name in ("repo", ".git") else folder.name
            functions, left_out = in_functions(folder)
            trees[name] = {"files": list(in_files(folder, options.most)), "functions": functions, "left_out": left_out}
            options.state.write_text(json.dumps(state), encoding="utf-8")
        return
    verdicts = {one["id"]: one["verdict"] for one in map(json.loads, options.verdicts.read_text(encoding="utf-8").splitlines())}
    looks = {}
    for name, trees in state.items():
        files = [(f"{tree}:{place}", reason) for tree, one in trees.items() for place, reason in one["files"]]
        left_out = [(f"{tree}:{place}", reason) for tree, one in trees.items() for place, reason in one.get("left_out", ())]
        harvested = [one["functions"] for one in trees.values() if one.get("functions") is not None]
        looks[name] = {
            "repositories": len(trees), "in_files": tally(files, verdicts), "harvested": len(harvested), "functions": sum(harvested),
            "left_out": tally(left_out, verdicts), "commits": {tree: one.get("commit", "") for tree, one in trees.items()},
            "findings": [(place, reason, verdicts.get(place, "unread")) for place, reason in [*files, *left_out]],
        }  # fmt: skip
    result_files.write(options.output, {**provenance(), "looks": looks})
    print(json.dumps({name: {k: v for k, v in one.items() if k not in ("findings", "commits")} for name, one in looks.items()}, indent=1))


if __name__ == "__main__":
    main()
